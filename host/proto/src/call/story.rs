//! What a call remembers for its record, its view and its ladder.

use std::sync::Arc;

use super::{Call, Phase};
use crate::ask::{CallFacts, PolicyFault};
use crate::core::Core;
use crate::event::{AttemptRecord, EndedBy, LadderStep, LadderWhat, Record};
use crate::looked_up::LookedUp;
use crate::time::Instant;
use crate::view::CallView;

/// The story so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) started_at: Instant,
    pub(super) answered_at: Option<Instant>,
    pub(super) decision_us: u32,
    pub(super) fallback: Option<PolicyFault>,
    pub(super) because: Vec<String>,
    pub(super) looked_up: Vec<LookedUp>,
    pub(super) refused: Vec<String>,
    pub(super) attempts: Vec<AttemptRecord>,
    caller_in: Box<str>,
    callee_in: Box<str>,
    pub(super) caller_out: Option<String>,
    pub(super) callee_out: Option<String>,
    ladder: Vec<LadderStep>,
}

impl Story {
    pub(super) fn begun(now: Instant, call: &CallFacts) -> Story {
        Story {
            started_at: now,
            caller_in: call.caller.user.as_str().into(),
            callee_in: call.callee.user.as_str().into(),
            ..Story::default()
        }
    }

    pub(super) fn note(&mut self, leg: u8, sent: bool, what: LadderWhat, core: &Core) {
        if self.ladder.len() < core.snapshot.limits.ladder_steps_max {
            let at_ms = millis(core.now.since(self.started_at));
            self.ladder.push(LadderStep {
                at_ms,
                leg,
                sent,
                what,
            });
        }
    }

    /// Fills the part of a view that is told here.
    pub(super) fn view(&self, view: CallView) -> CallView {
        CallView {
            started_at: self.started_at,
            answered_at: self.answered_at,
            caller: self.caller_in.to_string(),
            callee: self.callee_in.to_string(),
            because: self.because.clone(),
            looked_up: self.looked_up.clone(),
            refused: self.refused.clone(),
            attempts: self.attempts.clone(),
            ladder: self.ladder.clone(),
            ..view
        }
    }

    /// The call's record.
    pub(super) fn close(
        &self,
        call: &Call,
        by: EndedBy,
        code: u16,
        q850: u16,
        core: &Core,
    ) -> Record {
        let won = match call.phase {
            Phase::Talking(bridge) => call.leg(bridge.far).map(|l| Arc::clone(&l.trunk.name)),
            Phase::Asking { .. } | Phase::Dialling | Phase::Ended => None,
        };
        let pin = call.pin();
        Record {
            call: call.id,
            sip_call_id: String::from_utf8_lossy(&call.a.dialog.call_id).into_owned(),
            started_at: self.started_at,
            answered_at: self.answered_at,
            ended_at: core.now,
            ingress_trunk: Arc::clone(&call.a.trunk.name),
            egress_trunk: won.or_else(|| self.attempts.last().map(|a| Arc::clone(&a.trunk))),
            caller_in: self.caller_in.to_string(),
            caller_out: self.caller_out.clone(),
            callee_in: self.callee_in.to_string(),
            callee_out: self.callee_out.clone(),
            policy: pin.map_or_else(|| Arc::clone(&call.policy.name), |p| Arc::clone(&p.policy)),
            generation: pin.map_or(0, |p| p.generation),
            policy_sha256: pin.map(|p| Arc::clone(&p.sha256)),
            decision_us: self.decision_us,
            fallback: self.fallback.clone(),
            because: self.because.clone(),
            looked_up: self.looked_up.clone(),
            refused: self.refused.clone(),
            attempts: self.attempts.clone(),
            final_code: code,
            ended_by: by,
            hangup_cause: q850,
            tags: call.plan.tags.clone(),
            ladder: self.ladder.clone(),
        }
    }
}

pub(super) fn millis(d: std::time::Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}
