//! Via (RFC 3261 §20.42), and where a response goes by it (§18.2.2, RFC 3581 §4).

use crate::fault::Fault;
use crate::grammar::{LWS, token_len, trim_str};
use crate::param::Params;
use crate::uri::{host_port, port_number};
use std::net::SocketAddr;

/// One member of a Via list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// Protocol name, `SIP` from all but liars.
    pub protocol: &'a str,
    /// Protocol version.
    pub version: &'a str,
    /// `UDP`, `TCP`, `TLS` or any other token, as written.
    pub transport: &'a str,
    /// Name or address, an IPv6 address with its brackets.
    pub host: &'a str,
    /// The port, if it is written.
    pub port: Option<u16>,
    /// The transaction's branch.
    pub branch: Option<&'a [u8]>,
    /// The address that the next hop saw; IPv6 with or without brackets (RFC 5118 §4.5).
    pub received: Option<&'a str>,
    /// `Some(None)` asks for the port (RFC 3581 §3), `Some(Some(port))` is the answer.
    pub rport: Option<Option<u16>>,
    /// All parameters.
    pub params: Params<'a>,
    sent_by: &'a str,
}

impl<'a> Via<'a> {
    /// Reads one member, blanks round `/`, `:`, `;` and `=` allowed.
    pub fn parse(member: &'a [u8]) -> Result<Via<'a>, Fault> {
        let (mut via, params) = Via::head(member)?;
        via.params = Params::parse(params)?;
        for (name, value) in via.params.iter() {
            match name {
                n if n.eq_ignore_ascii_case("branch") => via.branch = value.map(str::as_bytes),
                n if n.eq_ignore_ascii_case("received") => via.received = value,
                n if n.eq_ignore_ascii_case("rport") => {
                    via.rport = Some(rport(value.unwrap_or(""))?);
                }
                _ => {}
            }
        }
        Ok(via)
    }

    /// Everything up to the parameters, and the bytes of the parameters, which nobody has looked
    /// at: enough to answer a message that is refused for them.
    pub(crate) fn head(member: &'a [u8]) -> Result<(Via<'a>, &'a [u8]), Fault> {
        let front = memchr::memchr2(b';', b',', member).unwrap_or(member.len());
        let (front, params) = member.split_at(front);
        let front = std::str::from_utf8(front).map_err(|_| Fault::Grammar("not UTF-8"))?;
        let (protocol, rest) = token(front)?;
        let (version, rest) = token(slash(rest)?)?;
        let (transport, rest) = token(slash(rest)?)?;
        if !rest.starts_with(LWS) {
            return Err(Fault::Grammar("no blank before sent-by"));
        }
        let sent_by = trim_str(rest);
        let (host_len, port, len) = host_port(sent_by.as_bytes())?;
        if len < sent_by.len() {
            return Err(Fault::Grammar("character in a host"));
        }
        let via = Via {
            protocol,
            version,
            transport,
            host: &sent_by[..host_len],
            port,
            branch: None,
            received: None,
            rport: None,
            params: Params::NONE,
            sent_by,
        };
        Ok((via, params))
    }

    /// Host and port as written, the second half of a server transaction's key (§17.2.3).
    pub fn sent_by(&self) -> &'a [u8] {
        self.sent_by.as_bytes()
    }
}

fn token(text: &str) -> Result<(&str, &str), Fault> {
    match text.split_at(token_len(text.as_bytes())) {
        ("", _) => Err(Fault::Grammar("no sent-protocol")),
        split => Ok(split),
    }
}

fn slash(text: &str) -> Result<&str, Fault> {
    // Nearly nobody writes a blank here.
    let rest = match text.strip_prefix('/') {
        Some(rest) => rest,
        None => text
            .trim_start_matches(LWS)
            .strip_prefix('/')
            .ok_or(Fault::Grammar("no sent-protocol"))?,
    };
    match rest.starts_with(LWS) {
        true => Ok(rest.trim_start_matches(LWS)),
        false => Ok(rest),
    }
}

fn rport(value: &str) -> Result<Option<u16>, Fault> {
    if value.is_empty() {
        Ok(None)
    } else {
        port_number(value.as_bytes()).map(Some)
    }
}

