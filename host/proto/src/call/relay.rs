//! Requests that cross the bridge: re-INVITE, UPDATE, INFO and the like come in on one leg, go out on
//! the other in a dialog of its own, and their answers come back.
//!
//! What crosses is printed anew: method, the headers that speak of the call, and the body.

use std::sync::Arc;

use bytes::Bytes;
use intertrunk_sip::{Line, Message, Method, Name, reason_phrase, reply};

use super::bridge::InDialog;
use super::join::joined_by;
use super::leg::cancel_patience;
use super::notify::{REFER_SUB, refuses_subscription};
use super::offer::{ends_call, negotiates};
use super::passing::{SUPPORTED, is_named};
use super::reason::Because;
use super::{AttemptId, Call, LegId};
use crate::core::Core;
use crate::dialog::reliable::has_tag;
use crate::io::Flow;
use crate::time::Instant;
use crate::transaction::{ClientKey, Owner, Sending, ServerKey};
use crate::within;

/// One relayed request of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RelayId(pub(crate) u16);

/// A request that came in on one leg and went out on the other.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) id: RelayId,
    pub(super) from: LegId,
    pub(super) to: LegId,
    flow: Flow,
    /// It opens an exchange of session descriptions.
    pub(super) negotiates: bool,
    /// A PRACK without an offer of its own: it is right, whatever the other leg says of its own.
    acknowledges: bool,
    /// The request as it came, until it is answered.
    pub(super) request: Option<Message>,
    pub(super) server: ServerKey,
    client: ClientKey,
    cseq: u32,
    invite: bool,
    /// The other side has said 1xx: it may be sent CANCEL (RFC 3261 §9.1).
    heard: bool,
    pub(super) cancel: Cancel,
    /// A re-INVITE without a final answer by then is given up, then forgotten.
    pub(super) until: Option<Instant>,
    /// Its 2xx was acknowledged, or waits for the ACK of the side that asked.
    accepted: bool,
    /// A re-INVITE with a body is acknowledged at once; one without waits for the other ACK.
    has_offer: bool,
    /// A re-INVITE whose provisional answers would have to be reliable: it gets none.
    wants_reliable: bool,
}

impl Relay {
    /// It went out a second time, in this transaction, with this number.
    pub(super) fn sent_again(&mut self, client: ClientKey, cseq: u32) {
        self.client = client;
        self.cseq = cseq;
        self.heard = false;
    }
}

/// How far a relayed re-INVITE has been given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cancel {
    No,
    Waits,
    Sent,
}

impl Call {
    /// Sends a request on to the other leg.
    pub(super) fn relay(&mut self, r: InDialog, core: &mut Core) {
        self.relay_as(r, &Anew::default(), core);
    }

    /// The same, with some of it in words of our own.
    pub(super) fn relay_as(&mut self, r: InDialog, anew: &Anew, core: &mut Core) {
        let over = |leg: LegId| self.leg(leg).is_some_and(|l| l.over);
        let gone = self.is_ended() || over(r.leg);
        let bridged = self.other(r.leg).filter(|to| !over(*to));
        let Some(to) = bridged.or_else(|| self.early_other(r.leg)) else {
            let (code, retry_s) = match () {
                () if gone => (481, None),
                // The party that stays is asked at this moment to take the newcomer's session.
                () if self.joins(r.leg) && negotiates(&r.request) => (491, None),
                () => (500, Some(5)),
            };
            return self.reply_plain(&r, code, retry_s, core);
        };
        if self.joins_itself(&r) {
            return self.reply_plain(&r, 482, None, core);
        }
        if self.refuse_interval(&r, core) {
            return;
        }
        if let Some(code) = self.glare(r.leg, &r.request) {
            let retry = (code == 500).then_some(5);
            return self.reply_plain(&r, code, retry, core);
        }
        if *r.request.method() == Method::Update && !r.request.has_body() {
            return self.refreshed(&r, core);
        }
        self.send_on(r, to, anew, core);
    }

    /// Sends the caller's PRACK on: it acknowledges this answer of the called side.
    pub(super) fn relay_prack(&mut self, r: InDialog, id: AttemptId, rseq: u32, core: &mut Core) {
        let cseq = self.attempt_mut(id).map_or(0, |a| a.invite_cseq);
        let anew = Anew {
            lines: vec![("RAck", format!("{rseq} {cseq} INVITE"))],
            body: None,
        };
        self.send_on(r, LegId::B(id), &anew, core);
    }

