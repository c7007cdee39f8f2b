//! The small languages inside strings: durations, sizes, addresses, networks, SIP URIs, names.
//!
//! Each function reads one value or says what is wrong with it and what to write. No IO: names are
//! resolved in `trunk`.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use intertrunk_proto::Transport;
use intertrunk_proto::trunk::SourceMatch;
use intertrunk_sip::{Method, Scheme, Uri};

/// What is wrong with a value, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// What is wrong.
    pub problem: String,
    /// What to write.
    pub remedy: String,
}

impl Complaint {
    /// Both in words.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Complaint {
        Complaint {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

/// Any text.
pub fn text(text: &str) -> Result<String, Complaint> {
    Ok(text.to_owned())
}

/// A name that can stand in a URL, a label and a command line.
pub fn name(text: &str) -> Result<String, Complaint> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(legal) {
        let problem = format!("\"{text}\" is no name");
        return Err(Complaint::new(
            problem,
            "write 1 to 64 letters, digits, `-`, `_` or `.`",
        ));
    }
    Ok(text.to_owned())
}

/// A name, or `*` for all.
pub fn grant(text: &str) -> Result<String, Complaint> {
    if text == "*" {
        Ok(text.to_owned())
    } else {
        name(text)
    }
}

/// The name of a header field.
pub fn header_name(text: &str) -> Result<String, Complaint> {
    if intertrunk_sip::is_token(text.as_bytes()) {
        return Ok(text.to_owned());
    }
    let problem = format!("\"{text}\" is no header name");
    Err(Complaint::new(
        problem,
        "write a name such as \"X-Account\"",
    ))
}

/// A method that we take from peers, in capital letters as on the wire (RFC 3261 §7.1).
pub fn method(text: &str) -> Result<Method, Complaint> {
    const REMEDY: &str = "write some of INVITE, OPTIONS, INFO, UPDATE, MESSAGE, NOTIFY, REFER";
    match Method::parse(text.as_bytes()) {
        Some(Method::Register | Method::Subscribe | Method::Publish | Method::Other(_)) | None => {
            Err(Complaint::new(
                format!("\"{text}\" is no method that we take"),
                REMEDY,
            ))
        }
        Some(method) => Ok(method),
    }
}

/// A duration with a unit, within bounds that are given in milliseconds.
pub fn duration(bounds_ms: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, Complaint> {
    move |text| {
        let parsed = humantime::parse_duration(text);
        let duration = parsed.map_err(|error| {
            let problem = format!("\"{text}\" is no duration: {error}");
            Complaint::new(
                problem,
                "write a number with a unit, such as \"20ms\" or \"10s\"",
            )
        })?;
        let bounds = (*bounds_ms.start(), *bounds_ms.end());
        let (min, max) = (
            Duration::from_millis(bounds.0),
            Duration::from_millis(bounds.1),
        );
        if duration < min || duration > max {
            let (min, max) = (
                humantime::format_duration(min),
                humantime::format_duration(max),
            );
            let remedy = format!("write a duration from {min} to {max}");
            return Err(Complaint::new(
                format!("\"{text}\" is out of range"),
                remedy,
            ));
        }
        Ok(duration)
    }
}

/// A duration in whole seconds, within bounds.
pub fn seconds(bounds: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, Complaint> {
    let ms = |s: u32| u64::from(s) * 1000;
    let duration = duration(ms(*bounds.start())..=ms(*bounds.end()));
    move |text| {
        let seconds = duration(text)?.as_secs();
        Ok(u32::try_from(seconds).expect("within bounds that are u32"))
    }
}

/// A size in bytes with a unit: `B`, `KiB`, `MiB`, `GiB`, or the decimal `kB`, `MB`, `GB`.
pub fn size(bounds: RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, Complaint> {
    move |text| {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim_start() {
            "B" => Some(1),
            "kB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        let bytes = factor.zip(number.parse::<usize>().ok());
        let bytes = bytes.and_then(|(factor, number)| number.checked_mul(factor));
        let Some(bytes) = bytes else {
            let remedy = "write a whole number with a unit, such as \"32MiB\"";
            return Err(Complaint::new(format!("\"{text}\" is no size"), remedy));
        };
        if !bounds.contains(&bytes) {
            let remedy = match (bounds.start(), bounds.end()) {
                (min, max) if *min < 1 << 20 => format!("write a size from {min}B to {max}B"),
                (min, max) => format!("write a size from {}MiB to {}MiB", min >> 20, max >> 20),
            };
            return Err(Complaint::new(
                format!("\"{text}\" is out of range"),
                remedy,
            ));
        }
        Ok(bytes)
    }
}

/// A literal address with a port.
pub fn address(text: &str) -> Result<SocketAddr, Complaint> {
    text.parse().map_err(|_| {
        let problem = format!("\"{text}\" is no address with a port");
        Complaint::new(
            problem,
            "write \"192.0.2.1:5060\" or \"[2001:db8::1]:5060\"",
        )
    })
}

/// A host, perhaps with a port, as written into Via and Contact.
pub fn host_port(text: &str) -> Result<String, Complaint> {
    let uri = format!("sip:{text}");
    let bare = |uri: &Uri<'_>| uri.user.is_none() && uri.params.is_empty() && uri.headers.is_none();
    match Uri::parse(&uri) {
        Ok(uri) if bare(&uri) => Ok(text.to_owned()),
        _ => {
            let problem = format!("\"{text}\" is no host with a port");
            Err(Complaint::new(problem, "write \"sip.example.com:5060\""))
        }
    }
}

/// What tells that a message is a trunk's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Match {
    /// Where it came from.
    Source(SourceMatch),
    /// A name of the certificate that its connection showed, in lower case.
    Certificate(String),
}

/// An address, an address with a port, a network in CIDR form, or the name of a certificate.
pub fn source_match(text: &str) -> Result<Match, Complaint> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Match::Source(one_address(ip, None)));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let source = one_address(address.ip(), Some(address.port()));
        return Ok(Match::Source(source));
    }
    if is_certificate_name(text) {
        return Ok(Match::Certificate(text.to_ascii_lowercase()));
    }
    let unreadable = || {
        let problem = format!("\"{text}\" is no address, no network and no name");
        let remedy = "write \"192.0.2.1\", \"192.0.2.1:5060\", \"192.0.2.0/24\", or the name of a \
                      certificate, such as \"pbx.example.com\"";
        Complaint::new(problem, remedy)
    };
    let (network, prefix) = text.split_once('/').ok_or_else(unreadable)?;
    let network: IpAddr = network.parse().map_err(|_| unreadable())?;
    let prefix: u8 = prefix.parse().map_err(|_| unreadable())?;
    let masked = mask(network, prefix).ok_or_else(unreadable)?;
    if masked != network {
        let problem = format!("\"{text}\" has bits set beyond its prefix");
        return Err(Complaint::new(
            problem,
            format!("write \"{masked}/{prefix}\" or \"{network}\""),
        ));
    }
    Ok(Match::Source(SourceMatch {
        network,
        prefix,
        port: None,
    }))
}

/// A host name of at least two labels, the first of which may be `*`. One label is too likely to be
/// a slip of the pen.
fn is_certificate_name(text: &str) -> bool {
    let host = text.strip_prefix("*.").unwrap_or(text);
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let label = |l: &str| !l.is_empty() && l.len() <= 63 && l.chars().all(legal);
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|b| b.is_ascii_digit());
    host.contains('.') && host.len() <= 253 && host.split('.').all(label) && !is_number
}

