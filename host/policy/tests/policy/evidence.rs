//! Before a generation is promoted: recorded decisions replayed, live ones decided in the shadow, a
//! share of the calls decided for real.

use std::sync::Arc;

use intertrunk_policy::journal::{Entry, GenerationEntry, JournalReader, JournalWriter};
use intertrunk_policy::replay::{Otherwise, Replay, Replayed};
use intertrunk_policy::{
    CanaryRules, Decision, Engine, Isolation, Runner, Slot, SlotFault, Sticky,
};
use intertrunk_proto::ask::{Answer, Cause, Query, Transfer};
use intertrunk_proto::{AttemptRecord, CallId, EndedBy, Instant, Record};

use crate::guests::{ENGINE, EXTENSIONS, HOSTILE, STANDARD, live, options, query, trunks, world};

/// Asks, and returns the decision as a journal has it.
fn decided(runner: &mut Runner, slot: &Slot, mut query: Query) -> (Answer, Decision) {
    runner.record(true);
    let answer = runner.decide(slot, None, &mut query, None, &world());
    let decision = Decision {
        policy: slot.name().to_string(),
        generation: answer.pin.as_ref().map_or(0, |pin| pin.generation),
        query,
        replies: runner.take_replies(),
        outcome: answer.outcome.clone(),
        decision_us: answer.decision_us,
    };
    (answer, decision)
}

/// A call of this caller to this number.
fn call(caller: u32, number: &str) -> Query {
    let mut query = query(number);
    query.call.caller.user = format!("{caller:04}");
    query
}

const DIALPLAN: &str = r#"
[[route]]
name = "by cost"
prefix = "+44"
to = ["gw-b", "gw-a"]

[[route]]
name = "public"
prefix = "+"
to = ["gw-a", "gw-b"]
"#;

/// A journal of `count` decisions by the standard policy.
fn journal(count: u32) -> Vec<u8> {
    let slot = live(&STANDARD, DIALPLAN, options());
    let mut runner = Runner::new(&ENGINE);
    let mut bytes = Vec::new();
    let mut writer = JournalWriter::new(&mut bytes).unwrap();
    for n in 0..count {
        let number = match n % 3 {
            0 => format!("+44{n}"),
            1 => format!("+1425{n}"),
            _ => format!("{n}"),
        };
        let mut question = call(n % 100, &number);
        question.seed = n.into();
        let (answer, decision) = decided(&mut runner, &slot, question);
        if n == 0 {
            let entry = GenerationEntry::of(&answer.pin.unwrap()).unwrap();
            writer.put(&Entry::Generation(entry)).unwrap();
        }
        writer.put(&Entry::Decision(Box::new(decision))).unwrap();
    }
    bytes
}

fn replayed(journal: &[u8], wasm: &[u8], otherwise: Otherwise) -> Replayed {
    // As on another machine on another day.
    let engine = Engine::new().unwrap();
    let mut replay = Replay::new(&engine, wasm, otherwise, None, Isolation::Warm).unwrap();
    for entry in JournalReader::new(journal).unwrap() {
        replay.take(entry.unwrap()).unwrap();
    }
    replay.result()
}

/// B3: ten thousand decisions replay identically.
#[test]
fn ten_thousand_decisions_replay_identically() {
    let journal = journal(10_000);
    let replayed = replayed(&journal, &STANDARD, Otherwise::default());
    assert_eq!(replayed.comparison.compared, 10_000);
    assert_eq!(replayed.comparison.groups, []);
    assert_eq!(replayed.comparison.same, 10_000);
    assert_eq!(replayed.skipped, 0);
}

