//! .NET's regular expressions and replacements, in the syntax of the crate `regex`.
//!
//! What means the same is rewritten; what has no counterpart is refused with the reason, and never
//! guessed. Numbers are ASCII, so `\d` with its Unicode digits is `[0-9]` here and there.

mod exceptions;
mod groups;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

pub use exceptions::range;
pub use groups::Groups;

/// Most memory of one expression: that of the standard policy's.
const SIZE_MAX: usize = 128 * 1024;
/// Characters of an expression.
const LENGTH_MAX: usize = 1024;

/// An expression that carries over.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// In Rust's syntax.
    pub expr: String,
    /// Beginnings that are not meant, from look-ahead at the beginning.
    pub except: Vec<String>,
    pub groups: Groups,
    pub regex: Regex,
    pub hir: Hir,
}

/// Why an expression cannot be carried over, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    pub why: String,
    pub remedy: String,
}

impl Refused {
    fn new(why: impl Into<String>, remedy: impl Into<String>) -> Refused {
        Refused {
            why: why.into(),
            remedy: remedy.into(),
        }
    }
}

const REWRITE: &str = "write the rule by hand, as several entries without it";

impl Pattern {
    /// Reads a .NET expression.
    pub fn read(text: &str) -> Result<Pattern, Refused> {
        if text.len() > LENGTH_MAX {
            let why = format!("longer than {LENGTH_MAX} characters");
            return Err(Refused::new(why, "split it into several rules"));
        }
        let (plain, except) = exceptions::take(text)?;
        let (expr, groups) = rewrite(&plain)?;
        let (regex, hir) = compile(&expr)?;
        Ok(Pattern {
            expr,
            except,
            groups,
            regex,
            hir,
        })
    }

    /// Whether it is about this number.
    pub fn matches(&self, number: &str) -> bool {
        let begins = |it: &String| number.starts_with(it.as_str());
        self.regex.is_match(number.as_bytes()) && !self.except.iter().any(begins)
    }

    /// Whether it speaks of the whole number.
    pub fn is_anchored(&self) -> bool {
        let properties = self.hir.properties();
        let starts = regex_syntax::hir::Look::Start;
        let ends = regex_syntax::hir::Look::End;
        properties.look_set_prefix().contains(starts) && properties.look_set_suffix().contains(ends)
    }
}

fn compile(expr: &str) -> Result<(Regex, Hir), Refused> {
    let refused = |error: &str| {
        let last = error.lines().last().unwrap_or_default();
        let last = last.strip_prefix("error: ").unwrap_or(last);
        Refused::new(format!("no regular expression here: {last}"), REWRITE)
    };
    let regex = RegexBuilder::new(expr)
        .unicode(false)
        .size_limit(SIZE_MAX)
        .build()
        .map_err(|error| refused(&error.to_string()))?;
    let hir = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(expr)
        .map_err(|error| refused(&error.to_string()))?;
    Ok((regex, hir))
}

/// One pass over an expression without negative look-ahead.
fn rewrite(text: &str) -> Result<(String, Groups), Refused> {
    let mut scan = Scan {
        chars: text.chars().collect(),
        at: 0,
        out: String::with_capacity(text.len()),
        groups: Groups::default(),
    };
    while let Some(c) = scan.next() {
        match c {
            '\\' => scan.escape()?,
            '[' => scan.class()?,
            '(' => scan.group()?,
            '{' => scan.repetition(),
            '}' => scan.out.push_str("\\}"),
            c => scan.out.push(c),
        }
    }
    Ok((scan.out, scan.groups))
}

struct Scan {
    chars: Vec<char>,
    at: usize,
    out: String,
    groups: Groups,
}

impl Scan {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += usize::from(c.is_some());
        c
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// Whether these characters follow; they are taken then.
    fn take(&mut self, text: &str) -> bool {
        let follows = text
            .chars()
            .enumerate()
            .all(|(n, c)| self.chars.get(self.at + n) == Some(&c));
        if follows {
            self.at += text.chars().count();
        }
        follows
    }

