//! How calls, trunks and the node are shown in JSON: to operators, and in call records.
//!
//! Field names are a contract with whoever reads them: fields may be added, none may change.

mod access;
mod trunk;

use std::collections::BTreeMap;
use std::fmt::Display;

use intertrunk_policy::{CanaryStatus, GenerationInfo, ShadowStatus, Slot, SlotStatus, Withdrawn};
use intertrunk_proto::{AttemptRecord, CallView, Instant, LadderStep, LookedUp, Record};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::clock::Calendar;
use crate::memory::Memory;
use crate::shard::Pulse;
pub use access::{BlockView, RegistrationView};
pub use trunk::{AlarmView, TrunkView, alarms};

/// A call record, as one line of the CDR file has it.
#[derive(Debug, Serialize)]
pub struct RecordView<'r> {
    #[serde(serialize_with = "shown")]
    call_id: intertrunk_proto::CallId,
    sip_call_id: &'r str,
    started_at: Time,
    answered_at: Option<Time>,
    ended_at: Time,
    ingress_trunk: &'r str,
    egress_trunk: Option<&'r str>,
    caller_in: &'r str,
    caller_out: Option<&'r str>,
    callee_in: &'r str,
    callee_out: Option<&'r str>,
    policy: &'r str,
    generation: u64,
    policy_sha256: Option<&'r str>,
    decision_us: u32,
    fallback: Option<&'static str>,
    attempts: Vec<AttemptView<'r>>,
    final_code: u16,
    ended_by: &'static str,
    hangup_cause: u16,
    tags: BTreeMap<&'r str, &'r str>,
}

impl<'r> RecordView<'r> {
    /// Shows `record` with the times of `calendar`.
    pub fn new(record: &'r Record, calendar: &Calendar) -> RecordView<'r> {
        RecordView {
            call_id: record.call,
            sip_call_id: &record.sip_call_id,
            started_at: Time::of(record.started_at, calendar),
            answered_at: record.answered_at.map(|at| Time::of(at, calendar)),
            ended_at: Time::of(record.ended_at, calendar),
            ingress_trunk: &record.ingress_trunk,
            egress_trunk: record.egress_trunk.as_deref(),
            caller_in: &record.caller_in,
            caller_out: record.caller_out.as_deref(),
            callee_in: &record.callee_in,
            callee_out: record.callee_out.as_deref(),
            policy: &record.policy,
            generation: record.generation,
            policy_sha256: record.policy_sha256.as_deref(),
            decision_us: record.decision_us,
            fallback: record.fallback.as_ref().map(|fault| fault.kind()),
            attempts: attempts(&record.attempts, calendar),
            final_code: record.final_code,
            ended_by: record.ended_by.as_str(),
            hangup_cause: record.hangup_cause,
            // A policy that gives one name twice means the later value.
            tags: record.tags.iter().map(|t| (&*t.name, &*t.value)).collect(),
        }
    }
}

/// One attempt of a call.
#[derive(Debug, Serialize)]
pub struct AttemptView<'r> {
    trunk: &'r str,
    peer: Option<std::net::SocketAddr>,
    started_at: Time,
    code: u16,
    reason: &'r str,
    pdd_ms: Option<u32>,
}

fn attempts<'r>(attempts: &'r [AttemptRecord], calendar: &Calendar) -> Vec<AttemptView<'r>> {
    let view = |a: &'r AttemptRecord| AttemptView {
        trunk: &a.trunk,
        peer: a.peer,
        started_at: Time::of(a.started_at, calendar),
        code: a.code,
        reason: &a.reason,
        pdd_ms: a.pdd_ms,
    };
    attempts.iter().map(view).collect()
}

/// A call that is up, in a list.
#[derive(Debug, Serialize)]
pub struct CallLine<'c> {
    #[serde(serialize_with = "shown")]
    call_id: intertrunk_proto::CallId,
    state: &'c str,
    started_at: Time,
    answered_at: Option<Time>,
    ingress_trunk: &'c str,
    egress_trunk: Option<&'c str>,
    caller_in: &'c str,
    callee_in: &'c str,
    policy: Option<&'c str>,
    generation: Option<u64>,
}

impl<'c> CallLine<'c> {
    /// Shows `call` with the times of `calendar`.
    pub fn new(call: &'c CallView, calendar: &Calendar) -> CallLine<'c> {
        CallLine {
            call_id: call.call,
            state: call.state,
            started_at: Time::of(call.started_at, calendar),
            answered_at: call.answered_at.map(|at| Time::of(at, calendar)),
            ingress_trunk: &call.a_leg.trunk,
            egress_trunk: call.b_leg.as_ref().map(|leg| &*leg.trunk),
            caller_in: &call.caller,
            callee_in: &call.callee,
            policy: call.policy.as_ref().map(|(name, _)| &**name),
            generation: call.policy.as_ref().map(|(_, generation)| *generation),
        }
    }
}

/// One side of a call that is up.
#[derive(Debug, Serialize)]
pub struct LegLine<'c> {
    trunk: &'c str,
    peer: Option<std::net::SocketAddr>,
    sip_call_id: &'c str,
}

