//! Hostile guests: each misdeed has its name, costs one decision, and leaves nothing behind.

use std::time::Duration;

use intertrunk_policy::{Engine, Isolation, LoadFault, Options, Runner, Slot};
use intertrunk_proto::ask::{PolicyFault, Verdict};

use crate::guests::{ENGINE, HOSTILE, ask, live, options, tag, trunks, world};
use crate::load::deciding;

/// The fault of one misdeed. The decision after it, on a fresh instance, must be good.
fn fault_of(misdeed: &str, options: Options) -> PolicyFault {
    let slot = live(&HOSTILE, "", options);
    let mut runner = Runner::new(&ENGINE);
    assert_eq!(trunks(&ask(&mut runner, &slot, None, "sane")), ["gw-a"]);
    let answer = ask(&mut runner, &slot, None, misdeed);
    let pin = answer
        .pin
        .as_ref()
        .expect("the record says which generation failed");
    assert_eq!(
        Some(pin.generation),
        slot.live().map(|live| live.info().generation)
    );
    assert_eq!(trunks(&ask(&mut runner, &slot, None, "sane")), ["gw-a"]);
    let fault = answer
        .outcome
        .expect_err("a hostile guest gives no verdict");
    assert_eq!(slot.status().faults, [(fault.kind(), 1)].into());
    assert_eq!(slot.status().decisions, 3);
    fault
}

/// R25, B1: a loop is a timeout.
#[test]
fn a_loop_is_a_timeout() {
    let options = Options {
        deadline: Duration::from_millis(100),
        ..options()
    };
    assert_eq!(fault_of("loop", options), PolicyFault::Timeout);
}

#[test]
fn a_panic_is_a_trap_with_its_message() {
    let PolicyFault::Trap(message) = fault_of("trap", options()) else {
        panic!("not a trap")
    };
    assert!(message.contains("no idea where trap is"), "{message}");
    assert!(message.starts_with("panicked at "), "{message}");
}

/// R25, B1: a hoard is refused memory.
#[test]
fn a_hoard_is_refused_memory() {
    assert_eq!(fault_of("hoard", options()), PolicyFault::Memory);
}

/// R25, B1: endless recursion runs out of stack.
#[test]
fn endless_recursion_runs_out_of_stack() {
    assert_eq!(fault_of("recurse", options()), PolicyFault::Stack);
}

#[test]
fn a_verdict_of_megabytes_is_not_copied() {
    for misdeed in ["boast", "crowd"] {
        let PolicyFault::Trap(message) = fault_of(misdeed, options()) else {
            panic!("{misdeed}: not a trap")
        };
        assert!(message.contains("too much data"), "{misdeed}: {message}");
    }
}

/// Of a guest with 256 KB the host would copy 64 MB: a thousand parties whose users are the same text.
#[test]
fn one_text_over_and_over_is_too_much() {
    let redirecting = |parties: u32| {
        let (list, party) = (200_000, 40);
        let end = list + party * parties;
        let module = deciding(&format!(
            "(local $at i32)
            (local.set $at (i32.const {list}))
            (loop $next
                (i32.store offset=16 (local.get $at) (i32.const 131072))
                (i32.store offset=20 (local.get $at) (i32.const 65536))
                (local.set $at (i32.add (local.get $at) (i32.const {party})))
                (br_if $next (i32.lt_u (local.get $at) (i32.const {end}))))
            (i32.store8 (i32.const 24) (i32.const 2))
            (i32.store (i32.const 28) (i32.const {list}))
            (i32.store (i32.const 32) (i32.const {parties}))
            (i32.const 24)"
        ));
        let slot = live(&module, "", options());
        ask(&mut Runner::new(&ENGINE), &slot, None, "100").outcome
    };
    let Ok(Verdict::Redirect(parties)) = redirecting(10) else {
        panic!("ten are not too much")
    };
    assert_eq!((parties.len(), parties[9].user.len()), (10, 65_536));
    let refused = redirecting(1000);
    assert!(
        matches!(&refused, Err(PolicyFault::Trap(it)) if it.contains("too much data")),
        "{:.200}",
        format!("{refused:?}")
    );
}

