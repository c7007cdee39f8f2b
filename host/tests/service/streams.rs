//! Calls over TCP, and what connections do to each other: nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::line::Line;
use crate::phone::{Message, PATIENCE, Phone};

const PBX: &str = "127.0.0.11:0";
const GW: &str = "127.0.0.21:0";

fn over_tcp(text: &str) -> String {
    let address = "address = \"127.0.0.1:0\"";
    text.replacen(address, &format!("{address}\ntransport = \"tcp\""), 1)
}

fn tcp(address: &str) -> Phone {
    Phone::on(Line::stream(address, None))
}

/// A host with one TCP listener, whose PBX and gateway speak TCP.
fn host(name: &str, shards: u16, more: &str) -> Host {
    Host::with(name, tcp(PBX), tcp(GW), |text| {
        let text = text.replace("shards = 1", &format!("shards = {shards}"));
        let more = format!("transport = \"tcp\"\n{more}");
        over_tcp(&text).replacen("transport = \"tcp\"\n", &more, 1)
    })
}

/// A host whose first listener is UDP and whose second one is TCP.
fn both(name: &str, pbx: Phone, gw: Phone, trunk: &str) -> Host {
    let peer = format!("sip:{}", pbx.address());
    let asked = match pbx.line.transport() {
        "TCP" => format!("{peer};transport=tcp"),
        _ => peer.clone(),
    };
    let tcp =
        "[[listen]]\nname = \"tcp\"\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\n[[trunk]]";
    Host::with(name, pbx, gw, |text| {
        let text = text.replacen("[[trunk]]", tcp, 1).replace(&peer, &asked);
        text.replace("kind = \"pstn\"\n", &format!("kind = \"pstn\"\n{trunk}"))
    })
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// A body that no datagram should carry.
fn large(bytes: usize) -> String {
    let line = format!("a=x:{}\r\n", "y".repeat(72));
    format!("v=0\r\n{}", line.repeat(bytes / line.len()))
}

#[test]
fn a_call_over_tcp_needs_one_connection_for_each_side() {
    let host = host("tcp-call", 1, "");
    let (mut caller, _, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);
    assert!(
        invite.header("Via").starts_with("SIP/2.0/TCP 127.0.0.1:"),
        "{}",
        invite.0
    );
    let contact = format!("<sip:{};transport=tcp>", host.sip);
    assert_eq!(invite.header("Contact"), contact);
    assert!(
        invite.start().contains(";transport=tcp"),
        "{}",
        invite.start()
    );
    host.pbx.hang_up(&mut caller, &host.gw);

    let (_, mut callee, _) = host.pbx.call(host.sip, "92065551235", &host.gw);
    host.gw.hang_up(&mut callee, &host.pbx);
    assert_eq!((host.pbx.line.open(), host.gw.line.open()), (1, 1));
    let codes: Vec<_> = host
        .records(2)
        .iter()
        .map(|r| r["final_code"].clone())
        .collect();
    assert_eq!(codes, [200, 200]);
}

/// T5: each side has the transport that it is configured with.
#[test]
fn a_call_goes_from_tcp_to_udp_and_back() {
    let host = both("tcp-udp", tcp(PBX), Phone::on(Line::udp(GW)), "");
    let tcp = host.listeners[1];
    let (mut caller, _, invite) = host.pbx.call(tcp, "92065551234", &host.gw);
    assert!(
        invite.header("Via").starts_with("SIP/2.0/UDP "),
        "{}",
        invite.0
    );
    host.pbx.hang_up(&mut caller, &host.gw);
    let (_, mut callee, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    assert!(
        invite.header("Via").starts_with("SIP/2.0/TCP "),
        "{}",
        invite.0
    );
    host.pbx.hang_up(&mut callee, &host.gw);
}

#[test]
fn messages_may_come_in_pieces_and_together() {
    let host = host("tcp-pieces", 1, "");
    let me = host.pbx.address();
    let options = |n: u8| {
        format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/TCP {me};branch=z9hG4bK-o{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:pbx@{me}>;tag=o\r\nTo: <sip:{to}>\r\n\
             Call-ID: options-{n}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            to = host.sip
        )
    };
    let answered = |n: u8| {
        host.pbx.wait("200 to OPTIONS", |m: &Message| {
            m.start() == "SIP/2.0 200 OK" && m.header("Call-ID") == format!("options-{n}")
        });
    };
    let two = options(1) + &options(2);
    let cuts = [1, 20, 45, options(1).len() - 66 - 3, 3 + 10];
    host.pbx.line.write_raw(host.sip, two.as_bytes(), &cuts);
    answered(1);
    answered(2);
    host.pbx
        .line
        .write_raw(host.sip, (options(3) + &options(4)).as_bytes(), &[]);
    answered(3);
    answered(4);
    assert_eq!(host.pbx.line.open(), 1);
}

/// RFC 5626 §4.4.1
#[test]
fn a_ping_is_answered_on_its_connection() {
    let host = host("tcp-ping", 1, "");
    host.pbx.line.write_raw(host.sip, b"\r\n\r\n", &[1, 1]);
    assert!(host.pbx.line.hears_raw(b"\r\n", soon()));
}

#[test]
fn a_stream_that_is_no_sip_is_closed() {
    let host = host("tcp-garbage", 1, "");
    let smuggled = b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n";
    host.pbx.line.write_raw(host.sip, smuggled, &[]);
    host.until("closed", |host| (host.pbx.line.open() == 0).then_some(()));
    assert_eq!(host.counter("intertrunk_connections_unframed_total"), 1);
}

#[test]
fn an_idle_connection_is_closed_and_made_again() {
    let host = host("tcp-idle", 1, "idle = \"1s\"\n");
    let (mut caller, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    let quiet = |host: &Host| (host.pbx.line.open() + host.gw.line.open() == 0).then_some(());
    host.until("both are closed", quiet);
    // The caller's BYE makes one, and so does ours to the gateway.
    host.pbx.hang_up(&mut caller, &host.gw);
    assert_eq!((host.pbx.line.open(), host.gw.line.open()), (1, 1));
}

/// RFC 3261 §18.2.2
#[test]
fn an_answer_finds_its_way_when_the_connection_is_gone() {
    let host = host("tcp-gone", 1, "");
    let mut caller = host.pbx.invite(host.sip, "0100", "92065551234");
    let invite = host.gw.request("INVITE");
    host.pbx.response(&caller, 100, "INVITE");
    host.pbx.line.hang_up_all();
    host.gw.answer(&invite, 200, "OK");
    let ok = host.pbx.response(&caller, 200, "INVITE");
    host.pbx.acknowledge(&mut caller, &ok);
    host.gw.request("ACK");
    host.pbx.hang_up(&mut caller, &host.gw);
}

/// K6: nobody there is known at once, not after a timer.
#[test]
fn a_refused_connection_fails_the_attempt_at_once() {
    let mut host = host("tcp-refused", 1, "");
    let nobody = host.gw.address();
    host.gw.line = Line::udp(GW);
    let begun = Instant::now();
    let caller = host.pbx.invite(host.sip, "0100", "92065551234");
    host.pbx.response(&caller, 503, "INVITE");
    assert!(begun.elapsed() < Duration::from_secs(2));
    let attempt = host.records(1)[0]["attempts"][0].clone();
    assert_eq!(
        (&attempt["peer"], &attempt["code"]),
        (&nobody.to_string().into(), &503.into())
    );
    assert_eq!(host.counter("intertrunk_connections_failed_total"), 1);
}

/// K17: a peer that does not read harms its own calls only.
#[test]
fn a_peer_that_does_not_read_blocks_nobody() {
    let host = host("tcp-deaf", 1, "");
    let (mut caller, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut caller, &host.gw);
    host.gw.line.go_deaf();
    let body = large(60_000);
    let unheard = |n: u32| {
        let number = format!("920655520{n:02}");
        host.pbx.invite_with(host.sip, "0100", &number, &body)
    };
    let first: Vec<_> = (0..12).map(unheard).collect();
    host.pbx.response(&first[11], 100, "INVITE");
    // By now the connection is stuck. Calls of others go on, even of the same gateway by another.
    let (mut other, _, _) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    host.gw.hang_up(&mut other, &host.pbx);
    assert_eq!(host.counter("intertrunk_connections_slow_total"), 0);
    // What waits for it has a bound; then it is given up, with all that waits.
    let more: Vec<_> = (12..40).map(unheard).collect();
    host.pbx.response(&first[11], 503, "INVITE");
    assert_eq!(host.counter("intertrunk_connections_slow_total"), 1);
    drop(more);
}

/// K17: calls of one connection belong to all shards, and their answers come back on it.
#[test]
fn calls_of_one_connection_are_spread_over_all_shards() {
    let host = host("tcp-shards", 3, "");
    let mut calls: Vec<_> = (0..24)
        .map(|n| {
            host.pbx
                .call(host.sip, &format!("920655512{n:02}"), &host.gw)
        })
        .collect();
    assert_eq!(host.pbx.line.open(), 1);
    assert!((2..=3).contains(&host.gw.line.open()), "one of each shard");
    assert!(host.counter("intertrunk_datagrams_forwarded_total") > 0);
    for (n, (caller, callee, _)) in calls.iter_mut().enumerate() {
        match n % 2 {
            0 => host.pbx.hang_up(caller, &host.gw),
            _ => host.gw.hang_up(callee, &host.pbx),
        }
    }
    assert!(
        host.records(24)
            .iter()
            .all(|record| record["final_code"] == 200)
    );
    assert_eq!(host.pbx.line.open(), 1);
}

/// K15: a large INVITE goes over TCP, and what follows in its dialog over UDP.
#[test]
fn a_large_request_goes_over_tcp_where_the_peer_takes_it() {
    let pbx = Phone::on(Line::udp(PBX));
    let gw = Phone::on(Line::udp(GW));
    let large_gw = tcp(&gw.address().to_string());
    let host = both("oversize", pbx, gw, "");
    let mut caller = host
        .pbx
        .invite_with(host.sip, "0100", "92065551234", &large(2_000));
    let invite = large_gw.request("INVITE");
    assert!(
        invite.header("Via").starts_with("SIP/2.0/TCP "),
        "{}",
        invite.0
    );
    assert_eq!(
        invite.header("Contact"),
        format!("<sip:{}>", host.sip),
        "the dialog stays"
    );
    large_gw.answer(&invite, 486, "Busy Here");
    host.pbx.response(&caller, 486, "INVITE");
    let ack = large_gw.request("ACK");
    assert_eq!(ack.header("Via"), invite.header("Via"));

    // Without anybody there it is sent in fragments after all, and no one waits for a timer.
    drop(large_gw);
    caller = host
        .pbx
        .invite_with(host.sip, "0100", "92065551234", &large(2_000));
    let invite = host.gw.request("INVITE");
    assert!(
        invite.header("Via").starts_with("SIP/2.0/UDP "),
        "{}",
        invite.0
    );
    host.gw.answer(&invite, 486, "Busy Here");
    host.pbx.response(&caller, 486, "INVITE");
}

#[test]
fn connections_of_one_peer_are_counted() {
    let host = host("tcp-many", 2, "max_connections_per_peer = 3\n");
    let more: Vec<_> = (0..4).map(|_| tcp(PBX)).collect();
    for phone in &more {
        phone.line.write_raw(host.sip, b"\r\n\r\n", &[]);
    }
    let refused = |host: &Host| {
        let refused = host.counter("intertrunk_connections_refused_total");
        (refused == 1).then_some(())
    };
    host.until("one is refused", refused);
    let open = || more.iter().map(|phone| phone.line.open()).sum::<usize>();
    host.until("three are left", |_| (open() == 3).then_some(()));
}

/// T14: ipv6 peers call ipv4 ones.
#[test]
fn ipv6_peers_call_ipv4_ones() {
    for transport in ["tcp", "udp"] {
        let pbx = match transport {
            "tcp" => tcp("[::1]:0"),
            _ => Phone::on(Line::udp("[::1]:0")),
        };
        let v6 = format!(
            "[[listen]]\nname = \"v6\"\naddress = \"[::1]:0\"\ntransport = \"{transport}\"\n\n[[trunk]]"
        );
        let host = Host::with(&format!("ipv6-{transport}"), pbx, Phone::new(), |text| {
            let text = text.replacen("[[trunk]]", &v6, 1);
            text.replacen("listen = \"lan\"", "listen = \"v6\"", 1)
        });
        let v6 = host.listeners[1];
        let (mut caller, _, _) = host.pbx.call(v6, "92065551234", &host.gw);
        host.pbx.hang_up(&mut caller, &host.gw);
        let (mut caller, _, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
        assert!(invite.header("Via").contains(" [::1]:"), "{}", invite.0);
        host.gw.hang_up(&mut caller, &host.pbx);
    }
}

/// A listener on which nothing happens says nothing of how busy the host is.
#[test]
fn a_quiet_udp_listener_sheds_no_call_of_another() {
    let host = both("tcp-lag", tcp(PBX), Phone::on(Line::udp(GW)), "");
    std::fs::write(host.folder.join("intertrunk.toml"), {
        let text = std::fs::read_to_string(host.folder.join("intertrunk.toml")).unwrap();
        text.replace("lag = \"1m\"", "lag = \"100ms\"")
    })
    .unwrap();
    host.post("/v1/reload", b"").is(200);
    let tcp = host.listeners[1];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        let caller = host.pbx.invite(tcp, "0100", "+19005551234");
        host.pbx.response(&caller, 403, "INVITE");
    }
}

/// RFC 3581 §4: answers go to the source's port, whatever the Via says.
#[test]
fn rport_brings_answers_through_a_nat() {
    let host = Host::start("rport", 1, "");
    let me = host.pbx.address();
    let options = format!(
        "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.99:9;rport;branch=z9hG4bK-r\r\n\
         Max-Forwards: 70\r\nFrom: <sip:pbx@{me}>;tag=o\r\nTo: <sip:{to}>\r\n\
         Call-ID: rport\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        to = host.sip
    );
    host.pbx.send(host.sip, options);
    let ok = host.pbx.wait("200", |m| m.start() == "SIP/2.0 200 OK");
    let via = ok.header("Via");
    assert!(via.contains(&format!("rport={}", me.port())), "{via}");
    assert!(via.contains("received=127.0.0.1"), "{via}");
}

/// Whether the host closes a connection on which it has nothing to say.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match stream.read(&mut [0; 1]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// S3: who is blocked has no connection: the one that it had is closed when it says something, new ones
/// when they are made. Everybody else's go on.
#[test]
fn a_blocked_source_gets_no_connection() {
    let rules = "\n[security]\nunknown = \"403\"\nblock = { threshold = 10, time = \"1h\" }\n";
    let host = Host::with("tcp-blocked", tcp(PBX), tcp(GW), |text| {
        over_tcp(&text) + rules
    });
    let connect = || TcpStream::connect(host.sip).unwrap();
    let say = |mut stream: &TcpStream, n: u32, agent: &str| {
        let options = format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK-b{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=o\r\nTo: <sip:{to}>\r\nCall-ID: blocked-{n}\r\n\
             CSeq: 1 OPTIONS\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n",
            to = host.sip
        );
        stream.write_all(options.as_bytes()).unwrap();
    };
    // From 127.0.0.1, which is no trunk's.
    let scanner = connect();
    say(&scanner, 1, "friendly-scanner");
    assert_eq!(host.logs("source blocked")["source"], "127.0.0.1");
    say(&scanner, 2, "harmless");
    assert!(is_closed(&scanner), "the one that it had");
    assert!(is_closed(&connect()), "a new one");
    host.until("it is counted", |host| {
        (host.counter("intertrunk_connections_refused_total") == 1).then_some(())
    });
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);
    host.delete("/v1/blocked/127.0.0.1").is(200);
    let mut pardoned = connect();
    say(&pardoned, 3, "harmless");
    let mut answer = [0; 11];
    pardoned.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"SIP/2.0 403");
}
