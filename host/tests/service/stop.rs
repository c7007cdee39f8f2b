//! How the service ends.

use crate::host::Host;

/// F21: a drain refuses new calls and waits for those that are up.
#[test]
fn a_drain_refuses_new_calls_and_waits_for_those_that_are_up() {
    let mut host = Host::start("drain", 2, "");
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.signal("-TERM");
    host.logs("draining");

    let late = host.pbx.invite(host.sip, "0100", "92065551234");
    host.pbx.response(&late, 503, "INVITE");
    assert_eq!(host.get("/readyz").status, 503);
    assert_eq!(host.get("/v1/status").body["state"], "draining");
    assert_eq!(host.get("/v1/status").body["calls"], 1);
    assert!(host.runs());

    host.pbx.hang_up(&mut call, &host.gw);
    assert_eq!(host.ends().code(), Some(0));
    let records = host.records(1);
    assert_eq!(
        records[0]["callee_out"], "+12065551234",
        "records are on disk: {records:?}"
    );
}

#[test]
fn an_idle_service_leaves_at_once() {
    let mut host = Host::start("idle", 1, "");
    host.signal("-INT");
    assert_eq!(host.ends().code(), Some(0));
}

#[test]
fn the_second_signal_stops_at_once() {
    let mut host = Host::start("second", 1, "");
    let (_call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.signal("-TERM");
    host.logs("draining");
    assert!(host.runs());
    host.signal("-TERM");
    assert_eq!(host.ends().code(), Some(0));
}

#[test]
fn a_drain_over_the_admin_api_can_be_taken_back() {
    let host = Host::start("resume", 1, "");
    assert_eq!(
        host.post("/v1/drain", b"").is(200).body["state"],
        "draining"
    );
    let refused = host.pbx.invite(host.sip, "0100", "92065551234");
    host.pbx.response(&refused, 503, "INVITE");
    assert_eq!(
        host.post("/v1/resume", b"").is(200).body["state"],
        "running"
    );
    host.get("/readyz").is(200);
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
}
