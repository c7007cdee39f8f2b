//! `intertrunk route`: the answer of a live call, before there is one.

use crate::world::{Ran, World};

const CONFIG: &str = r#"
[[listen]]
name = "lan"
address = "127.0.0.1:5060"

[[trunk]]
name = "pbx-a"
peers = ["sip:127.0.0.11:5070"]

[[trunk]]
name = "gw-a"
kind = "pstn"
peers = ["sip:127.0.0.21:5080"]
no_progress = "5s"

[[trunk]]
name = "gw-b"
kind = "pstn"
peers = ["sip:127.0.0.22:5080", "sip:127.0.0.23:5080"]

[policy.main]
module = "builtin:standard"
config = "dialplan.toml"
"#;

const DIAL_PLAN: &str = r#"
[[route]]
name = "premium rate"
prefix = "+1900"
reject = 403

[[route]]
name = "our own"
from = ["gw-a", "gw-b"]
prefix = "+1425555"
to = "pbx-a"

[[route]]
name = "abroad"
prefix = "+44"
to = ["gw-a", "gw-b"]

[[translate]]
trunk = "pbx-a"
called = [{ match = '^\+1425555(\d{4})$', to = '$1' }]
"#;

fn world(name: &str) -> World {
    World::new(name)
        .with("t.toml", CONFIG)
        .with("dialplan.toml", DIAL_PLAN)
}

fn route(world: &World, question: &str) -> Ran {
    world.line(&format!("route -c t.toml {question}"))
}

/// O1, O3: a number is shown as it would be sent.
#[test]
fn a_number_is_shown_as_it_would_be_sent() {
    let world = world("route-translated");
    let ran = route(
        &world,
        "--from gw-a --to +14255550100 --caller +12065550123",
    )
    .ends(0);
    ran.says("+12065550123 calls +14255550100 from trunk gw-a")
        .says("1. pbx-a at 127.0.0.11:5070")
        .says("called   0100  sip:0100@127.0.0.11:5070")
        .says("calling  +12065550123  <sip:")
        .says("because")
        .says("our own");
}

#[test]
fn candidates_come_in_order_with_their_timers() {
    let world = world("route-order");
    let answer = route(&world, "--from pbx-a --to +442071234567 --json")
        .ends(0)
        .json();
    assert_eq!(answer["verdict"], "connect");
    assert_eq!(answer["policy"], "main");
    let candidates = answer["candidates"].as_array().unwrap();
    let trunks: Vec<_> = candidates
        .iter()
        .map(|c| c["trunk"].as_str().unwrap())
        .collect();
    assert_eq!(trunks, ["gw-a", "gw-b"]);
    assert_eq!(candidates[0]["no_progress_ms"], 5000);
    assert_eq!(candidates[1]["no_progress_ms"], 10_000);
    assert_eq!(candidates[1]["peers"].as_array().unwrap().len(), 2);
    assert_eq!(candidates[0]["callee"], "+442071234567");
    assert_eq!(
        candidates[0]["request_uri"],
        "sip:+442071234567@127.0.0.21:5080"
    );
}

#[test]
fn a_refusal_is_no() {
    let world = world("route-refused");
    route(&world, "--from pbx-a --to +19005550100")
        .ends(1)
        .says("refused: 403 Forbidden");
    let answer = route(&world, "--from pbx-a --to +19005550100 --json")
        .ends(1)
        .json();
    assert_eq!(
        (&answer["verdict"], &answer["code"]),
        (&"reject".into(), &403.into())
    );
}

/// O2: a trunk assumed down or full is passed over.
#[test]
fn a_trunk_assumed_down_or_full_is_passed_over() {
    let world = world("route-down");
    let down = route(&world, "--from pbx-a --to +442071234567 --down gw-a --json")
        .ends(0)
        .json();
    assert_eq!(down["candidates"][0]["skipped"], "assumed down");
    assert_eq!(down["candidates"][1]["skipped"], serde_json::Value::Null);
    assert_eq!(down["ends_with"], serde_json::Value::Null);
    route(
        &world,
        "--from pbx-a --to +442071234567 --down gw-a --full gw-b",
    )
    .ends(1)
    .says("gw-b at 127.0.0.22:5080, 127.0.0.23:5080  passed over: assumed full")
    .says("nobody is left: the caller gets 503 Service Unavailable");
}

