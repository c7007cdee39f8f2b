//! Before the answer: early dialogs and reliable provisional answers (RFC 3261 §12.1, RFC 3262,
//! RFC 6228).
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
//! made reliable towards it. Each To tag of the called side is a dialog of its own, with what its
//! requests need; the caller sees one, and its requests go to the one that spoke last.

use std::collections::VecDeque;

use bytes::Bytes;
use intertrunk_sip::{Message, Method, Name};

use super::attempt::{Attempt, AttemptId, AttemptState};
use super::bridge::InDialog;
use super::story::millis;
use super::{Call, LegId, Phase, Refusal, own};
use crate::core::Core;
use crate::dialog::Dialog;
use crate::dialog::reliable::{Due, Received, Sent, has_tag, rseq};
use crate::event::EndedBy;
use crate::transaction::Sending;

/// An early dialog of an attempt.
#[derive(Debug)]
pub(super) struct EarlyDialog {
    tag: Box<[u8]>,
    /// The answer that made it.
    said: Bytes,
    /// Its state, once a request needed it; absent while the leg speaks in it.
    dialog: Option<Box<Dialog>>,
    received: Received,
    /// The reliable answer that described the session last: its 2xx need not do so again.
    session: Option<Bytes>,
    /// Offer and answer have been exchanged reliably.
    settled: bool,
    /// 199 came.
    over: bool,
}

/// The early dialogs of one attempt. The leg's dialog is the one that `speaking` names, or what
/// they all begin from.
#[derive(Debug, Default)]
pub(super) struct EarlyDialogs {
    all: Vec<EarlyDialog>,
    speaking: Option<u8>,
    beginning: Option<Box<Dialog>>,
    /// Highest CSeq that a dialog had when it went.
    used: u32,
}

/// The caller's side of what is not answered yet.
#[derive(Debug)]
pub(super) struct CallerEarly {
    sent: Sent,
    /// Whose answer waits for the caller's PRACK, and its number if it was reliable.
    source: Option<(AttemptId, u8, Option<u32>)>,
    /// The INVITE had an offer: a session in a PRACK is another one.
    offered: bool,
    /// The answer that waits describes a session.
    has_session: bool,
    /// Offer and answer have been exchanged reliably.
    settled: bool,
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

impl EarlyDialogs {
    /// The place of the dialog with this tag, made if there is room; `None` if not.
    fn place(&mut self, tag: &[u8], answer: &Message, most: usize) -> Option<u8> {
        if let Some(place) = self.all.iter().position(|e| *e.tag == *tag) {
            return u8::try_from(place).ok();
        }
        let place = u8::try_from(self.all.len()).ok()?;
        (self.all.len() < most).then(|| {
            self.all.push(EarlyDialog {
                tag: tag.into(),
                said: answer.bytes().clone(),
                dialog: None,
                received: Received::default(),
                session: None,
                settled: false,
                over: false,
            });
            place
        })
    }

    fn get(&self, place: u8) -> Option<&EarlyDialog> {
        self.all.get(usize::from(place))
    }

    fn get_mut(&mut self, place: u8) -> Option<&mut EarlyDialog> {
        self.all.get_mut(usize::from(place))
    }

    fn place_of(&self, tag: Option<&[u8]>) -> Option<u8> {
        let place = self.all.iter().position(|e| Some(&*e.tag) == tag);
        place.and_then(|place| u8::try_from(place).ok())
    }

    /// The place of the dialog with this tag, if it is not over.
    fn with_tag(&self, tag: Option<&[u8]>) -> Option<u8> {
        let place = self.place_of(tag);
        place.filter(|p| self.get(*p).is_some_and(|e| !e.over))
    }
}

impl Attempt {
    /// Makes the leg speak in this early dialog; in none, and as if there were none, with `None`.
    pub(super) fn speak_in(&mut self, place: Option<u8>) {
        let early = &mut self.early;
        if early.speaking == place {
            return;
        }
        let next = match place {
            None => early.beginning.take(),
            Some(place) => {
                let base = early.beginning.as_deref().unwrap_or(&self.leg.dialog);
                early.all.get_mut(usize::from(place)).and_then(|e| {
                    let parked = e.dialog.take();
                    parked.or_else(|| {
                        let said = Message::parse(e.said.clone()).ok()?;
                        Some(Box::new(base.answered(&said)))
                    })
                })
            }
        };
        let Some(next) = next else { return };
        let before = Box::new(std::mem::replace(&mut self.leg.dialog, *next));
        match early
            .speaking
            .and_then(|n| early.all.get_mut(usize::from(n)))
        {
            Some(parked) => parked.dialog = Some(before),
            None => early.beginning = Some(before),
        }
        early.speaking = place;
    }

