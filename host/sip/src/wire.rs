//! The scanner: bytes to spans in one pass (RFC 3261 §7). Finds the start line, each header line
//! with its name, value and folds, and the body; understands no value. Spans are 16-bit offsets,
//! so a header line costs 12 bytes of table, and 24 lines cost no allocation.
//!
//! A fault does not stop the scan, because the lines behind it may be needed to answer.

use crate::fault::Fault;
use crate::grammar::{decimal, is_lws, token_len, trim};
use crate::header::Name;
use crate::method::Method;
use crate::read::Limits;
use bytes::Bytes;
use smallvec::SmallVec;

/// A part of a message of at most 65,535 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    fn new(start: usize, end: usize) -> Span {
        let offset = |at| u16::try_from(at).expect("read refuses messages over 65,535 bytes");
        Span {
            start: offset(start),
            end: offset(end),
        }
    }

    /// The span of a slice that was cut out of `whole`.
    pub(crate) fn of(whole: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize;
        Span::new(start, start + part.len())
    }

    /// The bytes of the span.
    pub(crate) fn of_bytes(self, whole: &[u8]) -> &[u8] {
        &whole[usize::from(self.start)..usize::from(self.end)]
    }
}

/// One header line: where it is and what it is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineSpan {
    start: u16,
    name_end: u16,
    value: Span,
    end: u16,
    pub(crate) name: Name,
}

const _: () = assert!(size_of::<LineSpan>() <= 12, "the header table stays small");

impl LineSpan {
    /// Name as written.
    pub(crate) fn name_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[usize::from(self.start)..usize::from(self.name_end)]
    }

    /// Value, trimmed, still folded if it was.
    pub(crate) fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.value.of_bytes(bytes)
    }

    /// The whole line with its folds and its CRLF.
    pub(crate) fn raw<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[usize::from(self.start)..usize::from(self.end)]
    }
}

/// A scanned message: its bytes and where things lie in them.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) bytes: Bytes,
    pub(crate) lines: SmallVec<[LineSpan; 24]>,
    body: u16,
}

impl Wire {
    /// Everything behind the empty line.
    pub(crate) fn body(&self) -> Bytes {
        self.bytes.slice(usize::from(self.body)..)
    }

    /// How many bytes there are behind the empty line.
    pub(crate) fn body_len(&self) -> usize {
        self.bytes.len() - usize::from(self.body)
    }

    /// Forgets what lies behind the first `len` bytes of the body.
    pub(crate) fn truncate_body(&mut self, len: usize) {
        self.bytes.truncate(usize::from(self.body) + len);
    }

    /// The values of the lines of this name.
    pub(crate) fn values_of(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.lines_of(name).map(|line| line.value(&self.bytes))
    }

    /// The lines of this name.
    pub(crate) fn lines_of(&self, name: Name) -> impl Iterator<Item = &LineSpan> {
        self.lines.iter().filter(move |line| line.name == name)
    }
}

/// What the first line says; the lines behind it are worth reading even when it is faulty.
#[derive(Debug)]
pub(crate) enum Start {
    Request(Method, Result<Span, Fault>),
    Response(Result<(u16, Span), Fault>),
    Garbage,
}

/// Scans a message of at most 65,535 bytes. The fault is the first one in the header section.
pub(crate) fn scan(bytes: Bytes, limits: &Limits) -> (Start, Wire, Option<Fault>) {
    let mut wire = Wire {
        lines: SmallVec::new(),
        body: 0,
        bytes,
    };
    let whole = &wire.bytes[..];
    // A bare LF ends the line too, and then stands in it, where neither kind of line allows it.
    let end = memchr::memchr(b'\n', whole).map_or(whole.len(), |at| at + 1);
    let start = start_line(whole, whole[..end].strip_suffix(b"\r\n").unwrap_or(whole));
    if matches!(start, Start::Garbage) {
        return (start, wire, None);
    }
    let (body, mut fault) = header_lines(whole, end, limits, &mut wire.lines);
    if end > limits.header_line_bytes_max {
        fault = Some(Fault::TooLarge("length of the start line"));
    }
    wire.body = Span::new(body, body).start;
    (start, wire, fault)
}