/// A call that is up, with everything known of it.
#[derive(Debug, Serialize)]
pub struct LiveCall<'c> {
    #[serde(flatten)]
    call: CallLine<'c>,
    a_leg: LegLine<'c>,
    b_leg: Option<LegLine<'c>>,
    because: &'c [String],
    look_ups: &'c [LookedUp],
    refused: &'c [String],
    attempts: Vec<AttemptView<'c>>,
    ladder: Vec<StepView>,
}

impl<'c> LiveCall<'c> {
    /// Shows `call` with the times of `calendar`.
    pub fn new(call: &'c CallView, calendar: &Calendar) -> LiveCall<'c> {
        let leg = |leg: &'c intertrunk_proto::LegView| LegLine {
            trunk: &leg.trunk,
            peer: leg.peer,
            sip_call_id: &leg.sip_call_id,
        };
        LiveCall {
            call: CallLine::new(call, calendar),
            a_leg: leg(&call.a_leg),
            b_leg: call.b_leg.as_ref().map(leg),
            because: &call.because,
            look_ups: &call.looked_up,
            refused: &call.refused,
            attempts: attempts(&call.attempts, calendar),
            ladder: ladder(&call.ladder),
        }
    }
}

/// A call that ended lately, with everything known of it.
#[derive(Debug, Serialize)]
pub struct EndedCall<'r> {
    state: &'static str,
    #[serde(flatten)]
    record: RecordView<'r>,
    because: &'r [String],
    look_ups: &'r [LookedUp],
    refused: &'r [String],
    ladder: Vec<StepView>,
}

impl<'r> EndedCall<'r> {
    /// Shows `record` with the times of `calendar`.
    pub fn new(record: &'r Record, calendar: &Calendar) -> EndedCall<'r> {
        EndedCall {
            state: "ended",
            record: RecordView::new(record, calendar),
            because: &record.because,
            look_ups: &record.looked_up,
            refused: &record.refused,
            ladder: ladder(&record.ladder),
        }
    }
}

/// Why a call went where it went.
#[derive(Debug, Serialize)]
pub struct Why<'r> {
    #[serde(serialize_with = "shown")]
    call_id: intertrunk_proto::CallId,
    policy: Option<&'r str>,
    generation: Option<u64>,
    /// What failed, when the fallback decided.
    fallback: Option<String>,
    because: &'r [String],
    look_ups: &'r [LookedUp],
    refused: &'r [String],
    attempts: Vec<AttemptView<'r>>,
}

