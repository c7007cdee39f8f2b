//! Provisional answers, reliable or not (RFC 3262, RFC 6228), on their way to the caller.
//!
//! ```text
//!   caller       host      called side
//!     |            |<--183, RSeq 7-|   taken once, in order
//!     |<-183, RSeq 1-|             |   again until its PRACK comes
//!     |--PRACK 1-->|               |
//!     |            |---PRACK 7---->|   with what the caller's PRACK says of the session
//!     |            |<-----200------|
//!     |<----200----|               |
//! ```
//! Each leg counts for itself. Where both are reliable, the called side's PRACK waits for the
//! caller's, because an offer in the one may have its answer in the other; where only the called
//! side is, the host acknowledges by itself; where only the caller is, what describes a session is
//! made reliable towards it.

use std::collections::VecDeque;

use intertrunk_sip::{Message, Method, Name};

use super::attempt::{Attempt, AttemptId, AttemptState};
use super::bridge::InDialog;
use super::early::OurSides;
use super::story::millis;
use super::{Call, LegId, Phase, Refusal};
use crate::core::Core;
use crate::dialog::reliable::{Due, Sent, has_tag, rseq};
use crate::event::EndedBy;
use crate::time::Instant;

/// The caller's side of what is not answered yet.
#[derive(Debug)]
pub(super) struct CallerEarly {
    pub(super) sent: Sent,
    /// Whose answer waits for the caller's PRACK, and its number if it was reliable.
    source: Option<(AttemptId, u8, Option<u32>)>,
    /// The INVITE had an offer: a session in a PRACK is another one.
    offered: bool,
    /// The answer that waits describes a session.
    has_session: bool,
    /// In the dialog that it hears, offer and answer have been exchanged reliably.
    pub(super) settled: bool,
    pub(super) sides: OurSides,
    /// Answers that may not be sent before that PRACK.
    queue: VecDeque<(AttemptId, u8, Message)>,
    /// A 2xx that may not be sent before that PRACK (RFC 3262 §3).
    held: Option<(AttemptId, Message)>,
}

/// What the caller's INVITE says of reliable answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Never,
    WhereItMatters,
    Always,
}

impl Call {
    /// A provisional answer of a called side.
    pub(super) fn provisional(&mut self, id: AttemptId, response: &Message, core: &mut Core) {
        let early_max = core.snapshot.limits.early_dialogs_max;
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        attempt.answered_at_all = true;
        match attempt.state {
            AttemptState::CancelWaits => return self.cancel(id, core),
            AttemptState::Cancelled
            | AttemptState::Won
            | AttemptState::Left
            | AttemptState::Over => return,
            AttemptState::Calling | AttemptState::Ringing => {}
        }
        if response.status() == 100 {
            return;
        }
        // An answer without a tag makes no dialog, and cannot be reliable.
        let place = match response.to_tag() {
            Some(tag) => match attempt.early.place(tag, response, early_max) {
                Some(place) => Some(place),
                None => return,
            },
            None => None,
        };
        let number = rseq(response).filter(|_| attempt.leg.trunk.extensions.prack);
        if let (Some(number), Some(place)) = (number, place)
            && let Some(early) = attempt.early.get_mut(place)
            && !early.received.accept(number)
        {
            return;
        }
        if let (Some(_), Some(place), true) = (number, place, response.has_body())
            && let Some(early) = attempt.early.get_mut(place)
        {
            early.session = Some(response.bytes().clone());
        }
        if response.status() == 199 {
            return self.early_dialog_over(id, place, number, core);
        }
        attempt.state = AttemptState::Ringing;
        attempt.progressed = true;
        attempt
            .pdd_ms
            .get_or_insert_with(|| millis(core.now.since(attempt.started)));
        attempt.leg.hear(response);
        let waits = match place {
            _ if self.change.is_some() => {
                self.notify(response.status(), false, core);
                false
            }
            Some(place) => self.pass_provisional(id, place, response, core),
            None => {
                self.relay_answer(id, response, None, None, core);
                false
            }
        };
        if let (Some(number), Some(place), false) = (number, place, waits) {
            self.send_prack(id, place, number, response.has_body(), core);
        }
    }

    /// 199 (RFC 6228): that branch of a fork has ended; the caller knows of none.
    fn early_dialog_over(
        &mut self,
        id: AttemptId,
        place: Option<u8>,
        number: Option<u32>,
        core: &mut Core,
    ) {
        let Some(place) = place else { return };
        if let Some(number) = number {
            self.send_prack(id, place, number, false, core);
        }
        if let Some(attempt) = self.attempt_mut(id)
            && let Some(early) = attempt.early.get_mut(place)
        {
            early.over = true;
        }
        if self.speaks == Some((id, place)) {
            self.speaks = None;
        }
    }

