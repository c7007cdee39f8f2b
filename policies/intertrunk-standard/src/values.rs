//! Values that several tables of a dial plan have: durations, codes, refusals, names.

use std::fmt;

use intertrunk_sdk::{OneOrMany, Rejection, Verdict, checked};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, de};

/// Names, one or a list.
pub(crate) type Names = OneOrMany<Box<str>>;

/// Whether a name is among these.
pub(crate) fn include(names: &[Box<str>], name: &str) -> bool {
    names.iter().any(|it| **it == *name)
}

/// Milliseconds, written with a unit: `"500ms"`, `"10s"`, `"3m"`, `"4h"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Duration(pub(crate) u32);

impl Duration {
    /// The same in seconds.
    pub(crate) fn seconds(self) -> u32 {
        self.0 / 1000
    }

    fn read(text: &str) -> Option<Duration> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        digits.parse::<u32>().ok()?.checked_mul(unit).map(Duration)
    }

    /// This duration, if it is within bounds.
    pub(crate) fn within(self, least: &str, most: &str) -> Result<u32, String> {
        let bound = |text| Duration::read(text).map_or(0, |it| it.0);
        match (bound(least)..=bound(most)).contains(&self.0) {
            true => Ok(self.0),
            false => Err(format!(
                "this is too short or too long; write a duration from {least:?} to {most:?}"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Duration::read(&text).ok_or_else(|| {
            let problem = format!("{text:?} is no duration");
            D::Error::custom(format!(
                "{problem}; write it like \"500ms\", \"10s\" or \"4h\""
            ))
        })
    }
}

/// A refusal: a code, or a table with what goes with it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) cause: Option<u16>,
    reason: Option<Box<str>>,
    retry_after_s: Option<u32>,
}

impl Refusal {
    pub(crate) const fn with(code: u16, cause: Option<u16>) -> Refusal {
        Refusal {
            code,
            cause,
            reason: None,
            retry_after_s: None,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::Reject(Rejection {
            code: self.code,
            phrase: self.reason.as_deref().map(str::to_owned),
            q850: self.cause,
            retry_after_s: self.retry_after_s,
        })
    }
}

/// As an explanation says it: `403 with cause 21`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match self.cause {
            Some(cause) => write!(f, " with cause {cause}"),
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusalKeys {
    code: u16,
    #[serde(default)]
    cause: Option<u16>,
    #[serde(default)]
    reason: Option<Box<str>>,
    #[serde(default)]
    retry_after: Option<Duration>,
}

impl TryFrom<RefusalKeys> for Refusal {
    type Error = String;

    fn try_from(keys: RefusalKeys) -> Result<Self, String> {
        if let Some(cause) = keys.cause.filter(|cause| !(1..=127).contains(cause)) {
            return Err(format!("{cause} is no Q.850 cause; use one from 1 to 127"));
        }
        Ok(Refusal {
            code: refusing(keys.code)?,
            cause: keys.cause,
            reason: keys.reason,
            retry_after_s: keys.retry_after.map(Duration::seconds),
        })
    }
}

/// A code that refuses a call.
pub(crate) fn refusing(code: u16) -> Result<u16, String> {
    match code {
        400..=699 => Ok(code),
        _ => Err(format!(
            "{code} refuses no call; use a code from 400 to 699"
        )),
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RefusalVisitor;

        impl<'de> Visitor<'de> for RefusalVisitor {
            type Value = Refusal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code, or a table with `code`")
            }

            fn visit_i64<E: Error>(self, code: i64) -> Result<Refusal, E> {
                let code = u16::try_from(code).unwrap_or(u16::MAX);
                Ok(Refusal::with(refusing(code).map_err(E::custom)?, None))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Refusal, A::Error> {
                checked::<RefusalKeys, _, _>(de::value::MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(RefusalVisitor)
    }
}
