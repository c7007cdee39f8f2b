//! A fresh instance for each decision: it begins where `configure` ended, and costs none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use intertrunk_policy::{Isolation, Options, Row, Runner, Slot, Tables, TrunkFacts, World};
use intertrunk_proto::ask::Verdict;

use crate::guests::{ENGINE, HOSTILE, STANDARD, ask, folder, live, options, query, tag, world};
use crate::load::made;

fn fresh() -> Options {
    Options {
        isolation: Isolation::Call,
        tables: vec!["*".to_owned()],
        ..options()
    }
}

/// Counts how often its tables are read.
#[derive(Default)]
struct Counting(Arc<AtomicUsize>);

impl World for Counting {
    fn trunk(&self, name: &str) -> Option<TrunkFacts> {
        world().trunk(name)
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        world().trunks()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::new(Counting(Arc::clone(&self.0)))
    }
}

impl Tables for Counting {
    fn exact(&self, _: &str, _: &str) -> Option<Row> {
        None
    }

    fn longest_prefix(&self, _: &str, _: &str) -> Option<Row> {
        self.0.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn prefixes(&self, _: &str, _: &str) -> Vec<Row> {
        Vec::new()
    }
}

/// R24: nothing that an instance did is there in the next one, and `configure` is not run for each.
#[test]
fn each_decision_begins_where_configure_ended() {
    let counting = Counting::default();
    let reads = Arc::clone(&counting.0);
    let counted: Arc<dyn World> = Arc::new(counting);
    let slot = Slot::new(&ENGINE, "main", fresh());
    slot.stage(&HOSTILE, "look", &counted, &[]).unwrap();
    slot.promote().unwrap();
    let staged = reads.load(Ordering::Relaxed);
    assert!(staged > 0, "`configure` reads a table");
    let mut runner = Runner::new(&ENGINE);
    for number in ["sane", "sane", "trap", "sane", "sane"] {
        let mut query = query(number);
        let answer = runner.decide(&slot, None, &mut query, None, &counted);
        match number {
            "trap" => assert!(answer.outcome.is_err()),
            _ => assert_eq!(tag(&answer, "asked"), "1"),
        }
    }
    assert_eq!(reads.load(Ordering::Relaxed), staged);
}

/// R24: a dial plan that is in an instance's memory from its beginning says what it says to one that
/// has read it.
#[test]
fn a_fresh_instance_decides_as_a_warm_one() {
    let plan =
        std::fs::read_to_string(folder("intertrunk-standard").join("dialplan.toml")).unwrap();
    let slots = [fresh(), options()].map(|options| live(&STANDARD, &plan, options));
    let mut runner = Runner::new(&ENGINE);
    let numbers = [
        "912065550123",
        "90114420794600",
        "0101",
        "911",
        "nobody",
        "+14255550100",
    ];
    for number in numbers.into_iter().cycle().take(30) {
        let [fresh, warm] = [&slots[0], &slots[1]].map(|slot| {
            let answer = ask(&mut runner, slot, None, number);
            (answer.outcome, answer.because)
        });
        assert_eq!(fresh, warm, "{number}");
        assert!(!fresh.1.is_empty(), "{number} is explained");
    }
}

/// A guest that changes its tables cannot be looked into: it is configured each time, and decides.
#[test]
fn a_guest_that_cannot_be_looked_into_is_configured_each_time() {
    let changes = "(table $t 1 funcref)
        (func (table.set $t (i32.const 0) (ref.null func)))";
    let slot = live(&made(changes, [&[], &[], &[]]), "", fresh());
    let mut runner = Runner::new(&ENGINE);
    for _ in 0..3 {
        assert_eq!(
            ask(&mut runner, &slot, None, "1").outcome,
            Ok(Verdict::Pass)
        );
    }
}
