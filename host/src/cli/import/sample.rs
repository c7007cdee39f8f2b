//! A number that a pattern is about, for a case that shows it.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::dotnet::Pattern;

/// Characters of a sample.
const LENGTH_MAX: usize = 64;
/// Repetitions where a pattern sets no end.
const OPEN: u32 = 7;

/// A number that the pattern is about and its exceptions are not.
pub fn number(pattern: &Pattern) -> Option<String> {
    let number = of(&pattern.hir)?;
    let is_number = number
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+*#.-_".contains(c));
    (is_number && !number.is_empty() && pattern.matches(&number)).then_some(number)
}

/// Something that the expression matches.
pub fn of(hir: &Hir) -> Option<String> {
    let mut text = String::new();
    build(hir, &mut text)?;
    (text.len() <= LENGTH_MAX).then_some(text)
}

/// The number with its first match replaced, as the standard policy does it.
pub fn replaced(pattern: &Pattern, number: &str, to: &str) -> Option<String> {
    let captures = pattern.regex.captures(number.as_bytes())?;
    let whole = captures.get(0)?;
    let mut out = number.as_bytes()[..whole.start()].to_vec();
    captures.expand(to.as_bytes(), &mut out);
    out.extend_from_slice(&number.as_bytes()[whole.end()..]);
    String::from_utf8(out).ok()
}

fn build(hir: &Hir, text: &mut String) -> Option<()> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => {
            let last = text.chars().last();
            text.push(character(class, last)?);
        }
        HirKind::Repetition(it) => {
            let count = match it.max {
                Some(max) if max == it.min => it.min,
                Some(max) => it.min.max(OPEN.min(max)),
                None => it.min.max(OPEN),
            };
            for _ in 0..count {
                build(&it.sub, text)?;
            }
        }
        HirKind::Capture(group) => build(&group.sub, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| build(part, text))?,
        HirKind::Alternation(parts) => build(parts.first()?, text)?,
    }
    Some(())
}

/// A digit that is neither 0 nor 1 nor 9 where there is a choice: those begin codes. Digits go up,
/// so that a number does not look like one that was left out.
fn character(class: &Class, last: Option<char>) -> Option<char> {
    let has = |c: char| match class {
        Class::Bytes(class) => class
            .iter()
            .any(|it| (it.start()..=it.end()).contains(&(c as u8))),
        Class::Unicode(class) => class.iter().any(|it| (it.start()..=it.end()).contains(&c)),
    };
    let next = last.and_then(|c| c.to_digit(10)).unwrap_or(1) + 1;
    let next = char::from_digit(next, 10).filter(|c| ('2'..='8').contains(c));
    let digits = ('2'..='8').chain(['1', '0', '9']);
    next.into_iter()
        .chain(digits)
        .chain(['+', '*', '#'])
        .chain('a'..='z')
        .chain('A'..='Z')
        .find(|c| has(*c))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_sample_is_one_of_the_numbers_that_are_meant() {
        for (pattern, sample) in [
            (r"^\+1(\d{10})$", "+12345678234"),
            (r"[0-9]{10}", "2345678234"),
            (r"^\+?1?[2-9]\d{2}", "+1234"),
            (r"^(911|112)$", "911"),
            (r"^\+44\d*$", "+445678234"),
        ] {
            let pattern = Pattern::read(pattern).unwrap();
            assert_eq!(number(&pattern).as_deref(), Some(sample));
        }
        let excluded = Pattern::read(r"^\+1(?!2)\d{3}$").unwrap();
        assert_eq!(number(&excluded), None);
    }
}
