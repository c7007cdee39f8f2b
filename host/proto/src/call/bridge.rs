//! The bridge: ACK, BYE and the requests that cross from one dialog to the other.
//!
//! Each leg acknowledges, numbers and ends its own dialog. What crosses is printed anew: method,
//! the headers that speak of the call, and the body.

use intertrunk_sip::{Message, Method, Name, reply};

use super::leg::{Body, cancel_patience};
use super::passing::{ALLOW, pass_headers};
use super::{Call, LegId, Phase, own};
use crate::core::Core;
use crate::event::EndedBy;
use crate::io::Flow;
use crate::time::Instant;
use crate::transaction::{ClientKey, Owner, Sending, ServerKey};

/// CSeq of an attempt's INVITE: the first request of its dialog.
const INVITE_CSEQ: u32 = 1;

/// One relayed request of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RelayId(pub(crate) u16);

/// A request that came in on one leg and went out on the other.
#[derive(Debug)]
pub(super) struct Relay {
    id: RelayId,
    from: LegId,
    to: LegId,
    flow: Flow,
    /// The request as it came, until it is answered.
    request: Option<Message>,
    server: ServerKey,
    client: ClientKey,
    cseq: u32,
    invite: bool,
    /// The other side has said 1xx: it may be sent CANCEL (RFC 3261 §9.1).
    heard: bool,
    cancel: Cancel,
    /// A re-INVITE without a final answer by then is given up, then forgotten.
    pub(super) until: Option<Instant>,
    /// Its 2xx was acknowledged, or waits for the ACK of the side that asked.
    accepted: bool,
    /// A re-INVITE with a body is acknowledged at once; one without waits for the other ACK.
    has_offer: bool,
}