#[test]
fn a_loop_in_configure_is_refused_at_staging() {
    let options = Options {
        configure_deadline: Duration::from_millis(50),
        ..options()
    };
    let slot = Slot::new(&ENGINE, "main", options);
    let fault = slot.stage(&HOSTILE, "loop", &world(), &[]).unwrap_err();
    let timeout = LoadFault::Guest {
        during: "configure",
        fault: PolicyFault::Timeout,
    };
    assert_eq!(fault.to_string(), timeout.to_string());
    assert!(slot.live().is_none());
}

#[test]
fn a_guest_larger_than_its_limit_does_not_start() {
    let slot = Slot::new(
        &ENGINE,
        "main",
        Options {
            memory_bytes: 64 << 10,
            ..options()
        },
    );
    let fault = slot
        .stage(&HOSTILE, "", &world(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        fault.starts_with("failed in start: asked for more memory"),
        "{fault}"
    );
    assert!(fault.contains("raise `memory`"), "{fault}");
}

#[test]
fn a_warm_instance_decides_call_after_call_until_it_faults() {
    let slot = live(&HOSTILE, "", options());
    let mut runner = Runner::new(&ENGINE);
    assert_eq!(tag(&ask(&mut runner, &slot, None, "sane"), "asked"), "1");
    assert_eq!(tag(&ask(&mut runner, &slot, None, "sane"), "asked"), "2");
    assert!(ask(&mut runner, &slot, None, "trap").outcome.is_err());
    assert_eq!(tag(&ask(&mut runner, &slot, None, "sane"), "asked"), "1");
}

#[test]
fn an_isolated_call_has_an_instance_of_its_own() {
    let slot = live(
        &HOSTILE,
        "",
        Options {
            isolation: Isolation::Call,
            ..options()
        },
    );
    let mut runner = Runner::new(&ENGINE);
    for _ in 0..4 {
        assert_eq!(tag(&ask(&mut runner, &slot, None, "sane"), "asked"), "1");
    }
}

#[test]
fn more_generations_than_a_runner_keeps_warm_still_decide() {
    let slots: Vec<_> = (0..12).map(|_| live(&HOSTILE, "", options())).collect();
    let mut runner = Runner::new(&ENGINE);
    for _ in 0..2 {
        for slot in &slots {
            assert_eq!(trunks(&ask(&mut runner, slot, None, "sane")), ["gw-a"]);
        }
    }
    // The last eight of the first round were kept, but each was pushed out before its second turn.
    assert_eq!(
        tag(&ask(&mut runner, &slots[11], None, "sane"), "asked"),
        "2"
    );
    assert_eq!(
        tag(&ask(&mut runner, &slots[0], None, "sane"), "asked"),
        "1"
    );
}

#[test]
fn a_policy_that_configures_slowly_gets_its_instances_from_the_builder() {
    // Under such a deadline no instance can be made within a decision.
    let options = Options {
        deadline: Duration::from_nanos(1),
        ..options()
    };
    let engine = Engine::new().unwrap();
    let slot = Slot::new(&engine, "slow", options);
    slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    slot.promote().unwrap();
    let mut runner = Runner::new(&engine);
    // Staging made two spares; each fault uses one up.
    for _ in 0..2 {
        let fault = ask(&mut runner, &slot, None, "trap").outcome.unwrap_err();
        assert_ne!(fault, PolicyFault::NotReady);
    }
    let without = ask(&mut runner, &slot, None, "trap").outcome;
    assert_eq!(
        without,
        Err(PolicyFault::NotReady),
        "a shard does not wait for `configure`"
    );
    // Ends because the builder makes another.
    while ask(&mut runner, &slot, None, "trap").outcome == Err(PolicyFault::NotReady) {
        std::thread::yield_now();
    }
}
