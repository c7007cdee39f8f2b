//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route and their like
//! (RFC 3261 §20.10, §25.1).

use crate::fault::Fault;
use crate::grammar::{is_lws, is_uri_text, quoted_len, trim, trim_start, unquote};
use crate::param::Params;
use crate::uri::Uri;
use std::borrow::Cow;

/// One address with what stands round it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name without quotes and escapes; `None` when there is none or it is empty.
    pub display: Option<Cow<'a, str>>,
    /// The URI, which has at least neither blanks nor `<>`.
    pub uri: &'a str,
    /// Header parameters: those behind the `>`, or, without brackets, all.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one address; the value may be folded, its list must have been split.
    ///
    /// Fails on an unclosed quote or bracket, on blanks inside the brackets, on bad parameters,
    /// and on `,` or `?` in a URI without brackets (RFC 3261 §20.10). A display name without
    /// quotes may have any characters but `,;"<>` and controls: more than tokens, because peers
    /// send names with letters from beyond ASCII, dots and parentheses.
    pub fn parse(value: &'a [u8]) -> Result<NameAddr<'a>, Fault> {
        let Parts {
            display,
            uri,
            params,
        } = Parts::of(value)?;
        let display = Some(display).filter(|d| !d.is_empty()).map(unquote);
        Ok(NameAddr {
            display: display.filter(|d| !d.is_empty()),
            uri,
            params,
        })
    }
    /// The `tag` parameter; `None` without it or when it is empty.
    pub fn tag(&self) -> Option<&'a [u8]> {
        tag_of(&self.params)
    }

    /// The URI in its parts.
    pub fn uri(&self) -> Result<Uri<'a>, Fault> {
        Uri::parse(self.uri)
    }
}

/// The checked tag of a From or To: what [`NameAddr::parse`] and the URI's parser find wrong is
/// wrong here, but no display name is decoded for it. A tag without a value is no tag (§25.1
/// tag-param), and a response that copies it would have none either.
pub(crate) fn checked_tag(value: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let parts = Parts::of(value)?;
    Uri::of_text(parts.uri)?;
    match parts.params.get("tag") {
        None => Ok(None),
        Some(Some(tag)) if !tag.is_empty() => Ok(Some(tag.as_bytes())),
        Some(_) => Err(Fault::Grammar("tag without a value")),
    }
}

fn tag_of<'a>(params: &Params<'a>) -> Option<&'a [u8]> {
    let tag = params.get("tag").flatten().map(str::as_bytes);
    tag.filter(|tag| !tag.is_empty())
}

/// An address as it is written: the display name with its quotes.
struct Parts<'a> {
    display: &'a [u8],
    uri: &'a str,
    params: Params<'a>,
}

impl<'a> Parts<'a> {
    fn of(value: &'a [u8]) -> Result<Parts<'a>, Fault> {
        let value = trim(value);
        if value.first() == Some(&b'"') {
            let end = quoted_len(value).ok_or(Fault::Grammar("quoted string is not closed"))?;
            return bracketed(trim_start(&value[end..]), &value[..end]);
        }
        match memchr::memchr3(b'<', b'"', b';', value) {
            Some(at) if value[at] == b'<' => {
                let display = trim(&value[..at]);
                if display
                    .iter()
                    .any(|b| matches!(b, b',' | b'>') || b.is_ascii_control() && !is_lws(*b))
                {
                    return Err(Fault::Grammar("display name needs quotes"));
                }
                bracketed(&value[at..], display)
            }
            _ => bare(value),
        }
    }
}

fn bracketed<'a>(rest: &'a [u8], display: &'a [u8]) -> Result<Parts<'a>, Fault> {
    let [b'<', rest @ ..] = rest else {
        return Err(Fault::Grammar("no < behind the display name"));
    };
    let end = memchr::memchr(b'>', rest).ok_or(Fault::Grammar("< is not closed"))?;
    Ok(Parts {
        display,
        uri: uri_text(&rest[..end])?,
        params: Params::parse(&rest[end + 1..])?,
    })
}

fn bare(value: &[u8]) -> Result<Parts<'_>, Fault> {
    let (uri, params) = value.split_at(memchr::memchr(b';', value).unwrap_or(value.len()));
    let uri = uri_text(trim(uri))?;
    if uri.contains([',', '?']) {
        return Err(Fault::Grammar("URI with , or ? needs < >"));
    }
    Ok(Parts {
        display: b"",
        uri,
        params: Params::parse(params)?,
    })
}

fn uri_text(bytes: &[u8]) -> Result<&str, Fault> {
    if bytes.is_empty() || !is_uri_text(bytes) {
        return Err(Fault::Grammar(
            "URI is empty or has a character that must be escaped",
        ));
    }
    std::str::from_utf8(bytes).map_err(|_| Fault::Grammar("URI is not UTF-8"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::NameAddr;

    fn parsed(text: &str) -> (Option<String>, &str, Option<&str>) {
        let addr = NameAddr::parse(text.as_bytes()).unwrap();
        let tag = addr.tag().map(|t| std::str::from_utf8(t).unwrap());
        (addr.display.map(|d| d.into_owned()), addr.uri, tag)
    }

    #[test]
    fn three_ways_to_write_an_address() {
        let uri = "sip:a@b.example;lr";
        assert_eq!(parsed("<sip:a@b.example;lr>;tag=1"), (None, uri, Some("1")));
        assert_eq!(
            parsed("caller<sip:a@b.example;lr>"),
            (Some("caller".into()), uri, None)
        );
        assert_eq!(
            parsed("\"Q \\\"x\\\" <y>, z\"  <sip:a@b.example;lr>\r\n ;\r\n tag = 9"),
            (Some("Q \"x\" <y>, z".into()), uri, Some("9"))
        );
        assert_eq!(parsed("\"\" <sip:a@b.example;lr>"), (None, uri, None));
    }

    #[test]
    fn without_brackets_all_parameters_are_the_headers() {
        assert_eq!(
            parsed("sip:a@b ;   tag    = x"),
            (None, "sip:a@b", Some("x"))
        );
        let addr = NameAddr::parse(b"sip:+1@gw.example;unknownparam;q=\"<x>\"").unwrap();
        assert_eq!(addr.params.get("unknownparam"), Some(None));
        assert!(addr.uri().unwrap().params.is_empty());
    }

    #[test]
    fn names_from_beyond_ascii_are_read() {
        assert_eq!(
            parsed("J\u{fc}rgen (Desk) <sip:a@b>").0.as_deref(),
            Some("J\u{fc}rgen (Desk)")
        );
        let latin1 = NameAddr::parse(b"\"J\xfcrgen\" <sip:a@b>").unwrap();
        assert_eq!(latin1.display.as_deref(), Some("J\u{fffd}rgen"));
    }

    #[test]
    fn what_is_no_address() {
        for bad in [
            "",
            "\"open <sip:a@b>",
            "\"x\" sip:a@b",
            "<sip:a@b",
            "< sip:a@b >",
            "<>",
            "<sip:a@b>x",
            "<sip:a@b>;;",
            "Bell, Alexander <sip:a@b>",
            "sip:a@b?Route=x",
            "sip:a,b@c",
            "x \"y\" <sip:a@b>",
            "<sip:a@b>>",
            "<sip:a@b>;tag=1,<sip:c@d>",
        ] {
            assert!(NameAddr::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
