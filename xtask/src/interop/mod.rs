//! `cargo xtask interop`: SIPp as PBX and gateways around `intertrunk run`, all on loopback.
//!
//! Each phase sends its calls through the host while SIPp checks on the wire, message by message,
//! that the host did its work (`tests/interop/*.xml`). In the long phase the policy is swapped
//! every second between two builds. At the end the host is drained by SIGTERM, and its call
//! records must tell the same story.

mod http;
pub mod process;
mod records;
mod service;
pub mod sipp;

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;
use records::{Expected, Records};
use service::Service;
use sipp::{Callee, Caller, Tally};

/// One stream of calls in one direction.
struct Phase {
    name: &'static str,
    caller: Caller,
    callees: &'static [Callee],
    calls: u32,
    per_second: u32,
    swaps: bool,
    expected: Expected,
}

/// How long a called side may stay after its last call is over.
const LINGERS_FOR: Duration = Duration::from_secs(5);

const PBX: &str = "127.0.0.11:15070";
const GATEWAY_A: &str = "127.0.0.21:15080";
const GATEWAY_B: &str = "127.0.0.22:15080";

fn phases(calls: u32) -> [Phase; 3] {
    [
        Phase {
            name: "PBX to PSTN, hot swap every second",
            caller: Caller {
                scenario: "caller.xml",
                numbers: "outbound.csv",
                address: PBX,
            },
            callees: &[Callee {
                scenario: "gateway.xml",
                address: GATEWAY_A,
            }],
            calls,
            per_second: 100,
            swaps: true,
            expected: Expected {
                dialled: "9206555",
                sent: "+1206555",
                attempts: &[("gw-a", 200)],
                ended_by: "caller",
            },
        },
        Phase {
            name: "PSTN to PBX, called side hangs up",
            caller: Caller {
                scenario: "caller-waits.xml",
                numbers: "inbound.csv",
                address: GATEWAY_A,
            },
            callees: &[Callee {
                scenario: "pbx.xml",
                address: PBX,
            }],
            calls: 100,
            per_second: 50,
            swaps: false,
            expected: Expected {
                dialled: "+14255550",
                sent: "0",
                attempts: &[("pbx-a", 200)],
                ended_by: "callee",
            },
        },
        Phase {
            name: "gateway A answers 503, B takes the call",
            caller: Caller {
                scenario: "caller.xml",
                numbers: "failover.csv",
                address: PBX,
            },
            callees: &[
                Callee {
                    scenario: "gateway-down.xml",
                    address: GATEWAY_A,
                },
                Callee {
                    scenario: "gateway.xml",
                    address: GATEWAY_B,
                },
            ],
            calls: 100,
            per_second: 50,
            swaps: false,
            expected: Expected {
                dialled: "9303555",
                sent: "+1303555",
                attempts: &[("gw-a", 503), ("gw-b", 200)],
                ended_by: "caller",
            },
        },
    ]
}

/// Runs all phases against one host; fails unless every call of every phase was good.
pub fn run(calls: u32) -> Result<()> {
    sipp::ensure()?;
    cargo::run(&["build", "--package", "intertrunk"])?;
    let dir = cargo::scratch_copy("interop")?;
    let intertrunk = cargo::out_dir()?.join("intertrunk");
    let builds = two_builds(&intertrunk, &dir)?;
    let service = Service::start(&intertrunk, &dir)?;

    let phases = phases(calls);
    let mut placed = Vec::new();
    for phase in &phases {
        placed.push(place(phase, &service, &builds, &dir)?);
    }
    service.wait_until_idle()?;
    service.drain()?;
    let records = Records::read(&dir.join("cdr"))?;
    report(&phases, &placed, &records, &dir)
}

/// The standard policy twice: as built, and with a custom section added, which makes it another
/// module (another SHA-256) that decides the same.
fn two_builds(intertrunk: &Path, dir: &Path) -> Result<[Vec<u8>; 2]> {
    let out = dir.join("standard.wasm");
    let source = cargo::root().join("policies/intertrunk-standard");
    process::complete(
        std::process::Command::new(intertrunk)
            .args(["policy", "build"])
            .arg(&source)
            .arg("-o")
            .arg(&out),
    )?;
    let first = fs::read(&out).with_context(|| format!("{} was not built", out.display()))?;
    let mut second = first.clone();
    // Section id 0, 8 bytes: a name of 6 bytes and one byte of content.
    second.extend_from_slice(b"\x00\x08\x06second!");
    Ok([first, second])
}