/// Where a response to a request goes that came over UDP from `source` with this topmost Via: back
/// to the source when the client asked for that by `rport`, else to the source's address at the
/// Via's port, 5060 (TLS: 5061) if none is written. The address is never taken from the Via, so a
/// forged one reaches nobody, and `maddr` is not followed: multicast is not supported.
pub fn response_address(via: &Via<'_>, source: SocketAddr) -> SocketAddr {
    if via.rport.is_some() {
        return source;
    }
    reconnect_address(via, source)
}

/// Where a response to a request goes that came over a connection from `source`, once that
/// connection is gone: to the source's address at the Via's port, 5060 (TLS: 5061) if none is
/// written. The port that the source had is of no use to anybody else.
pub fn reconnect_address(via: &Via<'_>, source: SocketAddr) -> SocketAddr {
    let default = if via.transport.eq_ignore_ascii_case("TLS") {
        5061
    } else {
        5060
    };
    SocketAddr::new(source.ip(), via.port.unwrap_or(default))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Via, reconnect_address, response_address};

    #[test]
    fn blanks_and_folds_do_not_count() {
        let via = Via::parse(
            b"SIP  / 2.0\r\n  / TCP     spindle.example.com : 5070  ;\r\n branch  =   z9hG4bK9ikj8",
        )
        .unwrap();
        assert_eq!(
            (via.protocol, via.version, via.transport),
            ("SIP", "2.0", "TCP")
        );
        assert_eq!((via.host, via.port), ("spindle.example.com", Some(5070)));
        assert_eq!(via.branch, Some(&b"z9hG4bK9ikj8"[..]));
        let v6 = Via::parse(b"SIP/2.0/UDP [2001:db8::9:1] : 5061").unwrap();
        assert_eq!((v6.host, v6.port), ("[2001:db8::9:1]", Some(5061)));
    }

    #[test]
    fn ipv6_received_with_and_without_brackets() {
        for received in ["2001:db8::9:255", "[2001:db8::9:255]"] {
            let text =
                format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3-111");
            let via = Via::parse(text.as_bytes()).unwrap();
            assert_eq!(
                (via.host, via.received),
                ("[2001:db8::9:1]", Some(received))
            );
            assert_eq!(via.sent_by(), b"[2001:db8::9:1]");
        }
    }

    #[test]
    fn rport_asks_or_answers() {
        let rport = |text: &'static str| Via::parse(text.as_bytes()).map(|v| v.rport);
        assert_eq!(rport("SIP/2.0/UDP h;branch=x;rport"), Ok(Some(None)));
        assert_eq!(rport("SIP/2.0/UDP h;rport=5060"), Ok(Some(Some(5060))));
        assert_eq!(rport("SIP/2.0/UDP h"), Ok(None));
        assert!(rport("SIP/2.0/UDP h;rport=x").is_err());
    }

    #[test]
    fn what_is_no_via() {
        for bad in [
            "",
            "SIP/2.0 h",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0/UDP h;",
            "SIP/2.0/UDP h;;",
            "/2.0/UDP h",
            "SIP/2.0/UDP ;branch=x",
            "SIP/2.0/UDP h:x",
            "SIP/2.0/UDP h i",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h : ",
            "SIP/2.0/UDP h x;branch=y",
        ] {
            assert!(Via::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn responses_go_to_the_source() {
        let source = "192.0.2.9:49152".parse().unwrap();
        let to = |text: &'static str| {
            response_address(&Via::parse(text.as_bytes()).unwrap(), source).to_string()
        };
        assert_eq!(to("SIP/2.0/UDP 10.0.0.1:5080;rport"), "192.0.2.9:49152");
        assert_eq!(to("SIP/2.0/UDP 10.0.0.1:5080"), "192.0.2.9:5080");
        assert_eq!(to("SIP/2.0/UDP 255.255.255.255"), "192.0.2.9:5060");
        assert_eq!(to("SIP/2.0/TLS h;maddr=224.0.1.75"), "192.0.2.9:5061");
    }

    #[test]
    fn a_new_connection_goes_to_the_port_of_the_via() {
        let source = "192.0.2.9:49152".parse().unwrap();
        let to = |text: &'static str| {
            reconnect_address(&Via::parse(text.as_bytes()).unwrap(), source).to_string()
        };
        assert_eq!(to("SIP/2.0/TCP 10.0.0.1:5080;rport"), "192.0.2.9:5080");
        assert_eq!(to("SIP/2.0/TCP 10.0.0.1"), "192.0.2.9:5060");
        assert_eq!(to("SIP/2.0/TLS 10.0.0.1;rport"), "192.0.2.9:5061");
    }
}
