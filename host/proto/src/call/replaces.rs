//! INVITE with Replaces (RFC 3891): a newcomer takes the place of one side of an answered call.
//!
//! Only a confirmed dialog can be replaced. A caller whose call is not answered yet began its
//! dialog itself, which RFC 3891 §3 forbids to replace.
//! Deviation: nor is a dialog that we began and that still rings (call pickup): the INVITE that
//! waits for its answer and the one that replaces it both carry an offer. 481, as if it were not
//! there.

use std::sync::Arc;

use intertrunk_sip::{Message, Method, Name, Replaces, reply};

use super::attempt::{Attempt, AttemptId, Order, Try};
use super::change::{Change, Incoming, Step};
use super::leg::{Leg, SDP};
use super::notify::Subscription;
use super::passing::SUPPORTED;
use super::{Call, LegId, Phase};
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
    /// Whether this leg's dialog is the one that is named so.
    pub(crate) fn is_named(&self, leg: LegId, call_id: &[u8], remote_tag: &[u8]) -> bool {
        self.leg(leg)
            .is_some_and(|l| l.dialog.is_with(call_id, Some(remote_tag)))
    }

    /// Why somebody of this trunk, or whom the dialog's own trunk allows it, may not take this leg's
    /// place, as a code: 403 if the dialog is not of its trunk, 603 if it is over, 481 if it is not up yet, 486 if only an early one was to
    /// be replaced (RFC 3891 §3).
    pub(crate) fn may_replace(
        &self,
        leg: LegId,
        early_only: bool,
        by: Option<TrunkId>,
        core: &Core,
    ) -> Result<(), u16> {
        let l = self.leg(leg).ok_or(481_u16)?;
        if by.is_some_and(|by| l.trunk.id != by) {
            return Err(403);
        }
        match self.phase {
            Phase::Asking { .. } | Phase::Dialling => Err(481),
            Phase::Ended => Err(603),
            Phase::Talking(bridge) if bridge.other(leg).is_none() || l.over => Err(603),
            Phase::Talking(_) if early_only => Err(486),
            Phase::Talking(_) if self.change.is_some() => Err(491),
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
            set_headers: vec![field("Replaces", value), field(within::STAYS, stays)],
            ..Candidate::default()
        };
        self.queue.push_back(Try {
            order: Order {
                ask: self.asks,
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

    /// The trunk of the other side of the bridge.
    pub(crate) fn trunk_beyond(&self, leg: LegId) -> Option<&Trunk> {
        let other = self.other(leg)?;
        self.leg(other).map(|l| &*l.trunk)
    }

    /// Begins to replace a leg: the other one is asked to take the newcomer's session.
    pub(crate) fn replace(&mut self, leaves: LegId, newcomer: Newcomer, core: &mut Core) {
        let Newcomer {
            invite,
            server,
            flow,
            trunk,
            seat,
        } = newcomer;
        let Some(stays) = self.other(leaves) else {
            return;
        };
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
        self.attempts.push(Attempt::came_in(leg, core.now));
        self.note_request(LegId::B(id), false, &Method::Invite, core);
        self.change = Some(Box::new(Change {
            leaves,
            stays,
            step: Step::Joining {
                newcomer: LegId::B(id),
            },
            invite: Arc::new(invite),
            query: Box::default(),
            subscription: Subscription::none(),
            incoming: Some(Incoming { server, flow }),
            replaces: None,
            attempts_before: 0,
            tags_before: Vec::new(),
        }));
        self.join(LegId::B(id), core);
        self.rearm(core);
    }

    /// Answers the INVITE of a newcomer with what the party that stays has said.
    pub(super) fn accept_newcomer(&mut self, newcomer: LegId, answer: &Message, core: &mut Core) {
        let Some(change) = &self.change else { return };
        let (Some(incoming), invite) = (change.incoming, Arc::clone(&change.invite)) else {
            return;
        };
        let Some(leg) = self.leg_mut(newcomer) else {
            return;
        };
        let tag = leg.dialog.local_tag.to_string();
        let source = Some(incoming.flow.remote);
        let mut b = reply(&invite, 200, "OK", Some(&tag), source);
        for line in invite.lines().filter(|l| l.name == Name::RecordRoute) {
            b.raw_line(line.raw);
        }
        b.header(Name::Contact, leg.contact());
        b.header(Name::Allow, leg.allow());
        b.header(Name::Supported, SUPPORTED);
        if answer.has_body() {
            b.header(Name::ContentType, SDP);
        }
        let bytes = leg.finish_like(b, answer, core);
        core.respond(incoming.server, 200, bytes.clone());
        self.note_response(newcomer, true, 200, &Method::Invite, core);
        if let Some(leg) = self.leg_mut(newcomer) {
            leg.await_ack(&invite, bytes, incoming.flow, core);
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
        let b = reply(&change.invite, code, phrase, Some(&tag), source);
        core.respond(incoming.server, code, b.finish(None));
        self.note_response(newcomer, true, code, &Method::Invite, core);
    }
}
