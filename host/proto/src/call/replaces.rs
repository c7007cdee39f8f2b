//! INVITE with Replaces (RFC 3891): a newcomer takes the place of one side of a call.
//!
//! Before the answer only a dialog that we began can be replaced, one of a called side that rings
//! (`pickup`): a caller began its dialog itself, which RFC 3891 §3 forbids to replace.

use std::sync::Arc;

use intertrunk_sip::{Message, Method, Name, Replaces, reply};

use super::attempt::{Attempt, AttemptId, Order, Try};
use super::change::{Change, Incoming, Step};
use super::leg::{Body, Leg};
use super::notify::Subscription;
use super::passing::SUPPORTED;
use super::{Call, LegId, Phase, Q850, q850_of};
use crate::ask::{Candidate, HeaderField};
use crate::core::Core;
use crate::dialog::Dialog;
use crate::io::{Flow, TrunkId};
use crate::rng::owner_shard;
use crate::target::Target;
use crate::transaction::ServerKey;
use crate::trunk::{Peer, Seat, Trunk};
use crate::within;

/// An INVITE that names a dialog of ours, and its server transaction, which has said 100.
pub(crate) struct Newcomer {
    pub(crate) invite: Message,
    pub(crate) server: ServerKey,
    pub(crate) flow: Flow,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) seat: Seat,
}

impl Call {
    /// Why somebody of this trunk, or whom the dialog's own trunk allows it, may not take this leg's
    /// place, as a code: 403 if the dialog is not of its trunk, 603 if it is over, 481 if it is not up yet, 486 if only an early one was to
    /// be replaced (RFC 3891 §3).
    pub(crate) fn may_replace(
        &self,
        leg: LegId,
        invite: &Message,
        early_only: bool,
        by: Option<TrunkId>,
        core: &Core,
    ) -> Result<(), u16> {
        let l = self.leg(leg).ok_or(481_u16)?;
        if by.is_some_and(|by| l.trunk.id != by) {
            return Err(403);
        }
        match self.phase {
            Phase::Asking { .. } => Err(481),
            Phase::Dialling => self.may_pick_up(leg, invite, core),
            Phase::Ended => Err(603),
            Phase::Talking(bridge) if bridge.other(leg).is_none() || l.over => Err(603),
            Phase::Talking(_) if early_only => Err(486),
            Phase::Talking(_) if self.is_changing() => Err(491),
            Phase::Talking(_) if self.attempts.len() >= core.snapshot.limits.attempts_max => {
                Err(500)
            }
            Phase::Talking(_) => Ok(()),
        }
    }

    /// Calls the other side of another call, in the name of trunk `by`: for an attended transfer, or
    /// for a newcomer whose own call is on another shard than the dialog that it names. Whether
    /// there is such a dialog, the shard that would own it knows (`within`).
    pub(super) fn dial_within(&mut self, replaces: &Replaces, by: TrunkId, core: &mut Core) {
        let shard = owner_shard(&replaces.call_id, core.call_id_key, core.shards);
        let flow = Flow::within(shard, by);
        let peer = Peer::at(flow.remote);
        let trunk = within::trunk();
        let value = String::from_utf8_lossy(&replaces.to_value()).into_owned();
        let field = |name: &str, value| HeaderField {
            name: name.to_owned(),
            value,
        };
        let stays = self.ingress().id.0.to_string();
        let candidate = Candidate {
            trunk: trunk.name.to_string(),
            set_headers: vec![field("Replaces", value), field(within::PARTY, stays)],
            ..Candidate::default()
        };
        self.queue.push_back(Try {
            order: Order {
                ask: self.asks,
                last: 0,
                group: 0,
                target: 0,
            },
            candidate: Arc::new(candidate),
            target: Some(Target::at(&peer.host_port, flow.remote)),
            trunk,
            peer,
        });
        self.now_dialling();
        self.dial_next(None, core);
    }

    /// The trunk of the other side of the bridge, or of the caller of one who rings.
    pub(crate) fn trunk_beyond(&self, leg: LegId) -> Option<&Trunk> {
        let other = match self.phase {
            Phase::Dialling => LegId::A,
            Phase::Asking { .. } | Phase::Talking(_) | Phase::Ended => self.other(leg)?,
        };
        self.leg(other).map(|l| &**l.party())
    }

