//! One case: the keys of a `[[case]]`, and the question that they put.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::value::{Datetime, Offset};

use crate::expect::{Expect, Outcome};
use crate::facts::{Attempt, Cause, Facts, Privacy};
use crate::party::Party;

/// One `[[case]]`. Parties are numbers, addresses, or SIP or tel URIs.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows; unique in its file.
    pub name: String,
    /// Line of the case in its file, counted from 1.
    #[serde(skip)]
    pub line: usize,
    /// Trunk that the call comes in on.
    pub from: String,
    /// Whom the caller wants.
    pub to: String,
    /// From; anonymous unless said.
    #[serde(default)]
    pub caller: Option<String>,
    /// The caller's display name.
    #[serde(default)]
    pub caller_name: Option<String>,
    /// P-Asserted-Identity.
    #[serde(default)]
    pub asserted: Vec<String>,
    /// Diversion, most recent first.
    #[serde(default)]
    pub diverted: Vec<String>,
    /// Privacy wished: `none`, `user` or `full`.
    #[serde(default)]
    pub privacy: Privacy,
    /// Whether it is an emergency call.
    #[serde(default)]
    pub emergency: bool,
    /// Headers of the INVITE: `{ "X-Account" = "7", "X-Hop" = ["a", "b"] }`.
    #[serde(default, deserialize_with = "headers")]
    pub headers: Vec<(String, String)>,
    /// When it is decided, RFC 3339 with offset; in milliseconds since 1970 UTC.
    #[serde(default, deserialize_with = "instant")]
    pub at: Option<u64>,
    /// Trunks that are down.
    #[serde(default)]
    pub down: Vec<String>,
    /// Trunks that are at their limit.
    #[serde(default)]
    pub full: Vec<String>,
    /// Attempts that failed before, each `"trunk:code"`: the policy is asked again after them.
    #[serde(default, deserialize_with = "attempts")]
    pub failed: Vec<(String, u16)>,
    /// Targets that a peer redirected to (3xx).
    #[serde(default)]
    pub redirected: Vec<String>,
    /// The transfer (REFER) that the policy is asked about.
    #[serde(default)]
    pub transferred: Option<Transfer>,
    /// Answers to the policy's inquiry.
    #[serde(default)]
    pub answered: Vec<Answered>,
    /// What the policy returned last time for this call.
    #[serde(default)]
    pub cookie: String,
    /// What the policy must decide.
    pub expect: Expect,
    /// Tags that the plan must carry.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A transfer by a peer of trunk `by`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Trunk whose peer asked for it.
    pub by: String,
    /// Refer-To.
    pub target: String,
    /// Whether it names a dialog to replace.
    #[serde(default)]
    pub replaces: bool,
}

/// What an outside source said; without `answer`, it failed.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Name of the source.
    pub source: String,
    /// Key that was looked up.
    pub key: String,
    /// Its answer.
    #[serde(default)]
    pub answer: Option<String>,
}

impl Case {
    /// The question that it puts.
    pub fn facts(&self) -> Facts {
        let plain = Facts::new(&self.from, &self.to);
        let caller = self.caller.as_deref().map_or(plain.caller, Party::read);
        Facts {
            caller: Party {
                display: self.caller_name.clone(),
                ..caller
            },
            asserted: read_all(&self.asserted),
            diverted: read_all(&self.diverted),
            privacy: self.privacy,
            emergency: self.emergency,
            headers: self.headers.clone(),
            cause: self.cause(),
            cookie: self.cookie.clone().into_bytes(),
            unix_ms: self.at.unwrap_or(plain.unix_ms),
            ..plain
        }
    }

