//! One call as the wire shows it, and what each message means for what must come next.

use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::Instant;
use intertrunk_proto::ask::{Candidate, Verdict, WhenExhausted};
use intertrunk_proto::trunk::Health;
use intertrunk_sip::{Message, Method};

use super::attempt::{Attempt, Fork, PATIENCE};
use super::failure::{best_class, class_of, places_in, why_not_on};
use super::{branch_of, tag_of};
use crate::schedule::Outcome;
use crate::world::TRUNKS;

/// A side of a call, or neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    Caller,
    Callee,
    Host,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) call_id: Bytes,
    branch: Bytes,
    /// Place in [`TRUNKS`] of the trunk it came from.
    pub(super) trunk: usize,
    has_offer: bool,
    /// The policy was asked: it is a call, and has a record.
    pub(super) admitted: bool,
    /// The question that is open, until when.
    question: Option<Instant>,
    pub(super) plans: u8,
    /// What is left of the plan, in order, and whose trunk is not well.
    plan: Vec<(Candidate, bool)>,
    /// Of those passed over, those that are not well: they may have their turn after all others (F3).
    put_off: Vec<Candidate>,
    /// Trunks that a 3xx names, in its order.
    places: Option<Vec<Candidate>>,
    /// Code that the policy refused with.
    rejected: Option<u16>,
    pub(super) generation: u64,
    pub(super) attempts: Vec<Attempt>,
    /// The final code that the caller was told.
    pub(super) told: Option<u16>,
    /// CANCEL or BYE came before that.
    pub(super) gave_up: bool,
    pub(super) hung_up: Option<Who>,
    pub(super) bye_said: bool,
    pub(super) bye_heard: bool,
    /// Our latest 2xx to each side, not acknowledged.
    unacked_by_caller: Option<Unacked>,
    unacked_by_callee: Option<Unacked>,
    /// Of re-INVITEs of each side: the highest CSeq, and whether it waits for its answer.
    asked_by_caller: (u32, bool),
    asked_by_callee: (u32, bool),
    /// Highest CSeq of the caller's requests: older ones count for nothing (RFC 3261 §12.2.2).
    caller_cseq: u32,
    last_ring: Bytes,
    step: Step,
    pub(super) broken: Vec<String>,
}

/// A 2xx that waits for its ACK: its CSeq, and since when.
type Unacked = (u32, Instant);

/// The health of a trunk by its name.
pub(super) type Healths<'a> = &'a dyn Fn(&str) -> Health;

/// Groups one after the other.
fn in_order(candidates: Vec<Candidate>, health: Healths<'_>) -> Vec<(Candidate, bool)> {
    let with_health = |c: Candidate| {
        let is_ill = health(&c.trunk) == Health::Degraded;
        (c, is_ill)
    };
    let mut plan: Vec<_> = candidates.into_iter().map(with_health).collect();
    plan.sort_by_key(|(c, _)| c.group);
    plan
}

/// Whether a side may be sent a BYE: what we have sent it is acknowledged, or never will be
/// (RFC 3261 §15).
fn may_end(unacked: Option<Unacked>, now: Instant) -> bool {
    unacked.is_none_or(|(_, since)| now.since(since) >= PATIENCE)
}

/// A side asks to renegotiate.
fn asks(asked: &mut (u32, bool), invite: &Message) {
    if invite.cseq() > asked.0 {
        *asked = (invite.cseq(), true);
    }
}

/// It has its answer.
fn answers(asked: &mut (u32, bool), response: &Message) {
    let is = *response.method() == Method::Invite && response.cseq() == asked.0;
    asked.1 &= !(is && response.status() >= 200);
}

/// What has happened in one step.
#[derive(Clone, Debug, Default)]
struct Step {
    gave_up: bool,
    /// A live attempt rang; one made the call.
    rang: bool,
    /// Refusals heard of live attempts.
    refused: Vec<u16>,
    /// Somebody hung up an answered call.
    hung_up: Option<Who>,
    told: bool,
}

