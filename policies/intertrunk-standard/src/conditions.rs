//! What a call must have besides its number for a route to be about it.

use std::fmt;

use intertrunk_sdk::rules::Pattern;
use intertrunk_sdk::{Cause, Party, Scheme, checked};
use serde::{Deserialize, Deserializer};

use crate::call::Call;
use crate::names::Trunks;
use crate::pattern_keys::keys_with_pattern;
use crate::values::{Names, include};

/// Conditions of a route; all must hold.
#[derive(Default)]
pub(crate) struct Conditions {
    pub(crate) calling: Option<Pattern>,
    pub(crate) from: Option<Trunks>,
    pub(crate) site: Names,
    pub(crate) header: Vec<Field>,
    pub(crate) param: Vec<Field>,
    pub(crate) domain: Names,
    pub(crate) phone_only: bool,
    pub(crate) cause: Vec<CauseKey>,
    /// Places among the calendars.
    pub(crate) when: Vec<usize>,
    pub(crate) unless: Vec<usize>,
}

/// Why a route is not about a call, as an explanation says it.
pub(crate) enum Objection<'a> {
    Called,
    Calling(&'a Pattern),
    From,
    Site,
    Header(&'a Field),
    Param(&'a Field),
    Domain,
    Phone,
    Cause,
    Closed,
    Open,
    NoRow(&'a str),
}

impl fmt::Display for Objection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objection::Called => f.write_str("it is not about this number"),
            Objection::Calling(pattern) => write!(f, "it is about callers of {pattern}"),
            Objection::From => f.write_str("it is about calls from other trunks"),
            Objection::Site => f.write_str("it is about calls from other sites"),
            Objection::Header(field) => write!(f, "it asks for header {field}"),
            Objection::Param(field) => write!(f, "it asks for parameter {field}"),
            Objection::Domain => f.write_str("it is about other domains"),
            Objection::Phone => f.write_str("it is about telephone numbers"),
            Objection::Cause => f.write_str("it is about calls of another cause"),
            Objection::Closed => f.write_str("it is not open at this time"),
            Objection::Open => f.write_str("it is not for this time"),
            Objection::NoRow(table) => write!(f, "table {table} has no row for the number"),
        }
    }
}

impl Conditions {
    /// Why they do not hold, if they do not.
    pub(crate) fn objection(&self, call: &Call<'_>) -> Option<Objection<'_>> {
        if let Some(calling) = self
            .calling
            .as_ref()
            .filter(|it| !it.matches(&call.calling))
        {
            return Some(Objection::Calling(calling));
        }
        if self
            .from
            .as_ref()
            .is_some_and(|from| !from.include(call.origin))
        {
            return Some(Objection::From);
        }
        let of_site = |sites: &Names| {
            call.origin_site()
                .is_some_and(|site| include(&sites.0, site))
        };
        if !self.site.0.is_empty() && !of_site(&self.site) {
            return Some(Objection::Site);
        }
        let lacks = |field: &&Field| !field.is_in(call.query.headers(&field.name));
        if let Some(field) = self.header.iter().find(lacks) {
            return Some(Objection::Header(field));
        }
        let lacks =
            |field: &&Field| !field.is_in(call.target.number_param(&field.name).into_iter());
        if let Some(field) = self.param.iter().find(lacks) {
            return Some(Objection::Param(field));
        }
        if !self.domain.0.is_empty() && !self.domain.0.iter().any(|it| is_of(call.target, it)) {
            return Some(Objection::Domain);
        }
        if self.phone_only && !is_phone(call.target) {
            return Some(Objection::Phone);
        }
        if !self.cause.is_empty() && !self.cause.iter().any(|it| it.is(&call.query.cause)) {
            return Some(Objection::Cause);
        }
        if !self.when.is_empty() && !call.is_open(&self.when) {
            return Some(Objection::Closed);
        }
        call.is_open(&self.unless).then_some(Objection::Open)
    }

    /// Whether they are none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.calling.is_none()
            && self.from.as_ref().is_none_or(Trunks::is_any)
            && self.site.0.is_empty()
            && self.header.is_empty()
            && self.param.is_empty()
            && self.domain.0.is_empty()
            && !self.phone_only
            && self.cause.is_empty()
            && self.when.is_empty()
            && self.unless.is_empty()
    }
}

/// Whether the host of a party is this domain, or one below it: `*.example.com`.
fn is_of(party: &Party, domain: &str) -> bool {
    let host = match party.host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => &party.host,
    };
    match domain.strip_prefix('*') {
        Some(parent) => host
            .len()
            .checked_sub(parent.len())
            .filter(|at| *at > 0)
            .and_then(|at| host.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(domain),
    }
}

fn is_phone(party: &Party) -> bool {
    party.scheme == Scheme::Tel
        || party
            .param("user")
            .is_some_and(|it| it.eq_ignore_ascii_case("phone"))
}

/// `cause = "transferred"`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CauseKey {
    NewCall,
    Redirected,
    Transferred,
}

impl CauseKey {
    fn is(self, cause: &Cause) -> bool {
        match cause {
            Cause::Redirected(_) => self == CauseKey::Redirected,
            Cause::Transferred(_) => self == CauseKey::Transferred,
            Cause::NewCall | Cause::Exhausted(_) | Cause::Answered(_) => self == CauseKey::NewCall,
        }
    }
}

/// A header or parameter, and what it must hold.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    value: Option<Pattern>,
    absent: bool,
}

impl Field {
    fn is_in<'v>(&self, mut values: impl Iterator<Item = &'v str>) -> bool {
        match &self.value {
            _ if self.absent => values.next().is_none(),
            None => values.next().is_some(),
            Some(pattern) => values.any(|value| pattern.matches(value)),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            _ if self.absent => write!(f, "{} to be absent", self.name),
            None => f.write_str(&self.name),
            Some(pattern) => write!(f, "{} with {pattern}", self.name),
        }
    }
}

keys_with_pattern! {
    struct FieldKeys {
        name: Box<str>,
        #[serde(default)]
        absent: bool,
    }
}

impl TryFrom<FieldKeys> for Field {
    type Error = &'static str;

    fn try_from(mut keys: FieldKeys) -> Result<Self, Self::Error> {
        let asks = !keys.prefix.0.is_empty()
            || keys.expr.is_some()
            || !keys.except.0.is_empty()
            || [keys.length, keys.length_min, keys.length_max]
                .iter()
                .any(Option::is_some);
        if keys.absent && asks {
            return Err("what is absent holds nothing; leave `absent` or the pattern out");
        }
        let pattern = keys.pattern();
        Ok(Field {
            name: keys.name,
            absent: keys.absent,
            value: asks.then(|| pattern.try_into()).transpose()?,
        })
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<FieldKeys, _, _>(deserializer)
    }
}
