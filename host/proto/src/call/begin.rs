//! The beginning of a call: the INVITE is taken, a policy is asked, its verdict is done.

use std::collections::VecDeque;
use std::sync::Arc;

use intertrunk_sip::{Message, Method, Replaces, reply};
use smallvec::SmallVec;

use super::leg::Leg;
use super::reason::Because;
use super::story::Story;
use super::tries::tries_of;
use super::{Call, CallKey, LegId, Phase, Refusal};
use crate::ask::{Answer, Candidate, Cause, Plan, PolicyFault, Tag, Verdict};
use crate::core::Core;
use crate::dialog::Dialog;
use crate::event::{EndedBy, Event};
use crate::io::{AskId, CallId, Flow, Output, TrunkId};
use crate::judge::{Judged, judge};
use crate::query;
use crate::snapshot::{Fallback, Policy};
use crate::timer::Alarm;
use crate::trunk::{Seat, Trunk};

/// An INVITE that may become a call: identified, checked, with a place on its trunk.
pub(crate) struct Arrival {
    pub(crate) invite: Message,
    pub(crate) flow: Flow,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) seat: Seat,
    pub(crate) origin: u64,
    /// The dialog whose place it wants, if another shard has that.
    pub(crate) replaces: Option<Replaces>,
}

impl Call {
    /// Takes the INVITE: 100 at once, then the question.
    pub(crate) fn begin(key: CallKey, arrival: Arrival, core: &mut Core) -> Call {
        let Arrival {
            invite,
            flow,
            trunk,
            policy,
            seat,
            origin,
            replaces,
        } = arrival;
        let id = CallId(core.rng.next_u64());
        let tag = core.rng.token();
        let a_server = core.table.open(&invite, flow, Some(key));
        core.legs.insert(tag, (key, LegId::A));
        core.origins.insert(origin);
        let mut query = query::of_invite(&invite, &trunk, flow.remote, &id.to_string());
        query.seed = core.rng.next_u64();
        query.explain = core.snapshot.explain;
        query.call.emergency = core.snapshot.emergency.is_called_by(invite.request_uri());
        let dialog = Dialog::of_invite(&invite, tag, flow, &core.snapshot.listeners);
        let mut a = Leg::new(Arc::clone(&trunk), dialog, seat);
        a.hear(&invite);
        let mut call = Call {
            id,
            key,
            phase: Phase::Dialling,
            policy,
            asks: 0,
            pins: SmallVec::new(),
            inquiry: None,
            story: Story::begun(core.now, &query.call),
            query: Some(Box::new(query)),
            a,
            a_flow: flow,
            origin,
            a_server,
            invite: Some(Arc::new(invite)),
            attempts: Vec::new(),
            early: None,
            more_tags: Vec::new(),
            speaks: None,
            queue: VecDeque::new(),
            failure: None,
            plan: Plan::default(),
            relays: Vec::new(),
            next_relay: 0,
            ends_at: None,
            change: None,
            pickup: None,
            own_offer: None,
            redirects: 0,
            transfers: 0,
            referrals: Vec::new(),
            why: Because::Unsaid,
            routed_as_emergency: false,
            open: 1,
            alarm: Alarm::default(),
        };
        core.event(Event::CallStarted {
            call: id,
            ingress: trunk.id,
        });
        call.note_request(LegId::A, false, &Method::Invite, core);
        call.send_trying(core);
        match replaces {
            Some(replaces) => call.dial_within(&replaces, trunk.id, core),
            None => call.ask(Cause::NewCall, core),
        }
        call
    }

    /// 100 Trying stops the caller's retransmissions; it carries no tag (RFC 3261 §8.2.6.1).
    fn send_trying(&mut self, core: &mut Core) {
        if let Some(invite) = &self.invite {
            let trying = reply(invite, 100, "Trying", None, Some(self.a_flow.remote)).finish(None);
            core.respond(self.a_server, 100, trying);
            self.note_response(LegId::A, true, 100, &Method::Invite, core);
        }
    }