/// O2: a trunk assumed to fail shows what comes then.
#[test]
fn a_trunk_assumed_to_fail_shows_what_comes_then() {
    let world = world("route-failed");
    let abroad = "--from pbx-a --to +442071234567";
    route(&world, &format!("{abroad} --failed gw-a:503"))
        .ends(0)
        .says("1. gw-a at 127.0.0.21:5080  passed over: assumed to fail with 503\n")
        .says("2. gw-b at 127.0.0.22:5080, 127.0.0.23:5080\n");
    route(&world, &format!("{abroad} --failed gw-a:486"))
        .ends(1)
        .says("assumed to fail with 486, which is final")
        .says("not reached")
        .says("nobody is left: the caller gets 486 Busy Here");
    route(
        &world,
        &format!("{abroad} --failed gw-a:503 --failed gw-b:404"),
    )
    .ends(1)
    .says("the caller gets 404 Not Found");
}

#[test]
fn the_host_has_the_last_word() {
    let world = world("route-guard");
    let ran = route(&world, "--from gw-a --to +442071234567").ends(1);
    ran.says("fallback")
        .says("refused: 503")
        .says("from PSTN to PSTN");
    let allowed = CONFIG.replacen(
        "kind = \"pstn\"",
        "kind = \"pstn\"\nallow_pstn_to = [\"gw-b\"]",
        1,
    );
    let world = world.with("t.toml", allowed);
    route(&world, "--from gw-a --to +442071234567")
        .ends(0)
        .says("1. gw-b at")
        .says("gw-a");
}

#[test]
fn the_fallback_of_the_configuration_is_asked() {
    let config = CONFIG.to_owned()
        + "fallback = { policy = \"last\" }\n[policy.last]\n\
        module = \"builtin:standard\"\nconfig = \"last.toml\"\n";
    let config = config.replace("peers", "policy = \"main\"\npeers");
    let world = world("route-fallback").with("t.toml", config).with(
        "last.toml",
        "[[route]]\nname = \"all\"\nprefix = \"+\"\nto = \"pbx-a\"\n",
    );
    let answer = route(&world, "--from gw-a --to +442071234567 --json")
        .ends(0)
        .json();
    assert_eq!(answer["policy"], "last");
    assert_eq!(answer["candidates"][0]["trunk"], "pbx-a");
    assert_eq!(answer["fallback"].as_array().unwrap().len(), 1);
}

#[test]
fn questions_that_make_no_sense_are_wrong_use() {
    let world = world("route-misuse");
    let to = "--to +442071234567";
    route(&world, &format!("--from pbx-z {to}"))
        .ends(2)
        .complains("no trunk \"pbx-z\"; there are: pbx-a, gw-a, gw-b");
    route(&world, &format!("--from pbx-a {to} --down gw-z"))
        .ends(2)
        .complains("gw-z");
    route(&world, &format!("--from pbx-a {to} --failed gw-a"))
        .ends(2)
        .complains("TRUNK:CODE");
    route(&world, &format!("--from pbx-a {to} --failed gw-a:200"))
        .ends(2)
        .complains("300 to 699");
    route(&world, &format!("--from pbx-a {to} --at noon")).ends(2);
    route(&world, &format!("--from pbx-a {to} --header nonsense"))
        .ends(2)
        .complains("Name: value");
    route(&world, "--from pbx-a").ends(2);
    route(&world, &format!("--from pbx-a {to} --policy none.wasm"))
        .ends(2)
        .complains("none.wasm");
    let world = world.with("none.wasm", "nothing");
    route(&world, &format!("--from pbx-a {to} --policy none.wasm"))
        .ends(2)
        .complains("policy main cannot be loaded");
    let world = world.with("t.toml", "[node]\nnme = 1\n");
    route(&world, &format!("--from pbx-a {to}"))
        .ends(2)
        .complains("t.toml:2:1: node.nme");
}

/// S10: limits are asked about offline, too: of a meter that has counted nothing, or what `--answer` says.
#[test]
fn limits_are_shown_before_there_is_a_call() {
    let limit = "[[limit]]\nname = \"abroad\"\nsource = \"hour\"\ncalls = 5\n";
    let granted =
        |sources: &str| format!("{CONFIG}sources = [{sources}]\n[source.hour]\nkind = \"meter\"\n");
    let world = World::new("route-limits")
        .with("t.toml", granted("\"hour\""))
        .with("dialplan.toml", format!("{limit}{DIAL_PLAN}"));
    let question = "--from pbx-a --to +442071234567";
    let room = route(&world, question).ends(0);
    room.says("limit \"abroad\" has room for abroad: 0 calls, 0 of them up, 0 s, spent 0");
    let mut question: Vec<&str> = question.split(' ').collect();
    question.splice(0..0, ["route", "-c", "t.toml"]);
    question.extend(["--answer", "hour=calls=5 active=0 seconds=0 spend=0"]);
    world
        .run(&question)
        .ends(1)
        .says("limit \"abroad\" refuses abroad with 403 with cause 21: 5 of 5 calls were made");
}
