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
//! Timer A starts at T1 and doubles without a cap; B is 64·T1; D is 32 s; M is 64·T1. Over a
//! reliable transport there is no A, and no time passes in Completed.

use std::time::Duration;

use super::clocks::Clocks;
use super::{Backoff, ClientInput, ClientStep};
use crate::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientInvite {
    Calling {
        resend: Option<Backoff>,
        give_up: Instant,
    },
    Proceeding,
    Completed {
        until: Instant,
    },
    Accepted {
        until: Instant,
    },
    Terminated,
}

impl ClientInvite {
    /// The request has just been sent.
    pub(crate) fn start(now: Instant, t: &Clocks) -> Self {
        Self::Calling {
            resend: t.resend(now),
            give_up: t.give_up(now),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Calling { resend, give_up } => Some(Backoff::or(*resend, *give_up)),
            Self::Completed { until } | Self::Accepted { until } => Some(*until),
            Self::Proceeding | Self::Terminated => None,
        }
    }

    pub(crate) fn handle(&mut self, input: ClientInput, now: Instant, t: &Clocks) -> ClientStep {
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
                    until: t.give_up(now),
                };
                tell
            }
            (Self::Calling { .. } | Self::Proceeding, I::Failure) => {
                let until = t.failure_again(now);
                *self = until.map_or(Self::Terminated, |until| Self::Completed { until });
                ClientStep {
                    tell: true,
                    ack: true,
                    terminated: until.is_none(),
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
                let fired = Backoff::fire_any(&mut resend, now, Duration::MAX);
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
