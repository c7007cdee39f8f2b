//! Non-INVITE client transaction (RFC 3261 §17.1.2, figure 6).
//!
//! ```text
//!   request sent; E resends, F gives up
//!      |
//!   Trying ---1xx---> Proceeding (E every T2)
//!      |                 |
//!      +----- final -----+--> Completed, K ends it
//! ```
//! Timer E starts at T1 and doubles up to T2; F is 64·T1; K is T4. Over a reliable transport there
//! is no E, and no time passes in Completed.

use super::clocks::Clocks;
use super::{Backoff, ClientInput, ClientStep};
use crate::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientPlain {
    Trying {
        resend: Option<Backoff>,
        give_up: Instant,
    },
    Proceeding {
        resend: Option<Backoff>,
        give_up: Instant,
    },
    Completed {
        until: Instant,
    },
    Terminated,
}

impl ClientPlain {
    /// The request has just been sent.
    pub(crate) fn start(now: Instant, t: &Clocks) -> Self {
        Self::Trying {
            resend: t.resend(now),
            give_up: t.give_up(now),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Trying { resend, give_up } | Self::Proceeding { resend, give_up } => {
                Some(Backoff::or(*resend, *give_up))
            }
            Self::Completed { until } => Some(*until),
            Self::Terminated => None,
        }
    }

    pub(crate) fn handle(&mut self, input: ClientInput, now: Instant, t: &Clocks) -> ClientStep {
        use ClientInput as I;
        let none = ClientStep::default();
        let tell = ClientStep { tell: true, ..none };
        match (*self, input) {
            (Self::Trying { resend, give_up }, I::Provisional) => {
                // E runs on; only when it fires is it set to T2.
                *self = Self::Proceeding {
                    resend: resend.map(|e| Backoff {
                        interval: t.t2,
                        ..e
                    }),
                    give_up,
                };
                tell
            }
            (Self::Proceeding { .. }, I::Provisional) => tell,
            (Self::Trying { .. } | Self::Proceeding { .. }, I::Success | I::Failure) => {
                let until = t.answer_again(now);
                *self = until.map_or(Self::Terminated, |until| Self::Completed { until });
                ClientStep {
                    terminated: until.is_none(),
                    ..tell
                }
            }
            (Self::Trying { give_up, .. } | Self::Proceeding { give_up, .. }, I::Clock)
                if give_up <= now =>
            {
                *self = Self::Terminated;
                ClientStep {
                    timed_out: true,
                    terminated: true,
                    ..none
                }
            }
            (
                Self::Trying {
                    mut resend,
                    give_up,
                },
                I::Clock,
            ) => {
                let fired = Backoff::fire_any(&mut resend, now, t.t2);
                *self = Self::Trying { resend, give_up };
                ClientStep {
                    resend: fired,
                    ..none
                }
            }
            (
                Self::Proceeding {
                    mut resend,
                    give_up,
                },
                I::Clock,
            ) => {
                let fired = Backoff::fire_any(&mut resend, now, t.t2);
                *self = Self::Proceeding { resend, give_up };
                ClientStep {
                    resend: fired,
                    ..none
                }
            }
            (Self::Completed { until }, I::Clock) if until <= now => {
                *self = Self::Terminated;
                ClientStep {
                    terminated: true,
                    ..none
                }
            }
            (Self::Completed { .. }, I::Provisional | I::Success | I::Failure | I::Clock)
            | (Self::Terminated, I::Provisional | I::Success | I::Failure | I::Clock) => none,
        }
    }
}
