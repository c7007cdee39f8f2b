//! What is said of the way out: timers, codes, what is shown of the caller, headers. The keys are the
//! same for a place of a route, the route, a trunk, a site and all.

use std::collections::BTreeMap;
use std::fmt;

use intertrunk_sdk::{Media, OneOrMany};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::values::{Duration, refusing};

/// Codes that a trunk fails over on unless something else is configured, as the host has it.
const FAILOVER: [u16; 5] = [408, 500, 502, 503, 504];

/// Codes that `"any"` stands for.
const ANY: [u16; 18] = [
    400, 403, 404, 408, 410, 480, 484, 486, 488, 500, 502, 503, 504, 580, 600, 603, 604, 606,
];

/// Headers that are the host's: a candidate that touches one is refused.
const HOSTS_OWN: [&str; 22] = [
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "contact",
    "max-forwards",
    "route",
    "record-route",
    "content-length",
    "content-type",
    "content-encoding",
    "content-disposition",
    "mime-version",
    "require",
    "proxy-require",
    "supported",
    "replaces",
    "refer-to",
    "session-expires",
    "min-se",
    "join",
];

/// Settings of the way out; what is absent is said elsewhere.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Egress {
    pub(crate) codes: Option<Vec<CodeRule>>,
    pub(crate) failover: Option<Vec<u16>>,
    pub(crate) no_progress_ms: Option<u32>,
    pub(crate) ring_ms: Option<u32>,
    pub(crate) caller_id: Option<Box<str>>,
    pub(crate) caller_name: Option<Box<str>>,
    pub(crate) withhold: Option<bool>,
    pub(crate) set_headers: Option<Vec<(Box<str>, Box<str>)>>,
    pub(crate) remove_headers: Option<Vec<Box<str>>>,
    pub(crate) pass_params: Option<Vec<Box<str>>>,
    pub(crate) media: Option<Media>,
}

/// Keys of a table that has those of egress, too. Written out by a macro, since serde cannot both
/// flatten one struct into another and refuse keys that it does not know.
macro_rules! keys_with_egress {
    ($(#[$attr:meta])* struct $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$attr])*
        #[derive(::serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            $($(#[$of_field])* $field: $type,)*
            #[serde(default)]
            codes: Option<Vec<$crate::egress::CodeRule>>,
            #[serde(default)]
            failover: Option<Vec<u16>>,
            #[serde(default)]
            no_progress: Option<$crate::values::Duration>,
            #[serde(default)]
            ring: Option<$crate::values::Duration>,
            #[serde(default)]
            caller_id: Option<Box<str>>,
            #[serde(default)]
            caller_name: Option<Box<str>>,
            #[serde(default)]
            withhold: Option<bool>,
            #[serde(default)]
            set_headers: Option<::std::collections::BTreeMap<Box<str>, Box<str>>>,
            #[serde(default)]
            remove_headers: Option<$crate::values::Names>,
            #[serde(default)]
            pass_params: Option<$crate::values::Names>,
            #[serde(default)]
            media: Option<$crate::egress::MediaKey>,
        }

        impl $name {
            /// Takes out what is said of the way out, if anything is.
            fn egress(&mut self) -> Result<Option<Box<$crate::egress::Egress>>, String> {
                $crate::egress::EgressKeys {
                    codes: self.codes.take(),
                    failover: self.failover.take(),
                    no_progress: self.no_progress.take(),
                    ring: self.ring.take(),
                    caller_id: self.caller_id.take(),
                    caller_name: self.caller_name.take(),
                    withhold: self.withhold.take(),
                    set_headers: self.set_headers.take(),
                    remove_headers: self.remove_headers.take(),
                    pass_params: self.pass_params.take(),
                    media: self.media.take(),
                }
                .check()
            }
        }
    };
}
pub(crate) use keys_with_egress;

/// The keys as they are written.
pub(crate) struct EgressKeys {
    pub(crate) codes: Option<Vec<CodeRule>>,
    pub(crate) failover: Option<Vec<u16>>,
    pub(crate) no_progress: Option<Duration>,
    pub(crate) ring: Option<Duration>,
    pub(crate) caller_id: Option<Box<str>>,
    pub(crate) caller_name: Option<Box<str>>,
    pub(crate) withhold: Option<bool>,
    pub(crate) set_headers: Option<BTreeMap<Box<str>, Box<str>>>,
    pub(crate) remove_headers: Option<OneOrMany<Box<str>>>,
    pub(crate) pass_params: Option<OneOrMany<Box<str>>>,
    pub(crate) media: Option<MediaKey>,
}

