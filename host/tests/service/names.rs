//! Peers that are reached by their names: what DNS says, and what happens when it says nothing.

use serde_json::Value;

use crate::host::{Host, command};
use crate::name_server::NameServer;
use crate::phone::Phone;

const SRV: &str = "_sip._udp.gw.test";
const NUMBER: &str = "92065551234";

/// A host whose gateway is the peer `sip:gw.test`.
fn host(test: &str, dns: &NameServer) -> Host {
    Host::edited(test, |text| by_name(&text) + &dns.section())
}

fn by_name(text: &str) -> String {
    let (before, gw) = text.split_once("name = \"gw-a\"").unwrap();
    let start = gw.find("peers = [").unwrap();
    let end = start + gw[start..].find(']').unwrap();
    let (head, tail) = (&gw[..start], &gw[end..]);
    format!("{before}name = \"gw-a\"{head}peers = [\"sip:gw.test\"{tail}")
}

/// The targets of the gateway's trunk.
fn targets(host: &Host) -> Vec<Value> {
    let trunks = host.get("/v1/trunks").is(200).body;
    trunks[1]["targets"].as_array().unwrap().clone()
}

fn has_target(host: &Host, phone: &Phone) -> bool {
    let address = Value::from(phone.address().to_string());
    targets(host).iter().any(|t| t["address"] == address)
}

/// One call from the PBX that `gw` takes and the PBX ends.
fn call(host: &Host, gw: &Phone) {
    let (mut side, _, invite) = host.pbx.call(host.sip, NUMBER, gw);
    assert!(invite.start().contains("@gw.test "), "{}", invite.start());
    host.pbx.hang_up(&mut side, gw);
}

/// K6, T8: one of two targets fails: the other takes the call, the failed one rests, and the next call
/// does not even try it.
#[test]
fn a_name_with_two_targets_survives_the_loss_of_one() {
    let (dns, first, second) = (NameServer::start(), Phone::new(), Phone::new());
    dns.srv(SRV, 10, first.address().port(), "one.test");
    dns.srv(SRV, 20, second.address().port(), "two.test");
    dns.address("one.test");
    dns.address("two.test");
    let host = host("srv", &dns);
    let all = targets(&host);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(
        (&all[0]["host"], &all[0]["priority"]),
        (&"one.test".into(), &10.into())
    );
    assert!(all[0]["rests_ms"].is_null());

    let mut side = host.pbx.invite(host.sip, "0100", NUMBER);
    let invite = first.request("INVITE");
    first.answer(&invite, 503, "Service Unavailable");
    first.request("ACK");
    let invite = second.request("INVITE");
    second.answer(&invite, 200, "OK");
    let ok = host.pbx.response(&side, 200, "INVITE");
    host.pbx.acknowledge(&mut side, &ok);
    second.request("ACK");
    host.pbx.hang_up(&mut side, &second);
    let all = targets(&host);
    assert!(
        all[0]["rests_ms"].as_u64().is_some_and(|ms| ms > 20_000),
        "{all:?}"
    );
    assert!(all[1]["rests_ms"].is_null(), "{all:?}");

    call(&host, &second);
    let records = host.records(2);
    let codes = |n: usize| -> Vec<u64> {
        let attempts = records[n]["attempts"].as_array().unwrap();
        attempts
            .iter()
            .map(|a| a["code"].as_u64().unwrap())
            .collect()
    };
    assert_eq!((codes(0), codes(1)), (vec![503, 200], vec![200]));
}

