//! The verdict on a datagram, or on a message that the stream framer cut out: work with it, refuse
//! it, drop it, or it is a keep-alive (RFC 3261 §7, §8.1.1, §16.3 step 1, §18.3; RFC 5626 §3.5.1).
//!
//! Only what every element must know to go on is checked here. Whether a scheme, an extension, a
//! body type or a hop count is acceptable is for those above to say.

use crate::MESSAGE_BYTES_MAX;
use crate::cseq::CSeq;
use crate::fault::Fault;
use crate::grammar::{decimal, is_lws, members};
use crate::header::Name;
use crate::message::{Essentials, Message, StartLine};
use crate::method::Method;
use crate::name_addr::{NameAddr, checked_tag};
use crate::reply::{answer, reason_phrase};
use crate::uri::{Scheme, Uri};
use crate::via::{Via, response_address};
use crate::wire::{Span, Start, Wire, scan};
use bytes::{Buf, Bytes};
use std::fmt;
use std::net::SocketAddr;

/// Bounds on one message.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest message in bytes; never more than [`MESSAGE_BYTES_MAX`].
    pub message_bytes_max: usize,
    /// Most header lines, folds not counted.
    pub header_lines_max: usize,
    /// Longest header line in bytes, its folds and CRLF included.
    pub header_line_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes_max: MESSAGE_BYTES_MAX,
            header_lines_max: 256,
            header_line_bytes_max: 16 * 1024,
        }
    }
}

/// What the bytes are.
#[derive(Clone, Debug)]
pub enum Read {
    /// A good message.
    Message(Message),
    /// A request that is wrong but can be answered.
    Refuse(Refusal),
    /// Nothing that anybody can be told about.
    Drop(DropReason),
    /// No message, but a sign of life.
    KeepAlive(KeepAlive),
}

/// Why bytes were dropped. A closed set: `Display` is fit for a label, the fault is for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropReason {
    /// Neither a request line nor a status line.
    Garbage,
    /// Longer than [`Limits::message_bytes_max`].
    Oversized,
    /// A faulty request that does not say where its response would go.
    NoUsableVia(Fault),
    /// A faulty response; responses are never answered.
    BadResponse(Fault),
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropReason::Garbage => "garbage",
            DropReason::Oversized => "oversized",
            DropReason::NoUsableVia(_) => "no_usable_via",
            DropReason::BadResponse(_) => "bad_response",
        })
    }
}

/// What keeps a flow open (RFC 5626 §3.5.1, and what else is seen).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeepAlive {
    /// CRLF CRLF; a stream's peer wants a CRLF back.
    Ping,
    /// CRLF: the answer to a ping.
    Pong,
    /// Nothing, zero bytes or blanks; wants no answer.
    Blank,
}

/// A request that must be refused, with the bytes that its response is made of.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status to refuse it with.
    pub status: u16,
    /// The reason phrase of that status.
    pub reason: &'static str,
    /// The request line's method.
    pub method: Method,
    /// It is an ACK, to which nobody may respond (RFC 3261 §17).
    pub ack: bool,
    /// What is wrong.
    pub fault: Fault,
    wire: Wire,
}

impl Refusal {
    /// The response, made by copying the Via, From, To, Call-ID and CSeq lines that are there
    /// (RFC 3261 §8.2.6). `to_tag` is added when there is a To without one.
    pub fn response(&self, to_tag: &str, source: SocketAddr) -> Bytes {
        answer(
            &self.wire,
            self.status,
            self.reason,
            Some(to_tag),
            Some(source),
        )
        .finish(None)
    }

    /// Where the response goes over UDP; see [`response_address`].
    pub fn destination(&self, source: SocketAddr) -> SocketAddr {
        let top = top_via(&self.wire).expect("a request without a usable Via is dropped");
        let via = Via::parse(top).or_else(|_| Via::head(top).map(|(via, _)| via));
        via.map_or(source, |via| response_address(&via, source))
    }

    /// The Call-ID, if the request has one.
    pub fn call_id(&self) -> Option<&[u8]> {
        self.wire.values_of(Name::CallId).next()
    }
}

