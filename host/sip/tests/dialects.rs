//! Lawful messages in other people's handwriting: IPv6 in every place (the matters of RFC 5118),
//! compact and folded headers; and ordinary messages on which the rsip crate must read the same.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use intertrunk_sip::rsip::{disagreement, from_rsip, to_rsip};
use intertrunk_sip::{Fault, Message, Name, Via};

fn message(text: impl Into<String>) -> Message {
    Message::parse(Bytes::from(text.into())).unwrap()
}

fn register(uri: &str, via: &str, contact: &str) -> String {
    format!(
        "REGISTER {uri} SIP/2.0\r\nTo: <sip:user@example.com>\r\n\
         From: <sip:user@example.com>;tag=81x2\r\nVia: {via}\r\nCall-ID: 98asd\r\n\
         Max-Forwards: 70\r\nContact: {contact}\r\nCSeq: 98176 REGISTER\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn ipv6_references_are_hosts() {
    let m = message(register(
        "sip:[2001:db8::10]:5070",
        "SIP/2.0/UDP [2001:db8::9:1]:5080;branch=z9hG4bKas3-111;rport",
        "\"Caller\" <sip:caller@[2001:db8::1]>",
    ));
    let uri = m.uri().unwrap();
    assert_eq!((uri.host, uri.port), ("[2001:db8::10]", Some(5070)));
    assert_eq!(
        uri.socket_addr().unwrap(),
        "[2001:db8::10]:5070".parse().unwrap()
    );
    let via = m.via().unwrap();
    assert_eq!((via.host, via.port), ("[2001:db8::9:1]", Some(5080)));
    let contact = m.contact().unwrap().unwrap().uri().unwrap();
    assert_eq!((contact.host, contact.port), ("[2001:db8::1]", None));
}

#[test]
fn the_last_digits_belong_to_the_address() {
    let m = message(register(
        "sip:[2001:db8::10:5070]",
        "SIP/2.0/UDP h",
        "<sip:a@h>",
    ));
    let uri = m.uri().unwrap();
    assert_eq!((uri.host, uri.port), ("[2001:db8::10:5070]", None));
}

#[test]
fn without_brackets_an_ipv6_address_is_no_host() {
    let text = register(
        "sip:2001:db8::10",
        "SIP/2.0/UDP [2001:db8::9:1]",
        "<sip:a@h>",
    );
    assert!(matches!(
        Message::parse(Bytes::from(text)),
        Err(Fault::StartLine(_))
    ));
    let text = register(
        "sip:h",
        "SIP/2.0/UDP 2001:db8::9:1;branch=z9hG4bK1",
        "<sip:a@h>",
    );
    assert!(matches!(
        Message::parse(Bytes::from(text)),
        Err(Fault::Header(Name::Via, _))
    ));
}

#[test]
fn ipv4_mapped_and_ill_made_addresses_parse() {
    let m = message(register(
        "sip:user@[::ffff:192.0.2.10]",
        "SIP/2.0/UDP [2001:db8:::192.0.2.1];received=[2001:db8::9:255];branch=z9hG4bK1",
        "<sip:a@[2001:db8:::192.0.2.1]>",
    ));
    assert_eq!(
        m.uri().unwrap().socket_addr().unwrap().to_string(),
        "[::ffff:192.0.2.10]:5060"
    );
    assert_eq!(m.via().unwrap().received, Some("[2001:db8::9:255]"));
    let contact = m.contact().unwrap().unwrap().uri().unwrap();
    assert_eq!(
        contact.socket_addr(),
        None,
        "the grammar allows it, the address does not exist"
    );
}

#[test]
fn long_compact_and_folded_say_the_same() {
    let long = message(
        "INVITE tel:+15551234;phone-context=x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
         Via: SIP/2.0/TCP b\r\nFrom: \"A, B\" <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: c\r\n\
         CSeq: 7 INVITE\r\nContact: <sip:a@a>\r\nSupported: timer, 100rel\r\nSession-Expires: 1800\r\n\
         Content-Length: 2\r\n\r\nhi",
    );
    let compact = message(
        "INVITE tel:+15551234;phone-context=x SIP/2.0\r\nv:SIP/2.0/UDP a\r\n ;branch=z9hG4bK1 ,\r\n\
         \tSIP/2.0/TCP b\r\nF : \"A, B\"\r\n  <sip:a@a>\r\n ; tag\r\n =\r\n 1\r\nt:\r\n <sip:b@b>\r\n\
         I:c\r\ncSEQ:\t7\r\n INVITE\r\nm:<sip:a@a>\r\nk:timer\r\nK: 100rel\r\nx:1800;refresher=uac\r\n\
         l:2\r\n\r\nhi",
    );
    for m in [&long, &compact] {
        assert_eq!((m.call_id(), m.cseq()), (&b"c"[..], 7));
        assert_eq!(m.from_tag(), Some(&b"1"[..]));
        assert_eq!(m.from().unwrap().display.as_deref(), Some("A, B"));
        assert_eq!(m.contact().unwrap().unwrap().uri, "sip:a@a");
        assert_eq!(m.u32_header(Name::SessionExpires), Some(1800));
        assert_eq!(
            m.values(Name::Supported).collect::<Vec<_>>(),
            [&b"timer"[..], b"100rel"]
        );
        let vias: Vec<_> = m
            .values(Name::Via)
            .map(|v| Via::parse(v).unwrap().host)
            .collect();
        assert_eq!(vias, ["a", "b"]);
        assert_eq!(m.uri().unwrap().user, Some("+15551234"));
        assert_eq!(m.body(), &b"hi"[..]);
    }
}

/// What a PBX and a gateway say to each other in one call.
const ORDINARY: &[&str] = &[
    "INVITE sip:+15551234@gw.example.com:5060 SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds\r\n\
     Max-Forwards: 70\r\n\
     From: \"Alice\" <sip:1001@pbx.example.com>;tag=1928301774\r\n\
     To: <sip:+15551234@gw.example.com>\r\n\
     Call-ID: a84b4c76e66710@pbx.example.com\r\n\
     CSeq: 314159 INVITE\r\n\
     Contact: <sip:1001@192.0.2.10:5060>\r\n\
     Allow: INVITE, ACK, CANCEL, BYE\r\n\
     User-Agent: PBX/1.0\r\n\
     X-Trunk: north\r\n\
     Content-Type: application/sdp\r\n\
     Content-Length: 5\r\n\r\nv=0\r\n",
    "SIP/2.0 180 Ringing\r\n\
     Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds;received=192.0.2.10\r\n\
     From: \"Alice\" <sip:1001@pbx.example.com>;tag=1928301774\r\n\
     To: <sip:+15551234@gw.example.com>;tag=a6c85cf\r\n\
     Call-ID: a84b4c76e66710@pbx.example.com\r\n\
     CSeq: 314159 INVITE\r\n\
     Record-Route: <sip:p1.example.com;lr>\r\n\
     Content-Length: 0\r\n\r\n",
    "BYE sip:1001@192.0.2.10 SIP/2.0\r\n\
     Via: SIP/2.0/TCP gw.example.com;branch=z9hG4bKnashds10\r\n\
     From: <sip:+15551234@gw.example.com>;tag=a6c85cf\r\n\
     To: <sip:1001@pbx.example.com>;tag=1928301774\r\n\
     Call-ID: a84b4c76e66710@pbx.example.com\r\n\
     CSeq: 231 BYE\r\n\
     Route: <sip:p1.example.com;lr>\r\n\
     Max-Forwards: 70\r\n\
     Content-Length: 0\r\n\r\n",
    "SIP/2.0 486 Busy Here\r\n\
     Via: SIP/2.0/UDP server10.biloxi.com;branch=z9hG4bK4b43c2ff8.1\r\n\
     To: Bob <sip:bob@biloxi.com>;tag=a6c85cf\r\n\
     From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n\
     Call-ID: a84b4c76e66710\r\n\
     CSeq: 314159 INVITE\r\n\
     Retry-After: 18\r\n\
     Content-Length: 0\r\n\r\n",
    "OPTIONS sip:gw.example.com SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKhjhs8ass877\r\n\
     Max-Forwards: 70\r\n\
     To: <sip:gw.example.com>\r\n\
     From: <sip:pbx.example.com>;tag=1\r\n\
     Call-ID: ping-1\r\n\
     CSeq: 63104 OPTIONS\r\n\
     Accept: application/sdp\r\n\
     Content-Length: 0\r\n\r\n",
];

#[test]
fn rsip_reads_ordinary_messages_the_same() {
    for text in ORDINARY {
        let ours = message(*text);
        let theirs = to_rsip(&ours).unwrap();
        assert_eq!(disagreement(&ours, &theirs), None);
        let back = from_rsip(&theirs).unwrap();
        assert_eq!(disagreement(&back, &theirs), None);
        assert!(!ours.is_request() || back.bytes() == ours.bytes());
    }
}

#[test]
fn the_oracle_sees_differences() {
    let theirs = to_rsip(&message(ORDINARY[0])).unwrap();
    for (from, to) in [
        (
            "+15551234@gw.example.com:5060 SIP",
            "+15551235@gw.example.com:5060 SIP",
        ),
        ("X-Trunk: north", "X-Trunk: south"),
        ("Max-Forwards: 70\r\n", ""),
        ("v=0", "v=1"),
    ] {
        let other = message(ORDINARY[0].replacen(from, to, 1));
        assert!(disagreement(&other, &theirs).is_some(), "{to}");
    }
}
