//! What a match is replaced by: text with `$1`, `${1}`, `$name`, and `$$` for a dollar sign, as the
//! crate `regex` has it.

use std::fmt;
use std::ops::Range;

/// What a match is replaced by, read once.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: Box<str>,
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Box<str>),
    Group(usize),
}

impl Template {
    /// Reads `to`, of which `number` knows the groups; one that it does not know stands for nothing.
    pub(super) fn new(to: &str, number: impl Fn(&str) -> Option<usize>) -> Template {
        let piece = |part| match part {
            Part::Text(text) => Some(Piece::Text(text.into())),
            Part::Group(name) => number(name).map(Piece::Group),
        };
        Template {
            text: to.into(),
            pieces: parts(to).filter_map(piece).collect(),
        }
    }

    /// The number with this in the place of the whole match, which is group 0.
    pub(super) fn put(
        &self,
        number: &[u8],
        span: impl Fn(usize) -> Option<Range<usize>>,
    ) -> Option<String> {
        let whole = span(0)?;
        let mut replaced = Vec::with_capacity(number.len() + self.text.len());
        replaced.extend_from_slice(&number[..whole.start]);
        for piece in &self.pieces {
            replaced.extend_from_slice(match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Group(group) => &number[span(*group).unwrap_or_default()],
            });
        }
        replaced.extend_from_slice(&number[whole.end..]);
        String::from_utf8(replaced).ok()
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A piece of a template as it is written.
enum Part<'t> {
    Text(&'t str),
    /// A group, by number or name.
    Group(&'t str),
}

/// The pieces in order.
fn parts(to: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = to;
    std::iter::from_fn(move || {
        let part;
        (part, rest) = first(rest)?;
        Some(part)
    })
}

/// The groups that it names.
pub(super) fn groups(to: &str) -> impl Iterator<Item = &str> {
    parts(to).filter_map(|part| match part {
        Part::Group(group) => Some(group),
        Part::Text(_) => None,
    })
}

/// The first piece, and what follows it.
fn first(text: &str) -> Option<(Part<'_>, &str)> {
    let after = match text.find('$') {
        None if text.is_empty() => return None,
        None => return Some((Part::Text(text), "")),
        Some(0) => &text[1..],
        Some(at) => return Some((Part::Text(&text[..at]), &text[at..])),
    };
    if let Some(rest) = after.strip_prefix('$') {
        return Some((Part::Text("$"), rest));
    }
    if let Some((name, rest)) = after.strip_prefix('{').and_then(|it| it.split_once('}')) {
        return Some((Part::Group(name), rest));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
    Some((Part::Group(&after[..end]), &after[end..]))
}