/// Pushes the span of each sound line; returns where the body begins, and the first fault.
fn header_lines(
    bytes: &[u8],
    mut at: usize,
    limits: &Limits,
    lines: &mut SmallVec<[LineSpan; 24]>,
) -> (usize, Option<Fault>) {
    let mut fault = None;
    while !bytes[at..].starts_with(b"\r\n") {
        if at == bytes.len() {
            return (
                at,
                fault.or(Some(Fault::HeaderLine("no empty line at its end"))),
            );
        }
        if lines.len() == limits.header_lines_max {
            return (
                bytes.len(),
                fault.or(Some(Fault::TooLarge("number of header lines"))),
            );
        }
        let end = match line_end(bytes, at) {
            Ok(end) => end,
            Err((end, found)) => {
                fault = fault.or(Some(found));
                at = end;
                continue;
            }
        };
        if end - at > limits.header_line_bytes_max {
            fault = fault.or(Some(Fault::TooLarge("length of a header line")));
        } else {
            match header_line(bytes, at, end) {
                Ok(line) => lines.push(line),
                Err(found) => fault = fault.or(Some(found)),
            }
        }
        at = end;
    }
    (at + 2, fault)
}

/// The end of the line with its folds, behind the CRLF. A line with a bare CR or LF has an end too,
/// but is no line: what reads it differently would see other headers than we do.
fn line_end(bytes: &[u8], start: usize) -> Result<usize, (usize, Fault)> {
    let mut at = start;
    let mut bare = false;
    while let Some(skip) = memchr::memchr2(b'\r', b'\n', &bytes[at..]) {
        at += skip;
        if !bytes[at..].starts_with(b"\r\n") {
            bare = true;
            at += 1;
            continue;
        }
        at += 2;
        if matches!(bytes.get(at), Some(b' ' | b'\t')) {
            continue;
        }
        return match bare {
            true => Err((at, Fault::HeaderLine("bare CR or LF"))),
            false => Ok(at),
        };
    }
    Err((bytes.len(), Fault::HeaderLine("no empty line at its end")))
}

/// `name HCOLON value`, from `start` to behind the CRLF at `end`.
fn header_line(bytes: &[u8], start: usize, end: usize) -> Result<LineSpan, Fault> {
    let line = &bytes[start..end];
    let name_len = token_len(line);
    let blanks = line[name_len..].iter().take_while(|b| is_lws(**b)).count();
    if name_len == 0 || line.get(name_len + blanks) != Some(&b':') {
        return Err(Fault::HeaderLine("line without a name and a colon"));
    }
    let name_end = Span::new(start, start + name_len).end;
    let span = Span::new(start, end);
    Ok(LineSpan {
        start: span.start,
        name_end,
        value: Span::of(bytes, trim(&line[name_len + blanks + 1..])),
        end: span.end,
        name: Name::of(&line[..name_len]),
    })
}

/// A line that begins with `SIP/` is a status line, one that begins with a token and a blank is a
/// request line, however bad the rest of it may be.
fn start_line(whole: &[u8], line: &[u8]) -> Start {
    if line
        .get(..4)
        .is_some_and(|first| first.eq_ignore_ascii_case(b"SIP/"))
    {
        return Start::Response(status_line(whole, line));
    }
    let (method, rest) = line.split_at(token_len(line));
    match (Method::parse(method), rest) {
        (Some(method), [b' ' | b'\t', ..]) => Start::Request(method, request_uri(whole, rest)),
        _ => Start::Garbage,
    }
}

/// The Request-URI out of `SP URI SP SIP-Version`, each SP one space and no more (§7.1).
fn request_uri(whole: &[u8], rest: &[u8]) -> Result<Span, Fault> {
    let rest = rest
        .strip_prefix(b" ")
        .ok_or(Fault::StartLine("a tab for a space"))?;
    let space = memchr::memrchr(b' ', rest).ok_or(Fault::StartLine("no SIP version"))?;
    let (uri, version) = (&rest[..space], &rest[space + 1..]);
    if uri.is_empty() || uri.iter().any(|b| is_lws(*b)) {
        return Err(Fault::StartLine("more blanks than two single spaces"));
    }
    match version {
        v if v.eq_ignore_ascii_case(b"SIP/2.0") => Ok(Span::of(whole, uri)),
        v if v.len() > 4 && v[..4].eq_ignore_ascii_case(b"SIP/") => Err(Fault::Version),
        _ => Err(Fault::StartLine("no SIP version")),
    }
}

/// Status and reason phrase (§7.2). The space before an empty phrase is often forgotten.
fn status_line(whole: &[u8], line: &[u8]) -> Result<(u16, Span), Fault> {
    let (version, rest) = line.split_at(line.len().min(7));
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Fault::Version);
    }
    let (code, reason) = match rest {
        [b' ', a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        [b' ', a, b, c] => ([*a, *b, *c], &rest[4..]),
        _ => return Err(Fault::StartLine("no status code of three digits")),
    };
    if memchr::memchr2(b'\r', b'\n', reason).is_some() {
        return Err(Fault::StartLine("bare CR or LF"));
    }
    match decimal(&code, 699) {
        Some(status @ 100..) => Ok((status as u16, Span::of(whole, reason))),
        _ => Err(Fault::StartLine("status code outside 100..699")),
    }
}
