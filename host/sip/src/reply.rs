//! The answer to a request (RFC 3261 §8.2.6): Via, From, To, Call-ID and CSeq copied as bytes, the
//! topmost Via told where the request came from (§18.2.1, RFC 3581 §4), the To given a tag. Works
//! on requests that were refused as well, with what they have.

use crate::grammar::{members, trim, trim_start};
use crate::header::Name;
use crate::message::Message;
use crate::name_addr::NameAddr;
use crate::param::semicolon;
use crate::print::{Builder, put};
use crate::uri::host_address;
use crate::via::Via;
use crate::wire::{LineSpan, Wire};
use std::io::Write;
use std::net::SocketAddr;

/// Begins the response to `request`; the caller adds what else it needs and finishes.
///
/// `to_tag` is added when the request's To has none. With `source`, the topmost Via gets
/// `received` where the sent-by is not that address, and both `received` and `rport` where the
/// client asked by `rport`. A 100 repeats the Timestamp (§8.2.6.1).
pub fn reply(
    request: &Message,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
    source: Option<SocketAddr>,
) -> Builder {
    answer(request.wire(), status, reason, to_tag, source)
}

/// [`reply`] to a scanned request, whole or not. Each single-value line is copied once even if the
/// request repeats it.
pub(crate) fn answer(
    wire: &Wire,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
    source: Option<SocketAddr>,
) -> Builder {
    let mut builder = Builder::response(status, reason);
    for (i, line) in wire.lines_of(Name::Via).enumerate() {
        match source {
            Some(source) if i == 0 => put_top_via(builder.out(), &wire.bytes, line, source),
            _ => builder.out().extend_from_slice(line.raw(&wire.bytes)),
        }
    }
    for name in [
        Name::From,
        Name::To,
        Name::CallId,
        Name::CSeq,
        Name::Timestamp,
    ] {
        let Some(line) = wire.lines_of(name).next() else {
            continue;
        };
        match to_tag {
            _ if name == Name::Timestamp && status != 100 => {}
            Some(tag) if name == Name::To => put_to(builder.out(), &wire.bytes, line, tag),
            _ => builder.out().extend_from_slice(line.raw(&wire.bytes)),
        }
    }
    builder
}

/// Copies the first Via line with `received` and `rport` set by us and by nobody else.
fn put_top_via(out: &mut Vec<u8>, bytes: &[u8], line: &LineSpan, source: SocketAddr) {
    let value = line.value(bytes);
    let Ok((head, behind)) = Via::head(value) else {
        return out.extend_from_slice(line.raw(bytes));
    };
    let params = members(behind).next().unwrap_or_default();
    // `behind` begins with `;` or `,`, so the first member is its front.
    let others = &behind[params.len()..];
    put(
        out,
        &[
            line.name_bytes(bytes),
            b": ",
            &value[..value.len() - behind.len()],
        ],
    );
    let mut asked = false;
    for param in segments(params) {
        let name = param
            .split(|b| *b == b'=')
            .next()
            .map(trim)
            .unwrap_or(param);
        if name.eq_ignore_ascii_case(b"rport") {
            asked = true;
        } else if !name.eq_ignore_ascii_case(b"received") {
            put(out, &[b";", param]);
        }
    }
    let ip = source.ip();
    if asked || host_address(head.host) != Some(ip) {
        write!(out, ";received={ip}").expect("a Vec takes every byte");
    }
    if asked {
        write!(out, ";rport={}", source.port()).expect("a Vec takes every byte");
    }
    put(out, &[others, b"\r\n"]);
}

/// What stands behind each semicolon, well-formed or not.
fn segments(params: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = params;
    std::iter::from_fn(move || {
        rest = trim_start(rest).strip_prefix(b";")?;
        let (segment, behind) = rest.split_at(semicolon(rest).unwrap_or(rest.len()));
        rest = behind;
        Some(segment)
    })
}

/// Copies the To line, its tag added if it has none. A To that cannot be read is copied as it is.
fn put_to(out: &mut Vec<u8>, bytes: &[u8], line: &LineSpan, tag: &str) {
    let value = line.value(bytes);
    match NameAddr::parse(value) {
        Ok(to) if to.params.get("tag").is_none() => {
            put(
                out,
                &[
                    line.name_bytes(bytes),
                    b": ",
                    value,
                    b";tag=",
                    tag.as_bytes(),
                    b"\r\n",
                ],
            );
        }
        _ => out.extend_from_slice(line.raw(bytes)),
    }
}

