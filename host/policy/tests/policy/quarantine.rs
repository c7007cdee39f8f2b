//! A generation that faults too often is set aside.

use std::time::Duration;

use intertrunk_policy::{Options, Runner, Slot};
use intertrunk_proto::ask::PolicyFault;

use crate::guests::{ENGINE, EXTENSIONS, HOSTILE, ask, live, options, trunks, world};

/// Quarantined by the third fault.
fn strict() -> Options {
    Options {
        quarantine_faults: 2,
        quarantine_window: Duration::from_secs(3600),
        ..options()
    }
}

fn fault_three_times(runner: &mut Runner, slot: &Slot) {
    for _ in 0..3 {
        let outcome = ask(runner, slot, None, "trap").outcome;
        assert!(matches!(outcome, Err(PolicyFault::Trap(_))), "{outcome:?}");
    }
}

#[test]
fn without_a_previous_generation_it_is_not_asked_again() {
    let slot = live(&HOSTILE, "", strict());
    let mut runner = Runner::new(&ENGINE);
    let pin = ask(&mut runner, &slot, None, "sane").pin.unwrap();
    fault_three_times(&mut runner, &slot);
    assert!(slot.status().quarantined);
    for pin in [None, Some(&pin)] {
        let answer = ask(&mut runner, &slot, pin, "sane");
        assert_eq!(answer.outcome, Err(PolicyFault::Quarantined));
    }
    assert_eq!(
        slot.status().faults,
        [("quarantined", 2), ("trap", 3)].into()
    );
}

#[test]
fn the_previous_generation_decides_new_calls() {
    let slot = live(&EXTENSIONS, "", strict());
    slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    slot.promote().unwrap();
    let mut runner = Runner::new(&ENGINE);
    fault_three_times(&mut runner, &slot);
    assert_eq!(
        trunks(&ask(&mut runner, &slot, None, "+14255550100")),
        ["pbx-a"]
    );
    assert_eq!(
        slot.status().live.unwrap().name,
        "policy-hostile",
        "what an operator chose stays"
    );
}

#[test]
fn a_rollback_gives_another_chance() {
    let slot = live(&EXTENSIONS, "", strict());
    slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    slot.promote().unwrap();
    let mut runner = Runner::new(&ENGINE);
    fault_three_times(&mut runner, &slot);
    slot.rollback().unwrap();
    slot.rollback().unwrap();
    assert!(!slot.status().quarantined);
    assert_eq!(trunks(&ask(&mut runner, &slot, None, "sane")), ["gw-a"]);
}

#[test]
fn refused_verdicts_count_as_faults() {
    let slot = live(&EXTENSIONS, "", strict());
    let mut runner = Runner::new(&ENGINE);
    let pin = ask(&mut runner, &slot, None, "+14255550100").pin.unwrap();
    let refused = PolicyFault::Verdict("a test says so".to_owned());
    (0..3).for_each(|_| slot.refuse(&pin, &refused));
    assert!(slot.status().quarantined);
    assert_eq!(slot.status().faults, [("verdict", 3)].into());
}