    /// Puts the question. Its deadline is a timer of ours: the shell may be late, or never answer.
    pub(super) fn ask(&mut self, cause: Cause, core: &mut Core) {
        let Some(invite) = self.wanted() else {
            return;
        };
        if self.asks >= core.snapshot.limits.asks_max {
            if self.route_emergency(core) {
                return;
            }
            let refusal = Refusal {
                q850: Some(25),
                ..Refusal::of(500)
            };
            return self.refuse(&refusal, EndedBy::Host, core);
        }
        self.asks += 1;
        let ask = AskId(core.rng.next_u64());
        let until = core.now + self.policy.deadline + core.snapshot.timers.ask_grace;
        self.now_asking(ask, until);
        let Some(question) = self.question_mut() else {
            return;
        };
        question.cause = cause;
        let query = Box::new(question.clone());
        core.asks.insert(ask, self.key);
        core.out.push_back(Output::Ask {
            ask,
            policy: self.policy.id,
            query,
            invite,
            pin: self.pin().cloned(),
        });
        self.rearm(core);
    }

    /// The answer has come. False if this call is not waiting for it.
    pub(crate) fn answered(&mut self, ask: AskId, answer: Answer, core: &mut Core) -> bool {
        if self.asking().is_none_or(|(mine, _)| mine != ask) {
            return false;
        }
        self.story.decision_us = self.story.decision_us.saturating_add(answer.decision_us);
        self.story.because.extend(answer.because);
        self.story.looked_up.extend(answer.looked_up);
        if let Some(pin) = answer.pin {
            self.pins.retain(|it| it.policy != pin.policy);
            self.pins.push(pin);
        }
        match answer.outcome {
            Ok(verdict) => self.obey(verdict, core),
            Err(fault) => self.fall_back(fault, core),
        }
        self.rearm(core);
        true
    }

    fn obey(&mut self, verdict: Verdict, core: &mut Core) {
        let policy = Arc::clone(&self.policy);
        if verdict == Verdict::Pass
            && let Some(next) = self.ingress().next_policy(policy.id)
            && let Some(next) = core.snapshot.policy(next).cloned()
        {
            if core.snapshot.explain {
                let line = format!("{} passes, {} decides", policy.name, next.name);
                self.story.because.push(line);
            }
            return self.hand_on(next, core);
        }
        let (judged, notes) = judge(verdict, &self.ingress(), &core.snapshot, Some(&policy));
        if let Judged::Fault(fault) = judged {
            self.story.refused.extend(notes);
            return self.fall_back(fault, core);
        }
        core.event(Event::Decided {
            call: self.id,
            generation: self.pin().map_or(0, |p| p.generation),
            fault: None,
            refused: notes.clone(),
        });
        self.story.refused.extend(notes);
        self.carry_out(judged, core);
    }

    pub(super) fn carry_out(&mut self, judged: Judged, core: &mut Core) {
        match judged {
            Judged::Connect { accepted, mut plan } => {
                if let Some(question) = self.question_mut() {
                    question.cookie.clone_from(&plan.cookie);
                }
                self.tell_meters(&plan, core);
                if let Some(change) = &self.change {
                    plan.tags.splice(0..0, change.tags_before.iter().cloned());
                }
                self.plan = plan;
                let emergency = self.is_emergency();
                self.queue = tries_of(accepted, self.asks, emergency, core);
                self.now_dialling();
                self.dial_next(None, core);
            }
            Judged::Reject(r) => {
                let refusal = Refusal {
                    code: r.code,
                    phrase: r.phrase.as_deref(),
                    q850: r.q850,
                    retry_after_s: r.retry_after_s,
                    contacts: &[],
                };
                self.refuse(&refusal, EndedBy::Host, core);
            }
            Judged::Redirect(to) => {
                let refusal = Refusal {
                    contacts: &to.contacts,
                    ..Refusal::of(302)
                };
                self.refuse(&refusal, EndedBy::Host, core);
            }
            Judged::Inquire(inquiry) => self.inquire(inquiry, core),
            Judged::Fault(_) => self.refuse(&Refusal::of(503), EndedBy::Host, core),
        }
    }

