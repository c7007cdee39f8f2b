//! Reliable provisional answers of one INVITE (RFC 3262): their order, and their repetition.
//!
//! ```text
//!   as UAS:  Idle --send--> Waiting (again at T1, doubling) --PRACK--> Idle
//!                               |
//!                           64·T1: 5xx
//!   as UAC:  first RSeq, then one more each: new · the same or less: again · more: a gap, ignored
//! ```
//! RSeq and RAck belong to one leg (K10). This file has no idea of the other one: `call::early`
//! decides what is passed on, and what a PRACK means there.

use std::time::Duration;

use bytes::Bytes;
use intertrunk_sip::{Message, Method, Name};

use crate::time::Instant;
use crate::transaction::Backoff;

/// The answers that we send: at most one is not acknowledged.
#[derive(Debug)]
pub(crate) struct Sent {
    /// CSeq of the INVITE that they answer.
    invite_cseq: u32,
    rseq: u32,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    rseq: u32,
    code: u16,
    bytes: Bytes,
    /// It describes a session: no 2xx before its PRACK (RFC 3262 §3).
    has_session: bool,
    resend: Option<(Backoff, Instant)>,
}

/// What the clock wants done.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Due {
    Nothing,
    /// Send this answer, of this code, again.
    Resend(u16, Bytes),
    /// The peer never acknowledged: refuse the INVITE.
    GiveUp,
}

impl Sent {
    /// `rseq` is the number of the first answer, less one.
    pub(crate) fn new(invite_cseq: u32, rseq: u32) -> Sent {
        Sent {
            invite_cseq,
            rseq,
            waiting: None,
        }
    }

    /// The number of the next answer.
    pub(crate) fn next_rseq(&self) -> u32 {
        self.rseq + 1
    }

    /// The number of the latest answer.
    pub(crate) fn rseq(&self) -> u32 {
        self.rseq
    }

    /// Goes on from the latest number of another early dialog: each has its own.
    pub(crate) fn go_on_from(&mut self, rseq: u32) {
        self.rseq = rseq;
    }

    /// Whether another one may be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_none()
    }

    /// Whether a 2xx has to wait.
    pub(crate) fn holds_success(&self) -> bool {
        self.waiting.as_ref().is_some_and(|w| w.has_session)
    }

    /// The next answer has just been sent.
    pub(crate) fn sent(
        &mut self,
        code: u16,
        bytes: Bytes,
        has_session: bool,
        now: Instant,
        t1: Duration,
    ) {
        self.rseq += 1;
        self.waiting = Some(Waiting {
            rseq: self.rseq,
            code,
            bytes,
            has_session,
            resend: Some((Backoff::start(now, t1), now + t1 * 64)),
        });
    }

    /// A PRACK came. False if it acknowledges nothing that waits: 481.
    pub(crate) fn acknowledge(&mut self, prack: &Message) -> bool {
        let waits = self.waiting.as_ref().map(|w| (w.rseq, self.invite_cseq));
        let right = waits.is_some() && rack(prack) == waits;
        if right {
            self.waiting = None;
        }
        right
    }

    /// The INVITE has a final answer: nothing is sent again, but a PRACK is still right.
    pub(crate) fn stop(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.resend = None;
        }
    }

    /// When the clock is wanted next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (resend, give_up) = self.waiting.as_ref()?.resend?;
        Some(resend.at.min(give_up))
    }

    /// What is due.
    pub(crate) fn clock(&mut self, now: Instant) -> Due {
        let Some(waiting) = &mut self.waiting else {
            return Due::Nothing;
        };
        let Some((resend, give_up)) = &mut waiting.resend else {
            return Due::Nothing;
        };
        if *give_up <= now {
            waiting.resend = None;
            return Due::GiveUp;
        }
        match resend.fire(now, Duration::MAX) {
            true => Due::Resend(waiting.code, waiting.bytes.clone()),
            false => Due::Nothing,
        }
    }
}

/// The answers that a peer sends within one early dialog.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    last: Option<u32>,
}

impl Received {
    /// Whether an answer is the next one; others are neither acknowledged nor passed on.
    pub(crate) fn accept(&mut self, rseq: u32) -> bool {
        let next = self.last.is_none_or(|last| rseq == last.wrapping_add(1));
        if next {
            self.last = Some(rseq);
        }
        next
    }
}

/// The number of a reliable answer; `None` if it is not reliable.
pub(crate) fn rseq(answer: &Message) -> Option<u32> {
    let number = answer.u32_header(Name::RSeq).filter(|n| *n > 0)?;
    has_tag(answer, Name::Require).then_some(number)
}

