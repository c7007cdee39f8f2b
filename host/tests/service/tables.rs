//! Tables and policies change together, one change after the other.

use crate::host::{EXTENSIONS, HOSTILE, Host, STANDARD, folder_of, post};

/// A policy that goes where its table says, and fails where it says nothing.
const LOOKS_UP: &str = "module = \"hostile.wasm\"\ntables = [\"lcr\"]\ndeadline = \"5s\"\n";
const TABLE: &str = "\n[table.lcr]\nsource = \"lcr.csv\"\n";

const WITHOUT_UK: &str = "prefix,trunk\n+1,gw-a\n";
const WITH_UK: &str = "prefix,trunk\n+1,gw-a\n+44,gw-a\n";

fn looks_up(name: &str, rows: &str) -> Host {
    let folder = folder_of(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("lcr.csv"), rows).unwrap();
    Host::edited(name, |text| text.replace(STANDARD, LOOKS_UP) + TABLE)
}

fn write(host: &Host, rows: &str) {
    std::fs::write(host.folder.join("lcr.csv"), rows).unwrap();
}

#[track_caller]
fn is_refused(host: &Host) {
    let side = host.pbx.invite(host.sip, "0100", "look-+442071234567");
    host.pbx.response(&side, 503, "INVITE");
}

#[track_caller]
fn goes_out(host: &Host) {
    let number = "look-+442071234567";
    let (mut call, _, _) = host.pbx.call(host.sip, number, &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
}

/// B11: a staged module brings the tables as their files are now, and calls hear nothing of either
/// before the promotion. A table that is wrong is told, and nothing is staged.
#[test]
fn a_table_goes_live_with_its_module() {
    let host = looks_up("table-staged", WITHOUT_UK);
    is_refused(&host);
    write(&host, WITH_UK);
    host.post("/v1/policies/main/stage", HOSTILE).is(200);
    is_refused(&host);
    host.post("/v1/policies/main/promote", b"").is(200);
    goes_out(&host);
    host.post("/v1/policies/main/rollback", b"").is(200);
    is_refused(&host);
    host.post("/v1/policies/main/rollback", b"").is(200);
    goes_out(&host);

    write(&host, "prefix,trunk\n+44\n");
    let refused = host.post("/v1/policies/main/stage", HOSTILE).is(422);
    assert!(
        refused.text.contains("lcr.csv:2:1: has 1 cells"),
        "{}",
        refused.text
    );
    host.post("/v1/policies/main/promote", b"").is(409);
    goes_out(&host);
}

/// B11: a reload takes a changed table in a new generation, with the module that is live, whoever
/// brought that; where nothing has changed the generation stays.
#[test]
fn a_reload_keeps_what_was_promoted() {
    let host = looks_up("table-reloaded", WITHOUT_UK);
    let other = [HOSTILE, &[0, 2, 1, b'x']].concat();
    host.post("/v1/policies/main/stage", &other).is(200);
    let mine = host.post("/v1/policies/main/promote", b"").is(200).body;
    let reloaded = host.post("/v1/reload", b"").is(200).body;
    assert_eq!(
        reloaded["promoted"].as_array().unwrap().len(),
        0,
        "{reloaded}"
    );

    write(&host, WITH_UK);
    is_refused(&host);
    let reloaded = host.post("/v1/reload", b"").is(200).body;
    assert_eq!(reloaded["promoted"][0]["sha256"], mine["sha256"]);
    goes_out(&host);
    let policy = host.get("/v1/policies").body[0].clone();
    assert_eq!(policy["live"]["generation"], 3, "{policy}");
    assert_eq!(policy["previous"]["generation"], 2, "{policy}");
}

/// B8: what was looked up is in the answer to "why", in words and as data.
#[test]
fn why_tells_what_was_looked_up() {
    let host = looks_up("table-why", WITH_UK);
    let side = host.pbx.invite(host.sip, "0100", "look-+442071234567");
    host.gw.request("INVITE");
    let calls = host.get("/v1/calls").is(200).body;
    let id = calls[0]["call_id"].as_str().unwrap();
    let why = host.get(&format!("/v1/calls/{id}/why")).is(200).body;
    let expected = serde_json::json!([{
        "in": "table", "table": "lcr", "key": "+442071234567", "by": "longest-prefix",
        "answer": ["+44 | gw-a"],
    }]);
    assert_eq!(why["look_ups"], expected, "{why}");
    host.pbx.cancel(&side);
    host.pbx.response(&side, 487, "INVITE");
}

/// B11: of two operators at once, each promotes what it has staged or is told that it was not that.
#[test]
fn two_operators_do_not_interleave() {
    let host = looks_up("two-operators", WITH_UK);
    let promoted = std::thread::scope(|scope| {
        let operator = |wasm: &'static [u8]| {
            let url = host.url("/v1");
            scope.spawn(move || {
                let mut promoted = 0;
                for _ in 0..10 {
                    let staged = post(&format!("{url}/policies/main/stage"), wasm).is(200);
                    let mine = staged.body["sha256"].as_str().unwrap();
                    let path = format!("{url}/policies/main/promote?sha256={mine}");
                    let answer = post(&path, b"");
                    if answer.status == 200 {
                        assert_eq!(answer.body["sha256"], mine);
                        promoted += 1;
                    } else {
                        answer.is(409);
                    }
                    post(&format!("{url}/reload"), b"").is(200);
                }
                promoted
            })
        };
        [operator(HOSTILE), operator(EXTENSIONS)].map(|it| it.join().unwrap())
    });
    assert!(promoted.iter().sum::<u32>() > 0, "{promoted:?}");
}