/// The match for one address.
pub fn one_address(ip: IpAddr, port: Option<u16>) -> SourceMatch {
    let ip = ip.to_canonical();
    SourceMatch {
        network: ip,
        prefix: if ip.is_ipv4() { 32 } else { 128 },
        port,
    }
}

/// The network that `ip` is in; `None` if the prefix is longer than the address.
fn mask(ip: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX
                .checked_shl(32_u32.checked_sub(prefix)?)
                .unwrap_or(0);
            Some(IpAddr::V4((ip.to_bits() & mask).into()))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX
                .checked_shl(128_u32.checked_sub(prefix)?)
                .unwrap_or(0);
            Some(IpAddr::V6((ip.to_bits() & mask).into()))
        }
    }
}

/// Where a trunk's calls go, as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerUri {
    /// As written.
    pub uri: String,
    /// Host and port as written.
    pub host_port: String,
    /// Host without the brackets of an IPv6 address.
    pub host: String,
    /// Port, if written.
    pub port: Option<u16>,
    /// The transport that it asks for.
    pub transport: Option<Transport>,
    /// It is a `sips` URI.
    pub secure: bool,
}

/// A SIP URI of a peer: a host, perhaps a port, nobody's number.
pub fn peer(text: &str) -> Result<PeerUri, Complaint> {
    const REMEDY: &str = "write \"sip:192.0.2.1:5060\" or \"sip:gw.example.com\"";
    let complain = |problem: String| Complaint::new(problem, REMEDY);
    let uri = Uri::parse(text)
        .map_err(|fault| complain(format!("\"{text}\" is no SIP URI ({fault})")))?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => {}
        _ => return Err(complain(format!("\"{text}\" is no SIP URI"))),
    }
    if uri.user.is_some() {
        let problem = format!("\"{text}\" has a user part, but the number comes from each call");
        return Err(complain(problem));
    }
    let transport = uri.params.get("transport").flatten();
    let asked = Transport::asked_by(&uri);
    if transport.is_some() && asked.is_none() {
        let problem = format!("\"{text}\" wants a transport that there is not");
        let remedy = "write `;transport=udp`, `tcp` or `tls`, or leave it out";
        return Err(Complaint::new(problem, remedy));
    }
    if uri.host.is_empty() {
        return Err(complain(format!("\"{text}\" has no host")));
    }
    Ok(PeerUri {
        uri: text.to_owned(),
        host_port: match uri.port {
            Some(port) => format!("{}:{port}", uri.host),
            None => uri.host.to_owned(),
        },
        host: uri
            .host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
        port: uri.port,
        transport: asked,
        secure: uri.scheme == Scheme::Sips,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        let read = duration(1..=10_000);
        assert_eq!(read("20ms").unwrap(), Duration::from_millis(20));
        assert!(read("20").unwrap_err().remedy.contains("unit"));
        assert!(read("11s").unwrap_err().remedy.contains("1ms to 10s"));
        assert!(read("0s").is_err());
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        let read = size(1 << 20..=1 << 30);
        assert_eq!(read("32MiB").unwrap(), 32 << 20);
        assert_eq!(read("32 MB").unwrap(), 32_000_000);
        assert!(read("32").is_err());
        assert!(read("32Mib").is_err());
        assert!(read("2GiB").unwrap_err().remedy.contains("1MiB to 1024MiB"));
        assert!(read("99999999999999999999GiB").is_err());
    }

    #[test]
    fn sources_are_addresses_or_networks() {
        let source = |text: &str| match source_match(text) {
            Ok(Match::Source(source)) => source,
            other => panic!("{text}: {other:?}"),
        };
        let v4 = source("192.0.2.0/24");
        assert_eq!((v4.prefix, v4.port), (24, None));
        assert_eq!(source("192.0.2.1:5070").port, Some(5070));
        assert_eq!(source("2001:db8::1").prefix, 128);
        assert_eq!(source("[2001:db8::1]:5070").port, Some(5070));
        assert_eq!(source("0.0.0.0/0").prefix, 0);
        let stray = source_match("192.0.2.1/24").unwrap_err();
        assert!(stray.remedy.contains("192.0.2.0/24"), "{}", stray.remedy);
        for wrong in [
            "192.0.2.0/33",
            "2001:db8::/129",
            "gw",
            "1.2.3",
            "gw..example.com",
            "a.*.example.com",
            "*.",
            "",
            "/",
            "1.2.3.4/x",
        ] {
            assert!(source_match(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_match_may_be_the_name_of_a_certificate() {
        let name = |text: &str| source_match(text).unwrap();
        let expected = Match::Certificate("gw.example.com".to_owned());
        assert_eq!(name("GW.example.com"), expected);
        let expected = Match::Certificate("*.example.com".to_owned());
        assert_eq!(name("*.example.com"), expected);
    }

    #[test]
    fn a_peer_may_ask_for_a_transport() {
        let asked = |text: &str| {
            let peer = peer(text).unwrap();
            (peer.transport, peer.secure)
        };
        assert_eq!(asked("sip:gw"), (None, false));
        assert_eq!(asked("sip:gw;transport=TCP"), (Some(Transport::Tcp), false));
        assert_eq!(asked("sip:gw;transport=tls"), (Some(Transport::Tls), false));
        assert_eq!(asked("sips:gw"), (Some(Transport::Tls), true));
        let wrong = peer("sip:gw;transport=sctp").unwrap_err();
        assert!(wrong.remedy.contains("tcp"), "{}", wrong.remedy);
    }

    #[test]
    fn a_peer_is_a_host() {
        let gw = peer("sip:gw.example.com").unwrap();
        assert_eq!((gw.host_port.as_str(), gw.port), ("gw.example.com", None));
        let v6 = peer("sip:[2001:db8::1]:5070").unwrap();
        assert_eq!(
            (v6.host.as_str(), v6.host_port.as_str()),
            ("2001:db8::1", "[2001:db8::1]:5070")
        );
        for wrong in [
            "127.0.0.1:5060",
            "tel:+1",
            "sip:bob@gw",
            "sip:gw;transport=sctp",
        ] {
            assert!(peer(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_fit_everywhere() {
        assert!(name("pbx-a.1_x").is_ok());
        for wrong in ["", "a b", "a:b", "a/b", "*", "ä"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert!(grant("*").is_ok());
    }
}
