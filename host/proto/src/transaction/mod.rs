//! The four transaction machines of RFC 3261 §17 with the Accepted states of RFC 6026, and the
//! table that matches messages to them.
//!
//! A machine is told what happened and says what to do, as a [`Step`]; it holds no bytes. The
//! table holds the bytes, sends, arms timers and tells the owner.

mod client_invite;
mod client_plain;
mod clocks;
mod key;
mod server_invite;
mod server_plain;
mod table;
#[cfg(test)]
mod tests;
mod told;

use crate::time::Instant;

pub(crate) use table::{ClientKey, Env, ServerKey, Table};
pub(crate) use told::{Challenged, Incoming, Owner, Sending, Told};

/// What a client machine wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ClientStep {
    /// Send the request again.
    pub(crate) resend: bool,
    /// Acknowledge the failure (RFC 3261 §17.1.1.3).
    pub(crate) ack: bool,
    /// Pass the response up.
    pub(crate) tell: bool,
    /// Tell the owner that no answer came.
    pub(crate) timed_out: bool,
    /// The transaction is over.
    pub(crate) terminated: bool,
}

/// What happened to a client transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientInput {
    /// 1xx
    Provisional,
    /// 2xx
    Success,
    /// 3xx to 6xx
    Failure,
    /// The clock reached one of its deadlines.
    Clock,
}

/// What a server machine wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ServerStep {
    /// Send the last response again.
    pub(crate) resend: bool,
    /// Send the response that was given.
    pub(crate) send: bool,
    /// The transaction is over.
    pub(crate) terminated: bool,
}

/// What happened to a server transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerInput {
    /// The request came again.
    Again,
    /// The ACK of a failure came (INVITE only).
    Ack,
    /// The owner answers 1xx.
    Provisional,
    /// The owner answers 2xx.
    Success,
    /// The owner answers 3xx to 6xx.
    Failure,
    /// The clock reached one of its deadlines.
    Clock,
}

/// A retransmission timer that doubles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Backoff {
    pub(crate) at: Instant,
    pub(crate) interval: std::time::Duration,
}

impl Backoff {
    pub(crate) fn start(now: Instant, interval: std::time::Duration) -> Self {
        Self {
            at: now + interval,
            interval,
        }
    }

    /// When to look again: when it is due, or at `until` if that is before or nothing is resent.
    pub(crate) fn or(resend: Option<Backoff>, until: Instant) -> Instant {
        resend.map_or(until, |resend| resend.at.min(until))
    }

    /// [`Backoff::fire`], if there is one.
    fn fire_any(resend: &mut Option<Backoff>, now: Instant, max: std::time::Duration) -> bool {
        resend.as_mut().is_some_and(|resend| resend.fire(now, max))
    }

    /// If it is due: sets the next time, the interval doubled up to `max`.
    pub(crate) fn fire(&mut self, now: Instant, max: std::time::Duration) -> bool {
        let due = self.at <= now;
        if due {
            self.interval = (self.interval * 2).min(max);
            self.at = now + self.interval;
        }
        due
    }
}
