//! Session timers of a call (RFC 4028): each leg has its own, and the host is an end of both.
//!
//! The host answers what a peer asks for, even where it asks for nothing itself (K11), refreshes at
//! half the interval where that is its part, and ends the call on both legs when nobody has. A
//! refresh is an UPDATE without a body; towards a peer that does not take UPDATE, a re-INVITE with
//! the session as it was described last. Refreshes of a peer that change nothing end here; those
//! with a body are renegotiations and cross like any other (`relay`).

use std::time::Duration;

use intertrunk_sip::{Builder, Message, Method, Name, reply};

use super::bridge::InDialog;
use super::leg::{Leg, cancel_patience};
use super::offer::{Negotiation, after_glare};
use super::passing::SUPPORTED;
use super::{Call, LegId};
use crate::core::Core;
use crate::dialog::session_timer::{
    Due, Refreshing, SessionTimer, Terms, is_too_small, print_answer, print_request, takes_update,
    terms_for, terms_in,
};
use crate::transaction::{Challenged, Owner, Sending};

/// Q.850: recovery on timer expiry.
const TIMER_EXPIRED: u16 = 102;

/// A refresh that had to wait, or was refused, is tried again after this.
const AGAIN: Duration = Duration::from_secs(10);

impl Leg {
    /// Writes the session timer of a request that we send on this leg.
    pub(super) fn print_timer(&self, b: &mut Builder) {
        print_request(b, self.timer.as_deref(), &self.trunk.extensions);
    }

    /// Writes the session timer of our 2xx to a request on this leg, and runs it.
    pub(super) fn answer_timer(&mut self, b: &mut Builder, request: &Message, core: &Core) {
        let terms = terms_for(request, &self.trunk.extensions);
        if let Some(terms) = terms {
            print_answer(b, terms);
        }
        self.run_timer(terms, request, core);
    }

    /// Runs the timer that the peer's 2xx to our request agreed to.
    pub(super) fn take_timer(&mut self, answer: &Message, core: &Core) {
        let terms = terms_in(answer, &self.trunk.extensions);
        self.run_timer(terms, answer, core);
    }

    /// Stops the timer, except for a re-INVITE that still needs an end.
    pub(super) fn stop_timer(&mut self) {
        let timer = self.timer.take();
        self.timer = timer.filter(|t| matches!(t.refreshing, Refreshing::Invite { .. }));
    }

    fn run_timer(&mut self, terms: Option<Terms>, from: &Message, core: &Core) {
        self.timer = match (terms, self.timer.take()) {
            (Some(terms), before) => {
                let updates = takes_update(from);
                Some(SessionTimer::run(before, terms, updates, core.now))
            }
            // RFC 4028 §7.4: a refresh without a timer ends the timer, not our re-INVITE under way.
            (None, before) => before.filter(|t| t.refreshing != Refreshing::No),
        };
    }
}

impl Call {
    /// An INVITE or UPDATE within the dialog whose session interval is too small: 422. True if it
    /// was answered.
    pub(super) fn refuse_interval(&mut self, r: &InDialog, core: &mut Core) -> bool {
        let Some(leg) = self.leg(r.leg) else {
            return false;
        };
        let rules = leg.trunk.extensions;
        let refused =
            super::relay::needs_contact(r.request.method()) && is_too_small(&r.request, &rules);
        if refused {
            let phrase = intertrunk_sip::reason_phrase(422);
            let mut b = reply(&r.request, 422, phrase, None, Some(r.flow.remote));
            b.header_fmt(Name::MinSe, format_args!("{}", rules.min_se_s));
            core.respond(r.server, 422, b.finish(None));
            self.note_response(r.leg, true, 422, r.request.method(), core);
        }
        refused
    }

