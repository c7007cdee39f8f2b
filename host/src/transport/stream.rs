//! One connection: bytes in, cut into messages; messages out, in order, as fast as the peer takes
//! them and no further than a bound.
//!
//! Never waits, never looks at a clock, knows nothing of other connections (RFC 3261 §18).

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use intertrunk_proto::{TransmitId, TrunkId};
use intertrunk_sip::{FrameFault, Framed, Framer, Limits};
use mio::net::TcpStream;

use super::census::Place;
use super::tls::{self, Session};

/// Bytes that may wait for a peer that is slow to take them.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Answers to keep-alives that may wait; a peer that does not read them needs no more.
const PONGS_MAX: usize = 16;
/// Requests that are remembered as handed to the kernel: if the connection dies, so do they.
const HANDED_OVER_MAX: usize = 64;
/// Bytes that TLS is given at once: one record.
const RECORD_BYTES: usize = 16 * 1024;
/// Messages that one system call writes.
const PIECES_A_WRITE: usize = 16;

/// Who sent a request, and what it is called there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The shard.
    pub shard: u16,
    /// The machine's name for it.
    pub request: TransmitId,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The peer closed it.
    #[error("the peer closed it")]
    Closed,
    /// The system says so.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// The peer's stream cannot be cut into messages.
    #[error("{0}")]
    Unframed(#[from] FrameFault),
    /// TLS says so.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    /// The peer reads too slowly.
    #[error("the peer takes nothing, or too slowly")]
    Slow,
    /// It took too long to come about.
    #[error("no connection in time")]
    TooLong,
    /// Nobody listens to its source any more.
    #[error("its source is blocked")]
    Blocked,
    /// Nothing was said on it for long.
    #[error("idle")]
    Idle,
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// We have asked for it.
    Connecting,
    /// TLS is being agreed on.
    Handshaking,
    /// Messages go both ways.
    Open,
}

/// What reading once has given.
enum Received {
    /// There is nothing at the moment.
    Nothing,
    /// TLS is agreed on: the peer is known, and has said nothing yet.
    Opened,
    /// So many bytes; 0 at the end of the stream.
    Bytes(usize),
}

/// One message on its way out.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    origin: Option<Origin>,
}

/// One connection.
#[derive(Debug)]
pub struct Stream {
    /// The peer's address.
    pub remote: SocketAddr,
    /// The socket.
    pub socket: TcpStream,
    /// How far it has come.
    pub phase: Phase,
    /// The names of the peer's certificate.
    pub names: Vec<String>,
    /// The trunk that these speak for.
    pub trunk: Option<TrunkId>,
    /// Whether the peer is one that the configuration knows.
    pub known: bool,
    tls: Option<Session>,
    framer: Framer,
    queue: VecDeque<Piece>,
    queued_bytes: usize,
    handed_over: VecDeque<Origin>,
    _place: Place,
}

impl Stream {
    /// A connection that is being made, or was made to us.
    pub fn new(socket: TcpStream, remote: SocketAddr, tls: Option<Session>, place: Place) -> Self {
        Stream {
            remote,
            socket,
            phase: Phase::Connecting,
            names: Vec::new(),
            trunk: None,
            known: false,
            tls,
            framer: Framer::new(Limits::default()),
            queue: VecDeque::new(),
            queued_bytes: 0,
            handed_over: VecDeque::new(),
            _place: place,
        }
    }

    /// The kernel has connected it.
    pub fn connected(&mut self) {
        self.phase = match self.tls {
            Some(_) => Phase::Handshaking,
            None => Phase::Open,
        };
    }

    /// Whether something waits to be written.
    pub fn is_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Bytes that wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Queues a message. A peer that has left too much unread is given up instead.
    pub fn queue(&mut self, bytes: Bytes, origin: Option<Origin>) -> Result<(), End> {
        self.queued_bytes += bytes.len();
        self.queue.push_back(Piece { bytes, origin });
        match self.queued_bytes > QUEUE_BYTES_MAX {
            true => Err(End::Slow),
            false => Ok(()),
        }
    }