impl<'r> Why<'r> {
    /// Of a call that is up.
    pub fn live(call: &'r CallView, calendar: &Calendar) -> Why<'r> {
        Why {
            call_id: call.call,
            policy: call.policy.as_ref().map(|(name, _)| &**name),
            generation: call.policy.as_ref().map(|(_, generation)| *generation),
            fallback: None,
            because: &call.because,
            look_ups: &call.looked_up,
            refused: &call.refused,
            attempts: attempts(&call.attempts, calendar),
        }
    }

    /// Of a call that ended lately.
    pub fn ended(record: &'r Record, calendar: &Calendar) -> Why<'r> {
        Why {
            call_id: record.call,
            policy: Some(&record.policy),
            generation: Some(record.generation),
            fallback: record.fallback.as_ref().map(ToString::to_string),
            because: &record.because,
            look_ups: &record.looked_up,
            refused: &record.refused,
            attempts: attempts(&record.attempts, calendar),
        }
    }
}

/// One message of a call.
#[derive(Debug, Serialize)]
pub struct StepView {
    at_ms: u32,
    /// 0 for the calling leg, n for the n-th attempt.
    leg: u8,
    sent: bool,
    what: String,
}

fn ladder(steps: &[LadderStep]) -> Vec<StepView> {
    let view = |s: &LadderStep| StepView {
        at_ms: s.at_ms,
        leg: s.leg,
        sent: s.sent,
        what: s.what.to_string(),
    };
    steps.iter().map(view).collect()
}

/// The node as a whole.
#[derive(Debug, Serialize)]
pub struct StatusView<'n> {
    /// Name of the node.
    pub node: &'n str,
    /// Version of the binary.
    pub version: &'static str,
    /// `running` or `draining`.
    pub state: &'static str,
    /// When it started.
    pub started_at: Time,
    /// Seconds since then.
    pub uptime_s: u64,
    /// How many shards there are.
    pub shards: usize,
    /// Calls that are up.
    pub calls: usize,
    /// What is held in memory.
    pub held: HeldView,
    /// What it takes of memory at its limits, in bytes.
    pub memory: Memory,
    /// Where it listens.
    pub listeners: Vec<ListenerView>,
    /// What decides.
    pub policies: Vec<PolicyView>,
    /// What somebody should look at.
    pub alarms: Vec<AlarmView>,
    /// Everything counted since the start.
    pub counters: BTreeMap<String, u64>,
}

/// What is held in memory, with what has ended and still waits for its transactions.
#[derive(Debug, Serialize)]
pub struct HeldView {
    calls: usize,
    transactions: usize,
    dialogs: usize,
    questions: usize,
}

impl HeldView {
    /// Of all shards together.
    pub fn new(pulses: &[Pulse]) -> HeldView {
        let sum = |n: usize| pulses.iter().map(|pulse| pulse.held[n]).sum();
        HeldView {
            calls: sum(0),
            transactions: sum(1),
            dialogs: sum(2),
            questions: sum(3),
        }
    }
}

/// A listener.
#[derive(Debug, Serialize)]
pub struct ListenerView {
    /// As configured.
    pub name: String,
    /// Where it is bound.
    pub address: std::net::SocketAddr,
}

/// A policy and its live generation.
#[derive(Debug, Serialize)]
pub struct PolicyView {
    name: String,
    live: Option<GenerationInfo>,
}

impl PolicyView {
    /// Shows a slot.
    pub fn new(slot: &Slot) -> PolicyView {
        PolicyView {
            name: slot.name().to_string(),
            live: slot.live().map(|live| live.info().clone()),
        }
    }
}

/// How a policy's staged generation differs from the live one so far.
#[derive(Debug, Serialize)]
pub struct DiffView {
    name: String,
    /// `staged`, `shadow`, `canary`, or `none` if there is nothing to compare.
    stage: &'static str,
    live: Option<GenerationInfo>,
    staged: Option<GenerationInfo>,
    shadow: Option<ShadowStatus>,
    canary: Option<CanaryStatus>,
    last_withdrawn: Option<Withdrawn>,
}

impl DiffView {
    /// Shows a slot.
    pub fn new(slot: SlotStatus) -> DiffView {
        DiffView {
            stage: match (&slot.canary, &slot.shadow, &slot.staged) {
                (Some(_), ..) => "canary",
                (_, Some(_), _) => "shadow",
                (_, _, Some(_)) => "staged",
                _ => "none",
            },
            name: slot.name,
            live: slot.live,
            staged: slot.staged,
            shadow: slot.shadow,
            canary: slot.canary,
            last_withdrawn: slot.last_withdrawn,
        }
    }
}

/// A moment in calendar time: RFC 3339 with milliseconds, UTC.
#[derive(Clone, Copy, Debug)]
pub struct Time(Timestamp);

impl Time {
    /// The moment `at` on the node's clock.
    pub fn of(at: Instant, calendar: &Calendar) -> Time {
        Time(calendar.at(at))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

fn shown<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Clock;
    use crate::observe::cdr::tests::record;

    /// O11: a record has the fields of the contract.
    #[test]
    fn a_record_has_the_fields_of_the_contract() {
        let record = record(0xbeef);
        let calendar = Clock::start().calendar();
        let text = serde_json::to_string(&RecordView::new(&record, &calendar)).unwrap();
        let time = |at| format!("{:.3}", calendar.at(at));
        let expected = format!(
            concat!(
                r#"{{"call_id":"000000000000beef","sip_call_id":"a1@pbx","started_at":"{}","#,
                r#""answered_at":"{}","ended_at":"{}","ingress_trunk":"pbx-a","#,
                r#""egress_trunk":"gw-b","caller_in":"0100","caller_out":"+14255550100","#,
                r#""callee_in":"915551234567","callee_out":"+15551234567","policy":"main","#,
                r#""generation":3,"policy_sha256":"ab12","decision_us":17,"fallback":"timeout","#,
                r#""attempts":[{{"trunk":"gw-a","peer":"127.0.0.21:5080","started_at":"{}","#,
                r#""code":503,"reason":"Service Unavailable","pdd_ms":null}}],"final_code":200,"#,
                r#""ended_by":"caller","hangup_cause":16,"tags":{{"route":"last"}}}}"#,
            ),
            time(record.started_at),
            time(record.answered_at.unwrap()),
            time(record.ended_at),
            time(record.attempts[0].started_at),
        );
        assert_eq!(text, expected);
    }

    /// B8: why names the fault that the fallback stepped in for.
    #[test]
    fn why_names_the_fault_that_the_fallback_stepped_in_for() {
        let record = record(1);
        let calendar = Clock::start().calendar();
        let why = serde_json::to_value(Why::ended(&record, &calendar)).unwrap();
        assert_eq!(why["fallback"], "no verdict within its deadline");
        assert_eq!(why["because"][0], "PSTN");
        assert_eq!(why["refused"][0], "gw-x: no such trunk");
    }
}
