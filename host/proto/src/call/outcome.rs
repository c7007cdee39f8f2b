//! What the called sides answer, and what that means for the call.
//!
//! Rules: an attempt's late answers go nowhere; the first 2xx wins, every other 2xx is acknowledged
//! and ended with BYE; after any 18x a failure is final (no double ringing); 486, 600, 603 and 604
//! are final unless the candidate says otherwise.

use std::collections::VecDeque;
use std::time::Duration;

use intertrunk_sip::{Message, Method, Name, reply};

use super::attempt::{Attempt, AttemptId, AttemptState, Leg2xx, Order};
use super::leg::Body;
use super::passing::SUPPORTED;
use super::reason::{Because, q850_in};
use super::redirect::places_in;
use super::story::millis;
use super::{Bridge, Call, LegId, Phase, Refusal};
use crate::ask::{AttemptFacts, Cause, CodeMap, Party, WhenExhausted};
use crate::core::Core;
use crate::event::{AttemptRecord, EndedBy, Event};

/// The longest that a peer's Retry-After makes its target rest.
const REST_MAX: Duration = Duration::from_secs(300);

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) q850: Option<u16>,
    retry_after_s: Option<u32>,
    /// The peer said so; otherwise we did.
    heard: bool,
    /// Where a 3xx sends the call.
    pub(super) places: Vec<Party>,
}

/// How the best of those that ring together has failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    id: AttemptId,
    order: Order,
    ending: Ending,
    /// By itself it would go on to the next candidate.
    goes_on: bool,
}

impl Failure {
    /// The lower, the better (RFC 3261 §16.7): 6xx, then the lowest class; within a class what is an
    /// answer for good, then what tells the caller how to go about it; 503 speaks of one hop only.
    fn rank(&self) -> (u16, bool, bool, bool) {
        let code = self.ending.code;
        let class = match code / 100 {
            6 if self.goes_on => 7,
            6 => 0,
            class => class,
        };
        let helps = matches!(code, 401 | 407 | 415 | 420 | 484);
        (class, self.goes_on, !helps, code == 503)
    }
}

impl Ending {
    pub(super) fn of(code: u16, reason: &str) -> Ending {
        let reason = reason.to_owned();
        Ending {
            code,
            reason,
            q850: None,
            retry_after_s: None,
            heard: false,
            places: Vec::new(),
        }
    }

    pub(super) fn of_response(response: &Message) -> Ending {
        let places = match response.status() {
            300..=399 => places_in(response),
            _ => Vec::new(),
        };
        Ending {
            places,
            code: response.status(),
            reason: String::from_utf8_lossy(response.reason()).into_owned(),
            q850: q850_in(response),
            retry_after_s: response.u32_header(Name::RetryAfter),
            heard: true,
        }
    }
}

impl Call {
    /// An answer to the INVITE of an attempt.
    pub(crate) fn attempt_answered(&mut self, id: AttemptId, response: &Message, core: &mut Core) {
        let code = response.status();
        self.note_response(LegId::B(id), false, code, &Method::Invite, core);
        self.mark_target(id, code == 503, response.u32_header(Name::RetryAfter), core);
        if let Some(attempt) = self.attempt_mut(id).filter(|_| code > 100 && code != 503) {
            attempt.mark.call_answered(code >= 200);
        }
        match code {
            100..=199 => self.provisional(id, response, core),
            200..=299 => self.success(id, response, core),
            _ => self.failed(id, &Ending::of_response(response), core),
        }
        self.rearm(core);
    }

    fn success(&mut self, id: AttemptId, response: &Message, core: &mut Core) {
        let dialling = self.is_dialling();
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        if attempt.is_live() && dialling {
            if self.change.is_some() {
                self.newcomer_answered(id, response, core);
            } else if !self.hold(id, response, core) {
                self.won(id, response, core);
            }
            return;
        }
        let to_tag = response.to_tag().unwrap_or_default();
        let winner = matches!(attempt.state, AttemptState::Won | AttemptState::Left)
            && attempt.leg.dialog.remote_tag.as_deref().unwrap_or_default() == to_tag;
        if winner {
            // The 2xx again: the ACK was lost. If it still waits for the caller's, nothing is due.
            attempt.leg.repeat_ack(response.cseq(), core);
            return;
        }
        self.dismiss(id, response, core);
    }