    /// Gives the caller an answer of the called side, reliably where that is wanted. True if the
    /// called side's PRACK has to wait for the caller's.
    fn pass_provisional(
        &mut self,
        id: AttemptId,
        place: u8,
        response: &Message,
        core: &mut Core,
    ) -> bool {
        let number = rseq(response);
        // Without an offer in the INVITE, a session in an answer is an offer: it is worth nothing
        // unless it is reliable on both legs.
        let offered = self.invite.as_ref().is_some_and(|i| i.has_body());
        let reliably = match self.wish() {
            Wish::Never => false,
            Wish::WhereItMatters => number.is_some() || (response.has_body() && offered),
            // It could neither be reliable, nor be passed on as it is.
            Wish::Always if number.is_none() && response.has_body() && !offered => return false,
            Wish::Always => true,
        };
        if !reliably {
            self.speaks = Some((id, place));
            self.speak_as(id, Some(place), core);
            self.relay_answer(id, response, None, None, core);
            return false;
        }
        let cseq = self.invite.as_ref().map_or(0, |i| i.cseq());
        let early = self.early.get_or_insert_with(|| {
            // RFC 3262 §3: chosen at random below 2^31.
            let before = (core.rng.next_u64() >> 34) as u32;
            Box::new(CallerEarly {
                sent: Sent::new(cseq, before),
                source: None,
                offered,
                has_session: false,
                settled: false,
                sides: OurSides::default(),
                queue: VecDeque::new(),
                held: None,
            })
        });
        if !early.sent.is_idle() {
            if early.queue.len() >= core.snapshot.limits.early_dialogs_max {
                return false;
            }
            early.queue.push_back((id, place, response.clone()));
            return number.is_some();
        }
        self.send_reliably(id, place, response, core);
        number.is_some()
    }

    fn send_reliably(&mut self, id: AttemptId, place: u8, response: &Message, core: &mut Core) {
        self.speaks = Some((id, place));
        self.speak_as(id, Some(place), core);
        // Each of the caller's early dialogs counts for itself: ask in the right one.
        let Some(rseq_out) = self.early.as_ref().map(|e| e.sent.next_rseq()) else {
            return;
        };
        let bytes = self.relay_answer(id, response, Some(rseq_out), None, core);
        let t1 = core.snapshot.timers.t1;
        if let Some(early) = &mut self.early {
            let has_session = response.has_body();
            early
                .sent
                .sent(response.status(), bytes, has_session, core.now, t1);
            early.has_session = has_session;
            early.source = Some((id, place, rseq(response)));
        }
    }

    /// What the caller wants of provisional answers, as far as its trunk's rules let it.
    fn wish(&self) -> Wish {
        match &self.invite {
            Some(invite) if self.a.trunk.extensions.prack => {
                if has_tag(invite, Name::Require) {
                    Wish::Always
                } else if has_tag(invite, Name::Supported) {
                    Wish::WhereItMatters
                } else {
                    Wish::Never
                }
            }
            _ => Wish::Never,
        }
    }

    /// Whether INVITEs that we send for this call may be answered reliably. An offer in such an
    /// answer wants its own answer in the PRACK, and only the caller can give that.
    pub(super) fn takes_reliable_answers(&self) -> bool {
        let offered = self.invite.as_ref().is_some_and(|i| i.has_body());
        // Of the target of a transfer nothing is passed on before it has answered.
        self.change.is_none() && (offered || self.wish() != Wish::Never)
    }

