//! Who is calling, as each side may know it; where the call has been; and whether it has come back.

use intertrunk_proto::ask::{Candidate, Plan, Verdict};
use intertrunk_proto::trunk::{HistoryForm, Trunk};
use intertrunk_sip::{Message, Name};
use sim::{Errand, Final, Manner, Weather, ms, policy, rules};

use super::{Mood, World, gw_a};

fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    lines.iter().map(owned).collect()
}

/// One call of pbx-a with these header lines, to its end.
fn call(world: &mut World, to: &str, headers: &[(&str, &str)]) {
    let errand = Errand {
        headers: lines(headers),
        ..Errand::to(to)
    };
    super::call(world, &errand);
    let broken = rules::settle(world);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn values(message: &Message, name: &str) -> Vec<String> {
    let text = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
    message.header_named(name).map(text).collect()
}

fn to(trunks: &'static [&'static str], edit: fn(&mut Trunk)) -> World {
    World::with_trunks(1, Weather::default(), Mood::connect(trunks), edit)
}

fn gw_a_is_a_stranger(trunk: &mut Trunk) {
    trunk.identity.trusted = &*trunk.name != "gw-a";
}

const SECRET: [(&str, &str); 4] = [
    ("Privacy", "id;user"),
    ("P-Asserted-Identity", "<sip:+14255550100@pbx>"),
    ("Subject", "money"),
    ("Diversion", "<sip:5550100@pbx>;privacy=full, <sip:6@pbx>"),
];
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// RFC 3323, RFC 3325: a stranger learns nothing, and has nothing left to do.
#[test]
fn privacy_is_fulfilled_towards_a_stranger() {
    let mut w = to(&["gw-a"], gw_a_is_a_stranger);
    call(&mut w, "1", &SECRET);
    let invite = &w.sent_to("gw-a", "INVITE")[0];
    assert!(values(invite, "From")[0].starts_with(ANONYMOUS));
    for name in ["P-Asserted-Identity", "Privacy", "Subject"] {
        assert_eq!(values(invite, name), [""; 0], "{name}");
    }
    assert_eq!(values(invite, "Diversion"), ["<sip:6@127.0.0.1:5060>"]);
    for message in w.sent_to("gw-a", "") {
        let text = String::from_utf8_lossy(message.bytes()).into_owned();
        assert!(!text.contains("0100"), "{text}");
    }
}

/// N15: a friend gets the identity together with the wish.
#[test]
fn privacy_is_left_to_a_trusted_trunk() {
    let mut w = to(&["gw-a"], |_| {});
    call(&mut w, "1", &SECRET);
    let invite = &w.sent_to("gw-a", "INVITE")[0];
    assert!(values(invite, "From")[0].starts_with("\"Caller\" <sip:0100@127.0.0.1:5060>"));
    let asserted = "<sip:+14255550100@127.0.0.1:5060>";
    assert_eq!(values(invite, "P-Asserted-Identity"), [asserted]);
    assert_eq!(values(invite, "Privacy"), ["id;user"]);
    assert_eq!(values(invite, "Subject"), ["money"]);
    assert_eq!(values(invite, "Diversion").len(), 2);
}

/// A translation of the caller's number is no way round its wish.
#[test]
fn a_translated_caller_stays_anonymous() {
    let mood = Mood::verdict(|| {
        let identity = intertrunk_proto::ask::Identity {
            user: "+14255550100".to_owned(),
            display: None,
        };
        Verdict::Connect(Plan {
            candidates: vec![Candidate {
                trunk: "gw-a".to_owned(),
                caller: Some(identity),
                ..Candidate::default()
            }],
            ..Plan::default()
        })
    });
    let mut w = World::with_trunks(1, Weather::default(), mood, gw_a_is_a_stranger);
    call(&mut w, "1", &[("Privacy", "id")]);
    let invite = &w.sent_to("gw-a", "INVITE")[0];
    assert!(values(invite, "From")[0].starts_with(ANONYMOUS));
    assert_eq!(w.records()[0].caller_out.as_deref(), Some("anonymous"));
}

