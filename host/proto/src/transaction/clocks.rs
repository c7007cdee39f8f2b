//! The timers of one transaction (RFC 3261 table 4): how long each is depends on whether the
//! transport itself sends again what was lost.

use std::time::Duration;

use super::Backoff;
use crate::snapshot::Timers;
use crate::time::Instant;

/// Timer D on an unreliable transport: "at least 32 seconds".
const TIMER_D: Duration = Duration::from_secs(32);

/// Timer values over one transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(super) t1: Duration,
    pub(super) t2: Duration,
    t4: Duration,
    reliable: bool,
}

impl Clocks {
    /// The values of the configuration, over a transport that is reliable or not.
    pub(super) fn of(rfc: &Timers, reliable: bool) -> Clocks {
        Clocks {
            t1: rfc.t1,
            t2: rfc.t2,
            t4: rfc.t4,
            reliable,
        }
    }

    /// Timers A, E and G: when to send again; never over a reliable transport.
    pub(super) fn resend(&self, now: Instant) -> Option<Backoff> {
        (!self.reliable).then(|| Backoff::start(now, self.t1))
    }

    /// Timers B, F and H: when to give up. L and M are as long.
    pub(super) fn give_up(&self, now: Instant) -> Instant {
        now + self.t1 * 64
    }

    /// Timer D: until when a failure may come again that wants its ACK again. None: never.
    pub(super) fn failure_again(&self, now: Instant) -> Option<Instant> {
        (!self.reliable).then(|| now + TIMER_D)
    }

    /// Timers I and K: until when an ACK or a response may come again. None: never.
    pub(super) fn answer_again(&self, now: Instant) -> Option<Instant> {
        (!self.reliable).then(|| now + self.t4)
    }

    /// Timer J: until when a request may come again. None: never.
    pub(super) fn request_again(&self, now: Instant) -> Option<Instant> {
        (!self.reliable).then(|| now + self.t1 * 64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Clocks;
    use crate::snapshot::Timers;
    use crate::time::Instant;
    use crate::transaction::client_invite::ClientInvite;
    use crate::transaction::client_plain::ClientPlain;
    use crate::transaction::server_invite::ServerInvite;
    use crate::transaction::server_plain::ServerPlain;
    use crate::transaction::{ClientInput, ServerInput};

    const START: Instant = Instant::from_micros(0);

    fn at(ms: u64) -> Instant {
        START + Duration::from_millis(ms)
    }

    fn stream() -> Clocks {
        Clocks::of(&Timers::default(), true)
    }

    /// RFC 3261 §17.1: no timer A and E; B and F stay.
    #[test]
    fn a_request_on_a_stream_is_sent_once_and_given_up_all_the_same() {
        let t = stream();
        let mut invite = ClientInvite::start(START, &t);
        assert_eq!(invite.deadline(), Some(at(32_000)));
        let step = invite.handle(ClientInput::Clock, at(32_000), &t);
        assert!(step.timed_out && step.terminated && !step.resend);
        for heard in [None, Some(ClientInput::Provisional)] {
            let mut plain = ClientPlain::start(START, &t);
            heard.map(|input| plain.handle(input, at(1), &t));
            assert_eq!(plain.deadline(), Some(at(32_000)), "{heard:?}");
            let step = plain.handle(ClientInput::Clock, at(32_000), &t);
            assert!(step.timed_out && step.terminated && !step.resend);
        }
    }

    /// RFC 3261 §17.1.1.2, §17.1.2.2: timers D and K are zero; M of RFC 6026 §7.2 is not.
    #[test]
    fn an_answer_on_a_stream_ends_a_client_at_once_unless_others_may_follow() {
        let t = stream();
        let mut refused = ClientInvite::start(START, &t);
        let step = refused.handle(ClientInput::Failure, at(1), &t);
        assert!(step.tell && step.ack && step.terminated);
        let mut taken = ClientInvite::start(START, &t);
        let step = taken.handle(ClientInput::Success, at(1), &t);
        assert!(step.tell && !step.terminated, "another fork may answer");
        assert_eq!(taken.deadline(), Some(at(32_001)));
        for input in [ClientInput::Success, ClientInput::Failure] {
            let mut plain = ClientPlain::start(START, &t);
            let step = plain.handle(input, at(1), &t);
            assert!(step.tell && step.terminated && !step.timed_out);
        }
    }

    /// RFC 3261 §17.2: no timer G; I and J are zero; H stays, and L of RFC 6026 §7.1.
    #[test]
    fn a_server_on_a_stream_answers_once_and_waits_for_nothing_but_an_ack() {
        let t = stream();
        let mut refused = ServerInvite::Proceeding;
        assert!(refused.handle(ServerInput::Failure, START, &t).send);
        assert_eq!(refused.deadline(), Some(at(32_000)), "no ACK");
        assert!(refused.handle(ServerInput::Ack, at(5), &t).terminated);
        let mut taken = ServerInvite::Proceeding;
        assert!(taken.handle(ServerInput::Success, START, &t).send);
        assert_eq!(taken.deadline(), Some(at(32_000)));
        for input in [ServerInput::Success, ServerInput::Failure] {
            let mut plain = ServerPlain::Trying;
            let step = plain.handle(input, START, &t);
            assert!(step.send && step.terminated);
        }
    }
}
