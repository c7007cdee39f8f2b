//! Facts that the machines state. The shell maps each once to log line, metric and record.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::ask::{PolicyFault, Tag};
use crate::io::{CallId, Flow, TrunkId};
use crate::looked_up::LookedUp;
use crate::meter::Price;
use crate::overload::Load;
use crate::time::Instant;
use crate::trunk::{Ailment, Health, Registered};

/// Why bytes were thrown away without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropCause {
    /// Not SIP, or broken beyond an answer.
    Malformed,
    /// From a source that is no trunk.
    UnknownSource,
    /// A response that belongs to no transaction.
    StrayResponse,
    /// An ACK that belongs to no dialog.
    StrayAck,
    /// It says itself that it is a scanner's.
    Scanner,
    /// A bound was reached.
    Overload,
}

/// Who ended a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndedBy {
    /// The calling side.
    Caller,
    /// The called side.
    Callee,
    /// The host: refusal, timer, operator, fault.
    Host,
}

impl EndedBy {
    /// As written in records.
    pub fn as_str(self) -> &'static str {
        match self {
            EndedBy::Caller => "caller",
            EndedBy::Callee => "callee",
            EndedBy::Host => "host",
        }
    }
}

/// One attempt in a call's record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptRecord {
    /// Egress trunk.
    pub trunk: Arc<str>,
    /// Address dialled; `None` if it was refused before anything was sent (trunk full or down).
    pub peer: Option<SocketAddr>,
    /// When it began.
    pub started_at: Instant,
    /// When it was answered, failed or given up.
    pub ended_at: Instant,
    /// Final code; 487 for an attempt that we gave up before one came.
    pub code: u16,
    /// Q.850 cause of its Reason header.
    pub q850: Option<u16>,
    /// Reason phrase, or why nothing was sent.
    pub reason: String,
    /// Milliseconds from INVITE to the first 18x or 2xx.
    pub pdd_ms: Option<u32>,
}

/// The record of one call, written once when it ends.
#[derive(Clone, Debug)]
pub struct Record {
    /// The host's call id.
    pub call: CallId,
    /// SIP Call-ID of the calling leg.
    pub sip_call_id: String,
    /// INVITE received.
    pub started_at: Instant,
    /// 2xx sent to the caller.
    pub answered_at: Option<Instant>,
    /// End.
    pub ended_at: Instant,
    /// Ingress trunk.
    pub ingress_trunk: Arc<str>,
    /// Trunk of the answering or last attempt.
    pub egress_trunk: Option<Arc<str>>,
    /// Calling number as received and as sent.
    pub caller_in: String,
    /// Calling number as sent.
    pub caller_out: Option<String>,
    /// Called number as received.
    pub callee_in: String,
    /// Called number as sent.
    pub callee_out: Option<String>,
    /// Policy that decided.
    pub policy: Arc<str>,
    /// Its generation; 0 if none decided.
    pub generation: u64,
    /// SHA-256 of its module.
    pub policy_sha256: Option<Arc<str>>,
    /// Time of all decisions of the call, microseconds.
    pub decision_us: u32,
    /// Why the fallback decided, if it did.
    pub fallback: Option<PolicyFault>,
    /// The policy's explanation.
    pub because: Vec<String>,
    /// What the policy asked the host, and what it was told.
    pub looked_up: Vec<LookedUp>,
    /// Candidates that the host refused, and why.
    pub refused: Vec<String>,
    /// All attempts in order.
    pub attempts: Vec<AttemptRecord>,
    /// Final code that the caller got.
    pub final_code: u16,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Q.850 cause.
    pub hangup_cause: u16,
    /// Tags of the plan.
    pub tags: Vec<Tag>,
    /// The messages of the call in order.
    pub ladder: Vec<LadderStep>,
}

/// One message of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LadderStep {
    /// Milliseconds since the call began.
    pub at_ms: u32,
    /// 0 for the calling leg, n for the n-th attempt.
    pub leg: u8,
    /// True if we sent it.
    pub sent: bool,
    /// What it was.
    pub what: LadderWhat,
}

/// What a message of a ladder was. Methods by their place in [`LadderWhat::METHODS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LadderWhat {
    /// A request.
    Request(u8),
    /// A response and the method that it answers.
    Response(u16, u8),
}

