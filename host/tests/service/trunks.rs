//! Trunks that go down and come back, that fill up and that an operator switches, on real sockets.

use crate::host::{Host, STANDARD};
use crate::phone::Phone;

/// The trunk of this name, as operators see it.
fn trunk(host: &Host, name: &str) -> serde_json::Value {
    let trunks = host.get("/v1/trunks").is(200).body;
    let all = trunks.as_array().unwrap().iter();
    all.into_iter().find(|t| t["name"] == name).unwrap().clone()
}

/// Adds keys to the gateway's trunk.
fn gateway(text: &str, keys: &str) -> String {
    text.replace("name = \"gw-a\"\n", &format!("name = \"gw-a\"\n{keys}\n"))
}

/// F1, F3, F5, O14: a gateway that does not answer OPTIONS is down: calls to it are refused at once, an
/// alarm is shown, and a line is logged; once it answers, all is as before. Two shards agree.
#[test]
fn silent_gateway_is_down_until_it_answers() {
    let options =
        "options = { interval = \"1s\", timeout = \"300ms\", down_after = 1, up_after = 1 }";
    let host = Host::edited("options", |text| {
        gateway(&text.replace("shards = 1", "shards = 2"), options)
    });
    let asked = host.gw.request("OPTIONS");
    assert!(asked.start().contains(&host.gw.address().to_string()));
    assert_eq!(host.logs("trunk is not well")["trunk"], "gw-a");
    let gw = trunk(&host, "gw-a");
    assert_eq!(
        (&gw["health"], &gw["state"]),
        (&"down".into(), &"enabled".into())
    );
    assert_eq!(gw["targets"][0]["down"], true);
    let status = host.get("/v1/status").is(200).body;
    assert_eq!(status["alarms"][0]["trunk"], "gw-a");
    assert_eq!(status["alarms"][0]["alarm"], "down");
    for number in ["92065551234", "92065551235"] {
        let refused = host.pbx.invite(host.sip, "0100", number);
        host.pbx.response(&refused, 503, "INVITE");
    }
    let reason = host.records(2)[1]["attempts"][0]["reason"].clone();
    assert_eq!(reason, "trunk down");
    let asked = host.gw.request("OPTIONS");
    host.gw.answer(&asked, 200, "OK");
    assert_eq!(host.logs("trunk is well")["trunk"], "gw-a");
    let metrics = host.get("/metrics").text;
    for sample in [
        "intertrunk_trunk_health{trunk=\"gw-a\"} 0\n",
        "intertrunk_trunk_health_changes_total{to=\"down\"} 1\n",
        "intertrunk_trunk_health_changes_total{to=\"up\"} 1\n",
    ] {
        assert!(metrics.contains(sample), "{sample}{metrics}");
    }
    assert_eq!(
        host.get("/v1/status").body["alarms"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

/// F15, O14: a full gateway takes no more calls, and says before that it fills up.
#[test]
fn full_gateway_is_an_alarm() {
    let host = Host::edited("full", |text| gateway(&text, "max_calls_out = 1"));
    let (mut up, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    assert_eq!(host.logs("90 % of a limit")["trunk"], "gw-a");
    assert_eq!(host.get("/v1/status").body["alarms"][0]["alarm"], "limit");
    let refused = host.pbx.invite(host.sip, "0100", "92065551235");
    host.pbx.response(&refused, 503, "INVITE");
    host.pbx.hang_up(&mut up, &host.gw);
    let (mut next, _, _) = host.pbx.call(host.sip, "92065551236", &host.gw);
    host.pbx.hang_up(&mut next, &host.gw);
    let reasons = host.records(3);
    assert_eq!(reasons[0]["attempts"][0]["reason"], "trunk full");
}

/// F16: calls that come in faster than they may hear when to come again, on all shards together.
#[test]
fn fast_caller_is_refused() {
    let host = Host::edited("fast", |text| {
        let text = text.replace("shards = 1", "shards = 4");
        text.replace(
            "name = \"pbx-a\"\n",
            "name = \"pbx-a\"\nmax_cps_in = 1\nburst = 3\n",
        )
    });
    let calls: Vec<_> = (0..12)
        .map(|n| {
            host.pbx
                .invite(host.sip, "0100", &format!("920655512{n:02}"))
        })
        .collect();
    // Refused at once, so that a few more tokens at most come meanwhile.
    let refused = host
        .pbx
        .wait("503", |m| m.start().starts_with("SIP/2.0 503"));
    assert!(refused.header("Retry-After").parse::<u32>().is_ok());
    let shed = "intertrunk_calls_shed_total{load=\"trunk\"}";
    host.until("all are decided", |host| {
        let started = host.counter("intertrunk_calls_started_total");
        let shed = host.counter(shed);
        assert!(
            (3..=5).contains(&started) || shed + started < 12,
            "{started} and {shed}"
        );
        (shed + started == calls.len() as u64).then_some(())
    });
}

/// F17, C11: a policy that never answers does not keep a call for help.
#[test]
fn call_for_help_needs_no_policy() {
    let host = Host::edited("help", |text| {
        let looping = "module = \"hostile.wasm\"\nfallback = { reject = 500 }\n";
        let emergency = "\n[emergency]\nnumbers = [\"911\"]\nroute = [\"gw-a\"]\n";
        text.replace(STANDARD, looping) + emergency
    });
    let refused = host.pbx.invite(host.sip, "0100", "+12065551234");
    host.pbx.response(&refused, 500, "INVITE");
    let (mut call, _, invite) = host.pbx.call(host.sip, "911", &host.gw);
    assert_eq!(invite.number(), "911");
    host.pbx.hang_up(&mut call, &host.gw);
}

/// T12: a trunk that drains keeps its call and takes no other in either direction; enabled, it does.
#[test]
fn draining_trunk_keeps_its_call() {
    let host = Host::start("drained-trunk", 1, "");
    let (mut up, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    let drained = host.post("/v1/trunks/gw-a/drain", b"").is(200).body;
    assert_eq!(drained["state"], "draining");
    let refused = host.pbx.invite(host.sip, "0100", "92065551235");
    host.pbx.response(&refused, 503, "INVITE");
    let refused = host.gw.invite(host.sip, "0100", "+14255550100");
    host.gw.response(&refused, 503, "INVITE");
    assert_eq!(trunk(&host, "gw-a")["calls"], 1);
    host.pbx.hang_up(&mut up, &host.gw);
    host.post("/v1/trunks/gw-a/enable", b"").is(200);
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551236", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
}

/// The name of each trunk, as operators see it.
fn names(host: &Host) -> Vec<String> {
    let trunks = host.get("/v1/trunks").is(200).body;
    let all = trunks.as_array().unwrap().iter();
    all.map(|t| t["name"].as_str().unwrap().to_owned())
        .collect()
}

/// T13: a trunk is created, changed and removed by the API: all or nothing, without touching a call
/// that is up, and it is there after a reload. What cannot be is refused, and changes nothing.
#[test]
fn trunk_is_set_and_removed_by_the_api() {
    let host = Host::start("set-trunk", 2, "trunks = \"trunks.toml\"\n");
    let (mut up, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    let second = Phone::new();
    let keys = |more: &str| format!("{{\"peers\": [\"sip:{}\"]{more}}}", second.address());
    // A PBX of its own, whose calls go by the same policy.
    host.put(
        "/v1/trunks/pbx-c",
        &keys(", \"kind\": \"pbx\", \"max_calls\": 1"),
    )
    .is(200);
    assert_eq!(names(&host), ["pbx-a", "gw-a", "pbx-c"]);
    let stranger = second.invite(host.sip, "0100", "no-number");
    second.wait("an answer", |m| m.header("Call-ID") == stranger.call_id);

    let fault = host
        .put("/v1/trunks/pbx-c", &keys(", \"max_call\": 2"))
        .is(422);
    assert!(fault.text.contains("trunks.toml:"), "{}", fault.text);
    assert!(
        fault.text.contains("did you mean `max_calls`?"),
        "{}",
        fault.text
    );
    host.put("/v1/trunks/pbx-c", "[]").is(400);
    host.put("/v1/trunks/pbx-c", &keys(", \"site\": null"))
        .is(422);
    host.delete("/v1/trunks/nobody").is(404);
    assert_eq!(trunk(&host, "pbx-c")["max_calls"], 1, "nothing has changed");

    host.put("/v1/trunks/pbx-c", &keys(", \"max_calls\": 7"))
        .is(200);
    host.post("/v1/reload", b"").is(200);
    assert_eq!(trunk(&host, "pbx-c")["max_calls"], 7);
    host.delete("/v1/trunks/gw-a").is(200);
    host.post("/v1/reload", b"").is(200);
    assert_eq!(
        names(&host),
        ["pbx-a", "pbx-c"],
        "removed from the file's trunks too"
    );
    host.pbx.hang_up(&mut up, &host.gw);
    let records = host.records(2);
    let ended = |r: &&serde_json::Value| r["egress_trunk"] == "gw-a" && r["final_code"] == 200;
    assert!(
        records.iter().any(|r| ended(&r)),
        "the call went on: {records:?}"
    );
}

/// T13: without a file that keeps it no trunk is set.
#[test]
fn trunk_is_not_set_where_nothing_keeps_it() {
    let host = Host::start("unkept", 1, "");
    let refused = host
        .put("/v1/trunks/pbx-c", "{\"peers\": [\"sip:127.0.0.9\"]}")
        .is(409);
    assert!(refused.text.contains("admin.trunks"), "{}", refused.text);
}
