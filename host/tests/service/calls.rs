//! Calls through the service, on the wire and in its records.

use serde_json::Value;

use crate::host::Host;

/// T6: a call is translated bridged and recorded.
#[test]
fn a_call_is_translated_bridged_and_recorded() {
    let host = Host::start("call", 1, "");
    let (mut caller, callee, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);

    assert_eq!(invite.number(), "+12065551234");
    assert_eq!(invite.count("Via"), 1, "{}", invite.0);
    assert_ne!(invite.header("Call-ID"), caller.call_id);
    assert!(
        !invite.0.contains(&host.pbx.address().to_string()),
        "hidden: {}",
        invite.0
    );
    assert!(
        invite.0.ends_with("v=0\r\n"),
        "the offer passes: {}",
        invite.0
    );

    let up = host.get("/v1/calls").is(200).body;
    let [line] = &up.as_array().unwrap()[..] else {
        panic!("{up}")
    };
    assert_eq!(line["state"], "answered");
    assert_eq!(
        (&line["ingress_trunk"], &line["egress_trunk"]),
        (&"pbx-a".into(), &"gw-a".into())
    );
    let id = line["call_id"].as_str().unwrap();
    let call = host.get(&format!("/v1/calls/{id}")).is(200).body;
    assert_eq!(call["b_leg"]["sip_call_id"], *callee.call_id);
    assert_eq!(call["ladder"][0]["what"], "INVITE");
    let why = host.get(&format!("/v1/calls/{id}/why")).is(200);
    assert!(
        why.body["because"].to_string().contains("public"),
        "{}",
        why.text
    );
    assert_eq!(host.get("/v1/trunks").body[1]["calls_out"], 1);

    host.pbx.hang_up(&mut caller, &host.gw);
    let record = host.records(1).remove(0);
    assert_eq!(record["call_id"], id);
    assert_eq!(record["caller_in"], "0100");
    assert_eq!(record["callee_in"], "92065551234");
    assert_eq!(record["callee_out"], "+12065551234");
    assert_eq!(record["policy"], "main");
    assert_eq!(record["generation"], 1);
    assert_eq!(record["final_code"], 200);
    assert_eq!(record["ended_by"], "caller");
    assert_eq!(record["attempts"][0]["peer"], host.gw.address().to_string());
    assert_eq!(
        host.get(&format!("/v1/calls/{id}")).is(200).body["state"],
        "ended"
    );
    assert_eq!(host.get("/v1/calls").body, Value::Array(vec![]));
    assert_eq!(host.get("/v1/trunks").body[1]["calls"], 0);
}

#[test]
fn the_called_side_may_hang_up_and_the_caller_may_give_up() {
    let host = Host::start("both-sides", 1, "");
    let (_, mut callee, _) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    host.pbx.hang_up(&mut callee, &host.gw);

    let refused = host.pbx.invite(host.sip, "0100", "+19005551234");
    host.pbx.response(&refused, 403, "INVITE");

    let records = host.records(2);
    assert_eq!(records[0]["ended_by"], "callee");
    assert_eq!(records[1]["final_code"], 403);
    assert_eq!(records[1]["attempts"], Value::Array(vec![]));
}

#[test]
fn calls_of_one_address_are_spread_over_all_shards() {
    let host = Host::start("shards", 4, "");
    let mut calls: Vec<_> = (0..24)
        .map(|n| {
            host.pbx
                .call(host.sip, &format!("920655512{n:02}"), &host.gw)
        })
        .collect();
    assert_eq!(host.get("/v1/calls").body.as_array().unwrap().len(), 24);
    assert_eq!(host.get("/v1/status").body["calls"], 24);
    for (caller, _, _) in &mut calls {
        host.pbx.hang_up(caller, &host.gw);
    }
    let records = host.records(24);
    assert!(records.iter().all(|record| record["final_code"] == 200));
    assert!(host.counter("intertrunk_datagrams_forwarded_total") > 0);
    assert_eq!(host.counter("intertrunk_datagrams_shed_total"), 0);
}

/// O13: one id leads through the log.
#[test]
fn one_id_leads_through_the_log() {
    let host = Host::start("log", 1, "");
    let (mut caller, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut caller, &host.gw);
    let id = host.logs("call started")["call"].clone();
    for message in ["decided", "attempt started", "call answered", "call ended"] {
        assert_eq!(host.logs(message)["call"], id, "{message}");
    }
    assert_eq!(host.records(1)[0]["call_id"], id);
}