    /// A 2xx that must not make the call: acknowledged, then ended (K2, K3).
    pub(super) fn dismiss(&mut self, id: AttemptId, response: &Message, core: &mut Core) {
        let is_held = self.is_held(id);
        let why = match self.phase {
            Phase::Talking { .. } => Because::Elsewhere,
            Phase::Asking { .. } | Phase::Dialling | Phase::Ended => self.why.or_normal(),
        };
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        let to_tag = response.to_tag().unwrap_or_default();
        if let Some(known) = attempt.losers.iter().find(|l| *l.remote_tag == *to_tag) {
            let (flow, ack) = (known.flow, known.ack.clone());
            return core.transmit(flow, ack);
        }
        if attempt.losers.len() >= core.snapshot.limits.early_dialogs_max {
            return;
        }
        if !matches!(attempt.state, AttemptState::Won | AttemptState::Left) && !is_held {
            attempt.state = AttemptState::Over;
        }
        let mut dialog = attempt.leg.dialog.answered(response);
        dialog.skip_cseq(attempt.highest_cseq());
        let flow = dialog.flow();
        let ack = dialog.ack(response.cseq(), core.rng.token()).finish(None);
        attempt.losers.push(Leg2xx {
            remote_tag: to_tag.into(),
            ack: ack.clone(),
            flow,
        });
        core.transmit(flow, ack);
        let branch = core.rng.token();
        let line = crate::dialog::RequestLine {
            method: &Method::Bye,
            branch,
            max_forwards: 70,
        };
        let mut bye = dialog.request(&line);
        why.put(&mut bye);
        let bytes = bye.finish(None);
        self.send_own(flow, bytes, branch, core);
        self.note_request(LegId::B(id), true, &Method::Ack, core);
        self.note_request(LegId::B(id), true, &Method::Bye, core);
    }

    /// The first 2xx: the two legs are bridged.
    pub(super) fn won(&mut self, id: AttemptId, response: &Message, core: &mut Core) {
        let Some(invite) = self.invite.clone() else {
            return;
        };
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        let settled = attempt.is_settled(response.to_tag());
        let session = attempt.session_of(response.to_tag());
        let source = attempt.early_place(response.to_tag());
        self.take_success(id, response, invite.has_body() || settled, core);
        self.connect(id, response, session.as_ref(), source, core);
    }

    /// The caller and this leg talk: the caller is told with an answer like this. `session` is an
    /// earlier one that described the session, `source` the early dialog that it was of.
    pub(super) fn connect(
        &mut self,
        id: AttemptId,
        response: &Message,
        session: Option<&Message>,
        source: Option<u8>,
        core: &mut Core,
    ) {
        let Some(invite) = self.invite.clone() else {
            return;
        };
        // What only dialling needs is not kept for as long as people talk.
        self.queue = VecDeque::new();
        self.failure = None;
        self.query = None;
        self.phase = Phase::Talking(Bridge {
            near: LegId::A,
            far: LegId::B(id),
        });
        self.story.answered_at = Some(core.now);
        self.ends_at = self
            .plan
            .max_duration_s
            .map(|s| core.now + Duration::from_secs(u64::from(s)));
        self.speak_as(id, source, core);
        // What one leg has settled before, the other may hear of for the first time.
        let unsettled = !self.caller_is_settled() && !response.has_body();
        let session = session.filter(|_| unsettled && invite.has_body());
        let bytes = self.relay_answer(id, response, None, session, core);
        self.early_over();
        self.a.await_ack(&invite, bytes, self.a_flow, core);
        core.event(Event::CallAnswered {
            call: self.id,
            price: self.price(),
        });
    }

