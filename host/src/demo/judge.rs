//! Holds what a call came to against what was expected of it: on both wires, and in the record.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use intertrunk_proto::Record;

use super::calls::Call;
use super::peer::{Peer, Progress, Seen};

/// Where a call came out.
pub struct Landing {
    trunk: &'static str,
    call_id: String,
    seen: Seen,
}

impl Landing {
    /// The latest call that this peer took.
    pub fn of(peer: &Peer) -> Option<Landing> {
        let (call_id, side) = peer.latest()?;
        let seen = side.seen.clone()?;
        Some(Landing {
            trunk: peer.name,
            call_id: call_id.to_owned(),
            seen,
        })
    }
}

/// What a call came to.
pub struct Outcome {
    /// The call.
    pub call: &'static Call,
    /// The node's record of it.
    pub record: Option<Arc<Record>>,
    /// Where it differs from what was expected; nothing if it was good.
    pub differs: Vec<String>,
}

/// Compares.
pub fn judge(
    call: &'static Call,
    call_id: &str,
    progress: Progress,
    landing: Option<&Landing>,
    record: Option<Arc<Record>>,
    host: SocketAddr,
) -> Outcome {
    let mut differs = Differences::default();
    let code = match progress {
        Progress::Trying | Progress::Ringing => "none".to_owned(),
        Progress::Answered => "200, never hung up".to_owned(),
        Progress::HungUp => "200".to_owned(),
        Progress::Refused(code) => code.to_string(),
    };
    differs.unless_same("caller's final code", &call.expect.code.to_string(), &code);
    if let Some((callee, caller)) = call.expect.numbers {
        match landing {
            Some(landing) => {
                differs.unless_same("called number sent", callee, &landing.seen.callee);
                differs.unless_same("calling number sent", caller, &landing.seen.caller);
                differs.unless_same("Via values sent", &1, &landing.seen.vias);
                differs.unless_same("Contact sent", &host.to_string(), &landing.seen.contact);
                if landing.call_id == call_id {
                    differs.add(format!("{} sees the caller's Call-ID", landing.trunk));
                }
            }
            None => differs.add("no INVITE reached the last trunk".to_owned()),
        }
    }
    match &record {
        Some(record) => differs.in_record(call, record),
        None => differs.add("there is no call record".to_owned()),
    }
    Outcome {
        call,
        record,
        differs: differs.0,
    }
}

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn add(&mut self, what: String) {
        self.0.push(what);
    }

    fn unless_same<T: PartialEq + Display + ?Sized>(&mut self, what: &str, expected: &T, got: &T) {
        if expected != got {
            self.add(format!("{what}: expected {expected}, got {got}"));
        }
    }

    fn in_record(&mut self, call: &Call, record: &Record) {
        let expect = &call.expect;
        self.unless_same("record's final code", &expect.code, &record.final_code);
        self.unless_same("generation", &expect.generation, &record.generation);
        let fault = record
            .fallback
            .as_ref()
            .map_or("none", |fault| fault.kind());
        self.unless_same("policy fault", expect.fault.unwrap_or("none"), fault);
        self.unless_same(
            "ended by",
            expect.ended_by.as_str(),
            record.ended_by.as_str(),
        );
        let told: Vec<(&str, u16)> = record
            .attempts
            .iter()
            .map(|a| (&*a.trunk, a.code))
            .collect();
        if told != expect.attempts {
            self.add(format!(
                "attempts: expected {:?}, got {told:?}",
                expect.attempts
            ));
        }
    }
}
