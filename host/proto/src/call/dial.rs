//! Dialling: attempts in order, and giving them up.

use std::sync::Arc;

use intertrunk_sip::{Message, Method};

use super::attempt::{Attempt, AttemptId, AttemptState, Dialled, Order, Try};
use super::history::Tried;
use super::invite::{Outgoing, print_invite};
use super::leg::{Leg, cancel_patience};
use super::outcome::Ending;
use super::privacy::Wishes;
use super::reason::Because;
use super::{Call, LegId, Phase, Refusal};
use crate::core::Core;
use crate::dialog::{Dialog, cancel_of, is_sips};
use crate::event::{AttemptRecord, EndedBy, Event};
use crate::io::{Flow, ListenerId};
use crate::listener::Transport;
use crate::transaction::{ClientKey, Owner, Sending};
use crate::trunk::{Direction, Ended, Seat, Trunk, Wish};
use crate::within;

impl Call {
    /// Tries the next candidates. `last` is how the one before failed, if there was one.
    pub(super) fn dial_next(&mut self, mut last: Option<Ending>, core: &mut Core) {
        while let Some(order) = self.queue.front().map(|t| t.order) {
            let mut started = false;
            while let Some(next) = self.queue.pop_front_if(|t| t.order == order) {
                match self.start(next, core) {
                    Ok(()) => started = true,
                    Err(failure) => last = Some(failure),
                }
            }
            if started {
                return self.rearm(core);
            }
        }
        self.exhausted(last, core);
    }

    /// Sends the INVITE of one attempt, or says why it cannot.
    fn start(&mut self, next: Try, core: &mut Core) -> Result<(), Ending> {
        let Try {
            candidate,
            trunk,
            peer,
            target,
            order,
        } = next;
        let within = target
            .as_ref()
            .filter(|_| trunk.listen == ListenerId::WITHIN);
        let stays_here = within.is_some();
        let listeners = match within {
            Some(target) => within::listeners(core.shard, target.address),
            None => core.snapshot.listeners.clone(),
        };
        let listener = trunk.listener_by(peer.transport, &listeners);
        let room = self.attempts.len() < core.snapshot.limits.attempts_max;
        let unresolved = target.is_none();
        let (Some(listener), Some(target), true, Some(invite)) =
            (listener, target, room, self.wanted())
        else {
            let why = match room {
                false => "too many attempts",
                true if unresolved => "name without an address",
                true => "no listener for its transport",
            };
            return Err(self.not_tried(&trunk, 503, why, core));
        };
        if Wishes::of(&invite).rules_out(&trunk) {
            let why = "no privacy of the session on this trunk";
            return Err(self.not_tried(&trunk, 500, why, core));
        }
        if !stays_here && listener.transport != Transport::Tls && is_sips(invite.request_uri()) {
            // RFC 3261 §26.2.2: a sips call is secured on each hop, or not made.
            return Err(self.not_tried(&trunk, 480, "no TLS on this trunk for a sips call", core));
        }
        let wish = Wish {
            direction: Direction::Out,
            emergency: self.is_emergency(),
            now: core.now,
        };
        let seat = Seat::take(&trunk, wish);
        core.mind_limit(&trunk);
        let seat = match seat {
            Ok(seat) => seat.at(&target.mark),
            Err(full) => return Err(self.not_tried(&trunk, 503, full.as_str(), core)),
        };
        let Some(question) = self.question() else {
            return Err(self.not_tried(&trunk, 503, "nobody asks any more", core));
        };
        let id = AttemptId(u8::try_from(self.attempts.len()).expect("attempts are bounded"));
        let dialled = Dialled::of(&candidate, question, &trunk, &peer, &listener.advertise);
        let flow = Flow::to(listener.id, target.address);
        let tag = core.rng.token();
        let call_id = core.mint_call_id();
        let dialog = Dialog::to_peer(
            &call_id,
            tag,
            &dialled.from,
            &dialled.to,
            &dialled.request_uri,
            flow,
            &listeners,
        );
        core.legs.insert(tag, (self.key, LegId::B(id)));
        let mut leg = Leg::new(Arc::clone(&trunk), dialog, seat);
        let outgoing = Outgoing {
            invite: &invite,
            from: &self.ingress(),
            query: question,
            candidate: &candidate,
            dialled: &dialled,
            tried: &self.tried(order, &question.call.callee.user),
            reliable: self.takes_reliable_answers(),
        };
        let (bytes, branch) = print_invite(&mut leg, &outgoing, core);
        if self.change.is_none() {
            self.story.caller_out = Some(dialled.caller);
            self.story.callee_out = Some(dialled.callee);
        }
        let invite_cseq = leg.dialog.last_cseq();
        let owner = Owner::Attempt(self.key, id);
        self.open += 1;
        let client = core.send(Sending {
            flow,
            bytes,
            branch,
            invite: true,
            owner,
        });
        let mut attempt = Attempt {
            leg,
            candidate,
            order,
            peer: target.address,
            mark: target.mark,
            state: AttemptState::Calling,
            client: Some(client),
            invite_cseq,
            asked_again: false,
            answered_at_all: false,
            progressed: false,
            started: core.now,
            pdd_ms: None,
            no_progress_at: None,
            ring_until: None,
            cancel_until: None,
            early: Default::default(),
            losers: Vec::new(),
            code: 0,
            why: Because::Unsaid,
        };
        attempt.start_timers(core);
        // Nearly every call has one attempt, and keeps it for as long as it lasts.
        self.attempts.reserve_exact(1);
        self.attempts.push(attempt);
        self.note_request(LegId::B(id), true, &Method::Invite, core);
        core.event(Event::AttemptStarted {
            call: self.id,
            trunk: trunk.id,
            peer: target.address,
        });
        Ok(())
    }

