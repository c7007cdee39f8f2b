//! `cargo xtask bench promote`: what a promotion each second costs the calls.
//!
//! The standard policy as two modules that decide the same, staged and promoted in turn while calls come.
//! Turns with promotions follow turns without. No call may fail, every record has to name a generation
//! with its module, of those that were live, and each call that begins a millisecond after a promotion was
//! answered must be decided by that generation or a later one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::load::Load;
use super::pace::Paced;
use super::probe::Probe;
use super::router::{Router, Subject};
use super::{TALKS_FOR, build, load_average, stay_on_core_1};
use crate::cargo;
use crate::interop::{http, two_builds};

/// How long, and how hard.
#[derive(clap::Args)]
pub struct Args {
    /// Turns without promotions, and as many with them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Seconds of each turn
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// Calls a second, answered; those that are measured come on top
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(100..=2000))]
    rate: u32,
    /// Measure the everyday build: a bound from above, without another build of wasmtime
    #[arg(long)]
    everyday: bool,
}

const MEASURED: u32 = 100;
const ADMIN: &str = "127.0.0.1:16061";
/// How often somebody promotes.
const EVERY: Duration = Duration::from_secs(1);

/// Calls that begin so soon after one are counted: they show that this was put to the test.
const SOON: SignedDuration = SignedDuration::from_millis(10);

/// A generation as records name it: its number and its module.
type Named = (u64, String);

/// A generation that was promoted.
struct Promotion {
    named: Named,
    answered_at: Timestamp,
    took: Duration,
}

/// Builds, measures, prints.
pub fn run(args: &Args) -> Result<()> {
    let intertrunk = build(args.everyday)?;
    let dir = cargo::scratch_copy("bench", "bench-promote")?;
    let modules = two_builds(&intertrunk, &dir)?;
    let usual = fs::read_to_string(dir.join("intertrunk.toml"))?;
    let more = format!("\n[admin]\nlisten = \"{ADMIN}\"\n[cdr]\ndir = \"cdr\"\n");
    fs::write(dir.join("promote.toml"), usual + &more)?;
    let subject = Subject::intertrunk(intertrunk, &["run", "-c", "promote.toml"]);
    stay_on_core_1()?;
    eprintln!("load average before: {}", load_average()?);

    let mut probe = Probe::bind()?;
    let router = Router::start(&subject, &dir, &mut probe)?;
    let mut live = BTreeSet::from([now_live()?]);
    let (mut without, mut with) = (Paced::default(), Paced::default());
    let mut promotions = Vec::new();
    for round in 0..args.rounds {
        without.extend(turn(&dir, &mut probe, args)?);
        let over = AtomicBool::new(false);
        let (turn, promoted) = thread::scope(|scope| {
            let promoting = scope.spawn(|| promote(&modules, &over));
            let turn = turn(&dir, &mut probe, args);
            over.store(true, Ordering::Relaxed);
            let promoted = promoting
                .join()
                .map_err(|_| anyhow!("promoting panicked"))?;
            Ok::<_, anyhow::Error>((turn?, promoted?))
        })?;
        with.extend(turn);
        eprintln!("round {}: {} promotions", round + 1, promoted.len());
        promotions.extend(promoted);
    }
    router.stop()?;
    live.extend(promotions.iter().map(|it| it.named.clone()));
    let records = records(&dir.join("cdr"))?;
    let named: BTreeSet<Named> = records.iter().map(|(_, named)| named.clone()).collect();
    // And a few that found the host ready.
    let calls = 2 * args.rounds * args.seconds * (args.rate + MEASURED);
    ensure!(
        records.len() >= calls as usize,
        "{} records of {calls} calls",
        records.len()
    );
    ensure!(named.is_subset(&live), "never live: {:?}", &named - &live);

    println!(
        "\n{} calls a second and {MEASURED} that are measured, {} rounds of {} s.\n",
        args.rate, args.rounds, args.seconds
    );
    println!("| promotions | p50 / p99 µs | lost |\n|---|---|---|");
    for (what, paced) in [("none", &without), ("one a second", &with)] {
        let (half, most) = (paced.percentile(50), paced.percentile(99));
        println!("| {what} | {half} / {most} | {} |", paced.lost);
    }
    let soon = visible(&promotions, &records)?;
    let mut took: Vec<Duration> = promotions.iter().map(|it| it.took).collect();
    took.sort_unstable();
    let (half, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "\nA promotion was answered in {} µs, the slowest in {}. Of {soon} calls that began within 10 ms after an answer, \
         none that\nbegan more than 1 ms after it was decided by a generation before.",
        half.as_micros(),
        slowest.as_micros()
    );
    println!(
        "\nNo call failed; {} records name {} of the {} generations that were live.\n\
         Load average after, of this run as well: {}",
        records.len(),
        named.len(),
        live.len(),
        load_average()?
    );
    Ok(())
}

