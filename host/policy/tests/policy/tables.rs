//! Tables belong to a generation: they go live with it, and never change under it.

use std::sync::Arc;

use intertrunk_policy::journal::Entry;
use intertrunk_policy::replay::{Otherwise, Replay};
use intertrunk_policy::{
    Decision, Isolation, Options, Row, Runner, Slot, Tables, TrunkFacts, World,
};
use intertrunk_proto::LookedUp;
use intertrunk_proto::ask::Answer;

use crate::guests::{ENGINE, HOSTILE, options, query, trunks};

/// A world whose table `lcr` sends everything to one trunk.
fn all_to(trunk: &str) -> Arc<dyn World> {
    Arc::new(AllTo(trunk.to_owned()))
}

#[derive(Clone)]
struct AllTo(String);

impl World for AllTo {
    fn trunk(&self, _: &str) -> Option<TrunkFacts> {
        None
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        Vec::new()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::new(self.clone())
    }
}

impl Tables for AllTo {
    fn exact(&self, _: &str, _: &str) -> Option<Row> {
        None
    }

    fn longest_prefix(&self, _: &str, key: &str) -> Option<Row> {
        key.starts_with("+44").then(|| Row {
            key: "+44".to_owned(),
            columns: vec![self.0.clone(), "0.01".to_owned()],
        })
    }

    fn prefixes(&self, _: &str, _: &str) -> Vec<Row> {
        Vec::new()
    }
}

fn reads_tables() -> Options {
    Options {
        tables: vec!["lcr".to_owned()],
        ..options()
    }
}

/// Decides in a world whose tables are others by now.
fn ask(runner: &mut Runner, slot: &Slot) -> Answer {
    let mut query = query("look-+442071234567");
    runner.decide(slot, None, &mut query, None, &all_to("gw-z"))
}

/// B11: the live generation keeps its tables until another is promoted, whether its instance is a
/// warm or a fresh one, and gets them back with a rollback.
#[test]
fn tables_go_live_with_their_generation() {
    for isolation in [Isolation::Warm, Isolation::Call] {
        let options = Options {
            isolation,
            ..reads_tables()
        };
        let slot = Slot::new(&ENGINE, "main", options);
        let mut runner = Runner::new(&ENGINE);
        let stage = |trunk: &str| slot.stage(&HOSTILE, "", &all_to(trunk), &[]).unwrap();
        stage("gw-a");
        slot.promote().unwrap();
        for _ in 0..3 {
            assert_eq!(trunks(&ask(&mut runner, &slot)), ["gw-a"]);
        }
        stage("gw-b");
        assert_eq!(trunks(&ask(&mut runner, &slot)), ["gw-a"], "staged only");
        slot.promote().unwrap();
        assert_eq!(trunks(&ask(&mut runner, &slot)), ["gw-b"]);
        slot.rollback().unwrap();
        assert_eq!(trunks(&ask(&mut runner, &slot)), ["gw-a"]);
    }
}

fn recorded(slot: &Slot) -> Decision {
    let mut runner = Runner::new(&ENGINE);
    runner.record(true);
    let answer = ask(&mut runner, slot);
    Decision {
        policy: "main".to_owned(),
        generation: answer.pin.map_or(0, |pin| pin.generation),
        query: query("look-+442071234567"),
        replies: runner.take_replies(),
        outcome: answer.outcome,
        decision_us: 1,
    }
}

/// B11: in the shadow a generation reads the tables that would be promoted with it.
#[test]
fn a_shadow_reads_its_own_tables() {
    let slot = Slot::new(&ENGINE, "main", reads_tables());
    slot.stage(&HOSTILE, "", &all_to("gw-a"), &[]).unwrap();
    slot.promote().unwrap();
    slot.stage(&HOSTILE, "", &all_to("gw-b"), &[]).unwrap();
    slot.shadow().unwrap();
    slot.decide_in_shadow(&recorded(&slot), &all_to("gw-z"));
    let shadow = slot.status().shadow.unwrap();
    let cause = &shadow.comparison.groups[0].cause;
    assert_eq!(cause, "first trunk: gw-a -> gw-b");
}

/// B11: a replay asks what the tables said then, or the tables of a candidate.
#[test]
fn a_replay_tries_other_tables() {
    let slot = Slot::new(&ENGINE, "main", reads_tables());
    slot.stage(&HOSTILE, "", &all_to("gw-a"), &[]).unwrap();
    slot.promote().unwrap();
    let decision = recorded(&slot);
    for (tables, causes) in [
        (None, vec![]),
        (Some("gw-a"), vec![]),
        (Some("gw-b"), vec!["first trunk: gw-a -> gw-b"]),
    ] {
        let tables = tables.map(|trunk| all_to(trunk).tables());
        let otherwise = Otherwise {
            tables,
            ..Otherwise::default()
        };
        let replay = Replay::new(&ENGINE, &HOSTILE, otherwise, None, Isolation::Warm);
        let mut replay = replay.unwrap();
        replay
            .take(Entry::Decision(Box::new(decision.clone())))
            .unwrap();
        let result = replay.result().comparison;
        let told: Vec<_> = result.groups.iter().map(|group| &*group.cause).collect();
        assert_eq!((result.compared, told), (1, causes));
    }
}

/// B8: who asks why is told what was looked up, and what was found; nobody else pays for it.
#[test]
fn look_ups_are_told() {
    let slot = Slot::new(&ENGINE, "main", reads_tables());
    slot.stage(&HOSTILE, "", &all_to("gw-a"), &[]).unwrap();
    slot.promote().unwrap();
    let mut runner = Runner::new(&ENGINE);
    let mut told = |number: &str, explain: bool| {
        let mut query = query(number);
        query.explain = explain;
        let answer = runner.decide(&slot, None, &mut query, None, &all_to("gw-z"));
        let lines = answer.looked_up.iter().map(LookedUp::to_string);
        lines.collect::<Vec<_>>()
    };
    let found = "table lcr, +4420 by its longest prefix: +44 | gw-a | 0.01";
    assert_eq!(told("look-+4420", true), [found]);
    let missed = "table lcr, +33 by its longest prefix: nothing";
    assert_eq!(told("look-+33", true), [missed]);
    assert_eq!(told("look-+33", false), [""; 0]);
    assert_eq!(told("sane", true), [""; 0]);
}
