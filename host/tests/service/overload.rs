//! More calls than the service may have.

use std::time::{Duration, Instant};

use crate::host::Host;
use crate::phone::Side;

const NUMBER: &str = "92065551234";
const LIMITS: &str = "[limits]\ncalls = 10\n\
     [overload]\nretry_after_min = \"3s\"\nretry_after_max = \"5s\"\n";
/// The longest that what a flood left may be held: 64·T1 twice, and some.
const ALL_GONE: Duration = Duration::from_secs(100);

/// Sends that many INVITEs at once; the codes of the first answers.
fn volley(host: &Host, calls: usize) -> Vec<u16> {
    let sides: Vec<Side> = (0..calls)
        .map(|_| host.pbx.invite(host.sip, "0100", NUMBER))
        .collect();
    let code = |side: &Side| {
        let first = host.pbx.wait("an answer", |m| {
            m.start().starts_with("SIP/2.0 ") && m.header("Call-ID") == side.call_id
        });
        let code = first.start().split(' ').nth(1).unwrap().parse().unwrap();
        if code == 503 {
            let seconds: u32 = first.header("Retry-After").parse().unwrap();
            assert!((3..=5).contains(&seconds), "{}", first.0);
        }
        code
    };
    sides.iter().map(code).collect()
}

/// K20: 3,000 calls on a service that may have ten: each of the others hears 503 with Retry-After at
/// once, the one that is up goes on, and in the end nothing is held.
#[test]
fn a_flood_is_shed_and_leaves_nothing() {
    let host = Host::start("flood", 1, LIMITS);
    let (mut up, _, _) = host.pbx.call(host.sip, NUMBER, &host.gw);
    let mut taken = 0;
    for _ in 0..60 {
        for code in volley(&host, 50) {
            match code {
                100 => taken += 1,
                code => assert_eq!(code, 503),
            }
        }
    }
    assert_eq!(taken, 9);
    assert_eq!(
        host.counter("intertrunk_calls_shed_total{load=\"calls\"}"),
        2991
    );
    let status = host.get("/v1/status").body;
    assert_eq!(status["held"]["calls"], 10, "{status}");
    host.pbx.hang_up(&mut up, &host.gw);

    for call in host.get("/v1/calls").body.as_array().unwrap() {
        let id = call["call_id"].as_str().unwrap();
        host.delete(&format!("/v1/calls/{id}")).is(200);
    }
    let give_up = Instant::now() + ALL_GONE;
    let held = loop {
        let held = host.get("/v1/status").body["held"].clone();
        let parts = held.as_object().unwrap();
        if parts.values().all(|n| *n == 0) || Instant::now() > give_up {
            break held;
        }
    };
    assert!(
        held.as_object().unwrap().values().all(|n| *n == 0),
        "{held}"
    );
    assert_eq!(volley(&host, 1), [100], "there is room again");
}

/// The computed worst case is shown, and follows a budget.
#[test]
fn a_budget_of_memory_sets_the_limits() {
    let host = Host::start("budget", 1, "[limits]\nmemory = \"512MiB\"\n");
    let memory = host.get("/v1/status").is(200).body["memory"].clone();
    let total = memory["total"].as_u64().unwrap();
    assert!((510 << 20..=512 << 20).contains(&total), "{memory}");
    assert!(memory["calls"].as_u64().unwrap() > 200 << 20, "{memory}");
}
