//! The end of a change: the newcomer has answered, and the party that stays is asked with a
//! re-INVITE to take its session. The newcomer then takes the place of the one that leaves.
//!
//! The host asks in nobody's name here, so it has to wait for others itself: while something else
//! is being negotiated, and after 491 (RFC 3261 §14.1).

use std::time::Duration;

use intertrunk_sip::{Message, Method, Name};

use super::attempt::AttemptId;
use super::bridge::InDialog;
use super::change::Step;
use super::leg::{Body, cancel_patience};
use super::offer::{Negotiation, after_glare, ends_call};
use super::reason::Because;
use super::{Bridge, Call, LegId, Phase};
use crate::core::Core;
use crate::event::Event;
use crate::time::Instant;
use crate::transaction::{ClientKey, Owner, Sending};
use crate::within;

/// A re-INVITE of the host's own, to one leg.
#[derive(Debug)]
pub(super) struct OwnOffer {
    pub(super) leg: LegId,
    /// None while it has to wait for its turn.
    client: Option<ClientKey>,
    cseq: u32,
    heard: bool,
    given_up: bool,
    /// When it was its turn first: it is not tried for ever.
    since: Instant,
    /// When it is tried (again), given up, or forgotten.
    pub(super) until: Instant,
}

/// For whose INVITE with Replaces a call of ours sends this re-INVITE.
pub(super) fn joined_by(r: &InDialog) -> Option<&[u8]> {
    r.flow.shard()?;
    r.request.header_named(within::JOINS).next()
}

/// Time until a negotiation of others is looked at again.
const TURN: Duration = Duration::from_millis(200);

impl Call {
    /// The target of a transfer has answered.
    pub(super) fn newcomer_answered(&mut self, id: AttemptId, response: &Message, core: &mut Core) {
        let offered = self.wanted().is_some_and(|i| i.has_body());
        self.take_success(id, response, offered, core);
        self.queue.clear();
        if let Some(change) = &mut self.change {
            let newcomer = LegId::B(id);
            change.step = Step::Joining { newcomer };
        }
        if self.leg(LegId::B(id)).is_none_or(|l| l.said.is_none()) {
            // It describes no session: there is nothing to connect.
            self.notify(488, true, core);
            return self.change_failed(488, core);
        }
        self.join(LegId::B(id), core);
    }

    pub(super) fn join(&mut self, newcomer: LegId, core: &mut Core) {
        let Some(change) = &mut self.change else {
            return;
        };
        change.step = Step::Joining { newcomer };
        let stays = change.stays;
        self.offer_to(stays, core);
    }

    /// Asks a leg to take the session of whom it is to talk to.
    pub(super) fn offer_to(&mut self, leg: LegId, core: &mut Core) {
        self.own_offer = Some(Box::new(OwnOffer {
            leg,
            client: None,
            cseq: 0,
            heard: false,
            given_up: false,
            since: core.now,
            until: core.now,
        }));
        self.offer_newcomer(core);
    }

    /// Asks the party that stays to take the newcomer's session, or waits for its turn.
    fn offer_newcomer(&mut self, core: &mut Core) {
        let busy = self.negotiation() != Negotiation::Idle;
        let Some(offer) = &self.own_offer else { return };
        let (to, ring) = (offer.leg, core.snapshot.timers.ring);
        let described = match self.change.as_ref().map(|c| c.step) {
            Some(Step::Joining { newcomer }) => newcomer,
            None if self.picks_up(to) => LegId::A,
            Some(Step::Asking { .. } | Step::Dialling) | None => return,
        };
        let Some(described) = self.leg(described) else {
            return;
        };
        let (said, party) = (described.said.clone(), described.party().id);
        let joins = self.joins_for();
        let key = self.key;
        let Some(leg) = self.leg_mut(to) else { return };
        let wait = busy || leg.unacked.is_some() || leg.owes_ack.is_some();
        if wait {
            if let Some(offer) = &mut self.own_offer {
                offer.until = core.now + TURN;
            }
            return;
        }
        let (mut b, branch) = leg.request(&Method::Invite, 70, core);
        b.header(Name::Contact, leg.contact());
        b.header(Name::Allow, leg.allow());
        leg.put_party(&mut b, party);
        if let Some(joins) = joins.filter(|_| leg.dialog.flow().shard().is_some()) {
            b.other(within::JOINS, &joins);
        }
        let bytes = match &said {
            Some(said) => leg.finish_session(b, said, core),
            None => b.finish(None),
        };
        let (flow, cseq) = (leg.dialog.flow(), leg.dialog.last_cseq());
        self.open += 1;
        let client = core.send(Sending {
            flow,
            bytes,
            branch,
            invite: true,
            owner: Owner::Own(key, to, cseq),
        });
        self.note_request(to, true, &Method::Invite, core);
        if let Some(offer) = &mut self.own_offer {
            offer.client = Some(client);
            offer.cseq = cseq;
            offer.until = core.now + ring;
        }
    }

