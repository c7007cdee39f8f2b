//! Cuts a byte stream into messages (RFC 3261 §18.3) and keep-alives (RFC 5626 §3.5.1).
//!
//! Strict where the datagram path is lenient: where a message ends is the one thing on which both
//! ends of a stream must agree, so a header section that leaves room for doubt (no Content-Length,
//! two of them, a bare CR or LF) is request smuggling, and the connection must be closed.

use crate::MESSAGE_BYTES_MAX;
use crate::grammar::{decimal, token_len, trim};
use crate::header::Name;
use crate::read::Limits;
use bytes::{Buf, Bytes, BytesMut};

/// What the stream held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Framed {
    /// One whole message, not yet read.
    Message(Bytes),
    /// CRLF CRLF: send a CRLF back.
    Ping,
    /// CRLF.
    Pong,
}

/// Why the stream cannot be cut any further.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameFault {
    /// A header section without Content-Length.
    #[error("message without Content-Length on a stream")]
    NoContentLength,
    /// More than one Content-Length, even if they agree.
    #[error("several Content-Length header fields")]
    ContentLengthRepeated,
    /// A Content-Length that is no number.
    #[error("Content-Length is no number")]
    BadContentLength,
    /// A header section or a message over the limit.
    #[error("message over the limit")]
    TooLarge,
    /// A CR or LF that is no line end, in the header section.
    #[error("bare CR or LF in the header section")]
    LineEnd,
}

/// Holds the unfinished tail of one connection's stream. Push what was received, then call
/// [`next`](Framer::next) until it gives `None`; so at most one unfinished message and one push are
/// buffered.
#[derive(Clone, Debug)]
pub struct Framer {
    buffer: BytesMut,
    limits: Limits,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Between messages; `after_pong` when the last two bytes were a CRLF of their own, which one
    /// more CRLF makes a ping.
    Between {
        after_pong: bool,
    },
    /// So many bytes hold no end of the header section.
    Header {
        searched: usize,
    },
    /// The message is so long; its end has not come.
    Body {
        total: usize,
    },
    Failed(FrameFault),
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(limits: Limits) -> Framer {
        Framer {
            buffer: BytesMut::new(),
            limits,
            progress: Progress::Between { after_pong: false },
        }
    }

    /// Takes received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message or keep-alive; `None` until more is pushed. After a fault, only that fault:
    /// close the connection.
    #[expect(
        clippy::should_implement_trait,
        reason = "a fault is neither an item nor an end"
    )]
    pub fn next(&mut self) -> Result<Option<Framed>, FrameFault> {
        let step = self.step();
        if let Err(fault) = step {
            self.progress = Progress::Failed(fault);
            self.buffer = BytesMut::new();
        }
        step
    }

    fn step(&mut self) -> Result<Option<Framed>, FrameFault> {
        loop {
            match self.progress {
                Progress::Failed(fault) => return Err(fault),
                Progress::Between { after_pong } => match self.buffer[..] {
                    [] | [b'\r'] => return Ok(None),
                    // Half of a ping, unless the first half has come already.
                    [b'\r', b'\n', b'\r'] if !after_pong => return Ok(None),
                    [b'\r', b'\n', ..] => return Ok(Some(self.keep_alive(after_pong))),
                    _ => self.progress = Progress::Header { searched: 0 },
                },
                Progress::Header { searched } => match self.header_end(searched)? {
                    Some(end) => {
                        self.progress = Progress::Body {
                            total: self.total(end)?,
                        }
                    }
                    None => return Ok(None),
                },
                Progress::Body { total } if self.buffer.len() < total => return Ok(None),
                Progress::Body { total } => {
                    self.progress = Progress::Between { after_pong: false };
                    return Ok(Some(Framed::Message(self.buffer.split_to(total).freeze())));
                }
            }
        }
    }

    fn keep_alive(&mut self, after_pong: bool) -> Framed {
        let whole = self.buffer.starts_with(b"\r\n\r\n");
        self.buffer
            .advance(if whole && !after_pong { 4 } else { 2 });
        let ping = whole || after_pong;
        self.progress = Progress::Between { after_pong: !ping };
        if ping { Framed::Ping } else { Framed::Pong }
    }

    /// Where the body begins, looking only at bytes that were not looked at before.
    fn header_end(&mut self, searched: usize) -> Result<Option<usize>, FrameFault> {
        let from = searched.saturating_sub(3);
        let found = memchr::memmem::find(&self.buffer[from..], b"\r\n\r\n");
        let end = found.map(|at| from + at + 4);
        if end.unwrap_or(self.buffer.len()) > self.message_bytes_max() {
            return Err(FrameFault::TooLarge);
        }
        self.progress = Progress::Header {
            searched: self.buffer.len(),
        };
        Ok(end)
    }

    fn message_bytes_max(&self) -> usize {
        self.limits.message_bytes_max.min(MESSAGE_BYTES_MAX)
    }

    /// The whole message's length by its one Content-Length.
    fn total(&self, header_end: usize) -> Result<usize, FrameFault> {
        let mut value = None;
        let mut at = 0;
        while at < header_end - 2 {
            let end = line_end(&self.buffer, at)?;
            let line = &self.buffer[at..end];
            let name = token_len(line);
            if at > 0 && Name::of(&line[..name]) == Name::ContentLength {
                let text = trim(&line[name..]).strip_prefix(b":").map(trim);
                if value
                    .replace(text.ok_or(FrameFault::BadContentLength)?)
                    .is_some()
                {
                    return Err(FrameFault::ContentLengthRepeated);
                }
            }
            at = end;
        }
        let value = value.ok_or(FrameFault::NoContentLength)?;
        let length = decimal(value, u32::MAX).ok_or(FrameFault::BadContentLength)? as usize;
        match header_end.saturating_add(length) {
            total if total > self.message_bytes_max() => Err(FrameFault::TooLarge),
            total => Ok(total),
        }
    }
}

