//! What operators see of a call that is up.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::event::{AttemptRecord, LadderStep};
use crate::io::CallId;
use crate::looked_up::LookedUp;
use crate::time::Instant;

/// One side of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegView {
    /// Trunk.
    pub trunk: Arc<str>,
    /// Peer.
    pub peer: Option<SocketAddr>,
    /// SIP Call-ID.
    pub sip_call_id: String,
}

/// One call that is up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallView {
    /// The host's call id.
    pub call: CallId,
    /// `asking`, `trying`, `ringing`, `answered`, `ending`.
    pub state: &'static str,
    /// When it began.
    pub started_at: Instant,
    /// When it was answered.
    pub answered_at: Option<Instant>,
    /// Calling side.
    pub a_leg: LegView,
    /// Called side, once there is one.
    pub b_leg: Option<LegView>,
    /// Calling number, as received.
    pub caller: String,
    /// Called number, as received.
    pub callee: String,
    /// Policy and generation, once decided.
    pub policy: Option<(Arc<str>, u64)>,
    /// The policy's explanation.
    pub because: Vec<String>,
    /// What the policy asked the host, and what it was told.
    pub looked_up: Vec<LookedUp>,
    /// Candidates that the host refused, and why.
    pub refused: Vec<String>,
    /// Attempts that ended.
    pub attempts: Vec<AttemptRecord>,
    /// The messages so far.
    pub ladder: Vec<LadderStep>,
}
