//! The bridge: ACK, BYE, CANCEL, and what ends an answered call.
//!
//! Each leg acknowledges, numbers and ends its own dialog.

use intertrunk_sip::{Message, Method, Name, Token, reply};

use super::leg::{Body, Leg};
use super::reason::{Because, q850_in};
use super::relay::Cancel;
use super::{Call, LegId, Phase};
use crate::core::Core;
use crate::event::EndedBy;
use crate::io::Flow;
use crate::transaction::ServerKey;

/// A request within a dialog of this call.
pub(crate) struct InDialog {
    pub(crate) leg: LegId,
    pub(crate) request: Message,
    pub(crate) flow: Flow,
    pub(crate) server: ServerKey,
}

impl Call {
    /// The leg that this dialog is, if the message really belongs to it.
    pub(crate) fn owns(&self, leg: LegId, message: &Message) -> bool {
        self.is_of(leg, message.call_id(), message.from_tag())
    }

    /// Whether this leg has a dialog that is named so, be it an early one.
    pub(crate) fn is_of(&self, leg: LegId, call_id: &[u8], tag: Option<&[u8]>) -> bool {
        let early = || match leg {
            LegId::A => false,
            LegId::B(id) => {
                let attempt = self.attempts.get(usize::from(id.0));
                attempt.is_some_and(|a| *a.leg.dialog.call_id == *call_id && a.has_early(tag))
            }
        };
        self.leg(leg)
            .is_some_and(|l| l.dialog.is_with(call_id, tag) || early())
    }

    /// The ACK of a 2xx that we sent.
    pub(crate) fn acknowledged(&mut self, leg: LegId, ack: &Message, core: &mut Core) {
        let Some(l) = self.leg_mut(leg) else { return };
        if l.unacked.as_ref().is_none_or(|u| u.cseq != ack.cseq()) {
            return;
        }
        l.unacked = None;
        let bye_waits = std::mem::take(&mut l.bye_waits);
        self.note_request(leg, false, &Method::Ack, core);
        if bye_waits {
            return self.send_bye(leg, core);
        }
        if let Some(l) = self.leg_mut(leg) {
            l.hear(ack);
        }
        if self.picks_up(leg) && self.own_offer.is_none() {
            return self.offer_caller(leg, core);
        }
        if let Some(other) = self.other(leg)
            && let Some(o) = self.leg_mut(other)
            && let Some(cseq) = o.owes_ack
        {
            o.send_ack(cseq, Body::of(ack).as_ref(), core);
            self.note_request(other, true, &Method::Ack, core);
        }
    }

    /// A request within one of the dialogs. ACK and CANCEL do not come here.
    pub(crate) fn requested(&mut self, r: InDialog, core: &mut Core) {
        let method = r.request.method().clone();
        self.note_request(r.leg, false, &method, core);
        if r.leg == LegId::A && self.is_past(&r.request) {
            let code = if method == Method::Bye { 200 } else { 481 };
            return self.reply_plain(&r, code, None, core);
        }
        self.turn_to(r.leg, &r.request);
        let fresh = match self.leg_mut(r.leg) {
            Some(leg) => {
                leg.dialog.heard_on(r.flow);
                leg.dialog.accept_cseq(r.request.cseq())
            }
            None => false,
        };
        // Deviation: what a later request has overtaken is refused (RFC 3261 §12.2.2), but for PRACK,
        // whose RAck says what it acknowledges, and BYE, after which nothing comes: neither has a
        // second try, and a call would go on that one side has left.
        if !fresh && !matches!(method, Method::Prack | Method::Bye) {
            return self.reply_plain(&r, 500, None, core);
        }
        let taken = self
            .leg(r.leg)
            .is_some_and(|leg| leg.trunk.takes(&method, true));
        match method {
            _ if !taken => self.reply_plain(&r, 405, None, core),
            Method::Bye => self.bye(&r, core),
            Method::Refer => self.refer(r, core),
            Method::Subscribe => self.subscribe(r, core),
            Method::Notify => self.notified(r, core),
            Method::Prack => self.pracked(r, core),
            Method::Invite | Method::Info | Method::Update | Method::Message | Method::Options => {
                self.relay(r, core);
            }
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Publish
            | Method::Other(_) => self.reply_plain(&r, 405, None, core),
        }
        self.rearm(core);
    }

