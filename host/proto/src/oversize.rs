//! Requests that are too large for a datagram (RFC 3261 §18.1.1).
//!
//! Whether one is, is decided where it is sent: its Via then names TCP, and everything that follows
//! from its transaction (CANCEL, the ACK of a failure) goes the same way. The dialog stays on UDP.

use bytes::Bytes;

use crate::core::Core;
use crate::io::{Flow, TransmitId};
use crate::limits::UNREACHABLE_MAX;
use crate::listener::{Listener, Transport};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::transaction::{ClientKey, Sending};
use crate::trunk::Oversize;

/// "Within 200 bytes of the path MTU", or over this when the MTU is not known.
const DATAGRAM_BYTES_MAX: usize = 1300;

/// How long a peer that takes no connection is not asked for another one.
const UNREACHABLE: std::time::Duration = std::time::Duration::from_secs(300);

impl Core {
    /// Sends a request in a new client transaction; over TCP if it is too large for a datagram.
    pub(crate) fn send(&mut self, mut sending: Sending) -> ClientKey {
        let mut fallback = None;
        if sending.bytes.len() > DATAGRAM_BYTES_MAX
            && let Some((flow, bytes, rule)) = self.over_tcp(sending.flow, &sending.bytes)
        {
            let datagram = (sending.flow, std::mem::replace(&mut sending.bytes, bytes));
            sending.flow = flow;
            fallback = (rule == Oversize::TcpIfReachable).then(|| Box::new(datagram));
        }
        let (table, mut env) = self.table_env();
        let client = table.send(sending, &mut env);
        if let Some(fallback) = fallback {
            table.fall_back_to(client, fallback);
        }
        client
    }

    /// Sends the ACK of a 2xx. Nobody learns when it cannot be sent, so a connection is made for it
    /// only where the configuration is sure of TCP.
    pub(crate) fn transmit_ack(&mut self, flow: Flow, bytes: Bytes) {
        let instead = (bytes.len() > DATAGRAM_BYTES_MAX)
            .then(|| self.over_tcp(flow, &bytes))
            .flatten();
        match instead {
            Some((flow, bytes, Oversize::Tcp)) => self.transmit(flow, bytes),
            _ => self.transmit(flow, bytes),
        }
    }

    /// A request could not be sent. One that may go out over UDP instead does so.
    pub(crate) fn transmit_failed(&mut self, id: TransmitId) {
        let (table, mut env) = self.table_env();
        if let Some(failed) = table.transmit_failed(id, &mut env) {
            if self.unreachable.len() >= UNREACHABLE_MAX {
                self.unreachable.clear();
            }
            let until = self.now + UNREACHABLE;
            self.unreachable
                .insert((failed.listener, failed.remote), until);
        }
    }

    /// The same request over TCP, if that is wanted and there is a listener for it.
    fn over_tcp(&self, flow: Flow, bytes: &Bytes) -> Option<(Flow, Bytes, Oversize)> {
        let listeners = &self.snapshot.listeners;
        let udp = listeners.get(flow.listener)?;
        if udp.transport != Transport::Udp {
            return None;
        }
        let rule = rule_for(&self.snapshot, flow);
        let tcp = listeners.beside(udp.id, Transport::Tcp)?;
        let until = self.unreachable.get(&(tcp.id, flow.remote)).copied();
        let reachable = until.is_none_or(|until: Instant| until <= self.now);
        match rule {
            Oversize::Off => return None,
            Oversize::TcpIfReachable if !reachable => return None,
            Oversize::TcpIfReachable | Oversize::Tcp => {}
        }
        let bytes = with_via_of(tcp, udp, bytes)?;
        Some((Flow::to(tcp.id, flow.remote), bytes, rule))
    }
}

/// The rule of the trunk that has a peer there, or that would be heard from there.
fn rule_for(snapshot: &Snapshot, flow: Flow) -> Oversize {
    let has_peer = |t: &&std::sync::Arc<crate::trunk::Trunk>| {
        t.listens_on(flow.listener)
            && t.peers
                .iter()
                .any(|p| p.targets.any_source(|a| a == flow.remote))
    };
    let trunk = snapshot.trunks.iter().find(has_peer);
    let trunk = trunk.or_else(|| snapshot.identify(flow));
    trunk.map_or(Oversize::default(), |t| t.oversize)
}

/// The same request with our Via of another listener.
fn with_via_of(tcp: &Listener, udp: &Listener, bytes: &Bytes) -> Option<Bytes> {
    let via = |l: &Listener| format!("\r\nVia: SIP/2.0/{} {};", l.transport.as_via(), l.advertise);
    let (old, new) = (via(udp), via(tcp));
    // Our Via is the second line of each request that we print.
    let line = bytes.windows(2).position(|w| w == b"\r\n")?;
    let rest = bytes[line..].strip_prefix(old.as_bytes())?;
    Some([&bytes[..line], new.as_bytes(), rest].concat().into())
}

#[cfg(test)]
mod tests;
