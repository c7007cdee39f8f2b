//! Prints what reading, answering and editing an ordinary message costs, in nanoseconds and in
//! allocations, and the size of a message in memory. Run it with `--release`; times of another
//! profile mean nothing. Aim: read with its essentials within 1 µs and 2 allocations.

use bytes::Bytes;
use intertrunk_sip::{Limits, Message, Name, Overlay, Read, read, reply};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const INVITE: &[u8] = b"INVITE sip:+15551234@gw.example.com:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:1001@pbx.example.com>;tag=1928301774\r\n\
    To: <sip:+15551234@gw.example.com>\r\n\
    Call-ID: a84b4c76e66710@pbx.example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:1001@192.0.2.10:5060>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n\
    Supported: timer, replaces\r\n\
    User-Agent: PBX/1.0\r\n\
    P-Asserted-Identity: <sip:1001@pbx.example.com>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n";

const ROUNDS: u32 = 3_000;
/// Short enough to be left alone now and then on a busy computer.
const ROUND: u32 = 200;

/// The best of many short rounds: what else the computer does is not the parser's fault.
fn measure(what: &str, mut work: impl FnMut()) {
    let region = Region::new(ALLOCATOR);
    work();
    let allocations = region.change().allocations;
    let mut round = || {
        let start = Instant::now();
        (0..ROUND).for_each(|_| work());
        start.elapsed().as_nanos() / u128::from(ROUND)
    };
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    println!("{what:<40}{best:>8} ns{allocations:>6} allocations");
}

fn main() {
    let bytes = Bytes::from_static(INVITE);
    let limits = Limits::default();
    let Read::Message(message) = read(bytes.clone(), &limits) else {
        return eprintln!("the sample is no message");
    };
    println!(
        "{:<40}{:>8} bytes",
        "a message in memory",
        size_of::<Message>()
    );
    measure("read", || {
        black_box(read(black_box(bytes.clone()), &limits));
    });
    measure("read, branch, tags, Call-ID, CSeq", || {
        if let Read::Message(message) = read(black_box(bytes.clone()), &limits) {
            black_box((
                message.branch(),
                message.sent_by(),
                message.from_tag(),
                message.to_tag(),
                message.call_id(),
                message.cseq(),
            ));
        }
    });
    measure("reply 200", || {
        black_box(reply(black_box(&message), 200, "OK", Some("abc"), None).finish(None));
    });
    measure("edit three headers", || {
        let mut overlay = Overlay::new(black_box(&message));
        overlay
            .prepend(
                Name::Via,
                "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKabcdefghijklm",
            )
            .replace(Name::MaxForwards, "69")
            .replace(Name::Contact, "<sip:192.0.2.1:5060>");
        black_box(overlay.finish());
    });
    let flood = [
        &INVITE[..INVITE.len() - 7],
        b"X: ",
        &[b','; 64_000],
        b"\r\n\r\n",
    ]
    .concat();
    let flood = Bytes::from(flood);
    let start = Instant::now();
    black_box(read(black_box(flood), &limits));
    println!(
        "{:<40}{:>8} ns",
        "one header of 64 KB, refused",
        start.elapsed().as_nanos()
    );
}
