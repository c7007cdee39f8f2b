//! A policy that misbehaves: each misdeed gets the declared fallback within its bound, is counted by
//! its kind and logged with the call's id, and harms no other call.

use crate::host::{HOSTILE, Host, STANDARD};
use crate::phone::Phone;

/// What `policies/hostile` does for this called user, and what it is called.
const MISDEEDS: [(&str, &str); 11] = [
    ("loop", "timeout"),
    ("trap", "trap"),
    ("hoard", "memory"),
    ("recurse", "stack"),
    ("boast", "trap"),
    ("crowd", "trap"),
    ("forge", "verdict"),
    ("nowhere", "verdict"),
    ("back", "verdict"),
    ("dialog", "verdict"),
    ("toll", "verdict"),
];

/// R25, R26, B1: every misdeed costs its own call a fallback and nobody else anything.
#[test]
fn every_misdeed_costs_its_own_call_a_fallback_and_nobody_else_anything() {
    let gw_b = Phone::new();
    let second_gateway = format!(
        "[[trunk]]\nname = \"gw-b\"\nkind = \"pstn\"\nlisten = \"lan\"\npeers = [\"sip:{}\"]\n\
         policy = \"main\"\n",
        gw_b.address()
    );
    // Bounds that tell the misdeeds apart on a busy machine: taking 8 MiB takes no quarter of a second.
    let hostile = "module = \"hostile.wasm\"\ndeadline = \"250ms\"\nmemory = \"8MiB\"\n\
                   fallback = { reject = 480 }\n";
    let host = Host::edited("misdeeds", |text| {
        text.replace(STANDARD, hostile) + &second_gateway
    });
    let (mut up, _, _) = host.pbx.call(host.sip, "sane", &host.gw);

    for (number, (misdeed, kind)) in (1..).zip(MISDEEDS) {
        // Anew, so that it is not set aside for those before.
        host.post("/v1/policies/main/stage", HOSTILE).is(200);
        host.post("/v1/policies/main/promote", b"").is(200);
        let counter = format!("intertrunk_policy_faults_total{{kind=\"{kind}\"}}");
        let before = host.counter(&counter);
        let from = if misdeed == "toll" {
            &host.gw
        } else {
            &host.pbx
        };
        let victim = from.invite(host.sip, "0100", misdeed);
        let (mut next, _, _) = host.pbx.call(host.sip, "sane", &host.gw);
        if misdeed != "toll" {
            // The gateway's telephone has read past its own refusal while it was called.
            from.response(&victim, 480, "INVITE");
        }
        host.pbx.hang_up(&mut next, &host.gw);

        let line = host.logs("fallback decided");
        assert_eq!(line["kind"], kind, "{misdeed}: {line}");
        let records = host.records(2 * number);
        let record = records.iter().find(|it| it["callee_in"] == misdeed);
        let record = record.unwrap_or_else(|| panic!("{misdeed} has no record"));
        assert_eq!(record["call_id"], line["call"], "{misdeed}");
        assert_eq!(record["final_code"], 480, "{misdeed}");
        assert_eq!(record["fallback"], kind, "{misdeed}");
        assert!(record["decision_us"].as_u64() < Some(1_000_000), "{record}");
        assert_eq!(host.counter(&counter), before + 1, "{misdeed}");
    }

    host.pbx.hang_up(&mut up, &host.gw);
    let records = host.records(2 * MISDEEDS.len() + 1);
    let sane = records.iter().filter(|it| it["callee_in"] == "sane");
    assert!(sane.clone().all(|it| it["final_code"] == 200));
    assert_eq!(sane.count(), MISDEEDS.len() + 1);
    assert_eq!(records.len(), 2 * MISDEEDS.len() + 1, "one record per call");
}

#[test]
fn a_policy_that_never_ends_to_configure_stops_the_start() {
    let host = Host::edited("configure-loop", |text| text);
    std::fs::write(host.folder.join("loop.toml"), "loop").unwrap();
    let looping =
        "module = \"hostile.wasm\"\nconfig = \"loop.toml\"\nconfigure_deadline = \"100ms\"\n";
    let file = host.folder.join("intertrunk.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(STANDARD, looping)).unwrap();
    let refused = host.post("/v1/reload", b"").is(422);
    assert!(refused.text.contains("configure"), "{}", refused.text);

    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
    assert_eq!(host.records(1)[0]["generation"], 1);
}