    /// An UPDATE without a body: the peer is alive, and may have moved. It ends here.
    pub(super) fn refreshed(&mut self, r: &InDialog, core: &mut Core) {
        let Some(leg) = self.leg_mut(r.leg) else {
            return;
        };
        leg.dialog.refresh_target(&r.request);
        let phrase = intertrunk_sip::reason_phrase(200);
        let mut b = reply(&r.request, 200, phrase, None, Some(r.flow.remote));
        b.header(Name::Contact, leg.contact());
        b.header(Name::Allow, leg.allow());
        leg.answer_timer(&mut b, &r.request, core);
        core.respond(r.server, 200, b.finish(None));
        self.note_response(r.leg, true, 200, &Method::Update, core);
    }

    /// Does what the session timers of both legs have due.
    pub(super) fn refresh_clock(&mut self, core: &mut Core) {
        for leg in self.legs_with_timer() {
            let timer = self.leg(leg).and_then(|l| l.timer.as_ref());
            match timer.map_or(Due::Nothing, |t| t.due(core.now)) {
                Due::Nothing => {}
                Due::Refresh => self.refresh(leg, core),
                Due::GiveUp(client) => {
                    core.table.abandon(client);
                    self.refresh_silent(leg, core);
                }
                Due::End => self.session_expired(leg, core),
            }
        }
    }

    fn legs_with_timer(&self) -> Vec<LegId> {
        let with_timer = self.legs().filter(|(_, l)| l.timer.is_some());
        with_timer.map(|(id, _)| id).collect()
    }

    /// Whether a refresh of ours that repeats the session is under way on either leg.
    pub(super) fn is_refreshing_by_invite(&self) -> bool {
        let mut timers = self.legs().filter_map(|(_, l)| l.timer.as_ref());
        timers.any(|t| matches!(t.refreshing, Refreshing::Invite { .. }))
    }

    fn session_expired(&mut self, leg: LegId, core: &mut Core) {
        if let Some(l) = self.leg_mut(leg)
            && let Some(timer) = l.timer.take()
            && let Refreshing::Invite { client, .. } = timer.refreshing
        {
            core.table.abandon(client);
        }
        if self.other(leg).is_some() {
            self.end_with_cause(TIMER_EXPIRED, core);
        }
    }

    /// Sends our refresh, unless the leg is busy with something that may be one itself.
    fn refresh(&mut self, leg: LegId, core: &mut Core) {
        let other = self.other(leg);
        let busy = self.negotiation() != Negotiation::Idle || other.is_none();
        // What we described the session as: what the other side has said.
        let said = other.and_then(|o| self.leg(o)).and_then(|o| o.said.clone());
        let owner = Owner::Refresh(self.key, leg);
        let until = core.now + cancel_patience(core);
        let Some(l) = self.leg_mut(leg) else { return };
        let busy = busy || l.unacked.is_some() || l.owes_ack.is_some();
        let Some(timer) = &mut l.timer else { return };
        let body = said.filter(|_| !timer.peer_updates);
        if busy {
            return timer.postpone(core.now, AGAIN);
        }
        // Without a body to repeat, UPDATE is the only refresh that cannot change the session.
        let (method, invite) = match body {
            Some(_) => (Method::Invite, true),
            None => (Method::Update, false),
        };
        let (mut b, branch) = l.request(&method, 70, core);
        b.header(Name::Contact, l.contact());
        b.header(Name::Allow, l.allow());
        b.header(Name::Supported, SUPPORTED);
        l.print_timer(&mut b);
        let (flow, cseq) = (l.dialog.flow(), l.dialog.last_cseq());
        let bytes = match &body {
            Some(body) => l.finish_session(b, body, core),
            None => b.finish(None),
        };
        self.open += 1;
        let client = core.send(Sending {
            flow,
            bytes,
            branch,
            invite,
            owner,
        });
        self.note_request(leg, true, &method, core);
        let timer = self.leg_mut(leg).and_then(|l| l.timer.as_mut());
        if let Some(timer) = timer {
            timer.cseq = cseq;
            timer.refreshing = match invite {
                true => Refreshing::Invite { client, until },
                false => Refreshing::Update,
            };
        }
    }

