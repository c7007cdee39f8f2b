//! How two outcomes of one question differ, told in few words so that differences can be counted.

use std::collections::BTreeMap;
use std::fmt::Write;

use intertrunk_proto::ask::{Candidate, PolicyFault, Query, Verdict};
use serde::Serialize;

type Outcome = Result<Verdict, PolicyFault>;

/// Groups that are kept; what does not fit them is counted under [`OTHER`].
const GROUPS_MAX: usize = 64;
/// Examples of one group.
const EXAMPLES_MAX: usize = 5;
/// The group of all differences that came when there were too many groups.
const OTHER: &str = "other";

/// Outcomes of two policies, compared one by one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Comparison {
    /// Decisions compared.
    pub compared: u64,
    /// Those with the same outcome.
    pub same: u64,
    /// The others, by what differs; the largest group first.
    pub groups: Vec<Group>,
}

/// Differences of one cause.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Group {
    /// What differs.
    pub cause: String,
    /// How often.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Example {
    /// The call's id.
    pub call: String,
    /// Ingress trunk.
    pub from: String,
    /// Calling number.
    pub caller: String,
    /// Called number.
    pub to: String,
    /// The outcome that it is compared with.
    pub before: String,
    /// The outcome of the module in question.
    pub after: String,
}

/// Comparisons under way.
#[derive(Debug, Default)]
pub(crate) struct Comparing {
    compared: u64,
    same: u64,
    groups: BTreeMap<String, Group>,
}

impl Comparing {
    /// Compares one more. `unknown`: what the module in question asked and nobody had answered.
    pub fn add(&mut self, query: &Query, before: &Outcome, after: &Outcome, unknown: Option<&str>) {
        self.compared += 1;
        let Some(cause) = cause(before, after) else {
            self.same += 1;
            return;
        };
        // A guess at what the host would have answered would be no evidence.
        let cause = unknown.map_or(cause, |asked| {
            format!("asks what was not recorded: {asked}")
        });
        let is_full = self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&cause);
        let cause = if is_full { OTHER.to_owned() } else { cause };
        let group = self.groups.entry(cause).or_insert_with_key(|cause| Group {
            cause: cause.clone(),
            count: 0,
            examples: Vec::new(),
        });
        group.count += 1;
        if group.examples.len() < EXAMPLES_MAX {
            group.examples.push(Example {
                call: query.call.id.clone(),
                from: query.call.ingress.clone(),
                caller: query.call.caller.user.clone(),
                to: query.call.callee.user.clone(),
                before: summary(before),
                after: summary(after),
            });
        }
    }

    /// What came of it so far.
    pub fn result(&self) -> Comparison {
        let mut groups: Vec<_> = self.groups.values().cloned().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        Comparison {
            compared: self.compared,
            same: self.same,
            groups,
        }
    }
}

impl Comparison {
    /// Decisions with another outcome.
    pub fn different(&self) -> u64 {
        self.compared - self.same
    }
}

/// What differs; `None` if nothing does. Of several things that of most weight: whether the call is
/// connected, where to, as what, how.
fn cause(before: &Outcome, after: &Outcome) -> Option<String> {
    use Verdict::{Connect, Redirect, Reject};
    if before == after {
        return None;
    }
    let told = match (before, after) {
        (Ok(Connect(before)), Ok(Connect(after))) => {
            let trunks = |plan: &[Candidate]| -> Vec<String> {
                plan.iter().map(|it| it.trunk.clone()).collect()
            };
            let (old, new) = (trunks(&before.candidates), trunks(&after.candidates));
            let differs = |is: &dyn Fn(&Candidate, &Candidate) -> bool| {
                let mut pairs = before.candidates.iter().zip(&after.candidates);
                pairs.any(|(before, after)| !is(before, after))
            };
            if old.first() != new.first() {
                let name = |names: &[String]| names.first().cloned().unwrap_or("none".to_owned());
                format!("first trunk: {} -> {}", name(&old), name(&new))
            } else if old != new {
                "trunks tried after the first".to_owned()
            } else if differs(&|a, b| a.callee == b.callee) {
                "called number".to_owned()
            } else if differs(&|a, b| {
                (&a.caller, a.withhold_caller) == (&b.caller, b.withhold_caller)
            }) {
                "caller".to_owned()
            } else if differs(&|a, b| {
                (&a.set_headers, &a.remove_headers) == (&b.set_headers, &b.remove_headers)
            }) {
                "headers".to_owned()
            } else if before.candidates != after.candidates {
                "timers, failover or media".to_owned()
            } else if before.tags != after.tags {
                "tags".to_owned()
            } else {
                "code maps, duration or cookie".to_owned()
            }
        }
        (Ok(Reject(before)), Ok(Reject(after))) if before.code != after.code => {
            format!("reject: {} -> {}", before.code, after.code)
        }
        (Ok(Reject(_)), Ok(Reject(_))) => "reject: phrase, cause or Retry-After".to_owned(),
        (Ok(Redirect(_)), Ok(Redirect(_))) => "redirect: targets".to_owned(),
        (before, after) => format!("{} -> {}", kind(before), kind(after)),
    };
    Some(told)
}

