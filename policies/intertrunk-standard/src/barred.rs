//! What decides before any route: calls for help, blocked callers, numbers that nobody has.

use intertrunk_sdk::rules::Pattern;
use intertrunk_sdk::{checked, table};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::call::Call;
use crate::names::Trunks;
use crate::values::{Names, Refusal, include};

/// A `[[block]]`: callers that are refused.
pub(crate) struct Block {
    pub(crate) name: Box<str>,
    caller: Option<Pattern>,
    anonymous: bool,
    table: Option<Box<str>>,
    exempt: Option<Pattern>,
    called: Option<Pattern>,
    pub(crate) from: Trunks,
    pub(crate) site: Names,
    pub(crate) reject: Refusal,
}

impl Block {
    /// Whether this call is refused.
    pub(crate) fn is_about(&self, call: &Call<'_>) -> bool {
        let calling = &*call.calling;
        let matches = |pattern: &Option<Pattern>, number| {
            pattern.as_ref().is_some_and(|it| it.matches(number))
        };
        self.from.include(call.origin)
            && is_of_site(&self.site, call)
            && (self.called.is_none() || matches(&self.called, &call.called))
            && !matches(&self.exempt, calling)
            && ((self.anonymous && call.is_anonymous())
                || matches(&self.caller, calling)
                || self
                    .table
                    .as_ref()
                    .is_some_and(|it| table(it).exact(calling).is_some()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockKeys {
    name: Box<str>,
    #[serde(default)]
    caller: Option<Pattern>,
    #[serde(default)]
    anonymous: bool,
    #[serde(default)]
    table: Option<Box<str>>,
    #[serde(default)]
    exempt: Option<Pattern>,
    #[serde(default)]
    called: Option<Pattern>,
    #[serde(default)]
    from: Trunks,
    #[serde(default)]
    site: Names,
    #[serde(default)]
    reject: Option<Refusal>,
}

impl TryFrom<BlockKeys> for Block {
    type Error = &'static str;

    fn try_from(keys: BlockKeys) -> Result<Self, Self::Error> {
        if keys.caller.is_none() && !keys.anonymous && keys.table.is_none() {
            return Err("this block is about nobody; add `caller`, `table`, or `anonymous = true`");
        }
        Ok(Block {
            name: keys.name,
            caller: keys.caller,
            anonymous: keys.anonymous,
            table: keys.table,
            exempt: keys.exempt,
            called: keys.called,
            from: keys.from,
            site: keys.site,
            reject: keys.reject.unwrap_or(Refusal::with(603, Some(21))),
        })
    }
}

/// An `[[unassigned]]`: numbers of ours that nobody has.
pub(crate) struct Unassigned {
    pub(crate) name: Box<str>,
    range: Range,
    except: Names,
    assigned: Option<Box<str>>,
    pub(crate) priority: i32,
    pub(crate) to: Option<Trunks>,
    /// What is sent to those trunks.
    pub(crate) called: Option<Box<str>>,
    pub(crate) reject: Refusal,
}

enum Range {
    /// From one number to another of the same length.
    Between(Box<str>, Box<str>),
    Prefixes(Names),
}

impl Unassigned {
    pub(crate) fn holds(&self, number: &str) -> bool {
        let begins = |prefixes: &Names| prefixes.0.iter().any(|it| number.starts_with(&**it));
        let is_in = match &self.range {
            Range::Between(start, end) => {
                number.len() == start.len() && (&**start..=&**end).contains(&number)
            }
            Range::Prefixes(prefixes) => begins(prefixes),
        };
        let is_assigned = |name: &str| table(name).exact(number).is_some();
        is_in && !begins(&self.except) && !self.assigned.as_deref().is_some_and(is_assigned)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnassignedKeys {
    name: Box<str>,
    #[serde(default)]
    start: Option<Box<str>>,
    #[serde(default)]
    end: Option<Box<str>>,
    #[serde(default)]
    prefix: Names,
    #[serde(default)]
    except: Names,
    #[serde(default)]
    assigned: Option<Box<str>>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    to: Option<Trunks>,
    #[serde(default)]
    called: Option<Box<str>>,
    #[serde(default)]
    reject: Option<Refusal>,
}

impl TryFrom<UnassignedKeys> for Unassigned {
    type Error = String;

    fn try_from(keys: UnassignedKeys) -> Result<Self, String> {
        let range = match (keys.start, keys.end) {
            (Some(start), Some(end)) if start.len() != end.len() || start > end => {
                return Err(format!(
                    "there is no number from {start} to {end}; write the lower one first, both of one length"
                ));
            }
            (Some(start), Some(end)) if keys.prefix.0.is_empty() => Range::Between(start, end),
            (None, None) if !keys.prefix.0.is_empty() => Range::Prefixes(keys.prefix),
            _ => return Err("write `start` and `end`, or `prefix`".to_owned()),
        };
        if keys.to.is_some() && keys.reject.is_some() {
            return Err("there is both a `to` and a `reject`; leave one out".to_owned());
        }
        if keys.to.is_none() && keys.called.is_some() {
            return Err("there is no `to` for this `called`; add it".to_owned());
        }
        if keys
            .to
            .as_ref()
            .is_some_and(|to| to.names().is_empty() || to.is_any())
        {
            return Err("`to` names no trunk; list them".to_owned());
        }
        Ok(Unassigned {
            name: keys.name,
            range,
            except: keys.except,
            assigned: keys.assigned,
            priority: keys.priority,
            to: keys.to,
            called: keys.called,
            reject: keys.reject.unwrap_or(Refusal::with(404, Some(1))),
        })
    }
}

/// An `[[emergency]]`: a number that brings help.
pub(crate) struct Emergency {
    pub(crate) number: Box<str>,
    masks: Names,
    pub(crate) from: Option<Trunks>,
    pub(crate) site: Names,
    pub(crate) to: Option<Trunks>,
    pub(crate) usages: Option<Spanned<Names>>,
    pub(crate) caller_id: Option<Box<str>>,
    sos: bool,
}

impl Emergency {
    /// Whether one of these is dialled.
    fn is_dialed(&self, dialed: [&str; 2]) -> bool {
        dialed
            .iter()
            .any(|number| **number == *self.number || include(&self.masks.0, number))
    }

    /// How specific it is for this call: lower is more; nothing if it is for others.
    fn rank(&self, origin: &str, site: Option<&str>) -> Option<u8> {
        match &self.from {
            Some(from) if !from.is_any() => from.include(origin).then_some(0),
            _ if self.site.0.is_empty() => Some(2),
            _ => site
                .is_some_and(|site| include(&self.site.0, site))
                .then_some(1),
        }
    }
}

/// The one of these that a call from `origin` is for: by the number as it was dialled, or else since the
/// host takes the call for one; of several the most specific.
pub(crate) fn emergency<'a>(
    all: &'a [Emergency],
    dialed: [&str; 2],
    is_sos: bool,
    origin: &str,
    site: Option<&str>,
) -> Option<&'a Emergency> {
    all.iter()
        .filter_map(|it| {
            let is_other = !it.is_dialed(dialed);
            let is_meant = !is_other || (is_sos && it.sos);
            let rank = it.rank(origin, site).filter(|_| is_meant)?;
            Some(((is_other, rank), it))
        })
        .min_by_key(|(order, _)| *order)
        .map(|(_, it)| it)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmergencyKeys {
    number: Box<str>,
    #[serde(default)]
    masks: Names,
    #[serde(default)]
    from: Option<Trunks>,
    #[serde(default)]
    site: Names,
    #[serde(default)]
    to: Option<Trunks>,
    #[serde(default)]
    usages: Option<Spanned<Names>>,
    #[serde(default)]
    caller_id: Option<Box<str>>,
    #[serde(default)]
    sos: Option<bool>,
}

impl TryFrom<EmergencyKeys> for Emergency {
    type Error = &'static str;

    fn try_from(keys: EmergencyKeys) -> Result<Self, Self::Error> {
        if keys.to.is_some() == keys.usages.is_some() {
            return Err("a call for help must go somewhere; write `to` or `usages`");
        }
        if keys
            .to
            .as_ref()
            .is_some_and(|to| to.names().is_empty() || to.is_any())
        {
            return Err("`to` names no trunk; list them");
        }
        Ok(Emergency {
            number: keys.number,
            masks: keys.masks,
            from: keys.from,
            site: keys.site,
            to: keys.to,
            usages: keys.usages,
            caller_id: keys.caller_id,
            sos: keys.sos.unwrap_or(true),
        })
    }
}

/// Whether a call is of one of these sites; there may be none.
fn is_of_site(sites: &Names, call: &Call<'_>) -> bool {
    sites.0.is_empty()
        || call
            .origin_site()
            .is_some_and(|site| include(&sites.0, site))
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<BlockKeys, _, _>(deserializer)
    }
}

impl<'de> Deserialize<'de> for Unassigned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<UnassignedKeys, _, _>(deserializer)
    }
}

impl<'de> Deserialize<'de> for Emergency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<EmergencyKeys, _, _>(deserializer)
    }
}