    /// What follows up to `end`, which is taken, too.
    fn until(&mut self, end: char) -> Option<String> {
        let length = self.chars[self.at..].iter().position(|c| *c == end)?;
        let text = self.chars[self.at..self.at + length].iter().collect();
        self.at += length + 1;
        Some(text)
    }

    /// After a backslash.
    fn escape(&mut self) -> Result<(), Refused> {
        let Some(c) = self.next() else {
            return Err(Refused::new("it ends with a backslash", "correct it"));
        };
        match c {
            '1'..='9' | 'k' => {
                let why = format!("`\\{c}` refers back to a group (back-reference)");
                return Err(Refused::new(why, REWRITE));
            }
            'Z' => self.out.push_str("\\z"),
            '<' | '>' | ' ' | '_' => {
                self.out.push(c);
            }
            'p' | 'P' if self.take("{Nd}") => {
                self.out.push_str(if c == 'p' { "\\d" } else { "\\D" });
            }
            'A' | 'z' | 'b' | 'B' | 'd' | 'D' | 'w' | 'W' | 's' | 'S' | 't' | 'n' | 'r' | 'f'
            | 'v' | 'a' | 'x' | 'u' => {
                self.out.push('\\');
                self.out.push(c);
            }
            c if c.is_ascii_alphanumeric() => {
                let why = format!("`\\{c}` has no counterpart");
                return Err(Refused::new(why, REWRITE));
            }
            c if c.is_ascii() => {
                self.out.push('\\');
                self.out.push(c);
            }
            c => self.out.push(c),
        }
        Ok(())
    }

