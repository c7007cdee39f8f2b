//! What a dialog prints, where it sends it, and what moves that.

use bytes::Bytes;
use intertrunk_sip::{Message, Method, Name, Token};

use super::{Dialog, RequestLine, ack_of_failure, cancel_of};
use crate::io::{Connection, Flow, ListenerId, TrunkId};
use crate::listener::tests::listeners;
use crate::listener::{Listeners, Transport};

const OURS: Token = Token(1);

fn flow() -> Flow {
    Flow::to(ListenerId(0), "192.0.2.7:5070".parse().expect("a literal"))
}

/// UDP, TCP and TLS on one address, and TCP on another; in Via and Contact `sbc0` to `sbc3`.
fn ours() -> Listeners {
    listeners(&[
        (Transport::Udp, "192.0.2.1:5060"),
        (Transport::Tcp, "192.0.2.1:5060"),
        (Transport::Tls, "192.0.2.1:5061"),
        (Transport::Tcp, "192.0.2.2:5060"),
    ])
}

fn message(start: &str, to: &str, more: &str) -> Message {
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: \"A\" <sip:2@x>;tag=a\r\nTo: {to}\r\nCall-ID: c@x\r\nCSeq: 7 INVITE\r\n\
         {more}Content-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text)).expect("a legal message")
}

fn invite(more: &str) -> Message {
    message("INVITE sip:1@192.0.2.1 SIP/2.0", "<sip:1@y>", more)
}

/// The 200 to our INVITE, with these lines.
fn ok(more: &str) -> Message {
    message("SIP/2.0 200 OK", "<sip:1@y>;tag=b", more)
}

fn as_uas(more: &str) -> Dialog {
    Dialog::of_invite(&invite(more), OURS, flow(), &ours())
}

fn as_uac() -> Dialog {
    let target = "sip:1@gw.example.com";
    Dialog::to_peer(
        "c@x",
        OURS,
        "\"A\" <sip:2@x>",
        "<sip:1@y>",
        target,
        flow(),
        &ours(),
    )
}

fn bye(dialog: &mut Dialog) -> Message {
    let line = RequestLine {
        method: &Method::Bye,
        branch: Token(9),
        max_forwards: 69,
    };
    let bytes = dialog.request(&line).finish(None);
    Message::parse(bytes).expect("a legal BYE")
}

fn text(message: &Message, name: Name) -> String {
    let lines: Vec<_> = message.headers(name).map(String::from_utf8_lossy).collect();
    lines.join(" | ")
}

/// Request-URI, Route lines and destination of the next request.
fn way(dialog: &mut Dialog) -> (String, String, String) {
    let bye = bye(dialog);
    let to = dialog.flow().remote.to_string();
    (bye.request_uri().to_owned(), text(&bye, Name::Route), to)
}

fn ways(uri: &str, routes: &str, to: &str) -> (String, String, String) {
    (uri.to_owned(), routes.to_owned(), to.to_owned())
}

/// RFC 3261 §12.1.1
#[test]
fn an_invite_makes_a_dialog_with_the_roles_turned() {
    let mut dialog = as_uas("Contact: <sip:2@192.0.2.8:5080>\r\n");
    assert!(dialog.is_with(b"c@x", Some(b"a")));
    assert!(!dialog.is_with(b"c@x", Some(b"b")) && !dialog.is_with(b"c@x", None));
    assert!(!dialog.is_with(b"C@x", Some(b"a")), "Call-IDs have case");
    let bye = bye(&mut dialog);
    let names = [Name::From, Name::To, Name::CallId, Name::CSeq, Name::Via];
    assert_eq!(
        names.map(|name| text(&bye, name)),
        [
            format!("<sip:1@y>;tag={OURS}"),
            "\"A\" <sip:2@x>;tag=a".to_owned(),
            "c@x".to_owned(),
            "1 BYE".to_owned(),
            format!(
                "SIP/2.0/UDP sbc0.example.com:5060;rport;branch=z9hG4bK{}",
                Token(9)
            ),
        ]
    );
    assert_eq!(bye.request_uri(), "sip:2@192.0.2.8:5080");
    assert_eq!(bye.max_forwards(), Some(69));
    assert_eq!(dialog.flow().remote.to_string(), "192.0.2.8:5080");
}