/// The usual reason phrase of a status code (RFC 3261 §21 and later), or of its class.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        424 => "Bad Location Information",
        425 => "Bad Alert Message",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity Info",
        437 => "Unsupported Credential",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        470 => "Consent Needed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        555 => "Push Notification Service Not Supported",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        _ => class_phrase(status),
    }
}

fn class_phrase(status: u16) -> &'static str {
    match status {
        ..200 => "Progress",
        200..300 => "Success",
        300..400 => "Redirection",
        400..500 => "Client Error",
        500..600 => "Server Error",
        600.. => "Global Failure",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{reason_phrase, reply};
    use crate::message::Message;
    use bytes::Bytes;

    fn request(via: &str, to: &str) -> Message {
        let text = format!(
            "OPTIONS sip:b SIP/2.0\r\n{via}\r\nFrom: <sip:a@a>;tag=1\r\n{to}\r\nTimestamp: 54\r\n\
             i: x\r\nCSeq: 1 OPTIONS\r\nVia: SIP/2.0/TCP last\r\nSubject: s\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn replied(via: &str, source: Option<&str>) -> String {
        let builder = reply(
            &request(via, "To: <sip:b@b>"),
            404,
            reason_phrase(404),
            Some("zz"),
            source.map(|s| s.parse().unwrap()),
        );
        String::from_utf8(builder.finish(None).to_vec()).unwrap()
    }

    #[test]
    fn five_headers_are_copied_in_order() {
        assert_eq!(
            replied("v : SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/UDP i", None),
            "SIP/2.0 404 Not Found\r\nv : SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/UDP i\r\n\
             Via: SIP/2.0/TCP last\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:b@b>;tag=zz\r\ni: x\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn the_topmost_via_learns_the_source() {
        let top = |via: &str, source| {
            let text = replied(via, Some(source));
            text.lines().nth(1).unwrap().to_owned()
        };
        let source = "192.0.2.9:4000";
        assert_eq!(
            top("Via: SIP/2.0/UDP 192.0.2.9:5070;branch=b", source),
            "Via: SIP/2.0/UDP 192.0.2.9:5070;branch=b"
        );
        assert_eq!(
            top(
                "Via: SIP/2.0/UDP h;branch=b;x=\";\", SIP/2.0/UDP i;rport",
                source
            ),
            "Via: SIP/2.0/UDP h;branch=b;x=\";\";received=192.0.2.9, SIP/2.0/UDP i;rport"
        );
        assert_eq!(
            top("Via: SIP/2.0/UDP 192.0.2.9;rport;branch=b", source),
            "Via: SIP/2.0/UDP 192.0.2.9;branch=b;received=192.0.2.9;rport=4000"
        );
        assert_eq!(
            top(
                "Via: SIP/2.0/UDP h ; received=6.6.6.6 ; RPORT = 1 ; branch=b",
                source
            ),
            "Via: SIP/2.0/UDP h ; branch=b;received=192.0.2.9;rport=4000"
        );
        assert_eq!(
            top("Via: SIP/2.0/UDP [2001:db8::1]", "[2001:db8::2]:5060"),
            "Via: SIP/2.0/UDP [2001:db8::1];received=2001:db8::2"
        );
    }

    #[test]
    fn a_tag_is_added_only_where_there_is_none() {
        let to = |to, tag, status| {
            let message = request("Via: SIP/2.0/UDP h", to);
            reply(&message, status, "x", tag, None).finish(None)
        };
        let has = |bytes: Bytes, line: &str| {
            assert!(
                memchr::memmem::find(&bytes, line.as_bytes()).is_some(),
                "{bytes:?}"
            );
        };
        has(
            to("t: sip:b@b ;x", Some("zz"), 200),
            "\r\nt: sip:b@b ;x;tag=zz\r\n",
        );
        has(
            to("To: <sip:b@b>;tag=q", Some("zz"), 200),
            "\r\nTo: <sip:b@b>;tag=q\r\n",
        );
        has(
            to("To: <sip:b@b;tag=uri>", Some("zz"), 200),
            "\r\nTo: <sip:b@b;tag=uri>;tag=zz\r\n",
        );
        has(
            to("To: <sip:b@b>", None, 100),
            "\r\nTo: <sip:b@b>\r\ni: x\r\nCSeq: 1 OPTIONS\r\nTimestamp: 54\r\n",
        );
    }

    #[test]
    fn every_status_has_a_phrase() {
        assert!((0..=u16::MAX).all(|status| !reason_phrase(status).is_empty()));
        assert_eq!(reason_phrase(499), "Client Error");
    }
}
