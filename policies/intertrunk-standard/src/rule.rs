//! One rule that makes another number of a number.

use std::fmt;

use intertrunk_sdk::checked;
use serde::{Deserialize, Deserializer};

use crate::pattern::Expr;

/// `{ match = '^9(\d{10})$', to = '+1$1' }` or `{ prefix = "9", strip = 1, add = "+1" }`.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    Replace {
        expr: Expr,
        to: String,
    },
    Cut {
        prefix: String,
        /// Characters that the number has, if that is asked for.
        length: Option<usize>,
        /// Characters taken from its beginning.
        strip: usize,
        /// What is put there.
        add: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleKeys {
    #[serde(default, rename = "match")]
    expr: Option<Expr>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    length: Option<usize>,
    #[serde(default)]
    strip: usize,
    #[serde(default)]
    add: String,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<RuleKeys, _, _>(deserializer)
    }
}

impl TryFrom<RuleKeys> for Rule {
    type Error = String;

    fn try_from(keys: RuleKeys) -> Result<Self, String> {
        let RuleKeys {
            expr,
            to,
            prefix,
            length,
            strip,
            add,
        } = keys;
        let cuts = prefix.is_some() || length.is_some() || strip > 0 || !add.is_empty();
        match (expr, to) {
            (Some(_), _) | (_, Some(_)) if cuts => Err(
                "these are two rules in one; write `match` and `to`, or `prefix`, `length`, \
                     `strip` and `add`"
                    .to_owned(),
            ),
            (Some(expr), Some(to)) => {
                expr.check_groups(&to)?;
                Ok(Rule::Replace { expr, to })
            }
            (Some(_), None) => Err("there is no `to` for this `match`; add it".to_owned()),
            (None, Some(_)) => Err("there is no `match` for this `to`; add it".to_owned()),
            (None, None) if !cuts => {
                Err("this rule says nothing; write `match` and `to`".to_owned())
            }
            (None, None) => Ok(Rule::Cut {
                prefix: prefix.unwrap_or_default(),
                length,
                strip,
                add,
            }),
        }
    }
}

impl Rule {
    /// The new number, or `None` if the rule is not about this number.
    pub(crate) fn apply(&self, number: &str) -> Option<String> {
        match self {
            Rule::Replace { expr, to } => expr.replace(number, to),
            Rule::Cut {
                prefix,
                length,
                strip,
                add,
            } => {
                let meant = number.starts_with(prefix.as_str())
                    && length.is_none_or(|length| number.len() == length);
                let rest = number.get(*strip..).filter(|_| meant)?;
                Some([add, rest].concat())
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Replace { expr, to } => write!(f, "match {expr} to {to}"),
            Rule::Cut {
                prefix, strip, add, ..
            } => {
                write!(f, "prefix {prefix:?} strip {strip} add {add:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn rule(text: &str) -> Result<Rule, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    fn apply(text: &str, number: &str) -> Option<String> {
        rule(text).unwrap().apply(number)
    }

    #[test]
    fn a_match_is_replaced_and_the_rest_kept() {
        assert_eq!(
            apply(
                r"match = '^9(\d{10})$'
            to = '+1$1'",
                "94255550100"
            )
            .as_deref(),
            Some("+14255550100")
        );
        assert_eq!(
            apply("match = '55'\nto = '-'", "1555").as_deref(),
            Some("1-5")
        );
        assert_eq!(
            apply(
                r"match = '^9(\d{10})$'
            to = '+1$1'",
                "9425"
            )
            .as_deref(),
            None
        );
    }

    #[test]
    fn a_cut_asks_for_prefix_and_length() {
        let cut = "prefix = '9'\nlength = 5\nstrip = 1\nadd = '+'";
        assert_eq!(apply(cut, "91234").as_deref(), Some("+1234"));
        assert_eq!(apply(cut, "912345"), None);
        assert_eq!(apply(cut, "81234"), None);
        assert_eq!(apply("strip = 9", "123"), None);
    }

    #[test]
    fn groups_that_the_pattern_lacks_are_refused() {
        assert!(rule("match = '(5)'\nto = '$1$$'").is_ok());
        assert!(rule("match = '(?<area>5)'\nto = '${area}0'").is_ok());
        assert!(
            rule("match = '(5)'\nto = '$1a'")
                .unwrap_err()
                .contains("`$1a` is no group")
        );
        assert!(rule("match = '(5)'\nto = '$2'").is_err());
    }

    #[test]
    fn halves_and_mixtures_are_refused() {
        for text in [
            "match = '5'",
            "to = '5'",
            "match = '5'\nto = '6'\nstrip = 1",
            "",
        ] {
            assert!(rule(text).is_err(), "{text}");
        }
    }
}