/// K3: RFC 3261 §12.1.2
#[test]
fn each_answer_to_our_invite_is_a_dialog_of_its_own() {
    let mut early = as_uac();
    let line = RequestLine {
        method: &Method::Invite,
        branch: Token(2),
        max_forwards: 70,
    };
    let bytes = early.request(&line).finish(None);
    let sent = Message::parse(bytes).expect("a legal INVITE");
    assert_eq!(sent.request_uri(), "sip:1@gw.example.com");
    assert_eq!((sent.to_tag(), sent.cseq()), (None, 1));
    assert!(early.is_with(b"c@x", None));
    let mut b = early.answered(&ok("Contact: <sip:1@192.0.2.9>\r\n"));
    let other = message("SIP/2.0 180 Ringing", "<sip:1@y>;tag=z", "");
    let z = early.answered(&other);
    assert!(b.is_with(b"c@x", Some(b"b")) && z.is_with(b"c@x", Some(b"z")));
    let to = z.flow().remote;
    assert_eq!(to, flow().remote, "no Contact: where the INVITE went");
    let bye = bye(&mut b);
    assert_eq!(
        text(&bye, Name::From),
        format!("\"A\" <sip:2@x>;tag={OURS}")
    );
    assert_eq!(text(&bye, Name::To), "<sip:1@y>;tag=b");
    assert_eq!(bye.request_uri(), "sip:1@192.0.2.9");
    assert_eq!((bye.cseq(), b.last_cseq(), early.last_cseq()), (2, 2, 1));
}

#[test]
fn a_called_side_takes_the_route_set_in_order_and_a_calling_side_in_reverse() {
    let routes = "Record-Route: <sip:192.0.2.50;lr>, <sip:p2.example.com;lr>\r\n\
                  Record-Route: <sip:192.0.2.52:5080;lr;x=1>\r\n\
                  Contact: <sip:9@192.0.2.8>\r\n";
    let uri = "sip:9@192.0.2.8";
    let set = "<sip:192.0.2.50;lr> | <sip:p2.example.com;lr> | <sip:192.0.2.52:5080;lr;x=1>";
    let expected = ways(uri, set, "192.0.2.50:5060");
    assert_eq!(way(&mut as_uas(routes)), expected);
    let set = "<sip:192.0.2.52:5080;lr;x=1> | <sip:p2.example.com;lr> | <sip:192.0.2.50;lr>";
    let expected = ways(uri, set, "192.0.2.52:5080");
    assert_eq!(way(&mut as_uac().answered(&ok(routes))), expected);
}

/// RFC 3261 §12.2.1.1
#[test]
fn a_strict_router_takes_the_place_of_the_request_uri() {
    let routes = "Record-Route: <sip:192.0.2.50>, <sip:p2.example.com;lr>\r\n\
                  Contact: <sip:9@192.0.2.8;x=1>\r\n";
    let set = "<sip:p2.example.com;lr> | <sip:9@192.0.2.8;x=1>";
    let expected = ways("sip:192.0.2.50", set, "192.0.2.50:5060");
    assert_eq!(way(&mut as_uas(routes)), expected);
    let later = "Record-Route: <sip:192.0.2.51;lr>, <sip:192.0.2.50>\r\n\
                 Contact: <sip:9@192.0.2.8>\r\n";
    let set = "<sip:192.0.2.51;lr> | <sip:192.0.2.50>";
    let expected = ways("sip:9@192.0.2.8", set, "192.0.2.51:5060");
    assert_eq!(
        way(&mut as_uas(later)),
        expected,
        "only the first one counts"
    );
}

/// RFC 3261 §12.2: the target moves, the route set stays.
#[test]
fn a_contact_moves_the_target_and_nothing_else() {
    let mut dialog = as_uas("Contact: <sip:2@192.0.2.8>\r\n");
    let move_to = |dialog: &mut Dialog, more: &str| {
        dialog.refresh_target(&invite(more));
        way(dialog)
    };
    let moved = ways("sip:2@192.0.2.9:5090", "", "192.0.2.9:5090");
    let more = "Record-Route: <sip:192.0.2.50;lr>\r\nContact: <sip:2@192.0.2.9:5090>\r\n";
    assert_eq!(move_to(&mut dialog, more), moved);
    assert_eq!(move_to(&mut dialog, ""), moved, "no Contact");
    let named = ways("sip:2@pbx.example.com", "", "192.0.2.9:5090");
    let more = "Contact: <sip:2@pbx.example.com>\r\n";
    assert_eq!(
        move_to(&mut dialog, more),
        named,
        "a name keeps the flow that there is"
    );
    let more = "Record-Route: <sip:192.0.2.50;lr>\r\nContact: <sip:2@192.0.2.8>\r\n";
    let mut routed = as_uas(more);
    let expected = ways("sip:2@192.0.2.9", "<sip:192.0.2.50;lr>", "192.0.2.50:5060");
    let more = "Contact: <sip:2@192.0.2.9>\r\n";
    assert_eq!(move_to(&mut routed, more), expected);
}

#[test]
fn a_target_has_no_headers() {
    let more = "Contact: <sip:2@192.0.2.8;x=1?Subject=a&Priority=b>\r\n";
    assert_eq!(bye(&mut as_uas(more)).request_uri(), "sip:2@192.0.2.8;x=1");
}