    fn send_on(&mut self, r: InDialog, to: LegId, anew: &Anew, core: &mut Core) {
        let method = r.request.method().clone();
        let invite = method == Method::Invite;
        let offered = self.invite.as_ref().is_some_and(|i| i.has_body());
        let acknowledges = method == Method::Prack && !(r.request.has_body() && offered);
        // Those that have their answer stay for a while, in case that it has to be given again.
        let waiting = self.relays.iter().filter(|r| r.request.is_some());
        // A PRACK is one of few anyway: as many as there are early dialogs.
        if waiting.count() >= core.snapshot.limits.relays_max && method != Method::Prack {
            return self.reply_plain(&r, 500, Some(5), core);
        }
        let from = self.leg(r.leg);
        let source = from.map(|l| Arc::clone(&l.trunk));
        // Who comes next on that side, if its call is just changing parties, or who is there.
        let party = from.map(|l| l.next_party(&r.request, core));
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
        let (mut b, branch) = leg.request(&method, hops, core);
        if has_contact(&method) {
            b.header(Name::Contact, leg.contact());
        }
        if needs_contact(&method) {
            b.header(Name::Allow, leg.allow());
            b.header(Name::Supported, SUPPORTED);
            leg.print_timer(&mut b);
        }
        if let Some(party) = party.filter(|_| invite) {
            leg.put_party(&mut b, party);
        }
        for (name, value) in &anew.lines {
            b.other(name, value);
        }
        if let Some(joins) = joined_by(&r).filter(|_| leg.dialog.flow().shard().is_some()) {
            b.other(within::JOINS, &String::from_utf8_lossy(joins));
        }
        if let Some(source) = &source {
            let crossing = leg.crossing(source);
            crossing.put(&mut b, &r.request, |line| anew.has(line));
        }
        let (flow, cseq) = (leg.dialog.flow(), leg.dialog.last_cseq());
        let bytes = match &anew.body {
            Some(body) => b.finish(Some(body)),
            None => leg.finish_like(b, &r.request, core),
        };
        if method == Method::Refer {
            self.refer_goes_on(&r, to, cseq);
        }
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
            negotiates: negotiates(&r.request) && !acknowledges,
            acknowledges,
            has_offer: r.request.has_body(),
            wants_reliable: invite && has_tag(&r.request, Name::Require),
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
            let cseq = relay.cseq;
            if *response.method() == Method::Refer
                && (code >= 300 || refuses_subscription(response))
            {
                self.referral_over(to, cseq);
            }
        } else if relay.cancel == Cancel::Waits {
            self.give_up_relay(place, core);
            return self.rearm(core);
        } else if !relay.invite || code == 100 || relay.wants_reliable {
            return;
        }
        let relay = &mut self.relays[place];
        let (server, flow) = (relay.server, relay.flow);
        let acknowledges = relay.acknowledges;
        let request = if final_answer {
            relay.request.take()
        } else {
            relay.request.clone()
        };
        let Some(request) = request else { return };
        let bridged = self.other(to).is_some();
        if (200..=299).contains(&code)
            && needs_contact(request.method())
            && let Some(leg) = self.leg_mut(to)
        {
            leg.dialog.refresh_target(response);
            leg.hear(response);
            if bridged {
                leg.take_timer(response, core);
            }
        }
        let source = self.leg(to).map(|l| Arc::clone(&l.trunk));
        let code = match code {
            300.. if acknowledges => 200,
            code => code_for_asker(code, bridged),
        };
        let Some(leg) = self.leg_mut(from) else {
            return;
        };
        if (200..=299).contains(&code) && needs_contact(request.method()) {
            leg.hear(&request);
            leg.learn_party(&request, core);
        }
        let mut b = {
            let reason = String::from_utf8_lossy(response.reason());
            let same = code == response.status();
            let reason = if same { &*reason } else { reason_phrase(code) };
            reply(&request, code, reason, None, Some(flow.remote))
        };
        if has_contact(request.method()) && code < 300 {
            b.header(Name::Contact, leg.contact());
        }
        if needs_contact(request.method()) && code < 300 {
            b.header(Name::Allow, leg.allow());
        }
        if bridged && needs_contact(request.method()) && (200..=299).contains(&code) {
            leg.answer_timer(&mut b, &request, core);
        }
        if let Some(source) = &source {
            leg.crossing(source).put(&mut b, response, |_| false);
        }
        if refuses_subscription(response) {
            b.other(REFER_SUB, "false");
        }
        let bytes = leg.finish_like(b, response, core);
        core.respond(server, code, bytes.clone());
        self.note_response(from, true, code, request.method(), core);
        if invite
            && (200..=299).contains(&code)
            && let Some(leg) = self.leg_mut(from)
        {
            leg.await_ack(&request, bytes, flow, core);
        }
        if ends_call(request.method(), code) {
            self.lost(to, core);
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
    pub(super) fn give_up_relay(&mut self, place: usize, core: &mut Core) {
        let relay = &mut self.relays[place];
        relay.until = Some(core.now + cancel_patience(core));
        relay.cancel = Cancel::Waits;
        if relay.heard {
            relay.cancel = Cancel::Sent;
            let (client, to) = (relay.client, relay.to);
            self.send_cancel(client, &Because::Unsaid, core);
            self.note_request(to, true, &Method::Cancel, core);
        }
    }

    /// Relayed re-INVITEs that have been waited for long enough.
    pub(super) fn relay_clock(&mut self, core: &mut Core) {
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
            // The peer has spoken and may still: 408 would say that the call is gone (RFC 5057 §5.1).
            self.answer_relay(place, 504, core);
        }
    }