    /// Begins to replace a leg: the other one is asked to take the newcomer's session.
    pub(crate) fn replace(&mut self, leaves: LegId, newcomer: Newcomer, core: &mut Core) {
        if self.phase == Phase::Dialling {
            return self.pick_up(newcomer, core);
        }
        let Some(stays) = self.other(leaves) else {
            return;
        };
        let (id, invite, incoming) = self.come_in(newcomer, core);
        let newcomer = LegId::B(id);
        self.change = Some(Box::new(Change {
            leaves,
            stays,
            step: Step::Joining { newcomer },
            invite,
            query: Box::default(),
            subscription: Subscription::none(),
            incoming: Some(incoming),
            replaces: None,
            attempts_before: 0,
            tags_before: Vec::new(),
        }));
        self.join(newcomer, core);
        self.rearm(core);
    }

    /// A newcomer's dialog becomes a leg of this call.
    pub(super) fn come_in(
        &mut self,
        newcomer: Newcomer,
        core: &mut Core,
    ) -> (AttemptId, Arc<Message>, Incoming) {
        let Newcomer {
            invite,
            server,
            flow,
            trunk,
            seat,
        } = newcomer;
        let id = AttemptId(u8::try_from(self.attempts.len()).expect("attempts are bounded"));
        let tag = core.rng.token();
        core.legs.insert(tag, (self.key, LegId::B(id)));
        let listeners = match flow.shard() {
            Some(_) => within::listeners(core.shard, flow.remote),
            None => core.snapshot.listeners.clone(),
        };
        let dialog = Dialog::of_invite(&invite, tag, flow, &listeners);
        let mut leg = Leg::new(trunk, dialog, seat);
        leg.hear(&invite);
        leg.learn_party(&invite, core);
        self.attempts.push(Attempt::came_in(leg, core.now));
        self.note_request(LegId::B(id), false, &Method::Invite, core);
        (id, Arc::new(invite), Incoming { server, flow })
    }

    /// Answers the INVITE of a newcomer with what the party that stays has said.
    pub(super) fn accept_newcomer(&mut self, newcomer: LegId, answer: &Message, core: &mut Core) {
        let Some(change) = &self.change else { return };
        let (Some(incoming), invite) = (change.incoming, Arc::clone(&change.invite)) else {
            return;
        };
        self.answer_in(newcomer, &invite, incoming, Body::of(answer).as_ref(), core);
    }

    /// Answers the INVITE of a leg that came in by itself.
    pub(super) fn answer_in(
        &mut self,
        newcomer: LegId,
        invite: &Message,
        incoming: Incoming,
        body: Option<&Body>,
        core: &mut Core,
    ) {
        let meets = match &self.change {
            Some(change) => self.leg(change.stays),
            None => Some(&self.a),
        };
        let meets = meets.map(|leg| leg.party().id);
        let Some(leg) = self.leg_mut(newcomer) else {
            return;
        };
        let tag = leg.dialog.local_tag.to_string();
        let source = Some(incoming.flow.remote);
        let mut b = reply(invite, 200, "OK", Some(&tag), source);
        for line in invite.lines().filter(|l| l.name == Name::RecordRoute) {
            b.raw_line(line.raw);
        }
        b.header(Name::Contact, leg.contact());
        b.header(Name::Allow, leg.allow());
        b.header(Name::Supported, SUPPORTED);
        if let Some(meets) = meets {
            leg.put_party(&mut b, meets);
        }
        let bytes = match body {
            Some(body) => {
                b.header(Name::ContentType, &body.content_type);
                leg.finish(b, &body.content_type, &body.bytes, core)
            }
            None => b.finish(None),
        };
        core.respond(incoming.server, 200, bytes.clone());
        self.note_response(newcomer, true, 200, &Method::Invite, core);
        if let Some(leg) = self.leg_mut(newcomer) {
            leg.await_ack(invite, bytes, incoming.flow, core);
        }
    }

    /// Refuses the INVITE of a newcomer.
    pub(super) fn refuse_newcomer(
        &mut self,
        newcomer: LegId,
        change: &Change,
        code: u16,
        core: &mut Core,
    ) {
        let (Some(incoming), Some(leg)) = (change.incoming, self.leg_mut(newcomer)) else {
            return;
        };
        leg.over = true;
        let tag = leg.dialog.local_tag.to_string();
        let phrase = intertrunk_sip::reason_phrase(code);
        let source = Some(incoming.flow.remote);
        let mut b = reply(&change.invite, code, phrase, Some(&tag), source);
        b.header_fmt(Name::Reason, format_args!("{}", Q850(q850_of(code))));
        core.respond(incoming.server, code, b.finish(None));
        self.note_response(newcomer, true, code, &Method::Invite, core);
    }
}
