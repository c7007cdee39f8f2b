//! Requests of ours that a peer wants credentials for (RFC 3261 §22.2): sent again with those of its
//! trunk, once, and once more where only the nonce was too old. The other side of the call never sees a
//! challenge.
//!
//! What holds the request goes on as if the second were the first: an attempt with its timers, a relayed
//! request with the side that waits for its answer. A request that somebody has given up meanwhile is
//! not sent again.

use intertrunk_sip::{Message, Method, Token};

use super::relay::Cancel;
use super::{Call, LegId};
use crate::auth::again;
use crate::core::Core;
use crate::dialog::session_timer::Refreshing;
use crate::transaction::{Challenged, ClientKey, Owner, Sending};

impl Call {
    /// Sends the request again with credentials; gives it back if that is not to be done.
    pub(crate) fn challenged(&mut self, c: Challenged, core: &mut Core) -> Option<Challenged> {
        if c.response.status() == 422 {
            return self.ask_for_more(c, core);
        }
        let sent = Message::parse(c.request.clone()).expect("we have sent it");
        let ours = sent.from_tag().and_then(Token::parse);
        let found = ours.and_then(|tag| core.legs.get(&tag).copied());
        let leg = found
            .filter(|(key, _)| *key == self.key)
            .map(|(_, leg)| leg);
        let Some(leg) = leg.filter(|leg| self.wants_answer(c.owner, *leg, &sent)) else {
            return Some(c);
        };
        let login = self.leg(leg).and_then(|l| l.trunk.login.clone());
        let met = login.and_then(|login| login.meet(&sent, &c.response, core.rng.token()));
        let Some(met) = met else { return Some(c) };
        let cseq = self.next_cseq(leg, sent.cseq());
        let branch = core.rng.token();
        let method = sent.method();
        self.note_response(leg, false, c.response.status(), method, core);
        self.open += 1;
        let client = core.send(Sending {
            flow: c.flow,
            bytes: again::print(&sent, &met, cseq, branch),
            branch,
            invite: *method == Method::Invite,
            owner: match c.owner {
                Owner::Own(key, leg, _) => Owner::Own(key, leg, cseq),
                same => same,
            },
        });
        core.table.tried(client, c.tries + 1);
        self.note_request(leg, true, method, core);
        self.goes_on(c.owner, client, sent.cseq(), cseq);
        self.rearm(core);
        None
    }

    /// Whether somebody still waits for the answer to this request of ours.
    fn wants_answer(&self, owner: Owner, leg: LegId, sent: &Message) -> bool {
        match owner {
            Owner::Attempt(_, id) => self
                .attempts
                .get(usize::from(id.0))
                .is_some_and(|attempt| attempt.is_live()),
            Owner::Relay(_, id) => self
                .relays
                .iter()
                .any(|r| r.id == id && r.request.is_some() && r.cancel == Cancel::No),
            Owner::Own(_, leg, cseq) => self.waits_for_own(leg, cseq),
            Owner::Refresh(_, leg) => self
                .leg(leg)
                .and_then(|l| l.timer.as_ref())
                .is_some_and(|timer| timer.refreshing != Refreshing::No),
            // RFC 3261 §22.1: nobody may challenge a CANCEL.
            Owner::Call(_) => *sent.method() != Method::Cancel && self.leg(leg).is_some(),
            Owner::Trunk(..) | Owner::Registration(_) => false,
        }
    }

    /// A number that is new to each dialog of this leg.
    fn next_cseq(&mut self, leg: LegId, sent: u32) -> u32 {
        if let LegId::B(id) = leg
            && let Some(attempt) = self.attempt_mut(id)
        {
            let next = attempt.highest_cseq().max(sent) + 1;
            attempt.skip_cseq(next);
            return next;
        }
        let Some(l) = self.leg_mut(leg) else {
            return sent + 1;
        };
        let next = l.dialog.last_cseq().max(sent) + 1;
        l.dialog.skip_cseq(next);
        next
    }

    /// The second request stands for the first from now on.
    fn goes_on(&mut self, owner: Owner, client: ClientKey, before: u32, cseq: u32) {
        match owner {
            Owner::Attempt(_, id) => {
                if let Some(attempt) = self.attempt_mut(id) {
                    attempt.client = Some(client);
                    attempt.invite_cseq = cseq;
                    // A CANCEL has to wait for an answer to this one (RFC 3261 §9.1).
                    attempt.answered_at_all = false;
                }
            }
            Owner::Relay(_, id) => {
                if let Some(relay) = self.relays.iter_mut().find(|r| r.id == id) {
                    relay.sent_again(client, cseq);
                    let to = relay.to;
                    self.referral_renumbered(to, before, cseq);
                }
            }
            Owner::Own(..) => self.own_sent_again(client, cseq),
            Owner::Refresh(_, leg) => {
                let timer = self.leg_mut(leg).and_then(|l| l.timer.as_mut());
                if let Some(timer) = timer {
                    timer.cseq = cseq;
                    if let Refreshing::Invite { client: of, .. } = &mut timer.refreshing {
                        *of = client;
                    }
                }
            }
            Owner::Call(_) | Owner::Trunk(..) | Owner::Registration(_) => {}
        }
    }
}