/// RFC 3323 §5: what cannot be kept secret is not sent.
#[test]
fn a_critical_wish_keeps_a_call_off_a_trunk() {
    let wish = [("Privacy", "session;critical")];
    let mut w = to(&["gw-a", "gw-b"], gw_a_is_a_stranger);
    call(&mut w, "1", &wish);
    assert_eq!(w.sent_to("gw-a", "INVITE").len(), 0);
    assert_eq!(w.sent_to("gw-b", "INVITE").len(), 1);
    let mut w = to(&["gw-a"], gw_a_is_a_stranger);
    call(&mut w, "1", &wish);
    assert_eq!(w.records()[0].final_code, 500);
}

/// N14, S7: what a stranger says of itself or of others is not passed on.
#[test]
fn a_stranger_asserts_nothing() {
    let mut w = to(&["gw-a"], |trunk| {
        trunk.identity.trusted = &*trunk.name != "pbx-a";
    });
    let preferred = ("P-Preferred-Identity", "<sip:+1@pbx>");
    call(&mut w, "1", &[SECRET[1], SECRET[3], preferred]);
    let invite = &w.sent_to("gw-a", "INVITE")[0];
    for name in ["P-Asserted-Identity", "P-Preferred-Identity", "Diversion"] {
        assert_eq!(values(invite, name), [""; 0], "{name}");
    }
}

/// RFC 3325: who answers is named to the caller, unless it does not want to be.
#[test]
fn whoever_answers_is_named_to_the_caller() {
    let answers = |lines, edit: fn(&mut Trunk)| {
        let mut w = to(&["gw-a"], edit);
        gw_a(
            &mut w,
            Manner {
                lines,
                ..Manner::default()
            },
        );
        call(&mut w, "1", &[("X-Y", "z")]);
        let codes = ["SIP/2.0 180", "SIP/2.0 200"];
        codes.map(|code| values(&w.sent_to("pbx-a", code)[0], "P-Asserted-Identity"))
    };
    const NAMED: &[(&str, &str)] = &[("P-Asserted-Identity", "\"B\" <sip:+1206@gw:5080>")];
    const SHY: &[(&str, &str)] = &[
        ("P-Asserted-Identity", "\"B\" <sip:+1206@gw:5080>"),
        ("Privacy", "id"),
    ];
    let named = ["\"B\" <sip:+1206@127.0.0.1:5060>"];
    let pbx_is_a_stranger: fn(&mut Trunk) =
        |trunk| trunk.identity.trusted = &*trunk.name != "pbx-a";
    for edit in [|_: &mut Trunk| {}, pbx_is_a_stranger] {
        assert_eq!(answers(NAMED, edit), [named, named]);
    }
    assert_eq!(answers(SHY, |_| {}), [named, named], "a friend keeps it");
    assert_eq!(answers(SHY, pbx_is_a_stranger), [[""; 0], [""; 0]]);
    assert_eq!(answers(NAMED, gw_a_is_a_stranger), [[""; 0], [""; 0]]);
}

/// K4, RFC 7044: each attempt says which were before it, each under our host.
#[test]
fn a_history_tells_of_the_attempts_before() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a", "gw-b"]);
        plan.candidates[0].callee = Some("+1206".to_owned());
        plan.candidates[1].callee = Some("0206".to_owned());
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    let refuses = Manner {
        ring: None,
        last: Final::Refuse(ms(10), 503),
        ..Manner::default()
    };
    gw_a(&mut w, refuses);
    call(&mut w, "206", &[("History-Info", "<sip:100@pbx>;index=1")]);
    let [first, second] = ["gw-a", "gw-b"].map(|t| w.sent_to(t, "INVITE").remove(0));
    let before = [
        "<sip:100@127.0.0.1:5060>;index=1",
        "<sip:206@127.0.0.1:5060>;index=1.1;rc=1",
    ];
    let first = values(&first, "History-Info");
    assert_eq!(first[..2], before);
    assert_eq!(
        first[2..],
        ["<sip:+1206@127.0.0.1:5060>;index=1.1.1;rc=1.1"]
    );
    let here = [
        "<sip:+1206@127.0.0.1:5060?Reason=SIP%3Bcause%3D503>;index=1.1.1;rc=1.1",
        "<sip:0206@127.0.0.1:5060>;index=1.1.2;rc=1.1",
    ];
    assert_eq!(values(&second, "History-Info")[2..], here);
}

