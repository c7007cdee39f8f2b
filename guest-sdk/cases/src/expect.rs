//! What a policy must decide, what it decided, and the difference.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::case::headers;
use crate::facts::Facts;
use crate::fixture::{Health, TrunkFixture};
use crate::party::Party;

/// What the policy must decide. Only what is written is compared.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// `{ connect = ["gw-a", { trunk = "gw-b", callee = "100" }] }`: these candidates, in order.
    Connect(Vec<ExpectedCandidate>),
    /// `{ reject = 404 }`
    Reject(u16),
    /// `{ redirect = ["sip:alice@example.com"] }`
    Redirect(Vec<String>),
    /// `{ inquire = [{ source = "lnp", key = "+1425…" }] }`
    Inquire(Vec<LookUp>),
    /// `"pass"`
    Pass,
}

/// One candidate that must be there: a trunk's name, or a table with these keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectedCandidate {
    /// Egress trunk.
    pub trunk: String,
    /// Called number as sent.
    pub callee: Option<String>,
    /// Caller as presented.
    pub caller: Option<String>,
    /// Display name as presented.
    pub caller_name: Option<String>,
    /// Whether the caller's identity is withheld.
    pub withhold: Option<bool>,
    /// Headers that must be set, with these values.
    pub headers: Vec<(String, String)>,
    /// Headers that must be removed.
    pub removed: Vec<String>,
    /// Group; candidates of one group ring together.
    pub group: Option<u8>,
    /// What a minute costs there.
    pub price: Option<String>,
}

/// One look-up in an outside source.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookUp {
    /// Name of the source.
    pub source: String,
    /// Key.
    pub key: String,
}

/// What the policy decided, complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A plan.
    Connect {
        /// Its candidates, in order.
        candidates: Vec<OutcomeCandidate>,
        /// Its tags.
        tags: Vec<(String, String)>,
    },
    /// A final code.
    Reject(u16),
    /// URIs to send the caller to, as a [`Party`] writes them.
    Redirect(Vec<String>),
    /// Look-ups to make.
    Inquire(Vec<LookUp>),
    /// The next policy's.
    Pass,
    /// No verdict: the policy trapped, ran out of time, or was refused.
    Fault(String),
}

/// One candidate of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutcomeCandidate {
    /// Egress trunk.
    pub trunk: String,
    /// Called number; `None` if left as received.
    pub callee: Option<String>,
    /// Caller; `None` if left as received.
    pub caller: Option<String>,
    /// Display name of the caller, if the policy set the caller.
    pub caller_name: Option<String>,
    /// Whether the caller's identity is withheld.
    pub withhold: bool,
    /// Headers set.
    pub headers: Vec<(String, String)>,
    /// Headers removed.
    pub removed: Vec<String>,
    /// Group.
    pub group: u8,
    /// What a minute costs there, by the key `price` of `extra`.
    pub price: Option<String>,
}

impl Expect {
    /// What differs, a line each; `None` if nothing does.
    pub fn diff(&self, got: &Outcome) -> Option<String> {
        match (self, got) {
            (Expect::Connect(expected), Outcome::Connect { candidates, .. }) => {
                candidates_diff(expected, candidates)
            }
            (Expect::Reject(expected), Outcome::Reject(got)) if expected == got => None,
            (Expect::Redirect(expected), Outcome::Redirect(got))
                if expected
                    .iter()
                    .map(|uri| Party::read(uri).to_string())
                    .eq(got.iter().cloned()) =>
            {
                None
            }
            (Expect::Inquire(expected), Outcome::Inquire(got)) if expected == got => None,
            (Expect::Pass, Outcome::Pass) => None,
            _ => Some(format!("got {got}, expected {self}")),
        }
    }

    /// Trunks that it names.
    pub(crate) fn trunks(&self) -> impl Iterator<Item = &str> {
        let candidates = match self {
            Expect::Connect(candidates) => candidates.as_slice(),
            Expect::Reject(_) | Expect::Redirect(_) | Expect::Inquire(_) | Expect::Pass => &[],
        };
        candidates.iter().map(|candidate| candidate.trunk.as_str())
    }
}

