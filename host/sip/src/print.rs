//! Printing a new message. Header values are written as given: that a value has no line end of its
//! own is the caller's to know (`is_safe_value`).

use crate::header::Name;
use crate::method::Method;
use bytes::Bytes;
use std::io::Write;

/// A message being written, line by line, into one buffer.
#[derive(Clone, Debug)]
pub struct Builder {
    out: Vec<u8>,
}

/// Room for an ordinary message, so that the buffer is allocated once.
const RESERVE_BYTES: usize = 1024;

impl Builder {
    /// Begins a request: `METHOD uri SIP/2.0`.
    pub fn request(method: &Method, uri: &str) -> Builder {
        let mut out = Vec::with_capacity(RESERVE_BYTES);
        put(
            &mut out,
            &[
                method.as_str().as_bytes(),
                b" ",
                uri.as_bytes(),
                b" SIP/2.0\r\n",
            ],
        );
        Builder { out }
    }

    /// Begins a response: `SIP/2.0 status reason`.
    pub fn response(status: u16, reason: &str) -> Builder {
        let mut out = Vec::with_capacity(RESERVE_BYTES);
        out.extend_from_slice(b"SIP/2.0 ");
        put_number(&mut out, status.into());
        put(&mut out, &[b" ", reason.as_bytes(), b"\r\n"]);
        Builder { out }
    }

    /// Writes a header line under the canonical name.
    pub fn header(&mut self, name: Name, value: impl AsRef<[u8]>) -> &mut Builder {
        put_header(&mut self.out, name, value.as_ref());
        self
    }

    /// Writes a header line whose value is these parts, one behind the other. What every message
    /// has is written so: `header_fmt` costs ten times as much.
    pub fn header_parts(&mut self, name: Name, parts: &[&[u8]]) -> &mut Builder {
        put(&mut self.out, &[name.as_str().as_bytes(), b": "]);
        put(&mut self.out, parts);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Writes a header line whose value is a number and what stands behind it.
    pub fn header_number(&mut self, name: Name, number: u32, behind: &[&[u8]]) -> &mut Builder {
        put(&mut self.out, &[name.as_str().as_bytes(), b": "]);
        put_number(&mut self.out, number);
        put(&mut self.out, behind);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Writes a header line whose value is formatted in place.
    pub fn header_fmt(&mut self, name: Name, value: std::fmt::Arguments<'_>) -> &mut Builder {
        put(&mut self.out, &[name.as_str().as_bytes(), b": "]);
        self.out.write_fmt(value).expect("a Vec takes every byte");
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Writes a header line of any name.
    pub fn other(&mut self, name: &str, value: &str) -> &mut Builder {
        put(
            &mut self.out,
            &[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"],
        );
        self
    }

    /// Copies a whole header line, its CRLF included.
    pub fn raw_line(&mut self, line: &[u8]) -> &mut Builder {
        debug_assert!(line.ends_with(b"\r\n"), "a line has its line end");
        self.out.extend_from_slice(line);
        self
    }

    /// Writes Content-Length, the empty line and the body.
    pub fn finish(mut self, body: Option<&[u8]>) -> Bytes {
        let body = body.unwrap_or_default();
        let length = u32::try_from(body.len()).expect("a message is shorter than 4 GiB");
        self.header_number(Name::ContentLength, length, &[b"\r\n"]);
        self.out.extend_from_slice(body);
        // A copy of just its length: many messages are kept for half a minute by a transaction.
        Bytes::copy_from_slice(&self.out)
    }

    /// The buffer, for those in this crate who write parts of lines.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}

/// Appends parts.
pub(crate) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a decimal number.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(decimal_of(number, &mut [0; 10]));
}

/// The decimal digits of a number.
pub(crate) fn decimal_of(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Appends a header line under its canonical name.
pub(crate) fn put_header(out: &mut Vec<u8>, name: Name, value: &[u8]) {
    debug_assert_ne!(
        name,
        Name::Other,
        "a header without a known name is written by `other`"
    );
    put(out, &[name.as_str().as_bytes(), b": ", value, b"\r\n"]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Builder;
    use crate::header::Name;
    use crate::message::Message;
    use crate::method::Method;

    #[test]
    fn a_printed_message_reads_back() {
        let mut builder = Builder::request(&Method::Invite, "sip:bob@b.example");
        builder
            .header(Name::Via, "SIP/2.0/UDP a.example;branch=z9hG4bK1")
            .header_fmt(
                Name::From,
                format_args!("<sip:{}@a.example>;tag={}", "alice", 7),
            )
            .header(Name::To, b"<sip:bob@b.example>")
            .header(Name::CallId, "1")
            .header(Name::CSeq, "1 INVITE")
            .other("X-Trace", "x")
            .raw_line(b"k: timer\r\n");
        let bytes = builder.finish(Some(b"v=0\r\n"));
        assert!(bytes.starts_with(b"INVITE sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP a"));
        assert!(bytes.ends_with(b"\r\nX-Trace: x\r\nk: timer\r\nContent-Length: 5\r\n\r\nv=0\r\n"));
        let message = Message::parse(bytes).unwrap();
        assert_eq!(message.from_tag(), Some(&b"7"[..]));
        assert_eq!(message.body(), &b"v=0\r\n"[..]);
    }

    #[test]
    fn content_length_is_always_written() {
        let bytes = Builder::response(180, "Ringing").finish(None);
        assert_eq!(
            &bytes[..],
            b"SIP/2.0 180 Ringing\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
