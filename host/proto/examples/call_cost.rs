//! What one call costs the machine alone, without sockets and without Wasm: allocations, bytes of
//! a call that is held, bytes of a finished transaction.
//!
//! ```text
//! cargo run --release -p intertrunk-proto --example call_cost              # 50,000 held calls
//! cargo run --release -p intertrunk-proto --example call_cost -- 1000 run  # calls only
//! valgrind --tool=callgrind target/release/examples/call_cost 1000 run     # instructions
//! ```
//! Counts and bytes are exact and the same on each machine; nothing here is timed.

#[path = "../tests/between/mod.rs"]
mod between;

use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use between::{Between, CALLER, GATEWAY};
use intertrunk_proto::{B2bua, Input, Instant, Limits};
use intertrunk_sip::Method;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the machine alone has asked for.
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

const SDP: &str = "v=0\r\no=- 3918274655 1 IN IP4 127.0.0.11\r\ns=-\r\nc=IN IP4 127.0.0.11\r\n\
    t=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
/// The longest that a finished transaction lives is 64·T1.
const TRANSACTIONS_LIVE: Duration = Duration::from_secs(33);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let calls: usize = arguments
        .next()
        .map_or(50_000, |n| n.parse().expect("a number of calls"));
    if arguments.next().is_some() {
        return run(calls);
    }
    let mut world = Between::new(Limits::default(), 1, counted);
    for n in 0..100 {
        let call = set_up(&mut world, n);
        hang_up(&mut world, &call);
    }
    world.wait(TRANSACTIONS_LIVE * 2);

    ALLOCATIONS.store(0, Ordering::Relaxed);
    BYTES.store(0, Ordering::Relaxed);
    let call = set_up(&mut world, 100);
    hang_up(&mut world, &call);
    let [allocations, bytes] = [&ALLOCATIONS, &BYTES].map(|n| n.load(Ordering::Relaxed));
    println!("one call            {allocations:>8} allocations");
    println!("                    {bytes:>8} bytes asked for");
    world.wait(TRANSACTIONS_LIVE * 2);

    // A BYE of a dialog that there is not: one server transaction and nothing else.
    let region = Region::new(ALLOCATOR);
    let mut answer = 0;
    for n in 0..calls {
        world.say(n, "BYE", 2, "nobody", "");
        answer = world.sent.iter().map(|(_, bytes)| bytes.len()).sum();
    }
    world.sent = Vec::new();
    println!(
        "a finished          {:>8} bytes, {answer} of them its answer",
        live(&region) / calls
    );
    println!("transaction");
    world.wait(TRANSACTIONS_LIVE * 2);

    let region = Region::new(ALLOCATOR);
    let held: Vec<Held> = (0..calls).map(|n| set_up(&mut world, 1000 + n)).collect();
    let kept = held.capacity() * size_of::<Held>() + held.iter().map(Held::bytes).sum::<usize>();
    let fresh = live(&region) - kept;
    println!(
        "a held call         {:>8} bytes, right after its answer",
        fresh / calls
    );
    world.wait(TRANSACTIONS_LIVE);
    let settled = live(&region) - kept;
    println!(
        "                    {:>8} bytes, transactions gone",
        settled / calls
    );
    for call in held {
        hang_up(&mut world, &call);
    }
    let [left, transactions, ..] = world.b2bua.holdings();
    let finished = live(&region);
    println!(
        "a finished call     {:>8} bytes, {} transactions and {} calls waiting",
        finished / calls,
        transactions / calls,
        left / calls
    );
    world.wait(TRANSACTIONS_LIVE);
    println!(
        "all gone            {:>8} bytes a call kept by tables",
        live(&region) / calls
    );
    assert_eq!(world.b2bua.holdings(), [0; 4]);
}

/// Calls one after the other, for a profiler.
fn run(calls: usize) {
    let mut world = Between::new(Limits::default(), 1, counted);
    for n in 0..calls {
        let call = set_up(&mut world, n);
        hang_up(&mut world, &call);
        world.wait(Duration::from_millis(10));
    }
    world.wait(TRANSACTIONS_LIVE);
}

fn live(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated)
}

/// What the two user agents remember of a call.
struct Held {
    n: usize,
    to_tag: String,
}

impl Held {
    fn bytes(&self) -> usize {
        self.to_tag.capacity()
    }
}

fn set_up(world: &mut Between, n: usize) -> Held {
    world.say(n, "INVITE", 1, "", SDP);
    let invite = world.take(GATEWAY);
    world.answer(&invite, 180, "");
    let _ringing = world.take(CALLER);
    world.answer(&invite, 200, SDP);
    let ok = world.take(CALLER);
    let _ack = world.take(GATEWAY);
    let to_tag = String::from_utf8_lossy(ok.to_tag().expect("a 200 has a tag")).into_owned();
    world.say(n, "ACK", 1, &to_tag, "");
    Held { n, to_tag }
}

fn hang_up(world: &mut Between, call: &Held) {
    world.say(call.n, "BYE", 2, &call.to_tag, "");
    let _ok = world.take(CALLER);
    let bye = world.take(GATEWAY);
    assert_eq!(*bye.method(), Method::Bye);
    world.answer(&bye, 200, "");
}

/// One step of the machine, counted.
fn counted(b2bua: &mut B2bua, input: Input, now: Instant) {
    let region = Region::new(ALLOCATOR);
    b2bua.handle_input(input, now);
    let change = region.change();
    ALLOCATIONS.fetch_add(change.allocations + change.reallocations, Ordering::Relaxed);
    BYTES.fetch_add(change.bytes_allocated, Ordering::Relaxed);
}
