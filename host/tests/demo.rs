//! The demonstration as a test: `intertrunk demo` places its calls over real sockets.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// O17: every call does what is expected of it.
#[test]
fn every_call_does_what_is_expected_of_it() {
    let demo = Command::new(env!("CARGO_BIN_EXE_intertrunk"))
        .args(["demo", "--json"])
        .output();
    let demo = demo.unwrap();
    let told = String::from_utf8(demo.stdout).unwrap();
    assert!(
        demo.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&demo.stderr)
    );

    let story: Value = serde_json::from_str(&told).unwrap();
    let calls = story["calls"].as_array().unwrap();
    assert!(calls.len() >= 12, "{} calls", calls.len());
    let distinct = |key: &str| calls.iter().map(|call| call[key].to_string()).collect();
    let generations: BTreeSet<String> = distinct("generation");
    assert_eq!(generations, ["1", "2"].map(str::to_owned).into());
    let faults: BTreeSet<String> = distinct("fallback");
    assert!(
        faults.contains("\"timeout\""),
        "no call had a policy that looped: {faults:?}"
    );
    let codes: BTreeSet<String> = distinct("final_code");
    assert!(
        codes.len() >= 5,
        "answered, refused, busy and given up: {codes:?}"
    );
}
