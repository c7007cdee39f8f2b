//! URIs: sip and sips (RFC 3261 §19.1), tel (RFC 3966), and any other scheme kept whole. Escapes
//! pass through untouched; decoding is for those who compare.

use crate::fault::Fault;
use crate::grammar::{cut, decimal, is_uri_text, trim_start};
use crate::param::{Params, percent_decoded};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What kind of URI it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other; the whole URI is in [`Uri::other`].
    Other,
}

/// A URI in its parts, all borrowed and still escaped. Prints from its parts, so a changed part is
/// a changed URI.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// Which of the parts below mean something.
    pub scheme: Scheme,
    /// The user part without password, `;par=` before the `@` included; for tel, the number.
    pub user: Option<&'a str>,
    /// What stands between `:` and `@`.
    pub password: Option<&'a str>,
    /// Name or address, an IPv6 address with its brackets; empty for tel and other schemes.
    pub host: &'a str,
    /// The port, if it is written.
    pub port: Option<u16>,
    /// URI parameters; for tel, the number's.
    pub params: Params<'a>,
    /// What stands behind the `?`.
    pub headers: Option<&'a str>,
    /// The whole URI when the scheme is [`Scheme::Other`], else empty.
    pub other: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI. Fails on blanks, control characters and `<>"`, on a missing scheme, and for
    /// sip, sips and tel on an empty user, a host that is none, or a port out of range.
    pub fn parse(text: &'a str) -> Result<Uri<'a>, Fault> {
        if !is_uri_text(text.as_bytes()) {
            return Err(Fault::Grammar("URI with a character that must be escaped"));
        }
        Uri::of_text(text)
    }

    /// The same for text that has been found to have no such character.
    pub(crate) fn of_text(text: &'a str) -> Result<Uri<'a>, Fault> {
        let (scheme, rest) = cut(text, b':').ok_or(Fault::Grammar("URI without a scheme"))?;
        match scheme {
            s if s.eq_ignore_ascii_case("sip") => parse_sip(Scheme::Sip, rest),
            s if s.eq_ignore_ascii_case("sips") => parse_sip(Scheme::Sips, rest),
            s if s.eq_ignore_ascii_case("tel") => parse_tel(rest),
            s if is_scheme(s) && !rest.is_empty() => Ok(Uri {
                other: text,
                ..Uri::empty(Scheme::Other)
            }),
            _ => Err(Fault::Grammar("URI without a scheme")),
        }
    }

    /// A sip URI made of parts that the caller knows to be fit for one (see [`escape_user`]).
    pub fn sip(user: Option<&'a str>, host: &'a str, port: Option<u16>) -> Uri<'a> {
        Uri {
            user,
            host,
            port,
            ..Uri::empty(Scheme::Sip)
        }
    }

    fn empty(scheme: Scheme) -> Uri<'a> {
        Uri {
            scheme,
            user: None,
            password: None,
            host: "",
            port: None,
            params: Params::NONE,
            headers: None,
            other: "",
        }
    }

    /// The user part with its escapes decoded, bytes that are not UTF-8 as U+FFFD, `%00` as NUL;
    /// empty without a user part.
    pub fn user_decoded(&self) -> Cow<'a, str> {
        let user = self.user.unwrap_or("");
        if !user.contains('%') {
            return Cow::Borrowed(user);
        }
        let bytes: Vec<u8> = percent_decoded(user.as_bytes()).collect();
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Where the URI points when its host is a literal address. Without a written port 5060, or
    /// 5061 for sips and for `transport=tls` (RFC 3263 §4.2).
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let tls = || {
            let transport = self.params.get("transport").flatten();
            transport.is_some_and(|t| t.eq_ignore_ascii_case("tls"))
        };
        let port = self.port.unwrap_or_else(|| match self.scheme {
            Scheme::Sips => 5061,
            Scheme::Sip | Scheme::Tel | Scheme::Other if tls() => 5061,
            Scheme::Sip | Scheme::Tel | Scheme::Other => 5060,
        });
        host_address(self.host).map(|ip| SocketAddr::new(ip, port))
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Sip => "sip:",
            Scheme::Sips => "sips:",
            Scheme::Tel => "tel:",
            Scheme::Other => return f.write_str(self.other),
        })?;
        f.write_str(self.user.unwrap_or(""))?;
        if let Some(password) = self.password {
            write!(f, ":{password}")?;
        }
        if self.user.is_some() && self.scheme != Scheme::Tel {
            f.write_str("@")?;
        }
        f.write_str(self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.params.as_str())?;
        self.headers
            .map_or(Ok(()), |headers| write!(f, "?{headers}"))
    }
}

