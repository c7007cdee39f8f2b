//! Which numbers are meant: by prefix, or by regular expression.
//!
//! Every pattern knows the beginnings that its numbers can have, so that an index finds the few
//! patterns that may match a number among thousands.

use std::fmt;

use intertrunk_sdk::checked;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::names::OneOrMany;

/// Most memory that one compiled expression may take, bytes.
const EXPR_SIZE_MAX: usize = 128 * 1024;

/// Most beginnings that an expression is filed under: more cost memory and find little.
const STARTS_MAX: usize = 16;

/// A regular expression over the ASCII characters of a number; not anchored unless it says so.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    regex: Regex,
    text: String,
    /// What each number that matches begins with: one of these. Empty if nothing is known.
    starts: Vec<Vec<u8>>,
}

impl Expr {
    fn new(text: String) -> Result<Self, String> {
        let regex = RegexBuilder::new(&text)
            .unicode(false)
            .size_limit(EXPR_SIZE_MAX)
            .build();
        let regex = regex.map_err(|error| reason(&error))?;
        let hir = ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(&text);
        let starts = hir.ok().and_then(|hir| starts(&hir)).unwrap_or_default();
        Ok(Expr {
            regex,
            text,
            starts,
        })
    }

    /// Whether it matches somewhere in the number.
    pub(crate) fn is_match(&self, number: &str) -> bool {
        self.may_match(number) && self.regex.is_match(number.as_bytes())
    }

    /// The number with the first match replaced by `to`, in which `$1` stands for a group; `None`
    /// if nothing matches.
    pub(crate) fn replace(&self, number: &str, to: &str) -> Option<String> {
        let captures = self
            .may_match(number)
            .then(|| self.regex.captures(number.as_bytes()))??;
        let whole = captures.get_match();
        let mut replaced = number.as_bytes()[..whole.start()].to_vec();
        captures.expand(to.as_bytes(), &mut replaced);
        replaced.extend_from_slice(&number.as_bytes()[whole.end()..]);
        String::from_utf8(replaced).ok()
    }

    /// Checks that each group in `to` is one of the pattern's.
    pub(crate) fn check_groups(&self, to: &str) -> Result<(), String> {
        let known = |group: &str| match group.parse::<usize>() {
            Ok(number) => number < self.regex.captures_len(),
            Err(_) => self
                .regex
                .capture_names()
                .flatten()
                .any(|name| name == group),
        };
        let mut rest = to;
        while let Some((_, after)) = rest.split_once('$') {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let braced = after.strip_prefix('{').and_then(|it| it.split_once('}'));
            let (group, remainder) = match braced {
                Some(braced) => braced,
                None if after.starts_with('$') => ("0", &after[1..]),
                None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
            };
            if !known(group) {
                let remedy = "write `${1}` where text follows a group, and `$$` for a dollar sign";
                return Err(format!("`${group}` is no group of the pattern; {remedy}"));
            }
            rest = remainder;
        }
        Ok(())
    }

    fn may_match(&self, number: &str) -> bool {
        let number = number.as_bytes();
        self.starts.is_empty() || self.starts.iter().any(|start| number.starts_with(start))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Expr::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The literal beginnings of all that an anchored expression matches.
fn starts(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return None;
    }
    let literals = Extractor::new().limit_total(STARTS_MAX).extract(hir);
    Some(
        literals
            .literals()?
            .iter()
            .map(|literal| literal.as_bytes().to_vec())
            .collect(),
    )
}

/// In one line: the parser draws a picture, of which the last line says what is wrong.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let last = last.strip_prefix("error: ").unwrap_or(last);
    if last.contains("look-around") || last.contains("backreferences") {
        format!("this regular expression cannot be used: {last}; use `except`, or several entries")
    } else {
        format!("this is no regular expression: {last}")
    }
}

/// Which numbers are meant.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    test: Test,
    except: Vec<String>,
}

#[derive(Clone, Debug)]
enum Test {
    Any,
    Prefixes(Vec<String>),
    Expr(Expr),
}

/// A pattern as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatternKeys {
    #[serde(default)]
    pub(crate) prefix: OneOrMany<String>,
    #[serde(default, rename = "match")]
    pub(crate) expr: Option<Expr>,
    #[serde(default)]
    pub(crate) except: OneOrMany<String>,
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<PatternKeys, _, _>(deserializer)
    }
}

impl TryFrom<PatternKeys> for Pattern {
    type Error = &'static str;

    fn try_from(keys: PatternKeys) -> Result<Self, Self::Error> {
        let test = match keys.expr {
            Some(_) if !keys.prefix.0.is_empty() => {
                return Err("there is both a prefix and a match; leave one out");
            }
            Some(expr) => Test::Expr(expr),
            None if keys.prefix.0.is_empty() => Test::Any,
            None => Test::Prefixes(keys.prefix.0),
        };
        Ok(Pattern {
            test,
            except: keys.except.0,
        })
    }
}

impl Pattern {
    pub(crate) fn matches(&self, number: &str) -> bool {
        let meant = match &self.test {
            Test::Any => true,
            Test::Prefixes(prefixes) => prefixes.iter().any(|it| number.starts_with(it.as_str())),
            Test::Expr(expr) => expr.is_match(number),
        };
        meant
            && !self
                .except
                .iter()
                .any(|except| number.starts_with(except.as_str()))
    }

    /// What each number that matches begins with: one of these.
    pub(crate) fn starts(&self) -> Vec<&[u8]> {
        let starts: Vec<&[u8]> = match &self.test {
            Test::Any => Vec::new(),
            Test::Prefixes(prefixes) => prefixes.iter().map(|it| it.as_bytes()).collect(),
            Test::Expr(expr) => expr.starts.iter().map(Vec::as_slice).collect(),
        };
        if starts.is_empty() { vec![b""] } else { starts }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Any => f.write_str("any number"),
            Test::Prefixes(prefixes) => write!(f, "prefix {}", prefixes.join(", ")),
            Test::Expr(expr) => write!(f, "match {expr}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn expr(text: &str) -> Expr {
        Expr::new(text.to_owned()).unwrap()
    }

    fn starts_of(text: &str) -> Vec<String> {
        let starts = expr(text).starts.into_iter();
        starts
            .map(|start| String::from_utf8(start).unwrap())
            .collect()
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
            assert!(expr(text).starts.is_empty(), "{text}");
        }
    }

    #[test]
    fn beginnings_never_hide_a_match() {
        let texts = [
            r"^\+1|99", "^.*5", "^(5)?6?", r"^\d{7}$", "(?i)^a", "^[^+]", "^$", "^*5",
        ];
        for text in texts {
            let expr = expr(text);
            for number in [
                "", "5", "56", "6", "199", "+1", "1234567", "A", "alice", "+4455",
            ] {
                let expected = expr.regex.is_match(number.as_bytes());
                assert_eq!(expr.is_match(number), expected, "{text} {number}");
            }
        }
    }

    #[test]
    fn beginnings_are_few() {
        let starts = starts_of(r"^\+1\d{10}$");
        assert!((1..=STARTS_MAX).contains(&starts.len()), "{starts:?}");
    }

    #[test]
    fn large_expressions_are_refused() {
        assert!(
            Expr::new(r"^(\d{200}){200}$".to_owned())
                .unwrap_err()
                .contains("size limit")
        );
    }
}
