//! Small worlds in which every order of events is tried: the races of a call, enumerated.
//!
//! Each test has a few disturbances at a time; with `INTERTRUNK_SIM_DEEPER=1` two at a time, which takes
//! minutes.

use intertrunk_proto::Record;
use std::time::Duration;

use intertrunk_proto::ask::{Plan, PolicyFault, Verdict};
use sim::reference::Reference;
use sim::schedule::{Bounds, Outcome, Script, explore};
use sim::{Errand, Final, Manner, Mood, Renegotiation, Ring, Weather, World, ms, policy};

/// A world without weather, in which pbx-a places one call.
fn call(errand: &Errand, manners: &[(&str, Manner)]) -> World {
    let mut world = World::new(1, Weather::default(), Mood::Random);
    world.reference = Some(Reference::default());
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

/// A call in which nothing is due any more for the next seconds; then the schedules begin.
fn call_so_far(trunks: &'static [&'static str], errand: &Errand, manner: Manner) -> World {
    let mut world = call(errand, &[("gw-a", manner), ("gw-b", manner)]);
    world.mood = Mood::connect(trunks);
    world.quiet = true;
    world.run(LATER / 2);
    world
}

/// After all that is in a hurry.
const LATER: Duration = ms(3_000);

/// A callee that answers at once, and a caller and a callee that both have something to do later.
fn answered(caller: Errand, callee: Manner) -> World {
    let callee = Manner {
        ring: None,
        last: Final::Answer(ms(0)),
        ..callee
    };
    let caller = Errand {
        hang_up: Some(LATER),
        ..caller
    };
    call_so_far(&["gw-a"], &caller, callee)
}

fn connect(trunks: &[&str]) -> Outcome {
    Ok(Verdict::Connect(policy::plan_to(trunks)))
}

/// Candidates that ring together.
fn together(trunks: &[&str]) -> Plan {
    let mut plan = policy::plan_to(trunks);
    for candidate in &mut plan.candidates {
        candidate.group = 0;
    }
    plan
}

/// Explores a script within each of these bounds, says how much there was, and that it was enough.
/// What is `beyond` takes minutes, and is only explored if somebody wants it.
fn explore_all(script: &Script, within: &[Bounds], beyond: &[Bounds], floor: u64) {
    let mut bounds = within.to_vec();
    if std::env::var_os("INTERTRUNK_SIM_DEEPER").is_some() {
        bounds.extend(beyond);
    }
    let mut schedules = 0;
    for b in bounds {
        let began = std::time::Instant::now();
        let explored = explore(script, b);
        println!("{} {b}: {explored:?} in {:?}", script.name, began.elapsed());
        schedules += explored.schedules;
    }
    let one = std::env::var_os("INTERTRUNK_SCHEDULE").is_some();
    assert!(
        one || schedules >= floor,
        "{schedules} schedules of {}, {floor} expected",
        script.name
    );
}

const PLAIN: Bounds = bounds(0, 0, 0, 0);
const LOST: Bounds = bounds(1, 0, 0, 0);
const TWICE: Bounds = bounds(0, 1, 0, 0);
const LATE: Bounds = bounds(0, 0, 1, 0);
const EARLY: Bounds = bounds(0, 0, 0, 1);
/// Two disturbances at once.
const PAIRS: [Bounds; 6] = [
    bounds(1, 1, 0, 0),
    bounds(1, 0, 1, 0),
    bounds(1, 0, 0, 1),
    bounds(0, 1, 1, 0),
    bounds(0, 1, 0, 1),
    bounds(0, 0, 1, 1),
];

const fn bounds(lost: u8, twice: u8, late: u8, early: u8) -> Bounds {
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
            let manner = Manner {
                ring: None,
                last: Final::Rings,
                ..Manner::default()
            };
            call(&errand, &[("gw-a", manner)])
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
    explore_all(&script, &[PLAIN, LOST, TWICE, LATE, EARLY], &PAIRS, 500);
}

/// K1: a BYE of a caller that has heard 180 against the answer: whoever was given up is not left in a call.
#[test]
fn k1_early_bye_against_the_answer() {
    let script = Script::new("k1-early-bye", || {
        let errand = Errand {
            early_bye: Some(ms(0)),
            ..Errand::to("1")
        };
        call_so_far(&["gw-a"], &errand, rings_and_answers())
    });
    explore_all(&script, &[PLAIN, LOST, TWICE, LATE, EARLY], &PAIRS, 500);
}

/// K2, B13: a CANCEL against 180 and 200, early and late: nobody is left in a call.
#[test]
fn k2_cancel_against_the_answer() {
    let script = Script::new("k2", || {
        let errand = Errand {
            cancel: Some(LATER),
            ..Errand::to("1")
        };
        call_so_far(&["gw-a"], &errand, rings_and_answers())
    });
    explore_all(&script, &[PLAIN, LOST, TWICE, LATE, EARLY], &PAIRS, 3_000);
}

