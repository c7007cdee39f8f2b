//! The grammar that all headers share (RFC 3261 §25.1): tokens, linear white space, quoted strings,
//! comma lists, decimal numbers, folding. Every function is one pass over its input.

use std::borrow::Cow;

/// `true` for each byte that may stand in a token.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-.!%*_+`'~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

/// Whether this byte may stand in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether the bytes are one token, which has at least one byte (RFC 3261 §25.1): fit for a method,
/// a header name, a tag or a branch.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))
}

/// Length of the token that the bytes begin with.
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|b| !is_token_byte(*b))
        .unwrap_or(bytes.len())
}

/// What [`is_lws`] says of characters.
pub(crate) const LWS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Linear white space. CR and LF count: inside a header value they only occur as a fold.
pub(crate) fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Cuts linear white space off the front.
pub(crate) fn trim_start(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|b| is_lws(**b)).count();
    &bytes[blank..]
}

/// Cuts linear white space off both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let bytes = trim_start(bytes);
    let blank = bytes.iter().rev().take_while(|b| is_lws(**b)).count();
    &bytes[..bytes.len() - blank]
}

/// Index behind the closing quote of the quoted string that the bytes begin with.
pub(crate) fn quoted_len(bytes: &[u8]) -> Option<usize> {
    debug_assert_eq!(
        bytes.first(),
        Some(&b'"'),
        "the caller saw the opening quote"
    );
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// A decimal number without sign, at most `max`; leading zeros are allowed (`0068`).
pub(crate) fn decimal(bytes: &[u8], max: u32) -> Option<u32> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        number
            .checked_mul(10)?
            .checked_add(digit)
            .filter(|n| *n <= max)
    })
}

/// Members of a comma list, trimmed, empty ones included; commas within quoted strings and within
/// angle brackets do not separate.
pub(crate) fn members(value: &[u8]) -> Members<'_> {
    Members { rest: Some(value) }
}

/// See [`members`].
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        Some(match comma(rest) {
            None => trim(rest),
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                trim(&rest[..at])
            }
        })
    }
}

/// The first comma that separates. An unclosed quote or bracket reaches to the end.
fn comma(value: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr3(b',', b'"', b'<', &value[at..])?;
        match value[at] {
            b',' => return Some(at),
            b'"' => at += quoted_len(&value[at..])?,
            _ => at += memchr::memchr(b'>', &value[at..])? + 1,
        }
    }
}

/// Splits at the first byte of this ASCII value, which is in neither half.
pub(crate) fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Whether no byte must be escaped in every URI: blanks, controls, `<>"`. Without an early exit,
/// so that it is vectorised.
pub(crate) fn is_uri_text(bytes: &[u8]) -> bool {
    !bytes.iter().fold(false, |bad, b| {
        bad | (*b <= b' ') | (*b == b'<') | (*b == b'>') | (*b == b'"') | (*b == 0x7f)
    })
}

/// Cuts linear white space off both ends.
pub(crate) fn trim_str(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if !is_lws(*first) && !is_lws(*last) => text,
        _ => text.trim_matches(LWS),
    }
}

/// A header value on one line: each fold (CRLF and the blanks after it) becomes one space
/// (RFC 3261 §7.3.1). Borrows when there is no fold.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(b' ');
        rest = trim_start(&rest[at..]);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The text of a quoted string: quotes cut off, `\x` read as `x`, folds as a space, bytes that are
/// not UTF-8 as U+FFFD. Text that is not quoted comes back as it is, but for folds.
pub fn unquote(value: &[u8]) -> Cow<'_, str> {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        plain => return lossy(unfold(plain)),
    };
    match unfold(inner) {
        text if memchr::memchr(b'\\', &text).is_none() => lossy(text),
        text => {
            let mut out = Vec::with_capacity(text.len());
            let mut bytes = text.iter();
            while let Some(byte) = bytes.next() {
                out.push(if *byte == b'\\' {
                    *bytes.next().unwrap_or(byte)
                } else {
                    *byte
                });
            }
            lossy(Cow::Owned(out))
        }
    }
}

fn lossy(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Whether a value from elsewhere (a policy, a configuration) may be printed into a header line: it
/// has no CR, LF or NUL, so it cannot begin a line of its own.
pub fn is_safe_value(value: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, value).is_none()
}

#[cfg(test)]
mod tests {
    use super::{decimal, is_safe_value, members, unfold, unquote};

    #[test]
    fn lists_split_outside_quotes_and_brackets() {
        let split = |v: &'static str| {
            members(v.as_bytes())
                .map(|m| std::str::from_utf8(m).unwrap_or(""))
                .collect::<Vec<_>>()
        };
        assert_eq!(split("a, b ,\r\n c"), ["a", "b", "c"]);
        assert_eq!(
            split(r#""x,\",y" <sip:a,b@c>;p=",",z"#),
            [r#""x,\",y" <sip:a,b@c>;p=",""#, "z"]
        );
        assert_eq!(split("a;;,;,,"), ["a;;", ";", "", ""]);
        assert_eq!(split("\"open, quote"), ["\"open, quote"]);
        assert_eq!(split("\"trailing escape\\"), ["\"trailing escape\\"]);
        assert_eq!(split("<open, bracket"), ["<open, bracket"]);
        assert_eq!(split(""), [""]);
    }

    #[test]
    fn numbers_have_a_range_and_no_sign() {
        assert_eq!(decimal(b"0068", 255), Some(68));
        assert_eq!(decimal(b"4294967295", u32::MAX), Some(u32::MAX));
        for bad in [
            &b"256"[..],
            b"-1",
            b"+1",
            b"",
            b"1 ",
            b"36893488147419103232",
        ] {
            assert_eq!(decimal(bad, 255), None);
        }
    }

    #[test]
    fn folds_and_quotes_read_as_text() {
        assert_eq!(unfold(b"a\r\n\t b\r\n c").as_ref(), b"a b c");
        assert!(matches!(unfold(b"plain"), std::borrow::Cow::Borrowed(_)));
        assert_eq!(unquote(br#""J Rosenberg \\\"""#), r#"J Rosenberg \""#);
        assert_eq!(unquote(b"\"two\r\n lines\""), "two lines");
        assert_eq!(unquote(b"Caf\xe9"), "Caf\u{fffd}");
        assert!(
            !is_safe_value(b"a\r\nEvil: b") && !is_safe_value(b"a\nb") && is_safe_value(b"a b")
        );
    }
}
