//! What a shard has to do with policies: it asks them, tells them, and records what they decide.

use std::sync::Arc;

use intertrunk_policy::Decision;
use intertrunk_proto::ask::{Answer, Answered, LookUp, Pin, PolicyFault, Query};
use intertrunk_proto::{AskId, Event, Input, PolicyId};
use intertrunk_sip::Message;

use super::{Due, Shard};
use crate::clock;
use crate::observe::journal::Made;
use crate::observe::metrics::Count;
use crate::outside::Inquiry;

impl Shard {
    /// Has outside sources asked, of which the policy was granted some.
    pub(super) fn inquire(&mut self, ask: AskId, policy: PolicyId, look_ups: Vec<LookUp>) {
        let policy = self.running.snapshot.policy(policy);
        let is_granted = |it: &LookUp| policy.is_some_and(|policy| policy.may_ask(&it.source));
        let inquiry = Inquiry {
            ask,
            look_ups: look_ups
                .into_iter()
                .map(|it| {
                    let granted = is_granted(&it);
                    (it, granted)
                })
                .collect(),
            shard: self.share.shard,
            to: self.mailboxes[usize::from(self.share.shard)].clone(),
        };
        if let Some(answers) = self.outside.ask(inquiry, self.clock.now()) {
            self.due.push_back(Due::Inquired(ask, answers));
        }
    }

    /// The others have answered. Meters are read now, so that no call of this shard comes between that
    /// and the decision.
    pub(super) fn inquired(&mut self, ask: AskId, mut answers: Vec<Answered>) {
        self.outside.meters().answer(&mut answers, self.clock.now());
        self.handle(Input::Inquired { ask, answers });
    }

    /// Counts what policies limit.
    pub(super) fn meter(&mut self, event: &Event) {
        let lost = self.counting.note(event, self.clock.now());
        if lost > 0 {
            let counters = self.observer.counters();
            counters.add_many(Count::TagsUncounted, lost as u64);
        }
    }

    pub(super) fn decide(
        &mut self,
        policy: PolicyId,
        mut query: Query,
        invite: &Message,
        pin: Option<&Pin>,
    ) -> Answer {
        let Some(slot) = self.running.slot(policy) else {
            let outcome = Err(PolicyFault::NotReady);
            return Answer {
                outcome,
                pin: None,
                decision_us: 0,
                because: Vec::new(),
                looked_up: Vec::new(),
            };
        };
        query.unix_ms = clock::unix_ms();
        let world = &self.running.world;
        let is_wanted = self.observer.journal().wants(slot);
        self.runner.record(is_wanted);
        let answer = self
            .runner
            .decide(slot, pin, &mut query, Some(invite), world);
        if is_wanted {
            slot.widen(answer.pin.as_ref(), &mut query, invite);
            let decision = Decision {
                policy: slot.name().to_string(),
                generation: answer.pin.as_ref().map_or(0, |pin| pin.generation),
                query,
                replies: self.runner.take_replies(),
                outcome: answer.outcome.clone(),
                decision_us: answer.decision_us,
            };
            self.observer.journal().put(Made {
                decision,
                pin: answer.pin.clone(),
                slot: Arc::clone(slot),
                world: Arc::clone(world),
            });
        }
        self.observer
            .counters()
            .add_many(Count::DecisionMicros, answer.decision_us.into());
        answer
    }

    /// A verdict that the machine refused counts against the generation that gave it.
    pub(super) fn blame(&self, event: &Event) {
        let Event::Decided {
            fault: Some(fault @ PolicyFault::Verdict(_)),
            ..
        } = event
        else {
            return;
        };
        if let Some((policy, pin)) = &self.answered
            && let Some(slot) = self.running.slot(*policy)
        {
            slot.refuse(pin, fault);
        }
    }

    /// What became of a call is evidence for or against the generation that decided it.
    pub(super) fn tell_policy(&self, event: &Event) {
        if let Event::CallEnded(record) = event
            && let Some(slot) = self.running.slot_named(&record.policy)
        {
            slot.ended(record);
        }
    }
}