/// What came of one phase.
struct Placed {
    tallies: Vec<Tally>,
    swaps: u32,
}

fn place(phase: &Phase, service: &Service, builds: &[Vec<u8>; 2], dir: &Path) -> Result<Placed> {
    eprintln!(
        "\n{} calls, {} a second: {}",
        phase.calls, phase.per_second, phase.name
    );
    let budget = Duration::from_secs(u64::from(phase.calls / phase.per_second) + 30);
    let deadline = Instant::now() + budget;
    let mut running = Vec::new();
    for callee in phase.callees {
        running.push(callee.start(dir, phase.calls, budget)?);
    }
    for callee in &running {
        callee.wait_until_bound(deadline)?;
    }
    running.push(
        phase
            .caller
            .start(dir, phase.calls, phase.per_second, budget)?,
    );

    let mut swaps = 0;
    let mut next_swap = Instant::now() + Duration::from_secs(1);
    let caller = running.len() - 1;
    while !running[caller].has_ended()? {
        ensure!(
            Instant::now() < deadline,
            "{}: not done after {budget:?}",
            phase.name
        );
        if phase.swaps && Instant::now() >= next_swap {
            // Counted from its start: however long staging takes, each generation lives as long.
            next_swap = Instant::now() + Duration::from_secs(1);
            // The second build first: the host may have the first one live.
            service.swap(&builds[(swaps as usize + 1) % 2])?;
            swaps += 1;
        }
        thread::sleep(Duration::from_millis(20));
    }
    // The called side is done when the caller is, but for a BYE that might come again.
    let deadline = Instant::now() + LINGERS_FOR;
    let tallies = running
        .into_iter()
        .map(|sipp| sipp.finish(deadline))
        .collect::<Result<Vec<_>>>()?;
    Ok(Placed { tallies, swaps })
}

fn report(phases: &[Phase], placed: &[Placed], records: &Records, dir: &Path) -> Result<()> {
    let mut faults = Vec::new();
    println!(
        "\n{:<42} {:>6} {:>6} {:>7} {:>7} {:>6}",
        "", "good", "failed", "retrans", "records", "swaps"
    );
    for (phase, placed) in phases.iter().zip(placed) {
        for tally in &placed.tallies {
            if tally.good != phase.calls || tally.failed > 0 || tally.exit != Some(0) {
                faults.push(format!("{}: {tally}", phase.name));
            }
        }
        let told = records.compare(&phase.expected, phase.calls, &mut faults);
        let caller = placed.tallies.last().context("each phase has a caller")?;
        println!(
            "{:<42} {:>6} {:>6} {:>7} {:>7} {:>6}",
            phase.name,
            caller.good,
            placed.tallies.iter().map(|t| t.failed).sum::<u32>(),
            placed
                .tallies
                .iter()
                .map(|t| t.retransmissions)
                .sum::<u32>(),
            told.records,
            placed.swaps,
        );
        // Each swap must be seen by calls; the last one may come after the last call.
        let least = placed.swaps.max(1) as usize;
        if told.generations < least {
            let seen = told.generations;
            faults.push(format!(
                "{}: {seen} generations in records, {least} expected",
                phase.name
            ));
        }
        if phase.swaps {
            let (n, modules) = (told.generations, told.modules);
            println!("  {n} generations of {modules} modules decided");
            if placed.swaps < phase.calls / phase.per_second / 2 || modules < 2 {
                faults.push(format!(
                    "{}: {} swaps are too few",
                    phase.name, placed.swaps
                ));
            }
        }
    }
    let total: u32 = phases.iter().map(|p| p.calls).sum();
    if records.len() != total as usize {
        faults.push(format!("{} call records, {total} calls", records.len()));
    }
    if faults.is_empty() {
        println!("\nno call failed; drained and exited 0 after SIGTERM");
        return Ok(());
    }
    bail!(
        "{}\n  logs and records: {}",
        faults.join("\n  "),
        dir.display()
    )
}
