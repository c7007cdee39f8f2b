//! INVITE client transaction (RFC 3261 §17.1.1, figure 5; RFC 6026 §7.2).
//!
//! ```text
//!              INVITE sent; A resends, B gives up
//!                 |
//!              Calling ---1xx---> Proceeding
//!                 |  \               |  \
//!            3xx-6xx  2xx       3xx-6xx  2xx
//!               ACK    \            ACK    \
//!                 v     v            v      v
//!             Completed Accepted (same two states)
//!             D ends it  M ends it
//!             3xx-6xx:   2xx: told again
//!             ACK again
//! ```
//! Timer A starts at T1 and doubles without a cap; B is 64·T1; D is 32 s on UDP; M is 64·T1.

use std::time::Duration;

use super::{Backoff, ClientInput, ClientStep};
use crate::snapshot::Timers;
use crate::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientInvite {
    Calling { resend: Backoff, give_up: Instant },
    Proceeding,
    Completed { until: Instant },
    Accepted { until: Instant },
    Terminated,
}

/// Timer D on an unreliable transport: "at least 32 seconds".
const TIMER_D: Duration = Duration::from_secs(32);

impl ClientInvite {
    /// The request has just been sent.
    pub(crate) fn start(now: Instant, t: &Timers) -> Self {
        Self::Calling {
            resend: Backoff::start(now, t.t1),
            give_up: now + t.t1 * 64,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Calling { resend, give_up } => Some(resend.at.min(*give_up)),
            Self::Completed { until } | Self::Accepted { until } => Some(*until),
            Self::Proceeding | Self::Terminated => None,
        }
    }

    pub(crate) fn handle(&mut self, input: ClientInput, now: Instant, t: &Timers) -> ClientStep {
        use ClientInput as I;
        let none = ClientStep::default();
        let tell = ClientStep { tell: true, ..none };
        match (*self, input) {
            (Self::Calling { .. } | Self::Proceeding, I::Provisional) => {
                *self = Self::Proceeding;
                tell
            }
            (Self::Calling { .. } | Self::Proceeding, I::Success) => {
                *self = Self::Accepted {
                    until: now + t.t1 * 64,
                };
                tell
            }
            (Self::Calling { .. } | Self::Proceeding, I::Failure) => {
                *self = Self::Completed {
                    until: now + TIMER_D,
                };
                ClientStep {
                    tell: true,
                    ack: true,
                    ..none
                }
            }
            (Self::Calling { give_up, .. }, I::Clock) if give_up <= now => {
                *self = Self::Terminated;
                ClientStep {
                    timed_out: true,
                    terminated: true,
                    ..none
                }
            }
            (
                Self::Calling {
                    mut resend,
                    give_up,
                },
                I::Clock,
            ) => {
                let fired = resend.fire(now, Duration::MAX);
                *self = Self::Calling { resend, give_up };
                ClientStep {
                    resend: fired,
                    ..none
                }
            }
            (Self::Completed { .. }, I::Failure) => ClientStep { ack: true, ..none },
            (Self::Accepted { .. }, I::Success) => tell,
            (Self::Completed { until } | Self::Accepted { until }, I::Clock) if until <= now => {
                *self = Self::Terminated;
                ClientStep {
                    terminated: true,
                    ..none
                }
            }
            (Self::Completed { .. }, I::Provisional | I::Success | I::Clock)
            | (Self::Accepted { .. }, I::Provisional | I::Failure | I::Clock)
            | (Self::Proceeding, I::Clock)
            | (Self::Terminated, I::Provisional | I::Success | I::Failure | I::Clock) => none,
        }
    }
}