    /// Answers a relayed request by ourselves, unless it has its answer.
    pub(super) fn answer_relay(&mut self, place: usize, code: u16, core: &mut Core) {
        let relay = &mut self.relays[place];
        let (from, server, flow) = (relay.from, relay.server, relay.flow);
        let acknowledges = relay.acknowledges;
        let (to, cseq) = (relay.to, relay.cseq);
        if let Some(request) = relay.request.take() {
            let code = if acknowledges { 200 } else { code };
            if *request.method() == Method::Refer {
                self.referral_over(to, cseq);
            }
            self.reply_server(from, &request, server, flow, code, core);
        }
    }

    /// A relayed request got no answer, or could not be sent. Without an answer the peer is gone.
    pub(crate) fn relay_silent(&mut self, id: RelayId, sent: bool, core: &mut Core) {
        let Some(place) = self.relays.iter().position(|r| r.id == id) else {
            return;
        };
        let (to, code) = (self.relays[place].to, if sent { 408 } else { 503 });
        let bridged = self.other(to).is_some();
        let request = self.relays[place].request.as_ref();
        let code = code_for_asker(code, bridged);
        let gone = request.is_some_and(|m| ends_call(m.method(), code));
        self.answer_relay(place, code, core);
        if gone {
            self.lost(to, core);
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

    /// The offers of this leg get an answer now.
    pub(super) fn answer_offers_of(&mut self, leg: LegId, core: &mut Core) {
        for place in 0..self.relays.len() {
            if self.relays[place].from == leg && self.relays[place].negotiates {
                self.answer_relay(place, 500, core);
            }
        }
    }

    /// An attempt is over: what was asked of it gets an answer.
    pub(super) fn drop_relays_to(&mut self, leg: LegId, core: &mut Core) {
        for place in 0..self.relays.len() {
            if self.relays[place].to == leg {
                self.answer_relay(place, 500, core);
            }
        }
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
        let phrase = reason_phrase(code);
        let bytes = reply(request, code, phrase, None, Some(flow.remote)).finish(None);
        core.respond(server, code, bytes);
        self.note_response(leg, true, code, request.method(), core);
    }
}

/// What is said in words of our own where a request crosses.
#[derive(Debug, Default)]
pub(super) struct Anew {
    /// Header lines; none of these names crosses.
    pub(super) lines: Vec<(&'static str, String)>,
    /// The body, if it is not the request's.
    pub(super) body: Option<Bytes>,
}

impl Anew {
    fn has(&self, line: &Line<'_>) -> bool {
        self.lines.iter().any(|(name, _)| is_named(line, name))
    }
}

/// What the side that asked hears of a failure: before the answer, one early dialog that is gone is
/// not the call; and a session interval is each leg's own affair.
fn code_for_asker(code: u16, bridged: bool) -> u16 {
    match code {
        408 | 481 if !bridged => 500,
        // Whose password that would be, only we and the peer know.
        401 | 407 => 403,
        422 => 500,
        _ => code,
    }
}

/// Requests that describe the session refresh the dialog's target (RFC 3261 §12.2.1.1, RFC 3311 §5.1).
pub(super) fn needs_contact(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update)
}

/// Those and the ones of subscriptions carry a Contact (RFC 3515 §2.2, RFC 6665 §8.1.1).
fn has_contact(method: &Method) -> bool {
    let of_subscription = matches!(method, Method::Refer | Method::Subscribe | Method::Notify);
    of_subscription || needs_contact(method)
}
