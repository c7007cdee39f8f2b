//! Which numbers are meant: by prefix, or by regular expression.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::{Expr, Lengths};
use crate::{OneOrMany, checked};

/// Which numbers are meant: those with certain beginnings, those that an expression matches, or any;
/// but for those with other beginnings or of another length.
///
/// ```
/// use intertrunk_sdk::rules::{Expr, Pattern};
///
/// let national = Pattern::prefixes(["+1"]).except(["+1900"]);
/// assert!(national.matches("+14255550100"));
/// assert!(!national.matches("+19005550100"));
/// let extensions = Pattern::from(Expr::new(r"^\d{4}$").unwrap());
/// assert!(extensions.matches("0100"));
/// assert!(Pattern::any().matches("alice"));
/// ```
///
/// In settings it is a table with the keys of [`PatternKeys`]: `{ prefix = "+1", except = "+1900" }`.
#[derive(Clone, Debug)]
pub struct Pattern {
    test: Test,
    except: Texts,
    length: Lengths,
}

type Texts = Box<[Box<str>]>;

#[derive(Clone, Debug)]
enum Test {
    Any,
    Prefixes(Texts),
    Expr(Box<Expr>),
}

/// A pattern as it is written, for entries that have these keys among their own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternKeys {
    /// Beginnings of the numbers that are meant.
    #[serde(default)]
    pub prefix: OneOrMany<Box<str>>,
    /// A regular expression instead.
    #[serde(default, rename = "match")]
    pub expr: Option<Expr>,
    /// Beginnings of numbers that are not meant after all.
    #[serde(default)]
    pub except: OneOrMany<Box<str>>,
    /// Characters that the number has.
    #[serde(default)]
    pub length: Option<u16>,
    /// Characters that it has at least.
    #[serde(default)]
    pub length_min: Option<u16>,
    /// Characters that it has at most.
    #[serde(default)]
    pub length_max: Option<u16>,
}

impl Pattern {
    /// Every number.
    pub fn any() -> Self {
        Pattern {
            test: Test::Any,
            except: Texts::default(),
            length: Lengths::default(),
        }
    }

    /// Numbers that begin with one of these.
    pub fn prefixes<T: Into<Box<str>>>(prefixes: impl IntoIterator<Item = T>) -> Self {
        Pattern {
            test: Test::Prefixes(prefixes.into_iter().map(Into::into).collect()),
            ..Pattern::any()
        }
    }

    /// But not those that begin with one of these.
    pub fn except<T: Into<Box<str>>>(self, prefixes: impl IntoIterator<Item = T>) -> Self {
        Pattern {
            except: prefixes.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// But only those of such a length.
    pub fn length(self, length: Lengths) -> Self {
        Pattern { length, ..self }
    }

    /// Whether this number is meant.
    pub fn matches(&self, number: &str) -> bool {
        let begins_with = |any: &[Box<str>]| any.iter().any(|it| number.starts_with(&**it));
        let meant = match &self.test {
            Test::Any => true,
            Test::Prefixes(prefixes) => begins_with(prefixes),
            Test::Expr(expr) => expr.is_match(number),
        };
        meant && !begins_with(&self.except) && self.length.include(number)
    }

    /// What each number that is meant begins with: one of these.
    pub fn starts(&self) -> impl Iterator<Item = &str> {
        let starts: &[Box<str>] = match &self.test {
            Test::Any => &[],
            Test::Prefixes(prefixes) => prefixes,
            Test::Expr(expr) => expr.starts(),
        };
        let anything = starts.is_empty().then_some("");
        starts.iter().map(|start| &**start).chain(anything)
    }
}

impl From<Expr> for Pattern {
    fn from(expr: Expr) -> Self {
        Pattern {
            test: Test::Expr(Box::new(expr)),
            ..Pattern::any()
        }
    }
}

impl TryFrom<PatternKeys> for Pattern {
    type Error = &'static str;

    fn try_from(keys: PatternKeys) -> Result<Self, Self::Error> {
        let pattern = match keys.expr {
            Some(_) if !keys.prefix.0.is_empty() => {
                return Err("there is both a prefix and a match; leave one out");
            }
            Some(expr) => expr.into(),
            None if keys.prefix.0.is_empty() => Pattern::any(),
            None => Pattern::prefixes(keys.prefix.0),
        };
        let length = Lengths::read(keys.length, keys.length_min, keys.length_max)?;
        Ok(pattern.except(keys.except.0).length(length))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<PatternKeys, _, _>(deserializer)
    }
}

impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Expr::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// As an explanation says it.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Any => f.write_str("any number")?,
            Test::Prefixes(prefixes) => write!(f, "prefix {}", prefixes.join(", "))?,
            Test::Expr(expr) => write!(f, "match {expr}")?,
        }
        match &*self.except {
            [] => {}
            except => write!(f, " except {}", except.join(", "))?,
        }
        self.length.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Expr::new(text).unwrap().into()
    }

    fn starts_of(text: &str) -> Vec<String> {
        pattern(text).starts().map(str::to_owned).collect()
    }

    #[test]
    fn an_anchored_expression_knows_its_beginnings() {
        assert_eq!(starts_of(r"^\+1425(55|66)"), ["+142555", "+142566"]);
        assert_eq!(starts_of("^(911|112)$"), ["911", "112"]);
        assert_eq!(starts_of("^0[1-3]"), ["01", "02", "03"]);
    }

    #[test]
    fn an_expression_that_may_match_anywhere_knows_none() {
        for text in ["425", r"^\+1|99", "(?m)^5"] {
            assert_eq!(starts_of(text), [""], "{text}");
        }
    }

    #[test]
    fn beginnings_never_hide_a_match() {
        let texts = [
            r"^\+1|99",
            "^.*5",
            "^(5)?6?",
            r"^\d{7}$",
            "(?i)^a",
            "^[^+]",
            "^$",
            "^*5",
            r"^[\x80-\xff]",
        ];
        for text in texts {
            let (expr, regex) = (
                Expr::new(text).unwrap(),
                regex::bytes::RegexBuilder::new(text)
                    .unicode(false)
                    .build()
                    .unwrap(),
            );
            for number in [
                "", "5", "56", "6", "199", "+1", "1234567", "A", "alice", "+4455", "é",
            ] {
                let expected = regex.is_match(number.as_bytes());
                assert_eq!(expr.is_match(number), expected, "{text} {number}");
            }
        }
    }

    #[test]
    fn beginnings_are_few() {
        let starts = starts_of(r"^\+1\d{10}$");
        assert!((1..=16).contains(&starts.len()), "{starts:?}");
    }

    #[test]
    fn large_expressions_are_refused() {
        let why = Expr::new(r"^(\d{200}){200}$").unwrap_err();
        assert!(why.contains("size limit"), "{why}");
    }
}
