//! One attempt as the wire shows it: its INVITE, what came back, what the host did about it.

use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::Instant;
use intertrunk_sip::Message;

use super::{branch_of, user_of};

/// How long a client transaction without any answer lives (RFC 3261 §17.1.1.2), and how long one that
/// has its 2xx takes more of them (RFC 6026 §7.2).
pub(super) const PATIENCE: Duration = Duration::from_secs(32);

/// One attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempt {
    /// Place in [`crate::world::TRUNKS`].
    pub(super) trunk: usize,
    pub(super) branch: Bytes,
    pub(super) callee: String,
    pub(super) caller: String,
    pub(super) sent: Instant,
    /// Which plan, whether behind all that are well, and which group.
    pub(super) turn: (u8, bool, u8),
    /// Time without 18x, and time of ringing, before the next may be tried.
    pub(super) no_progress: Duration,
    pub(super) ring: Duration,
    /// Any answer at all came.
    pub(super) heard: bool,
    /// 101 to 199 came while it could still make the call.
    pub(super) rang: bool,
    /// The first final answer that is no 2xx.
    pub(super) refused: Option<u16>,
    /// When CANCEL was sent.
    pub(super) cancelled: Option<Instant>,
    pub(super) unsendable: bool,
    /// One for each To tag of a 2xx.
    pub(super) forks: Vec<Fork>,
    pub(super) first_2xx: Option<Instant>,
    /// It made the call.
    pub(super) won: bool,
    /// When it stopped being one that can make the call.
    pub(super) over: Option<Instant>,
    /// Code of its final answer, if that came while it could make the call.
    pub(super) code: Option<u16>,
}

/// One dialog that a 2xx has made.
#[derive(Clone, Debug, Default)]
pub(super) struct Fork {
    pub(super) tag: Bytes,
    pub(super) won: bool,
    /// ACK and BYE, sent by the host.
    pub(super) acknowledged: bool,
    pub(super) bye_said: bool,
    /// BYE of the callee.
    pub(super) bye_heard: bool,
    /// The 2xx came in this step, for the first time or again.
    pub(super) fresh: bool,
    pub(super) again: bool,
    /// An ACK was sent in this step.
    pub(super) acknowledged_now: bool,
}

impl Attempt {
    pub(super) fn of_invite(invite: &Message, trunk: usize, now: Instant) -> Attempt {
        Attempt {
            trunk,
            branch: branch_of(invite),
            callee: user_of(invite, None),
            caller: user_of(invite, Some(intertrunk_sip::Name::From)),
            sent: now,
            ..Attempt::default()
        }
    }

    /// Whether it can still make the call.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.over.is_none() && !self.unsendable && !self.timed_out(now)
    }

    /// Whether one of its timers is over: no answer, no progress, rang too long.
    pub(super) fn timed_out(&self, now: Instant) -> bool {
        let waited = now.since(self.sent);
        (!self.heard && waited >= PATIENCE)
            || (!self.rang && waited >= self.no_progress)
            || waited >= self.ring
    }

    /// Whether its transaction may be gone, so that late answers belong to nothing.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        let long_ago = |at: Option<Instant>| at.is_some_and(|at| now.since(at) >= PATIENCE);
        self.unsendable
            || self.refused.is_some()
            || long_ago(self.first_2xx)
            || long_ago(self.cancelled)
            || long_ago(self.over)
            || (!self.heard && now.since(self.sent) >= PATIENCE)
    }
}
