//! Which dialog is to be replaced: the Replaces header (RFC 3891 §6.1), and the same inside of a
//! Refer-To URI (RFC 3515 §2.1). Never finds the dialog.

use crate::fault::Fault;
use crate::grammar::{cut, trim};
use crate::param::{Params, percent_decoded};
use crate::uri::Uri;

/// A dialog, named as the one who is asked to replace it knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// The tag of the one who is asked.
    pub to_tag: Vec<u8>,
    /// The tag of its peer.
    pub from_tag: Vec<u8>,
    /// Only if the dialog is not confirmed yet.
    pub early_only: bool,
}

impl Replaces {
    /// Reads a header value. Fails without a Call-ID or one of the tags.
    pub fn parse(value: &[u8]) -> Result<Replaces, Fault> {
        let value = trim(value);
        let end = value.iter().position(|b| *b == b';');
        let (call_id, params) = value.split_at(end.unwrap_or(value.len()));
        let params = Params::parse(params)?;
        let tag = |name| match params.get(name).flatten() {
            Some(tag) if !tag.is_empty() => Ok(tag.as_bytes().to_vec()),
            _ => Err(Fault::Grammar("Replaces without both tags")),
        };
        let call_id = trim(call_id);
        if call_id.is_empty() || call_id.iter().any(|b| b.is_ascii_whitespace()) {
            return Err(Fault::Grammar("Replaces without a Call-ID"));
        }
        Ok(Replaces {
            call_id: call_id.to_vec(),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.get("early-only").is_some(),
        })
    }

    /// The Replaces that a URI asks for in its headers part; `None` without one.
    pub fn of_uri(uri: &Uri<'_>) -> Option<Result<Replaces, Fault>> {
        let headers = uri.headers.unwrap_or_default();
        headers.split('&').find_map(|header| {
            let (name, value) = cut(header, b'=')?;
            let name: Vec<u8> = percent_decoded(name.as_bytes()).collect();
            let value: Vec<u8> = percent_decoded(value.as_bytes()).collect();
            name.eq_ignore_ascii_case(b"Replaces")
                .then(|| Replaces::parse(&value))
        })
    }

    /// The header value.
    pub fn to_value(&self) -> Vec<u8> {
        let mut value = self.call_id.clone();
        for (name, tag) in [(";to-tag=", &self.to_tag), (";from-tag=", &self.from_tag)] {
            value.extend_from_slice(name.as_bytes());
            value.extend_from_slice(tag);
        }
        if self.early_only {
            value.extend_from_slice(b";early-only");
        }
        value
    }

    /// The header as it stands behind the `?` of a URI: everything but letters and digits escaped.
    pub fn to_uri_header(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::from("Replaces=");
        for byte in self.to_value() {
            if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Replaces;
    use crate::uri::Uri;

    /// RFC 3891 §6.1
    #[test]
    fn a_dialog_is_named() {
        let value = b" 98732@sip.example.com ;from-tag=r33th4x0r ; to-tag=ff87ff;early-only";
        let r = Replaces::parse(value).unwrap();
        assert_eq!(r.call_id, b"98732@sip.example.com");
        assert_eq!(
            (&*r.to_tag, &*r.from_tag),
            (&b"ff87ff"[..], &b"r33th4x0r"[..])
        );
        assert!(r.early_only);
        assert_eq!(Replaces::parse(&r.to_value()), Ok(r));
        for bad in [
            "",
            ";to-tag=1;from-tag=2",
            "a;to-tag=1",
            "a;from-tag=1;to-tag",
            "a b;to-tag=1;from-tag=2",
        ] {
            assert!(Replaces::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    /// RFC 5589 §7.3
    #[test]
    fn a_uri_asks_for_it() {
        let text = "sip:t@b.example?Subject=x&replaces=090459243588173445%3Bto-tag%3D9m2n3wq%3Bfrom-tag%3D763231";
        let r = Replaces::of_uri(&Uri::parse(text).unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(
            (&*r.call_id, r.early_only),
            (&b"090459243588173445"[..], false)
        );
        let again = format!("sip:t@b.example?{}", r.to_uri_header());
        assert_eq!(Replaces::of_uri(&Uri::parse(&again).unwrap()), Some(Ok(r)));
        assert_eq!(
            Replaces::of_uri(&Uri::parse("sip:t@b.example?a=b").unwrap()),
            None
        );
        let bad = Uri::parse("sip:t@b.example?Replaces=1").unwrap();
        assert!(Replaces::of_uri(&bad).unwrap().is_err());
    }
}
