//! Small worlds in which every order of events is tried: the races of a call, enumerated.
//!
//! `INTERTRUNK_SIM_DEEPER=1` allows one more of each disturbance; it takes minutes.

use intertrunk_proto::Record;
use intertrunk_proto::ask::{PolicyFault, Verdict};
use sim::schedule::{Bounds, Explored, Outcome, Script, explore};
use sim::{Errand, Final, Manner, Mood, Ring, Weather, World, ms, policy};

/// A world without weather, in which pbx-a places one call.
fn call(errand: &Errand, manners: &[(&str, Manner)]) -> World {
    let mut world = World::new(1, Weather::default(), Mood::Random);
    for (name, manner) in manners {
        world.ua(name).manner = Some(*manner);
    }
    for ua in &mut world.uas {
        ua.patience = ms(40_000);
    }
    let now = world.now;
    world.ua("pbx-a").place(errand, now);
    world
}

fn connect(trunks: &[&str]) -> Outcome {
    Ok(Verdict::Connect(policy::plan_to(trunks)))
}

/// Explores a script within each of these bounds, says how much there was, and that it was enough.
fn explore_all(script: &Script, bounds: &[Bounds], floor: u64) {
    let deeper = std::env::var("INTERTRUNK_SIM_DEEPER").ok();
    let deeper: u8 = deeper.and_then(|n| n.parse().ok()).unwrap_or(0);
    let more = |n: u8| if n == 0 { 0 } else { n + deeper };
    let mut schedules = 0;
    for b in bounds {
        let b = Bounds {
            lost: more(b.lost),
            twice: more(b.twice),
            late: more(b.late),
            early: more(b.early),
        };
        let began = std::time::Instant::now();
        let explored @ Explored { schedules: n, .. } = explore(script, b);
        println!("{} {b}: {explored:?} in {:?}", script.name, began.elapsed());
        schedules += n;
    }
    let one = std::env::var_os("INTERTRUNK_SCHEDULE").is_some();
    assert!(
        one || schedules >= floor,
        "{schedules} schedules, {floor} expected"
    );
}

fn bounds(lost: u8, twice: u8, late: u8, early: u8) -> Bounds {
    Bounds {
        lost,
        twice,
        late,
        early,
    }
}

/// K1: a CANCEL against the verdict of the policy: in time, late, or a fault. Whoever was cancelled
/// while the policy thought has dialled nobody.
#[test]
fn k1_cancel_against_the_verdict() {
    let script = Script {
        name: "k1",
        build: || {
            let errand = Errand {
                cancel: Some(ms(0)),
                ..Errand::to("1")
            };
            call(&errand, &[("gw-a", Manner::default())])
        },
        outcomes: || vec![connect(&["gw-a"]), Err(PolicyFault::Timeout)],
        check: |world| {
            let dialled = !world.uas[2].sides.is_empty();
            let records = world.records();
            let wrong = |r: &&&Record| r.attempts.is_empty() == dialled;
            let wrong = records.iter().filter(wrong);
            wrong.map(|r| format!("{r:?}")).collect()
        },
    };
    let within = [
        bounds(0, 0, 1, 0),
        bounds(0, 0, 0, 1),
        bounds(1, 0, 0, 0),
        bounds(0, 1, 0, 0),
    ];
    explore_all(&script, &within, 1_000);
}

/// K2: a CANCEL against 180 and 200, early and late: nobody is left in a call.
#[test]
fn k2_cancel_against_the_answer() {
    let script = Script {
        name: "k2",
        build: || {
            let errand = Errand {
                cancel: Some(ms(0)),
                ..Errand::to("1")
            };
            let ring = Some(Ring {
                after: ms(0),
                code: 180,
            });
            let manner = Manner {
                ring,
                last: Final::Answer(ms(0)),
                ..Manner::default()
            };
            call(&errand, &[("gw-a", manner)])
        },
        outcomes: || vec![connect(&["gw-a"])],
        check: |_| Vec::new(),
    };
    let within = [
        bounds(0, 0, 1, 0),
        bounds(0, 0, 0, 1),
        bounds(1, 0, 0, 0),
        bounds(0, 1, 0, 0),
    ];
    explore_all(&script, &within, 1_000);
}