fn parse_sip(scheme: Scheme, rest: &str) -> Result<Uri<'_>, Fault> {
    // The grammar has `@` nowhere but behind the user part, so the first one ends it, whatever
    // `;`, `?` or `/` stands before.
    let (userinfo, hostport) = match cut(rest, b'@') {
        Some((userinfo, hostport)) => (Some(userinfo), hostport),
        None => (None, rest),
    };
    let (user, password) = match userinfo.map(|u| cut(u, b':')) {
        Some(Some((user, password))) => (Some(user), Some(password)),
        Some(None) => (userinfo, None),
        None => (None, None),
    };
    if user == Some("") {
        return Err(Fault::Grammar("URI with an empty user part"));
    }
    let (host_len, port, len) = host_port(hostport.as_bytes())?;
    let (params, headers) = match hostport.as_bytes().get(len) {
        None => ("", None),
        Some(b'?') => ("", Some(&hostport[len + 1..])),
        Some(b';') => match cut(&hostport[len..], b'?') {
            Some((params, headers)) => (params, Some(headers)),
            None => (&hostport[len..], None),
        },
        Some(_) => return Err(Fault::Grammar("character in a host")),
    };
    Ok(Uri {
        user,
        password,
        host: &hostport[..host_len],
        port,
        params: Params::in_uri(params),
        headers,
        ..Uri::empty(scheme)
    })
}

fn parse_tel(rest: &str) -> Result<Uri<'_>, Fault> {
    let (number, params) = split_params(rest);
    if number.is_empty() || number.contains(['@', '?']) {
        return Err(Fault::Grammar("tel URI without a number"));
    }
    Ok(Uri {
        user: Some(number),
        params: Params::in_uri(params),
        ..Uri::empty(Scheme::Tel)
    })
}

/// What stands before the first semicolon, and the rest from it.
fn split_params(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| b == b';').unwrap_or(text.len()))
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Checks the `host [ COLON port ]` that the bytes begin with (RFC 3261 §25.1); returns the host's
/// length, the port, and the length of both with blanks behind them. What stands behind that is for
/// the caller to judge. Blanks round the colon occur in a Via only: a URI with a blank does not come here. A bare IPv6 address
/// has colons that would be a port's, so it needs its brackets (RFC 5118 §4.2).
pub(crate) fn host_port(bytes: &[u8]) -> Result<(usize, Option<u16>, usize), Fault> {
    let host_len = match bytes {
        [b'[', inner @ ..] => {
            let digits = inner
                .iter()
                .position(|b| !is_ipv6_byte(*b))
                .unwrap_or(inner.len());
            match inner.get(digits) {
                Some(b']') if digits > 0 => digits + 2,
                _ => return Err(Fault::Grammar("host is no IPv6 reference")),
            }
        }
        name => name
            .iter()
            .position(|b| !is_host_byte(*b))
            .unwrap_or(name.len()),
    };
    if host_len == 0 {
        return Err(Fault::Grammar("no host"));
    }
    let rest = trim_start(&bytes[host_len..]);
    let [b':', digits @ ..] = rest else {
        return Ok((host_len, None, bytes.len() - rest.len()));
    };
    let digits = trim_start(digits);
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let port = port_number(&digits[..count])?;
    let rest = &digits[count..];
    Ok((host_len, Some(port), bytes.len() - rest.len()))
}

/// A decimal port.
pub(crate) fn port_number(digits: &[u8]) -> Result<u16, Fault> {
    decimal(digits, u32::from(u16::MAX))
        .and_then(|port| u16::try_from(port).ok())
        .ok_or(Fault::Grammar("port is no number up to 65535"))
}

fn is_host_byte(byte: u8) -> bool {
    HOST[usize::from(byte)]
}

/// `true` for each byte of a host name. Underscores stand in none by the book, in many by custom.
const HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        byte += 1;
    }
    table
};