    /// After `[`. What .NET takes for a character, and Rust for an operation on sets, is escaped.
    fn class(&mut self) -> Result<(), Refused> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        if self.take("]") {
            self.out.push_str("\\]");
        }
        loop {
            let Some(c) = self.next() else {
                return Err(Refused::new("`[` is never closed", "correct it"));
            };
            match c {
                ']' => break,
                '\\' => self.escape()?,
                // `[a-z-[aeiou]]` takes the second set from the first.
                '-' if self.peek() == Some('[') => {
                    self.at += 1;
                    self.out.push_str("--");
                    self.class()?;
                }
                '[' => self.out.push_str("\\["),
                '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '-' if self.out.ends_with('-') => self.out.push_str("\\-"),
                c => self.out.push(c),
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// After `(`.
    fn group(&mut self) -> Result<(), Refused> {
        let look = |what: &str| Refused::new(format!("{what} (look-around)"), REWRITE);
        if !self.take("?") {
            self.groups.push(None);
            self.out.push('(');
            return Ok(());
        }
        if self.take("#") {
            let closed = self.until(')').is_some();
            let refused = || Refused::new("a comment is never closed", "correct it");
            return closed.then_some(()).ok_or_else(refused);
        }
        if self.take("=") {
            return Err(look("`(?=` looks ahead"));
        }
        if self.take("!") {
            return Err(look("`(?!` looks ahead"));
        }
        if self.take("<=") || self.take("<!") {
            return Err(look("`(?<=` or `(?<!` looks behind"));
        }
        if self.take(">") {
            return self.atomic();
        }
        let named = match self.peek() {
            Some('<') => Some('>'),
            Some('\'') => Some('\''),
            _ => None,
        };
        if let Some(end) = named {
            self.at += 1;
            let name = self.until(end).unwrap_or_default();
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name {
                let why = format!("a group named {name:?} (numbered or balancing)");
                return Err(Refused::new(why, "give the group a name of letters"));
            }
            self.out.push_str(&format!("(?<{name}>"));
            self.groups.push(Some(name));
            return Ok(());
        }
        let options = self.chars[self.at..].iter();
        let options: String = options
            .take_while(|c| c.is_ascii_alphabetic() || **c == '-')
            .collect();
        let known = options.chars().all(|c| "imsx-".contains(c));
        let after = self.chars.get(self.at + options.len());
        if known && matches!(after, Some(':' | ')')) && !options.ends_with('-') {
            self.at += options.len() + 1;
            self.out
                .push_str(&format!("(?{options}{}", after.copied().unwrap_or(':')));
            return Ok(());
        }
        let text: String = self.chars[self.at..].iter().take(4).collect();
        let why = format!("`(?{text}` has no counterpart");
        Err(Refused::new(why, REWRITE))
    }

    /// `(?>…)` never gives back what it took. Where it can take one text only, that is a plain group.
    fn atomic(&mut self) -> Result<(), Refused> {
        let mut depth = 0;
        let rest = &self.chars[self.at..];
        let end = rest.iter().position(|c| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth < 0
        });
        let inner: String = rest[..end.unwrap_or(rest.len())].iter().collect();
        if inner.contains(['*', '+', '?', '{', '|', '(']) {
            let why = "`(?>` never gives back what it took (atomic group)";
            return Err(Refused::new(why, REWRITE));
        }
        self.out.push_str("(?:");
        Ok(())
    }

    /// After `{`: a number of repetitions, or a brace.
    fn repetition(&mut self) {
        let rest = &self.chars[self.at..];
        let end = rest.iter().position(|c| *c == '}');
        let inner: String = rest[..end.unwrap_or(0)].iter().collect();
        let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let is_repetition = match inner.split_once(',') {
            Some((from, to)) => digits(from) && (to.is_empty() || digits(to)),
            None => digits(&inner),
        };
        if is_repetition {
            self.out.push_str(&format!("{{{inner}}}"));
            self.at += inner.len() + 1;
        } else {
            self.out.push_str("\\{");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn expr(text: &str) -> String {
        Pattern::read(text).unwrap().expr
    }

    fn refused(text: &str) -> String {
        Pattern::read(text).unwrap_err().why
    }

    /// N17: what means the same in both is rewritten.
    #[test]
    fn what_means_the_same_is_rewritten() {
        for (dotnet, rust) in [
            (r"^(\d{11})$", r"^(\d{11})$"),
            (r"^\+1(?<area>\d{3})\Z", r"^\+1(?<area>\d{3})\z"),
            (r"^(?'n'\d+)$", r"^(?<n>\d+)$"),
            (r"[0-9-[5]]+", r"[0-9--[5]]+"),
            (r"[[0-9]", r"[\[0-9]"),
            (r"[]0]", r"[\]0]"),
            (r"^9(?#outside line)1$", r"^91$"),
            (r"^\p{Nd}{4}$", r"^\d{4}$"),
            (r"a{,5}", r"a\{,5\}"),
            (r"(?>011)\d+", r"(?:011)\d+"),
            (r"\<1\>", r"<1>"),
            (r"(?i:x)", r"(?i:x)"),
        ] {
            assert_eq!(expr(dotnet), rust, "{dotnet}");
        }
    }

    /// N17: what has no counterpart is named.
    #[test]
    fn what_has_no_counterpart_is_refused() {
        for (dotnet, why) in [
            (r"^(\d)\1+$", "back-reference"),
            (r"(?<=1)\d+", "look-around"),
            (r"^(?=\+1)\d+", "look-around"),
            (r"^\d+(?!5)\d$", "look-around"),
            (r"(?>\d+)1", "atomic group"),
            (r"(?<1>\d)", "numbered or balancing"),
            (r"(?(1)a|b)", "no counterpart"),
            (r"\G1", "no counterpart"),
            (r"[0-9", "never closed"),
            (r"(1", "no regular expression here"),
            (r"(\d{1000}){1000}", "no regular expression here"),
        ] {
            assert!(
                refused(dotnet).contains(why),
                "{dotnet}: {}",
                refused(dotnet)
            );
        }
        assert!(refused(&"1".repeat(2000)).contains("longer than"));
    }

    #[test]
    fn a_pattern_without_anchors_matches_anywhere() {
        let pattern = Pattern::read("[0-9]{10}").unwrap();
        assert!(pattern.matches("+14255550100") && !pattern.is_anchored());
        assert!(Pattern::read(r"^\d+$").unwrap().is_anchored());
    }
}