/// The end of the line that begins at `at`, its folds included.
fn line_end(bytes: &[u8], mut at: usize) -> Result<usize, FrameFault> {
    loop {
        at += memchr::memchr2(b'\r', b'\n', &bytes[at..]).ok_or(FrameFault::LineEnd)?;
        if !bytes[at..].starts_with(b"\r\n") {
            return Err(FrameFault::LineEnd);
        }
        at += 2;
        if !matches!(bytes.get(at), Some(b' ' | b'\t')) {
            return Ok(at);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{FrameFault, Framed, Framer};
    use crate::read::Limits;
    use bytes::Bytes;

    const ONE: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nTo: x\r\nl\t:\r\n 5\r\n\r\n\r\nab\n";
    const TWO: &[u8] = b"SIP/2.0 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n";

    fn frames(pieces: &[&[u8]]) -> Result<Vec<Framed>, FrameFault> {
        let mut framer = Framer::new(Limits::default());
        let mut out = Vec::new();
        for piece in pieces {
            framer.push(piece);
            while let Some(framed) = framer.next()? {
                out.push(framed);
            }
        }
        Ok(out)
    }

    fn message(bytes: &[u8]) -> Framed {
        Framed::Message(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn every_cut_gives_the_same_messages() {
        let stream = [ONE, TWO, ONE].concat();
        for at in 0..stream.len() {
            let (head, tail) = stream.split_at(at);
            assert_eq!(
                frames(&[head, tail]),
                Ok(vec![message(ONE), message(TWO), message(ONE)])
            );
        }
        let drip: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(frames(&drip).unwrap().len(), 3);
    }

    /// Found by fuzzing: the second half of a ping waited for more because a third began.
    #[test]
    fn the_second_half_of_a_ping_waits_for_nothing() {
        assert_eq!(
            frames(&[b"\r\n", b"\r\n\r"]),
            Ok(vec![Framed::Pong, Framed::Ping])
        );
    }

    #[test]
    fn keep_alives_stand_between_messages() {
        let stream = [b"\r\n\r\n", TWO, b"\r\n", TWO, b"\r\n\r\n\r\n"].concat();
        assert_eq!(
            frames(&[&stream]),
            Ok(vec![
                Framed::Ping,
                message(TWO),
                Framed::Pong,
                message(TWO),
                Framed::Ping,
                Framed::Pong
            ])
        );
        assert_eq!(
            frames(&[b"\r\n", b"\r\n"]),
            Ok(vec![Framed::Pong, Framed::Ping])
        );
        assert_eq!(frames(&[b"\r\n\r", b"\n"]), Ok(vec![Framed::Ping]));
    }

    #[test]
    fn doubt_about_the_end_is_a_fault() {
        let fault = |lines: &str| frames(&[format!("A b SIP/2.0\r\n{lines}\r\n").as_bytes()]);
        assert_eq!(fault("To: x\r\n"), Err(FrameFault::NoContentLength));
        assert_eq!(
            fault("l: 3\r\nContent-Length: 3\r\n"),
            Err(FrameFault::ContentLengthRepeated)
        );
        for bad in ["-1", "+1", "0x1", "", "1, 1", "1 1", "99999999999999999999"] {
            assert_eq!(
                fault(&format!("l: {bad}\r\n")),
                Err(FrameFault::BadContentLength),
                "{bad}"
            );
        }
        assert_eq!(fault("l 3\r\n"), Err(FrameFault::BadContentLength));
        assert_eq!(fault("X: y\nl: 3\r\nl: 0\r\n"), Err(FrameFault::LineEnd));
        assert_eq!(fault("l: 4294967295\r\n"), Err(FrameFault::TooLarge));
        assert_eq!(
            fault("X: y\r\n l: 7\r\nl: 0\r\n").unwrap().len(),
            1,
            "a fold is no line"
        );
    }

    #[test]
    fn a_header_section_without_end_is_refused_and_forgotten() {
        let mut framer = Framer::new(Limits::default());
        framer.push(b"INVITE sip:a SIP/2.0\r\nX: ");
        assert_eq!(framer.next(), Ok(None));
        framer.push(&[b'x'; 70_000]);
        assert_eq!(framer.next(), Err(FrameFault::TooLarge));
        framer.push(TWO);
        assert_eq!(framer.next(), Err(FrameFault::TooLarge));
        assert_eq!(framer.next(), Err(FrameFault::TooLarge));
    }
}