    /// Acknowledges a reliable answer by ourselves.
    fn send_prack(
        &mut self,
        id: AttemptId,
        place: u8,
        number: u32,
        session: bool,
        core: &mut Core,
    ) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        let cseq = attempt.invite_cseq;
        attempt.speak_in(Some(place));
        if let Some(early) = attempt.early.get_mut(place) {
            early.settled |= session;
        }
        let (mut b, branch) = attempt.leg.request(&Method::Prack, 70, core);
        b.header_fmt(Name::RAck, format_args!("{number} {cseq} INVITE"));
        let flow = attempt.leg.dialog.flow();
        let bytes = b.finish(None);
        self.send_own(flow, bytes, branch, core);
        self.note_request(LegId::B(id), true, &Method::Prack, core);
    }

    /// The caller acknowledges a reliable answer. What its PRACK says of the session goes to the
    /// called side, if that waits for it.
    pub(super) fn pracked(&mut self, r: InDialog, core: &mut Core) {
        let dialling = self.phase == Phase::Dialling;
        let early = self.early.as_mut().filter(|_| r.leg == LegId::A);
        let Some(early) = early else {
            return self.reply_plain(&r, 481, None, core);
        };
        if !early.sent.acknowledge(&r.request) {
            return self.reply_plain(&r, 481, None, core);
        }
        let (has_session, offered) = (early.has_session, early.offered);
        let source = early.source.take();
        if let (Some((id, place, _)), true) = (source, has_session) {
            self.settle((id, place));
        }
        let source = source.filter(|_| dialling);
        let waiting = source.and_then(|(id, place, number)| Some((id, place, number?)));
        let live = waiting.filter(|(id, place, _)| {
            let attempt = self.attempts.get(usize::from(id.0));
            attempt.is_some_and(|a| a.is_live() && a.early.get(*place).is_some_and(|e| !e.over))
        });
        if has_session {
            self.a.hear(&r.request);
        }
        match live {
            Some((id, place, number)) => {
                if let Some(attempt) = self.attempt_mut(id) {
                    attempt.speak_in(Some(place));
                    if let Some(early) = attempt.early.get_mut(place) {
                        early.settled |= has_session;
                    }
                }
                self.relay_prack(r, id, number, core);
            }
            // Nobody is there for an offer; the answer that it acknowledges is acknowledged.
            None if r.request.has_body() && offered => self.reply_plain(&r, 488, None, core),
            None => self.reply_plain(&r, 200, None, core),
        }
        if !dialling {
            self.early = None;
        }
        self.go_on_after_prack(core);
    }

    /// What had to wait for the PRACK: a 2xx, or the next provisional answer.
    fn go_on_after_prack(&mut self, core: &mut Core) {
        let Some(early) = &mut self.early else { return };
        if let Some((id, success)) = early.held.take() {
            return self.won(id, &success, core);
        }
        while let Some((id, place, next)) = self.early.as_mut().and_then(|e| e.queue.pop_front()) {
            let attempt = self.attempts.get(usize::from(id.0));
            if self.phase == Phase::Dialling && attempt.is_some_and(Attempt::is_live) {
                return self.send_reliably(id, place, &next, core);
            }
        }
    }

    /// Keeps a 2xx that has to wait for a PRACK, or tells that one is kept. False if it may pass.
    pub(super) fn hold(&mut self, id: AttemptId, success: &Message, core: &mut Core) -> bool {
        let Some(early) = &mut self.early else {
            return false;
        };
        match &early.held {
            Some((first, held)) if *first == id && held.to_tag() == success.to_tag() => true,
            Some(_) => {
                self.dismiss(id, success, core);
                true
            }
            None if early.sent.holds_success() => {
                early.held = Some((id, success.clone()));
                true
            }
            None => false,
        }
    }

    /// Whether a 2xx would have to wait for a PRACK.
    pub(super) fn holds_success(&self) -> bool {
        self.early.as_ref().is_some_and(|e| e.sent.holds_success())
    }

    /// Whether the caller has the session for good: it came reliably.
    pub(super) fn caller_is_settled(&self) -> bool {
        self.early.as_ref().is_some_and(|e| e.settled)
    }

    /// Whether this attempt's 2xx waits for a PRACK.
    pub(super) fn is_held(&self, id: AttemptId) -> bool {
        let held = self.early.as_ref().and_then(|e| e.held.as_ref());
        held.is_some_and(|(held, _)| *held == id)
    }

    /// The 2xx of an attempt that is given up while it waits.
    pub(super) fn take_held(&mut self, id: AttemptId) -> Option<Message> {
        let held = &mut self.early.as_mut()?.held;
        held.take_if(|(held, _)| *held == id)
            .map(|(_, success)| success)
    }

    /// The INVITE has its final answer.
    pub(super) fn early_over(&mut self) {
        self.speaks = None;
        if let Some(early) = &mut self.early {
            early.sent.stop();
            early.queue = VecDeque::new();
            early.source = None;
        }
        self.early.take_if(|e| e.sent.is_idle());
    }

    /// When a reliable answer has to be looked at next.
    pub(super) fn early_deadline(&self) -> Option<Instant> {
        self.early.as_ref().and_then(|e| e.sent.deadline())
    }

    /// Sends a reliable answer again, or gives the call up when nobody acknowledges it.
    pub(super) fn early_clock(&mut self, core: &mut Core) {
        let Some(early) = &mut self.early else { return };
        match early.sent.clock(core.now) {
            Due::Nothing => {}
            Due::Resend(code, bytes) => core.respond(self.a_server, code, bytes),
            Due::GiveUp => {
                // RFC 3262 §3: the INVITE is refused with 5xx.
                if matches!(self.phase, Phase::Asking { .. } | Phase::Dialling) {
                    self.refuse(&Refusal::of(504), EndedBy::Host, core);
                }
            }
        }
    }
}