    /// Reads once, and tells each message. Says whether there may be more.
    pub fn read(
        &mut self,
        scratch: &mut [u8],
        mut message: impl FnMut(&Stream, Bytes),
    ) -> Result<bool, End> {
        let length = match self.receive(scratch)? {
            Received::Nothing => return Ok(false),
            // Whose messages follow is to be found out before they are read.
            Received::Opened => return Ok(true),
            Received::Bytes(0) => return Err(End::Closed),
            Received::Bytes(length) => length,
        };
        self.framer.push(&scratch[..length]);
        while let Some(framed) = self.framer.next()? {
            match framed {
                Framed::Message(bytes) => message(self, bytes),
                // RFC 5626 §4.4.1
                Framed::Ping if self.queue.len() < PONGS_MAX => {
                    self.queue(Bytes::from_static(b"\r\n"), None)?;
                }
                Framed::Ping | Framed::Pong => {}
            }
        }
        Ok(true)
    }

    /// Takes bytes from the socket.
    fn receive(&mut self, scratch: &mut [u8]) -> Result<Received, End> {
        let Some(tls) = &mut self.tls else {
            let length = unless_blocked(self.socket.read(scratch))?;
            return Ok(length.map_or(Received::Nothing, Received::Bytes));
        };
        loop {
            if let Some(length) = unless_blocked(tls.reader().read(scratch))? {
                return Ok(Received::Bytes(length));
            }
            match unless_blocked(tls.read_tls(&mut self.socket))? {
                None => return Ok(Received::Nothing),
                Some(0) => return Ok(Received::Bytes(0)),
                Some(_) => {}
            }
            if let Err(error) = tls.process_new_packets() {
                // The peer is told what is wrong, if it can still hear it.
                let _ = tls.write_tls(&mut self.socket);
                return Err(End::Tls(error));
            }
            if self.phase == Phase::Handshaking && !tls.is_handshaking() {
                self.phase = Phase::Open;
                self.names = tls::names_of(tls);
                return Ok(Received::Opened);
            }
        }
    }

    /// Writes what the kernel takes. Says whether anything of a message went out.
    pub fn flush(&mut self) -> Result<bool, End> {
        let mut progress = false;
        while self.phase != Phase::Connecting {
            let written = match &mut self.tls {
                None => self.write_plain()?,
                Some(_) => self.write_tls()?,
            };
            match written {
                None | Some(0) => break,
                Some(length) => self.advance(length),
            }
            progress = true;
        }
        Ok(progress)
    }

    fn write_plain(&mut self) -> Result<Option<usize>, End> {
        let mut slices = [IoSlice::new(&[]); PIECES_A_WRITE];
        for (slice, piece) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(&piece.bytes);
        }
        match self.queue.is_empty() {
            true => Ok(None),
            false => Ok(unless_blocked(self.socket.write_vectored(&slices))?),
        }
    }

    /// Writes the records that there are, and makes another of what waits.
    fn write_tls(&mut self) -> Result<Option<usize>, End> {
        let Some(tls) = &mut self.tls else {
            return Ok(None);
        };
        while tls.wants_write() {
            if unless_blocked(tls.write_tls(&mut self.socket))?.is_none() {
                return Ok(None);
            }
        }
        match self.queue.front() {
            Some(piece) if !tls.is_handshaking() => {
                let record = &piece.bytes[..piece.bytes.len().min(RECORD_BYTES)];
                Ok(Some(tls.writer().write(record)?))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// So many bytes of the queue are the kernel's, or a record's.
    fn advance(&mut self, mut length: usize) {
        self.queued_bytes -= length;
        while let Some(piece) = self.queue.front_mut() {
            let taken = length.min(piece.bytes.len());
            piece.bytes.advance(taken);
            length -= taken;
            if !piece.bytes.is_empty() {
                return;
            }
            let done = self.queue.pop_front();
            if let Some(origin) = done.and_then(|piece| piece.origin) {
                if self.handed_over.len() >= HANDED_OVER_MAX {
                    self.handed_over.pop_front();
                }
                self.handed_over.push_back(origin);
            }
            if length == 0 {
                return;
            }
        }
    }

    /// Says goodbye, and names the requests that go down with the connection: those that were not
    /// sent, and those of which nobody knows whether they arrived. The machines know which of them
    /// were answered.
    pub fn close(mut self) -> impl Iterator<Item = Origin> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut self.socket);
        }
        let queued = self.queue.into_iter().filter_map(|piece| piece.origin);
        self.handed_over.into_iter().chain(queued)
    }
}

/// None for what cannot be done at the moment.
fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        // TLS without a goodbye; every message says by itself where it ends.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(0)),
        Err(error) => Err(error),
    }
}
