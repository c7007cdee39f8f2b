//! What passes between the table of transactions and those who own them.

use bytes::Bytes;
use intertrunk_sip::{Message, Token};

use super::table::ServerKey;
use crate::call::{AttemptId, CallKey, LegId, RelayId};
use crate::io::{Flow, TrunkId};

/// Who is told about a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// The INVITE of one attempt.
    Attempt(CallKey, AttemptId),
    /// A request relayed from one leg to the other.
    Relay(CallKey, RelayId),
    /// A re-INVITE of the host's own, with this CSeq, to one leg.
    Own(CallKey, LegId, u32),
    /// The host's refresh of the session on one leg.
    Refresh(CallKey, LegId),
    /// The host's own request within a call (BYE, CANCEL); only its end matters.
    Call(CallKey),
    /// OPTIONS to a target of this trunk, by its number.
    Trunk(TrunkId, u64),
    /// REGISTER for this trunk.
    Registration(TrunkId),
}

impl Owner {
    /// The same call, in no part of which the transaction matters any more.
    pub(super) fn without_part(self) -> Owner {
        match self {
            Owner::Attempt(call, _)
            | Owner::Relay(call, _)
            | Owner::Own(call, _, _)
            | Owner::Refresh(call, _)
            | Owner::Call(call) => Owner::Call(call),
            Owner::Trunk(..) | Owner::Registration(_) => self,
        }
    }

    /// The call that it is a part of, if it is one of a call.
    pub(crate) fn call(self) -> Option<CallKey> {
        match self {
            Owner::Attempt(call, _)
            | Owner::Relay(call, _)
            | Owner::Own(call, _, _)
            | Owner::Refresh(call, _)
            | Owner::Call(call) => Some(call),
            Owner::Trunk(..) | Owner::Registration(_) => None,
        }
    }
}

/// A request to send in a new client transaction.
pub(crate) struct Sending {
    pub(crate) flow: Flow,
    pub(crate) bytes: Bytes,
    pub(crate) branch: Token,
    pub(crate) invite: bool,
    pub(crate) owner: Owner,
}

/// What an owner is told.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are responses; a box each costs more"
)]
pub(crate) enum Told {
    /// A response came that is new to the owner.
    Response { owner: Owner, response: Message },
    /// A 401 or 407 came, and the request may be sent again with credentials; or a 422 to an INVITE, and
    /// it may ask for a longer interval. No part of the call hears of this transaction any more.
    Challenged(Box<Challenged>),
    /// No final response came in time.
    TimedOut { owner: Owner },
    /// The request could not be sent.
    Unsendable { owner: Owner },
    /// A client transaction of this owner is over.
    ClientOver { owner: Owner },
    /// A server INVITE transaction of this call is over.
    ServerOver { call: CallKey },
}

/// A request of ours that its receiver wants otherwise: with credentials, or another interval.
#[derive(Debug)]
pub(crate) struct Challenged {
    pub(crate) owner: Owner,
    pub(crate) flow: Flow,
    /// As it was sent.
    pub(crate) request: Bytes,
    pub(crate) response: Message,
    /// How often it has been sent with credentials.
    pub(crate) tries: u8,
}

/// What a received request is to the transactions.
pub(crate) enum Incoming {
    /// A retransmission, dealt with.
    Absorbed,
    /// Starts a transaction.
    New,
    /// An ACK for a 2xx: the dialog's.
    Ack,
    /// A CANCEL, and the INVITE transaction that it is about with its call.
    Cancel(Option<(ServerKey, CallKey)>),
}