impl Call {
    pub(super) fn of_invite(invite: &Message, trunk: usize) -> Call {
        Call {
            call_id: Bytes::copy_from_slice(invite.call_id()),
            branch: branch_of(invite),
            trunk,
            has_offer: invite.has_body(),
            admitted: false,
            question: None,
            plans: 0,
            plan: Vec::new(),
            put_off: Vec::new(),
            places: None,
            rejected: None,
            generation: 0,
            attempts: Vec::new(),
            told: None,
            gave_up: false,
            hung_up: None,
            bye_said: false,
            bye_heard: false,
            unacked_by_caller: None,
            unacked_by_callee: None,
            asked_by_caller: (invite.cseq(), false),
            asked_by_callee: (0, false),
            caller_cseq: invite.cseq(),
            last_ring: Bytes::new(),
            step: Step::default(),
            broken: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.call_id).into_owned()
    }

    /// Answered, and nobody has hung up.
    pub(super) fn is_up(&self) -> bool {
        self.told.is_some_and(|code| code < 300) && self.hung_up.is_none()
    }

    /// Neither side has acknowledged our latest 2xx: neither can be sent a BYE.
    pub(super) fn owes_both_acks(&self) -> bool {
        self.is_up() && self.unacked_by_caller.is_some() && self.unacked_by_callee.is_some()
    }

