//! Policies in a chain, and what they inquire of outside this node.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crate::host::{DIALPLAN, Host, STANDARD, folder_of};
use crate::name_server::NameServer;

const PORTABILITY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy_portability.wasm"));

/// A web server that says what the test wants it to say.
struct Database {
    address: SocketAddr,
    /// The paths that were asked for.
    asked: Receiver<String>,
    /// What is said next; nothing is, as long as this is empty.
    answers: Sender<String>,
}

fn database() -> Database {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (ask, asked) = mpsc::channel();
    let (answers, answer) = mpsc::channel::<String>();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Some(path) = path_of(&stream) else {
                continue;
            };
            let _ = ask.send(path);
            let Ok(answer) = answer.recv() else {
                return;
            };
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    Database {
        address,
        asked,
        answers,
    }
}

fn path_of(mut stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    Some(head.split(' ').nth(1)?.to_owned())
}

fn says(code: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {code} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// A host whose PBX asks the portability policy first, then the standard one.
fn host(name: &str, database: &Database, cache: &str) -> Host {
    let chain = format!(
        "[policy.ported]\nmodule = \"portability.wasm\"\nsources = [\"lnp\"]\ndeadline = \"5s\"\n\
         [source.lnp]\nkind = \"http\"\nurl = \"http://{}/lnp/{{key}}\"\ntimeout = \"5s\"\n\
         cache = \"{cache}\"\n",
        database.address
    );
    Host::edited(name, |text| {
        std::fs::write(folder_of(name).join("portability.wasm"), PORTABILITY).unwrap();
        assert!(text.contains(STANDARD));
        // The first trunk is the PBX's.
        text.replacen("policy = \"main\"", "policy = [\"ported\", \"main\"]", 1) + &chain
    })
}

/// R13: a policy asks a database and its answer is remembered.
#[test]
fn a_policy_asks_a_database_and_its_answer_is_remembered() {
    let database = database();
    let host = host("inquiry", &database, "60s");
    database.answers.send(says(200, "+12069990000\n")).unwrap();
    for _ in 0..2 {
        let (mut call, _, invite) = host.pbx.call(host.sip, "+12065550142", &host.gw);
        assert_eq!(invite.number(), "+12069990000");
        host.pbx.hang_up(&mut call, &host.gw);
    }
    assert_eq!(database.asked.recv().unwrap(), "/lnp/%2B12065550142");
    assert!(database.asked.try_recv().is_err(), "asked once");

    let records = host.records(2);
    assert_eq!(records[0]["policy"], "ported");
    assert_eq!(records[0]["tags"]["ported"], "yes");
    let id = records[1]["call_id"].as_str().unwrap();
    let why = host.get(&format!("/v1/calls/{id}/why")).is(200).text;
    assert!(
        why.contains("lnp says of +12065550142: +12069990000"),
        "{why}"
    );
}

/// R13: ENUM by a name server: the first SIP URI is called; a number without one, or a server that is
/// silent, costs no call.
#[test]
fn a_number_is_asked_for_in_dns() {
    let server = NameServer::start();
    let host = Host::edited("enum", |text| {
        let lookup = "[[lookup]]\nsource = \"dns\"\nprefix = \"+\"\nbecomes = \"called\"\n";
        std::fs::write(
            folder_of("enum").join("enum.toml"),
            DIALPLAN.to_owned() + lookup,
        )
        .unwrap();
        let policy = STANDARD.replace("dialplan.toml", "enum.toml") + "sources = [\"dns\"]\n";
        let source = "[source.dns]\nkind = \"enum\"\nzone = \"e164.test\"\n";
        text.replace(STANDARD, &policy) + source + &server.section()
    });
    let calls = |number: &str| {
        let (mut call, _, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);
        assert_eq!(invite.number(), number);
        host.pbx.hang_up(&mut call, &host.gw);
    };
    calls("+12065551234");

    let owner = "4.3.2.1.5.5.5.6.0.2.1.e164.test";
    server.rule(owner, 30, "E2U+sip", "!^.*$!sip:+13609999999@last.test!");
    server.rule(owner, 20, "E2U+sip", r"!^\+1206(.*)$!sip:+1360\1@sip.test!");
    server.rule(
        owner,
        10,
        "E2U+email:mailto",
        "!^.*$!mailto:info@mail.test!",
    );
    calls("+13605551234");
    let id = host.records(2)[1]["call_id"].as_str().unwrap().to_owned();
    let why = host.get(&format!("/v1/calls/{id}/why")).is(200).text;
    assert!(why.contains("sip:+13605551234@sip.test"), "{why}");

    server.silence(true);
    calls("+12065551234");
}

#[test]
fn a_database_that_fails_costs_no_call() {
    let database = database();
    let host = host("inquiry-fails", &database, "0s");
    let long = "9".repeat(5000);
    for answer in [
        says(500, "oops"),
        says(404, ""),
        says(200, &long),
        "what?".to_owned(),
    ] {
        database.answers.send(answer).unwrap();
        let (mut call, _, invite) = host.pbx.call(host.sip, "+12065550142", &host.gw);
        assert_eq!(invite.number(), "+12065550142");
        host.pbx.hang_up(&mut call, &host.gw);
        database.asked.recv().unwrap();
    }
}

#[test]
fn a_caller_who_hangs_up_ends_the_inquiry() {
    let database = database();
    let host = host("inquiry-cancelled", &database, "0s");
    let call = host.pbx.invite(host.sip, "0100", "+12065550142");
    database.asked.recv().unwrap();
    host.pbx.cancel(&call);
    host.pbx.response(&call, 487, "INVITE");
    let record = host.records(1).remove(0);
    assert_eq!(record["attempts"], serde_json::json!([]));
    assert_eq!(record["policy"], "ported");
}

#[test]
fn what_a_policy_passes_the_next_one_decides() {
    let database = database();
    let host = host("chain", &database, "0s");
    // The standard policy makes a number of it, the portability policy does not.
    let (mut call, _, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);
    assert_eq!(invite.number(), "+12065551234");
    host.pbx.hang_up(&mut call, &host.gw);
    let record = host.records(1).remove(0);
    assert_eq!(
        (&record["policy"], &record["fallback"]),
        (&"main".into(), &().into())
    );
}
