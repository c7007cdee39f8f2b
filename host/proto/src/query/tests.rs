//! What a policy learns of an INVITE, and what it does not.

use bytes::Bytes;
use intertrunk_sip::Message;

use super::{headers_named, of_invite, of_numbers};
use crate::ask::{Privacy, Query, Scheme};
use crate::trunk::Trunk;
use crate::trunk::tests::trunk;

const SOURCE: &str = "192.0.2.7:5070";

fn invite(uri: &str, from: &str, more: &str) -> Message {
    let text = format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {SOURCE};branch=z9hG4bK1\r\nMax-Forwards: 12\r\n\
         From: {from};tag=1\r\nTo: \"Front Desk\" <sip:9@elsewhere>\r\nCall-ID: 1\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:a@{SOURCE}>\r\n{more}Content-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text)).expect("a legal INVITE")
}

fn asked(ingress: &Trunk, invite: &Message) -> Query {
    of_invite(
        invite,
        ingress,
        SOURCE.parse().expect("a literal"),
        "call-1",
    )
}

fn plain(uri: &str, from: &str, more: &str) -> Query {
    asked(&trunk(0, "pbx", Vec::new()), &invite(uri, from, more))
}

#[test]
fn the_callee_is_the_request_uri_with_the_name_of_to() {
    let q = plain(
        "sip:%2B1206@example.com:5070;user=phone",
        "\"A \\\"B\\\"\" <sip:0100@pbx>",
        "",
    );
    let (callee, caller) = (&q.call.callee, &q.call.caller);
    assert_eq!(
        (&*callee.user, &*callee.host),
        ("+1206", "example.com:5070")
    );
    assert_eq!(callee.display.as_deref(), Some("Front Desk"));
    assert_eq!(q.call.request_uri.display, None);
    assert_eq!(callee.params[0].value.as_deref(), Some("phone"));
    assert_eq!(
        (&*caller.user, caller.display.as_deref()),
        ("0100", Some("A \"B\""))
    );
    assert_eq!(
        (&*q.call.ingress, &*q.call.id, &*q.call.source),
        ("pbx", "call-1", SOURCE)
    );
    assert_eq!((q.call.hops_left, q.call.emergency), (12, false));
}

#[test]
fn a_telephone_number_has_no_separators() {
    let q = plain("tel:+1-206-555.0100", "<sip:1@x>", "");
    assert_eq!(
        (q.call.callee.scheme, &*q.call.callee.user),
        (Scheme::Tel, "+12065550100")
    );
}

#[test]
fn only_a_trusted_trunk_asserts_and_diverts() {
    let more = "P-Asserted-Identity: <sip:+14255550100@x>\r\nDiversion: <sip:7@x>, <sip:8@x>\r\n";
    let q = plain("sip:1@x", "<sip:1@x>", more);
    assert_eq!(q.call.asserted[0].user, "+14255550100");
    let diverted: Vec<&str> = q.call.diverted.iter().map(|p| &*p.user).collect();
    assert_eq!(diverted, ["7", "8"], "most recent first");
    let mut stranger = trunk(0, "pbx", Vec::new());
    stranger.identity.trusted = false;
    let q = asked(&stranger, &invite("sip:1@x", "<sip:1@x>", more));
    assert!(q.call.asserted.is_empty() && q.call.diverted.is_empty());
}

#[test]
fn the_wish_for_privacy() {
    let wish = |from, more| plain("sip:1@x", from, more).call.privacy;
    assert_eq!(wish("<sip:1@x>", ""), Privacy::None);
    assert_eq!(wish("<sip:1@x>", "Privacy: none\r\n"), Privacy::None);
    assert_eq!(wish("<sip:1@x>", "Privacy: user\r\n"), Privacy::User);
    assert_eq!(wish("<sip:1@x>", "Privacy: user; ID\r\n"), Privacy::Full);
    assert_eq!(wish("<sip:1@x>", "Privacy: header\r\n"), Privacy::Full);
    assert_eq!(wish("<sip:anonymous@Anonymous.invalid>", ""), Privacy::Full);
}

#[test]
fn numbers_typed_by_a_person_make_the_same_question() {
    let headers = [("X-Account".to_owned(), "42".to_owned())];
    let q = of_numbers(
        &trunk(0, "pbx", Vec::new()),
        "+1206",
        Some("sip:0100@pbx"),
        &headers,
    );
    assert_eq!(
        (&*q.call.callee.user, &*q.call.caller.user),
        ("+1206", "0100")
    );
    assert_eq!((&*q.call.callee.host, &*q.call.caller.host), ("", "pbx"));
    assert_eq!(q.call.headers[0].value, "42");
    assert!(q.explain, "who asks wants to know why");
    let emergency = |to| {
        of_numbers(&trunk(0, "pbx", Vec::new()), to, None, &[])
            .call
            .emergency
    };
    assert!(emergency("URN:service:sos.police") && !emergency("sos"));
}

#[test]
fn headers_are_given_by_name_and_nothing_else() {
    let more = "X-One: a\r\n b\r\nX-Two: c\r\nx-one: d\r\n";
    let m = invite("sip:1@x", "<sip:1@x>", more);
    let named = headers_named(&m, &["x-ONE".to_owned(), "X-Three".to_owned()]);
    let values: Vec<(&str, &str)> = named.iter().map(|h| (&*h.name, &*h.value)).collect();
    assert_eq!(values, [("x-ONE", "a b"), ("x-ONE", "d")]);
}

/// Found by what a hostile INVITE costs: 16,000 diversions in one were 16,000 strings.
#[test]
fn no_more_parties_are_told_of_than_a_call_can_have() {
    let line = format!("Diversion: {}<sip:last@x>\r\n", "<sip:1@x>,".repeat(900));
    let q = plain("sip:1@x", "<sip:0100@pbx>", &line);
    assert_eq!(q.call.diverted.len(), super::PARTIES_MAX);
    assert_eq!(q.call.diverted[0].user, "1");
}
