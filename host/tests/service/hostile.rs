//! Bad input: each kind gets its clear answer or none, and the service goes on.

use crate::host::{Host, command};
use crate::phone::Phone;

fn invite(host: &Host, from: &Phone) -> String {
    let (sip, me) = (host.sip, from.address());
    format!(
        "INVITE sip:92065551234@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKx\r\n\
         Max-Forwards: 70\r\nFrom: <sip:0100@{me}>;tag=x\r\nTo: <sip:92065551234@{sip}>\r\n\
         Call-ID: hostile\r\nCSeq: 1 INVITE\r\nContact: <sip:0100@{me}>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// S4: garbage harms nobody.
#[test]
fn garbage_harms_nobody() {
    let host = Host::start("garbage", 2, "");
    let stranger = Phone::new();
    let whole = invite(&host, &host.pbx);

    let mut sent = 0;
    // One by one: a few of 64 KB fill a socket's buffer, and the rest would never arrive.
    let mut say = |phone: &Phone, bytes: &[u8]| {
        phone.send(host.sip, bytes);
        sent += 1;
        host.until("it is received", |host| {
            (host.counter("intertrunk_datagrams_received_total") == sent).then_some(())
        });
    };
    for phone in [&host.pbx, &stranger] {
        say(phone, b"");
        say(phone, b"\r\n\r\n");
        say(phone, b"GET / HTTP/1.1\r\n\r\n");
        say(phone, &[0xff; 1400]);
        say(phone, b"SIP/2.0 200 OK\r\nCall-ID: nobody\r\n\r\n");
        let header = format!(
            "INVITE sip:1@x SIP/2.0\r\nX: {}\r\n\r\n",
            "y".repeat(64_000)
        );
        say(phone, header.as_bytes());
        let folds = format!(
            "INVITE sip:1@x SIP/2.0\r\nX: y{}\r\n\r\n",
            "\r\n ".repeat(21_000)
        );
        say(phone, folds.as_bytes());
    }
    for length in (1..whole.len() - 4).step_by(7) {
        say(&stranger, &whole.as_bytes()[..length]);
    }
    assert!(host.counter("intertrunk_datagrams_dropped_total{cause=\"malformed\"}") > 0);

    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
    assert_eq!(host.records(1).len(), 1);
}

/// T10, S1: a stranger gets no call and no answer.
#[test]
fn a_stranger_gets_no_call_and_no_answer() {
    let host = Host::start("stranger", 1, "");
    let stranger = Phone::new();
    stranger.send(host.sip, invite(&host, &stranger));
    host.until("the INVITE is dropped", |host| {
        let name = "intertrunk_datagrams_dropped_total{cause=\"unknown-source\"}";
        (host.counter(name) == 1).then_some(())
    });
    assert_eq!(host.counter("intertrunk_datagrams_sent_total"), 0);
    assert_eq!(host.counter("intertrunk_calls_started_total"), 0);
}

#[test]
fn an_address_in_use_is_named_with_a_remedy() {
    let host = Host::start("in-use", 2, "");
    let taken = host.sip.to_string();
    let folder = host.folder.join("second");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(
        host.folder.join("dialplan.toml"),
        folder.join("dialplan.toml"),
    )
    .unwrap();
    let text = std::fs::read_to_string(host.folder.join("intertrunk.toml")).unwrap();
    std::fs::write(
        folder.join("intertrunk.toml"),
        text.replacen("127.0.0.1:0", &taken, 1),
    )
    .unwrap();
    let second = command(&folder).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2), "{said}");
    for word in ["`lan`", &taken, "ss -lntup"] {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}