/// Decides what a datagram is. Work and memory are linear in its length and bounded by `limits`.
/// Line ends before the start line are skipped, bytes behind the body ignored (§7.5, §18.3).
pub fn read(mut bytes: Bytes, limits: &Limits) -> Read {
    if let Some(sign) = keep_alive(&bytes) {
        return Read::KeepAlive(sign);
    }
    if bytes.len() > limits.message_bytes_max.min(MESSAGE_BYTES_MAX) {
        return Read::Drop(DropReason::Oversized);
    }
    let blank = bytes
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    bytes.advance(blank);
    match scan(bytes, limits) {
        (Start::Garbage, ..) => Read::Drop(DropReason::Garbage),
        (Start::Response(line), wire, fault) => {
            let checked = line
                .and_then(|line| fault.map_or(Ok(line), Err))
                .and_then(|line| {
                    let found = essentials(&wire, None)?;
                    Ok((
                        StartLine::Response {
                            status: line.0,
                            reason: line.1,
                        },
                        found,
                    ))
                });
            match checked {
                Ok((start, found)) => Read::Message(message(wire, start, found)),
                Err(fault) => Read::Drop(DropReason::BadResponse(fault)),
            }
        }
        (Start::Request(method, line), wire, fault) => {
            let checked = line
                .and_then(|uri| fault.map_or(Ok(uri), Err))
                .and_then(|uri| {
                    check_request_uri(uri.of_bytes(&wire.bytes))?;
                    Ok((
                        StartLine::Request { uri },
                        essentials(&wire, Some(&method))?,
                    ))
                });
            match checked {
                Ok((start, found)) => Read::Message(message(wire, start, found)),
                Err(fault) => refuse(method, wire, fault),
            }
        }
    }
}

/// Whether a request's URI has a scheme that calls for 416 (RFC 3261 §8.2.2.1).
pub fn unsupported_scheme(message: &Message) -> bool {
    message.uri().is_ok_and(|uri| uri.scheme == Scheme::Other)
}

fn keep_alive(bytes: &[u8]) -> Option<KeepAlive> {
    match bytes {
        b"\r\n\r\n" => Some(KeepAlive::Ping),
        b"\r\n" => Some(KeepAlive::Pong),
        blank if blank.iter().all(|b| *b == 0 || is_lws(*b)) => Some(KeepAlive::Blank),
        _ => None,
    }
}

fn message(mut wire: Wire, start: StartLine, found: Found) -> Message {
    wire.truncate_body(found.body_len);
    Message::new(wire, start, found.essentials)
}

fn refuse(method: Method, wire: Wire, fault: Fault) -> Read {
    if top_via(&wire).is_none_or(|top| Via::head(top).is_err()) {
        return Read::Drop(DropReason::NoUsableVia(fault));
    }
    let status = fault.status();
    let ack = method == Method::Ack;
    Read::Refuse(Refusal {
        status,
        reason: reason_phrase(status),
        method,
        ack,
        fault,
        wire,
    })
}

fn top_via(wire: &Wire) -> Option<&[u8]> {
    wire.values_of(Name::Via)
        .next()
        .and_then(|value| members(value).next())
}

/// A Request-URI has neither brackets nor a `?headers` part, which would let a URI write headers
/// (RFC 3261 §19.1.1 table 1).
fn check_request_uri(uri: &[u8]) -> Result<(), Fault> {
    let text = std::str::from_utf8(uri).map_err(|_| Fault::StartLine("URI is not UTF-8"))?;
    match Uri::parse(text) {
        Ok(uri) if uri.headers.is_some() => Err(Fault::StartLine("URI with headers")),
        Ok(_) => Ok(()),
        Err(Fault::Grammar(what)) => Err(Fault::StartLine(what)),
        Err(other) => Err(other),
    }
}

struct Found {
    essentials: Essentials,
    body_len: usize,
}

