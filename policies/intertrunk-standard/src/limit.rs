//! Limits on what callers, trunks and numbers use up: calls, calls at once, talk, money.
//!
//! A meter of the host counts the calls that have a tag of its name. So each limit that is about a call has a
//! key; the meter is asked for it before the call is routed, and the plan carries it as a tag.

use std::fmt;

use intertrunk_sdk::rules::Pattern;
use intertrunk_sdk::{
    Amount, LookUp, Meter, NoAnswer, OneOrMany, Plan, Verdict, because, checked, log,
};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::Standard;
use crate::call::Call;
use crate::names::Trunks;
use crate::pattern_keys::keys_with_pattern;
use crate::values::{Duration, Names, Refusal, include};

/// Bytes of a key that the host tells from others.
const KEY_BYTES_MAX: usize = 128;
/// Bytes of a limit's name, so that what is counted by has room in the key.
const NAME_BYTES_MAX: usize = 40;

/// A `[[limit]]` of the dial plan.
pub(crate) struct Limit {
    pub(crate) name: Spanned<Box<str>>,
    source: Box<str>,
    called: Pattern,
    exempt: Option<Pattern>,
    pub(crate) from: Trunks,
    pub(crate) site: Names,
    per: Vec<Per>,
    bounds: Bounds,
    on_failure: OnFailure,
    reject: Refusal,
}

/// What is too much; each that is there is one more reason.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    calls: Option<u64>,
    active: Option<u64>,
    seconds: Option<u64>,
    spend: Option<Amount>,
}

/// By what a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Per {
    Trunk,
    Caller,
    Called,
    Prefix,
}

/// What becomes of a call when the meter does not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OnFailure {
    #[default]
    Admit,
    Refuse,
}

/// A limit that is about a call, and the key that the call counts as.
pub(crate) struct Applied<'a> {
    limit: &'a Limit,
    key: String,
}

impl Limit {
    fn is_about(&self, call: &Call<'_>) -> bool {
        let is_of_site = |site| include(&self.site.0, site);
        let exempt = self.exempt.as_ref();
        self.from.include(call.origin)
            && (self.site.0.is_empty() || call.origin_site().is_some_and(is_of_site))
            && self.called.matches(&call.called)
            && !exempt.is_some_and(|it| it.matches(&call.calling))
    }

    /// `abroad/+14255550100`
    fn key(&self, call: &Call<'_>) -> String {
        let mut key = self.name.get_ref().to_string();
        for per in &self.per {
            let value = match per {
                Per::Trunk => call.origin,
                Per::Caller => &call.calling,
                Per::Called => &call.called,
                Per::Prefix => {
                    let mine = self.called.starts();
                    let mine = mine.filter(|it| call.called.starts_with(it));
                    mine.max_by_key(|it| it.len()).unwrap_or_default()
                }
            };
            key.extend(["/", value]);
        }
        key.truncate(key.floor_char_boundary(KEY_BYTES_MAX));
        key
    }

    /// Whether this limit asks for what calls cost.
    pub(crate) fn counts_spend(&self) -> bool {
        self.bounds.spend.is_some()
    }
}

impl Bounds {
    /// What of it is used up.
    fn reached(&self, lately: &Meter) -> Option<String> {
        let is_full = |have: u64, most: Option<u64>| most.filter(|most| have >= *most);
        if let Some(most) = is_full(lately.active, self.active) {
            return Some(format!("{} of {most} calls are up", lately.active));
        }
        if let Some(most) = is_full(lately.calls, self.calls) {
            return Some(format!("{} of {most} calls were made", lately.calls));
        }
        if let Some(most) = is_full(lately.seconds, self.seconds) {
            let talked = lately.seconds;
            return Some(format!("{talked} of {most} seconds were talked"));
        }
        let most = self.spend.filter(|most| lately.spend >= *most)?;
        Some(format!("{} of {most} are spent", lately.spend))
    }
}

/// As an explanation says it.
struct Lately(Meter);

impl fmt::Display for Lately {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Meter {
            calls,
            active,
            seconds,
            spend,
        } = self.0;
        write!(
            f,
            "{calls} calls, {active} of them up, {seconds} s, spent {spend}"
        )
    }
}