/// O6: other settings show what they would change.
#[test]
fn other_settings_show_what_they_would_change() {
    let journal = journal(300);
    let dearer = DIALPLAN.replace(r#"["gw-b", "gw-a"]"#, r#"["gw-a"]"#);
    let otherwise = Otherwise {
        settings: Some(dearer),
        ..Otherwise::default()
    };
    let replayed = replayed(&journal, &STANDARD, otherwise);
    let of = replayed.comparison;
    assert_eq!((of.compared, of.same), (300, 200));
    let causes: Vec<_> = of.groups.iter().map(|it| (&*it.cause, it.count)).collect();
    assert_eq!(causes, [("first trunk: gw-b -> gw-a", 100)]);
    let example = &of.groups[0].examples[0];
    assert_eq!(example.to, "+440");
    assert!(example.before.starts_with("connect gw-b"), "{example:?}");
    assert!(example.after.starts_with("connect gw-a"), "{example:?}");
}

/// B14: an outage shows where the calls would go, and which would go nowhere.
#[test]
fn an_outage_shows_where_the_calls_would_go() {
    let journal = journal(300);
    let without = |down: &[&str]| {
        let otherwise = Otherwise {
            down: down.iter().map(|it| (*it).to_owned()).collect(),
            ..Otherwise::default()
        };
        replayed(&journal, &STANDARD, otherwise)
    };
    let causes = |replayed: &Replayed| -> Vec<(String, u64)> {
        let groups = replayed.comparison.groups.iter();
        groups.map(|it| (it.cause.clone(), it.count)).collect()
    };
    let told = |cause: &str| (cause.to_owned(), 100);

    let one = without(&["gw-b"]);
    let others = [
        told("first trunk: gw-b -> gw-a"),
        told("trunks tried after the first"),
    ];
    assert_eq!(causes(&one), others);
    assert_eq!((one.comparison.same, one.absent), (100, 0));

    let both = without(&["gw-a", "gw-b"]);
    let nowhere = [
        told("first trunk: gw-a -> none"),
        told("first trunk: gw-b -> none"),
    ];
    assert_eq!(causes(&both), nowhere);
    let example = &both.comparison.groups[0].examples[0];
    assert_eq!(example.after, "no trunk left");

    // Calls from there would not have come.
    let ingress = without(&["pbx-a"]);
    assert_eq!((ingress.comparison.compared, ingress.absent), (0, 300));

    let unknown = without(&["gw-b", "gw-z"]);
    assert_eq!(unknown.uninvolved, ["gw-z"]);
    assert_eq!(causes(&unknown), causes(&one));
}

/// B14: policies are told of the outage, and asked again if they want to be.
#[test]
fn policies_are_told_of_an_outage() {
    let slot = live(&HOSTILE, "", options());
    let mut runner = Runner::new(&ENGINE);
    let mut transferred = call(1, "sane");
    transferred.cause = Cause::Transferred(Transfer {
        by: "gw-a".to_owned(),
        target: transferred.call.callee.clone(),
        replaces: false,
    });
    let questions = [
        call(1, "heed-gw-a"),
        call(1, "again"),
        call(1, "for-ever"),
        transferred,
    ];
    let mut bytes = Vec::new();
    let mut writer = JournalWriter::new(&mut bytes).unwrap();
    for question in questions {
        let (answer, decision) = decided(&mut runner, &slot, question);
        assert_eq!(trunks(&answer), ["gw-a"]);
        writer.put(&Entry::Decision(Box::new(decision))).unwrap();
    }
    let otherwise = Otherwise {
        down: ["gw-a".to_owned()].into(),
        ..Otherwise::default()
    };
    let replayed = replayed(&bytes, &HOSTILE, otherwise);
    let groups = &replayed.comparison.groups;
    let causes: Vec<_> = groups.iter().map(|it| (&*it.cause, it.count)).collect();
    let told = [
        ("first trunk: gw-a -> gw-b", 2),
        ("first trunk: gw-a -> none", 1),
    ];
    assert_eq!(causes, told);
    // Whose peer transfers was never up.
    assert_eq!((replayed.comparison.compared, replayed.absent), (3, 1));
    assert!(replayed.uninvolved.is_empty());
}

/// B2: a shadow decides unheard.
#[test]
fn a_shadow_decides_unheard() {
    let slot = live(&EXTENSIONS, "", options());
    assert!(!slot.has_shadow());
    assert_eq!(slot.shadow().unwrap_err(), SlotFault::NothingStaged);
    slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    slot.shadow().unwrap();
    assert!(slot.has_shadow());

    let mut runner = Runner::new(&ENGINE);
    for n in 0..10 {
        let (answer, decision) = decided(&mut runner, &slot, call(n, "trap"));
        assert!(answer.outcome.is_ok(), "calls hear nothing of it");
        slot.decide_in_shadow(&decision, &world());
    }
    let shadow = slot.status().shadow.unwrap();
    assert_eq!(
        (shadow.comparison.compared, shadow.comparison.same),
        (10, 0)
    );
    assert_eq!(shadow.faults, 10);
    assert_eq!(
        shadow.comparison.groups[0].cause,
        "reject 404 -> fault trap"
    );
    assert!(!slot.status().quarantined, "its faults are its own");

    slot.rollback().unwrap();
    assert!(!slot.has_shadow());
    assert!(slot.status().staged.is_some(), "it stays staged");
    assert_eq!(slot.rollback().unwrap_err(), SlotFault::NoPrevious);
}

/// B4: a canary decides for its share and for the same callers.
#[test]
fn a_canary_decides_for_its_share_and_for_the_same_callers() {
    let slot = live(&EXTENSIONS, "", options());
    let old = slot.live().unwrap().info().generation;
    slot.stage(&STANDARD, DIALPLAN, &world(), &[]).unwrap();
    let rules = CanaryRules {
        percent: 30,
        ..CanaryRules::default()
    };
    let new = slot.start_canary(rules).unwrap().generation;
    let mut runner = Runner::new(&ENGINE);
    let mut round = || -> Vec<u64> {
        let asked = (0..1000).map(|n| decided(&mut runner, &slot, call(n, "+14255550100")));
        asked.map(|(_, decision)| decision.generation).collect()
    };
    let first = round();
    assert_eq!(first, round(), "a caller stays with its policy");
    let share = first.iter().filter(|it| **it == new).count();
    assert!((200..400).contains(&share), "{share} of 1000");
    assert!(first.iter().all(|it| *it == old || *it == new));

    let status = slot.status().canary.unwrap();
    assert_eq!(status.canary.decisions, 2 * share as u64);
    assert_eq!(status.live.decisions, 2000 - 2 * share as u64);
    assert_eq!(slot.promote().unwrap().generation, new);
    assert_eq!(slot.status().canary, None);
    assert_eq!(round(), [new; 1000]);
}

/// B4: a canary that faults is withdrawn.
#[test]
fn a_canary_that_faults_is_withdrawn() {
    let slot = live(&EXTENSIONS, "", options());
    let old = slot.live().unwrap().info().clone();
    slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    slot.start_canary(CanaryRules {
        percent: 100,
        max_faults: 2,
        ..CanaryRules::default()
    })
    .unwrap();
    assert!(
        slot.stage(&EXTENSIONS, "", &world(), &[]).is_err(),
        "nothing takes its place unseen"
    );
    let mut runner = Runner::new(&ENGINE);
    let (pinned, _) = decided(&mut runner, &slot, call(0, "sane"));
    for n in 0..3 {
        let (answer, _) = decided(&mut runner, &slot, call(n, "trap"));
        assert!(answer.outcome.is_err());
    }
    let status = slot.status();
    assert_eq!((status.canary, status.staged), (None, None));
    let withdrawn = status.last_withdrawn.unwrap();
    assert!(
        withdrawn.reason.contains("3 of its decisions failed"),
        "{withdrawn:?}"
    );
    assert_eq!(withdrawn.canary.canary.faults, 3);
    assert_eq!(status.live, Some(old));
    let (answer, _) = decided(&mut runner, &slot, call(0, "+14255550100"));
    assert_eq!(trunks(&answer), ["pbx-a"]);
    let mut again = call(0, "sane");
    let kept = runner.decide(&slot, pinned.pin.as_ref(), &mut again, None, &world());
    assert_eq!(
        trunks(&kept),
        ["gw-a"],
        "a call stays with what it began with"
    );
}

/// B4: a canary whose calls fare worse is withdrawn.
#[test]
fn a_canary_whose_calls_fare_worse_is_withdrawn() {
    type Spoil = fn(&mut Record);
    let worse: [(&str, Spoil); 3] = [
        ("fail", |call| call.final_code = 503),
        ("are answered", |call| call.answered_at = None),
        ("ms for ringing", |call| {
            call.attempts[0].pdd_ms = Some(9000);
        }),
    ];
    for (reason, spoil) in worse {
        let slot = Arc::new(live(&EXTENSIONS, "", options()));
        let old = slot.live().unwrap().info().generation;
        slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
        let rules = CanaryRules {
            percent: 50,
            sticky: Sticky::Number,
            min_calls: 10,
            ..CanaryRules::default()
        };
        let new = slot.start_canary(rules).unwrap().generation;
        for n in 1..=10 {
            assert!(slot.status().canary.is_some(), "too early after {n} calls");
            slot.ended(&record(old));
            let mut call = record(new);
            spoil(&mut call);
            slot.ended(&call);
        }
        let withdrawn = slot.status().last_withdrawn.unwrap();
        assert!(withdrawn.reason.contains(reason), "{withdrawn:?}");
        assert_eq!(slot.live().unwrap().info().generation, old);
    }
}

#[test]
fn a_promotion_may_name_the_module_that_is_meant() {
    let slot = live(&EXTENSIONS, "", options());
    let mine = slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    slot.stage(&EXTENSIONS, "", &world(), &[]).unwrap();
    let refused = slot.promote_only(Some(&mine.sha256)).unwrap_err();
    assert_eq!(refused, SlotFault::OtherStaged);
    slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    assert!(slot.promote_only(Some(&mine.sha256)).is_ok());
}

/// An answered call.
fn record(generation: u64) -> Record {
    let at = |ms: u64| Instant::from_micros(ms * 1000);
    Record {
        call: CallId(1),
        sip_call_id: "a1@pbx".to_owned(),
        started_at: at(1000),
        answered_at: Some(at(2500)),
        ended_at: at(60_000),
        ingress_trunk: "pbx-a".into(),
        egress_trunk: Some("gw-b".into()),
        caller_in: "0100".to_owned(),
        caller_out: None,
        callee_in: "915551234567".to_owned(),
        callee_out: None,
        policy: "main".into(),
        generation,
        policy_sha256: None,
        decision_us: 17,
        fallback: None,
        because: Vec::new(),
        looked_up: Vec::new(),
        refused: Vec::new(),
        attempts: vec![AttemptRecord {
            trunk: "gw-b".into(),
            peer: None,
            started_at: at(1010),
            ended_at: at(1030),
            q850: None,
            code: 200,
            reason: "OK".to_owned(),
            pdd_ms: Some(100),
        }],
        final_code: 200,
        ended_by: EndedBy::Caller,
        hangup_cause: 16,
        tags: Vec::new(),
        ladder: Vec::new(),
    }
}
