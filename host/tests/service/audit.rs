//! Who changed what: the audit log of a running node, and what it shows afterwards.

use std::process::{Command, Output};

use serde_json::Value;

use crate::host::Host;

const STANDARD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/intertrunk_standard.wasm"));

fn verify(host: &Host, more: &[&str]) -> Output {
    let args = [&["audit", "verify", "audit.jsonl"], more].concat();
    Command::new(env!("CARGO_BIN_EXE_intertrunk"))
        .args(args)
        .current_dir(&host.folder)
        .output()
        .unwrap()
}

/// S12: every change is in the log with its author, its hash and its result; questions are not; and a
/// log that was altered shows it.
#[test]
fn every_change_is_written_down() {
    let mut host = Host::start("audit", 1, "[audit]\nfile = \"audit.jsonl\"\n");
    let (_call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    let id = host.get("/v1/calls").body[0]["call_id"].clone();
    let id = id.as_str().unwrap();
    let policy = |verb: &str, body: &[u8]| host.post(&format!("/v1/policies/main/{verb}"), body);
    policy("promote", b"").is(409);
    let staged = policy("stage", STANDARD).is(200).body["sha256"].clone();
    policy("shadow", b"").is(200);
    policy("canary", b"{\"percent\": 5}").is(200);
    policy("rollback", b"").is(200);
    policy("promote", b"").is(200);
    policy("rollback", b"").is(200);
    host.post("/v1/trunks/gw-a/disable", b"").is(200);
    host.post("/v1/trunks/gw-a/enable", b"").is(200);
    host.delete(&format!("/v1/calls/{id}")).is(200);
    host.post("/v1/drain", b"").is(200);
    host.post("/v1/resume", b"").is(200);
    host.signal("-HUP");
    host.logs("configuration reloaded");
    let reloaded = host.post("/v1/reload", b"").is(200).body["sha256"].clone();
    host.signal("-TERM");
    host.logs("draining");
    host.signal("-TERM");
    assert!(host.ends().success());

    let text = std::fs::read_to_string(host.folder.join("audit.jsonl")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or("-").to_owned();
    let told: Vec<String> = lines
        .iter()
        .map(|line| {
            let by = word(line, "by");
            format!("{by} {} {}", word(line, "what"), word(line, "target"))
        })
        .collect();
    let ended = format!("admin end-call {id}");
    let expected = [
        "host start -",
        "admin promote main",
        "admin stage main",
        "admin shadow main",
        "admin canary main",
        "admin rollback main",
        "admin promote main",
        "admin rollback main",
        "admin trunk-disable gw-a",
        "admin trunk-enable gw-a",
        &ended,
        "admin drain -",
        "admin resume -",
        "signal reload -",
        "admin reload -",
        "signal drain -",
        "host stop -",
    ];
    assert_eq!(told, expected);
    assert!(word(&lines[1], "result").starts_with("refused: policy `main`"));
    assert!(
        lines[2..].iter().all(|line| line["result"] == "done"),
        "{text}"
    );
    assert_eq!(
        (&lines[2]["sha256"], &lines[6]["sha256"]),
        (&staged, &staged)
    );
    assert_eq!(
        (&lines[0]["sha256"], &lines[14]["sha256"]),
        (&reloaded, &reloaded)
    );
    assert!(word(&lines[2], "peer").starts_with("127.0.0.1:"));
    assert_eq!(lines[13]["signal"], "SIGHUP");

    let whole = verify(&host, &[]);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    let first = word(&lines[0], "hash");
    assert_eq!(verify(&host, &["--has", &first]).status.code(), Some(0));
    let file = host.folder.join("audit.jsonl");
    let cut = text.rsplit_once("{\"seq\":17").unwrap().0;
    std::fs::write(&file, cut).unwrap();
    let last = word(&lines[16], "hash");
    assert_eq!(
        verify(&host, &[]).status.code(),
        Some(0),
        "the chain alone cannot tell"
    );
    assert_eq!(verify(&host, &["--has", &last]).status.code(), Some(1));
    std::fs::write(&file, text.replacen("\"admin\"", "\"host\"", 1)).unwrap();
    let altered = verify(&host, &[]);
    assert_eq!(altered.status.code(), Some(1));
    let said = String::from_utf8(altered.stderr).unwrap();
    assert!(said.contains("line 2: it was altered"), "{said}");
}

/// S12: with a token, the log says that it was shown; a stranger's order is no change.
#[test]
fn a_token_is_named_and_never_written() {
    let more = "token_file = \"token\"\n[audit]\nfile = \"audit.jsonl\"\n";
    let host = Host::start("audit-token", 1, more);
    host.post("/v1/drain", b"").is(401);
    let drain = crate::host::agent()
        .post(host.url("/v1/drain"))
        .header("Authorization", "Bearer open sesame")
        .send_empty();
    assert_eq!(drain.unwrap().status().as_u16(), 200);
    let text = std::fs::read_to_string(host.folder.join("audit.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("\"token\":\"admin\",\"what\":\"drain\""),
        "{text}"
    );
    assert!(!text.contains("sesame"));
}