impl LadderWhat {
    /// Names behind the numbers; the last one stands for every other method.
    pub const METHODS: [&'static str; 13] = [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "PRACK",
        "UPDATE",
        "INFO",
        "REFER",
        "NOTIFY",
        "MESSAGE",
        "SUBSCRIBE",
        "other",
    ];

    /// The number of a method.
    pub fn method(name: &str) -> u8 {
        let last = Self::METHODS.len() - 1;
        let place = Self::METHODS
            .iter()
            .position(|m| *m == name)
            .unwrap_or(last);
        u8::try_from(place).unwrap_or(u8::MAX)
    }
}

impl std::fmt::Display for LadderWhat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |m: &u8| {
            Self::METHODS
                .get(usize::from(*m))
                .copied()
                .unwrap_or("other")
        };
        match self {
            LadderWhat::Request(m) => f.write_str(name(m)),
            LadderWhat::Response(code, m) => write!(f, "{code} ({})", name(m)),
        }
    }
}

/// A fact.
#[derive(Clone, Debug)]
pub enum Event {
    /// An INVITE was admitted.
    CallStarted {
        /// Which call.
        call: CallId,
        /// Where from.
        ingress: TrunkId,
    },
    /// A policy, or its fallback, decided.
    Decided {
        /// Which call.
        call: CallId,
        /// Generation that decided; 0 if none.
        generation: u64,
        /// Why the fallback decided, if it did.
        fault: Option<PolicyFault>,
        /// Candidates that the host refused, and why.
        refused: Vec<String>,
    },
    /// An attempt was sent.
    AttemptStarted {
        /// Which call.
        call: CallId,
        /// Egress trunk.
        trunk: TrunkId,
        /// Address.
        peer: SocketAddr,
    },
    /// An attempt ended without an answer.
    AttemptFailed {
        /// Which call.
        call: CallId,
        /// Egress trunk.
        trunk: TrunkId,
        /// Its code.
        code: u16,
    },
    /// A plan was accepted whose tags are those of meters.
    Planned {
        /// Which call.
        call: CallId,
        /// Its tags of meters.
        tags: Vec<Tag>,
        /// The call is up, and this is for a transfer of it.
        transfer: bool,
    },
    /// The called side answered.
    CallAnswered {
        /// Which call.
        call: CallId,
        /// What it costs from now on.
        price: Price,
    },
    /// Another has the place of a party of an answered call.
    CallTransferred {
        /// Which call.
        call: CallId,
        /// What it costs from now on.
        price: Price,
    },
    /// A call ended; comes exactly once for each `CallStarted`.
    CallEnded(Box<Record>),
    /// A request was refused before it became a call.
    Refused {
        /// Where from.
        flow: Flow,
        /// The code sent.
        code: u16,
    },
    /// A new call was refused because of overload.
    Shed {
        /// What there was too much of.
        load: Load,
        /// Given once a second at most: how many there were since it was given last.
        since_told: Option<u64>,
    },
    /// A trunk is better or worse than before.
    TrunkHealth {
        /// Which.
        trunk: TrunkId,
        /// How it is now.
        health: Health,
        /// Why, if it is not well.
        why: Option<Ailment>,
    },
    /// Our registration at a trunk is made, has failed, or is taken back.
    Registration {
        /// Which trunk.
        trunk: TrunkId,
        /// What came of it.
        how: Registered,
        /// The registrar's answer; 0 if it has given none.
        code: u16,
    },
    /// A trunk has come near one of its limits, or is no longer.
    TrunkNearLimit {
        /// Which.
        trunk: TrunkId,
        /// Whether it is near.
        near: bool,
    },
    /// Bytes were thrown away.
    Dropped {
        /// Where from.
        flow: Flow,
        /// Why.
        cause: DropCause,
        /// In words.
        detail: &'static str,
    },
    /// A request has to show credentials before it is taken.
    Challenged {
        /// Where from.
        flow: Flow,
    },
    /// A request showed credentials that are wrong.
    WrongCredentials {
        /// Where from.
        flow: Flow,
        /// The trunk that it comes from, by its address.
        trunk: Option<TrunkId>,
        /// Its sender has been heard from there: it knows a nonce that was said to that address.
        reached: bool,
    },
    /// An answer came after its question had been given up; it changed nothing.
    LateAnswer,
    /// A finished transaction or a retransmission that the machine absorbed.
    Retransmitted {
        /// Where from or to.
        flow: Flow,
    },
}
