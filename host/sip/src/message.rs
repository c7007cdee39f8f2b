//! A message that can be worked with: its bytes, the table of its header lines, and the essentials
//! that `read` has checked. Lossless and immutable; typed views are decoded when asked for. Edits
//! are `Overlay`'s.

use crate::fault::Fault;
use crate::grammar::{decimal, is_lws, members};
use crate::header::Name;
use crate::method::Method;
use crate::name_addr::NameAddr;
use crate::read::{DropReason, Limits, Read, read};
use crate::uri::Uri;
use crate::via::Via;
use crate::wire::{Span, Wire};
use bytes::Bytes;

/// A request or a response. [`read()`](crate::read()) makes it, so that each has at least one Via,
/// and exactly one well-formed From, To, Call-ID and CSeq.
#[derive(Clone, Debug)]
pub struct Message {
    wire: Wire,
    start: StartLine,
    essentials: Essentials,
}

/// What the start line says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartLine {
    Request { uri: Span },
    Response { status: u16, reason: Span },
}

/// What every message has, checked and found once.
#[derive(Clone, Debug)]
pub(crate) struct Essentials {
    pub(crate) method: Method,
    pub(crate) cseq: u32,
    pub(crate) branch: Option<Span>,
    pub(crate) sent_by: Span,
    pub(crate) call_id: Span,
    pub(crate) from_tag: Option<Span>,
    pub(crate) to_tag: Option<Span>,
}

/// One header line as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Which well-known field it is.
    pub name: Name,
    /// The name as written.
    pub name_bytes: &'a [u8],
    /// The value, trimmed, still folded if it was.
    pub value: &'a [u8],
    /// The whole line with its folds and its CRLF.
    pub raw: &'a [u8],
}

impl Message {
    pub(crate) fn new(wire: Wire, start: StartLine, essentials: Essentials) -> Message {
        Message {
            wire,
            start,
            essentials,
        }
    }

    /// [`read()`](crate::read()) under the default limits, for those who want a good message or
    /// the reason why it is none.
    pub fn parse(bytes: Bytes) -> Result<Message, Fault> {
        match read(bytes, &Limits::default()) {
            Read::Message(message) => Ok(message),
            Read::Refuse(refusal) => Err(refusal.fault),
            Read::Drop(DropReason::NoUsableVia(fault) | DropReason::BadResponse(fault)) => {
                Err(fault)
            }
            Read::Drop(DropReason::Oversized) => Err(Fault::TooLarge("length of the message")),
            Read::Drop(DropReason::Garbage) => Err(Fault::StartLine("not SIP")),
            Read::KeepAlive(_) => Err(Fault::StartLine("a keep-alive")),
        }
    }

    /// Exactly what came in: from the start line to the last byte of the body.
    pub fn bytes(&self) -> &Bytes {
        &self.wire.bytes
    }

    /// The body, sharing the message's memory.
    pub fn body(&self) -> Bytes {
        self.wire.body()
    }

    /// Whether the body has any byte.
    pub fn has_body(&self) -> bool {
        self.wire.body_len() > 0
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// The request line's method; for a response, the CSeq's.
    pub fn method(&self) -> &Method {
        &self.essentials.method
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        match self.start {
            StartLine::Request { uri } => {
                std::str::from_utf8(self.of(uri)).expect("read parsed it as a URI, which is text")
            }
            StartLine::Response { .. } => "",
        }
    }

    /// The Request-URI in its parts. Fails for a response only.
    pub fn uri(&self) -> Result<Uri<'_>, Fault> {
        Uri::parse(self.request_uri())
    }

    /// The status code, 100 to 699; 0 for a request.
    pub fn status(&self) -> u16 {
        match self.start {
            StartLine::Request { .. } => 0,
            StartLine::Response { status, .. } => status,
        }
    }

    /// The reason phrase as written, possibly empty; empty for a request.
    pub fn reason(&self) -> &[u8] {
        match self.start {
            StartLine::Request { .. } => b"",
            StartLine::Response { reason, .. } => self.of(reason),
        }
    }

    /// The value of the first line of this name: trimmed, still folded if it was.
    pub fn header(&self, name: Name) -> Option<&[u8]> {
        self.wire.values_of(name).next()
    }

