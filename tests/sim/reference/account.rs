//! The account at the end: what the reference has seen, against records and views.

use std::collections::BTreeMap;

use intertrunk_proto::trunk::TrunkState;
use intertrunk_proto::{CallView, EndedBy, Instant, Record};

use super::Reference;
use super::call::{Call, Who};
use crate::world::TRUNKS;

impl Reference {
    /// Everything in which records differ from what was seen, once nothing will happen any more.
    pub fn account(&self, records: &[&Record]) -> Vec<String> {
        let mut broken = Vec::new();
        let mut by_call: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in records {
            by_call.entry(&record.sip_call_id).or_default().push(record);
        }
        for call in &self.calls {
            let name = call.name();
            let records = by_call.remove(&*name).unwrap_or_default();
            let found = match (call.admitted, &records[..]) {
                (true, [record]) => differs(call, record),
                (false, []) => Vec::new(),
                (_, records) => vec![format!("{} records", records.len())],
            };
            broken.extend(found.into_iter().map(|what| format!("{name}: {what}")));
            broken.extend(ghosts(call).map(|what| format!("{name}: {what}")));
        }
        broken
    }

    /// Everything in which a view of the calls that are up, or the places that they hold, differ from
    /// what was seen.
    pub fn compare(
        &self,
        views: &[CallView],
        states: &[std::sync::Arc<TrunkState>],
        now: Instant,
    ) -> Vec<String> {
        let mut broken = Vec::new();
        let mut incoming = [0; TRUNKS.len()];
        let mut outgoing = [0; TRUNKS.len()];
        for call in &self.calls {
            let name = call.name();
            let view = views.iter().find(|v| v.a_leg.sip_call_id == name);
            let open = call.admitted && (call.told.is_none() || call.is_up());
            // Ended by the host, whose two BYEs both wait for an ACK: not to be seen from outside.
            let open = open && (view.is_some() || !call.owes_both_acks());
            if view.is_some() != open {
                broken.push(format!("{name}: open {open}, seen {}", view.is_some()));
            }
            if let Some(view) = view
                && (view.state == "answered") != call.is_up()
            {
                broken.push(format!("{name}: {} but up {}", view.state, call.is_up()));
            }
            if open {
                incoming[call.trunk] += 1;
                for attempt in &call.attempts {
                    let holds = attempt.is_live(now) || (attempt.won && call.is_up());
                    outgoing[attempt.trunk] += u32::from(holds);
                }
            }
        }
        for (n, state) in states.iter().enumerate() {
            let seats = (state.incoming(), state.outgoing());
            if seats != (incoming[n], outgoing[n]) {
                let due = (incoming[n], outgoing[n]);
                broken.push(format!("{}: places {seats:?}, calls {due:?}", TRUNKS[n].0));
            }
        }
        broken
    }
}

/// What a record says that is not so.
fn differs(call: &Call, record: &Record) -> Vec<String> {
    let mut broken = Vec::new();
    let mut same = |what: &str, record: String, seen: String| {
        if record != seen {
            broken.push(format!("record says {what} {record}, seen was {seen}"));
        }
    };
    let told = call.told.unwrap_or_default();
    let code = if told / 100 == 2 { 200 } else { told };
    same("code", record.final_code.to_string(), code.to_string());
    let answered = record.answered_at.is_some();
    same(
        "answered",
        answered.to_string(),
        (told / 100 == 2).to_string(),
    );
    if record.generation != 0 || call.generation != 0 {
        same(
            "generation",
            record.generation.to_string(),
            call.generation.to_string(),
        );
    }
    let by = match (call.gave_up, call.hung_up) {
        (true, _) | (false, Some(Who::Caller)) => Some(EndedBy::Caller),
        (false, Some(Who::Callee)) => Some(EndedBy::Callee),
        (false, Some(Who::Host)) => Some(EndedBy::Host),
        (false, None) => None,
    };
    match by {
        Some(by) => same(
            "ended by",
            record.ended_by.as_str().into(),
            by.as_str().into(),
        ),
        None => same(
            "ended by the caller",
            (record.ended_by == EndedBy::Caller).to_string(),
            "false".into(),
        ),
    }
    same("attempts", attempts_recorded(record), attempts_seen(call));
    if let Some(last) = call.attempts.last() {
        same(
            "callee",
            record.callee_out.clone().unwrap_or_default(),
            last.callee.clone(),
        );
        same(
            "caller",
            record.caller_out.clone().unwrap_or_default(),
            last.caller.clone(),
        );
    }
    let winner = call.attempts.iter().find(|a| a.won);
    if let Some(winner) = winner {
        let trunk = record.egress_trunk.as_deref().unwrap_or("-");
        same(
            "egress",
            trunk.to_owned(),
            TRUNKS[winner.trunk].0.to_owned(),
        );
    }
    broken
}

/// Trunks and codes of attempts that were sent, sorted; what had no answer of its own has `-`.
fn attempts_recorded(record: &Record) -> String {
    let sent = record.attempts.iter().filter(|a| a.peer.is_some());
    let ours = |code| matches!(code, 487 | 408 | 503);
    let mut list: Vec<String> = sent
        .map(|a| match ours(a.code) {
            true => format!("{} -", a.trunk),
            false => format!("{} {}", a.trunk, a.code),
        })
        .collect();
    list.sort();
    list.join(", ")
}

fn attempts_seen(call: &Call) -> String {
    let mut list: Vec<String> = (call.attempts.iter())
        .map(
            |a| match a.code.filter(|code| !matches!(code, 487 | 408 | 503)) {
                Some(code) => format!("{} {code}", TRUNKS[a.trunk].0),
                None => format!("{} -", TRUNKS[a.trunk].0),
            },
        )
        .collect();
    list.sort();
    list.join(", ")
}

/// Sides of a call that never learn that it is over.
fn ghosts(call: &Call) -> impl Iterator<Item = String> + '_ {
    let told = call.told.is_none();
    let nothing = (call.admitted && told).then(|| "the caller was never told the end".to_owned());
    let answered = call.told.is_some_and(|code| code < 300);
    let caller = answered && !call.bye_said && !call.bye_heard;
    let caller = caller.then(|| "the caller was never told the end of the call".to_owned());
    let callees = call.attempts.iter();
    let forks = callees.flat_map(|a| &a.forks);
    let forks = forks.filter(|f| !f.bye_said && !f.bye_heard);
    let forks = forks.map(|_| "a callee was never told the end of the call".to_owned());
    nothing.into_iter().chain(caller).chain(forks)
}