    /// The Call-ID of the newcomer's INVITE, if that is another call of ours.
    fn joins_for(&self) -> Option<String> {
        let change = self.change.as_ref()?;
        let incoming = change.incoming.filter(|it| it.flow.shard().is_some());
        incoming.map(|_| String::from_utf8_lossy(change.invite.call_id()).into_owned())
    }

    /// Whether a request is one that the call sends for whom this call has sent an INVITE with
    /// Replaces: then the two are joined already, and would be with nobody else.
    pub(super) fn joins_itself(&self, r: &InDialog) -> bool {
        let Some(joins) = joined_by(r) else {
            return false;
        };
        let mut dialled = self.attempts.iter().filter(|a| a.is_live());
        dialled.any(|a| *a.leg.dialog.call_id == *joins)
    }

    /// An answer to the host's own re-INVITE on this leg.
    pub(crate) fn own_answered(&mut self, to: LegId, response: &Message, core: &mut Core) {
        let code = response.status();
        self.note_response(to, false, code, &Method::Invite, core);
        match code {
            100..=199 => {
                if let Some(offer) = &mut self.own_offer {
                    offer.heard = true;
                    if offer.given_up {
                        self.cancel_own(core);
                    }
                }
            }
            200..=299 => self.own_accepted(to, response, core),
            _ => self.own_refused(to, code, core),
        }
        self.rearm(core);
    }

    fn own_accepted(&mut self, to: LegId, response: &Message, core: &mut Core) {
        let cseq = response.cseq();
        let Some(leg) = self.leg_mut(to) else { return };
        if leg.repeat_ack(cseq, core) || leg.owes_ack == Some(cseq) {
            return;
        }
        leg.dialog.refresh_target(response);
        leg.hear(response);
        let offer = self.own_offer.take_if(|o| o.cseq == cseq);
        let in_time = offer.is_some_and(|o| !o.given_up);
        if in_time && self.picks_up(to) {
            return self.picked_up(to, response, core);
        }
        let newcomer = match self.change.as_ref().map(|c| c.step) {
            Some(Step::Joining { newcomer }) if in_time => newcomer,
            _ => {
                self.ack_own(to, response, core);
                // The two ends no longer agree about their media.
                return self.end_by_host(core);
            }
        };
        if self.leg(newcomer).is_some_and(|l| l.said.is_some()) {
            self.ack_own(to, response, core);
        } else if let Some(leg) = self.leg_mut(to) {
            // Neither has offered: this is the offer, and the newcomer's ACK brings the answer.
            leg.owes_ack = Some(cseq);
        }
        self.answer_newcomer(newcomer, response, core);
        self.accept_newcomer(newcomer, response, core);
        self.take_place(newcomer, core);
    }

    pub(super) fn ack_own(&mut self, leg: LegId, response: &Message, core: &mut Core) {
        if let Some(l) = self.leg_mut(leg) {
            l.send_ack(response.cseq(), None, core);
            self.note_request(leg, true, &Method::Ack, core);
        }
    }

    /// The party that stays has accepted: the newcomer's own exchange ends with what it said.
    fn answer_newcomer(&mut self, newcomer: LegId, response: &Message, core: &mut Core) {
        if let Some(leg) = self.leg_mut(newcomer)
            && let Some(cseq) = leg.owes_ack
        {
            leg.send_ack(cseq, Body::of(response).as_ref(), core);
            self.note_request(newcomer, true, &Method::Ack, core);
        }
    }

