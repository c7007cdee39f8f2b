//! What goes into the B2BUA machine and what comes out.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use intertrunk_sip::{Message, reconnect_address, response_address};

use crate::ask::{Answer, Answered, LookUp, Pin, Query};
use crate::event::Event;
use crate::snapshot::Snapshot;

/// Index of a listener in the running configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerId(pub u16);

/// A trunk, stable across reloads of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrunkId(pub u32);

/// A policy slot, stable across reloads of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PolicyId(pub u16);

/// One question that is waiting for its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AskId(pub u64);

/// One request that was handed to the transport; names it when sending fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransmitId(pub u64);

/// The host's name for a call, the same in logs, records, events and the admin API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for CallId {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(s, 16).map(CallId)
    }
}

/// One live connection of a stream listener. Numbers are not used twice in the life of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Connection {
    /// Its number in the shard that holds it.
    pub number: NonZeroU32,
    /// Which shard holds it.
    pub shard: u16,
    /// The trunk that the peer's certificate speaks for.
    pub trunk: Option<TrunkId>,
}

/// The way between us and a peer: one UDP pair, or one connection.
///
/// What is sent on a flow with a connection goes out on that, while it lives. Otherwise, as without
/// one, it goes out on any connection to `remote`, and if there is none, on a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Flow {
    /// Which of our sockets.
    pub listener: ListenerId,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The connection that it stands for.
    pub connection: Option<Connection>,
}

impl Flow {
    /// The way to this address, by no connection in particular.
    pub fn to(listener: ListenerId, remote: SocketAddr) -> Flow {
        Flow {
            listener,
            remote,
            connection: None,
        }
    }

    /// The way that responses to `request`, which came in on this flow, go back. A datagram's: to
    /// its source if it asks for that by `rport`, else to its source's address at the port of its
    /// Via (RFC 3261 §18.2.2, RFC 3581 §4). A connection's: by the connection, and once that is
    /// gone to the source's address at the port of the Via.
    pub(crate) fn back_to_sender(self, request: &Message) -> Flow {
        let remote = request
            .via()
            .map_or(self.remote, |via| match self.connection {
                Some(_) => reconnect_address(&via, self.remote),
                None => response_address(&via, self.remote),
            });
        Flow { remote, ..self }
    }
}

/// Everything that can happen to the machine.
#[derive(Debug)]
pub enum Input {
    /// Bytes came in: one datagram, or one framed message of a stream.
    Received {
        /// Where from.
        flow: Flow,
        /// What.
        bytes: Bytes,
    },
    /// A request could not be sent.
    TransmitFailed(TransmitId),
    /// A policy answered, or failed to.
    Answered {
        /// Which question.
        ask: AskId,
        /// What came of it.
        answer: Box<Answer>,
    },
    /// What outside sources said, one answer for each look-up.
    Inquired {
        /// Which inquiry.
        ask: AskId,
        /// In the order of the look-ups.
        answers: Vec<Answered>,
    },
    /// A new configuration, already checked. Calls in progress keep the trunks that they use.
    Config(Arc<Snapshot>),
    /// Finish the calls that are up, refuse new ones.
    Drain,
    /// Take new calls again.
    Resume,
    /// End a call from outside (both legs get BYE or its equivalent).
    EndCall(CallId),
    /// The earliest timeout has come.
    Timeout,
}

/// Everything that the machine wants done.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Transmit {
        /// Where to.
        flow: Flow,
        /// What.
        bytes: Bytes,
        /// Given for a request: report a failure to send by `Input::TransmitFailed`.
        request: Option<TransmitId>,
    },
    /// Ask a policy. The machine keeps its own deadline and goes on working meanwhile.
    Ask {
        /// Names the answer.
        ask: AskId,
        /// Which policy slot.
        policy: PolicyId,
        /// The facts. The shell adds the wall clock and the headers that the policy reads.
        query: Box<Query>,
        /// The INVITE that the call began with.
        invite: Arc<Message>,
        /// The version that the call is pinned to, once it has one.
        pin: Option<Pin>,
    },
    /// Ask outside sources. The machine keeps its own deadline and goes on working meanwhile.
    Inquire {
        /// Names the answers.
        ask: AskId,
        /// The policy that wants to know; its sources are those that it was granted.
        policy: PolicyId,
        /// What to look up.
        look_ups: Vec<LookUp>,
    },
    /// Nobody waits for the answers to this inquiry any more.
    Forget(AskId),
    /// Something happened that operators, records or metrics want to know.
    Event(Event),
}
