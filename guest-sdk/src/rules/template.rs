//! What a match is replaced by: text with `$1`, `${1}`, `$name`, and `$$` for a dollar sign, as the
//! crate `regex` has it.

/// A piece of a template.
pub(super) enum Part<'t> {
    Text(&'t str),
    /// A group, by number or name.
    Group(&'t str),
}

/// The pieces in order.
pub(super) fn parts(to: &str) -> impl Iterator<Item = Part<'_>> {
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
