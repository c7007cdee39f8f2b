//! The Call-ID of a message whose other lines nobody has looked at: enough to pick the shard that
//! owns the call. Allocates nothing, checks nothing; the owner's `read` decides what it is worth.

use crate::grammar::trim;
use crate::header::Name;

/// The first Call-ID (or `i`) of the header section, trimmed, in any case, folded or not; `None`
/// when there is none or it is empty.
pub fn peek_call_id(bytes: &[u8]) -> Option<&[u8]> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let mut rest = after_line(&bytes[start..])?;
    while !matches!(rest, [] | [b'\r' | b'\n', ..]) {
        if let Some(value) = call_id_value(rest) {
            return Some(value).filter(|v| !v.is_empty());
        }
        rest = after_line(rest)?;
    }
    None
}

fn after_line(bytes: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'\n', bytes).map(|at| &bytes[at + 1..])
}

/// The value of the line at the front, over its folds, when it is a Call-ID.
fn call_id_value(line: &[u8]) -> Option<&[u8]> {
    // A fold begins with a blank, so it is sorted out here too.
    if !matches!(line[0] | 0x20, b'c' | b'i') {
        return None;
    }
    let colon = line.iter().take(LINE_NAME_MAX).position(|b| *b == b':')?;
    if Name::of(trim(&line[..colon])) != Name::CallId {
        return None;
    }
    let value = &line[colon + 1..];
    let mut end = 0;
    loop {
        end += memchr::memchr(b'\n', &value[end..]).map_or(value.len() - end, |at| at + 1);
        if !matches!(value.get(end), Some(b' ' | b'\t')) {
            return Some(trim(&value[..end]));
        }
    }
}

/// How far to look for the colon: the name and a generous run of blanks before it.
const LINE_NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::peek_call_id;

    #[test]
    fn finds_long_compact_and_folded() {
        let peek = |lines: &'static str| peek_call_id(lines.as_bytes());
        assert_eq!(peek("X\r\nCall-ID: a@b\r\n\r\n"), Some(&b"a@b"[..]));
        assert_eq!(
            peek("X\r\nVia: v\r\nI:x\r\nCall-ID: y\r\n\r\n"),
            Some(&b"x"[..])
        );
        assert_eq!(
            peek("X\r\ncALL-id \t:\r\n  folded\r\nTo: x\r\n\r\n"),
            Some(&b"folded"[..])
        );
        assert_eq!(peek("\r\n\r\nX\r\ni: cut off"), Some(&b"cut off"[..]));
    }

    #[test]
    fn looks_in_the_header_section_only() {
        for none in [
            "",
            "\r\n",
            "X",
            "i: start\r\nTo: x\r\n\r\n",
            "X\r\nTo: x\r\n\r\ni: body\r\n",
        ] {
            assert_eq!(peek_call_id(none.as_bytes()), None, "{none:?}");
        }
        assert_eq!(peek_call_id(b"X\r\nTo: a\r\n i: fold\r\n\r\n"), None);
        assert_eq!(peek_call_id(b"X\r\ni:\r\n\r\n"), None);
    }
}