impl Applied<'_> {
    /// What to ask the meter.
    pub(crate) fn look_up(&self) -> LookUp {
        LookUp {
            source: self.limit.source.to_string(),
            key: self.key.clone(),
            timeout_ms: None,
        }
    }

    /// The refusal, if this limit is reached.
    fn verdict(&self, call: &Call<'_>) -> Option<Verdict> {
        let Limit {
            name,
            source,
            bounds,
            on_failure,
            reject,
            ..
        } = self.limit;
        let name = name.get_ref();
        let lately = match call.answer(source, &self.key) {
            Some(Ok(text)) => Meter::of(text).ok_or(NoAnswer::Failed),
            Some(Err(why)) => Err(*why),
            None => Err(NoAnswer::Failed),
        };
        let lately = match lately {
            Ok(lately) => lately,
            Err(why) => {
                because!("limit {name:?}: source {source} does not answer ({why:?})");
                let lacks = match why {
                    NoAnswer::UnknownSource => "there is not",
                    NoAnswer::Denied => "the policy may not",
                    NoAnswer::Timeout | NoAnswer::Failed => "says nothing",
                };
                log::warn(&format!(
                    "limit {name:?} asks the source {source}, which {lacks}"
                ));
                return (*on_failure == OnFailure::Refuse).then(|| reject.verdict());
            }
        };
        let Some(why) = bounds.reached(&lately) else {
            because!(
                "limit {name:?} has room for {}: {}",
                self.key,
                Lately(lately)
            );
            return None;
        };
        because!("limit {name:?} refuses {} with {reject}: {why}", self.key);
        Some(reject.verdict())
    }
}

impl Standard {
    /// The limits that are about a call.
    pub(crate) fn limits_of(&self, call: &Call<'_>) -> Vec<Applied<'_>> {
        let about = self.limits.iter().filter(|it| it.is_about(call));
        about
            .map(|limit| Applied {
                limit,
                key: limit.key(call),
            })
            .collect()
    }
}

/// The refusal of the first limit that is reached.
pub(crate) fn refusal(limits: &[Applied<'_>], call: &Call<'_>) -> Option<Verdict> {
    limits.iter().find_map(|it| it.verdict(call))
}

/// The plan of a call that counts.
pub(crate) fn counted(mut plan: Plan, limits: &[Applied<'_>]) -> Plan {
    for Applied { limit, key } in limits {
        plan = plan.tag(&*limit.source, &**key);
    }
    plan
}

keys_with_pattern! {
    struct LimitKeys {
        name: Spanned<Box<str>>,
        source: Box<str>,
        #[serde(default)]
        per: OneOrMany<Per>,
        #[serde(default)]
        exempt: Option<Pattern>,
        #[serde(default)]
        from: Trunks,
        #[serde(default)]
        site: Names,
        #[serde(default)]
        calls: Option<u64>,
        #[serde(default)]
        active: Option<u64>,
        #[serde(default)]
        talk: Option<Duration>,
        #[serde(default)]
        spend: Option<Amount>,
        #[serde(default)]
        on_failure: OnFailure,
        #[serde(default)]
        reject: Option<Refusal>,
    }
}

impl TryFrom<LimitKeys> for Limit {
    type Error = String;

    fn try_from(mut keys: LimitKeys) -> Result<Self, String> {
        let bounds = Bounds {
            calls: keys.calls,
            active: keys.active,
            seconds: keys.talk.map(|it| it.seconds().into()),
            spend: keys.spend,
        };
        let bounded = bounds.calls.is_some() || bounds.active.is_some();
        if !bounded && bounds.seconds.is_none() && bounds.spend.is_none() {
            return Err("this limits nothing; add `calls`, `active`, `talk` or `spend`".to_owned());
        }
        if keys.per.0.contains(&Per::Prefix) && keys.prefix.0.is_empty() {
            return Err("there are no prefixes to count by; add `prefix`".to_owned());
        }
        if keys.name.get_ref().len() > NAME_BYTES_MAX {
            return Err(format!(
                "this name is too long; use {NAME_BYTES_MAX} bytes at most"
            ));
        }
        let pattern = keys.pattern();
        Ok(Limit {
            name: keys.name,
            source: keys.source,
            called: pattern.try_into()?,
            exempt: keys.exempt,
            from: keys.from,
            site: keys.site,
            per: keys.per.0,
            bounds,
            on_failure: keys.on_failure,
            reject: keys.reject.unwrap_or(Refusal::with(403, Some(21))),
        })
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<LimitKeys, _, _>(deserializer)
    }
}