fn candidates_diff(expected: &[ExpectedCandidate], got: &[OutcomeCandidate]) -> Option<String> {
    let same_trunks = expected.len() == got.len()
        && expected
            .iter()
            .zip(got)
            .all(|(expected, got)| expected.trunk == got.trunk);
    if !same_trunks {
        return Some(format!(
            "got connect {}, expected connect {}",
            list(got.iter().map(|candidate| &candidate.trunk)),
            list(expected.iter().map(|candidate| &candidate.trunk)),
        ));
    }
    let lines: Vec<String> = expected
        .iter()
        .zip(got)
        .flat_map(|(expected, got)| expected.diff(got))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

impl ExpectedCandidate {
    /// A candidate of which only the trunk is compared.
    pub fn on(trunk: &str) -> Self {
        ExpectedCandidate {
            trunk: trunk.to_owned(),
            callee: None,
            caller: None,
            caller_name: None,
            withhold: None,
            headers: Vec::new(),
            removed: Vec::new(),
            group: None,
            price: None,
        }
    }

    /// What differs, a line each.
    fn diff(&self, got: &OutcomeCandidate) -> Vec<String> {
        let mut lines = Vec::new();
        let mut compare = |what: &str, expected: Option<String>, got: Option<String>| {
            if let Some(expected) = expected.filter(|expected| got.as_ref() != Some(expected)) {
                let got = got.unwrap_or_else(|| "absent".to_owned());
                lines.push(format!(
                    "{}: {what} is {got}, expected {expected}",
                    self.trunk
                ));
            }
        };
        compare("callee", self.callee.clone(), got.callee.clone());
        compare("caller", self.caller.clone(), got.caller.clone());
        compare(
            "caller name",
            self.caller_name.clone(),
            got.caller_name.clone(),
        );
        compare(
            "withhold",
            self.withhold.map(|it| it.to_string()),
            Some(got.withhold.to_string()),
        );
        compare(
            "group",
            self.group.map(|it| it.to_string()),
            Some(got.group.to_string()),
        );
        compare("price", self.price.clone(), got.price.clone());
        for (name, value) in &self.headers {
            let mut set = got
                .headers
                .iter()
                .filter(|(set, _)| set.eq_ignore_ascii_case(name));
            if !set.clone().any(|(_, set)| set == value) {
                let other = set.next().map(|(_, other)| other.clone());
                compare(&format!("header {name}"), Some(value.clone()), other);
            }
        }
        for name in &self.removed {
            if !got
                .removed
                .iter()
                .any(|removed| removed.eq_ignore_ascii_case(name))
            {
                lines.push(format!("{}: header {name} is not removed", self.trunk));
            }
        }
        lines
    }
}

impl Outcome {
    /// The plan as the host carries it out among these trunks.
    pub(crate) fn carried_out(mut self, trunks: &[TrunkFixture], facts: &Facts) -> Self {
        let Outcome::Connect { candidates, .. } = &mut self else {
            return self;
        };
        let on = |candidate: &OutcomeCandidate| trunks.iter().find(|it| it.name == candidate.trunk);
        candidates.retain(|candidate| on(candidate).is_none_or(TrunkFixture::is_usable));
        candidates.sort_by_key(|it| on(it).is_some_and(|it| it.health == Health::Degraded));
        for candidate in candidates {
            candidate
                .callee
                .get_or_insert_with(|| facts.callee.user.clone());
            candidate
                .caller
                .get_or_insert_with(|| facts.caller.user.clone());
        }
        self
    }

    /// A line if the plan lacks this tag.
    pub(crate) fn tag_diff(&self, name: &str, value: &str) -> Option<String> {
        let Outcome::Connect { tags, .. } = self else {
            return Some(format!(
                "got {self}, expected a plan tagged {name} = {value}"
            ));
        };
        let got = tags
            .iter()
            .find(|(tag, _)| tag == name)
            .map(|(_, value)| value.as_str());
        (got != Some(value)).then(|| {
            format!(
                "tag {name} is {}, expected {value}",
                got.unwrap_or("absent")
            )
        })
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Connect(candidates) => {
                write!(f, "connect {}", list(candidates.iter().map(|it| &it.trunk)))
            }
            Expect::Reject(code) => write!(f, "reject {code}"),
            Expect::Redirect(targets) => write!(f, "redirect {}", list(targets)),
            Expect::Inquire(look_ups) => write!(f, "inquire {}", list(look_ups)),
            Expect::Pass => f.write_str("pass"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Connect { candidates, .. } => {
                write!(f, "connect {}", list(candidates.iter().map(|it| &it.trunk)))
            }
            Outcome::Reject(code) => write!(f, "reject {code}"),
            Outcome::Redirect(targets) => write!(f, "redirect {}", list(targets)),
            Outcome::Inquire(look_ups) => write!(f, "inquire {}", list(look_ups)),
            Outcome::Pass => f.write_str("pass"),
            Outcome::Fault(fault) => write!(f, "no verdict ({fault})"),
        }
    }
}

impl fmt::Display for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.key)
    }
}

/// `a, b, c`, or `nowhere`.
fn list(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() {
        "nowhere".to_owned()
    } else {
        items.join(", ")
    }
}

impl<'de> Deserialize<'de> for ExpectedCandidate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The keys of a candidate that is written as a table.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            trunk: String,
            #[serde(default)]
            callee: Option<String>,
            #[serde(default)]
            caller: Option<String>,
            #[serde(default)]
            caller_name: Option<String>,
            #[serde(default)]
            withhold: Option<bool>,
            #[serde(default, deserialize_with = "headers")]
            headers: Vec<(String, String)>,
            #[serde(default)]
            removed: Vec<String>,
            #[serde(default)]
            group: Option<u8>,
            #[serde(default)]
            price: Option<String>,
        }

        struct TrunkOrTable;

        impl<'de> Visitor<'de> for TrunkOrTable {
            type Value = ExpectedCandidate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a trunk's name, or a table such as { trunk = \"gw-a\" }")
            }

            fn visit_str<E: de::Error>(self, trunk: &str) -> Result<Self::Value, E> {
                Ok(ExpectedCandidate::on(trunk))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let keys = Keys::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ExpectedCandidate {
                    trunk: keys.trunk,
                    callee: keys.callee,
                    caller: keys.caller,
                    caller_name: keys.caller_name,
                    withhold: keys.withhold,
                    headers: keys.headers,
                    removed: keys.removed,
                    group: keys.group,
                    price: keys.price,
                })
            }
        }

        deserializer.deserialize_any(TrunkOrTable)
    }
}
