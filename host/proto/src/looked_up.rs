//! What a policy asked before it decided, and what it was told: part of the answer to "why?".

use std::fmt;

use serde::{Serialize, Serializer};

use crate::ask::Answered;
use crate::trunk::Health;

/// One look-up of a policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "in", rename_all = "lowercase")]
pub enum LookedUp {
    /// The state of a trunk.
    Trunk {
        /// Its name.
        key: String,
        /// Its health; `None`: no such trunk, or none that was granted.
        #[serde(serialize_with = "in_words")]
        answer: Option<Health>,
    },
    /// All trunks.
    Trunks {
        /// How many it was told of.
        answer: usize,
    },
    /// Rows of a table.
    Table {
        /// Its name.
        table: String,
        /// What was looked up.
        key: String,
        /// Which keys would do.
        by: By,
        /// The rows found, columns after the key; none is a miss.
        answer: Vec<String>,
    },
    /// An outside source.
    Source {
        /// Its name.
        source: String,
        /// What was looked up.
        key: String,
        /// What it said; `None`: it gave no answer.
        answer: Option<String>,
        /// Why there is no answer.
        failed: Option<String>,
    },
}

/// Which rows of a table a look-up finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// That of this very key.
    Exact,
    /// That of the longest prefix.
    LongestPrefix,
    /// Those of all prefixes.
    Prefixes,
}

fn in_words<S: Serializer>(health: &Option<Health>, to: S) -> Result<S::Ok, S::Error> {
    match health {
        Some(health) => to.collect_str(health),
        None => to.serialize_none(),
    }
}

/// Bytes of an answer that are shown.
const SHOWN: usize = 120;

impl From<&Answered> for LookedUp {
    fn from(answered: &Answered) -> LookedUp {
        let cut = |text: &String| text[..text.floor_char_boundary(SHOWN)].to_owned();
        LookedUp::Source {
            source: answered.source.clone(),
            key: answered.key.clone(),
            answer: answered.outcome.as_ref().ok().map(cut),
            failed: answered.outcome.as_ref().err().map(ToString::to_string),
        }
    }
}

impl fmt::Display for LookedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookedUp::Trunk { key, answer } => match answer {
                Some(health) => write!(f, "trunk {key}: {health}"),
                None => write!(f, "trunk {key}: not there"),
            },
            LookedUp::Trunks { answer } => write!(f, "all trunks: {answer}"),
            LookedUp::Table {
                table,
                key,
                by,
                answer,
            } => {
                let by = match by {
                    By::Exact => "",
                    By::LongestPrefix => " by its longest prefix",
                    By::Prefixes => " by all prefixes",
                };
                write!(f, "table {table}, {key}{by}: ")?;
                match answer.is_empty() {
                    true => f.write_str("nothing"),
                    false => f.write_str(&answer.join("; ")),
                }
            }
            LookedUp::Source {
                source,
                key,
                answer,
                failed,
            } => {
                let said = answer.as_ref().or(failed.as_ref());
                write!(
                    f,
                    "source {source}, {key}: {}",
                    said.map_or("", String::as_str)
                )
            }
        }
    }
}