    /// The value of each line of this name.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.wire.values_of(name)
    }

    /// The members of the comma lists of all lines of this name, trimmed, empty ones left out.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.wire
            .values_of(name)
            .flat_map(members)
            .filter(|member| !member.is_empty())
    }

    /// The values of the lines of any name, known or not, in any case; `i` finds Call-ID and the
    /// other way round.
    pub fn header_named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let known = Name::of(name.as_bytes());
        self.lines()
            .filter(move |line| {
                line.name == known
                    && (known != Name::Other
                        || line.name_bytes.eq_ignore_ascii_case(name.as_bytes()))
            })
            .map(|line| line.value)
    }

    /// All header lines in order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let bytes = &self.wire.bytes[..];
        self.wire.lines.iter().map(move |line| Line {
            name: line.name,
            name_bytes: line.name_bytes(bytes),
            value: line.value(bytes),
            raw: line.raw(bytes),
        })
    }

    /// The Call-ID, never empty.
    pub fn call_id(&self) -> &[u8] {
        self.of(self.essentials.call_id)
    }

    /// The topmost Via's branch.
    pub fn branch(&self) -> Option<&[u8]> {
        self.essentials.branch.map(|span| self.of(span))
    }

    /// The topmost Via's sent-by: host and port as written.
    pub fn sent_by(&self) -> &[u8] {
        self.of(self.essentials.sent_by)
    }

    /// The CSeq number, below 2^31.
    pub fn cseq(&self) -> u32 {
        self.essentials.cseq
    }

    /// The From tag, never empty; RFC 2543 clients send none.
    #[expect(clippy::wrong_self_convention, reason = "From is a header here")]
    pub fn from_tag(&self) -> Option<&[u8]> {
        self.essentials.from_tag.map(|span| self.of(span))
    }

    /// The To tag, never empty.
    pub fn to_tag(&self) -> Option<&[u8]> {
        self.essentials.to_tag.map(|span| self.of(span))
    }

    /// The From header field.
    pub fn from(&self) -> Result<NameAddr<'_>, Fault> {
        self.address(Name::From)
    }

    /// The To header field.
    pub fn to(&self) -> Result<NameAddr<'_>, Fault> {
        self.address(Name::To)
    }

    /// The first contact; `None` without one and for `*`.
    pub fn contact(&self) -> Option<Result<NameAddr<'_>, Fault>> {
        let first = self
            .values(Name::Contact)
            .next()
            .filter(|value| *value != b"*")?;
        Some(NameAddr::parse(first).map_err(|fault| fault.within(Name::Contact)))
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Via<'_>, Fault> {
        let top = self
            .values(Name::Via)
            .next()
            .ok_or(Fault::Missing(Name::Via))?;
        Via::parse(top).map_err(|fault| fault.within(Name::Via))
    }

    /// Max-Forwards, if it stands there.
    pub fn max_forwards(&self) -> Option<u8> {
        self.u32_header(Name::MaxForwards)
            .and_then(|hops| u8::try_from(hops).ok())
    }

    /// The number that a value begins with, as in `Retry-After: 18 (lunch);duration=3600`; `None`
    /// without the line, without a number, or beyond 2^32 - 1.
    pub fn u32_header(&self, name: Name) -> Option<u32> {
        let value = self.header(name)?;
        let digits = value
            .iter()
            .position(|b| is_lws(*b) || matches!(b, b';' | b'(' | b','));
        decimal(&value[..digits.unwrap_or(value.len())], u32::MAX)
    }

    /// The scanned form, for printing.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    fn address(&self, name: Name) -> Result<NameAddr<'_>, Fault> {
        let value = self.header(name).ok_or(Fault::Missing(name))?;
        NameAddr::parse(value).map_err(|fault| fault.within(name))
    }

    fn of(&self, span: Span) -> &[u8] {
        span.of_bytes(&self.wire.bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Message;
    use crate::header::Name;
    use crate::method::Method;
    use bytes::Bytes;

    const INVITE: &[u8] = b"INVITE sip:bob@b.example SIP/2.0\r\n\
        v: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\n\
        f: \"Alice, A.\" <sip:alice@a.example>;tag=a1\r\n\
        t: <sip:bob@b.example>\r\n\
        i: 1@a.example\r\n\
        CSeq: 1 INVITE\r\n\
        m: <sip:alice@192.0.2.1>\r\n\
        Supported: timer, 100rel\r\n\
        X-Trace: one\r\n\
        k: replaces\r\n\
        x-TRACE: two\r\n\
        \r\nbody";

    #[test]
    fn views_read_what_the_lines_say() {
        let message = Message::parse(Bytes::from_static(INVITE)).unwrap();
        assert!(message.is_request() && message.has_body());
        assert_eq!((message.method(), message.cseq()), (&Method::Invite, 1));
        assert_eq!((message.status(), message.reason()), (0, &b""[..]));
        assert_eq!(message.uri().unwrap().user, Some("bob"));
        assert_eq!(message.call_id(), b"1@a.example");
        assert_eq!(
            (message.from_tag(), message.to_tag()),
            (Some(&b"a1"[..]), None)
        );
        assert_eq!(
            message.from().unwrap().display.as_deref(),
            Some("Alice, A.")
        );
        assert_eq!(
            message.contact().unwrap().unwrap().uri,
            "sip:alice@192.0.2.1"
        );
        assert_eq!(message.via().unwrap().branch, Some(&b"z9hG4bK1"[..]));
        assert_eq!(message.max_forwards(), Some(70));
        assert_eq!(message.body(), &b"body"[..]);
        assert_eq!(message.bytes(), INVITE);
    }

    #[test]
    fn any_name_finds_its_lines() {
        let message = Message::parse(Bytes::from_static(INVITE)).unwrap();
        let supported: Vec<_> = message.values(Name::Supported).collect();
        assert_eq!(supported, [&b"timer"[..], b"100rel", b"replaces"]);
        let named = |name| message.header_named(name).collect::<Vec<_>>();
        assert_eq!(named("X-Trace"), [b"one", b"two"]);
        assert_eq!(named("call-id"), [b"1@a.example"]);
        assert_eq!(named("I"), [b"1@a.example"]);
        assert!(named("X-Other").is_empty());
        let second = message.lines().nth(1).unwrap();
        assert_eq!(second.raw, b"Max-Forwards: 70\r\n");
        assert_eq!(message.lines().count(), 11);
    }
}
