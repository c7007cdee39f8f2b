//! Generations: a call keeps the one that it began with, new calls get the new one.

use intertrunk_policy::{Runner, Slot, SlotFault};
use intertrunk_proto::ask::PolicyFault;

use crate::guests::{ENGINE, EXTENSIONS, HOSTILE, ask, live, options, trunks, world};

/// A slot whose first generation is `extensions` and whose second, not yet live, is `trap`.
fn slot_with_both() -> Slot {
    let slot = live(&EXTENSIONS, "", options());
    slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    slot
}

/// B5: a pin keeps deciding with its generation.
#[test]
fn a_pin_keeps_deciding_with_its_generation() {
    let slot = slot_with_both();
    let mut runner = Runner::new(&ENGINE);
    let before = ask(&mut runner, &slot, None, "+14255550100");
    assert_eq!(trunks(&before), ["pbx-a"]);
    let pin = before.pin.unwrap();

    slot.promote().unwrap();
    let after = ask(&mut runner, &slot, Some(&pin), "+14255550100");
    assert_eq!(trunks(&after), ["pbx-a"]);
    assert_eq!(after.pin.unwrap().generation, pin.generation);

    let new_call = ask(&mut runner, &slot, None, "sane");
    assert_eq!(trunks(&new_call), ["gw-a"]);
    let new_pin = new_call.pin.unwrap();
    assert_ne!(new_pin.generation, pin.generation);
    assert_ne!(new_pin.sha256, pin.sha256);
}

#[test]
fn staging_alone_changes_no_decision() {
    let slot = slot_with_both();
    let mut runner = Runner::new(&ENGINE);
    assert_eq!(
        trunks(&ask(&mut runner, &slot, None, "+14255550100")),
        ["pbx-a"]
    );
    let status = slot.status();
    assert_eq!(status.live.unwrap().name, "policy-extensions");
    assert_eq!(status.staged.unwrap().name, "policy-hostile");
    assert_eq!(status.previous, None);
}

#[test]
fn a_generation_drains_while_it_is_pinned() {
    let slot = slot_with_both();
    let mut runner = Runner::new(&ENGINE);
    let first = ask(&mut runner, &slot, None, "+14255550100").pin.unwrap();
    assert!(
        slot.status().draining.is_empty(),
        "the live generation does not drain"
    );
    let draining = |slot: &Slot| {
        slot.status()
            .draining
            .iter()
            .map(|it| it.generation)
            .collect::<Vec<_>>()
    };

    slot.promote().unwrap();
    assert_eq!(draining(&slot), [first.generation]);
    slot.stage(&EXTENSIONS, "", &world(), &[]).unwrap();
    slot.promote().unwrap();
    assert_eq!(
        draining(&slot),
        [first.generation],
        "no longer previous, still pinned"
    );

    let gone = std::sync::Arc::downgrade(&first.keep);
    drop(first);
    assert!(draining(&slot).is_empty());
    assert_eq!(
        gone.strong_count(),
        0,
        "a runner's warm instance holds no generation"
    );
}

/// R29: a rollback exchanges live and previous.
#[test]
fn a_rollback_exchanges_live_and_previous() {
    let slot = slot_with_both();
    let mut runner = Runner::new(&ENGINE);
    let first = slot.live().unwrap().info().clone();
    let second = slot.promote().unwrap();
    assert_eq!(slot.status().previous, Some(first.clone()));
    assert_eq!(slot.rollback().unwrap(), first);
    assert_eq!(
        trunks(&ask(&mut runner, &slot, None, "+14255550100")),
        ["pbx-a"]
    );
    assert_eq!(slot.rollback().unwrap(), second);
    assert_eq!(trunks(&ask(&mut runner, &slot, None, "sane")), ["gw-a"]);
}

#[test]
fn generations_are_counted_over_slots_of_the_same_name() {
    let numbers: Vec<_> = (0..2)
        .map(|_| {
            let slot = Slot::new(&ENGINE, "counted", options());
            slot.stage(&HOSTILE, "", &world(), &[]).unwrap().generation
        })
        .collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn an_empty_slot_says_so() {
    let slot = Slot::new(&ENGINE, "empty", options());
    assert_eq!(slot.promote().unwrap_err(), SlotFault::NothingStaged);
    assert_eq!(slot.rollback().unwrap_err(), SlotFault::NoPrevious);
    let answer = ask(&mut Runner::new(&ENGINE), &slot, None, "sane");
    assert_eq!(answer.outcome, Err(PolicyFault::NotReady));
    assert!(answer.pin.is_none());
}

#[test]
fn a_pin_of_another_policy_is_not_followed() {
    let (ours, other) = (
        live(&HOSTILE, "", options()),
        Slot::new(&ENGINE, "other", options()),
    );
    other.stage(&EXTENSIONS, "", &world(), &[]).unwrap();
    other.promote().unwrap();
    let mut runner = Runner::new(&ENGINE);
    let pin = ask(&mut runner, &other, None, "+14255550100").pin.unwrap();
    let answer = ask(&mut runner, &ours, Some(&pin), "sane");
    assert_eq!(trunks(&answer), ["gw-a"]);
    assert_eq!(&*answer.pin.unwrap().policy, "main");
}

#[test]
fn shards_swap_together() {
    let slot = slot_with_both();
    let second = slot.status().staged.unwrap().generation;
    std::thread::scope(|scope| {
        let shards: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut runner = Runner::new(&ENGINE);
                    let mut last = 0;
                    // Ends because another thread promotes: each decision is good, and none goes
                    // back to the older generation.
                    while last != second {
                        let answer = ask(&mut runner, &slot, None, "sane");
                        assert!(answer.outcome.is_ok(), "{:?}", answer.outcome);
                        let generation = answer.pin.unwrap().generation;
                        assert!(generation >= last);
                        last = generation;
                    }
                })
            })
            .collect();
        slot.promote().unwrap();
        shards.into_iter().for_each(|shard| shard.join().unwrap());
    });
}