/// N16: RFC 7544: a trunk gets the form that it knows.
#[test]
fn a_diversion_becomes_a_history() {
    let mut w = to(&["gw-a"], |trunk| {
        trunk.identity.history = HistoryForm::HistoryInfo;
    });
    call(
        &mut w,
        "206",
        &[("Diversion", "<sip:100@pbx>;reason=no-answer")],
    );
    let invite = &w.sent_to("gw-a", "INVITE")[0];
    assert_eq!(values(invite, "Diversion"), [""; 0]);
    let history = values(invite, "History-Info");
    assert_eq!(
        history[1],
        "<sip:206@127.0.0.1:5060;cause=408>;index=1.1;mp=1"
    );
}

/// S6: only headers of its list go to a trunk that has one; those that the call needs always do.
#[test]
fn a_trunk_with_a_list_gets_no_more() {
    let mut w = to(&["gw-a"], |trunk| {
        let list = ["X-Account".to_owned(), "Organization".to_owned()];
        trunk.pass_headers = (&*trunk.name == "gw-a").then(|| list.into());
    });
    let headers = [
        ("X-Account", "1"),
        ("X-Other", "2"),
        ("Organization", "ours"),
        ("Geolocation", "<cid:x@pbx>"),
    ];
    call(&mut w, "1", &headers);
    let invite = &w.sent_to("gw-a", "INVITE")[0];
    let crossed = |name| values(invite, name).len();
    let names = [
        "X-Account",
        "X-Other",
        "Organization",
        "Geolocation",
        "Content-Type",
    ];
    assert_eq!(names.map(crossed), [1, 0, 1, 1, 1]);
}

/// K18: Max-Forwards is counted down, and where it is used up the call ends.
#[test]
fn hops_are_counted_down() {
    let mut w = to(&["gw-a"], |_| {});
    call(&mut w, "1", &[("X-Y", "z")]);
    assert_eq!(w.sent_to("gw-a", "INVITE")[0].max_forwards(), Some(69));
    let invite = String::from_utf8(w.said[0].to_vec()).unwrap();
    for (left, code) in [("0", "SIP/2.0 483"), ("1", "SIP/2.0 100")] {
        let fresh = |what: &str| format!("{what}-hops-{left}-");
        let invite = invite
            .replace("Max-Forwards: 70", &format!("Max-Forwards: {left}"))
            .replace("call-", &fresh("call"))
            .replace("z9hG4bK", &fresh("z9hG4bK"));
        w.inject("127.0.0.11:5070", invite);
        w.run(ms(10));
        assert_eq!(
            w.sent_to("pbx-a", code).last().map(Message::status),
            code[8..].parse().ok()
        );
    }
    let last = w.sent_to("gw-a", "INVITE").pop().unwrap();
    assert_eq!(last.max_forwards(), Some(0));
}

/// K18, C17: a call that comes back as it was is a loop; with another number, or by another trunk, it is
/// not.
#[test]
fn a_call_that_comes_back_is_known_by_our_mark() {
    let mut w = to(&["gw-a", "gw-b"], |_| {});
    let call = |w: &mut World, to: &str, headers: &[(&str, &str)]| {
        let errand = Errand {
            headers: lines(headers),
            ..Errand::to(to)
        };
        super::call(w, &errand);
    };
    call(&mut w, "206", &[("X-Y", "z")]);
    let mark = values(&w.sent_to("gw-a", "INVITE")[0], "X-Hop-Mark").remove(0);
    let back = [("X-Hop-Mark", &*mark)];
    call(&mut w, "206", &back);
    assert_eq!(w.sent_to("pbx-a", "SIP/2.0 482").len(), 1, "a loop");
    call(&mut w, "207", &back);
    assert_eq!(w.sent_to("pbx-a", "SIP/2.0 482").len(), 1, "a spiral");
    let twice = values(&w.sent_to("gw-a", "INVITE")[1], "X-Hop-Mark").remove(0);
    assert!(twice.starts_with(&mark) && twice.len() == 2 * mark.len() + 1);
    let now = w.now;
    let errand = Errand {
        headers: lines(&back),
        ..Errand::to("206")
    };
    w.ua("pbx-b").place(&errand, now);
    w.run(ms(30_000));
    assert_eq!(w.sent_to("pbx-b", "SIP/2.0 482").len(), 0, "another trunk");
}

