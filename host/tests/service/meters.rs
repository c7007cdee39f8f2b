//! S10: limits on what a caller uses up, as the node counts it.

use serde_json::json;

use crate::host::{Host, STANDARD, folder_of};
use crate::phone::{Message, Side};

/// A dial plan in which a caller may make so many calls abroad, and have so many at once.
fn limited(calls: usize, active: usize) -> String {
    format!(
        r#"
[[limit]]
name = "abroad"
source = "hour"
per = "caller"
prefix = "+44"
calls = {calls}
active = {active}
spend = "900"
reject = {{ code = 503, cause = 42, retry_after = "10m" }}

[[route]]
name = "abroad"
prefix = "+44"
to = [{{ trunk = "gw-a", cost = 0.6 }}]

[[route]]
name = "back"
from = "gw-a"
to = "pbx-a"
"#
    )
}

fn host(name: &str, dial_plan: &str) -> Host {
    Host::edited(name, |text| {
        std::fs::write(folder_of(name).join("limits.toml"), dial_plan).unwrap();
        let granted = STANDARD.replace("dialplan.toml", "limits.toml") + "sources = [\"hour\"]\n";
        assert!(text.contains(STANDARD));
        let shards = text.replace("shards = 1", "shards = 2");
        shards.replace(STANDARD, &granted) + "\n[source.hour]\nkind = \"meter\"\nwindow = \"1h\"\n"
    })
}

const NUMBER: &str = "+442071234567";

/// A call of this caller that rings, and its INVITE at the gateway.
#[track_caller]
fn rings(host: &Host, caller: &str) -> (Side, Message) {
    let call = host.pbx.invite(host.sip, caller, NUMBER);
    let invite = host.gw.request("INVITE");
    host.gw.answer(&invite, 180, "Ringing");
    host.pbx.response(&call, 180, "INVITE");
    (call, invite)
}

#[track_caller]
fn is_refused(host: &Host, caller: &str) {
    let call = host.pbx.invite(host.sip, caller, NUMBER);
    let refusal = host.pbx.response(&call, 503, "INVITE");
    assert_eq!(refusal.header("Retry-After"), "600");
    assert!(refusal.header("Reason").contains("cause=42"));
}

/// A call of 0100 that is answered.
#[track_caller]
fn talks(host: &Host) -> (Side, Side) {
    let (mine, theirs, _) = host.pbx.call(host.sip, NUMBER, &host.gw);
    (mine, theirs)
}

/// S10: after so many calls the next one is refused, and another caller's is not.
#[test]
fn calls_beyond_the_limit_are_refused() {
    let host = host("meters-calls", &limited(2, 9));
    for n in 1..=2 {
        let (mut call, _) = talks(&host);
        host.pbx.hang_up(&mut call, &host.gw);
        host.records(n);
    }
    is_refused(&host, "0100");
    let (other, invite) = rings(&host, "0200");
    host.gw.answer(&invite, 486, "Busy Here");
    host.pbx.response(&other, 486, "INVITE");

    let records = host.records(4);
    assert_eq!(records[0]["tags"]["hour"], "abroad/0100");
    let id = records[2]["call_id"].as_str().unwrap();
    let why = host.get(&format!("/v1/calls/{id}/why")).is(200).text;
    assert!(why.contains("2 of 2 calls were made"), "{why}");
    let metrics = host.get("/metrics").is(200).text;
    let keys = "intertrunk_meter_keys{source=\"hour\"} 2\n";
    assert!(metrics.contains(keys), "{metrics}");
}

/// A call that begins, and ends.
type End = fn(&Host);

/// S10: a call counts as long as it is up, however it ends.
#[test]
fn however_a_call_ends_its_place_is_free_again() {
    let host = host("meters-active", &limited(99, 1));
    let ends: [(&str, End); 5] = [
        ("the caller gives up", |host| {
            let (call, invite) = rings(host, "0100");
            is_refused(host, "0100");
            host.pbx.cancel(&call);
            host.pbx.response(&call, 487, "INVITE");
            let cancel = host.gw.request("CANCEL");
            host.gw.answer(&cancel, 200, "OK");
            host.gw.answer(&invite, 487, "Request Terminated");
        }),
        ("nobody takes it", |host| {
            let (call, invite) = rings(host, "0100");
            is_refused(host, "0100");
            host.gw.answer(&invite, 486, "Busy Here");
            host.pbx.response(&call, 486, "INVITE");
        }),
        ("the caller hangs up", |host| {
            let (mut call, _) = talks(host);
            is_refused(host, "0100");
            host.pbx.hang_up(&mut call, &host.gw);
        }),
        ("the callee hangs up", |host| {
            let (_, mut callee) = talks(host);
            is_refused(host, "0100");
            host.gw.hang_up(&mut callee, &host.pbx);
        }),
        ("an operator ends it", |host| {
            talks(host);
            is_refused(host, "0100");
            let calls = host.get("/v1/calls").is(200).body;
            let id = calls[0]["call_id"].as_str().unwrap();
            host.delete(&format!("/v1/calls/{id}")).is(200);
            for phone in [&host.pbx, &host.gw] {
                let bye = phone.request("BYE");
                phone.answer(&bye, 200, "OK");
            }
        }),
    ];
    for (n, (how, end)) in ends.into_iter().enumerate() {
        eprintln!("{how}");
        end(&host);
        // It, and the one that was refused meanwhile.
        host.records(2 * (n + 1));
    }
    assert_eq!(host.counter("intertrunk_meter_tags_uncounted_total"), 0);
}

/// S10: what a meter has counted stays over a reload, unless it is another meter then.
#[test]
fn a_reload_leaves_the_counts_as_they_are() {
    let host = host("meters-reload", &limited(1, 9));
    let (mut call, _) = talks(&host);
    let path = host.folder.join("intertrunk.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let edit = |from: &str, to: &str| {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        host.post("/v1/reload", b"").is(200);
    };
    edit("lag = \"1m\"", "lag = \"50s\"");
    is_refused(&host, "0100");
    // The call that is up ends where it began.
    edit("window = \"1h\"", "window = \"2h\"");
    host.pbx.hang_up(&mut call, &host.gw);
    host.records(2);
    let (mut again, _) = talks(&host);
    is_refused(&host, "0100");
    host.pbx.hang_up(&mut again, &host.gw);
}

/// S10: without the grant the meter says nothing, which is told, and the call goes on.
#[test]
fn a_meter_that_was_not_granted_is_told_of() {
    let name = "meters-denied";
    let host = Host::edited(name, |text| {
        std::fs::write(folder_of(name).join("limits.toml"), limited(0, 0)).unwrap();
        let denied = STANDARD.replace("dialplan.toml", "limits.toml") + "sources = [\"other\"]\n";
        let meters = "[source.hour]\nkind = \"meter\"\n[source.other]\nkind = \"meter\"\n";
        text.replace(STANDARD, &denied) + meters
    });
    let (mut call, _) = talks(&host);
    host.logs("limit \"abroad\" asks the source hour, which the policy may not");
    host.pbx.hang_up(&mut call, &host.gw);
    let record = host.records(1).remove(0);
    assert_eq!(record["final_code"], json!(200), "{record}");
}
