//! Non-INVITE server transaction (RFC 3261 §17.2.2, figure 8).
//!
//! ```text
//!   request
//!      |
//!   Trying ---1xx---> Proceeding (the request again: 1xx again)
//!      |                 |
//!      +----- final -----+--> Completed (the request again: final again), J ends it
//! ```
//! J is 64·T1. Over a reliable transport no time passes in Completed.

use super::clocks::Clocks;
use super::{ServerInput, ServerStep};
use crate::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerPlain {
    Trying,
    Proceeding,
    Completed { until: Instant },
    Terminated,
}

impl ServerPlain {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Completed { until } => Some(*until),
            Self::Trying | Self::Proceeding | Self::Terminated => None,
        }
    }

    pub(crate) fn handle(&mut self, input: ServerInput, now: Instant, t: &Clocks) -> ServerStep {
        use ServerInput as I;
        let none = ServerStep::default();
        match (*self, input) {
            (Self::Trying | Self::Proceeding, I::Provisional) => {
                *self = Self::Proceeding;
                ServerStep { send: true, ..none }
            }
            (Self::Trying | Self::Proceeding, I::Success | I::Failure) => {
                let until = t.request_again(now);
                *self = until.map_or(Self::Terminated, |until| Self::Completed { until });
                ServerStep {
                    send: true,
                    terminated: until.is_none(),
                    ..none
                }
            }
            (Self::Proceeding | Self::Completed { .. }, I::Again) => ServerStep {
                resend: true,
                ..none
            },
            (Self::Completed { until }, I::Clock) if until <= now => {
                *self = Self::Terminated;
                ServerStep {
                    terminated: true,
                    ..none
                }
            }
            (Self::Trying, I::Again | I::Ack | I::Clock)
            | (Self::Proceeding, I::Ack | I::Clock)
            | (
                Self::Completed { .. },
                I::Ack | I::Provisional | I::Success | I::Failure | I::Clock,
            )
            | (
                Self::Terminated,
                I::Again | I::Ack | I::Provisional | I::Success | I::Failure | I::Clock,
            ) => none,
        }
    }
}