/// Checks each line that has a rule, once, in order.
fn essentials(wire: &Wire, method: Option<&Method>) -> Result<Found, Fault> {
    let bytes = &wire.bytes[..];
    let mut seen = 0u128;
    let mut cseq = None;
    let mut call_id = Span::default();
    let (mut branch, mut sent_by) = (None, Span::default());
    let (mut from_tag, mut to_tag) = (None, None);
    let mut body_len = wire.body_len();
    for line in &wire.lines {
        let name = line.name;
        if name == Name::Other {
            continue;
        }
        let first = seen & name.bit() == 0;
        if !first && name.is_single() {
            return Err(Fault::Repeated(name));
        }
        seen |= name.bit();
        let value = line.value(bytes);
        let checked = match name {
            Name::Via => check_vias(value, first).map(|top| {
                if let Some(via) = top {
                    branch = via.branch.map(|branch| Span::of(bytes, branch));
                    sent_by = Span::of(bytes, via.sent_by());
                }
            }),
            Name::From => tag(bytes, value).map(|tag| from_tag = tag),
            Name::To => tag(bytes, value).map(|tag| to_tag = tag),
            Name::CallId => check_call_id(value).map(|()| call_id = Span::of(bytes, value)),
            Name::CSeq => check_cseq(value, method).map(|found| cseq = Some(found)),
            Name::MaxForwards => number(value, 255).map(drop),
            Name::Expires => number(value, u32::MAX).map(drop),
            Name::ContentLength => content_length(value, body_len).map(|len| body_len = len),
            Name::Contact => check_contacts(value),
            _ => Ok(()),
        };
        checked.map_err(|fault| fault.within(name))?;
    }
    for name in [Name::Via, Name::From, Name::To, Name::CallId] {
        if seen & name.bit() == 0 {
            return Err(Fault::Missing(name));
        }
    }
    let CSeq {
        number: cseq,
        method,
    } = cseq.ok_or(Fault::Missing(Name::CSeq))?;
    Ok(Found {
        essentials: Essentials {
            method,
            cseq,
            branch,
            sent_by,
            call_id,
            from_tag,
            to_tag,
        },
        body_len,
    })
}

/// The topmost Via is read in full; of those below, which are for other elements, none is empty.
fn check_vias(value: &[u8], first_line: bool) -> Result<Option<Via<'_>>, Fault> {
    let mut top = None;
    for (i, member) in members(value).enumerate() {
        if member.is_empty() {
            return Err(Fault::Grammar("empty member of the list"));
        }
        if first_line && i == 0 {
            top = Some(Via::parse(member)?);
        }
    }
    Ok(top)
}

fn tag(bytes: &[u8], value: &[u8]) -> Result<Option<Span>, Fault> {
    Ok(checked_tag(value)?.map(|tag| Span::of(bytes, tag)))
}

fn check_call_id(value: &[u8]) -> Result<(), Fault> {
    match value.is_empty() || value.iter().any(|b| is_lws(*b)) {
        true => Err(Fault::Grammar("empty, or with a blank")),
        false => Ok(()),
    }
}

fn check_cseq(value: &[u8], method: Option<&Method>) -> Result<CSeq, Fault> {
    let cseq = CSeq::parse(value)?;
    match method {
        Some(method) if *method != cseq.method => {
            Err(Fault::Grammar("method is not the request's"))
        }
        _ => Ok(cseq),
    }
}

fn number(value: &[u8], max: u32) -> Result<u32, Fault> {
    decimal(value, max).ok_or(Fault::Grammar("no number within its range"))
}

fn content_length(value: &[u8], available: usize) -> Result<usize, Fault> {
    let len = number(value, u32::MAX)? as usize;
    if len > available {
        return Err(Fault::Grammar("more than the datagram has"));
    }
    Ok(len)
}

/// An `expires` that is no number has a default (RFC 3261 §10.2.1.1); one beyond 32 bits has none.
fn check_contacts(value: &[u8]) -> Result<(), Fault> {
    if value == b"*" {
        return Ok(());
    }
    for member in members(value) {
        let contact = NameAddr::parse(member)?;
        contact.uri()?;
        let expires = contact
            .params
            .get("expires")
            .flatten()
            .unwrap_or("0")
            .as_bytes();
        if expires.iter().all(u8::is_ascii_digit) {
            number(expires, u32::MAX)?;
        }
    }
    Ok(())
}
