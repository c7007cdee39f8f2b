//! A model policy: answers after a while, or never, or with nonsense.

use std::sync::Arc;
use std::time::Duration;

use intertrunk_proto::Rng;
use intertrunk_proto::ask::{
    Candidate, HeaderField, Plan, PolicyFault, Query, Rejection, Verdict, WhenExhausted,
};

use crate::ms;

/// What comes of one question.
#[derive(Clone, Debug)]
pub enum Decision {
    /// This, after so long.
    After(Duration, Box<Result<Verdict, PolicyFault>>),
    /// Nothing, ever.
    Never,
}

/// How the policy decides.
#[derive(Clone)]
pub enum Mood {
    /// The same for every question.
    Always(Arc<dyn Fn() -> Decision>),
    /// By what is asked.
    Asked(Arc<dyn Fn(&Query) -> Decision>),
    /// Whatever the dice say.
    Random,
}

impl Mood {
    /// Connects to these trunks in order, at once.
    pub fn connect(trunks: &'static [&'static str]) -> Mood {
        Mood::verdict(move || Verdict::Connect(plan_to(trunks)))
    }

    /// Gives this verdict at once.
    pub fn verdict(verdict: impl Fn() -> Verdict + 'static) -> Mood {
        Mood::Always(Arc::new(move || {
            Decision::After(Duration::ZERO, Box::new(Ok(verdict())))
        }))
    }

    /// Gives at once the verdict that it has for a question.
    pub fn asked(verdict: impl Fn(&Query) -> Verdict + 'static) -> Mood {
        Mood::Asked(Arc::new(move |query| {
            Decision::After(Duration::ZERO, Box::new(Ok(verdict(query))))
        }))
    }

    /// Fails at once.
    pub fn fault(fault: PolicyFault) -> Mood {
        Mood::Always(Arc::new(move || {
            Decision::After(Duration::ZERO, Box::new(Err(fault.clone())))
        }))
    }

    /// Decides about one question.
    pub fn decide(&self, query: &Query, rng: &mut Rng) -> Decision {
        match self {
            Mood::Always(decision) => decision(),
            Mood::Asked(decision) => decision(query),
            Mood::Random => random(rng),
        }
    }
}

/// Candidates in order, one after the other.
pub fn plan_to(trunks: &[&str]) -> Plan {
    let candidate = |(trunk, group): (&&str, u8)| Candidate {
        trunk: (*trunk).to_owned(),
        group,
        ..Candidate::default()
    };
    Plan {
        candidates: trunks.iter().zip(0..).map(candidate).collect(),
        ..Plan::default()
    }
}

const TRUNKS: [&str; 6] = ["pbx-b", "gw-a", "gw-b", "pbx-b", "pbx-a", "nowhere"];

fn random(rng: &mut Rng) -> Decision {
    let dice = rng.next_u64() % 100;
    let delay = ms([0, 0, 5, 50, 400][(rng.next_u64() % 5) as usize]);
    let outcome = match dice {
        0..3 => return Decision::Never,
        3..6 => Err(PolicyFault::Timeout),
        6..9 => Err(PolicyFault::Trap("unreachable".to_owned())),
        9..12 => Ok(Verdict::Reject(Rejection {
            code: 403,
            ..Rejection::default()
        })),
        12..13 => Ok(Verdict::Reject(Rejection {
            code: 99,
            ..Rejection::default()
        })),
        13..14 => Ok(Verdict::Pass),
        14..15 => Ok(Verdict::Redirect(Vec::new())),
        15..16 => Ok(Verdict::Connect(Plan {
            candidates: flood(),
            ..Plan::default()
        })),
        16..18 => Ok(Verdict::Connect(smuggled())),
        _ => Ok(Verdict::Connect(random_plan(rng))),
    };
    Decision::After(delay, Box::new(outcome))
}

fn random_plan(rng: &mut Rng) -> Plan {
    let n = 1 + rng.next_u64() % 4;
    let together = rng.next_u64().is_multiple_of(4);
    let mut plan = Plan::default();
    for group in 0..n {
        let pick = |rng: &mut Rng, n: u64| rng.next_u64() % n;
        plan.candidates.push(Candidate {
            trunk: TRUNKS[pick(rng, 6) as usize].to_owned(),
            callee: (pick(rng, 2) == 0).then(|| "+12065550100".to_owned()),
            withhold_caller: pick(rng, 8) == 0,
            no_progress_ms: (pick(rng, 4) == 0).then_some(1_500),
            ring_ms: (pick(rng, 4) == 0).then_some(4_000),
            group: if together {
                0
            } else {
                u8::try_from(group).expect("small")
            },
            ..Candidate::default()
        });
    }
    if rng.next_u64().is_multiple_of(6) {
        plan.when_exhausted = WhenExhausted::AskAgain;
    }
    if rng.next_u64().is_multiple_of(10) {
        plan.max_duration_s = Some(3);
    }
    plan
}

fn flood() -> Vec<Candidate> {
    vec![
        Candidate {
            trunk: "gw-a".to_owned(),
            ..Candidate::default()
        };
        10_000
    ]
}

fn smuggled() -> Plan {
    let mut plan = plan_to(&["gw-a"]);
    plan.candidates[0].set_headers = vec![HeaderField {
        name: "X-Note".to_owned(),
        value: "a\r\nVia: SIP/2.0/UDP evil".to_owned(),
    }];
    plan
}
