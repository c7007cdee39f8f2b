//! `cargo xtask bench`: what a call costs in Intertrunk and in Kamailio, side by side.
//!
//! The routers take turns on core 0, SIPp and this program stay on core 1, all on loopback. Absolute
//! figures hold on no other machine and not even at another hour; ratios within one run do.

mod hostile;
mod load;
mod pace;
mod probe;
mod proc;
mod promote;
mod report;
mod router;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use crate::cargo;
use crate::interop::{process, sipp};
use load::{Load, Outcome};
use probe::Probe;
use router::{Router, Subject};

/// How long, and how hard.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  cargo xtask bench                           what docs/performance.md quotes, 20 minutes
  cargo xtask bench --rounds 1 --held 0       a first look, 5 minutes
  cargo xtask bench --rate 1000 --calls 20000 busier
  cargo xtask bench hostile                   what policies that misbehave cost the calls of others
  cargo xtask bench promote                   what promotions cost the calls

Needs two cores. Kamailio and SIPp are installed if this is Debian and you are root:
  apt-get install kamailio kamailio-lua-modules sip-tester"
)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// Rounds in which each router has its turn; fewer than 3 are not to be quoted
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// New calls a second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(100..=2000))]
    rate: u32,
    /// Measured calls of each turn
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1000..=100_000))]
    calls: u32,
    /// Calls held up to see what memory one takes; 0 leaves this out
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    held: u32,
}

/// Measured without Kamailio.
#[derive(clap::Subcommand)]
enum Other {
    /// Policies that misbehave beside one that does not: setup time of its calls, 6 minutes
    Hostile(hostile::Args),
    /// A promotion each second under load: setup time, failed calls, records; 3 minutes
    Promote(promote::Args),
}

/// The longest that a finished transaction of either router lives: 64·T1 (RFC 3261 §17.1.1.2,
/// RFC 6026), and a little.
const TRANSACTIONS_LIVE: Duration = Duration::from_secs(35);
const TALKS_FOR: Duration = Duration::from_millis(100);

/// What one turn of one router came to.
pub struct Turn {
    cpu: Duration,
    outcome: Outcome,
    delays: Vec<Duration>,
    probes_lost: usize,
}

/// Bytes of proportional set size that a held call adds.
#[derive(Clone, Copy)]
pub struct Held {
    with_transactions: f64,
    settled: f64,
}

/// Builds, measures, prints.
pub fn run(args: &Args) -> Result<()> {
    sipp::ensure()?;
    ensure!(
        thread::available_parallelism()?.get() >= 2,
        "two cores are needed: one for the router, one for SIPp"
    );
    match &args.other {
        Some(Other::Hostile(args)) => return hostile::run(args),
        Some(Other::Promote(args)) => return promote::run(args),
        None => router::ensure_kamailio()?,
    }
    let intertrunk = build(false)?;
    let dir = cargo::scratch_copy("bench", "bench")?;
    let subjects = router::subjects(intertrunk);
    stay_on_core_1()?;
    eprintln!("load average before: {}", load_average()?);

    let mut turns: Vec<Vec<Turn>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds as usize {
        for i in 0..subjects.len() {
            // Each round begins with another router: none always follows the same one.
            let n = (i + round) % subjects.len();
            let turn = measure(&subjects[n], args, &dir)
                .with_context(|| format!("{}, round {}", subjects[n].name, round + 1))?;
            eprintln!("round {}: {}: {turn}", round + 1, subjects[n].name);
            turns[n].push(turn);
        }
    }
    let mut held = vec![None; subjects.len()];
    if args.held > 0 {
        for (subject, held) in subjects.iter().zip(&mut held) {
            *held = Some(hold(subject, args, &dir).with_context(|| subject.name)?);
        }
    }
    let load_after = load_average()?;
    report::print(&subjects, &turns, &held, args);
    println!("Load average after, of this run as well: {load_after}");
    Ok(())
}

/// One router, freshly started, in its steady state: before the measured calls come as many
/// seconds of the same load as a transaction lives, so that while it is measured as many
/// transactions end as begin.
fn measure(subject: &Subject, args: &Args, dir: &Path) -> Result<Turn> {
    let mut probe = Probe::bind()?;
    let router = Router::start(subject, dir, &mut probe)?;
    let load = Load {
        dir,
        callee: subject.callee,
        rate: args.rate,
        talks_for: TALKS_FOR,
    };
    let first = args.rate * TRANSACTIONS_LIVE.as_secs() as u32;
    load.start(first)?.wait(|| Ok(()))?;

    let before = router.cpu()?;
    let mut delays = Vec::new();
    let mut probes_lost = 0;
    let outcome = load.start(args.calls)?.wait(|| {
        match probe.call()? {
            Some(delay) => delays.push(delay),
            None => probes_lost += 1,
        }
        Ok(())
    })?;
    let cpu = router.cpu()? - before;
    router.stop()?;
    ensure!(outcome.good > 0, "no call was good: {}", outcome.errors);
    Ok(Turn {
        cpu,
        outcome,
        delays,
        probes_lost,
    })
}

/// Memory of calls that are up: right after the last was answered, and when the transactions that
/// set them up are gone.
fn hold(subject: &Subject, args: &Args, dir: &Path) -> Result<Held> {
    let mut probe = Probe::bind()?;
    let router = Router::start_lean(subject, dir, &mut probe)?;
    let set_up = Duration::from_secs(u64::from(args.held / args.rate + 1));
    let load = |talks_for| Load {
        dir,
        callee: subject.callee,
        rate: args.rate,
        talks_for,
    };
    // Code and tables that the first calls touch are not the calls' own.
    load(TALKS_FOR).start(50)?.wait(|| Ok(()))?;
    let empty = router.memory()?;

    let talks_for = set_up + TRANSACTIONS_LIVE + Duration::from_secs(10);
    let running = load(talks_for).start(args.held)?;
    let deadline = Instant::now() + set_up + Duration::from_secs(5);
    while running.calls_up() != args.held {
        ensure!(
            Instant::now() < deadline,
            "{} of {} calls are up",
            running.calls_up(),
            args.held
        );
        thread::sleep(Duration::from_millis(100));
    }
    let full = router.memory()?;
    thread::sleep(TRANSACTIONS_LIVE);
    ensure!(
        running.calls_up() == args.held,
        "held calls ended before they were measured"
    );
    let settled = router.memory()?;
    running.wait(|| Ok(()))?;
    router.stop()?;
    let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / f64::from(args.held);
    Ok(Held {
        with_transactions: each(full),
        settled: each(settled),
    })
}

/// Builds the host, as a service runs it or for everyday work; where it is.
fn build(everyday: bool) -> Result<PathBuf> {
    let profile = if everyday { "dev" } else { "release" };
    cargo::run(&["build", "--profile", profile, "--package", "intertrunk"])?;
    let out = cargo::out_dir()?;
    let target = out.parent().context("a profile's directory has a parent")?;
    let folder = if everyday { "debug" } else { "release" };
    Ok(target.join(folder).join("intertrunk"))
}

/// Children inherit it: SIPp needs no word about it.
fn stay_on_core_1() -> Result<()> {
    let me = std::process::id().to_string();
    let mut taskset = Command::new("taskset");
    process::complete(taskset.args(["-pc", "1", &me]).stdout(Stdio::null()))
}

fn load_average() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}