impl EgressKeys {
    pub(crate) fn check(self) -> Result<Option<Box<Egress>>, String> {
        let at = |key: &str, why: String| format!("`{key}`: {why}");
        let no_progress = self.no_progress.map(|it| it.within("100ms", "3m"));
        let ring = self.ring.map(|it| it.within("1s", "10m"));
        let failures = self.failover.iter().flatten();
        if let Some(code) = failures.into_iter().find(|it| !(300..700).contains(*it)) {
            return Err(format!(
                "`failover`: {code} is no failure; use codes from 300 to 699"
            ));
        }
        if let Some(id) = self.caller_id.as_deref().filter(|it| !is_caller_id(it)) {
            let remedy = "write digits, with or without + and ;ext=";
            return Err(format!("`caller_id`: {id:?} is no number; {remedy}"));
        }
        let set = self.set_headers.iter().flatten().map(|(name, _)| name);
        let removed = self.remove_headers.iter().flat_map(|it| &it.0);
        if let Some(name) = set.chain(removed).find(|name| !is_free(name)) {
            let remedy = "headers that make the dialog are not for policies";
            return Err(format!(
                "the header {name:?} cannot be set or removed; {remedy}"
            ));
        }
        let egress = Egress {
            codes: self.codes,
            failover: self.failover,
            no_progress_ms: no_progress
                .transpose()
                .map_err(|it| at("no_progress", it))?,
            ring_ms: ring.transpose().map_err(|it| at("ring", it))?,
            caller_id: self.caller_id,
            caller_name: self.caller_name,
            withhold: self.withhold,
            set_headers: self.set_headers.map(|it| it.into_iter().collect()),
            remove_headers: self.remove_headers.map(|it| it.0),
            pass_params: self.pass_params.map(|it| it.0),
            media: self.media.map(|it| it.0),
        };
        Ok((egress != Egress::default()).then(|| Box::new(egress)))
    }
}

/// `[+]digits[;ext=digits]`
fn is_caller_id(text: &str) -> bool {
    let (number, ext) = text.split_once(";ext=").unwrap_or((text, "0"));
    let digits = number.strip_prefix('+').unwrap_or(number);
    [digits, ext]
        .iter()
        .all(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A header name (RFC 3261 §25.1, token) that is not the host's.
fn is_free(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    !name.is_empty()
        && name.bytes().all(is_token)
        && !HOSTS_OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Another code for the caller.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeRule {
    pub(crate) from: From,
    #[serde(default)]
    pub(crate) cause: Option<u16>,
    #[serde(deserialize_with = "code_to")]
    pub(crate) to: u16,
}

/// The codes that a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct From(pub(crate) Vec<u16>);

fn code_to<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    refusing(u16::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for From {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromVisitor;

        impl<'de> serde::de::Visitor<'de> for FromVisitor {
            type Value = From;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code, a list of codes, or \"any\"")
            }

            fn visit_i64<E: Error>(self, code: i64) -> Result<From, E> {
                let code = u16::try_from(code).unwrap_or(u16::MAX);
                refusing(code)
                    .map(|code| From(vec![code]))
                    .map_err(E::custom)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<From, E> {
                match text {
                    "any" => Ok(From(ANY.to_vec())),
                    _ => Err(E::custom(format!(
                        "{text:?} is no code; write a number, or \"any\""
                    ))),
                }
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<From, A::Error> {
                let mut codes = Vec::new();
                while let Some(code) = seq.next_element::<u16>()? {
                    codes.push(refusing(code).map_err(A::Error::custom)?);
                }
                Ok(From(codes))
            }
        }

        deserializer.deserialize_any(FromVisitor)
    }
}

/// `media = "relay"`
#[derive(Clone, Copy, Debug)]
pub(crate) struct MediaKey(Media);

impl<'de> Deserialize<'de> for MediaKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match &*String::deserialize(deserializer)? {
            "direct" => Ok(MediaKey(Media::Direct)),
            "relay" => Ok(MediaKey(Media::Relay)),
            other => Err(D::Error::custom(format!(
                "{other:?} is no way for media; use \"direct\" or \"relay\""
            ))),
        }
    }
}

/// The settings that hold for one candidate, those that win first.
#[derive(Default)]
pub(crate) struct Layers<'a>(Vec<&'a Egress>);

impl<'a> Layers<'a> {
    /// Adds settings that hold where none before them says otherwise.
    pub(crate) fn push(&mut self, egress: Option<&'a Egress>) {
        self.0.extend(egress);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the first says that says anything.
    pub(crate) fn get<T>(&self, key: impl Fn(&'a Egress) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|egress| key(egress))
    }

    /// Codes to go on after, if they differ from those of the trunk: a code that becomes another does
    /// as that one does, whatever the caller gets in the end.
    pub(crate) fn failover(&self) -> Option<Vec<u16>> {
        let written = self.get(|it| it.failover.as_ref());
        let maps = self.get(|it| it.codes.as_deref()).unwrap_or_default();
        let mut moved = maps.iter().filter(|map| map.cause.is_none()).peekable();
        if written.is_none() && moved.peek().is_none() {
            return None;
        }
        let base: &[u16] = written.map_or(&FAILOVER, |it| it);
        let mut codes = base.to_vec();
        let mut seen = Vec::new();
        for map in moved {
            for from in map.from.0.iter().filter(|from| **from != map.to) {
                if seen.contains(from) {
                    continue;
                }
                seen.push(*from);
                match (base.contains(&map.to), codes.contains(from)) {
                    (true, false) => codes.push(*from),
                    (false, true) => codes.retain(|code| code != from),
                    (true, true) | (false, false) => {}
                }
            }
        }
        Some(codes)
    }
}