fn is_ipv6_byte(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

/// The address that a host names literally, with or without IPv6 brackets.
pub(crate) fn host_address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Percent-encodes what may not stand in a user part (RFC 3261 §25.1 `user`). Borrows when there
/// is nothing to encode.
pub fn escape_user(text: &str) -> Cow<'_, str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
    if text.bytes().all(fits) {
        return Cow::Borrowed(text);
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if fits(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Scheme, Uri, escape_user};

    #[test]
    fn sip_uris_split_and_print_back() {
        for text in [
            "sip:example.com",
            "sip:alice:secret@example.com:5070;transport=tcp;lr?Subject=x&a=b",
            "sips:user;par=u%40example.net@example.com",
            "sip:+15551234;phone-context=x@[2001:db8::10]:5061;user=phone",
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1@example.com",
            "tel:+1-201-555-0123;phone-context=example.com",
            "nobodyKnowsThisScheme:totallyopaquecontent",
        ] {
            assert_eq!(Uri::parse(text).unwrap().to_string(), text);
        }
        let uri = Uri::parse("SIP:alice:secret@example.com:5070;transport=tcp?a=b").unwrap();
        assert_eq!((uri.user, uri.password), (Some("alice"), Some("secret")));
        assert_eq!(
            (uri.host, uri.port, uri.headers),
            ("example.com", Some(5070), Some("a=b"))
        );
        assert_eq!(uri.params.get("Transport"), Some(Some("tcp")));
    }

    #[test]
    fn the_first_at_sign_ends_the_user_part() {
        let uri = Uri::parse("sip:user;par=u%40example.net@example.com").unwrap();
        assert_eq!(uri.user, Some("user;par=u%40example.net"));
        assert!(uri.params.is_empty());
        assert_eq!(uri.user_decoded(), "user;par=u@example.net");
        assert!(Uri::parse("sip:user@evil.example@example.com").is_err());
    }

    #[test]
    fn a_tel_uri_has_a_number_and_no_host() {
        let uri = Uri::parse("tel:7042;phone-context=example.com").unwrap();
        assert_eq!(
            (uri.scheme, uri.user, uri.host),
            (Scheme::Tel, Some("7042"), "")
        );
        assert_eq!(uri.params.get("phone-context"), Some(Some("example.com")));
        assert_eq!(uri.socket_addr(), None);
    }

    #[test]
    fn what_is_no_uri() {
        for bad in [
            "",
            "sip:",
            "sip",
            ":x",
            "1x:y",
            "x:",
            "sip:@host",
            "sip:a b@host",
            "<sip:a@b>",
            "sip:a@",
            "sip:a@host:",
            "sip:a@host:65536",
            "sip:a@host:5x",
            "sip:a@[::1",
            "sip:a@[]",
            "sip:a@[::1]x",
            "sip:2001:db8::10",
            "sip:a@b\r\nEvil: x",
            "sip:a@h\u{e9}",
            "tel:",
            "sip:a\u{0}@b",
        ] {
            assert!(Uri::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn literal_hosts_are_addresses() {
        let addr = |text| {
            Uri::parse(text)
                .unwrap()
                .socket_addr()
                .map(|a| a.to_string())
        };
        assert_eq!(addr("sip:a@192.0.2.1").as_deref(), Some("192.0.2.1:5060"));
        assert_eq!(addr("sips:a@192.0.2.1").as_deref(), Some("192.0.2.1:5061"));
        assert_eq!(
            addr("sip:192.0.2.1;transport=TLS").as_deref(),
            Some("192.0.2.1:5061")
        );
        assert_eq!(
            addr("sip:a@[2001:db8::1]:5070").as_deref(),
            Some("[2001:db8::1]:5070")
        );
        assert_eq!(
            addr("sip:a@[::ffff:192.0.2.1]").as_deref(),
            Some("[::ffff:192.0.2.1]:5060")
        );
        assert_eq!(addr("sip:[2001:db8:::192.0.2.1]"), None);
        assert_eq!(addr("sip:a@example.com"), None);
    }

    #[test]
    fn users_are_escaped_and_decoded() {
        assert!(matches!(
            escape_user("+1555;x=y"),
            std::borrow::Cow::Borrowed(_)
        ));
        assert_eq!(escape_user("a b@c#\u{e9}\0:"), "a%20b%40c%23%C3%A9%00%3A");
        let decoded = |text| Uri::parse(text).unwrap().user_decoded().into_owned();
        assert_eq!(decoded("sip:null-%00-null@example.com"), "null-\0-null");
        assert_eq!(decoded("sip:%Z%4@example.com"), "%Z%4");
        assert_eq!(decoded("sip:%ff@example.com"), "\u{fffd}");
        assert_eq!(decoded("sip:example.com"), "");
    }
}
