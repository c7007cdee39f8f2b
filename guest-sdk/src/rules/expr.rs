//! Regular expressions over numbers, and the beginnings that they imply.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

/// Most memory that one compiled expression may take, bytes.
const EXPR_SIZE_MAX: usize = 128 * 1024;

/// Most beginnings that an expression is filed under: more cost memory and find little.
const STARTS_MAX: usize = 16;

/// A regular expression over the ASCII characters of a number, in the syntax of the crate `regex`;
/// not anchored unless it says so. It knows what its numbers begin with, so that one that begins
/// with `^` and some digits costs no more than a prefix for the numbers that it is not about.
///
/// ```
/// use intertrunk_sdk::rules::Expr;
///
/// let outside_line = Expr::new(r"^9(\d{10})$").unwrap();
/// assert!(outside_line.is_match("92065550123"));
/// assert_eq!(outside_line.replace("92065550123", "+1$1").as_deref(), Some("+12065550123"));
/// assert_eq!(outside_line.replace("911", "+1$1"), None);
/// assert!(Expr::new("9(").unwrap_err().contains("unclosed group"));
/// ```
#[derive(Clone, Debug)]
pub struct Expr {
    regex: Regex,
    /// What each number that matches begins with: one of these. Empty if nothing is known.
    starts: Box<[Box<str>]>,
}

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, in one line; what follows a semicolon is the remedy.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(EXPR_SIZE_MAX)
            .build();
        let regex = regex.map_err(|error| reason(&error))?;
        let hir = ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(text);
        let starts = hir.ok().and_then(|hir| starts(&hir)).unwrap_or_default();
        Ok(Expr { regex, starts })
    }

    /// Whether it matches somewhere in the number.
    pub fn is_match(&self, number: &str) -> bool {
        self.may_match(number) && self.regex.is_match(number.as_bytes())
    }

    /// The number with the first match replaced by `to`, in which `$1` or `${1}` stands for a group
    /// and `$$` for a dollar sign; `None` if nothing matches.
    pub fn replace(&self, number: &str, to: &str) -> Option<String> {
        let captures = self
            .may_match(number)
            .then(|| self.regex.captures(number.as_bytes()))??;
        let whole = captures.get_match();
        let mut replaced = number.as_bytes()[..whole.start()].to_vec();
        captures.expand(to.as_bytes(), &mut replaced);
        replaced.extend_from_slice(&number.as_bytes()[whole.end()..]);
        String::from_utf8(replaced).ok()
    }

    /// What the numbers that match begin with: one of these, or anything if there are none.
    pub fn starts(&self) -> &[Box<str>] {
        &self.starts
    }

    /// Checks that each group in `to` is one of the expression's.
    pub(super) fn check_groups(&self, to: &str) -> Result<(), String> {
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
        self.starts.is_empty() || self.starts.iter().any(|start| number.starts_with(&**start))
    }
}

/// As it was written.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.regex.as_str())
    }
}

/// The literal beginnings of all that an anchored expression matches.
fn starts(hir: &Hir) -> Option<Box<[Box<str>]>> {
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return None;
    }
    let literals = Extractor::new().limit_total(STARTS_MAX).extract(hir);
    let starts = literals.literals()?.iter();
    // One that is no text ends within a character, and is as good as unknown.
    starts
        .map(|literal| std::str::from_utf8(literal.as_bytes()).ok().map(Box::from))
        .collect()
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