/// RFC 5031, RFC 6881: an emergency call reaches the policy, and stays one until it has a number.
#[test]
fn an_emergency_call_is_asked_about() {
    let emergency = |callee: Option<&'static str>, urn: &str| {
        let mood = Mood::verdict(move || {
            let mut plan = policy::plan_to(&["gw-a"]);
            plan.candidates[0].callee = callee.map(str::to_owned);
            Verdict::Connect(plan)
        });
        let mut w = World::new(1, Weather::default(), mood);
        let place = ("Geolocation", "<cid:place@pbx>");
        call(&mut w, urn, &[place]);
        w
    };
    let w = emergency(None, "urn:service:sos.fire");
    let invite = &w.sent_to("gw-a", "INVITE")[0];
    assert_eq!(invite.request_uri(), "urn:service:sos.fire");
    assert_eq!(values(invite, "To"), ["<urn:service:sos.fire>"]);
    assert_eq!(values(invite, "Geolocation"), ["<cid:place@pbx>"]);
    assert_eq!(w.records()[0].final_code, 200);
    let w = emergency(Some("911"), "urn:service:sos");
    let invite = &w.sent_to("gw-a", "INVITE")[0];
    assert_eq!(invite.request_uri(), "sip:911@127.0.0.21:5080");
    let w = emergency(None, "urn:service:sosumi");
    assert_eq!(
        w.sent_to("pbx-a", "SIP/2.0 416").len(),
        1,
        "no such service"
    );
}

/// RFC 3261 §17.2.3, §22.1: a stranger that knows the branch still ends nothing.
#[test]
fn a_cancel_of_a_stranger_is_dropped() {
    let mut w = to(&["gw-a"], |_| {});
    let now = w.now;
    w.ua("pbx-a").place(&Errand::to("1"), now);
    w.run(ms(30));
    let invite = Message::parse(w.said[0].clone()).unwrap();
    let mut b = intertrunk_sip::Builder::request(&intertrunk_sip::Method::Cancel, "sip:1@host");
    for name in [Name::Via, Name::From, Name::To, Name::CallId] {
        b.header(name, invite.header(name).unwrap());
    }
    b.header(Name::CSeq, "1 CANCEL");
    let cancel = b.finish(None);
    for stranger in ["127.0.0.99:5070", "127.0.0.22:5080"] {
        w.inject(stranger, cancel.clone());
        w.run(ms(10));
    }
    w.run(ms(5_000));
    assert_eq!(w.sent_to("gw-a", "CANCEL").len(), 0);
    assert_eq!(w.records()[0].final_code, 200);
}

/// K19: what the host does not know within a call is refused, with what it knows.
#[test]
fn an_unknown_method_within_a_call_is_refused() {
    let mut w = to(&["gw-a"], |_| {});
    let now = w.now;
    w.ua("pbx-a").place(&Errand::to("1"), now);
    w.run(ms(500));
    let ack = w.said.iter().find(|b| b.starts_with(b"ACK")).unwrap();
    let ack = String::from_utf8(ack.to_vec()).unwrap();
    for (cseq, method) in ["PUBLISH", "REGISTER", "FROBNICATE"].iter().enumerate() {
        let request = ack
            .replace("ACK ", &format!("{method} "))
            .replace("CSeq: 1 ACK", &format!("CSeq: {} {method}", cseq + 50))
            .replace("branch=z9hG4bK", &format!("branch=z9hG4bK-{method}"));
        w.inject("127.0.0.11:5070", request);
        w.run(ms(10));
    }
    let refused = w.sent_to("pbx-a", "SIP/2.0 405");
    assert_eq!(refused.len(), 3);
    for answer in refused {
        assert!(values(&answer, "Allow")[0].contains("INVITE, ACK, CANCEL, BYE"));
    }
    for answer in w.sent_to("pbx-a", "SIP/2.0 200") {
        assert_eq!(
            values(&answer, "Allow").len(),
            1,
            "answers say what we take"
        );
    }
}
