//! Requests that look right and are not: from elsewhere, twice, or for a promise we cannot keep.

use intertrunk_proto::trunk::{Redirects, Trunk};
use intertrunk_proto::{DropCause, Event, Listener, Transport};
use intertrunk_sip::{Method, Name};
use sim::streams::TCP;
use sim::{Errand, Manner, Mood, Weather, ms};

use super::{World, call, check, gw_a, world};

fn invite(call_id: &str, branch: &str, uri: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.11:5070;rport;branch={branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.11:5070>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Answers that the host sent, without the 100s.
fn answers(w: &World) -> Vec<&str> {
    let sent = w
        .ladder
        .iter()
        .filter(|l| l.contains("<--") && !l.contains("100 Trying"));
    sent.filter_map(|l| l.split_once("<-- ").map(|(_, line)| line))
        .collect()
}

/// The BYE that gw-a could send, from whoever knows its Call-ID and tags.
#[test]
fn a_bye_from_elsewhere_ends_nothing() {
    let mut w = world();
    let now = w.now;
    w.ua("pbx-a").place(
        &Errand {
            hang_up: None,
            ..Errand::to("1")
        },
        now,
    );
    w.run(ms(1_000));
    let side = w.ua("gw-a").sides.values().next().unwrap().clone();
    let theirs = side.invite().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let bye = format!(
        "BYE sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.21:5080;branch=z9hG4bKx\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1@x>;tag={}\r\nTo: <sip:2@y>;tag={}\r\nCall-ID: {}\r\n\
         CSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n",
        side.dialogs[0].tag,
        text(theirs.from_tag().unwrap()),
        text(theirs.call_id()),
    );
    let before = w.ladder.len();
    for stranger in ["127.0.0.77:5080", "127.0.0.12:5070"] {
        w.inject(stranger, bye.clone());
        w.run(ms(10));
    }
    assert_eq!(
        (w.calls().len(), w.ladder.len()),
        (1, before),
        "nobody heard anything"
    );
    let stranger = |e: &Event| {
        matches!(
            e,
            Event::Dropped {
                cause: DropCause::UnknownSource,
                ..
            }
        )
    };
    assert_eq!(w.events.iter().filter(|(_, e)| stranger(e)).count(), 2);
    w.inject("127.0.0.21:5080", bye);
    w.run(ms(10));
    assert_eq!(w.calls().len(), 0, "the same words from gw-a itself");
}

/// RFC 3261 §8.2.2.2: one request by two ways is one call.
#[test]
fn merged_requests() {
    let mut w = world();
    w.inject("127.0.0.11:5070", invite("one", "z9hG4bK1", "sip:1@x"));
    w.run(ms(5));
    w.inject("127.0.0.11:5070", invite("one", "z9hG4bK2", "sip:1@x"));
    w.run(ms(5));
    assert_eq!(w.calls().len(), 1);
    assert!(
        answers(&w).contains(&"482 Loop Detected (INVITE)"),
        "{:?}",
        w.ladder
    );
}

/// A datagram cannot promise security all the way.
#[test]
fn sips_is_refused() {
    let mut w = world();
    w.inject("127.0.0.11:5070", invite("one", "z9hG4bK1", "sips:1@x"));
    w.run(ms(5));
    assert_eq!(answers(&w), ["416 Unsupported URI Scheme (INVITE)"]);
}

/// Codes whose headers stay behind become codes that the caller can understand.
#[test]
fn challenges_do_not_cross() {
    for (theirs, ours) in [(407, "403 Forbidden"), (302, "480 "), (420, "500 ")] {
        let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), |t| {
            t.redirects = Redirects::Refuse;
        });
        let last = sim::Final::Refuse(ms(10), theirs);
        gw_a(
            &mut w,
            Manner {
                ring: None,
                last,
                ..Manner::default()
            },
        );
        call(&mut w, &Errand::to("1"));
        assert!(
            answers(&w).iter().any(|a| a.starts_with(ours)),
            "{theirs}: {:?}",
            w.ladder
        );
    }
}

