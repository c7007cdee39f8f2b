//! Parameter lists: `;a=b;c` behind a header value (RFC 3261 §25.1 generic-param) or inside a URI
//! (§19.1.1). Kept raw and walked when asked; most lists are asked once.

use crate::fault::Fault;
use crate::grammar::{cut, quoted_len, token_len, trim_start, trim_str};
use std::fmt;

/// A raw parameter list, its leading `;` included; empty when there are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a> {
    raw: &'a str,
    /// In a URI, `%6C%72` is the name `lr`; in a header value, `%` is a letter like others.
    escaped: bool,
}

impl<'a> Params<'a> {
    /// No parameters.
    pub const NONE: Params<'static> = Params {
        raw: "",
        escaped: false,
    };

    /// Checks the parameters of a header value: each has a token for its name, and its value, if
    /// any, is a quoted string or has neither blanks nor `"<>,;`. Blanks round `;` and `=` and
    /// folds are allowed.
    pub fn parse(raw: &'a [u8]) -> Result<Params<'a>, Fault> {
        let raw = std::str::from_utf8(raw).map_err(|_| Fault::Grammar("parameter is not UTF-8"))?;
        let raw = trim_str(raw);
        check(raw.as_bytes())?;
        Ok(Params {
            raw,
            escaped: false,
        })
    }

    /// The parameters of a URI, whose characters the URI's parser has checked.
    pub(crate) fn in_uri(raw: &'a str) -> Params<'a> {
        Params { raw, escaped: true }
    }

    /// The first parameter of this name in any case: `None` without it, `Some(None)` without a
    /// value. A quoted value keeps its quotes; see [`unquote`](crate::unquote).
    pub fn get(&self, name: &str) -> Option<Option<&'a str>> {
        self.iter()
            .find(|(n, _)| self.is_named(n, name))
            .map(|(_, value)| value)
    }

    /// Names and raw values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        Segments { rest: self.raw }
            .map(split)
            .filter(|(name, _)| !name.is_empty())
    }

    /// The list as it stands in the message.
    pub fn as_str(&self) -> &'a str {
        self.raw
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn is_named(&self, found: &str, wanted: &str) -> bool {
        found.eq_ignore_ascii_case(wanted)
            || self.escaped
                && found.contains('%')
                && percent_decoded(found.as_bytes())
                    .map(|b| b.to_ascii_lowercase())
                    .eq(wanted.bytes().map(|b| b.to_ascii_lowercase()))
    }
}

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

/// What stands between semicolons, those in quoted strings left alone.
struct Segments<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let list = self.rest.strip_prefix(';')?;
        let (segment, rest) = list.split_at(semicolon(list.as_bytes()).unwrap_or(list.len()));
        self.rest = rest;
        Some(segment)
    }
}

/// The first semicolon outside quoted strings.
pub(crate) fn semicolon(list: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b';', b'"', &list[at..])?;
        match list[at] {
            b';' => return Some(at),
            _ => at += quoted_len(&list[at..])?,
        }
    }
}

fn split(segment: &str) -> (&str, Option<&str>) {
    match cut(segment, b'=') {
        None => (trim_str(segment), None),
        Some((name, value)) => (trim_str(name), Some(trim_str(value))),
    }
}

/// Checks a trimmed list in one pass.
fn check(list: &[u8]) -> Result<(), Fault> {
    let mut rest = list;
    while let [first, behind @ ..] = rest {
        if *first != b';' {
            return Err(Fault::Grammar("text where a parameter should begin"));
        }
        let name = trim_start(behind);
        let len = token_len(name);
        if len == 0 {
            return Err(Fault::Grammar("parameter without a name"));
        }
        rest = match trim_start(&name[len..]) {
            [b'=', value @ ..] => behind_value(trim_start(value))?,
            rest => rest,
        };
        if !matches!(rest, [] | [b';', ..]) {
            return Err(Fault::Grammar("parameter without a name"));
        }
    }
    Ok(())
}

/// What stands behind the value that the bytes begin with.
fn behind_value(bytes: &[u8]) -> Result<&[u8], Fault> {
    let fault = Fault::Grammar("parameter value");
    let len = match bytes.first() {
        Some(b'"') => quoted_len(bytes).ok_or(fault)?,
        _ => bytes
            .iter()
            .position(|b| !VALUE[usize::from(*b)])
            .unwrap_or(bytes.len()),
    };
    match trim_start(&bytes[len..]) {
        rest @ ([] | [b';', ..]) => Ok(rest),
        _ => Err(fault),
    }
}

/// `true` for each byte of a value without quotes.
const VALUE: [bool; 256] = {
    let mut table = [true; 256];
    let mut i = 0;
    while i < b" \t\r\n\"<>,;".len() {
        table[b" \t\r\n\"<>,;"[i] as usize] = false;
        i += 1;
    }
    table
};

/// Bytes with `%41` read as `A`; a percent sign without two hex digits stands for itself.
pub(crate) fn percent_decoded(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).map(|d| d as u8);
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        at += 1;
        match (byte, hex(bytes.get(at)), hex(bytes.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                at += 2;
                Some(high << 4 | low)
            }
            _ => Some(byte),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Params;

    #[test]
    fn names_have_no_case_and_blanks_do_not_count() {
        let params =
            Params::parse(b" ; newparam =\r\n newvalue ;\r\n secondparam ; q = 0.33").unwrap();
        assert_eq!(params.get("NEWPARAM"), Some(Some("newvalue")));
        assert_eq!(params.get("secondparam"), Some(None));
        assert_eq!(params.get("q"), Some(Some("0.33")));
        assert_eq!(params.get("p"), None);
    }

    #[test]
    fn semicolons_in_quotes_do_not_separate() {
        let params = Params::parse(br#";a=";b=\"1;";c=[2001:db8::1]:5060;d=x=y"#).unwrap();
        let all: Vec<_> = params.iter().collect();
        assert_eq!(
            all,
            [
                ("a", Some(r#"";b=\"1;""#)),
                ("c", Some("[2001:db8::1]:5060")),
                ("d", Some("x=y"))
            ]
        );
    }

    #[test]
    fn stray_separators_are_faults_in_a_header() {
        for bad in [
            ";;",
            ";",
            ";a;",
            ";=b",
            "a",
            ";a b",
            ";a=b c",
            ";a=\"x",
            ";a=\"x\"y",
            ";a=<b>",
        ] {
            assert!(Params::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Params::parse(b";a=\xff").is_err());
        assert!(Params::parse(b"").unwrap().is_empty());
    }

    #[test]
    fn escaped_names_are_compared_decoded_in_a_uri_only() {
        assert_eq!(
            Params::in_uri(";%6C%72;n%61me=v%61lue").get("lr"),
            Some(None)
        );
        assert_eq!(
            Params::in_uri(";%6C%72;n%61me=v%61lue").get("Name"),
            Some(Some("v%61lue"))
        );
        assert_eq!(Params::parse(b";%6C%72").unwrap().get("lr"), None);
    }
}