    /// Records a candidate that nothing was sent to.
    fn not_tried(&mut self, trunk: &Trunk, code: u16, why: &str, core: &Core) -> Ending {
        self.story.attempts.push(AttemptRecord {
            trunk: Arc::clone(&trunk.name),
            peer: None,
            started_at: core.now,
            ended_at: core.now,
            code,
            q850: None,
            reason: why.to_owned(),
            pdd_ms: None,
        });
        Ending::of(code, why)
    }

    /// The caller gave up (CANCEL, or BYE before an answer): 487 at once, whatever happens beyond.
    /// What it said of its reason is told to those who ring.
    pub(super) fn caller_gave_up(&mut self, said: &Message, core: &mut Core) {
        if !matches!(self.phase, Phase::Asking { .. } | Phase::Dialling) {
            return;
        }
        self.why = Because::said_in(said).unwrap_or_default();
        self.refuse(&Refusal::of(487), EndedBy::Caller, core);
        self.rearm(core);
    }

    /// Gives up every attempt that could still make the call.
    pub(super) fn give_up_all(&mut self, why: &Because, core: &mut Core) {
        for n in 0..self.attempts.len() {
            if self.attempts[n].is_live() {
                let id = AttemptId(u8::try_from(n).expect("attempts are bounded"));
                self.record_attempt(id, &Ending::of(487, "given up"), core);
                // Who was slower than another, or has not rung yet, has not failed.
                let rang = self.attempts[n].pdd_ms.is_some();
                if rang && *why != Because::Elsewhere {
                    self.tally(id, 487, core);
                }
                self.give_up(id, why.clone(), core);
            }
        }
    }

    fn give_up(&mut self, id: AttemptId, why: Because, core: &mut Core) {
        self.drop_relays_to(LegId::B(id), core);
        if let Some(success) = self.take_held(id) {
            // Answered, but the caller never knew.
            if let Some(attempt) = self.attempt_mut(id) {
                attempt.leg.seat = None;
                attempt.state = AttemptState::Over;
            }
            return self.dismiss(id, &success, core);
        }
        let until = core.now + cancel_patience(core);
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        attempt.leg.seat = None;
        attempt.cancel_until = Some(until);
        attempt.why = why;
        attempt.state = AttemptState::CancelWaits;
        if attempt.answered_at_all {
            self.cancel(id, core);
        }
    }

    pub(super) fn cancel(&mut self, id: AttemptId, core: &mut Core) {
        let until = core.now + cancel_patience(core);
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        attempt.state = AttemptState::Cancelled;
        attempt.cancel_until = Some(until);
        let why = std::mem::take(&mut attempt.why);
        let Some(client) = attempt.client else { return };
        self.send_cancel(client, &why, core);
        self.note_request(LegId::B(id), true, &Method::Cancel, core);
    }

