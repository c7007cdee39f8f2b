//! Regular expressions over numbers, and the beginnings that they imply.

use std::cell::OnceCell;
use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::steps::Steps;
use super::template::{self, Template};

/// Most memory that one compiled expression may take, bytes.
const EXPR_SIZE_MAX: usize = 128 * 1024;

/// An expression with no more states than this is never larger than [`EXPR_SIZE_MAX`].
const STATES_SMALL: usize = 400;

/// Most beginnings that an expression is filed under: more cost memory and find little.
const STARTS_MAX: usize = 16;

/// A regular expression over the ASCII characters of a number, in the syntax of the crate `regex`;
/// not anchored unless it says so. It knows what its numbers begin with, so that one that begins
/// with `^` and some digits costs no more than a prefix for the numbers that it is not about.
///
/// One such as `^9(\d{10})$`, one piece after the other, is never compiled; any other is when it is
/// first needed. So a dial plan with a thousand of them is read in no time.
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
    text: Box<str>,
    /// What each number that matches begins with: one of these. Empty if nothing is known.
    starts: Box<[Box<str>]>,
    /// Names of its groups, of the whole match first; empty where one has none.
    groups: Box<[Box<str>]>,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Steps(Steps),
    Regex(OnceCell<Regex>),
}

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, in one line; what follows a semicolon is the remedy.
    pub fn new(text: &str) -> Result<Self, String> {
        let parsed = ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(text);
        let hir = parsed.map_err(|error| reason(&error.to_string()))?;
        let matcher = match Steps::of(&hir) {
            Some(steps) => Matcher::Steps(steps),
            None if states(&hir) <= STATES_SMALL => Matcher::Regex(OnceCell::new()),
            None => Matcher::Regex(compile(text)?.into()),
        };
        let mut groups = vec![Box::default()];
        name_groups(&hir, &mut groups);
        Ok(Expr {
            text: text.into(),
            starts: starts(&hir).unwrap_or_default(),
            groups: groups.into(),
            matcher,
        })
    }

    /// Whether it matches somewhere in the number.
    pub fn is_match(&self, number: &str) -> bool {
        self.may_match(number)
            && match &self.matcher {
                Matcher::Steps(steps) => steps.find(number.as_bytes()).is_some(),
                Matcher::Regex(regex) => self.compiled(regex).is_match(number.as_bytes()),
            }
    }

    /// The number with the first match replaced by `to`, in which `$1` or `${1}` stands for a group
    /// and `$$` for a dollar sign; `None` if nothing matches.
    pub fn replace(&self, number: &str, to: &str) -> Option<String> {
        if !self.may_match(number) {
            return None;
        }
        self.replace_by(number, &self.template(to))
    }

    /// The same with a template of this expression's.
    pub(super) fn replace_by(&self, number: &str, to: &Template) -> Option<String> {
        if !self.may_match(number) {
            return None;
        }
        let bytes = number.as_bytes();
        match &self.matcher {
            Matcher::Steps(steps) => {
                let spans = steps.find(bytes)?;
                to.put(bytes, |group| spans.of(group))
            }
            Matcher::Regex(regex) => {
                let found = self.compiled(regex).captures(bytes)?;
                to.put(bytes, |group| found.get(group).map(|it| it.range()))
            }
        }
    }

    /// Reads what takes the place of a match.
    pub(super) fn template(&self, to: &str) -> Template {
        Template::new(to, |name| self.group(name))
    }

    /// What the numbers that match begin with: one of these, or anything if there are none.
    pub fn starts(&self) -> &[Box<str>] {
        &self.starts
    }

    /// Checks that each group in `to` is one of the expression's.
    pub(super) fn check_groups(&self, to: &str) -> Result<(), String> {
        match template::groups(to).find(|group| self.group(group).is_none()) {
            Some(group) => {
                let remedy = "write `${1}` where text follows a group, and `$$` for a dollar sign";
                Err(format!("`${group}` is no group of the pattern; {remedy}"))
            }
            None => Ok(()),
        }
    }

    /// Number of a group.
    fn group(&self, name: &str) -> Option<usize> {
        match name.parse() {
            Ok(number) => Some(number).filter(|number| *number < self.groups.len()),
            Err(_) => self
                .groups
                .iter()
                .position(|it| **it == *name && !name.is_empty()),
        }
    }

    fn may_match(&self, number: &str) -> bool {
        self.starts.is_empty() || self.starts.iter().any(|start| number.starts_with(&**start))
    }

    fn compiled<'a>(&self, regex: &'a OnceCell<Regex>) -> &'a Regex {
        regex.get_or_init(|| compile(&self.text).expect("it was parsed, and it is small"))
    }
}

/// As it was written.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .unicode(false)
        .size_limit(EXPR_SIZE_MAX)
        .build()
        .map_err(|error| reason(&error.to_string()))
}

/// About how many states the expression compiles to, at most.
fn states(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min + 1).max(1);
            states(&repetition.sub)
                .saturating_add(1)
                .saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            let sum = all.iter().map(states).fold(0, usize::saturating_add);
            sum.saturating_add(all.len())
        }
    }
}

/// Names of all groups, in the order in which they open.
fn name_groups(hir: &Hir, groups: &mut Vec<Box<str>>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            groups.push(capture.name.clone().unwrap_or_default());
            name_groups(&capture.sub, groups);
        }
        HirKind::Repetition(repetition) => name_groups(&repetition.sub, groups),
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            all.iter().for_each(|one| name_groups(one, groups));
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
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
fn reason(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    let last = last.strip_prefix("error: ").unwrap_or(last);
    if last.contains("look-around") || last.contains("backreferences") {
        format!("this regular expression cannot be used: {last}; use `except`, or several entries")
    } else {
        format!("this is no regular expression: {last}")
    }
}
