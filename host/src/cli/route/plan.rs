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
            return Some(Failure {
                code: 503,
                why: format!("assumed {what}"),
                goes_on: true,
            });
        }
    }
    let (_, code) = assumed.failed.iter().find(|(trunk, _)| trunk == name)?;
    let chosen = one.candidate.failover.as_deref();
    let codes = chosen.unwrap_or(&one.trunk.failover_codes);
    // What a person said is final, unless the policy knows better.
    let declined = matches!(code, 486 | 600 | 603 | 604) && chosen.is_none();
    let goes_on = codes.contains(code) && !declined;
    let ends = if goes_on { "" } else { ", which is final" };
    Some(Failure {
        code: *code,
        why: format!("assumed to fail with {code}{ends}"),
        goes_on,
    })
}

fn facts(one: &Accepted, code: u16) -> AttemptFacts {
    let peer = one.peer.as_ref().or(one.trunk.peers.first());
    let address = peer.and_then(|peer| peer.targets.first());
    AttemptFacts {
        trunk: one.trunk.name.to_string(),
        peer: address.map(|a| a.to_string()).unwrap_or_default(),
        code,
        ..AttemptFacts::default()
    }
}

fn to_caller(plan: &Plan, code: u16) -> u16 {
    let map = plan
        .code_maps
        .iter()
        .find(|map| map.from_code == code && map.q850.is_none());
    match map {
        Some(map) => map.to_code,
        None if code < 400 => 480,
        None => code,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::sync::Arc;

    use clap::Parser;
    use intertrunk_proto::ask::{Candidate, CodeMap};

    use super::*;
    use crate::config::{self, Interner};

    const CONFIG: &str = "
        [[listen]]\nname = \"lan\"\naddress = \"127.0.0.1:5060\"
        [[trunk]]\nname = \"gw-a\"\npeers = [\"sip:127.0.0.2\"]
        [[trunk]]\nname = \"gw-b\"\npeers = [\"sip:127.0.0.3\"]
        [policy.main]\nmodule = \"builtin:standard\"";

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: RouteArgs,
    }

    /// Walks through gw-a, then gw-b, under the assumptions of a command line.
    fn walk(plan: &Plan, assumptions: &str) -> Walk {
        let built = config::parse(Path::new("t"), CONFIG, &mut Interner::default()).unwrap();
        let accept = |name: &str| Accepted {
            candidate: Candidate {
                trunk: name.to_owned(),
                ..Candidate::default()
            },
            trunk: Arc::clone(built.snapshot.trunk_named(name).unwrap()),
            peer: None,
        };
        let words = format!("route -c t --from pbx --to 1 {assumptions}");
        let args = Cli::parse_from(words.split_whitespace()).args;
        Walk::of(&[accept("gw-a"), accept("gw-b")], plan, &args)
    }

    #[test]
    fn without_assumptions_all_are_to_be_tried() {
        let walk = walk(&Plan::default(), "");
        assert_eq!((walk.passed_over, walk.ends_with), (vec![None, None], None));
        assert!(!walk.asks_again && walk.attempts.is_empty());
    }

    #[test]
    fn the_plan_says_what_happens_when_nobody_is_left() {
        let all = "--failed gw-a:503 --down gw-b";
        let after = |when_exhausted| {
            walk(
                &Plan {
                    when_exhausted,
                    ..Plan::default()
                },
                all,
            )
        };
        assert_eq!(after(WhenExhausted::RelayLast).ends_with, Some(503));
        assert_eq!(after(WhenExhausted::Reply(480)).ends_with, Some(480));
        let again = after(WhenExhausted::AskAgain);
        assert!(again.asks_again);
        let told: Vec<_> = again
            .attempts
            .iter()
            .map(|a| (&*a.trunk, &*a.peer, a.code))
            .collect();
        assert_eq!(
            told,
            [
                ("gw-a", "127.0.0.2:5060", 503),
                ("gw-b", "127.0.0.3:5060", 503)
            ]
        );
    }

    #[test]
    fn a_final_code_ends_the_call_and_asks_nobody() {
        let plan = Plan {
            when_exhausted: WhenExhausted::AskAgain,
            code_maps: vec![CodeMap {
                from_code: 486,
                q850: None,
                to_code: 480,
            }],
            ..Plan::default()
        };
        let walk = walk(&plan, "--failed gw-a:486");
        assert_eq!(walk.ends_with, Some(480));
        assert!(!walk.asks_again);
        assert_eq!(walk.passed_over[1].as_deref(), Some("not reached"));
    }
}