/// RFC 3261 §12.2.2
#[test]
fn a_peer_counts_upwards() {
    let mut dialog = as_uas("");
    assert!(!dialog.accept_cseq(6) && !dialog.accept_cseq(7));
    assert!(dialog.accept_cseq(9), "gaps are legal");
    assert!(!dialog.accept_cseq(8));
    let mut dialog = as_uac().answered(&ok(""));
    assert!(dialog.accept_cseq(1), "its first request starts the count");
    assert!(!dialog.accept_cseq(1));
}

/// K12: RFC 3261 §13.2.2.4
#[test]
fn the_ack_of_a_2xx_goes_the_dialogs_way() {
    let more = "Record-Route: <sip:192.0.2.50;lr>\r\nContact: <sip:1@192.0.2.9>\r\n";
    let dialog = as_uac().answered(&ok(more));
    let bytes = dialog.ack(7, Token(9)).finish(None);
    let ack = Message::parse(bytes).expect("a legal ACK");
    assert_eq!((ack.method(), ack.cseq()), (&Method::Ack, 7));
    assert_eq!(ack.request_uri(), "sip:1@192.0.2.9");
    assert_eq!(text(&ack, Name::Route), "<sip:192.0.2.50;lr>");
    assert_eq!(text(&ack, Name::To), "<sip:1@y>;tag=b");
    assert_eq!(dialog.last_cseq(), 0, "an ACK is not counted");
}

/// An INVITE that went through a proxy of ours, with all that its ACK and CANCEL copy.
fn routed_invite() -> Bytes {
    let more = "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK0\r\n\
                Route: <sip:192.0.2.50;lr>, <sip:p2.example.com;lr>\r\n\
                Contact: <sip:2@192.0.2.1>\r\nSubject: x\r\n";
    invite(more).bytes().clone()
}

fn assert_same_hop(message: &Message) {
    assert_eq!(message.request_uri(), "sip:1@192.0.2.1");
    assert_eq!(
        text(message, Name::Via),
        "SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1",
        "the top one alone"
    );
    let routes = "<sip:192.0.2.50;lr> | <sip:p2.example.com;lr>";
    assert_eq!(text(message, Name::Route), routes);
    assert_eq!(text(message, Name::From), "\"A\" <sip:2@x>;tag=a");
    assert_eq!((message.call_id(), message.cseq()), (&b"c@x"[..], 7));
    assert!(!message.has_body() && message.header(Name::Contact).is_none());
}

/// RFC 3261 §17.1.1.3
#[test]
fn the_ack_of_a_failure_goes_the_invites_way() {
    let failure = message("SIP/2.0 486 Busy", "<sip:1@elsewhere>;tag=b", "");
    let bytes = ack_of_failure(&routed_invite(), &failure).expect("an INVITE");
    let ack = Message::parse(bytes).expect("a legal ACK");
    assert_same_hop(&ack);
    assert_eq!(text(&ack, Name::CSeq), "7 ACK");
    assert_eq!(text(&ack, Name::To), "<sip:1@elsewhere>;tag=b");
}

/// RFC 3261 §9.1
#[test]
fn a_cancel_goes_the_invites_way() {
    let bytes = cancel_of(&routed_invite()).expect("an INVITE").finish(None);
    let cancel = Message::parse(bytes).expect("a legal CANCEL");
    assert_same_hop(&cancel);
    assert_eq!(text(&cancel, Name::CSeq), "7 CANCEL");
    assert_eq!(text(&cancel, Name::To), "<sip:1@y>", "as in the INVITE");
}

/// Listener and address of the next request, and whether it goes by the connection.
fn to(dialog: &Dialog) -> (u16, String, bool) {
    let flow = dialog.flow();
    let connected = flow.connection.is_some();
    (flow.listener.0, flow.remote.to_string(), connected)
}

fn by(listener: u16, remote: &str, connected: bool) -> (u16, String, bool) {
    (listener, remote.to_owned(), connected)
}

/// The flow of a connection that came in on this listener.
fn connected(listener: u16, number: u32) -> Flow {
    Flow {
        connection: Some(Connection {
            number: number.try_into().expect("not zero"),
            shard: 0,
            trunk: Some(TrunkId(0)),
        }),
        ..Flow::to(
            ListenerId(listener),
            "192.0.2.7:49152".parse().expect("a literal"),
        )
    }
}

fn over(listener: u16, more: &str) -> Dialog {
    Dialog::of_invite(&invite(more), OURS, connected(listener, 1), &ours())
}

