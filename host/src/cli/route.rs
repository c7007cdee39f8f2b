//! `intertrunk route`: where would this call go, and why?
//!
//! Asks the policy in the production engine and judges its verdict by the rules of a live call,
//! fallback included, without sending anything. `plan` applies the assumptions, `report` is the answer,
//! `print` shows it.

mod plan;
mod print;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use intertrunk_policy::{Engine, Runner, Slot, World};
use intertrunk_proto::ask::{
    Answered, AttemptFacts, Candidate, Cause, LookUp, NoAnswer, Pin, Plan, Query, Verdict,
};
use intertrunk_proto::judge::{Judged, judge};
use intertrunk_proto::meter::Reading;
use intertrunk_proto::trunk::Trunk;
use intertrunk_proto::{Fallback, Policy, PolicyId, Snapshot, TrunkId, query};

use super::{configuration, exit, say, say_json};
use crate::clock::Clock;
use crate::config::{Built, PolicySource};
use crate::staging;
use crate::world::{Live, WhatIf};
use plan::Walk;
use report::{Asked, Report};

pub const EXAMPLES: &str = "\
Examples:
  intertrunk route -c intertrunk.toml --from pbx-a --to +442071234567
  intertrunk route -c intertrunk.toml --from gw-a --to +14255550100 --caller +12065550123
  intertrunk route -c intertrunk.toml --from pbx-a --to +442071234567 --down gw-a
  intertrunk route -c intertrunk.toml --from pbx-a --to 911 --failed gw-a:503 --policy new.wasm

Exit codes: 0 the call would be sent on, 1 it would be refused, 2 the question makes no sense.";

#[derive(Args)]
pub struct RouteArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Trunk that the call comes in on
    #[arg(long, value_name = "TRUNK")]
    from: String,
    /// Number called, or a SIP or tel URI
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// Number of the caller, or a SIP or tel URI
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// A header of the INVITE; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The time of the call; now unless given
    #[arg(long, value_name = "RFC3339")]
    at: Option<jiff::Timestamp>,
    /// Assume that a trunk is down; may be given several times
    #[arg(long, value_name = "TRUNK")]
    down: Vec<String>,
    /// Assume that a trunk is full; may be given several times
    #[arg(long, value_name = "TRUNK")]
    full: Vec<String>,
    /// Assume that this trunk fails with this code when it is tried, and show what comes then; may
    /// be given several times
    #[arg(long, value_name = "TRUNK:CODE", value_parser = failed)]
    failed: Vec<(String, u16)>,
    /// Assume that an outside source says this of every key; may be given several times
    #[arg(long = "answer", value_name = "SOURCE=TEXT", value_parser = answer_of)]
    answers: Vec<(String, String)>,
    /// Ask this module in place of the trunk's policy
    #[arg(long, value_name = "WASM")]
    policy: Option<PathBuf>,
    /// Print the answer for programs
    #[arg(long)]
    json: bool,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn answer_of(text: &str) -> Result<(String, String), String> {
    let (source, answer) = text.split_once('=').ok_or("write SOURCE=TEXT")?;
    Ok((source.to_owned(), answer.to_owned()))
}

fn failed(text: &str) -> Result<(String, u16), String> {
    let wrong = "write TRUNK:CODE, with a code from 300 to 699";
    let (trunk, code) = text.split_once(':').ok_or(wrong)?;
    let code = code
        .parse()
        .ok()
        .filter(|code| (300..=699).contains(code))
        .ok_or(wrong)?;
    Ok((trunk.to_owned(), code))
}

pub fn run(args: &RouteArgs) -> anyhow::Result<ExitCode> {
    let built = configuration(&args.config)?;
    let report = answer(&built, args)?;
    if args.json {
        say_json(&report);
    } else {
        say(&report.to_string());
    }
    Ok(exit(report.goes_on()))
}

/// Everything that one question needs.
struct Asking<'a> {
    args: &'a RouteArgs,
    built: &'a Built,
    snapshot: &'a Snapshot,
    ingress: &'a Trunk,
    engine: Engine,
    runner: Runner,
    world: Arc<dyn World>,
    report: Report,
}

