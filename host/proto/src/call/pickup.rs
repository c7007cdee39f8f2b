//! Call pickup: a newcomer takes the place of a called side that still rings (RFC 3891 §3).
//!
//! ```text
//!   newcomer                          host                     caller
//!      |----INVITE, Replaces, offer---->|  CANCEL to all that ring
//!      |<---200, answer without media---|
//!      |----ACK------------------------>|
//!      |<---INVITE, the caller's offer--|
//!      |----200, answer---------------->|----200, answer--------->|
//! ```
//! The caller and the newcomer have both made an offer, and neither can be answered with the other's
//! (RFC 3264 §6): so there are two exchanges with the newcomer. It has accepted the call by asking for
//! it, and nobody else rings any more; if it does not come to terms the call ends.

use bytes::Bytes;
use intertrunk_sip::{Message, sdp};

use super::leg::{Body, SDP, describes};
use super::outcome::Ending;
use super::reason::Because;
use super::replaces::Newcomer;
use super::{Call, LegId, Refusal};
use crate::core::Core;
use crate::event::EndedBy;

impl Call {
    /// Whether this leg is a newcomer that is being connected with the caller.
    pub(super) fn picks_up(&self, leg: LegId) -> bool {
        self.pickup.map(LegId::B) == Some(leg)
    }

    /// Why a newcomer may not have the call of this leg, which is not answered, as a code.
    pub(super) fn may_pick_up(&self, leg: LegId, invite: &Message, core: &Core) -> Result<(), u16> {
        let rings = match leg {
            LegId::A => false,
            LegId::B(id) => self
                .attempts
                .get(usize::from(id.0))
                .is_some_and(|a| a.is_live()),
        };
        match () {
            () if !rings || self.pickup.is_some() => Err(481),
            () if self.attempts.len() >= core.snapshot.limits.attempts_max => Err(500),
            // A session of the caller's waits for its PRACK: nothing else can be said before.
            () if self.holds_success() => Err(491),
            // Nobody has described a session, or somebody in a form that is not ours to answer.
            () if !describes(invite) && (invite.has_body() || self.a.said.is_none()) => Err(488),
            () => Ok(()),
        }
    }

    /// Takes the call from all that ring, and answers the newcomer.
    pub(super) fn pick_up(&mut self, newcomer: Newcomer, core: &mut Core) {
        self.queue.clear();
        self.give_up_all(&Because::Elsewhere, core);
        let (id, invite, incoming) = self.come_in(newcomer, core);
        self.pickup = Some(id);
        let leg = LegId::B(id);
        let offered = self.leg(leg).and_then(|l| l.said.as_ref());
        let bytes = match offered {
            Some(offer) => Some(sdp::idle_answer(offer).into()),
            None => self.a.said.clone(),
        };
        let body = bytes.map(|bytes| Body {
            content_type: Bytes::from_static(SDP.as_bytes()),
            bytes,
        });
        self.answer_in(leg, &invite, incoming, body.as_ref(), core);
        self.rearm(core);
    }

    /// The newcomer has acknowledged: now it is asked to take the caller's session.
    pub(super) fn offer_caller(&mut self, newcomer: LegId, core: &mut Core) {
        self.offer_to(newcomer, core);
        self.rearm(core);
    }

    /// The newcomer has taken it.
    pub(super) fn picked_up(&mut self, newcomer: LegId, response: &Message, core: &mut Core) {
        let Some(id) = self.pickup.take() else { return };
        if self.a.said.is_some() {
            self.ack_own(newcomer, response, core);
        } else if let Some(leg) = self.leg_mut(newcomer) {
            // This is the offer, and the caller's ACK brings the answer (K9).
            leg.owes_ack = Some(response.cseq());
        }
        self.record_attempt(id, &Ending::of_response(response), core);
        self.connect(id, response, None, None, core);
    }

    /// The newcomer has gone, or does not take it: there is nobody else.
    pub(super) fn pickup_failed(&mut self, core: &mut Core) {
        self.refuse(&Refusal::of(480), EndedBy::Callee, core);
    }
}