/// K19: an unknown method gets 405 with Allow, outside of calls and within, and the call goes on.
#[test]
fn unknown_methods_are_refused_with_allow() {
    let mut w = world();
    let now = w.now;
    let stay = Errand {
        hang_up: None,
        ..Errand::to("1")
    };
    w.ua("pbx-a").place(&stay, now);
    w.run(ms(1_000));
    let side = w.ua("gw-a").sides.values().next().unwrap().clone();
    let theirs = side.invite().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let tags = [";tag=1".to_owned(), String::new(), "alone".to_owned()];
    let dialog = [
        format!(";tag={}", side.dialogs[0].tag),
        format!(";tag={}", text(theirs.from_tag().unwrap())),
        text(theirs.call_id()),
    ];
    for [from, to, call_id] in [tags, dialog] {
        let before = w.sent.len();
        w.inject(
            "127.0.0.21:5080",
            format!(
                "JUMP sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.21:5080;branch=z9hG4bK{}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:1@x>{from}\r\nTo: <sip:2@y>{to}\r\nCall-ID: {call_id}\r\n\
                 CSeq: 7 JUMP\r\nContent-Length: 0\r\n\r\n",
                to.len()
            ),
        );
        w.run(ms(10));
        let answer = String::from_utf8_lossy(&w.sent[before].1).into_owned();
        assert!(answer.starts_with("SIP/2.0 405 "), "{answer}");
        assert!(answer.contains("\r\nAllow: INVITE, ACK, "), "{answer}");
    }
    assert_eq!(w.calls().len(), 1);
}

/// RFC 3261 §26.2.2: a sips call that came in by TLS does not leave by anything else.
#[test]
fn a_sips_call_leaves_by_tls_or_not_at_all() {
    let mood = Mood::connect(&["gw-a", "gw-b"]);
    let mut w = World::with_trunks(1, Weather::default(), mood, |t| t.also_listen.push(TCP));
    w.restrain(|snapshot| {
        let mut listeners = snapshot.listeners.to_vec();
        let mut secure = Listener::clone(&listeners[usize::from(TCP.0)]);
        secure.transport = Transport::Tls;
        listeners[usize::from(TCP.0)] = secure.into();
        snapshot.listeners = listeners.into_iter().collect();
    });
    w.streams.carry("secret", 1);
    w.inject("127.0.0.11:5070", invite("secret", "z9hG4bKs", "sips:1@x"));
    w.run(ms(1_000));
    assert_eq!(
        answers(&w),
        ["480 Temporarily Unavailable (INVITE) (TCP 1)"]
    );
    let [record] = w.records()[..] else {
        panic!("one call")
    };
    let tried: Vec<_> = record.attempts.iter().map(|a| (a.code, a.peer)).collect();
    assert_eq!(tried, [(480, None); 2]);
}

/// pbx-a may call and nothing else; the gateways are only called, and asked how they are.
fn listed(trunk: &mut Trunk) {
    let methods = match trunk.name.starts_with("pbx") {
        true => Method::Invite,
        false => Method::Options,
    };
    trunk.methods = Some([methods].into());
}

/// S5: what a trunk's list of methods is without is refused, within a call, too, and named by Allow; but
/// a call can always be acknowledged, renegotiated and ended.
#[test]
fn methods_that_a_trunk_may_not_send() {
    let mood = Mood::connect(&["gw-a"]);
    let mut w = World::with_trunks(1, Weather::default(), mood, listed);
    let errand = Errand {
        info: Some(ms(200)),
        update: Some(ms(400)),
        reinvite: Some(ms(600)),
        ..Errand::to("1")
    };
    let manner = Manner {
        reinvite: Some(ms(800)),
        reliable: true,
        ..Manner::default()
    };
    gw_a(&mut w, manner);
    call(&mut w, &errand);
    let refused = |w: &World, what| {
        w.sent_to("pbx-a", "SIP/2.0 405")
            .iter()
            .filter(|m| m.method() == what)
            .count()
    };
    assert_eq!(refused(&w, &Method::Info), 1, "{:#?}", w.ladder);
    assert_eq!(refused(&w, &Method::Update), 1, "{:#?}", w.ladder);
    let now = w.now;
    w.ua("gw-a").place(&Errand::to("2"), now);
    w.run(ms(5_000));
    let answer = w.sent_to("gw-a", "SIP/2.0 405").remove(0);
    let allow = answer.header(Name::Allow).unwrap();
    assert_eq!(allow, b"ACK, CANCEL, BYE, OPTIONS, PRACK");
    check("methods_that_a_trunk_may_not_send", &mut w);
    let codes: Vec<u16> = w.records().iter().map(|r| r.final_code).collect();
    assert_eq!(codes, [200], "the gateway's own call is none");
}
