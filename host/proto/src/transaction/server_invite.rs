//! INVITE server transaction (RFC 3261 §17.2.1, figure 7; RFC 6026 §7.1).
//!
//! ```text
//!      INVITE
//!        |
//!    Proceeding --2xx--> Accepted, L ends it (the owner resends the 2xx)
//!        |
//!     3xx-6xx
//!        v
//!    Completed --ACK--> Confirmed, I ends it
//!    G resends, H ends it without an ACK
//! ```
//! Timer G starts at T1 and doubles up to T2; H and L are 64·T1; I is T4. Over a reliable transport
//! there is no G, and no time passes in Confirmed.

use super::clocks::Clocks;
use super::{Backoff, ServerInput, ServerStep};
use crate::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerInvite {
    Proceeding,
    Accepted {
        until: Instant,
    },
    Completed {
        resend: Option<Backoff>,
        until: Instant,
    },
    Confirmed {
        until: Instant,
    },
    Terminated,
}

impl ServerInvite {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Completed { resend, until } => Some(Backoff::or(*resend, *until)),
            Self::Accepted { until } | Self::Confirmed { until } => Some(*until),
            Self::Proceeding | Self::Terminated => None,
        }
    }

    pub(crate) fn handle(&mut self, input: ServerInput, now: Instant, t: &Clocks) -> ServerStep {
        use ServerInput as I;
        let none = ServerStep::default();
        match (*self, input) {
            (Self::Proceeding, I::Again) => ServerStep {
                resend: true,
                ..none
            },
            (Self::Proceeding, I::Provisional) => ServerStep { send: true, ..none },
            (Self::Proceeding, I::Success) => {
                *self = Self::Accepted {
                    until: t.give_up(now),
                };
                ServerStep { send: true, ..none }
            }
            (Self::Proceeding, I::Failure) => {
                *self = Self::Completed {
                    resend: t.resend(now),
                    until: t.give_up(now),
                };
                ServerStep { send: true, ..none }
            }
            (Self::Completed { .. }, I::Again) => ServerStep {
                resend: true,
                ..none
            },
            (Self::Completed { .. }, I::Ack) => {
                let until = t.answer_again(now);
                *self = until.map_or(Self::Terminated, |until| Self::Confirmed { until });
                ServerStep {
                    terminated: until.is_none(),
                    ..none
                }
            }
            (
                Self::Completed { until, .. }
                | Self::Accepted { until }
                | Self::Confirmed { until },
                I::Clock,
            ) if until <= now => {
                *self = Self::Terminated;
                ServerStep {
                    terminated: true,
                    ..none
                }
            }
            (Self::Completed { mut resend, until }, I::Clock) => {
                let fired = Backoff::fire_any(&mut resend, now, t.t2);
                *self = Self::Completed { resend, until };
                ServerStep {
                    resend: fired,
                    ..none
                }
            }
            (Self::Proceeding, I::Ack | I::Clock)
            | (Self::Completed { .. }, I::Provisional | I::Success | I::Failure)
            | (
                Self::Accepted { .. } | Self::Confirmed { .. } | Self::Terminated,
                I::Again | I::Ack | I::Provisional | I::Success | I::Failure | I::Clock,
            ) => none,
        }
    }
}
