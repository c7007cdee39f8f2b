//! How connections begin: taken at a listener's door, or made to where a flow leads.

use std::cmp::Reverse;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use intertrunk_proto::{Flow, Instant, ListenerId, Snapshot, Transport};
use mio::{Interest, Token};

use super::{Entry, FIRST_TOKEN, Streams};
use crate::transport::stream::{End, Stream};
use crate::transport::tcp;

/// Connections that one listener takes in one turn.
const ACCEPTS_A_TURN: usize = 64;
/// After the system had no more room for connections, when it is asked again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

impl Streams {
    pub(super) fn accept(
        &mut self,
        now: Instant,
        snapshot: &Snapshot,
        keeps_out: &impl Fn(IpAddr) -> bool,
    ) {
        if self.accept_again.is_some_and(|at| at > now) {
            return;
        }
        self.accept_again = None;
        for place in 0..self.doors.len() {
            for _ in 0..ACCEPTS_A_TURN {
                let Some(door) = self.doors[place].as_mut().filter(|door| door.ready) else {
                    break;
                };
                match door.socket.accept() {
                    // Closed as it is, before anything is kept of it, or a handshake costs anything.
                    Ok((_, remote)) if keeps_out(remote.ip()) => self.tally.refused += 1,
                    Ok((socket, remote)) => self.welcome(place, socket, remote, now, snapshot),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => door.ready = false,
                    Err(error) => {
                        tracing::warn!(listener = %door.listener.name, "accepting failed: {error}");
                        self.accept_again = Some(now + ACCEPT_AGAIN);
                        return;
                    }
                }
            }
        }
    }

    fn welcome(
        &mut self,
        place: usize,
        socket: mio::net::TcpStream,
        remote: SocketAddr,
        now: Instant,
        snapshot: &Snapshot,
    ) {
        let Some(door) = &self.doors[place] else {
            return;
        };
        let (listener, rules) = (Arc::clone(&door.listener), &door.rules);
        let (max, host_max) = (rules.connections_max, rules.connections_per_peer_max);
        let Some(seat) = door.census.take(remote.ip(), max, host_max) else {
            tracing::debug!(%remote, listener = %listener.name, "too many connections");
            self.tally.refused += 1;
            return;
        };
        let session = match (listener.transport, &rules.tls) {
            (Transport::Tls, Some(tls)) => tls.accept().map(Some),
            (Transport::Tls, None) => return,
            (Transport::Udp | Transport::Tcp, _) => Ok(None),
        };
        let until = now + rules.connect_timeout;
        let session = match session {
            Ok(session) => session,
            Err(error) => return tracing::warn!(listener = %listener.name, "no TLS: {error}"),
        };
        tcp::prepare(&socket);
        let mut stream = Stream::new(socket, remote, session, seat);
        stream.connected();
        match self.enter(listener.id, stream, false, until) {
            Ok(number) => self.opened(number, now, snapshot),
            Err(error) => tracing::warn!(%remote, "a connection cannot be watched: {error}"),
        }
    }

    /// Begins a connection to where a flow leads.
    pub(super) fn connect(
        &mut self,
        flow: Flow,
        now: Instant,
        snapshot: &Snapshot,
    ) -> Result<NonZeroU32, End> {
        let none = || End::Broken(io::ErrorKind::Unsupported.into());
        let door = self.doors.get(usize::from(flow.listener.0));
        let door = door.and_then(Option::as_ref).ok_or_else(none)?;
        let remote = flow.remote;
        let rules = &door.rules;
        let (max, host_max) = (rules.connections_max, rules.connections_per_peer_max);
        let seat = door.census.take(remote.ip(), max, host_max);
        let seat = seat.ok_or(End::Broken(io::ErrorKind::QuotaExceeded.into()))?;
        let session = match (door.listener.transport, &rules.tls) {
            (Transport::Tls, Some(tls)) => {
                let host = snapshot.host_of(flow.listener, remote).map(str::to_owned);
                Some(tls.connect(&host.unwrap_or_else(|| remote.ip().to_string()))?)
            }
            (Transport::Tls, None) => return Err(none()),
            (Transport::Udp | Transport::Tcp, _) => None,
        };
        let until = now + rules.connect_timeout;
        let socket = tcp::connect(door.listener.local.ip(), remote)?;
        let stream = Stream::new(socket, remote, session, seat);
        Ok(self.enter(flow.listener, stream, true, until)?)
    }

    /// Takes a connection in, and watches it.
    fn enter(
        &mut self,
        listener: ListenerId,
        mut stream: Stream,
        outgoing: bool,
        until: Instant,
    ) -> io::Result<NonZeroU32> {
        let number = loop {
            self.last_number = self.last_number.wrapping_add(1);
            match NonZeroU32::new(self.last_number) {
                Some(number) if !self.entries.contains_key(&number) => break number,
                _ => {}
            }
        };
        let token = Token(FIRST_TOKEN + number.get() as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry
            .register(&mut stream.socket, token, interest)?;
        let remote = (listener, stream.remote);
        self.by_remote.entry(remote).or_default().push(number);
        let entry = Entry {
            listener,
            stream,
            outgoing,
            counted: 0,
            ready: false,
            dirty: false,
            until,
            stuck: None,
            armed: until,
        };
        self.deadlines.push(Reverse((until, number)));
        self.entries.insert(number, entry);
        Ok(number)
    }
}
