//! The life of a generation on a running node: in the shadow, for a share of the calls, live; and
//! the journal of its decisions, replayed on the command line.

use std::process::{Command, Output};

use serde_json::json;

use crate::host::{DIALPLAN, Host};

const STANDARD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/intertrunk_standard.wasm"));
/// The same dial plan, but the PBX cannot be reached by its extensions.
const CLOSED: (&str, &str) = ("to = \"pbx-a\"", "reject = 480");

/// A host with a journal.
fn host(name: &str) -> Host {
    Host::start(name, 1, "[journal]\ndir = \"journal\"\n")
}

/// A call from the gateway that the PBX answers.
fn call(host: &Host) {
    let (mut call, _, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    host.gw.hang_up(&mut call, &host.pbx);
    assert_eq!(invite.number(), "+14255550100");
}

/// A call from the gateway that the policy rejects.
fn rejected(host: &Host) {
    let call = host.gw.invite(host.sip, "0100", "+14255550100");
    host.gw.response(&call, 480, "INVITE");
}

fn intertrunk(host: &Host, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_intertrunk"))
        .args(args)
        .current_dir(&host.folder)
        .output()
        .unwrap()
}

/// R30: a generation is promoted on evidence.
#[test]
fn a_generation_is_promoted_on_evidence() {
    let host = host("evidence");
    let change = |verb: &str, body: &[u8]| host.post(&format!("/v1/policies/main/{verb}"), body);
    let diff = || host.get("/v1/policies/main/diff").is(200).body;
    change("shadow", b"").is(409);
    let closed = DIALPLAN.replace(CLOSED.0, CLOSED.1);
    std::fs::write(host.folder.join("dialplan.toml"), &closed).unwrap();
    change("stage", STANDARD).is(200);
    assert_eq!(diff()["stage"], "staged");

    change("shadow", b"").is(200);
    call(&host);
    let shadow = host.until("the shadow has decided", |_| {
        let diff = diff();
        (diff["shadow"]["compared"] == 1).then_some(diff)
    });
    assert_eq!(shadow["stage"], "shadow");
    let group = &shadow["shadow"]["groups"][0];
    assert_eq!(group["cause"], "connect -> reject 480");
    assert_eq!(group["examples"][0]["before"], "connect pbx-a");

    change("canary", b"{\"percent\": 0}").is(400);
    change("canary", b"{\"sticky\": \"moon\"}").is(400);
    let rules = json!({ "percent": 100, "sticky": "number" }).to_string();
    change("canary", rules.as_bytes()).is(200);
    rejected(&host);
    let canary = host.until("the canary's call is counted", |_| {
        let diff = diff();
        (diff["canary"]["canary"]["calls"] == 1).then_some(diff)
    });
    assert_eq!(canary["stage"], "canary");
    assert_eq!(canary["canary"]["canary"]["answered"], 0);
    assert_eq!(canary["canary"]["live"]["calls"], 0);

    change("rollback", b"").is(200);
    call(&host);
    let sha256 = diff()["staged"]["sha256"].as_str().unwrap().to_owned();
    change("promote?sha256=00", b"").is(409);
    change(&format!("promote?sha256={sha256}"), b"").is(200);
    rejected(&host);
    assert_eq!(diff()["stage"], "none");

    let records = host.records(4);
    let generations: Vec<_> = records.iter().map(|it| it["generation"].clone()).collect();
    assert_eq!(generations, [1, 2, 1, 2]);
}

/// O8, B3: yesterdays decisions are replayed against another module.
#[test]
fn yesterdays_decisions_are_replayed_against_another_module() {
    let mut host = host("replay");
    for _ in 0..3 {
        call(&host);
    }
    host.signal("-TERM");
    assert!(host.ends().success());
    std::fs::write(host.folder.join("standard.wasm"), STANDARD).unwrap();
    let closed = DIALPLAN.replace(CLOSED.0, CLOSED.1);
    std::fs::write(host.folder.join("closed.toml"), &closed).unwrap();

    let replay = |more: &[&str]| {
        let args = ["policy", "replay", "--journal", "journal", "--against"];
        intertrunk(&host, &[&args, more].concat())
    };
    let same = replay(&["standard.wasm"]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    let differs = replay(&["standard.wasm", "--config", "closed.toml", "--json"]);
    assert_eq!(differs.status.code(), Some(1), "{differs:?}");
    let told: serde_json::Value = serde_json::from_slice(&differs.stdout).unwrap();
    assert_eq!((&told["compared"], &told["same"]), (&json!(3), &json!(0)));
    assert_eq!(told["groups"][0]["cause"], "connect -> reject 480");

    let people =
        String::from_utf8(replay(&["standard.wasm", "--config", "closed.toml"]).stdout).unwrap();
    assert!(
        people.contains("3 decisions replayed: 0 the same, 3 different"),
        "{people}"
    );
    assert!(people.contains("now reject 480"), "{people}");

    let outage = replay(&[
        "builtin:standard",
        "--down",
        "pbx-a",
        "--down",
        "gw-z",
        "--json",
    ]);
    assert_eq!(outage.status.code(), Some(1), "{outage:?}");
    let told: serde_json::Value = serde_json::from_slice(&outage.stdout).unwrap();
    assert_eq!(told["groups"][0]["cause"], "first trunk: pbx-a -> none");
    assert_eq!(told["uninvolved"], json!(["gw-z"]));
    let asked = String::from_utf8(outage.stderr).unwrap();
    assert!(
        asked.contains("the trunk gw-z; is that its name?"),
        "{asked}"
    );
    let people = replay(&["builtin:standard", "--down", "gw-a"]);
    let people = String::from_utf8(people.stdout).unwrap();
    assert!(
        people.contains("3 left out (they came from a trunk that is down)"),
        "{people}"
    );
    let other = replay(&["builtin:other"]);
    let told = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(told.contains("there is builtin:standard"), "{told}");

    let nobody = replay(&["standard.wasm", "--policy", "other"]);
    assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
    let missing = intertrunk(
        &host,
        &[
            "policy",
            "replay",
            "--journal",
            "intertrunk.toml",
            "--against",
            "standard.wasm",
        ],
    );
    let told = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        told.contains("intertrunk.toml cannot be replayed: this is no journal"),
        "{told}"
    );
}
