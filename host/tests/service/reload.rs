//! Policies and configuration changed under calls that are up.

use serde_json::Value;

use crate::host::{DIALPLAN, EXTENSIONS, Host, STANDARD, STANDARD_WASM};

/// R29: the policy that is swapped out loops forever, so that its calls go by the fallback, untranslated.
#[test]
fn a_policy_is_swapped_while_a_call_is_up() {
    let looping = "module = \"hostile.wasm\"\nfallback = { route = [\"pbx-a\"] }\n";
    let host = Host::edited("swap", |text| text.replace(STANDARD, looping));
    let (mut before, _, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    assert_eq!(invite.number(), "+14255550100");
    assert_eq!(host.logs("fallback decided")["kind"], "timeout");

    let staged = host
        .post("/v1/policies/main/stage", EXTENSIONS)
        .is(200)
        .body;
    assert_eq!(staged["generation"], 2);
    let (mut still, _, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    assert_eq!(invite.number(), "+14255550100", "staged is not live");

    assert_eq!(
        host.post("/v1/policies/main/promote", b"").is(200).body["generation"],
        2
    );
    let (mut after, _, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    assert_eq!(invite.number(), "0100");

    host.gw.hang_up(&mut before, &host.pbx);
    host.gw.hang_up(&mut still, &host.pbx);
    host.gw.hang_up(&mut after, &host.pbx);

    assert_eq!(
        host.post("/v1/policies/main/rollback", b"").is(200).body["generation"],
        1
    );
    let (mut back, _, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    assert_eq!(invite.number(), "+14255550100");
    host.gw.hang_up(&mut back, &host.pbx);

    let records = host.records(4);
    let decided = |key: &str| records.iter().map(|r| r[key].clone()).collect::<Vec<_>>();
    assert_eq!(decided("generation"), [1, 1, 2, 1]);
    assert_eq!(decided("final_code"), [200; 4]);
    let timeout = Value::from("timeout");
    assert_eq!(
        decided("fallback"),
        [timeout.clone(), timeout.clone(), Value::Null, timeout]
    );
    assert_ne!(records[0]["policy_sha256"], records[2]["policy_sha256"]);
}

#[test]
fn what_is_no_policy_is_refused_and_changes_nothing() {
    let host = Host::start("no-policy", 1, "");
    let refused = host
        .post("/v1/policies/main/stage", b"\x7fELF, surely")
        .is(422);
    assert!(
        refused.body["error"].as_str().unwrap().contains("main"),
        "{}",
        refused.text
    );
    host.post("/v1/policies/main/promote", b"").is(409);
    host.post("/v1/policies/main/rollback", b"").is(409);
    host.post("/v1/policies/other/promote", b"").is(404);
    let policies = host.get("/v1/policies").is(200).body;
    assert_eq!(policies[0]["live"]["generation"], 1);
    assert!(!policies[0]["last_rejected"].is_null());

    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
    assert_eq!(host.records(1)[0]["generation"], 1);
}

#[test]
fn a_hangup_signal_puts_changed_settings_into_effect() {
    let host = Host::start("hangup", 2, "");
    let (mut before, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);

    let changed = DIALPLAN.replace("to = '+1$1'", "to = '+1999$1'");
    std::fs::write(host.folder.join("dialplan.toml"), changed).unwrap();
    host.signal("-HUP");
    host.logs("configuration reloaded");
    let (mut after, _, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);
    assert_eq!(invite.number(), "+19992065551234");

    host.signal("-HUP");
    host.logs("configuration reloaded");
    let live = host.get("/v1/policies").body[0]["live"]["generation"].clone();
    assert_eq!(live, 2, "what has not changed keeps its generation");

    host.pbx.hang_up(&mut before, &host.gw);
    // The second call may be another shard's, and records of two shards keep no order.
    host.records(1);
    host.pbx.hang_up(&mut after, &host.gw);
    let records = host.records(2);
    assert_eq!(
        (&records[0]["generation"], &records[1]["generation"]),
        (&1.into(), &2.into())
    );
}

/// O10: a configuration with faults changes nothing.
#[test]
fn a_configuration_with_faults_changes_nothing() {
    let host = Host::start("faults", 1, "");
    let file = host.folder.join("intertrunk.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let faulty = good.replace("kind = \"pstn\"", "kind = \"pots\"") + "\n[nonsense]\n";
    std::fs::write(&file, faulty).unwrap();
    let refused = host.post("/v1/reload", b"").is(422);
    let faults = refused.body["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 2, "both at once: {}", refused.text);
    host.signal("-HUP");
    host.logs("nothing has changed");

    std::fs::write(&file, &good).unwrap();
    std::fs::write(
        host.folder.join("dialplan.toml"),
        "[[route]]\nnonsense = 1\n",
    )
    .unwrap();
    let refused = host.post("/v1/reload", b"").is(422);
    assert!(refused.text.contains("dialplan.toml"), "{}", refused.text);

    let moved = good.replacen("127.0.0.1:0", "127.0.0.1:5999", 1);
    std::fs::write(&file, moved).unwrap();
    let refused = host.post("/v1/reload", b"").is(409);
    assert!(refused.text.contains("listener `lan`"), "{}", refused.text);

    let (mut call, _, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);
    assert_eq!(invite.number(), "+12065551234");
    host.pbx.hang_up(&mut call, &host.gw);
}

/// One policy that loads and one that does not: neither is left half way.
#[test]
fn a_reload_that_fails_half_way_stages_nothing() {
    let other = "[policy.other]\nmodule = \"builtin:standard\"\nconfig = \"other.toml\"\n";
    let host = Host::start("half-way", 1, "");
    let file = host.folder.join("intertrunk.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let plan = host.folder.join("dialplan.toml");
    let changed = std::fs::read_to_string(&plan).unwrap() + "\n# another hash\n";
    std::fs::write(&plan, changed).unwrap();
    std::fs::write(host.folder.join("other.toml"), "[[route]]\nnonsense = 1\n").unwrap();
    std::fs::write(&file, good + other).unwrap();

    host.post("/v1/reload", b"").is(422);
    let policies = host.get("/v1/policies").is(200).body;
    assert_eq!(policies[0]["name"], "main");
    assert!(policies[0]["staged"].is_null(), "{policies}");
    assert_eq!(policies[0]["live"]["generation"], 1);
    host.post("/v1/policies/main/promote", b"").is(409);
}

/// T13: a trunk can be added while a call is up.
#[test]
fn a_trunk_can_be_added_while_a_call_is_up() {
    let host = Host::start("add-trunk", 2, "");
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    let file = host.folder.join("intertrunk.toml");
    let added = "[[trunk]]\nname = \"gw-b\"\nkind = \"pstn\"\nlisten = \"lan\"\n\
                 peers = [\"sip:127.0.0.1:9\"]\npolicy = \"main\"\n";
    let text = std::fs::read_to_string(&file).unwrap() + added;
    std::fs::write(&file, text).unwrap();
    host.post("/v1/reload", b"").is(200);
    let trunks = host.get("/v1/trunks").body;
    assert_eq!(trunks.as_array().unwrap().len(), 3);
    assert_eq!(trunks[1]["calls_out"], 1, "the count goes on: {trunks}");
    host.pbx.hang_up(&mut call, &host.gw);
    host.records(1);
    assert_eq!(host.get("/v1/trunks").body[1]["calls_out"], 0);
}

/// O9: the review before the commit shows what a reload would change, and changes nothing.
#[test]
fn a_reload_can_be_reviewed_before_it_is_made() {
    let host = Host::start("review", 1, "");
    let nothing = host.get("/v1/review").is(200).body;
    assert_eq!(nothing["changes"], serde_json::json!([]), "{nothing}");
    assert_eq!(nothing["policies"], serde_json::json!([]));
    let staged = host.post("/v1/policies/main/stage", STANDARD_WASM);
    let staged = staged.is(200).body["generation"].clone();

    let file = host.folder.join("intertrunk.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let added = "\n[[trunk]]\nname = \"gw-b\"\nkind = \"pstn\"\nlisten = \"lan\"\n\
                 peers = [\"sip:127.0.0.1:9\"]\npolicy = \"main\"\n";
    std::fs::write(&file, good.clone() + added).unwrap();
    let changed = DIALPLAN.replace("to = '+1$1'", "to = '+1999$1'");
    std::fs::write(host.folder.join("dialplan.toml"), changed).unwrap();

    let review = host.get("/v1/review").is(200).body;
    let diff = |at: usize| review["changes"][at]["diff"].as_str().unwrap();
    assert!(diff(0).contains("\n+name = \"gw-b\"\n"), "{}", diff(0));
    assert!(!diff(0).contains("\n-"), "{}", diff(0));
    assert!(diff(1).contains("'+1999$1'"), "{}", diff(1));
    assert_eq!(review["policies"], serde_json::json!(["main"]));

    // Nothing has changed: neither trunks, nor the live generation, nor the staged one.
    assert_eq!(host.get("/v1/trunks").body.as_array().unwrap().len(), 2);
    let policies = host.get("/v1/policies").body;
    assert_eq!(policies[0]["live"]["generation"], 1);
    assert_eq!(policies[0]["staged"]["generation"], staged);
    let (mut call, _, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);
    assert_eq!(invite.number(), "+12065551234");
    host.pbx.hang_up(&mut call, &host.gw);

    // Committed, there is nothing left to review, and generations are those that were made.
    host.post("/v1/reload", b"").is(200);
    let policies = host.get("/v1/policies").body;
    assert_eq!(
        (&staged, &policies[0]["live"]["generation"]),
        (&2.into(), &3.into())
    );
    let nothing = host.get("/v1/review").is(200).body;
    assert_eq!(nothing["changes"], serde_json::json!([]), "{nothing}");

    // What would be refused is refused.
    std::fs::write(&file, good.replace("kind = \"pstn\"", "kind = \"pots\"")).unwrap();
    let refused = host.get("/v1/review").is(422);
    assert!(refused.text.contains("pots"), "{}", refused.text);
    // Cancelled.
    std::fs::write(&file, good + added).unwrap();
    assert_eq!(
        host.get("/v1/review").is(200).body["changes"],
        serde_json::json!([])
    );
}