    /// The dialog that a 2xx confirms: the early one with its tag, or a new one. The others go.
    pub(super) fn confirm(&mut self, response: &Message) {
        let place = self.early.place_of(response.to_tag());
        // An early dialog that never spoke is no different from a new one.
        let spoke = place.filter(|p| {
            let parked = |e: &EarlyDialog| e.dialog.is_some();
            self.early.speaking == Some(*p) || self.early.get(*p).is_some_and(parked)
        });
        self.speak_in(spoke);
        match spoke {
            Some(_) => self.leg.dialog.confirm(response),
            None => self.leg.dialog = self.leg.dialog.answered(response),
        }
        self.early = EarlyDialogs {
            used: self.highest_cseq(),
            ..EarlyDialogs::default()
        };
    }

    /// The highest CSeq of all dialogs of this attempt: a number above it is new to each.
    pub(super) fn highest_cseq(&self) -> u32 {
        let parked = self.early.all.iter().filter_map(|e| e.dialog.as_deref());
        let dialogs = parked.chain(self.early.beginning.as_deref());
        let numbers = dialogs.chain([&self.leg.dialog]).map(Dialog::last_cseq);
        numbers.fold(self.early.used, u32::max)
    }

    /// Whether this tag of the peer is an early dialog of ours.
    pub(super) fn has_early(&self, tag: Option<&[u8]>) -> bool {
        self.is_live() && self.early.with_tag(tag).is_some()
    }

    /// The session of the dialog with this tag, if it was described before its 2xx.
    pub(super) fn session_of(&self, tag: Option<&[u8]>) -> Option<Message> {
        let early = self.early.get(self.early.place_of(tag)?)?;
        Message::parse(early.session.clone()?).ok()
    }

    /// Whether the called side's offer was answered before its 2xx, which then has none.
    pub(super) fn is_settled(&self, tag: Option<&[u8]>) -> bool {
        let place = self.early.with_tag(tag);
        place.is_some_and(|p| self.early.get(p).is_some_and(|e| e.settled))
    }
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
        let Some(rseq_out) = self.early.as_ref().map(|e| e.sent.next_rseq()) else {
            return;
        };
        self.speaks = Some((id, place));
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
        let owner = own(self);
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
        self.send_own(
            Sending {
                flow,
                bytes,
                branch,
                invite: false,
                owner,
            },
            core,
        );
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
        early.settled |= has_session;
        let source = early.source.take().filter(|_| dialling);
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

    /// The leg beyond this one before the answer: the early dialog that spoke last, or the caller.
    pub(super) fn early_other(&mut self, leg: LegId) -> Option<LegId> {
        if self.phase != Phase::Dialling {
            return None;
        }
        match leg {
            LegId::A => {
                let (id, place) = self.speaks?;
                let attempt = self.attempt_mut(id).filter(|a| a.is_live())?;
                attempt.speak_in(Some(place));
                Some(LegId::B(id))
            }
            LegId::B(id) => self.attempt_mut(id)?.is_live().then_some(LegId::A),
        }
    }

    /// Takes a request of a called side into the early dialog that it belongs to.
    pub(super) fn turn_to(&mut self, leg: LegId, request: &Message) {
        if let LegId::B(id) = leg
            && let Some(attempt) = self.attempt_mut(id)
            && attempt.is_live()
        {
            let place = attempt.early.with_tag(request.from_tag());
            if place.is_some() {
                attempt.speak_in(place);
            }
        }
    }

    /// Why an offer from this leg has to wait while the INVITE is unanswered (RFC 3311 §5.2): its
    /// own exchange is not over, or that of the other leg is not.
    pub(super) fn early_glare(&self, from: LegId, request: &Message) -> Option<u16> {
        if *request.method() == Method::Invite {
            return Some(if from == LegId::A { 500 } else { 491 });
        }
        let caller = self.caller_is_settled();
        let called = self.speaks.is_some_and(|(id, place)| {
            let attempt = self.attempts.get(usize::from(id.0));
            let early = attempt.and_then(|a| a.early.get(place));
            early.is_some_and(|e| {
                e.settled && (from == LegId::A || Some(&*e.tag) == request.from_tag())
            })
        });
        match (from, caller, called) {
            (_, true, true) => None,
            (LegId::B(_), _, false) => Some(491),
            (LegId::B(_) | LegId::A, _, _) => Some(500),
        }
    }

    /// When a reliable answer has to be looked at next.
    pub(super) fn early_deadline(&self) -> Option<crate::time::Instant> {
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