/// Calls for one turn, none of which may fail; setup times of those that are measured.
fn turn(dir: &Path, probe: &mut Probe, args: &Args) -> Result<Paced> {
    let load = Load {
        dir,
        callee: "behind-b2bua.xml",
        rate: args.rate,
        talks_for: TALKS_FOR,
    };
    let load = load.start(args.rate * args.seconds)?;
    let paced = probe.pace(MEASURED * args.seconds, MEASURED)?;
    let outcome = load.wait(|| Ok(()))?;
    ensure!(outcome.failed == 0, "calls failed: {}", outcome.errors);
    Ok(paced)
}

/// Stages and promotes the modules in turn until it is over.
fn promote(modules: &[Vec<u8>; 2], over: &AtomicBool) -> Result<Vec<Promotion>> {
    let mut promotions = Vec::new();
    let mut next = Instant::now() + EVERY;
    // The second first: the other may be live.
    for module in modules.iter().rev().cycle() {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += EVERY;
        if over.load(Ordering::Relaxed) {
            break;
        }
        http::request(ADMIN, "POST", "/v1/policies/main/stage", module)?;
        let asked = Instant::now();
        let promoted = http::request(ADMIN, "POST", "/v1/policies/main/promote", b"")?;
        promotions.push(Promotion {
            took: asked.elapsed(),
            answered_at: Timestamp::now(),
            named: named(&serde_json::from_str(&promoted)?, "sha256")?,
        });
    }
    Ok(promotions)
}

/// Checks that calls are decided by what was promoted before the millisecond in which they began, which is
/// what records say; how many began soon after.
fn visible(promotions: &[Promotion], records: &[(Timestamp, Named)]) -> Result<usize> {
    let mut soon = 0;
    for (began, (generation, _)) in records {
        let before = promotions.partition_point(|it| it.answered_at <= *began);
        let Some(last) = before.checked_sub(1).map(|at| &promotions[at]) else {
            continue;
        };
        let after = began.duration_since(last.answered_at);
        soon += usize::from(after <= SOON);
        ensure!(
            *generation >= last.named.0,
            "a call that began {after:?} after generation {} was promoted was decided by {generation}",
            last.named.0
        );
    }
    ensure!(soon > 0, "no call began soon after a promotion");
    Ok(soon)
}

fn now_live() -> Result<Named> {
    let policies: Value = serde_json::from_str(&http::request(ADMIN, "GET", "/v1/policies", b"")?)?;
    named(&policies[0]["live"], "sha256")
}

fn named(of: &Value, module: &str) -> Result<Named> {
    let generation = of["generation"].as_u64();
    let module = of[module].as_str();
    let both = generation.zip(module.map(str::to_owned));
    both.with_context(|| format!("no generation in {of}"))
}

/// When each call began, and the generation that its record names.
fn records(dir: &Path) -> Result<Vec<(Timestamp, Named)>> {
    let mut all = Vec::new();
    for file in fs::read_dir(dir)? {
        for line in fs::read_to_string(file?.path())?.lines() {
            let record: Value = serde_json::from_str(line)?;
            let began = record["started_at"].as_str().unwrap_or_default();
            let began = began.parse().with_context(|| record.to_string())?;
            all.push((began, named(&record, "policy_sha256")?));
        }
    }
    Ok(all)
}