    /// One side hangs up.
    fn bye(&mut self, r: &InDialog, core: &mut Core) {
        // RFC 3261 §15: a called side refuses; it does not hang up before it has answered.
        if r.leg != LegId::A && self.phase == Phase::Dialling && !self.picks_up(r.leg) {
            return self.reply_plain(r, 481, None, core);
        }
        self.reply_plain(r, 200, None, core);
        if let Some(leg) = self.leg_mut(r.leg) {
            leg.hung_up();
        }
        match self.phase {
            Phase::Dialling if self.picks_up(r.leg) => self.pickup_failed(core),
            Phase::Asking { .. } | Phase::Dialling => self.caller_gave_up(&r.request, core),
            Phase::Talking(bridge) => {
                let leaves = self.change.as_ref().map(|c| c.leaves);
                let Some(other) = bridge.other(r.leg).filter(|_| leaves != Some(r.leg)) else {
                    // It is leaving anyway, has left, or has not come in yet (`change`).
                    return self.settle_ack(r.leg, core);
                };
                self.drop_change(core);
                let by = bridge.part_of(r.leg);
                let cause = q850_in(&r.request).unwrap_or(16);
                self.why = Because::said_in(&r.request).unwrap_or(Because::Cause(cause));
                self.hang_up(other, core);
                // The side that hung up may still wait for our ACK (its 2xx held an offer).
                self.settle_ack(r.leg, core);
                self.end(by, 200, cause, core);
            }
            Phase::Ended => {}
        }
    }

    /// Ends an answered call from our side: both legs get a BYE.
    pub(crate) fn end_by_host(&mut self, core: &mut Core) {
        self.end_with_cause(16, core);
    }

    /// The peer of this leg has no such call any more, or says nothing: the call ends on both legs
    /// (RFC 3261 §12.2.1.2). Q.850 cause 41: temporary failure.
    pub(super) fn lost(&mut self, leg: LegId, core: &mut Core) {
        if self.other(leg).is_some() {
            self.end_with_cause(41, core);
        }
    }

    pub(super) fn end_with_cause(&mut self, q850: u16, core: &mut Core) {
        match self.phase {
            Phase::Asking { .. } | Phase::Dialling => {
                self.refuse(&super::Refusal::of(480), EndedBy::Host, core);
            }
            Phase::Talking(bridge) => {
                self.drop_change(core);
                self.why = Because::Cause(q850);
                self.hang_up(bridge.near, core);
                self.hang_up(bridge.far, core);
                self.end(EndedBy::Host, 200, q850, core);
            }
            Phase::Ended => {}
        }
        self.rearm(core);
    }

    /// Sends BYE, or has it wait: a callee must not hang up before the ACK of its 2xx has come
    /// (RFC 3261 §15).
    pub(super) fn hang_up(&mut self, leg: LegId, core: &mut Core) {
        if self.leg(leg).is_none_or(|l| l.over) {
            return;
        }
        self.settle_ack(leg, core);
        let waits = self.leg_mut(leg).is_some_and(|l| {
            l.bye_waits = l.unacked.is_some();
            l.bye_waits
        });
        if !waits {
            self.send_bye(leg, core);
        }
    }

    /// A 2xx that was to be acknowledged with the other side's answer is acknowledged without.
    fn settle_ack(&mut self, leg: LegId, core: &mut Core) {
        if let Some(l) = self.leg_mut(leg)
            && let Some(cseq) = l.owes_ack
        {
            l.send_ack(cseq, None, core);
            self.note_request(leg, true, &Method::Ack, core);
        }
    }

