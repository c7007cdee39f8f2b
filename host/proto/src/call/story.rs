//! What a call remembers for its record, its view and its ladder.

use std::sync::Arc;

use super::{Call, Phase};
use crate::ask::PolicyFault;
use crate::core::Core;
use crate::event::{AttemptRecord, EndedBy, LadderStep, LadderWhat, Record};
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
    pub(super) refused: Vec<String>,
    pub(super) attempts: Vec<AttemptRecord>,
    pub(super) caller_out: Option<String>,
    pub(super) callee_out: Option<String>,
    ladder: Vec<LadderStep>,
}

impl Story {
    pub(super) fn begun(now: Instant) -> Story {
        Story {
            started_at: now,
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
            because: self.because.clone(),
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
        let pin = call.pin.as_ref();
        Record {
            call: call.id,
            sip_call_id: String::from_utf8_lossy(&call.a.dialog.call_id).into_owned(),
            started_at: self.started_at,
            answered_at: self.answered_at,
            ended_at: core.now,
            ingress_trunk: Arc::clone(&call.a.trunk.name),
            egress_trunk: won.or_else(|| self.attempts.last().map(|a| Arc::clone(&a.trunk))),
            caller_in: call.query.call.caller.user.clone(),
            caller_out: self.caller_out.clone(),
            callee_in: call.query.call.callee.user.clone(),
            callee_out: self.callee_out.clone(),
            policy: pin.map_or_else(|| Arc::clone(&call.policy.name), |p| Arc::clone(&p.policy)),
            generation: pin.map_or(0, |p| p.generation),
            policy_sha256: pin.map(|p| Arc::clone(&p.sha256)),
            decision_us: self.decision_us,
            fallback: self.fallback.clone(),
            because: self.because.clone(),
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

/// The Q.850 cause that stands for a SIP code (RFC 3398 §8.2.6.1).
pub(super) fn q850_of(code: u16) -> u16 {
    match code {
        200..=299 => 16,
        404 | 485 | 604 => 1,
        486 | 600 => 17,
        480 => 18,
        401 | 402 | 403 | 407 | 603 => 21,
        410 => 22,
        484 => 28,
        487 => 16,
        408 | 504 => 102,
        400 | 481 | 500 | 503 => 41,
        502 => 38,
        482 | 483 => 25,
        405 => 63,
        406 | 415 | 488 | 501 | 606 => 79,
        _ => 127,
    }
}

/// The Q.850 cause in a Reason header (RFC 3326), if there is one.
pub(super) fn q850_in(message: &intertrunk_sip::Message) -> Option<u16> {
    message
        .values(intertrunk_sip::Name::Reason)
        .find_map(|value| {
            let text = std::str::from_utf8(value).ok()?;
            let (protocol, params) = text.split_once(';')?;
            protocol
                .trim()
                .eq_ignore_ascii_case("Q.850")
                .then_some(())?;
            let cause = params.split(';').filter_map(|p| p.split_once('='));
            cause
                .filter(|(name, _)| name.trim().eq_ignore_ascii_case("cause"))
                .find_map(|(_, number)| number.trim().parse().ok())
        })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use intertrunk_sip::Message;

    use super::{q850_in, q850_of};

    #[test]
    fn causes_stand_for_codes() {
        let table: [(u16, &[u16]); 14] = [
            (1, &[404, 485, 604]),
            (16, &[200, 487]),
            (17, &[486, 600]),
            (18, &[480]),
            (21, &[401, 402, 403, 407, 603]),
            (22, &[410]),
            (25, &[482, 483]),
            (28, &[484]),
            (38, &[502]),
            (41, &[400, 481, 503]),
            (63, &[405]),
            (79, &[406, 415, 501]),
            (102, &[408, 504]),
            (127, &[413, 414, 416, 420, 421, 423, 505, 513, 699]),
        ];
        for (cause, codes) in table {
            for code in codes {
                assert_eq!(q850_of(*code), cause, "{code}");
            }
        }
    }

    #[test]
    fn a_reason_names_a_cause() {
        let cause = |lines: &str| {
            let text = format!(
                "BYE sip:1@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:2@x>;tag=a\r\nTo: <sip:1@x>;tag=b\r\n\
                 Call-ID: 1\r\nCSeq: 1 BYE\r\n{lines}Content-Length: 0\r\n\r\n"
            );
            q850_in(&Message::parse(Bytes::from(text)).expect("a legal BYE"))
        };
        assert_eq!(cause(""), None);
        assert_eq!(cause("Reason: Q.850;cause=17;text=\"a, b\"\r\n"), Some(17));
        assert_eq!(
            cause("Reason: q.850 ; text=\"x\" ; Cause = 34\r\n"),
            Some(34)
        );
        assert_eq!(cause("Reason: SIP;cause=200\r\n"), None, "that is a code");
        let both = "Reason: SIP;cause=200;text=\"Q.850;cause=3\", Q.850;cause=31\r\n";
        assert_eq!(cause(both), Some(31));
        let two = "Reason: SIP;cause=200\r\nReason: Q.850;cause=19\r\n";
        assert_eq!(cause(two), Some(19));
        for nonsense in ["Q.850", "Q.850;text=x", "Q.850;cause=", "Q.850;cause=70000"] {
            assert_eq!(cause(&format!("Reason: {nonsense}\r\n")), None);
        }
    }
}