#[test]
fn naptr_leads_to_the_service_of_our_transport() {
    let (dns, gw) = (NameServer::start(), Phone::new());
    dns.naptr("gw.test", 1, "SIP+D2T", "_sip._tcp.elsewhere.test");
    dns.naptr("gw.test", 2, "SIP+D2U", "_sip._udp.elsewhere.test");
    dns.srv("_sip._tcp.elsewhere.test", 1, 1, "wrong.test");
    dns.srv(
        "_sip._udp.elsewhere.test",
        1,
        gw.address().port(),
        "right.test",
    );
    dns.srv(SRV, 1, 1, "wrong.test");
    dns.address("wrong.test");
    dns.address("right.test");
    let host = host("naptr", &dns);
    assert_eq!(targets(&host).len(), 1);
    assert_eq!(targets(&host)[0]["host"], "right.test");
    call(&host, &gw);
}

/// A name without any SRV is a host at the usual port (RFC 3263 §4.2).
#[test]
fn a_name_without_services_is_a_host() {
    let dns = NameServer::start();
    dns.address("gw.test");
    let host = host("host", &dns);
    assert_eq!(targets(&host)[0]["address"], "127.0.0.1:5060");
}

/// Calls follow the name; its former address stays a source for a while.
#[test]
fn a_new_answer_moves_calls() {
    let (dns, old, new) = (NameServer::start(), Phone::new(), Phone::new());
    dns.srv(SRV, 1, old.address().port(), "one.test");
    dns.address("one.test");
    let host = host("moves", &dns);
    call(&host, &old);

    dns.forget();
    dns.srv(SRV, 1, new.address().port(), "two.test");
    dns.address("two.test");
    host.until("the new target", |host| {
        has_target(host, &new).then_some(())
    });
    assert!(!has_target(&host, &old));
    call(&host, &new);
    for phone in [&old, &new] {
        let side = phone.invite(host.sip, "+12065551234", "+14255550100");
        phone.response(&side, 100, "INVITE");
    }
}

/// F20: the last answer serves while dns is silent.
#[test]
fn the_last_answer_serves_while_dns_is_silent() {
    let (dns, gw) = (NameServer::start(), Phone::new());
    dns.srv(SRV, 1, gw.address().port(), "one.test");
    dns.address("one.test");
    let host = host("stale", &dns);
    dns.silence(true);
    host.logs("its last addresses serve");
    call(&host, &gw);
    dns.silence(false);
    host.logs("name resolved again");
    call(&host, &gw);
}

/// K6: a name that DNS does not know fails at once; when DNS learns it, calls go there.
#[test]
fn a_name_may_appear_later() {
    let (dns, gw) = (NameServer::start(), Phone::new());
    let host = host("later", &dns);
    assert!(targets(&host)[0]["address"].is_null());
    let side = host.pbx.invite(host.sip, "0100", NUMBER);
    host.pbx.response(&side, 503, "INVITE");
    assert_eq!(
        host.records(1)[0]["attempts"][0]["reason"],
        "name without an address"
    );

    dns.srv(SRV, 1, gw.address().port(), "one.test");
    dns.address("one.test");
    host.until("the target", |host| has_target(host, &gw).then_some(()));
    call(&host, &gw);
}

/// A reload that brings a name has its answer before it is over.
#[test]
fn a_reload_brings_a_name() {
    let (dns, gw) = (NameServer::start(), Phone::new());
    dns.srv(SRV, 1, gw.address().port(), "one.test");
    dns.address("one.test");
    let host = Host::start("named-later", 1, "");
    let file = host.folder.join("intertrunk.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, by_name(&text) + &dns.section()).unwrap();
    host.post("/v1/reload", b"").is(200);
    assert!(has_target(&host, &gw));
    call(&host, &gw);
}

#[test]
fn check_warns_of_a_name_that_dns_does_not_know() {
    let dns = NameServer::start();
    let host = host("check-names", &dns);
    let check = std::process::Command::new(command(&host.folder).get_program())
        .args(["check", "-c", "intertrunk.toml"])
        .current_dir(&host.folder)
        .output()
        .unwrap();
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success(), "{text}");
    let warning =
        "warning: trunk[1].peers[0]: \"gw.test\" has no address; calls to it fail at once";
    assert!(text.contains(warning), "{text}");
}
