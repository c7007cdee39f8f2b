//! `cargo xtask bench hostile`: what a policy that misbehaves costs the calls that another decides.
//!
//! One shard, so that all calls share its thread. For each misdeed of `policies/hostile` there is a
//! trunk whose calls commit it. Each turn with such calls follows one without, and the setup times of
//! the well calls are compared; every call of that trunk has to end in the declared fallback.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::load::Load;
use super::pace::Paced;
use super::probe::Probe;
use super::router::{ADDRESS, Router, Subject};
use super::{TALKS_FOR, build, load_average, stay_on_core_1};
use crate::cargo;
use crate::interop::build_policy;
use crate::interop::sipp::Sipp;

/// How long, and how hard.
#[derive(clap::Args)]
pub struct Args {
    /// Rounds in which each misdeed has its turn
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Seconds of each turn
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// Calls a second that misbehave
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    victims: u32,
    /// Only this misdeed
    #[arg(long)]
    only: Option<String>,
    /// Measure the everyday build: a bound from above, without another build of wasmtime
    #[arg(long)]
    everyday: bool,
}

/// Well calls a second, answered; the measured ones, which are declined, come on top.
const WELL: u32 = 200;
const MEASURED: u32 = 100;
/// Called users of `policies/hostile`, and the kind of trunk that calls them.
const MISDEEDS: [(&str, &str); 11] = [
    ("loop", "pbx"),
    ("trap", "pbx"),
    ("hoard", "pbx"),
    ("recurse", "pbx"),
    ("boast", "pbx"),
    ("crowd", "pbx"),
    ("forge", "pbx"),
    ("nowhere", "pbx"),
    ("back", "pbx"),
    ("dialog", "pbx"),
    ("toll", "pstn"),
];
/// For the last calls of a turn.
const LINGERS_FOR: Duration = Duration::from_secs(15);

/// Builds, measures, prints.
pub fn run(args: &Args) -> Result<()> {
    let intertrunk = build(args.everyday)?;
    let dir = cargo::scratch_copy("bench", "bench-hostile")?;
    build_policy(&intertrunk, "policies/hostile", &dir.join("hostile.wasm"))?;
    let usual = fs::read_to_string(dir.join("intertrunk.toml"))?;
    fs::write(dir.join("hostile.toml"), usual + &trunks())?;
    let subject = Subject::intertrunk(intertrunk, &["run", "-c", "hostile.toml"]);
    stay_on_core_1()?;
    eprintln!("load average before: {}", load_average()?);

    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let mut turns: [(Paced, Paced); MISDEEDS.len()] = Default::default();
    for _ in 0..args.rounds {
        // Its policies have misbehaved in the round before, and are set aside for that.
        let mut probe = Probe::bind()?;
        let router = Router::start(&subject, &dir, &mut probe)?;
        for (at, (misdeed, _)) in MISDEEDS.iter().enumerate() {
            if wanted(misdeed) {
                turns[at].0.extend(turn(&dir, &mut probe, args, None)?);
                turns[at].1.extend(turn(&dir, &mut probe, args, Some(at))?);
                eprintln!("{misdeed}: {}", line(&turns[at]));
            }
        }
        router.stop()?;
    }
    println!(
        "\n{WELL} calls a second and {MEASURED} that are measured, {} a second that misbehave, \
         turns of {} s, {} rounds.\n",
        args.victims, args.seconds, args.rounds
    );
    println!("| misdeed | alone p50 / p99 µs | beside it p50 / p99 µs | p99 rises by µs | lost |");
    println!("|---|---|---|---|---|");
    for ((misdeed, _), turns) in MISDEEDS.iter().zip(&turns) {
        if wanted(misdeed) {
            println!("| {misdeed} | {} |", line(turns));
        }
    }
    println!(
        "\nLoad average after, of this run as well: {}",
        load_average()?
    );
    Ok(())
}

fn line((alone, beside): &(Paced, Paced)) -> String {
    let [(alone_50, alone_99), (beside_50, beside_99)] =
        [alone, beside].map(|it| (it.percentile(50), it.percentile(99)));
    format!(
        "{alone_50} / {alone_99} | {beside_50} / {beside_99} | {} | {}",
        beside_99 - alone_99,
        alone.lost + beside.lost
    )
}

/// The delays of the well calls, with nobody beside them or with the calls of a misdeed.
fn turn(dir: &Path, probe: &mut Probe, args: &Args, misdeed: Option<usize>) -> Result<Paced> {
    let well = Load {
        dir,
        callee: "behind-b2bua.xml",
        rate: WELL,
        talks_for: TALKS_FOR,
    };
    let well = well.start(WELL * args.seconds)?;
    let calls = args.victims * args.seconds;
    let victims = misdeed.map(|at| {
        let budget = Duration::from_secs(args.seconds.into()) + LINGERS_FOR;
        let rate = args.victims.to_string();
        let more = ["-s", MISDEEDS[at].0, "-r", &rate, ADDRESS];
        Sipp::start(dir, "victim.xml", &caller(at), calls, budget, &more)
    });
    let victims = victims.transpose()?;
    let paced = probe.pace(MEASURED * args.seconds, MEASURED)?;
    let outcome = well.wait(|| Ok(()))?;
    ensure!(outcome.failed == 0, "well calls failed: {}", outcome.errors);
    if let Some(victims) = victims {
        let tally = victims.finish(Instant::now() + LINGERS_FOR)?;
        ensure!(
            tally.is_good(calls),
            "not each ended in the fallback: {tally}"
        );
    }
    Ok(paced)
}

/// Where the calls of a misdeed come from.
fn caller(at: usize) -> String {
    format!("127.0.0.{}:16070", 31 + at)
}

/// A policy for each misdeed, so that none is set aside for another's, and its trunk.
fn trunks() -> String {
    let mut text = String::new();
    for (at, (misdeed, kind)) in MISDEEDS.iter().enumerate() {
        let from = caller(at);
        let _never_fails = write!(
            text,
            "\n[policy.{misdeed}]\nmodule = \"hostile.wasm\"\nfallback = {{ reject = 480 }}\n\
             [[trunk]]\nname = \"{misdeed}\"\nkind = \"{kind}\"\nlisten = \"lan\"\n\
             peers = [\"sip:{from}\"]\npolicy = \"{misdeed}\"\n"
        );
    }
    text
}
