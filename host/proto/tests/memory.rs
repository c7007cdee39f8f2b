//! A machine filled to its limits takes no more memory than its limits say it does.
//!
//! One test, in a binary of its own: the allocator counts for the whole process.

mod between;

use std::alloc::System;
use std::time::Duration;

use between::{Between, CALLER, GATEWAY};
use intertrunk_proto::{B2bua, CALL_BYTES, Limits, MESSAGE_BYTES, TRANSACTION_BYTES};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: usize = 2_000;
const TRANSACTIONS: usize = 10_000;

#[test]
fn limits_say_what_they_cost() {
    let sdp = format!("v=0\r\na={}\r\n", "x".repeat(MESSAGE_BYTES - 700));
    let limits = Limits {
        calls_max: CALLS,
        transactions_max: TRANSACTIONS,
        ..Limits::default()
    };
    let mut world = Between::new(limits, 2, B2bua::handle_input);
    let empty = Region::new(ALLOCATOR);

    // Finished transactions first, until there may be no more.
    for n in 0..TRANSACTIONS {
        world.say(n, "OPTIONS", 1, "", "");
    }
    world.sent = Vec::new();
    assert_eq!(world.b2bua.holdings(), [0, TRANSACTIONS, 0, 0]);
    let transactions = live(&empty);
    assert!(
        transactions <= TRANSACTIONS * TRANSACTION_BYTES,
        "{transactions}"
    );
    world.wait(Duration::from_secs(70));
    assert_eq!(world.b2bua.holdings(), [0; 4]);

    // Calls that ring at their second gateway, until there may be no more.
    for n in 0..CALLS {
        world.say(n, "INVITE", 1, "", &sdp);
        let invite = world.take(GATEWAY);
        assert!((MESSAGE_BYTES - 400..=MESSAGE_BYTES).contains(&invite.bytes().len()));
        world.answer(&invite, 503, "");
        let invite = world.take(GATEWAY);
        world.answer(&invite, 180, &sdp);
    }
    world.sent = Vec::new();
    let [calls, transactions, ..] = world.b2bua.holdings();
    assert_eq!(calls, CALLS);
    let ringing = live(&empty);
    assert!(ringing <= CALLS * CALL_BYTES, "{} a call", ringing / CALLS);

    // One more of each is refused, and takes nothing.
    world.say(CALLS, "INVITE", 1, "", &sdp);
    assert_eq!(world.take(CALLER).status(), 503);
    world.sent = Vec::new();
    assert_eq!(world.b2bua.holdings()[..2], [calls, transactions]);
    assert!(live(&empty) <= limits.bytes());
}

fn live(region: &Region<'_, System>) -> usize {
    let change = region.change();
    let gone = change.bytes_deallocated;
    change.bytes_allocated.saturating_sub(gone)
}