    /// Takes the 2xx that wins: its dialog is confirmed, and whoever else rings is given up. If the
    /// 2xx holds an offer that nobody has answered, its ACK waits for the answer of the other side
    /// (K9).
    pub(super) fn take_success(
        &mut self,
        id: AttemptId,
        response: &Message,
        answered: bool,
        core: &mut Core,
    ) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        attempt.state = AttemptState::Won;
        attempt
            .pdd_ms
            .get_or_insert_with(|| millis(core.now.since(attempt.started)));
        attempt.confirm(response);
        attempt.leg.hear(response);
        attempt.leg.learn_party(response, core);
        attempt.leg.take_timer(response, core);
        if answered {
            attempt.leg.send_ack(response.cseq(), None, core);
            self.note_request(LegId::B(id), true, &Method::Ack, core);
        } else {
            attempt.leg.owes_ack = Some(response.cseq());
        }
        self.record_attempt(id, &Ending::of_response(response), core);
        self.tally(id, response.status(), core);
        self.give_up_all(&Because::Elsewhere, core);
    }

    /// Passes a 18x or 2xx of the called side to the caller, as an answer of our own dialog; with a
    /// number, as a reliable one. `session` is an earlier answer that described the session, where
    /// this one does not.
    pub(super) fn relay_answer(
        &mut self,
        id: AttemptId,
        response: &Message,
        rseq: Option<u32>,
        session: Option<&Message>,
        core: &mut Core,
    ) -> bytes::Bytes {
        let Some(invite) = &self.invite else {
            return bytes::Bytes::new();
        };
        let code = response.status();
        let tag = self.a.dialog.local_tag.to_string();
        let reason = String::from_utf8_lossy(response.reason());
        let mut b = reply(invite, code, &reason, Some(&tag), Some(self.a_flow.remote));
        for line in invite.lines().filter(|l| l.name == Name::RecordRoute) {
            b.raw_line(line.raw);
        }
        b.header(Name::Contact, self.a.contact());
        b.header(Name::Allow, self.a.allow());
        b.header(Name::Supported, SUPPORTED);
        if let Some(rseq) = rseq {
            b.header(Name::Require, "100rel");
            b.header_fmt(Name::RSeq, format_args!("{rseq}"));
        }
        if code >= 200 {
            self.a.answer_timer(&mut b, invite, core);
        }
        if let Some(attempt) = self.attempts.get(usize::from(id.0)) {
            let crossing = self.a.crossing(&attempt.leg.trunk);
            crossing.put(&mut b, response, |_| false);
        }
        if let Some(described) = session.and_then(Body::of) {
            b.header(Name::ContentType, &described.content_type);
        }
        let bytes = self.a.finish_like(b, session.unwrap_or(response), core);
        core.respond(self.a_server, code, bytes.clone());
        self.note_response(LegId::A, true, code, &Method::Invite, core);
        bytes
    }

    /// The attempt's transaction ended without any answer, or could not send.
    pub(crate) fn attempt_silent(&mut self, id: AttemptId, sent: bool, core: &mut Core) {
        let failure = match sent {
            true => Ending::of(408, "no answer"),
            false => Ending::of(503, "not sent"),
        };
        self.mark_target(id, true, None, core);
        self.failed(id, &failure, core);
        self.rearm(core);
    }

    /// A target that answers 503, or not at all, rests: all calls try it last for a while. Any other
    /// answer ends that (RFC 3263 §4.3, RFC 3261 §21.5.4, K6).
    pub(super) fn mark_target(
        &mut self,
        id: AttemptId,
        fails: bool,
        retry_after_s: Option<u32>,
        core: &mut Core,
    ) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        if !fails {
            return attempt.mark.clear();
        }
        let asked = Duration::from_secs(retry_after_s.unwrap_or(0).into());
        let rest = core.snapshot.timers.target_rest;
        attempt.mark.set(core.now, asked.min(REST_MAX).max(rest));
        let trunk = &attempt.leg.trunk;
        let broken = trunk
            .health
            .breaker
            .is_some_and(|breaker| attempt.mark.call_failed(&breaker, trunk.asks(), core.now));
        if broken {
            core.appraise(trunk.id);
        }
    }

    fn failed(&mut self, id: AttemptId, failure: &Ending, core: &mut Core) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        let was_live = attempt.is_live();
        if matches!(attempt.state, AttemptState::Won | AttemptState::Left) {
            return;
        }
        attempt.state = AttemptState::Over;
        attempt.leg.seat = None;
        if !was_live {
            return;
        }
        let trunk = attempt.leg.trunk.id;
        self.drop_relays_to(LegId::B(id), core);
        self.record_attempt(id, failure, core);
        self.tally(id, failure.code, core);
        core.event(Event::AttemptFailed {
            call: self.id,
            trunk,
            code: failure.code,
        });
        if self.is_dialling() {
            self.after_failure(id, failure, core);
        }
    }

    /// What a failed attempt means for the call.
    fn after_failure(&mut self, id: AttemptId, failure: &Ending, core: &mut Core) {
        let Some(attempt) = self.attempts.get(usize::from(id.0)) else {
            return;
        };
        let explicit = attempt.candidate.failover.as_deref();
        let codes = explicit.unwrap_or(&attempt.leg.trunk.failover_codes);
        let decline = matches!(failure.code, 486 | 600 | 603 | 604) && explicit.is_none();
        let goes_on = codes.contains(&failure.code) && !decline;
        self.failed_by(id, failure, goes_on, core);
    }

    /// An attempt failed, and goes on to the next or not. The best answer of those that rang together
    /// decides, once none is left (RFC 3261 §16.7); a global failure at once.
    pub(super) fn failed_by(
        &mut self,
        id: AttemptId,
        ending: &Ending,
        goes_on: bool,
        core: &mut Core,
    ) {
        let Some(order) = self.attempts.get(usize::from(id.0)).map(|a| a.order) else {
            return;
        };
        let global = (600..=699).contains(&ending.code) && !goes_on;
        let mut best = Failure {
            id,
            order,
            ending: ending.clone(),
            goes_on,
        };
        let before = self.failure.take().filter(|f| f.order == order);
        if let Some(before) = before.filter(|f| f.rank() < best.rank()) {
            best = *before;
        }
        if self.attempts.iter().any(Attempt::is_live) && !global {
            self.failure = Some(Box::new(best));
            return;
        }
        let Failure {
            id,
            ending,
            goes_on,
            ..
        } = best;
        if !goes_on && self.redirected(id, &ending, core) {
            return;
        }
        match goes_on && !self.has_rung(order) {
            true => self.dial_next(Some(ending), core),
            false => self.finish_failed(&ending, core),
        }
    }

    /// Whether one of those that rang together has rung: nobody is to ring after it (K5).
    pub(super) fn has_rung(&self, order: Order) -> bool {
        let together = self.attempts.iter().filter(|a| a.order == order);
        together.into_iter().any(|a| a.progressed)
    }

    /// No candidate is left.
    pub(super) fn exhausted(&mut self, last: Option<Ending>, core: &mut Core) {
        if self.route_emergency(core) {
            return;
        }
        match self.plan.when_exhausted {
            WhenExhausted::AskAgain => {
                let before = self.change.as_ref().map_or(0, |c| c.attempts_before);
                let attempts = self.story.attempts.iter().skip(before);
                let facts = attempts.map(facts_of).collect();
                self.ask(Cause::Exhausted(facts), core);
            }
            WhenExhausted::Reply(code) => {
                self.refuse(&Refusal::of(code), EndedBy::Host, core);
            }
            WhenExhausted::RelayLast => {
                let last = last.unwrap_or_else(|| Ending::of(503, "no candidate"));
                self.finish_failed(&last, core);
            }
        }
    }

    /// Gives the caller the code of a failure, translated as the plan says.
    pub(super) fn finish_failed(&mut self, failure: &Ending, core: &mut Core) {
        let matches = |m: &&CodeMap| {
            m.from_code == failure.code && (m.q850.is_none() || m.q850 == failure.q850)
        };
        let code = match self.plan.code_maps.iter().find(matches) {
            Some(map) => map.to_code,
            None => code_for_caller(failure.code),
        };
        let same = failure.heard && code == failure.code && !failure.reason.is_empty();
        let refusal = Refusal {
            phrase: same.then_some(&failure.reason),
            q850: failure.q850,
            // A 503 with a time makes the caller leave us alone (RFC 3261 §21.5.4): said by the host
            // of itself, never for one of the many that it might have tried.
            retry_after_s: failure.retry_after_s.filter(|_| code != 503),
            ..Refusal::of(code)
        };
        let by = if failure.heard {
            EndedBy::Callee
        } else {
            EndedBy::Host
        };
        self.refuse(&refusal, by, core);
    }
}

/// What a policy that is asked again learns of an attempt.
fn facts_of(record: &AttemptRecord) -> AttemptFacts {
    AttemptFacts {
        trunk: record.trunk.to_string(),
        peer: record.peer.map(|p| p.to_string()).unwrap_or_default(),
        code: record.code,
        q850: record.q850,
        progressed: record.pdd_ms.is_some(),
        elapsed_ms: millis(record.ended_at.since(record.started_at)),
    }
}

/// Codes that speak of the hop between us and the called side do not cross: their headers stay
/// behind, and the caller can do nothing about them.
fn code_for_caller(code: u16) -> u16 {
    match code {
        // A redirection that nobody followed.
        300..=399 => 480,
        401 | 407 => 403,
        420..=423 | 494 => 500,
        _ => code,
    }
}