/// How far a relayed re-INVITE has been given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cancel {
    No,
    Waits,
    Sent,
}

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
        self.leg(leg)
            .is_some_and(|l| l.dialog.is_with(message.call_id(), message.from_tag()))
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
        let fresh = match self.leg_mut(r.leg) {
            Some(leg) => leg.dialog.accept_cseq(r.request.cseq()),
            None => false,
        };
        if !fresh {
            return self.reply_plain(&r, 500, None, core);
        }
        match method {
            Method::Bye => self.bye(&r, core),
            Method::Invite
            | Method::Info
            | Method::Update
            | Method::Message
            | Method::Notify
            | Method::Options => self.relay(r, core),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Prack
            | Method::Refer
            | Method::Subscribe
            | Method::Publish
            | Method::Other(_) => self.reply_plain(&r, 405, None, core),
        }
        self.rearm(core);
    }

    /// One side hangs up.
    fn bye(&mut self, r: &InDialog, core: &mut Core) {
        self.reply_plain(r, 200, None, core);
        if let Some(leg) = self.leg_mut(r.leg) {
            leg.hung_up();
        }
        match self.phase {
            Phase::Asking { .. } | Phase::Dialling => self.caller_gave_up(core),
            Phase::Talking { with } => {
                let by = if r.leg == LegId::A {
                    EndedBy::Caller
                } else {
                    EndedBy::Callee
                };
                let other = if r.leg == LegId::A {
                    LegId::B(with)
                } else {
                    LegId::A
                };
                let cause = super::story::q850_in(&r.request).unwrap_or(16);
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
        match self.phase {
            Phase::Asking { .. } | Phase::Dialling => {
                self.refuse(&super::Refusal::of(480), EndedBy::Host, core);
            }
            Phase::Talking { with } => {
                self.hang_up(LegId::A, core);
                self.hang_up(LegId::B(with), core);
                self.end(EndedBy::Host, 200, 16, core);
            }
            Phase::Ended => {}
        }
        self.rearm(core);
    }

    /// Sends BYE, or has it wait: a callee must not hang up before the ACK of its 2xx has come
    /// (RFC 3261 §15).
    fn hang_up(&mut self, leg: LegId, core: &mut Core) {
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
        let owner = own(self);
        let Some(l) = self.leg_mut(leg) else { return };
        let (b, branch) = l.request(&Method::Bye, 70, core);
        let flow = l.dialog.flow();
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
        self.note_request(leg, true, &Method::Bye, core);
    }

    /// The other leg of the bridge, while there is one.
    fn other(&self, leg: LegId) -> Option<LegId> {
        match (self.phase, leg) {
            (Phase::Talking { with }, LegId::A) => Some(LegId::B(with)),
            (Phase::Talking { with }, LegId::B(id)) if with == id => Some(LegId::A),
            (
                Phase::Asking { .. } | Phase::Dialling | Phase::Talking { .. } | Phase::Ended,
                LegId::A | LegId::B(_),
            ) => None,
        }
    }

    /// Sends a request on to the other leg.
    fn relay(&mut self, r: InDialog, core: &mut Core) {
        let invite = *r.request.method() == Method::Invite;
        let Some(to) = self.other(r.leg) else {
            let code = if self.is_ended() { 481 } else { 500 };
            return self.reply_plain(&r, code, Some(5), core);
        };
        if invite && let Some(code) = self.glare(r.leg) {
            let retry = (code == 500).then_some(5);
            return self.reply_plain(&r, code, retry, core);
        }
        if self.relays.len() >= core.snapshot.limits.relays_max {
            return self.reply_plain(&r, 500, Some(5), core);
        }
        let source_trusted = self.leg(r.leg).is_some_and(|l| l.trunk.identity.trusted);
        let hops = match r.request.max_forwards() {
            Some(0) => return self.reply_plain(&r, 483, None, core),
            hops => hops.unwrap_or(70).saturating_sub(1),
        };
        if needs_contact(r.request.method())
            && let Some(from) = self.leg_mut(r.leg)
        {
            from.dialog.refresh_target(&r.request);
        }
        let Some(leg) = self.leg_mut(to) else { return };
        let (mut b, branch) = leg.request(r.request.method(), hops, core);
        if needs_contact(r.request.method()) {
            b.header(Name::Contact, leg.contact());
            b.header(Name::Allow, ALLOW);
        }
        pass_headers(
            &mut b,
            &r.request,
            leg.trunk.identity,
            source_trusted,
            |_| false,
        );
        let (flow, cseq) = (leg.dialog.flow(), leg.dialog.last_cseq());
        let bytes = super::attempt::finish_with_body(b, &r.request);
        let method = r.request.method().clone();
        let id = RelayId(self.next_relay);
        self.next_relay = self.next_relay.wrapping_add(1);
        let owner = Owner::Relay(self.key, id);
        self.open += 1;
        let client = core.send(Sending {
            flow,
            bytes,
            branch,
            invite,
            owner,
        });
        self.note_request(to, true, &method, core);
        self.relays.push(Relay {
            id,
            from: r.leg,
            to,
            flow: r.flow,
            has_offer: r.request.has_body(),
            request: Some(r.request),
            server: r.server,
            client,
            cseq,
            invite,
            heard: false,
            cancel: Cancel::No,
            until: invite.then(|| core.now + core.snapshot.timers.ring),
            accepted: false,
        });
    }

    /// Whether a re-INVITE from this leg has to wait (RFC 3261 §14.2): 491 if one of ours is on
    /// its way to it, 500 if one of its own is unanswered.
    fn glare(&self, from: LegId) -> Option<u16> {
        let mut pending = self
            .relays
            .iter()
            .filter(|r| r.invite && r.request.is_some());
        let unacked = self.leg(from).is_some_and(|l| l.unacked.is_some());
        match pending.next() {
            Some(relay) if relay.to == from => Some(491),
            Some(_) => Some(500),
            None if unacked => Some(500),
            None => None,
        }
    }

    /// An answer to a relayed request.
    pub(crate) fn relay_answered(&mut self, id: RelayId, response: &Message, core: &mut Core) {
        let Some(place) = self.relays.iter().position(|r| r.id == id) else {
            return;
        };
        let (to, from, invite) = (
            self.relays[place].to,
            self.relays[place].from,
            self.relays[place].invite,
        );
        let code = response.status();
        self.note_response(to, false, code, response.method(), core);
        if invite && (200..=299).contains(&code) {
            self.acknowledge_relayed(place, response, core);
        }
        let final_answer = code >= 200;
        let relay = &mut self.relays[place];
        relay.heard = true;
        if final_answer {
            relay.until = None;
        } else if relay.cancel == Cancel::Waits {
            self.give_up_relay(place, core);
            return self.rearm(core);
        } else if !relay.invite || code == 100 {
            return;
        }
        let relay = &mut self.relays[place];
        let (server, flow) = (relay.server, relay.flow);
        let request = if final_answer {
            relay.request.take()
        } else {
            relay.request.clone()
        };
        let Some(request) = request else { return };
        if (200..=299).contains(&code)
            && needs_contact(request.method())
            && let Some(leg) = self.leg_mut(to)
        {
            leg.dialog.refresh_target(response);
        }
        let Some(leg) = self.leg(from) else { return };
        let mut b = {
            let reason = String::from_utf8_lossy(response.reason());
            reply(&request, code, &reason, None, Some(flow.remote))
        };
        if needs_contact(request.method()) && code < 300 {
            b.header(Name::Contact, leg.contact());
            b.header(Name::Allow, ALLOW);
        }
        pass_headers(&mut b, response, leg.trunk.identity, false, |_| false);
        let bytes = super::attempt::finish_with_body(b, response);
        core.respond(server, code, bytes.clone());
        self.note_response(from, true, code, request.method(), core);
        if invite
            && (200..=299).contains(&code)
            && let Some(leg) = self.leg_mut(from)
        {
            leg.await_ack(&request, bytes, flow, core);
        }
        self.rearm(core);
    }

    /// The 2xx of a re-INVITE that we relayed: acknowledged now if the offer was ours, by the other
    /// side's ACK if the 2xx holds the offer; a repeated 2xx gets the same ACK again.
    fn acknowledge_relayed(&mut self, place: usize, response: &Message, core: &mut Core) {
        let relay = &mut self.relays[place];
        let (to, has_offer) = (relay.to, relay.has_offer);
        // We have told the side that asked something else by ourselves.
        let too_late = relay.request.is_none();
        let again = std::mem::replace(&mut relay.accepted, true);
        let Some(leg) = self.leg_mut(to) else { return };
        if again {
            leg.repeat_ack(response.cseq(), core);
            return;
        }
        leg.dialog.refresh_target(response);
        if !has_offer && !too_late {
            leg.owes_ack = Some(response.cseq());
            return;
        }
        leg.send_ack(response.cseq(), None, core);
        self.note_request(to, true, &Method::Ack, core);
        if too_late {
            // The two ends no longer agree about their media.
            self.end_by_host(core);
        }
    }

    /// Gives up a re-INVITE that we passed on: CANCEL as soon as it may be sent, and an end to
    /// waiting.
    fn give_up_relay(&mut self, place: usize, core: &mut Core) {
        let owner = own(self);
        let relay = &mut self.relays[place];
        relay.until = Some(core.now + cancel_patience(core));
        relay.cancel = Cancel::Waits;
        if relay.heard {
            relay.cancel = Cancel::Sent;
            let (client, to) = (relay.client, relay.to);
            self.send_cancel(client, owner, core);
            self.note_request(to, true, &Method::Cancel, core);
        }
    }

    /// Relayed re-INVITEs that have been waited for long enough.
    fn relay_clock(&mut self, core: &mut Core) {
        for place in 0..self.relays.len() {
            let relay = &mut self.relays[place];
            if relay.until.is_none_or(|at| at > core.now) {
                continue;
            }
            relay.until = None;
            if relay.cancel != Cancel::No {
                core.table.abandon(relay.client);
            } else {
                self.give_up_relay(place, core);
            }
            self.answer_relay(place, 408, core);
        }
    }

    /// Answers a relayed request by ourselves, unless it has its answer.
    fn answer_relay(&mut self, place: usize, code: u16, core: &mut Core) {
        let relay = &mut self.relays[place];
        let (from, server, flow) = (relay.from, relay.server, relay.flow);
        if let Some(request) = relay.request.take() {
            self.reply_server(from, &request, server, flow, code, core);
        }
    }

    /// A relayed request got no answer, or could not be sent.
    pub(crate) fn relay_silent(&mut self, id: RelayId, sent: bool, core: &mut Core) {
        if let Some(place) = self.relays.iter().position(|r| r.id == id) {
            self.answer_relay(place, if sent { 408 } else { 503 }, core);
        }
    }

    /// The transaction of a relayed request is over.
    pub(crate) fn relay_over(&mut self, id: RelayId) {
        if let Some(place) = self.relays.iter().position(|r| r.id == id) {
            let relay = self.relays.swap_remove(place);
            if relay.invite
                && let Some(leg) = self.leg_mut(relay.to)
            {
                leg.forget_ack(relay.cseq);
            }
        }
    }

    /// The INVITE transaction of an attempt is over: its ACK will not be asked for again.
    pub(crate) fn attempt_over(&mut self, id: super::AttemptId) {
        if let Some(attempt) = self.attempt_mut(id) {
            attempt.client = None;
            attempt.losers = Vec::new();
            attempt.leg.forget_ack(INVITE_CSEQ);
        }
    }

    /// CANCEL: of the call's INVITE, or of a relayed re-INVITE.
    pub(crate) fn cancelled(&mut self, server: ServerKey, core: &mut Core) {
        if server == self.a_server {
            self.note_request(LegId::A, false, &Method::Cancel, core);
            return self.caller_gave_up(core);
        }
        let pending = self
            .relays
            .iter()
            .position(|r| r.server == server && r.request.is_some() && r.cancel == Cancel::No);
        if let Some(place) = pending {
            self.give_up_relay(place, core);
            self.rearm(core);
        }
    }

    /// Requests that wait for an answer get one when the call ends (K8).
    pub(super) fn answer_relays(&mut self, core: &mut Core) {
        for place in 0..self.relays.len() {
            let relay = &self.relays[place];
            if relay.invite && relay.request.is_some() && relay.cancel == Cancel::No {
                self.give_up_relay(place, core);
            }
            self.answer_relay(place, 487, core);
        }
    }

    /// Timers of the bridge: a 2xx that nobody acknowledges, the longest duration.
    pub(super) fn bridge_clock(&mut self, core: &mut Core) {
        self.relay_clock(core);
        let mut silent = Vec::new();
        if self.a.clock(core) {
            silent.push(LegId::A);
        }
        for n in 0..self.attempts.len() {
            if self.attempts[n].leg.clock(core) {
                let id = u8::try_from(n).expect("attempts are bounded");
                silent.push(LegId::B(super::AttemptId(id)));
            }
        }
        for leg in silent {
            match self.phase {
                // RFC 3261 §13.3.1.4: without an ACK, the dialog is confirmed and then ended.
                Phase::Talking { .. } => self.end_by_host(core),
                Phase::Ended => {
                    let waits = self
                        .leg_mut(leg)
                        .is_some_and(|l| std::mem::take(&mut l.bye_waits));
                    if waits {
                        self.send_bye(leg, core);
                    }
                }
                Phase::Asking { .. } | Phase::Dialling => {}
            }
        }
        if self.ends_at.is_some_and(|at| at <= core.now) && !self.is_ended() {
            self.ends_at = None;
            self.end_by_host(core);
        }
    }

    fn reply_plain(&mut self, r: &InDialog, code: u16, retry_s: Option<u32>, core: &mut Core) {
        let phrase = intertrunk_sip::reason_phrase(code);
        let mut b = reply(&r.request, code, phrase, None, Some(r.flow.remote));
        if code == 405 {
            b.header(Name::Allow, ALLOW);
        }
        if let Some(seconds) = retry_s {
            b.header_fmt(Name::RetryAfter, format_args!("{seconds}"));
        }
        core.respond(r.server, code, b.finish(None));
        self.note_response(r.leg, true, code, r.request.method(), core);
    }

    fn reply_server(
        &mut self,
        leg: LegId,
        request: &Message,
        server: ServerKey,
        flow: Flow,
        code: u16,
        core: &mut Core,
    ) {
        let phrase = intertrunk_sip::reason_phrase(code);
        let bytes = reply(request, code, phrase, None, Some(flow.remote)).finish(None);
        core.respond(server, code, bytes);
        self.note_response(leg, true, code, request.method(), core);
    }
}

/// Requests that refresh a dialog's target carry a Contact (RFC 3261 §12.2.1.1, RFC 3311 §5.1).
fn needs_contact(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update)
}
