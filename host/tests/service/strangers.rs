//! Who is let in and who is not, on real sockets: credentials both ways, and sources that are blocked.

use intertrunk_sip::auth::{Challenge, Credentials};

use crate::host::{Host, folder_of};
use crate::line::Line;
use crate::phone::{Message, Phone};

/// A telephone at an address that is no trunk's.
fn stranger(address: &str) -> Phone {
    Phone::on(Line::udp(&format!("{address}:0")))
}

fn options(host: &Host, from: &Phone, n: u32, agent: &str) -> String {
    let (sip, me) = (host.sip, from.address());
    format!(
        "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKo{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:100@{me}>;tag=x\r\nTo: <sip:{sip}>\r\nCall-ID: options-{n}-{me}\r\nCSeq: {n} OPTIONS\r\n\
         User-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn dropped(host: &Host, cause: &str) -> u64 {
    host.counter(&format!(
        "intertrunk_datagrams_dropped_total{{cause=\"{cause}\"}}"
    ))
}

/// S3, S5: a scanner is blocked before its bytes are read, seen by an operator, freed by one; whoever
/// sends from a trunk's address is not blocked for that.
#[test]
fn a_scanner_is_blocked_and_an_operator_frees_it() {
    let rules = "[security]\nblock = { threshold = 10, time = \"1h\" }\n";
    let host = Host::start("blocked", 2, rules);
    let (scanner, other) = (stranger("127.0.0.66"), stranger("127.0.0.66"));
    scanner.send(host.sip, options(&host, &scanner, 1, "friendly-scanner"));
    let line = host.logs("source blocked");
    assert_eq!(
        (line["source"].as_str(), line["offence"].as_str()),
        (Some("127.0.0.66"), Some("scanner"))
    );
    // From another port, which may be another shard's socket.
    for n in 2..12 {
        other.send(host.sip, options(&host, &other, n, "harmless"));
    }
    host.until("they are thrown away unread", |host| {
        (dropped(host, "blocked") == 10).then_some(())
    });
    let blocked = host.get("/v1/blocked").is(200).body;
    assert_eq!(blocked[0]["source"], "127.0.0.66");
    assert_eq!(
        (&blocked[0]["times"], &blocked[0]["dropped"]),
        (&1.into(), &10.into())
    );
    let metrics = host.get("/metrics").text;
    assert!(
        metrics.contains("intertrunk_blocked_sources 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("intertrunk_blocks_total 1\n"), "{metrics}");

    let ctl = |words: &[&str]| {
        let url = host.url("");
        let args = [&["ctl", "--url", url.as_str()], words].concat();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_intertrunk"));
        let ran = command.args(args).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    let (code, table) = ctl(&["blocked"]);
    assert!(
        code == Some(0) && table.contains("127.0.0.66  scanner"),
        "{table}"
    );
    assert_eq!(ctl(&["unblock", "127.0.0.66"]).0, Some(0));
    assert_eq!(ctl(&["unblock", "127.0.0.66"]).0, Some(1));
    host.delete("/v1/blocked/127.0.0.66").is(404);
    host.delete("/v1/blocked/nonsense").is(400);
    other.send(host.sip, options(&host, &other, 12, "harmless"));
    host.until("it is read again", |host| {
        (dropped(host, "unknown-source") == 1).then_some(())
    });

    // The address of the PBX itself, or somebody who writes it on a datagram.
    for n in 0..20 {
        host.pbx
            .send(host.sip, options(&host, &host.pbx, n, "sipvicious"));
    }
    host.until("they are dropped", |host| {
        (dropped(host, "scanner") == 21).then_some(())
    });
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
    assert_eq!(host.get("/v1/blocked").body, serde_json::json!([]));
}

/// T10, S3: strangers hear what the node says, until they have asked too often.
#[test]
fn a_stranger_is_answered_until_it_is_blocked() {
    let rules = "[security]\nunknown = \"403\"\nblock = { threshold = 5 }\n";
    let host = Host::start("unknown", 1, rules);
    let nobody = stranger("127.0.0.67");
    for n in 1..=5 {
        nobody.send(host.sip, options(&host, &nobody, n, "any"));
        nobody.wait("403", |m| m.start() == "SIP/2.0 403 Forbidden");
    }
    host.logs("source blocked");
    nobody.send(host.sip, options(&host, &nobody, 6, "any"));
    host.until("the sixth is not read", |host| {
        (dropped(host, "blocked") == 1).then_some(())
    });
    assert_eq!(host.counter("intertrunk_datagrams_sent_total"), 5);
}

fn challenge_of(response: &Message) -> String {
    response.header("WWW-Authenticate").to_owned()
}

const PASSWORD: &str = "correct horse";

/// A host whose trunks have passwords in a file.
fn guarded(name: &str) -> Host {
    let folder = folder_of(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("password"), format!("{PASSWORD}\n")).unwrap();
    Host::edited(name, |text| {
        let auth = "auth = { realm = \"edge\", user = \"pbx\", password_file = \"password\" }\nname = \"pbx-a\"";
        let login =
            "credentials = { user = \"us\", password_file = \"password\" }\nname = \"gw-a\"";
        let text = text.replace("name = \"pbx-a\"", auth);
        text.replace("name = \"gw-a\"", login)
            + "[security]\nblock = { threshold = 8, time = \"1h\" }\n"
    })
}

/// S14, T11: the PBX has to show a password, we show one to the gateway; neither sees the other's.
#[test]
fn passwords_are_asked_and_shown() {
    let host = guarded("passwords");
    let refused = host.pbx.invite(host.sip, "0100", "92065551234");
    let response = host.pbx.response(&refused, 401, "INVITE");
    let challenge = challenge_of(&response);
    let challenge = Challenge::parse(challenge.as_bytes()).unwrap();
    let uri = format!("sip:92065551234@{}", host.sip);
    let shown = challenge.met_by("pbx", PASSWORD, "INVITE", &uri, "cn");
    let more = format!("Authorization: {shown}\r\n");
    let mut mine = host.pbx.invite_as(host.sip, "0100", "92065551234", &more);

    let first = host.gw.request("INVITE");
    host.gw.answer_with(
        &first,
        407,
        "Proxy Authentication Required",
        "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\n",
    );
    let second = host.gw.wait("the second INVITE", |m| {
        m.start().starts_with("INVITE ") && m.header("CSeq") == "2 INVITE"
    });
    let shown = second.header("Proxy-Authorization").to_owned();
    let shown = Credentials::parse(shown.as_bytes()).unwrap();
    assert!(
        shown.user == "us" && shown.prove(PASSWORD, "INVITE"),
        "{shown:?}"
    );
    assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
    assert_eq!(second.count("Authorization"), 0, "the PBX's own stays here");
    host.gw.answer(&second, 200, "OK");
    let ok = host.pbx.response(&mine, 200, "INVITE");
    assert_eq!(ok.count("Proxy-Authenticate"), 0);
    host.pbx.acknowledge(&mut mine, &ok);
    host.gw.request("ACK");
    host.pbx.hang_up(&mut mine, &host.gw);
    for path in ["/v1/trunks", "/v1/status", "/v1/calls", "/metrics"] {
        assert!(!host.get(path).text.contains(PASSWORD), "{path}");
    }
    let record = host.records(1).remove(0);
    assert_eq!(record["final_code"], 200);
}

/// T11: we register with the trunk's credentials, an operator sees it, and a stop takes it back.
#[test]
fn a_trunk_is_registered_and_unregistered() {
    let name = "registered";
    let folder = folder_of(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("password"), PASSWORD).unwrap();
    let mut host = Host::edited(name, |text| {
        let keys = "credentials = { user = \"4711\", password_file = \"password\" }\n\
                    register = { expires = \"10m\", required = true }\nname = \"gw-a\"";
        text.replace("name = \"gw-a\"", keys)
    });
    let first = host.gw.request("REGISTER");
    let state = |host: &Host| host.get("/v1/trunks").body[1].clone();
    assert_eq!(state(&host)["registration"]["state"], "registering");
    assert_eq!(state(&host)["health"], "down");
    let challenge = "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n\"\r\n";
    host.gw.answer_with(&first, 401, "Unauthorized", challenge);
    let second = host.gw.wait("REGISTER with credentials", |m| {
        m.start().starts_with("REGISTER ") && m.count("Authorization") == 1
    });
    let shown = second.header("Authorization").to_owned();
    assert!(
        Credentials::parse(shown.as_bytes())
            .unwrap()
            .prove(PASSWORD, "REGISTER")
    );
    host.gw.answer_with(&second, 200, "OK", "Expires: 600\r\n");
    let trunk = host.until("it is registered", |host| {
        let trunk = state(host);
        (trunk["registration"]["state"] == "registered").then_some(trunk)
    });
    assert_eq!(
        (&trunk["registration"]["code"], &trunk["health"]),
        (&200.into(), &"up".into())
    );
    let metrics = host.get("/metrics").text;
    let gauge = "intertrunk_trunk_registered{trunk=\"gw-a\"} 1\n";
    assert!(metrics.contains(gauge), "{metrics}");
    assert!(!host.get("/v1/trunks").text.contains(PASSWORD));

    host.signal("-TERM");
    let last = host.gw.wait("REGISTER that ends it", |m| {
        m.start().starts_with("REGISTER ") && m.header("Expires") == "0"
    });
    host.gw.answer(&last, 200, "OK");
    assert_eq!(host.ends().code(), Some(0));
}

/// S3, S14: guessing passwords is counted, for a trunk's own address, too, once it is known to be heard
/// from there; then it is blocked.
#[test]
fn guessing_is_blocked() {
    let host = guarded("guessing");
    let refused = host.pbx.invite(host.sip, "0100", "92065551234");
    let response = host.pbx.response(&refused, 401, "INVITE");
    let challenge = challenge_of(&response);
    let challenge = Challenge::parse(challenge.as_bytes()).unwrap();
    let uri = format!("sip:92065551234@{}", host.sip);
    for guess in ["1", "2", "3", "4"] {
        let shown = challenge.met_by("pbx", guess, "INVITE", &uri, "cn");
        let more = format!("Authorization: {shown}\r\n");
        host.pbx.invite_as(host.sip, "0100", "92065551234", &more);
    }
    let line = host.logs("source blocked");
    assert_eq!(line["offence"], "wrong-credentials");
    assert_eq!(host.counter("intertrunk_credentials_refused_total"), 4);
    assert_eq!(host.counter("intertrunk_calls_started_total"), 0);
}
