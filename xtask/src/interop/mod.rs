//! `cargo xtask interop`: Intertrunk among programs that other people wrote, all on loopback.
//!
//! Groups of scenarios, each with a host of its own: streams of calls under hot swaps (`load`), a
//! scenario for each rule of the call kernel that shows on the wire (`rules`), a proxy in the path
//! (`kamailio`), and telephones (`baresip`). Every scenario is bounded in calls and in time, checked
//! on both sides, and held against the call records; a table tells what came of each.

mod baresip;
mod cases;
mod certs;
mod control;
pub mod http;
mod kamailio;
mod load;
mod phone;
pub mod process;
mod records;
mod rules;
mod security;
mod service;
pub mod sipp;
mod trunk_cases;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;

pub use load::two_builds;

/// Where the host under test listens, in each group.
const HOST: &str = "127.0.0.1:15060";

/// What is run, and how much of it.
#[derive(clap::Args)]
pub struct Args {
    /// Calls of the long run, at 100 a second
    #[arg(long, default_value_t = CALLS, value_parser = clap::value_parser!(u32).range(100..=9000))]
    calls: u32,
    /// Only scenarios whose name begins so
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Name the scenarios and run none
    #[arg(long)]
    list: bool,
}

const CALLS: u32 = 1000;

impl Default for Args {
    fn default() -> Args {
        Args {
            calls: CALLS,
            only: None,
            list: false,
        }
    }
}

/// What a line of the table says of a scenario before it has run.
#[derive(Clone, Copy)]
struct Listed {
    name: &'static str,
    /// The rules of the call kernel that it shows, such as `K2, K3`; empty for none.
    rules: &'static str,
    /// The programs around the host.
    peers: &'static str,
}

/// What came of a scenario: good when nothing is at fault.
struct Outcome {
    listed: Listed,
    calls: u32,
    took: Duration,
    faults: Vec<String>,
}

/// Scenarios that share a host.
struct Group {
    /// Its folder below the run's.
    name: &'static str,
    list: fn() -> Vec<Listed>,
    run: fn(&World) -> Result<Vec<Outcome>>,
}

const GROUPS: [Group; 5] = [
    load::GROUP,
    rules::GROUP,
    security::GROUP,
    kamailio::GROUP,
    baresip::GROUP,
];

/// What every group needs of the run.
struct World {
    intertrunk: PathBuf,
    /// The group's own copy of `tests/interop`: configuration, scenarios, and what the run writes.
    dir: PathBuf,
    calls: u32,
    only: Option<String>,
}

impl World {
    fn wants(&self, name: &str) -> bool {
        wants(self.only.as_deref(), name)
    }
}

fn wants(only: Option<&str>, name: &str) -> bool {
    only.is_none_or(|only| name.starts_with(only))
}

/// Runs what was asked for; fails unless every scenario was good.
pub fn run(args: &Args) -> Result<()> {
    let only = args.only.as_deref();
    let is_wanted = |group: &Group| (group.list)().iter().any(|l| wants(only, l.name));
    let groups: Vec<&Group> = GROUPS.iter().filter(|group| is_wanted(group)).collect();
    ensure!(
        !groups.is_empty(),
        "no scenario is named so; --list names all"
    );
    if args.list {
        for listed in groups.iter().flat_map(|group| (group.list)()) {
            if wants(only, listed.name) {
                println!("{:<30} {:<12} {}", listed.name, listed.rules, listed.peers);
            }
        }
        return Ok(());
    }
    sipp::ensure()?;
    cargo::run(&["build", "--package", "intertrunk"])?;
    let began = Instant::now();
    let mut outcomes = Vec::new();
    let mut broken = Vec::new();
    for group in &groups {
        let world = World {
            intertrunk: cargo::out_dir()?.join("intertrunk"),
            dir: cargo::scratch_copy("interop", &format!("interop/{}", group.name))?,
            calls: args.calls,
            only: args.only.clone(),
        };
        // One group that cannot run at all hides nothing of the others.
        match (group.run)(&world) {
            Ok(more) => outcomes.extend(more),
            Err(why) => broken.push(format!("{}: {why:#}", group.name)),
        }
    }
    let listed = groups.iter().flat_map(|group| (group.list)());
    let listed = listed.filter(|l| wants(only, l.name));
    let left_out = listed.filter(|l| outcomes.iter().all(|o: &Outcome| o.listed.name != l.name));
    let left_out: Vec<_> = left_out.map(|listed| listed.name).collect();
    report(&outcomes, &left_out, &broken, began.elapsed())
}

fn report(
    outcomes: &[Outcome],
    left_out: &[&str],
    broken: &[String],
    took: Duration,
) -> Result<()> {
    println!(
        "\n{:<30} {:<12} {:<28} {:>5} {:>7}  result",
        "scenario", "rules", "peers", "calls", "seconds"
    );
    for outcome in outcomes {
        let Listed { name, rules, peers } = outcome.listed;
        let seconds = outcome.took.as_secs_f32();
        let calls = outcome.calls;
        let result = if outcome.faults.is_empty() {
            "good"
        } else {
            "FAILED"
        };
        println!("{name:<30} {rules:<12} {peers:<28} {calls:>5} {seconds:>7.1}  {result}");
    }
    let good = outcomes.iter().filter(|o| o.faults.is_empty()).count();
    let calls: u32 = outcomes.iter().map(|o| o.calls).sum();
    println!(
        "\n{good} of {} scenarios good, {calls} calls, {:.0} s",
        outcomes.len(),
        took.as_secs_f32()
    );
    if !left_out.is_empty() {
        println!("not run: {}", left_out.join(", "));
    }
    let faults: Vec<String> = outcomes
        .iter()
        .flat_map(|o| {
            o.faults
                .iter()
                .map(|fault| format!("{}: {fault}", o.listed.name))
        })
        .chain(broken.iter().cloned())
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    let dir = cargo::out_dir()?.join("interop");
    bail!(
        "{}\n  logs and records: {}",
        faults.join("\n  "),
        dir.display()
    )
}

/// Builds the policy in `source`, below the root of the workspace, into the file `out`.
pub fn build_policy(intertrunk: &Path, source: &str, out: &Path) -> Result<()> {
    let mut build = Command::new(intertrunk);
    build
        .args(["policy", "build"])
        .arg(cargo::root().join(source))
        .arg("-o")
        .arg(out);
    process::complete(&mut build).with_context(|| format!("{source} was not built"))
}