    /// Sends the CANCEL of an INVITE that has no final answer yet.
    pub(super) fn send_cancel(&mut self, client: ClientKey, why: &Because, core: &mut Core) {
        if let Some((invite, flow, branch)) = core.table.pending_request(client)
            && let Some(mut cancel) = cancel_of(&invite)
        {
            why.put(&mut cancel);
            let bytes = cancel.finish(None);
            self.send_own(flow, bytes, branch, core);
        }
    }

    /// The numbers that were tried in vain for the same question, in order; `called` where a
    /// candidate had none of its own.
    fn tried<'a>(&'a self, order: Order, called: &'a String) -> Vec<Tried<'a>> {
        let failed = self.attempts.iter().filter(|a| a.code >= 300);
        // A transfer has a history of its own.
        let here = failed.filter(|a| self.change.is_none() || a.order.ask == order.ask);
        here.map(|a| Tried {
            callee: a.candidate.callee.as_ref().unwrap_or(called),
            code: a.code,
        })
        .collect()
    }

    pub(super) fn record_attempt(&mut self, id: AttemptId, end: &Ending, core: &Core) {
        let Some(attempt) = self.attempts.get_mut(usize::from(id.0)) else {
            return;
        };
        attempt.code = end.code;
        self.story.attempts.push(AttemptRecord {
            trunk: Arc::clone(&attempt.leg.trunk.name),
            peer: Some(attempt.peer),
            started_at: attempt.started,
            ended_at: core.now,
            code: end.code,
            q850: end.q850,
            reason: end.reason.clone(),
            pdd_ms: attempt.pdd_ms,
        });
    }

    /// Counts how an attempt has ended, for the health of its trunk.
    pub(super) fn tally(&self, id: AttemptId, code: u16, core: &Core) {
        if let Some(attempt) = self.attempts.get(usize::from(id.0)) {
            let pdd_ms = attempt.pdd_ms;
            let ended = Ended { code, pdd_ms };
            attempt.leg.trunk.attempt_ended(ended, core.now);
        }
    }

    /// Timers of attempts: no progress, ringing too long, a cancelled one that never ends.
    pub(super) fn dial_clock(&mut self, core: &mut Core) {
        for n in 0..self.attempts.len() {
            let attempt = &self.attempts[n];
            let due = |at: Option<crate::time::Instant>| at.is_some_and(|at| at <= core.now);
            let id = AttemptId(u8::try_from(n).expect("attempts are bounded"));
            match attempt.state {
                AttemptState::Calling if due(attempt.no_progress_at) || due(attempt.ring_until) => {
                    self.too_slow(id, "no progress", core);
                }
                AttemptState::Ringing if due(attempt.ring_until) => {
                    self.too_slow(id, "rang too long", core);
                }
                AttemptState::CancelWaits | AttemptState::Cancelled if due(attempt.cancel_until) => {
                    self.forget(id, core);
                }
                AttemptState::Calling
                | AttemptState::Ringing
                | AttemptState::CancelWaits
                | AttemptState::Cancelled
                | AttemptState::Won
                | AttemptState::Left
                | AttemptState::Over => {}
            }
        }
    }

    /// An attempt took too long: cancelled, and the next one is tried.
    fn too_slow(&mut self, id: AttemptId, why: &str, core: &mut Core) {
        let failure = Ending::of(408, why);
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        // Its own timer says that the next one may ring, even if this one rang.
        attempt.progressed = false;
        let (trunk, silent) = (attempt.leg.trunk.id, !attempt.answered_at_all);
        if silent {
            self.mark_target(id, true, None, core);
        }
        self.record_attempt(id, &failure, core);
        self.tally(id, failure.code, core);
        core.event(Event::AttemptFailed {
            call: self.id,
            trunk,
            code: 408,
        });
        self.give_up(id, Because::Code(408), core);
        if self.is_dialling() {
            self.failed_by(id, &failure, true, core);
        }
    }

    fn forget(&mut self, id: AttemptId, core: &mut Core) {
        if let Some(attempt) = self.attempt_mut(id) {
            attempt.state = AttemptState::Over;
            if let Some(client) = attempt.client.take() {
                core.table.abandon(client);
            }
        }
    }
}