    /// What differs from what was expected, a line each.
    pub(crate) fn diff(&self, got: &Outcome) -> Option<String> {
        let tags = self
            .tags
            .iter()
            .filter_map(|(name, value)| got.tag_diff(name, value));
        let lines: Vec<String> = self.expect.diff(got).into_iter().chain(tags).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Trunks that it names.
    pub(crate) fn trunks(&self) -> impl Iterator<Item = &str> {
        let failed = self.failed.iter().map(|(trunk, _)| trunk);
        let named = [&self.from]
            .into_iter()
            .chain(&self.down)
            .chain(&self.full)
            .chain(failed);
        named.map(String::as_str).chain(self.expect.trunks())
    }

    /// How many causes it states; more than one contradict each other.
    pub(crate) fn causes(&self) -> usize {
        [
            !self.failed.is_empty(),
            !self.redirected.is_empty(),
            self.transferred.is_some(),
            !self.answered.is_empty(),
        ]
        .into_iter()
        .filter(|stated| *stated)
        .count()
    }

    fn cause(&self) -> Cause {
        if let Some(transfer) = &self.transferred {
            Cause::transferred(transfer)
        } else if !self.failed.is_empty() {
            let failed = self.failed.iter();
            Cause::Exhausted(
                failed
                    .map(|(trunk, code)| Attempt::failed(trunk, *code))
                    .collect(),
            )
        } else if !self.redirected.is_empty() {
            Cause::Redirected(read_all(&self.redirected))
        } else if !self.answered.is_empty() {
            Cause::Answered(self.answered.clone())
        } else {
            Cause::NewCall
        }
    }
}

fn read_all(parties: &[String]) -> Vec<Party> {
    parties.iter().map(|party| Party::read(party)).collect()
}

/// `{ name = "value", name = ["several", "values"] }`, in the order written.
pub(crate) fn headers<'de, D>(deserializer: D) -> Result<Vec<(String, String)>, D::Error>
where
    D: Deserializer<'de>,
{
    let mut headers = Vec::new();
    for (name, value) in toml::Table::deserialize(deserializer)? {
        let values = match value {
            toml::Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let toml::Value::String(value) = value else {
                return Err(D::Error::custom(format!(
                    "the header `{name}` must be a string"
                )));
            };
            headers.push((name.clone(), value));
        }
    }
    Ok(headers)
}

/// `["gw-a:503"]`
fn attempts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, u16)>, D::Error> {
    let attempts = Vec::<String>::deserialize(deserializer)?;
    let read = |text: String| {
        let (trunk, code) = text.rsplit_once(':')?;
        let code = code.parse().ok().filter(|code| (300..700).contains(code))?;
        Some((trunk.to_owned(), code))
    };
    let wrong = "a failed attempt is written \"trunk:code\", such as \"gw-a:503\"";
    attempts
        .into_iter()
        .map(|text| read(text).ok_or_else(|| D::Error::custom(wrong)))
        .collect()
}

/// An RFC 3339 instant, with or without quotes.
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let wrong = "`at` is an instant with offset, such as 2026-01-05T12:00:00Z";
    let datetime = match toml::Value::deserialize(deserializer)? {
        toml::Value::Datetime(datetime) => Some(datetime),
        toml::Value::String(text) => text.parse().ok(),
        _ => None,
    };
    datetime
        .as_ref()
        .and_then(unix_ms)
        .map(Some)
        .ok_or_else(|| D::Error::custom(wrong))
}

/// Milliseconds since 1970 UTC.
fn unix_ms(datetime: &Datetime) -> Option<u64> {
    let (date, time, offset) = (datetime.date?, datetime.time?, datetime.offset?);
    // Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that
    // the leap day is a year's last.
    let march_based = (i64::from(date.month) + 9) % 12;
    let year = i64::from(date.year) - i64::from(date.month <= 2);
    let leap_days = year / 4 - year / 100 + year / 400;
    let day_of_year = (153 * march_based + 2) / 5 + i64::from(date.day) - 1;
    let days = year * 365 + leap_days + day_of_year - 719_468;
    let offset_minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - offset_minutes;
    let seconds = minutes * 60 + i64::from(time.second.unwrap_or(0));
    let millis = seconds * 1000 + i64::from(time.nanosecond.unwrap_or(0) / 1_000_000);
    u64::try_from(millis).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn instants_are_unix_milliseconds() {
        let ms = |text: &str| unix_ms(&text.parse().unwrap());
        assert_eq!(ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(ms("2000-02-29T23:59:59.25Z"), Some(951_868_799_250));
        assert_eq!(
            ms("2026-01-05T04:00:00-08:00"),
            Some(crate::DEFAULT_UNIX_MS)
        );
        assert_eq!(ms("2026-01-05T04:00:00"), None);
    }
}