    fn breaks(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    fn must(&mut self, holds: bool, what: &str) {
        if !holds {
            self.breaks(what);
        }
    }

    // ---- the policy ----

    pub(super) fn asked(&mut self, until: Instant) {
        self.admitted = true;
        self.must(
            self.told.is_none() && !self.gave_up,
            "asked about a call that is over",
        );
        self.question = Some(until);
    }

    /// Whether an answer may still come in time.
    pub(super) fn still_asks(&mut self, now: Instant) -> bool {
        self.question = self.question.filter(|until| now < *until);
        self.question.is_some()
    }

    pub(super) fn decided(
        &mut self,
        outcome: &Outcome,
        generation: u64,
        health: Healths<'_>,
    ) -> bool {
        let in_time = self.told.is_none() && self.question.is_some();
        self.question = None;
        if !in_time {
            return false;
        }
        self.generation = generation;
        self.plans += 1;
        (self.plan, self.rejected) = (Vec::new(), None);
        self.put_off.clear();
        self.places = None;
        match outcome {
            Ok(Verdict::Connect(plan)) => {
                self.plan = in_order(plan.candidates.clone(), health);
                let again = plan.when_exhausted == WhenExhausted::AskAgain;
                self.rejected = again.then_some(0);
            }
            Ok(Verdict::Reject(r)) => self.rejected = Some(r.code),
            Ok(_) | Err(_) => {}
        }
        true
    }

    // ---- the calling side ----

    pub(super) fn heard_of_caller(&mut self, message: &Message) {
        if !message.is_request() {
            return;
        }
        let method = message.method();
        // Nothing comes after a BYE: it is heard, whatever has overtaken it.
        if !matches!(method, Method::Ack | Method::Cancel | Method::Bye) {
            if message.cseq() <= self.caller_cseq {
                return;
            }
            self.caller_cseq = message.cseq();
        }
        let pending = self.told.is_none() && self.admitted;
        match method {
            Method::Cancel if branch_of(message) == self.branch => self.gives_up(pending),
            Method::Invite => asks(&mut self.asked_by_caller, message),
            Method::Bye if pending => self.gives_up(pending),
            Method::Bye => {
                self.bye_heard = true;
                self.hangs_up(Who::Caller);
            }
            Method::Ack
                if self
                    .unacked_by_caller
                    .is_some_and(|u| u.0 == message.cseq()) =>
            {
                self.unacked_by_caller = None;
            }
            _ => {}
        }
    }

    fn gives_up(&mut self, pending: bool) {
        if pending {
            (self.gave_up, self.step.gave_up) = (true, true);
        }
    }

    fn hangs_up(&mut self, who: Who) {
        if self.is_up() {
            self.hung_up = Some(who);
            self.step.hung_up = Some(who);
        }
    }

    pub(super) fn said_to_caller(&mut self, message: &Message, now: Instant) {
        if message.is_request() {
            if *message.method() == Method::Invite {
                self.must(!self.asked_by_caller.1, "K7: asked a caller who is asking");
            }
            if *message.method() == Method::Bye {
                let first = !std::mem::replace(&mut self.bye_said, true);
                let may = !first || may_end(self.unacked_by_caller, now);
                self.must(may, "K12: BYE to a caller who has not acknowledged");
                self.must(
                    self.told.is_some_and(|c| c < 300),
                    "BYE to a caller who got no 2xx",
                );
                self.hung_up.get_or_insert(Who::Host);
            }
            return;
        }
        if *message.method() != Method::Invite {
            return;
        }
        let code = message.status();
        answers(&mut self.asked_by_caller, message);
        if branch_of(message) != self.branch {
            if (200..300).contains(&code) {
                self.unacked_by_caller.get_or_insert((message.cseq(), now));
            }
            return;
        }
        match code {
            100 => {}
            101..=199 => {
                // The same answer again is the transaction's doing.
                let again = self.last_ring == *message.bytes();
                self.must(
                    self.step.rang || again,
                    "K3: 18x to the caller, but nobody rings",
                );
                self.last_ring = message.bytes().clone();
            }
            _ if self.told.is_some() => {}
            _ => {
                self.told = Some(code);
                self.step.told = true;
                if code < 300 {
                    self.unacked_by_caller.get_or_insert((message.cseq(), now));
                    let won = self.attempts.iter().any(|a| a.won);
                    self.must(won, "2xx to the caller, but nobody has answered");
                }
                for attempt in self.attempts.iter_mut().filter(|a| !a.won) {
                    attempt.over.get_or_insert(now);
                }
            }
        }
    }

    // ---- the called sides ----

    /// The host dials: is it this candidate's turn?
    pub(super) fn dials(&mut self, mut attempt: Attempt, health: Healths<'_>, now: Instant) {
        self.must(!self.gave_up, "K1: dialled for a caller who gave up");
        self.must(
            self.told.is_none(),
            "dialled for a call that has its final answer",
        );
        let name = TRUNKS.get(attempt.trunk).map_or("?", |t| t.0);
        // A redirection makes a plan of its own; whatever was left of the old one is gone.
        if let Some(places) = self.places.take() {
            self.plan = in_order(places, health);
            self.put_off.clear();
            self.plans += 1;
        }
        let Some((is_last, candidate)) = self.takes(name) else {
            self.breaks(format!("dialled {name}, which the plan does not have"));
            return self.attempts.push(attempt);
        };
        attempt.turn = (self.plans, is_last, candidate.group);
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        attempt.no_progress = candidate.no_progress_ms.map_or(Duration::from_secs(10), ms);
        attempt.ring = candidate.ring_ms.map_or(Duration::from_secs(180), ms);
        let wrong: Vec<String> = (self.attempts.iter())
            .filter(|before| before.turn < attempt.turn)
            .filter_map(|before| why_not_on(before, &self.attempts, now))
            .map(|why| format!("K5: dialled {name}, but {why}"))
            .collect();
        self.broken.extend(wrong);
        for before in self.attempts.iter_mut().filter(|a| a.turn < attempt.turn) {
            before.over.get_or_insert(now);
        }
        self.attempts.push(attempt);
    }

    /// The next candidate on this trunk, and whether it was put off. Those before it are passed over.
    fn takes(&mut self, trunk: &str) -> Option<(bool, Candidate)> {
        if let Some(place) = self.plan.iter().position(|(c, _)| c.trunk == trunk) {
            let mut passed = self.plan.drain(..=place);
            let (candidate, _) = passed.next_back()?;
            let ill = passed.filter_map(|(c, is_ill)| is_ill.then_some(c));
            self.put_off.extend(ill);
            return Some((false, candidate));
        }
        let place = self.put_off.iter().position(|c| c.trunk == trunk)?;
        let candidate = self.put_off.drain(..=place).next_back()?;
        Some((true, candidate))
    }

    pub(super) fn heard_of_callee(&mut self, leg: usize, message: &Message, now: Instant) {
        let open = self.told.is_none() && !self.gave_up;
        let up = self.is_up();
        let attempt = &mut self.attempts[leg];
        if message.is_request() {
            let from = tag_of(message.from_tag());
            match message.method() {
                Method::Bye => {
                    let Some(fork) = attempt.forks.iter_mut().find(|f| f.tag == from) else {
                        return;
                    };
                    fork.bye_heard = true;
                    if fork.won && up {
                        self.hangs_up(Who::Callee);
                    }
                }
                Method::Ack
                    if self
                        .unacked_by_callee
                        .is_some_and(|u| u.0 == message.cseq()) =>
                {
                    self.unacked_by_callee = None;
                }
                _ => {}
            }
            return;
        }
        if *message.method() != Method::Invite || branch_of(message) != attempt.branch {
            return;
        }
        let live = open && attempt.is_live(now);
        let forgotten = attempt.is_forgotten(now);
        attempt.heard = true;
        match message.status() {
            100 => {}
            101..=199 => {
                attempt.rang |= live;
                self.step.rang |= live;
            }
            200..=299 => {
                let tag = tag_of(message.to_tag());
                if forgotten {
                    return;
                }
                if let Some(fork) = attempt.forks.iter_mut().find(|f| f.tag == tag) {
                    fork.again |= fork.acknowledged;
                    return;
                }
                attempt.first_2xx.get_or_insert(now);
                attempt.won |= live;
                attempt.over.get_or_insert(now);
                if live {
                    attempt.code = Some(message.status());
                }
                attempt.forks.push(Fork {
                    tag,
                    won: live,
                    fresh: true,
                    ..Fork::default()
                });
            }
            code if attempt.refused.is_none() && attempt.first_2xx.is_none() => {
                if live {
                    attempt.code = Some(code);
                    self.step.refused.push(code);
                    self.places = places_in(message)
                        .filter(|_| code < 400)
                        .or(self.places.take());
                }
                let attempt = &mut self.attempts[leg];
                attempt.refused = Some(code);
                attempt.over.get_or_insert(now);
            }
            _ => {}
        }
    }

    pub(super) fn said_to_callee(&mut self, leg: usize, message: &Message, now: Instant) {
        let won = self.attempts.iter().any(|a| a.won);
        let over = self.told.is_some() || self.gave_up || won;
        let attempt = &mut self.attempts[leg];
        if !message.is_request() {
            answers(&mut self.asked_by_callee, message);
            let renegotiated = *message.method() == Method::Invite && message.status() / 100 == 2;
            if renegotiated {
                self.unacked_by_callee.get_or_insert((message.cseq(), now));
            }
            return;
        }
        let to = tag_of(message.to_tag());
        let fork = attempt.forks.iter_mut().find(|f| f.tag == to);
        match (message.method(), fork) {
            (Method::Invite, Some(_)) if self.asked_by_callee.1 => {
                self.breaks("K7: asked a callee that is asking");
            }
            (Method::Cancel, _) if branch_of(message) == attempt.branch => {
                let why = match () {
                    () if attempt.cancelled.is_some() => "",
                    () if !attempt.heard => "CANCEL before any answer",
                    () if attempt.refused.is_some() => "CANCEL after the final answer",
                    () if attempt.first_2xx.is_some() => "K2: CANCEL after the answer",
                    () if !over && !attempt.timed_out(now) && attempt.over.is_none() => {
                        "CANCEL of an attempt that can still make the call"
                    }
                    () => "",
                };
                attempt.cancelled.get_or_insert(now);
                attempt.over.get_or_insert(now);
                self.must(why.is_empty(), why);
            }
            (Method::Ack, Some(fork)) => {
                (fork.acknowledged, fork.acknowledged_now) = (true, true);
            }
            (Method::Bye, Some(fork)) => {
                let first = !std::mem::replace(&mut fork.bye_said, true);
                let may = !first || !fork.won || may_end(self.unacked_by_callee, now);
                let acknowledged = fork.acknowledged;
                if fork.won {
                    self.hung_up.get_or_insert(Who::Host);
                }
                self.must(acknowledged, "K12: BYE before the ACK of the 2xx");
                self.must(may, "K12: BYE to a callee that has not acknowledged");
            }
            (Method::Bye, None) => self.breaks("BYE to somebody who has not answered"),
            _ => {}
        }
    }

    // ---- after each step ----

    /// What the host owes at once.
    pub(super) fn stepped(&mut self, now: Instant) {
        let step = std::mem::take(&mut self.step);
        if step.gave_up {
            self.must(
                self.told == Some(487),
                "K1: gave up, but was not told 487 at once",
            );
        }
        if step.told && self.told.is_some_and(|code| code >= 300) && !step.gave_up {
            self.explain_refusal(&step);
        }
        let told_2xx = self.told.is_some_and(|code| code < 300);
        let mut broken = Vec::new();
        for fork in self.attempts.iter_mut().flat_map(|a| &mut a.forks) {
            let now = std::mem::take(&mut fork.acknowledged_now);
            if std::mem::take(&mut fork.again) && !now {
                broken.push("K12: the 2xx came again and was not acknowledged again");
            }
            if !std::mem::take(&mut fork.fresh) {
                continue;
            }
            match fork.won {
                true if !told_2xx => broken.push("answered, but the caller was not told at once"),
                true if self.has_offer && !fork.acknowledged => {
                    broken.push("K12: the 2xx was not acknowledged at once");
                }
                false if !(fork.acknowledged && fork.bye_said) => {
                    broken.push("K2, K3: a 2xx too many was not acknowledged and ended at once");
                }
                _ => {}
            }
        }
        self.broken.extend(broken.into_iter().map(str::to_owned));
        self.pass_on_the_end(step.hung_up);
        let tried = self.attempts.iter().any(|a| a.is_live(now));
        let waits = tried || self.question.is_some() || self.told.is_some();
        self.must(
            waits || !self.admitted,
            "K6: nobody is tried, and the caller is not told",
        );
    }

    /// Whoever is left is told that the other has hung up: at once, unless it still owes an ACK.
    fn pass_on_the_end(&mut self, hung_up: Option<Who>) {
        let won = self.attempts.iter().flat_map(|a| &a.forks).find(|f| f.won);
        let told = match hung_up {
            Some(Who::Caller) => {
                self.unacked_by_callee.is_some() || won.is_some_and(|f| f.bye_said)
            }
            Some(Who::Callee) => self.unacked_by_caller.is_some() || self.bye_said,
            Some(Who::Host) | None => true,
        };
        self.must(told, "K8: one side hung up, the other was not told at once");
    }

    /// A final answer that is no 2xx has a reason.
    fn explain_refusal(&mut self, step: &Step) {
        let told = self.told.unwrap_or_default();
        if let Some(last) = step.refused.last() {
            // Of those that rang together, the best has the word.
            let turn = self.attempts.iter().rfind(|a| a.code == Some(*last));
            let turn = turn.map(|a| a.turn);
            let together = self.attempts.iter().filter(|a| Some(a.turn) == turn);
            let heard = together.filter_map(|a| {
                a.code
                    .filter(|_| class_of(a) == best_class(&self.attempts, a.turn))
            });
            let heard: Vec<u16> = heard.collect();
            // What speaks of the hop between does not cross.
            let class = |heard: &u16| match heard {
                300..=399 => 4,
                420..=423 | 494 => 5,
                code => code / 100,
            };
            let best_is_silent = heard.is_empty() && told / 100 == 4;
            let what = format!("{heard:?} became {told}");
            // The next candidate's trunk may be full, or out of reach.
            let unsendable = self.attempts.iter().any(|a| a.unsendable);
            let left = !self.plan.is_empty() || !self.put_off.is_empty() || self.places.is_some();
            // A policy is asked what to make of a redirection only so often.
            let asked_enough = told == 500 && self.places.is_some();
            let full = (told == 503 && (left || unsendable)) || asked_enough;
            let asks_again = self.rejected == Some(0);
            let right = heard.iter().any(|h| class(h) == told / 100) || best_is_silent;
            self.must(right || full || asks_again, &what);
        } else if let Some(code) = self.rejected.filter(|c| (300..700).contains(c)) {
            let what = format!("the policy said {code}, the caller was told {told}");
            self.must(told == code, &what);
        }
    }
}