    fn tell_meters(&self, plan: &Plan, core: &mut Core) {
        let is_counted = |tag: &&Tag| core.snapshot.meters.contains(&tag.name);
        let tags: Vec<Tag> = plan.tags.iter().filter(is_counted).cloned().collect();
        if !tags.is_empty() {
            core.event(Event::Planned {
                call: self.id,
                tags,
                transfer: self.change.is_some(),
            });
        }
    }

    /// Another policy is asked the same.
    fn hand_on(&mut self, policy: Arc<Policy>, core: &mut Core) {
        self.policy = policy;
        if let Some(question) = self.question_mut() {
            let cause = std::mem::take(&mut question.cause);
            question.cookie = Vec::new();
            self.ask(cause, core);
        }
    }

    /// The policy gave no usable verdict: what the configuration declares is done instead.
    pub(super) fn fall_back(&mut self, fault: PolicyFault, core: &mut Core) {
        core.event(Event::Decided {
            call: self.id,
            generation: self.pin().map_or(0, |p| p.generation),
            fault: Some(fault.clone()),
            refused: self.story.refused.clone(),
        });
        self.story.fallback = Some(fault);
        if self.route_emergency(core) {
            return;
        }
        match self.policy.fallback.clone() {
            Fallback::Reject(code) => self.refuse(&Refusal::of(code), EndedBy::Host, core),
            Fallback::Route(trunks) => {
                let judged = self.judge_route(&trunks, core);
                self.carry_out(judged, core);
            }
            Fallback::Policy(id) => match core.snapshot.policy(id).cloned() {
                Some(policy) => {
                    self.hand_on(policy, core);
                }
                None => self.refuse(&Refusal::of(503), EndedBy::Host, core),
            },
        }
    }

    /// What may be done of trying these trunks in order, numbers unchanged. They pass the same guards
    /// as a policy's; only grants do not apply.
    fn judge_route(&mut self, trunks: &[TrunkId], core: &Core) -> Judged {
        let named = trunks.iter().filter_map(|id| core.snapshot.trunk(*id));
        let candidates = named.zip(0_u8..).map(|(trunk, group)| Candidate {
            trunk: trunk.name.to_string(),
            group,
            ..Candidate::default()
        });
        let plan = Plan {
            candidates: candidates.collect(),
            ..Plan::default()
        };
        let verdict = Verdict::Connect(plan);
        let (judged, notes) = judge(verdict, &self.ingress(), &core.snapshot, None);
        self.story.refused.extend(notes);
        judged
    }

    /// Whether the call that is being made is one for help.
    pub(super) fn is_emergency(&self) -> bool {
        self.question()
            .is_some_and(|question| question.call.emergency)
    }

    /// Nobody has a way for an emergency call: it goes where the configuration says, once, as far as
    /// that has not been tried. False if it is no such call, or there is no such way.
    pub(super) fn route_emergency(&mut self, core: &mut Core) -> bool {
        let is_due = self.is_emergency() && self.change.is_none() && !self.routed_as_emergency;
        let tried = |id: &TrunkId| self.attempts.iter().any(|a| a.leg.trunk.id == *id);
        let route: Vec<TrunkId> = match is_due {
            true => core
                .snapshot
                .emergency
                .route
                .iter()
                .copied()
                .filter(|id| !tried(id))
                .collect(),
            false => return false,
        };
        if route.is_empty() {
            return false;
        }
        self.routed_as_emergency = true;
        let judged = self.judge_route(&route, core);
        let possible = !matches!(judged, Judged::Fault(_));
        if possible {
            self.story
                .because
                .push("emergency: by the configured route".to_owned());
            self.carry_out(judged, core);
        }
        possible
    }
}