fn answer(built: &Built, args: &RouteArgs) -> anyhow::Result<Report> {
    let snapshot = &*built.snapshot;
    let ingress = trunk(snapshot, &args.from)?;
    let failed = args.failed.iter().map(|(name, _)| name);
    for name in args.down.iter().chain(&args.full).chain(failed) {
        trunk(snapshot, name)?;
    }
    let mut query = question(args, ingress)?;
    query.call.emergency = snapshot.emergency.is_called_by(&args.to);
    let engine = Engine::new()?;
    let base = Live::new(
        Arc::clone(&built.snapshot),
        Arc::clone(&built.tables),
        Clock::start(),
    );
    let asking = Asking {
        args,
        built,
        snapshot,
        ingress,
        runner: Runner::new(&engine),
        engine,
        world: Arc::new(WhatIf {
            base: Arc::new(base),
            down: args.down.clone(),
            full: args.full.clone(),
        }),
        report: Report::new(args, &query),
    };
    asking.decide(query)
}

fn trunk<'s>(snapshot: &'s Snapshot, name: &str) -> anyhow::Result<&'s Arc<Trunk>> {
    snapshot.trunk_named(name).with_context(|| {
        let names: Vec<&str> = snapshot.trunks.iter().map(|trunk| &*trunk.name).collect();
        format!("no trunk \"{name}\"; there are: {}", names.join(", "))
    })
}

fn question(args: &RouteArgs, ingress: &Trunk) -> anyhow::Result<Query> {
    let mut query = query::of_numbers(ingress, &args.to, args.caller.as_deref(), &args.headers);
    let at = args.at.unwrap_or_else(jiff::Timestamp::now);
    query.unix_ms = u64::try_from(at.as_millisecond()).context("--at is before 1970")?;
    query.explain = true;
    Ok(query)
}

/// Where a call stands between two questions.
struct Stand {
    policy: PolicyId,
    slot: Arc<Slot>,
    pin: Option<Pin>,
}