/// 180, then 200, both when they have their turn.
fn rings_and_answers() -> Manner {
    Manner {
        ring: Some(Ring {
            after: LATER,
            code: 180,
        }),
        last: Final::Answer(LATER),
        ..Manner::default()
    }
}

/// K3: two forks of one callee, or two callees at once, ring and answer: the first 2xx wins, the other
/// is acknowledged and ended, what rings late is not heard.
#[test]
fn k3_two_answers() {
    let forks = Script::new("k3-forks", || {
        let ring = Some(Ring {
            after: LATER,
            code: 183,
        });
        let manner = Manner {
            ring,
            last: Final::Answer(LATER),
            forks: 2,
            ..Manner::default()
        };
        call_so_far(&["gw-a"], &Errand::to("1"), manner)
    });
    let candidates = Script::new("k3-candidates", || {
        let ring = Some(Ring {
            after: LATER,
            code: 180,
        });
        let manner = Manner {
            ring,
            last: Final::Answer(LATER),
            ..Manner::default()
        };
        let mut world = call(&Errand::to("1"), &[("gw-a", manner), ("gw-b", manner)]);
        world.mood = Mood::verdict(|| Verdict::Connect(together(&["gw-a", "gw-b"])));
        world.quiet = true;
        world.run(LATER / 2);
        world
    });
    explore_all(&forks, &[PLAIN, LOST, TWICE, LATE, EARLY], &PAIRS, 1_500);
    explore_all(&candidates, &[PLAIN, LOST], &[TWICE, LATE, EARLY], 3_000);
}

/// K7: both sides renegotiate at once, by re-INVITE or UPDATE.
#[test]
fn k7_glare() {
    let reinvites = Script::new("k7-reinvites", || {
        let caller = Errand {
            reinvite: Some(LATER),
            ..Errand::to("1")
        };
        let callee = Manner {
            reinvite: Some(LATER),
            ..Manner::default()
        };
        answered(caller, callee)
    });
    let update = Script::new("k7-update", || {
        let caller = Errand {
            reinvite: Some(LATER),
            ..Errand::to("1")
        };
        let callee = Manner {
            update: Some(LATER),
            ..Manner::default()
        };
        answered(caller, callee)
    });
    let again = Script::new("k7-again", || {
        let caller = Errand {
            reinvite: Some(LATER),
            again: true,
            ..Errand::to("1")
        };
        let callee = Manner {
            reinvite: Some(LATER),
            ..Manner::default()
        };
        answered(caller, callee)
    });
    explore_all(&again, &[PLAIN], &[LOST], 300);
    explore_all(&reinvites, &[PLAIN, LOST], &[TWICE, LATE, EARLY], 1_000);
    explore_all(&update, &[PLAIN, LOST, LATE], &[TWICE, EARLY], 1_500);
}

/// K8: BYE against re-INVITE, against its 200, against another BYE.
#[test]
fn k8_bye_against_renegotiation() {
    let both = Script::new("k8-both", || {
        let callee = Manner {
            hang_up: Some(LATER),
            ..Manner::default()
        };
        answered(Errand::to("1"), callee)
    });
    let reinvite = Script::new("k8-reinvite", || {
        let callee = Manner {
            reinvite: Some(LATER),
            ..Manner::default()
        };
        let caller = Errand {
            renegotiation: Renegotiation::AcceptsAfter(LATER),
            ..Errand::to("1")
        };
        answered(caller, callee)
    });
    explore_all(&both, &[PLAIN, LOST, TWICE, LATE, EARLY], &PAIRS, 100);
    explore_all(&reinvite, &[PLAIN, LOST, LATE], &[TWICE, EARLY], 1_000);
}

/// K12: 2xx and its ACK, each lost, repeated or late, against BYE from either side.
#[test]
fn k12_acknowledged_by_each_side() {
    let script = Script::new("k12", || {
        let manner = Manner {
            ring: None,
            last: Final::Answer(LATER),
            hang_up: Some(LATER),
            ..Manner::default()
        };
        call_so_far(&["gw-a"], &Errand::to("1"), manner)
    });
    explore_all(&script, &[PLAIN, LOST, TWICE, LATE, EARLY], &PAIRS, 400);
    let reinvite = Script::new("k12-reinvite", || {
        let manner = Manner {
            ring: None,
            last: Final::Answer(LATER),
            hang_up: Some(LATER),
            ..Manner::default()
        };
        let errand = Errand {
            reinvite: Some(LATER),
            hang_up: None,
            ..Errand::to("1")
        };
        call_so_far(&["gw-a"], &errand, manner)
    });
    explore_all(&reinvite, &[PLAIN, TWICE], &[], 500);
}