/// RFC 3261 §18.1.1, RFC 5923: what came over a connection is answered with requests over it.
#[test]
fn requests_to_a_peer_that_connected_go_back_on_its_connection() {
    let dialog = over(1, "Contact: <sip:2@192.0.2.7:5070;transport=tcp>\r\n");
    assert_eq!(to(&dialog), by(1, "192.0.2.7:5070", true));
    let dialog = over(1, "Contact: <sip:2@192.0.2.7>\r\n");
    assert_eq!(
        to(&dialog),
        by(1, "192.0.2.7:5060", true),
        "it says nothing else"
    );
    let dialog = over(1, "Contact: <sip:2@192.0.2.8;transport=tcp>\r\n");
    assert_eq!(to(&dialog), by(1, "192.0.2.8:5060", false), "another host");
    let named = over(2, "Contact: <sip:2@pbx.example.com>\r\n");
    assert_eq!(to(&named), by(2, "192.0.2.7:49152", true));
}

#[test]
fn a_contact_may_ask_for_another_transport() {
    let mut dialog = as_uas("Contact: <sip:2@192.0.2.8;transport=tcp>\r\n");
    assert_eq!(to(&dialog), by(1, "192.0.2.8:5060", false));
    let via = text(&bye(&mut dialog), Name::Via);
    assert!(
        via.starts_with("SIP/2.0/TCP sbc1.example.com:5060;"),
        "{via}"
    );
    assert_eq!(
        dialog.contact(),
        "<sip:sbc1.example.com:5060;transport=tcp>"
    );
    let dialog = as_uas("Contact: <sips:2@192.0.2.8>\r\n");
    assert_eq!(to(&dialog), by(2, "192.0.2.8:5061", false));
    let dialog = over(1, "Contact: <sip:2@192.0.2.7;transport=udp>\r\n");
    assert_eq!(to(&dialog), by(0, "192.0.2.7:5060", false));
    let routed = "Record-Route: <sip:192.0.2.50;transport=tcp;lr>\r\nContact: <sip:9@h>\r\n";
    assert_eq!(to(&as_uas(routed)), by(1, "192.0.2.50:5060", false));
}

#[test]
fn a_transport_that_we_do_not_have_changes_nothing() {
    let udp_only = listeners(&[(Transport::Udp, "192.0.2.1:5060")]);
    let invite = invite("Contact: <sip:2@192.0.2.8:5090;transport=tcp>\r\n");
    let dialog = Dialog::of_invite(&invite, OURS, flow(), &udp_only);
    assert_eq!(to(&dialog), by(0, "192.0.2.7:5070", false));
}

/// A peer that we reached over a stream and whose Contact does not name it.
#[test]
fn a_peer_is_found_again_where_it_was_found() {
    let at = Flow {
        listener: ListenerId(2),
        ..flow()
    };
    let early = Dialog::to_peer(
        "c@x",
        OURS,
        "<sip:2@x>",
        "<sip:1@y>",
        "sip:1@gw",
        at,
        &ours(),
    );
    let same_host = early.answered(&ok("Contact: <sip:1@192.0.2.7:5060>\r\n"));
    assert_eq!(to(&same_host), by(2, "192.0.2.7:5070", false));
    let other_host = early.answered(&ok("Contact: <sip:1@192.0.2.8:5081>\r\n"));
    assert_eq!(to(&other_host), by(2, "192.0.2.8:5081", false));
}

#[test]
fn a_peer_that_connects_again_is_answered_there() {
    let mut dialog = over(1, "Contact: <sip:2@192.0.2.7;transport=tcp>\r\n");
    dialog.heard_on(connected(1, 9));
    let number = |d: &Dialog| d.flow().connection.map(|c| c.number.get());
    assert_eq!(number(&dialog), Some(9));
    let elsewhere = Flow {
        remote: "192.0.2.99:1".parse().expect("a literal"),
        ..connected(1, 10)
    };
    dialog.heard_on(elsewhere);
    dialog.heard_on(connected(2, 11));
    dialog.heard_on(flow());
    assert_eq!(number(&dialog), Some(9));
    let mut datagrams = as_uas("");
    datagrams.heard_on(connected(0, 9));
    assert_eq!(number(&datagrams), None);
}

/// RFC 3261 §8.1.1.8, §12.1.1: who was asked for by `sips` is found by `sips`.
#[test]
fn a_contact_is_as_secure_as_what_asked_for_it() {
    let contact = |uri: &str| {
        let invite = message(&format!("INVITE {uri} SIP/2.0"), "<sip:1@y>", "");
        Dialog::of_invite(&invite, OURS, connected(2, 1), &ours()).contact()
    };
    assert_eq!(contact("sips:1@192.0.2.1"), "<sips:sbc2.example.com:5060>");
    let plain = "<sip:sbc2.example.com:5060;transport=tls>";
    assert_eq!(contact("sip:1@192.0.2.1"), plain);
    assert_eq!(as_uas("").contact(), "<sip:sbc0.example.com:5060>");
}
