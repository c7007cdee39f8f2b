//! The admin API.

use crate::host::{Host, agent};

/// O12: an operator sees the node and its numbers.
#[test]
fn an_operator_sees_the_node_and_its_numbers() {
    let host = Host::start("status", 2, "");
    assert_eq!(host.get("/healthz").is(200).text, "ok\n");
    assert_eq!(host.get("/readyz").is(200).text, "ready\n");
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    let status = host.get("/v1/status").is(200).body;
    assert_eq!(status["node"], "edge-1");
    assert_eq!(status["state"], "running");
    assert_eq!(status["shards"], 2);
    assert_eq!(status["calls"], 1);
    assert_eq!(status["listeners"][0]["address"], host.sip.to_string());
    assert_eq!(status["policies"][0]["live"]["generation"], 1);
    let metrics = host.get("/metrics").is(200).text;
    for line in [
        "intertrunk_calls 1\n",
        "intertrunk_calls_answered_total 1\n",
        "intertrunk_trunk_calls{trunk=\"gw-a\",direction=\"out\"} 1\n",
        "intertrunk_policy_generation{policy=\"main\"} 1\n",
        "intertrunk_decisions_total 1\n",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    host.pbx.hang_up(&mut call, &host.gw);
    assert!(host.get("/metrics").text.contains("intertrunk_calls 0\n"));
}

/// O15: an operator ends a call.
#[test]
fn an_operator_ends_a_call() {
    let host = Host::start("end-call", 2, "");
    let (mine, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    let id = host.get("/v1/calls").body[0]["call_id"]
        .as_str()
        .unwrap()
        .to_owned();
    host.delete(&format!("/v1/calls/{id}")).is(200);
    for phone in [&host.pbx, &host.gw] {
        let bye = phone.request("BYE");
        phone.answer(&bye, 200, "OK");
    }
    let record = host.records(1).remove(0);
    assert_eq!(
        (&record["call_id"], &record["ended_by"]),
        (&id.into(), &"host".into())
    );
    assert_eq!(record["sip_call_id"], *mine.call_id);
    host.delete("/v1/calls/0123456789abcdef").is(404);
    host.get("/v1/calls/not-hexadecimal").is(400);
    host.get("/v1/nothing").is(404);
}

/// T12: a trunk is switched off and on.
#[test]
fn a_trunk_is_switched_off_and_on() {
    let host = Host::start("trunk", 1, "");
    assert_eq!(
        host.post("/v1/trunks/pbx-a/disable", b"").is(200).body["health"],
        "disabled"
    );
    let refused = host.pbx.invite(host.sip, "0100", "92065551234");
    host.pbx
        .wait("a final answer that is none of success", |m| {
            m.header("Call-ID") == refused.call_id && m.start() > "SIP/2.0 4"
        });
    assert_eq!(
        host.post("/v1/trunks/pbx-a/enable", b"").is(200).body["health"],
        "up"
    );
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
    host.post("/v1/trunks/nobody/enable", b"").is(404);
}

#[test]
fn a_token_keeps_strangers_out() {
    let host = Host::start("token", 1, "token_file = \"token\"\n");
    host.get("/v1/status").is(401);
    host.post("/v1/drain", b"").is(401);
    let with = |token: &str| {
        let request = agent()
            .get(host.url("/v1/status"))
            .header("Authorization", token);
        request.call().unwrap().status().as_u16()
    };
    assert_eq!(with("Bearer open says me"), 401);
    assert_eq!(with("Bearer open sesame"), 200);
}

#[test]
fn a_web_page_cannot_steer_the_node() {
    let host = Host::start("web-page", 1, "");
    let from = |origin: &str| {
        let request = agent().post(host.url("/v1/drain")).header("Origin", origin);
        request.send_empty().unwrap().status().as_u16()
    };
    assert_eq!(from("https://evil.example"), 403);
    assert_eq!(from(&host.url("")), 200);
}