fn kind(outcome: &Outcome) -> String {
    match outcome {
        Ok(Verdict::Connect(plan)) if plan.candidates.is_empty() => "no trunk left".to_owned(),
        Ok(Verdict::Connect(_)) => "connect".to_owned(),
        Ok(Verdict::Reject(rejection)) => format!("reject {}", rejection.code),
        Ok(Verdict::Redirect(_)) => "redirect".to_owned(),
        Ok(Verdict::Inquire(_)) => "inquire".to_owned(),
        Ok(Verdict::Pass) => "pass".to_owned(),
        Err(fault) => format!("fault {}", fault.kind()),
    }
}

/// An outcome in one line.
fn summary(outcome: &Outcome) -> String {
    let mut line = kind(outcome);
    match outcome {
        Ok(Verdict::Connect(plan)) => {
            for candidate in &plan.candidates {
                let _ = write!(line, " {}", candidate.trunk);
                if let Some(callee) = &candidate.callee {
                    let _ = write!(line, ":{callee}");
                }
                if let Some(caller) = &candidate.caller {
                    let _ = write!(line, " (as {})", caller.user);
                }
            }
        }
        Ok(Verdict::Redirect(targets)) => {
            for target in targets {
                let _ = write!(line, " {}@{}", target.user, target.host);
            }
        }
        Err(PolicyFault::Trap(what)) => {
            let _ = write!(line, ": {what}");
        }
        _ => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use intertrunk_proto::ask::{Plan, Rejection};

    use super::*;

    fn plan(candidates: &[(&str, &str)]) -> Outcome {
        let candidate = |(trunk, callee): &(&str, &str)| Candidate {
            trunk: (*trunk).to_owned(),
            callee: Some((*callee).to_owned()),
            ..Candidate::default()
        };
        Ok(Verdict::Connect(Plan {
            candidates: candidates.iter().map(candidate).collect(),
            ..Plan::default()
        }))
    }

    fn reject(code: u16) -> Outcome {
        Ok(Verdict::Reject(Rejection {
            code,
            ..Rejection::default()
        }))
    }

    #[test]
    fn the_weightiest_difference_is_named() {
        let a = plan(&[("gw-a", "+1"), ("gw-b", "+1")]);
        let named = |after: &Outcome| cause(&a, after).unwrap_or_default();
        assert_eq!(cause(&a, &a.clone()), None);
        assert_eq!(named(&plan(&[("gw-b", "+2")])), "first trunk: gw-a -> gw-b");
        assert_eq!(
            named(&plan(&[("gw-a", "+2")])),
            "trunks tried after the first"
        );
        assert_eq!(
            named(&plan(&[("gw-a", "+1"), ("gw-b", "+2")])),
            "called number"
        );
        assert_eq!(named(&reject(404)), "connect -> reject 404");
        assert_eq!(named(&Err(PolicyFault::Stack)), "connect -> fault stack");
        assert_eq!(
            cause(&reject(404), &reject(486)).as_deref(),
            Some("reject: 404 -> 486")
        );
    }

    #[test]
    fn groups_and_examples_are_bounded() {
        let mut comparing = Comparing::default();
        for code in 400..700 {
            for _ in 0..10 {
                comparing.add(&Query::default(), &reject(300), &reject(code), None);
            }
        }
        let result = comparing.result();
        assert_eq!((result.compared, result.different()), (3000, 3000));
        assert_eq!(result.groups.len(), GROUPS_MAX + 1);
        assert_eq!(result.groups[0].cause, OTHER, "the largest comes first");
        assert_eq!(result.groups.iter().map(|it| it.count).sum::<u64>(), 3000);
        assert!(result.groups.iter().all(|it| it.examples.len() == 5));
    }
}
