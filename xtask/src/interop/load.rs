//! Streams of calls: SIPp as PBX and gateways, the policy swapped meanwhile.
//!
//! Each phase sends its calls through the host while SIPp checks on the wire, message by message,
//! that the host did its work (`tests/interop/*.xml`). In the long phase the policy is swapped
//! every second between two builds. At the end the host is drained by SIGTERM, and its call
//! records must tell the same story.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use super::records::{Expected, Records};
use super::service::Service;
use super::sipp::{Callee, Caller};
use super::{Group, Listed, Outcome, World, build_policy};

/// One stream of calls in one direction.
struct Phase {
    listed: Listed,
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
            listed: Listed {
                name: "load-hot-swap",
                rules: "K4, K18",
                peers: "SIPp, SIPp",
            },
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
            expected: Expected::answered("9206555", "+1206555", &[("gw-a", 200)], "caller"),
        },
        Phase {
            listed: Listed {
                name: "load-callee-hangs-up",
                rules: "K4, K18",
                peers: "SIPp, SIPp",
            },
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
            expected: Expected::answered("+14255550", "0", &[("pbx-a", 200)], "callee"),
        },
        Phase {
            listed: Listed {
                name: "load-failover",
                rules: "K4, K18",
                peers: "SIPp, SIPp",
            },
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
            expected: Expected::answered(
                "9303555",
                "+1303555",
                &[("gw-a", 503), ("gw-b", 200)],
                "caller",
            ),
        },
    ]
}

/// Streams of calls, the policy swapped meanwhile.
pub const GROUP: Group = Group {
    name: "load",
    list: || phases(0).iter().map(|phase| phase.listed).collect(),
    run,
};

fn run(world: &World) -> Result<Vec<Outcome>> {
    let World {
        intertrunk, dir, ..
    } = world;
    let builds = two_builds(intertrunk, dir)?;
    let service = Service::start(intertrunk, dir, "intertrunk.toml")?;

    let mut phases = Vec::from(phases(world.calls));
    phases.retain(|phase| world.wants(phase.listed.name));
    let (mut outcomes, mut swaps) = (Vec::new(), Vec::new());
    for phase in &phases {
        let (outcome, swapped) = place(phase, &service, &builds, dir)?;
        outcomes.push(outcome);
        swaps.push(swapped);
    }
    let records = Records::at_the_end_of(service, dir, &mut outcomes)?;
    for ((phase, swapped), outcome) in phases.iter().zip(swaps).zip(&mut outcomes) {
        compare(phase, swapped, &records, &mut outcome.faults);
    }
    let total: u32 = phases.iter().map(|p| p.calls).sum();
    if let Some(last) = outcomes.last_mut()
        && records.len() != total as usize
    {
        let fault = format!("{} call records, {total} calls", records.len());
        last.faults.push(fault);
    }
    Ok(outcomes)
}

/// The standard policy twice: as built, and with a custom section added, which makes it another
/// module (another SHA-256) that decides the same.
pub fn two_builds(intertrunk: &Path, dir: &Path) -> Result<[Vec<u8>; 2]> {
    let out = dir.join("standard.wasm");
    build_policy(intertrunk, "policies/intertrunk-standard", &out)?;
    let first = fs::read(&out).with_context(|| format!("{} was not built", out.display()))?;
    let mut second = first.clone();
    // Section id 0, 8 bytes: a name of 6 bytes and one byte of content.
    second.extend_from_slice(b"\x00\x08\x06second!");
    Ok([first, second])
}

/// Plays one phase; besides what came of it tells how often the policy was swapped.
fn place(
    phase: &Phase,
    service: &Service,
    builds: &[Vec<u8>; 2],
    dir: &Path,
) -> Result<(Outcome, u32)> {
    eprintln!(
        "\n{} calls, {} a second: {}",
        phase.calls, phase.per_second, phase.listed.name
    );
    let began = Instant::now();
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
            phase.listed.name
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
    let mut faults = Vec::new();
    for sipp in running {
        let tally = sipp.finish(deadline)?;
        if !tally.is_good(phase.calls) {
            faults.push(tally.to_string());
        }
    }
    let outcome = Outcome {
        listed: phase.listed,
        calls: phase.calls,
        took: began.elapsed(),
        faults,
    };
    Ok((outcome, swaps))
}

/// Adds to `faults` where the records of a phase tell of fewer swaps or of other calls.
fn compare(phase: &Phase, swaps: u32, records: &Records, faults: &mut Vec<String>) {
    let told = records.compare(&phase.expected, phase.calls, faults);
    let (generations, modules) = (told.generations, told.modules);
    // Each swap must be seen by calls; the last one may come after the last call.
    if generations < swaps.max(1) as usize {
        let fault = format!("{generations} generations in records after {swaps} swaps");
        faults.push(fault);
    }
    if phase.swaps {
        eprintln!("{swaps} swaps: {generations} generations of {modules} modules decided");
        if swaps < phase.calls / phase.per_second / 2 || modules < 2 {
            faults.push(format!("{swaps} swaps are too few"));
        }
    }
}
