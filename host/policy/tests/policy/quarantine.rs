//! A generation that faults too often is set aside.

use std::sync::Arc;
use std::time::Duration;

use intertrunk_policy::{Options, Row, Runner, Slot, Tables, TrunkFacts, World};
use intertrunk_proto::ask::PolicyFault;

use crate::guests::{ENGINE, EXTENSIONS, HOSTILE, ask, live, options, query, trunks, world};

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

/// Answers a look-up after this long, as a host does whose machine stands still.
struct Sluggish(Duration);

impl World for Sluggish {
    fn trunk(&self, name: &str) -> Option<TrunkFacts> {
        world().trunk(name)
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        world().trunks()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::new(Sluggish(self.0))
    }
}

impl Tables for Sluggish {
    fn exact(&self, _: &str, _: &str) -> Option<Row> {
        None
    }

    fn longest_prefix(&self, _: &str, _: &str) -> Option<Row> {
        std::thread::sleep(self.0);
        None
    }

    fn prefixes(&self, _: &str, _: &str) -> Vec<Row> {
        Vec::new()
    }
}

/// B1: whoever was late because the machine stood still is not set aside for it; whoever spun is.
#[test]
fn only_who_was_at_work_is_blamed_for_being_late() {
    let options = Options {
        quarantine_faults: 0,
        deadline: Duration::from_millis(100),
        tables: vec!["*".to_owned()],
        ..Options::default()
    };
    let slow: Arc<dyn World> = Arc::new(Sluggish(Duration::from_millis(300)));
    let slot = Slot::new(&ENGINE, "main", options);
    slot.stage(&HOSTILE, "", &slow, &[]).unwrap();
    slot.promote().unwrap();
    let mut runner = Runner::new(&ENGINE);
    for _ in 0..3 {
        let late = runner.decide(&slot, None, &mut query("look-44"), None, &slow);
        assert_eq!(late.outcome, Err(PolicyFault::Timeout));
    }
    assert!(!slot.status().quarantined);
    // Now and then a busy machine stands still for one that spins, too.
    while !slot.status().quarantined {
        let late = ask(&mut runner, &slot, None, "loop");
        assert_eq!(late.outcome, Err(PolicyFault::Timeout));
    }
}
