//! What becomes of a plan when some of its trunks are assumed down, full or failing.
//!
//! The rules of a live call: a trunk that is down or full counts as a 503 and is passed over; a code
//! that the candidate, or else its trunk, does not fail over on ends the call; when nobody is left,
//! the plan says what the caller gets.

use intertrunk_proto::ask::{AttemptFacts, Plan, WhenExhausted};
use intertrunk_proto::judge::Accepted;

use super::RouteArgs;

/// A plan walked through.
pub struct Walk {
    /// For each candidate, why it would be passed over, if it would.
    pub passed_over: Vec<Option<String>>,
    /// The code that the caller gets, if nobody is left to be tried.
    pub ends_with: Option<u16>,
    /// Whether the policy is asked again because nobody is left.
    pub asks_again: bool,
    /// What failed, as the policy would be told.
    pub attempts: Vec<AttemptFacts>,
}

impl Walk {
    /// Walks through the candidates in order.
    pub fn of(accepted: &[Accepted], plan: &Plan, assumed: &RouteArgs) -> Walk {
        let mut walk = Walk {
            passed_over: Vec::with_capacity(accepted.len()),
            ends_with: None,
            asks_again: false,
            attempts: Vec::new(),
        };
        let mut final_code = None;
        for one in accepted {
            let fate = if final_code.is_some() {
                Some("not reached".to_owned())
            } else {
                failure(one, assumed).map(|failure| {
                    walk.attempts.push(facts(one, failure.code));
                    final_code = (!failure.goes_on).then_some(failure.code);
                    failure.why
                })
            };
            walk.passed_over.push(fate);
        }
        if walk.passed_over.iter().all(Option::is_some) {
            walk.nobody_is_left(plan, final_code);
        }
        walk
    }

    fn nobody_is_left(&mut self, plan: &Plan, final_code: Option<u16>) {
        let last = self.attempts.last().map_or(503, |attempt| attempt.code);
        self.ends_with = Some(match (final_code, plan.when_exhausted) {
            (Some(code), _) => to_caller(plan, code),
            (None, WhenExhausted::Reply(code)) => code,
            (None, WhenExhausted::RelayLast | WhenExhausted::AskAgain) => to_caller(plan, last),
        });
        self.asks_again = final_code.is_none() && plan.when_exhausted == WhenExhausted::AskAgain;
    }
}

/// How a candidate fails under the assumptions.
struct Failure {
    code: u16,
    why: String,
    goes_on: bool,
}

fn failure(one: &Accepted, assumed: &RouteArgs) -> Option<Failure> {
    let name = &*one.trunk.name;
    for (names, what) in [(&assumed.down, "down"), (&assumed.full, "full")] {
        if names.iter().any(|assumed| assumed == name) {
            return Some(Failure { code: 503, why: format!("assumed {what}"), goes_on: true });
        }
    }
    let (_, code) = assumed.failed.iter().find(|(trunk, _)| trunk == name)?;
    let chosen = one.candidate.failover.as_deref();
    let codes = chosen.unwrap_or(&one.trunk.failover_codes);
    // What a person said is final, unless the policy knows better.
    let declined = matches!(code, 486 | 600 | 603 | 604) && chosen.is_none();
    let goes_on = codes.contains(code) && !declined;
    let ends = if goes_on { "" } else { ", which is final" };
    Some(Failure { code: *code, why: format!("assumed to fail with {code}{ends}"), goes_on })
}

fn facts(one: &Accepted, code: u16) -> AttemptFacts {
    let peer = one.peer.as_ref().or(one.trunk.peers.first());
    AttemptFacts {
        trunk: one.trunk.name.to_string(),
        peer: peer.map(|peer| peer.address.to_string()).unwrap_or_default(),
        code,
        ..AttemptFacts::default()
    }
}

fn to_caller(plan: &Plan, code: u16) -> u16 {
    let map = plan.code_maps.iter().find(|map| map.from_code == code && map.q850.is_none());
    match map {
        Some(map) => map.to_code,
        None if code < 400 => 480,
        None => code,
    }
}