    /// The newcomer has the place of the one that leaves, which is told and hung up.
    fn take_place(&mut self, newcomer: LegId, core: &mut Core) {
        let Phase::Talking(bridge) = self.phase else {
            return;
        };
        self.notify(200, true, core);
        let Some(change) = self.change.take() else {
            return;
        };
        let (near, far) = match change.leaves == bridge.near {
            true => (newcomer, change.stays),
            false => (change.stays, newcomer),
        };
        let bridge = Bridge { near, far };
        self.phase = Phase::Talking(bridge);
        self.end_referrals(Some(change.leaves), core);
        self.hang_up(change.leaves, core);
        self.leave(change.leaves);
        core.event(Event::CallTransferred {
            call: self.id,
            price: self.price(),
        });
        if self.leg(newcomer).is_some_and(|l| l.over) {
            // It has hung up already.
            self.hang_up(change.stays, core);
            self.end(bridge.part_of(newcomer), 200, 16, core);
        }
    }

    fn own_refused(&mut self, to: LegId, code: u16, core: &mut Core) {
        let within = self
            .leg(to)
            .is_some_and(|l| l.dialog.flow().shard().is_some());
        let Some(offer) = self.own_offer.as_mut().filter(|o| o.leg == to) else {
            return;
        };
        let picks_up = self.pickup.map(LegId::B) == Some(to);
        let patient = core.now.since(offer.since) < core.snapshot.timers.ring;
        if code == 491 && patient && !offer.given_up && (self.change.is_some() || picks_up) {
            offer.client = None;
            offer.heard = false;
            // Another call of ours asks somebody else first; there is no glare with that.
            offer.until = match within {
                true => core.now + TURN,
                false => core.now + after_glare(to, core),
            };
            return;
        }
        self.own_offer = None;
        if picks_up {
            return self.pickup_failed(core);
        }
        if self.change.is_none() {
            return;
        }
        self.notify(code, true, core);
        self.change_failed(code, core);
        if ends_call(&Method::Invite, code) {
            self.lost(to, core);
        }
    }

    /// Whether the answer to the host's own re-INVITE with this number is waited for.
    pub(super) fn waits_for_own(&self, leg: LegId, cseq: u32) -> bool {
        let offer = self.own_offer.as_ref();
        offer.is_some_and(|o| o.leg == leg && o.cseq == cseq && !o.given_up)
    }

    /// The host's own re-INVITE went out a second time.
    pub(super) fn own_sent_again(&mut self, client: ClientKey, cseq: u32) {
        if let Some(offer) = &mut self.own_offer {
            offer.client = Some(client);
            offer.cseq = cseq;
            offer.heard = false;
        }
    }

    /// The host's own re-INVITE got no answer, or could not be sent.
    pub(crate) fn own_silent(&mut self, to: LegId, core: &mut Core) {
        self.own_refused(to, 408, core);
        self.rearm(core);
    }

    /// The transaction of the host's own re-INVITE is over.
    pub(crate) fn own_over(&mut self, leg: LegId, cseq: u32) {
        if let Some(l) = self.leg_mut(leg) {
            l.forget_ack(cseq);
        }
    }

    /// The call, or the change, is over while the re-INVITE waits for its answer.
    pub(super) fn give_up_own(&mut self, core: &mut Core) {
        let until = core.now + cancel_patience(core);
        match &mut self.own_offer {
            Some(offer) if offer.client.is_some() && !offer.given_up => {
                offer.given_up = true;
                offer.until = until;
                if offer.heard {
                    self.cancel_own(core);
                }
            }
            Some(offer) if offer.client.is_none() => self.own_offer = None,
            Some(_) | None => {}
        }
    }

    fn cancel_own(&mut self, core: &mut Core) {
        if let Some(offer) = &self.own_offer
            && let (Some(client), leg) = (offer.client, offer.leg)
        {
            self.send_cancel(client, &Because::Unsaid, core);
            self.note_request(leg, true, &Method::Cancel, core);
        }
    }

    /// Whether the host's own re-INVITE is under way.
    pub(super) fn is_offering(&self) -> bool {
        self.own_offer.as_ref().is_some_and(|o| o.client.is_some())
    }

    /// The host's own re-INVITE: its turn has come, or it has been waited for long enough.
    pub(super) fn own_clock(&mut self, core: &mut Core) {
        let Some(offer) = &self.own_offer else { return };
        if offer.until > core.now {
            return;
        }
        match (offer.client, offer.given_up) {
            (None, _) => self.offer_newcomer(core),
            (Some(_), false) if self.pickup.is_some() => self.pickup_failed(core),
            (Some(_), false) => {
                self.give_up_own(core);
                self.notify(504, true, core);
                self.change_failed(504, core);
            }
            (Some(client), true) => {
                self.own_offer = None;
                core.table.abandon(client);
            }
        }
    }
}