    fn send_bye(&mut self, leg: LegId, core: &mut Core) {
        let Some(l) = self.leg_mut(leg) else { return };
        l.over = true;
        let (mut b, branch) = l.request(&Method::Bye, 70, core);
        let flow = l.dialog.flow();
        self.why.or_normal().put(&mut b);
        let bytes = b.finish(None);
        self.send_own(flow, bytes, branch, core);
        self.note_request(leg, true, &Method::Bye, core);
    }

    /// The other leg of the bridge, while there is one.
    pub(super) fn other(&self, leg: LegId) -> Option<LegId> {
        match self.phase {
            Phase::Talking(bridge) => bridge.other(leg),
            Phase::Asking { .. } | Phase::Dialling | Phase::Ended => None,
        }
    }

    /// The INVITE transaction of an attempt is over: its ACK will not be asked for again.
    pub(crate) fn attempt_over(&mut self, id: super::AttemptId) {
        if let Some(attempt) = self.attempt_mut(id) {
            attempt.client = None;
            attempt.losers = Vec::new();
            attempt.leg.forget_ack(attempt.invite_cseq);
        }
    }

    /// CANCEL: of the call's INVITE, of a newcomer's, or of a relayed re-INVITE.
    pub(crate) fn cancelled(&mut self, server: ServerKey, cancel: &Message, core: &mut Core) {
        if server == self.a_server {
            self.note_request(LegId::A, false, &Method::Cancel, core);
            return self.caller_gave_up(cancel, core);
        }
        let pending = self
            .relays
            .iter()
            .position(|r| r.server == server && r.request.is_some() && r.cancel == Cancel::No);
        if let Some(place) = pending {
            self.give_up_relay(place, core);
            self.rearm(core);
        } else if self.newcomer_of(server).is_some() {
            self.give_up_own(core);
            self.change_failed(487, core);
            self.rearm(core);
        }
    }

    /// Our tag in the answer to an INVITE that began one of our dialogs.
    pub(crate) fn tag_for(&self, server: ServerKey) -> Option<Token> {
        let leg = match server == self.a_server {
            true => LegId::A,
            false => self.newcomer_of(server)?,
        };
        self.leg(leg).map(|l| l.dialog.local_tag)
    }

    /// Timers of the bridge: a 2xx that nobody acknowledges, the longest duration.
    pub(super) fn bridge_clock(&mut self, core: &mut Core) {
        self.relay_clock(core);
        let clocked = self.legs_mut().map(|(id, leg)| (id, leg.clock(core)));
        let silent: Vec<LegId> = clocked.filter(|(_, s)| *s).map(|(id, _)| id).collect();
        for leg in silent {
            let leaves = |l: &mut Leg| std::mem::take(&mut l.bye_waits);
            if self.leg_mut(leg).is_some_and(leaves) {
                // It has no part in the bridge any more, or there is none.
                self.send_bye(leg, core);
                continue;
            }
            match self.phase {
                // RFC 3261 §13.3.1.4: without an ACK, the dialog is confirmed and then ended.
                Phase::Talking(_) => self.end_by_host(core),
                Phase::Dialling if self.picks_up(leg) => self.pickup_failed(core),
                Phase::Asking { .. } | Phase::Dialling | Phase::Ended => {}
            }
        }
        if self.ends_at.is_some_and(|at| at <= core.now) && !self.is_ended() {
            self.ends_at = None;
            self.end_by_host(core);
        }
    }

    pub(super) fn reply_plain(
        &mut self,
        r: &InDialog,
        code: u16,
        retry_s: Option<u32>,
        core: &mut Core,
    ) {
        let phrase = intertrunk_sip::reason_phrase(code);
        let mut b = reply(&r.request, code, phrase, None, Some(r.flow.remote));
        if code == 405 {
            let leg = self.leg(r.leg).expect("a request comes in on a leg");
            b.header(Name::Allow, leg.allow());
        }
        if let Some(seconds) = retry_s {
            b.header_fmt(Name::RetryAfter, format_args!("{seconds}"));
        }
        core.respond(r.server, code, b.finish(None));
        self.note_response(r.leg, true, code, r.request.method(), core);
    }
}