impl Asking<'_> {
    /// Goes the way of a live call: the trunk's policy, again if it wants to be asked again, and the
    /// fallback when there is no usable verdict.
    fn decide(mut self, mut query: Query) -> anyhow::Result<Report> {
        let mut stand = self.begin_with(self.ingress.policy)?;
        for _ in 0..self.snapshot.limits.asks_max {
            let pin = stand.pin.as_ref();
            let answer = self
                .runner
                .decide(&stand.slot, pin, &mut query, None, &self.world);
            self.report.asked(&answer);
            stand.pin = answer.pin.or(stand.pin);
            let policy = self.snapshot.policy(stand.policy);
            let policy = policy.context("the policy of a trunk is configured")?;
            if answer.outcome == Ok(Verdict::Pass)
                && let Some(next) = self.ingress.next_policy(stand.policy)
            {
                self.report.note(format!("{} passes", policy.name));
                stand = self.begin_with(next)?;
                query.cookie.clear();
                continue;
            }
            let judged = match answer.outcome {
                Ok(verdict) => self.judge(verdict, Some(policy)),
                Err(fault) => Judged::Fault(fault),
            };
            if let Judged::Inquire(inquiry) = judged {
                query.cookie = inquiry.cookie;
                query.cause = Cause::Answered(self.assumed(inquiry.look_ups, policy));
                continue;
            }
            let Judged::Fault(fault) = judged else {
                match self.conclude(judged, &mut query) {
                    Some(attempts) => query.cause = Cause::Exhausted(attempts),
                    None => return Ok(self.report),
                }
                continue;
            };
            self.report.fell_back(&policy.name, &fault);
            let emergency = &self.snapshot.emergency.route;
            if query.call.emergency && !emergency.is_empty() {
                let verdict = Verdict::Connect(self.fallback_plan(emergency));
                let judged = self.judge(verdict, None);
                if !matches!(judged, Judged::Fault(_)) {
                    self.report
                        .note("emergency: by the configured route".to_owned());
                    self.conclude(judged, &mut query);
                    return Ok(self.report);
                }
            }
            match &policy.fallback {
                Fallback::Reject(code) => {
                    self.report.reject_with(*code);
                    return Ok(self.report);
                }
                Fallback::Route(trunks) => {
                    let verdict = Verdict::Connect(self.fallback_plan(trunks));
                    let judged = self.judge(verdict, None);
                    // The fallback's plan never wants to be asked again.
                    self.conclude(judged, &mut query);
                    return Ok(self.report);
                }
                Fallback::Policy(next) => {
                    stand = self.begin_with(*next)?;
                    query.cookie.clear();
                }
            }
        }
        // Asked as often as one question may be: the call would end as a live one does.
        self.report.reject_with(500);
        Ok(self.report)
    }

    fn judge(&mut self, verdict: Verdict, policy: Option<&Policy>) -> Judged {
        let (judged, notes) = judge(verdict, self.ingress, self.snapshot, policy);
        self.report.refused.extend(notes);
        judged
    }

    /// Takes down what the host would do. Returns the failed attempts if the policy is to be asked
    /// again because of them.
    fn conclude(&mut self, judged: Judged, query: &mut Query) -> Option<Vec<AttemptFacts>> {
        match judged {
            Judged::Connect { accepted, plan } => {
                let walk = Walk::of(&accepted, &plan, self.args);
                let asked = Asked {
                    query,
                    snapshot: self.snapshot,
                };
                self.report.connect(&accepted, &plan, &walk, &asked);
                query.cookie.clone_from(&plan.cookie);
                walk.asks_again.then_some(walk.attempts)
            }
            Judged::Reject(rejection) => {
                self.report.reject(rejection);
                None
            }
            Judged::Redirect(to) => {
                self.report.redirect(to.contacts);
                None
            }
            // Only what asks for more is neither; it has been answered.
            Judged::Inquire(_) | Judged::Fault(_) => {
                self.report.reject_with(503);
                None
            }
        }
    }

    /// What `--answer` says of these look-ups. Meters that it says nothing of have counted nothing.
    fn assumed(&mut self, look_ups: Vec<LookUp>, policy: &Policy) -> Vec<Answered> {
        let mut answers = Vec::with_capacity(look_ups.len());
        for LookUp { source, key, .. } in look_ups {
            let assumed = self.args.answers.iter().find(|(name, _)| *name == source);
            let known = self.built.sources.iter().find(|it| it.name == source);
            let outcome = match (assumed, known) {
                (Some((_, text)), _) => Ok(text.clone()),
                (None, None) => Err(NoAnswer::UnknownSource),
                (None, Some(_)) if !policy.may_ask(&source) => Err(NoAnswer::Denied),
                (None, Some(known)) if known.is_meter() => Ok(Reading::default().to_string()),
                (None, Some(_)) => {
                    let remedy = format!("it is not asked here; assume --answer '{source}=TEXT'");
                    self.report
                        .note(format!("inquires of {source} for {key}: {remedy}"));
                    Err(NoAnswer::Failed)
                }
            };
            let answer = Answered {
                source,
                key,
                outcome,
            };
            self.report.note(answer.to_string());
            self.report.inquired(&answer);
            answers.push(answer);
        }
        answers
    }

    /// Loads a policy as configured, or with the module of `--policy` if it is the trunk's own.
    /// Without its cases: a what-if module need not pass them.
    fn begin_with(&self, policy: PolicyId) -> anyhow::Result<Stand> {
        let found = self
            .built
            .policies
            .iter()
            .find(|source| source.id == policy);
        let source = found.context("every policy of the snapshot has a source")?;
        let mut source = PolicySource {
            suites: Vec::new(),
            ..source.clone()
        };
        if let Some(path) = &self.args.policy
            && policy == self.ingress.policy
        {
            let bytes = std::fs::read(path);
            let bytes = bytes.with_context(|| format!("{} cannot be read", path.display()))?;
            source.wasm = bytes.into();
        }
        let staged = staging::stage(&self.engine, &source, &self.world);
        let staged =
            staged.map_err(|fault| staging::as_error(&self.built.path, &source, &fault))?;
        Ok(Stand {
            policy,
            slot: staged.slot,
            pin: None,
        })
    }

    fn fallback_plan(&self, trunks: &[TrunkId]) -> Plan {
        let named = trunks.iter().filter_map(|id| self.snapshot.trunk(*id));
        let candidates = named.zip(0_u8..).map(|(trunk, group)| Candidate {
            trunk: trunk.name.to_string(),
            group,
            ..Candidate::default()
        });
        Plan {
            candidates: candidates.collect(),
            ..Plan::default()
        }
    }
}