    /// An answer to our refresh.
    pub(crate) fn refresh_answered(&mut self, leg: LegId, response: &Message, core: &mut Core) {
        let code = response.status();
        let method = response.method().clone();
        self.note_response(leg, false, code, &method, core);
        let Some(l) = self.leg_mut(leg) else { return };
        if code < 200 {
            return;
        }
        if code < 300 && method == Method::Invite {
            if l.repeat_ack(response.cseq(), core) {
                return;
            }
            l.dialog.refresh_target(response);
            l.send_ack(response.cseq(), None, core);
            self.note_request(leg, true, &Method::Ack, core);
        }
        let talking = self.other(leg).is_some();
        let Some(l) = self.leg_mut(leg) else { return };
        let Some(timer) = &mut l.timer else { return };
        timer.refreshing = Refreshing::No;
        match code {
            200..=299 => {
                l.dialog.refresh_target(response);
                l.take_timer(response, core);
            }
            408 | 481 => self.lost(leg, core),
            491 => timer.postpone(core.now, after_glare(leg, core)),
            405 | 501 => {
                timer.peer_updates = false;
                timer.postpone(core.now, AGAIN);
            }
            _ => timer.postpone(core.now, AGAIN),
        }
        if !talking && let Some(l) = self.leg_mut(leg) {
            l.timer = None;
        }
        self.rearm(core);
    }

    /// Our refresh got no answer: the peer is gone (RFC 4028 §10).
    pub(crate) fn refresh_silent(&mut self, leg: LegId, core: &mut Core) {
        if let Some(l) = self.leg_mut(leg) {
            l.timer = None;
        }
        self.lost(leg, core);
    }

    /// The transaction of a refresh is over: its ACK will not be asked for again.
    pub(crate) fn refresh_over(&mut self, leg: LegId) {
        if let Some(l) = self.leg_mut(leg)
            && let Some(cseq) = l.timer.as_ref().map(|t| t.cseq)
        {
            l.forget_ack(cseq);
        }
    }

    /// 422 to the INVITE of an attempt (RFC 4028 §7.3): the same attempt asks once more, for what
    /// the peer puts up with. Gives it back if that is no way out.
    pub(super) fn ask_for_more(&mut self, c: Challenged, core: &mut Core) -> Option<Challenged> {
        let Owner::Attempt(_, id) = c.owner else {
            return Some(c);
        };
        let Some(attempt) = self.attempt_mut(id) else {
            return Some(c);
        };
        let asked = attempt.leg.trunk.extensions.session_timer_s.unwrap_or(0);
        let least = c.response.u32_header(Name::MinSe);
        let (Some(least), false, true) = (
            least.filter(|least| *least > asked),
            attempt.asked_again,
            attempt.is_live(),
        ) else {
            return Some(c);
        };
        let branch = core.rng.token();
        let dialog = &mut attempt.leg.dialog;
        let bytes = dialog.again(&c.request, branch, |b| {
            b.header_fmt(Name::SessionExpires, format_args!("{least}"));
            b.header_fmt(Name::MinSe, format_args!("{least}"));
        });
        attempt.asked_again = true;
        // A CANCEL has to wait for an answer to this one (RFC 3261 §9.1).
        attempt.answered_at_all = false;
        attempt.invite_cseq = attempt.leg.dialog.last_cseq();
        let client = core.send(Sending {
            flow: c.flow,
            bytes,
            branch,
            invite: true,
            owner: c.owner,
        });
        core.table.tried(client, c.tries);
        attempt.client = Some(client);
        self.open += 1;
        let leg = LegId::B(id);
        self.note_response(leg, false, c.response.status(), &Method::Invite, core);
        self.note_request(leg, true, &Method::Invite, core);
        self.rearm(core);
        None
    }
}
