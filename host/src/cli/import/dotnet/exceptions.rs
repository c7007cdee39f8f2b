//! Negative look-ahead at the beginning of an expression: `^(?!\+1900)\+1` is `^\+1` without the
//! beginning `+1900`. What the pattern builder of Skype for Business writes is of this kind.
//!
//! Exact or not at all: both what stands before the look-ahead and what it excludes must be one of
//! few texts, and the look-ahead must hold for the whole expression.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::{REWRITE, Refused, compile, rewrite};

/// Beginnings that one expression may exclude.
const TEXTS_MAX: usize = 256;
/// Look-aheads of one expression.
const LOOKS_MAX: usize = 8;

/// The expression without its look-aheads, and the beginnings that they exclude.
pub fn take(text: &str) -> Result<(String, Vec<String>), Refused> {
    let mut text = text.to_owned();
    let mut except = Vec::new();
    for _ in 0..LOOKS_MAX {
        let Some(start) = look_ahead(&text) else {
            return Ok((text, except));
        };
        let (rest, more) = without(&text, start).ok_or_else(|| {
            let why = "`(?!` looks ahead where no beginning of a number can say it (look-around)";
            Refused::new(why, REWRITE)
        })?;
        text = rest;
        except.extend(more);
    }
    let why = format!("more than {LOOKS_MAX} times `(?!` (look-around)");
    Err(Refused::new(why, REWRITE))
}

/// Where the first `(?!` begins, outside of classes and escapes.
fn look_ahead(text: &str) -> Option<usize> {
    let mut class = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class && text[at..].starts_with("(?!") => return Some(at),
            _ => {}
        }
    }
    None
}

fn without(text: &str, start: usize) -> Option<(String, Vec<String>)> {
    let inner_start = start + "(?!".len();
    let inner_end = inner_start + closing(&text[inner_start..])?;
    let (before, after) = (&text[..start], &text[inner_end + 1..]);
    let from_start = before
        .strip_prefix('^')
        .or_else(|| before.strip_prefix("(^"));
    let mut open = usize::from(before.starts_with("(^"));
    let literal = from_start?;
    // Groups that are still open around the look-ahead.
    let mut plain = String::new();
    let mut rest = literal;
    while let Some(group) = first_open(rest) {
        plain.push_str(&rest[..group]);
        rest = &rest[group + 1..];
        rest = rest.strip_prefix("?:").unwrap_or(rest);
        open += 1;
    }
    plain.push_str(rest);
    if plain.contains(['|', '?', '*']) && !plain.contains('(') {
        return None;
    }
    if !stands_for_all(after, open) {
        return None;
    }
    let excluded = texts(text.get(inner_start..inner_end)?)?;
    let begins = texts(&plain)?;
    let except = begins
        .iter()
        .flat_map(|start| excluded.iter().map(move |end| format!("{start}{end}")));
    let except: Vec<String> = except.collect();
    (except.len() <= TEXTS_MAX).then(|| (format!("{before}{after}"), except))
}

/// The first `(` that is not closed in the text.
fn first_open(text: &str) -> Option<usize> {
    let mut stack = Vec::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => stack.push(at),
            ')' => {
                stack.pop();
            }
            _ => {}
        }
    }
    stack.first().copied()
}

/// Where the group that is open at the beginning of the text is closed.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut escaped, mut class) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class && depth == 0 => return Some(at),
            ')' if !class => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether what follows a look-ahead, `open` groups deep, has no other branch beside it and repeats
/// none of the groups.
fn stands_for_all(after: &str, mut open: usize) -> bool {
    let (mut depth, mut escaped, mut class) = (0_usize, false, false);
    let mut chars = after.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            _ if class => {}
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ')' => {
                let repeated = matches!(chars.peek(), Some('*' | '+' | '?' | '{'));
                let Some(left) = open.checked_sub(1).filter(|_| !repeated) else {
                    return false;
                };
                open = left;
            }
            '|' if depth == 0 => return false,
            _ => {}
        }
    }
    true
}

/// The few texts that begin what an expression matches, all of them.
fn texts(text: &str) -> Option<Vec<String>> {
    let (expr, _) = rewrite(text).ok()?;
    let (_, hir) = compile(&expr).ok()?;
    beginnings(&hir)
}

/// As `finite`, without what may be absent at the end: a beginning is excluded with all that
/// follows it.
fn beginnings(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Concat(parts) => {
            let optional =
                |part: &Hir| matches!(part.kind(), HirKind::Repetition(it) if it.min == 0);
            let length = parts.iter().rposition(|part| !optional(part));
            finite(&Hir::concat(
                parts[..length.map_or(0, |it| it + 1)].to_vec(),
            ))
        }
        HirKind::Capture(group) => beginnings(&group.sub),
        HirKind::Alternation(parts) => {
            let all: Option<Vec<_>> = parts.iter().map(beginnings).collect();
            all.map(|all| all.concat())
        }
        _ => finite(hir),
    }
}