/// Whether a request lists `100rel` in this header.
pub(crate) fn has_tag(message: &Message, name: Name) -> bool {
    let mut tags = message.values(name);
    tags.any(|t| t.eq_ignore_ascii_case(b"100rel"))
}

/// RSeq and CSeq that a PRACK acknowledges: `RAck: 776656 1 INVITE`.
fn rack(prack: &Message) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(prack.header(Name::RAck)?).ok()?;
    let mut words = text.split_ascii_whitespace();
    let mut number = || words.next()?.parse().ok();
    let numbers = (number()?, number()?);
    let invite = words.next()? == Method::Invite.as_str();
    (invite && words.next().is_none()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use intertrunk_sip::Message;

    use super::{Due, Received, Sent, has_tag, rseq};
    use crate::time::Instant;

    const T1: Duration = Duration::from_millis(500);

    fn message(start: &str, cseq: &str, lines: &str) -> Message {
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: <sip:2@x>;tag=a\r\nTo: <sip:1@x>;tag=b\r\nCall-ID: 1\r\nCSeq: {cseq}\r\n\
             {lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).expect("a legal message")
    }

    fn prack(rack: &str) -> Message {
        message(
            "PRACK sip:1@x SIP/2.0",
            "8 PRACK",
            &format!("RAck: {rack}\r\n"),
        )
    }

    const fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn waiting(has_session: bool) -> Sent {
        let mut sent = Sent::new(7, 41);
        sent.sent(183, Bytes::from_static(b"183"), has_session, at(0), T1);
        sent
    }

    /// RFC 3262 §3: at T1, doubling without a cap, until 64·T1.
    #[test]
    fn an_answer_is_sent_again_until_it_is_given_up() {
        let mut sent = waiting(true);
        let mut times = Vec::new();
        loop {
            let now = sent.deadline().expect("it waits");
            match sent.clock(now) {
                Due::Resend(183, _) => times.push(now.as_micros() / 1000),
                Due::GiveUp => break assert_eq!(now, at(32_000)),
                due => panic!("{due:?}"),
            }
        }
        assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!(sent.deadline(), None);
    }

    #[test]
    fn only_the_right_prack_acknowledges() {
        let wrong = [
            "41 7 INVITE",
            "42 8 INVITE",
            "42 7 BYE",
            "42 7",
            "x 7 INVITE",
            "42 7 INVITE x",
        ];
        for text in wrong {
            let mut sent = waiting(true);
            assert!(!sent.acknowledge(&prack(text)), "{text}");
            assert!(sent.holds_success() && !sent.is_idle());
        }
        let mut sent = waiting(true);
        assert!(sent.acknowledge(&prack("42  7 INVITE")));
        assert!(sent.is_idle() && !sent.holds_success());
        assert!(!sent.acknowledge(&prack("42 7 INVITE")), "only once");
        assert_eq!(sent.next_rseq(), 43);
        assert_eq!(sent.clock(at(60_000)), Due::Nothing);
    }

    #[test]
    fn a_final_answer_ends_the_repetition_but_not_the_waiting() {
        let mut sent = waiting(false);
        assert!(!sent.holds_success(), "it describes no session");
        sent.stop();
        assert_eq!((sent.deadline(), sent.clock(at(500))), (None, Due::Nothing));
        assert!(sent.acknowledge(&prack("42 7 INVITE")));
    }

    /// RFC 3262 §4
    #[test]
    fn answers_are_taken_in_order() {
        let mut received = Received::default();
        let taken = [9, 9, 11, 10, 10, 9, 11, 12].map(|rseq| received.accept(rseq));
        assert_eq!(taken, [true, false, false, true, false, false, true, true]);
    }

    #[test]
    fn an_answer_is_reliable_with_a_number_and_require() {
        let rseq_of = |lines: &str| rseq(&message("SIP/2.0 183 P", "1 INVITE", lines));
        assert_eq!(rseq_of("Require: x, 100REL\r\nRSeq: 5\r\n"), Some(5));
        assert_eq!(rseq_of("RSeq: 5\r\n"), None);
        assert_eq!(rseq_of("Require: 100rel\r\n"), None);
        assert_eq!(rseq_of("Require: 100rel\r\nRSeq: 0\r\n"), None);
        let invite = message("INVITE sip:1@x SIP/2.0", "1 INVITE", "k: timer,100rel\r\n");
        assert!(has_tag(&invite, intertrunk_sip::Name::Supported));
        assert!(!has_tag(&invite, intertrunk_sip::Name::Require));
    }
}
