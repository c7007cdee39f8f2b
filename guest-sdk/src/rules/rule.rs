//! Rules that make another number of a number.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};

use super::template::Template;
use super::{Expr, Lengths};
use crate::checked;

/// One translation of a number: a regular expression and what it becomes, or a prefix that is
/// exchanged.
///
/// ```
/// use intertrunk_sdk::rules::{Cut, Rule};
///
/// let rule = Rule::replace(r"^9(\d{10})$", "+1$1").unwrap();
/// assert_eq!(rule.apply("92065550123").as_deref(), Some("+12065550123"));
/// let rule = Rule::from(Cut { prefix: "00".into(), strip: 2, add: "+".into(), ..Cut::default() });
/// assert_eq!(rule.apply("00442071234567").as_deref(), Some("+442071234567"));
/// assert_eq!(rule.apply("0100"), None);
/// ```
///
/// In settings it is `{ match = '^9(\d{10})$', to = '+1$1' }` or
/// `{ prefix = "00", strip = 2, add = "+" }`.
#[derive(Clone, Debug)]
pub struct Rule {
    name: Option<Box<str>>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Replace { expr: Expr, to: Template },
    Cut(Cut),
}

/// A prefix that is exchanged for another.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// What the number begins with; anything if it is empty.
    pub prefix: Box<str>,
    /// How long the number is.
    pub length: Lengths,
    /// Characters taken from its beginning.
    pub strip: usize,
    /// What is put there.
    pub add: Box<str>,
}

impl Rule {
    /// Puts `to` in the place of what `expr` matches; see [`Expr::replace`].
    ///
    /// # Errors
    /// What is wrong with the expression, or a group in `to` that it does not have.
    pub fn replace(expr: &str, to: &str) -> Result<Self, String> {
        let expr = Expr::new(expr)?;
        expr.check_groups(to)?;
        let to = expr.template(to);
        Ok(Rule::from(Kind::Replace { expr, to }))
    }

    /// Has a name, for explanations.
    pub fn named(self, name: impl Into<Box<str>>) -> Self {
        Rule {
            name: Some(name.into()),
            ..self
        }
    }

    /// The new number, or `None` if the rule is not about this number.
    pub fn apply(&self, number: &str) -> Option<String> {
        match &self.kind {
            Kind::Replace { expr, to } => expr.replace_by(number, to),
            Kind::Cut(cut) => {
                let meant = number.starts_with(&*cut.prefix) && cut.length.include(number);
                let rest = number.get(cut.strip..).filter(|_| meant)?;
                Some([&cut.add, rest].concat())
            }
        }
    }
}

impl From<Kind> for Rule {
    fn from(kind: Kind) -> Self {
        Rule { name: None, kind }
    }
}

impl From<Cut> for Rule {
    fn from(cut: Cut) -> Self {
        Kind::Cut(cut).into()
    }
}

/// Rules in order, of which the first that is about a number decides.
///
/// ```
/// use intertrunk_sdk::rules::{Rule, Rules};
///
/// let rules = Rules::from(vec![
///     Rule::replace(r"^(\d{4})$", "+1425555$1").unwrap(),
///     Rule::replace(r"^9(\d+)$", "+$1").unwrap(),
/// ]);
/// assert_eq!(rules.rewrite("0100"), "+14255550100");
/// assert_eq!(rules.rewrite("9442071234567"), "+442071234567");
/// assert_eq!(rules.rewrite("alice"), "alice");
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// The number, rewritten by the first rule that is about it; else as it is.
    pub fn rewrite<'n>(&self, number: &'n str) -> Cow<'n, str> {
        match self.find(number) {
            Some((_, rewritten)) => Cow::Owned(rewritten),
            None => Cow::Borrowed(number),
        }
    }

    /// The first rule that is about this number, and what it makes of it.
    pub fn find(&self, number: &str) -> Option<(&Rule, String)> {
        self.0
            .iter()
            .find_map(|rule| Some((rule, rule.apply(number)?)))
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        Rules(rules)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleKeys {
    #[serde(default)]
    name: Option<Box<str>>,
    #[serde(default, rename = "match")]
    expr: Option<Expr>,
    #[serde(default)]
    to: Option<Box<str>>,
    #[serde(default)]
    prefix: Option<Box<str>>,
    #[serde(default)]
    length: Option<u16>,
    #[serde(default)]
    length_min: Option<u16>,
    #[serde(default)]
    length_max: Option<u16>,
    #[serde(default)]
    strip: usize,
    #[serde(default)]
    add: Box<str>,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<RuleKeys, _, _>(deserializer)
    }
}

impl TryFrom<RuleKeys> for Rule {
    type Error = String;

    fn try_from(keys: RuleKeys) -> Result<Self, String> {
        let name = keys.name.clone();
        let kind = Kind::try_from(keys)?;
        Ok(Rule { name, kind })
    }
}

impl TryFrom<RuleKeys> for Kind {
    type Error = String;

    fn try_from(keys: RuleKeys) -> Result<Self, String> {
        let RuleKeys {
            expr,
            to,
            prefix,
            length,
            length_min,
            length_max,
            strip,
            add,
            ..
        } = keys;
        let length = Lengths::read(length, length_min, length_max)?;
        let cuts = prefix.is_some() || length != Lengths::default() || strip > 0 || !add.is_empty();
        match (expr, to) {
            (Some(_), _) | (_, Some(_)) if cuts => Err(
                "these are two rules in one; write `match` and `to`, or `prefix`, `length`, \
                 `strip` and `add`"
                    .to_owned(),
            ),
            (Some(expr), Some(to)) => {
                expr.check_groups(&to)?;
                let to = expr.template(&to);
                Ok(Kind::Replace { expr, to })
            }
            (Some(_), None) => Err("there is no `to` for this `match`; add it".to_owned()),
            (None, Some(_)) => Err("there is no `match` for this `to`; add it".to_owned()),
            (None, None) if !cuts => {
                Err("this rule says nothing; write `match` and `to`".to_owned())
            }
            (None, None) => Ok(Kind::Cut(Cut {
                prefix: prefix.unwrap_or_default(),
                length,
                strip,
                add,
            })),
        }
    }
}

/// As an explanation says it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name:?}: ")?;
        }
        match &self.kind {
            Kind::Replace { expr, to } => write!(f, "match {expr} to {to}"),
            Kind::Cut(Cut {
                prefix,
                length,
                strip,
                add,
            }) => write!(f, "prefix {prefix:?}{length} strip {strip} add {add:?}"),
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