/// All texts that an expression matches, if they are few.
fn finite(hir: &Hir) -> Option<Vec<String>> {
    let found = match hir.kind() {
        HirKind::Empty => vec![String::new()],
        HirKind::Literal(literal) => vec![std::str::from_utf8(&literal.0).ok()?.to_owned()],
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class.iter().flat_map(|range| range.start()..=range.end());
            bytes
                .map(|byte| byte.is_ascii().then(|| char::from(byte).to_string()))
                .collect::<Option<_>>()?
        }
        HirKind::Class(Class::Unicode(class)) => {
            let chars = class.iter().flat_map(|range| range.start()..=range.end());
            chars
                .take(TEXTS_MAX + 1)
                .map(|c| c.is_ascii().then(|| c.to_string()))
                .collect::<Option<_>>()?
        }
        HirKind::Look(_) => return None,
        HirKind::Repetition(it) => {
            let (min, max) = (it.min, it.max?);
            if max > 16 {
                return None;
            }
            let one = finite(&it.sub)?;
            let mut all = Vec::new();
            let mut last = vec![String::new()];
            for count in 0..=max {
                if count >= min {
                    all.extend(last.iter().cloned());
                }
                if count < max {
                    last = product(&last, &one)?;
                }
            }
            all
        }
        HirKind::Capture(group) => finite(&group.sub)?,
        HirKind::Concat(parts) => parts.iter().try_fold(vec![String::new()], |all, part| {
            product(&all, &finite(part)?)
        })?,
        HirKind::Alternation(parts) => {
            let all: Option<Vec<_>> = parts.iter().map(finite).collect();
            all?.concat()
        }
    };
    (found.len() <= TEXTS_MAX).then_some(found)
}

fn product(left: &[String], right: &[String]) -> Option<Vec<String>> {
    if left.len().saturating_mul(right.len()) > TEXTS_MAX {
        return None;
    }
    let both = left
        .iter()
        .flat_map(|a| right.iter().map(move |b| format!("{a}{b}")));
    Some(both.collect())
}

/// `^\+1425555\d{4}$` as the first and the last number of a range.
pub fn range(hir: &Hir) -> Option<(String, String)> {
    let HirKind::Concat(parts) = hir.kind() else {
        return None;
    };
    let [_, inner @ .., _] = &parts[..] else {
        return None;
    };
    let mut start = String::new();
    let mut end = String::new();
    let mut open = false;
    for part in inner {
        let part = match part.kind() {
            HirKind::Capture(group) => &group.sub,
            _ => part,
        };
        match part.kind() {
            HirKind::Literal(literal) if !open => {
                let text = std::str::from_utf8(&literal.0).ok()?;
                start += text;
                end += text;
            }
            HirKind::Repetition(it) if Some(it.min) == it.max && it.min <= 15 => {
                let digits = finite(&it.sub)?;
                if digits.len() != 10 {
                    return None;
                }
                open = true;
                start += &"0".repeat(it.min as usize);
                end += &"9".repeat(it.min as usize);
            }
            _ => return None,
        }
    }
    Some((start, end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::cli::import::dotnet::Pattern;

    /// N17: exceptions of the pattern builder become `except`.
    #[test]
    fn exceptions_become_beginnings_that_are_not_meant() {
        for (dotnet, expr, except) in [
            (r"^(?!\+1900)\+1", r"^\+1", &["+1900"][..]),
            (r"^((?!(\+1425|\+1206))\+1)", r"^(\+1)", &["+1425", "+1206"]),
            (
                r"^\+1(?!900|976)\d{10}$",
                r"^\+1\d{10}$",
                &["+1900", "+1976"],
            ),
            (r"^\+1(?!9[07]0\d*)\d+$", r"^\+1\d+$", &["+1900", "+1970"]),
            (r"^(\+1(?!900)\d{10})$", r"^(\+1\d{10})$", &["+1900"]),
            (r"^(\+1|\+2)(?!9)\d+$", r"^(\+1|\+2)\d+$", &["+19", "+29"]),
        ] {
            let pattern = Pattern::read(dotnet).unwrap();
            assert_eq!(
                (&*pattern.expr, &pattern.except[..]),
                (expr, &owned(except)[..])
            );
        }
        let pattern = Pattern::read(r"^\+1(?!900)\d{10}$").unwrap();
        assert!(pattern.matches("+14255550100") && !pattern.matches("+19005550100"));
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// N17: a look-ahead that is no beginning is refused, not guessed.
    #[test]
    fn other_look_ahead_is_refused() {
        for dotnet in [
            r"(?!911)\d+",
            r"^(?!911$)\d+$",
            r"^\d+(?!5)\d$",
            r"^(?!911)\d+|1$",
            r"^((?!9)\d)+$",
            r"^(1|(?!2)\d)$",
            r"^(?!\d{9})\d+$",
            r"^1?(?!9)\d+$",
        ] {
            assert!(Pattern::read(dotnet).is_err(), "{dotnet}");
        }
    }
}
