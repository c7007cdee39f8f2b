//! Connections: what goes over TCP in a world, and who takes none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use bytes::Bytes;
use intertrunk_proto::{Connection, Flow, ListenerId};
use intertrunk_sip::Message;

/// The host's listener for datagrams, and the one for connections at the same address.
pub const UDP: ListenerId = ListenerId(0);
/// See [`UDP`].
pub const TCP: ListenerId = ListenerId(1);

/// All that is known of connections.
#[derive(Debug, Default)]
pub struct Streams {
    /// Peers that take no connection.
    pub shunned_by: Vec<SocketAddr>,
    /// Calls of user agents that come in by a connection, by Call-ID.
    by_call: BTreeMap<Bytes, Connection>,
    /// Connections that broke.
    broken: Vec<Connection>,
}

impl Streams {
    /// A call will come in by this connection.
    pub fn carry(&mut self, call_id: &str, number: u32) {
        let call_id = Bytes::copy_from_slice(call_id.as_bytes());
        self.by_call.insert(call_id, connection(number));
    }

    /// Nothing more comes or goes by this connection.
    pub fn break_off(&mut self, number: u32) {
        self.broken.push(connection(number));
    }

    /// The way by which a user agent's bytes come in: an answer by that of its request.
    pub(crate) fn way_in(&self, from: SocketAddr, bytes: &Bytes) -> Flow {
        let message = Message::parse(bytes.clone()).ok();
        let connection = message
            .as_ref()
            .and_then(|m| self.by_call.get(m.call_id()))
            .copied();
        let via = message.as_ref().and_then(|m| m.via().ok());
        let answers = message.as_ref().is_some_and(|m| !m.is_request());
        let to_tcp = answers && via.is_some_and(|via| via.transport == "TCP");
        let listener = match connection.is_some() || to_tcp {
            true => TCP,
            false => UDP,
        };
        Flow {
            connection,
            ..Flow::to(listener, from)
        }
    }

    /// Whether anything can be sent this way.
    pub(crate) fn reaches(&self, flow: Flow) -> bool {
        let broken = flow.connection.is_some_and(|c| self.broken.contains(&c));
        let shunned = flow.listener == TCP && self.shunned_by.contains(&flow.remote);
        !broken && !shunned
    }
}

/// How a ladder names a way that is no datagram's.
pub(crate) fn note(flow: Flow) -> String {
    match (flow.listener, flow.connection) {
        (TCP, Some(connection)) => format!(" (TCP {})", connection.number),
        (TCP, None) => " (TCP)".to_owned(),
        _ => String::new(),
    }
}

/// A connection of pbx-a's, held by the host's only shard here.
fn connection(number: u32) -> Connection {
    Connection {
        number: NonZeroU32::new(number).expect("connections count from 1"),
        shard: crate::world::SHARDS.0,
        trunk: None,
    }
}
