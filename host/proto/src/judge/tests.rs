//! Each rule by which the host refuses what a policy says.

use std::sync::Arc;
use std::time::Duration;

use super::{Judged, judge};
use crate::ask::{
    Candidate, CodeMap, HeaderField, Identity, Inquiry, LookUp, Party, Plan, PolicyFault,
    Rejection, Scheme, Tag, Verdict, WhenExhausted,
};
use crate::io::{PolicyId, TrunkId};
use crate::snapshot::{Fallback, Policy, Snapshot};
use crate::trunk::{Peer, SourceMatch, Trunk, TrunkKind};

fn trunk(id: u32, name: &str, kind: TrunkKind, address: &str, pstn_to: &[u32]) -> Trunk {
    let address: std::net::SocketAddr = address.parse().expect("a literal");
    Trunk {
        peers: vec![Peer::at(address)],
        sources: vec![SourceMatch {
            network: address.ip(),
            prefix: 32,
            port: Some(address.port()),
        }],
        failover_codes: vec![503],
        pstn_to: pstn_to.iter().map(|id| TrunkId(*id)).collect(),
        ..Trunk::new(TrunkId(id), name, kind)
    }
}

fn snapshot() -> Snapshot {
    let trunks = vec![
        trunk(0, "pbx", TrunkKind::Pbx, "192.0.2.1:5060", &[]),
        trunk(1, "gw-a", TrunkKind::Pstn, "192.0.2.11:5060", &[2]),
        trunk(2, "gw-b", TrunkKind::Pstn, "192.0.2.12:5060", &[]),
        trunk(3, "twin", TrunkKind::Sbc, "192.0.2.13:5060", &[]),
    ];
    Snapshot::new("test", Vec::new(), trunks, vec![policy(&["*"])]).expect("sources differ")
}

fn policy(trunks: &[&str]) -> Policy {
    Policy {
        id: PolicyId(0),
        name: "main".into(),
        deadline: Duration::from_millis(20),
        fallback: Fallback::Reject(503),
        trunks: trunks.iter().map(|t| (*t).to_owned()).collect(),
        sources: vec!["cnam".to_owned()],
    }
}

fn to(trunk: &str) -> Candidate {
    Candidate {
        trunk: trunk.to_owned(),
        ..Candidate::default()
    }
}

fn connect(candidates: Vec<Candidate>) -> Verdict {
    Verdict::Connect(Plan {
        candidates,
        ..Plan::default()
    })
}

/// Trunks that are left of a verdict on a call from `ingress`, or the fault; and the notes.
fn judged(ingress: &str, verdict: Verdict) -> (Result<Vec<String>, String>, Vec<String>) {
    let snapshot = snapshot();
    let ingress = Arc::clone(snapshot.trunk_named(ingress).expect("a trunk of the test"));
    let (judged, notes) = judge(verdict, &ingress, &snapshot, Some(&policy(&["*"])));
    let left = match judged {
        Judged::Connect { accepted, .. } => {
            Ok(accepted.iter().map(|a| a.trunk.name.to_string()).collect())
        }
        Judged::Reject(r) => Ok(vec![r.code.to_string()]),
        Judged::Redirect(r) => Ok(r.contacts),
        Judged::Inquire(inquiry) => Ok(vec![inquiry.look_ups.len().to_string()]),
        Judged::Fault(PolicyFault::Verdict(why)) => Err(why),
        Judged::Fault(fault) => Err(fault.to_string()),
    };
    (left, notes)
}

/// The one candidate is refused for a reason with these words.
fn assert_refused(ingress: &str, candidate: Candidate, words: &str) {
    let (left, notes) = judged(ingress, connect(vec![candidate, to("twin")]));
    assert_eq!(
        left,
        Ok(vec!["twin".to_owned()]),
        "the other candidate is left"
    );
    assert!(
        notes.len() == 1 && notes[0].contains(words),
        "{notes:?} has not {words:?}"
    );
}

#[test]
fn good_candidates_are_left_in_the_order_of_their_groups() {
    let later = Candidate {
        group: 1,
        ..to("gw-a")
    };
    let (left, notes) = judged("pbx", connect(vec![later, to("gw-b"), to("twin")]));
    assert_eq!(left, Ok(vec!["gw-b".into(), "twin".into(), "gw-a".into()]));
    assert!(notes.is_empty());
}

#[test]
fn trunks_are_known_and_granted() {
    assert_refused("pbx", to("nowhere"), "names a trunk that there is not");
    let snapshot = snapshot();
    let ingress = snapshot.trunk_named("pbx").expect("a trunk of the test");
    let plan = || connect(vec![to("gw-a"), to("gw-b")]);
    let (_, notes) = judge(plan(), ingress, &snapshot, Some(&policy(&["gw-b"])));
    assert!(
        notes.len() == 1 && notes[0].contains("not granted"),
        "{notes:?}"
    );
    let (_, notes) = judge(plan(), ingress, &snapshot, None);
    assert!(
        notes.is_empty(),
        "the host's own fallback needs no grant: {notes:?}"
    );
}

/// B9: no way back.
#[test]
fn no_way_back() {
    assert_refused("pbx", to("pbx"), "leads back");
    let mut trunks: Vec<Trunk> = snapshot().trunks.iter().map(|t| (**t).clone()).collect();
    trunks[3].peers = trunks[0].peers.clone();
    let snapshot = Snapshot::new("test", Vec::new(), trunks, Vec::new()).expect("sources differ");
    let ingress = snapshot.trunk_named("pbx").expect("a trunk of the test");
    let (_, notes) = judge(connect(vec![to("twin")]), ingress, &snapshot, None);
    assert!(
        notes[0].contains("leads back"),
        "another trunk to the same peer: {notes:?}"
    );
}

/// T2, S2, B9: pstn to pstn only where that pair is allowed.
#[test]
fn pstn_to_pstn_only_where_that_pair_is_allowed() {
    assert_refused("gw-b", to("gw-a"), "from PSTN to PSTN");
    assert_eq!(
        judged("gw-a", connect(vec![to("gw-b")])).0,
        Ok(vec!["gw-b".to_owned()])
    );
}

/// B9: numbers names and headers are legal.
#[test]
fn numbers_names_and_headers_are_legal() {
    let callee = |text: &str| Candidate {
        callee: Some(text.to_owned()),
        ..to("gw-a")
    };
    assert_refused("pbx", callee(""), "called number");
    assert_refused("pbx", callee("1\r\nVia: x"), "called number");
    assert_refused("pbx", callee(&"1".repeat(257)), "called number");
    let caller = |user: &str, display: &str| Candidate {
        caller: Some(Identity {
            user: user.to_owned(),
            display: Some(display.to_owned()),
        }),
        ..to("gw-a")
    };
    assert_refused("pbx", caller("1\n", "x"), "has a caller");
    assert_refused("pbx", caller("1", "a\r\nb"), "display name");
    let set = |name: &str, value: &str| Candidate {
        set_headers: vec![HeaderField {
            name: name.to_owned(),
            value: value.to_owned(),
        }],
        ..to("gw-a")
    };
    assert_refused("pbx", set("X-Note", "a\r\nVia: x"), "control characters");
    assert_refused("pbx", set("X Note", "a"), "illegal header name");
    let many = vec![
        HeaderField {
            name: "X".into(),
            value: String::new()
        };
        65
    ];
    assert_refused(
        "pbx",
        Candidate {
            set_headers: many,
            ..to("gw-a")
        },
        "more than 64 headers",
    );
}

/// K16: neither by its long name nor by its compact one, in no case.
#[test]
fn headers_of_the_dialog_are_the_hosts() {
    let long = [
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Max-Forwards",
        "X-Hop-Mark",
        "Route",
        "Record-Route",
        "Path",
        "Service-Route",
        "Content-Length",
        "Content-Type",
        "Content-Encoding",
        "Content-Disposition",
        "MIME-Version",
        "Require",
        "Proxy-Require",
        "Supported",
        "Unsupported",
        "Replaces",
        "Join",
        "Target-Dialog",
        "Refer-To",
        "Session-Expires",
        "Min-SE",
        "RSeq",
        "RAck",
        "Timestamp",
        "Event",
        "Subscription-State",
    ];
    let compact = ["v", "f", "t", "i", "m", "l", "c", "e", "k", "r", "x", "o"];
    let names = long.iter().chain(&compact).map(|n| (*n).to_owned());
    let upper = long.iter().chain(&compact).map(|n| n.to_ascii_uppercase());
    for name in names.chain(upper) {
        let set = Candidate {
            set_headers: vec![HeaderField {
                name: name.clone(),
                value: "x".into(),
            }],
            ..to("gw-a")
        };
        assert_refused("pbx", set, "which is the host's");
        let candidate = Candidate {
            remove_headers: vec![name],
            ..to("gw-a")
        };
        assert_refused("pbx", candidate, "which is the host's");
    }
    let header = HeaderField {
        name: "P-Asserted-Identity".into(),
        value: "<sip:1@x>".into(),
    };
    let candidate = Candidate {
        set_headers: vec![header],
        ..to("gw-a")
    };
    assert!(judged("pbx", connect(vec![candidate])).1.is_empty());
}

#[test]
fn a_note_names_the_candidate_and_the_rule() {
    let verdict = connect(vec![to("twin"), to("no\r\nwhere")]);
    let (_, notes) = judged("pbx", verdict);
    let expected = "candidate 2 (nowhere) names a trunk that there is not";
    assert_eq!(notes, [expected], "on one line, whatever the policy wrote");
    let header = HeaderField {
        name: "Via".into(),
        value: "x".into(),
    };
    let candidate = Candidate {
        set_headers: vec![header],
        ..to("gw-a")
    };
    let (_, notes) = judged("pbx", connect(vec![candidate, to("twin")]));
    assert_eq!(
        notes,
        ["candidate 1 (gw-a) touches Via, which is the host's"]
    );
    let (_, notes) = judged("gw-b", connect(vec![to("gw-a"), to("twin")]));
    let rule = "goes from PSTN to PSTN, which trunk gw-b does not allow (allow_pstn_to)";
    assert_eq!(notes, [format!("candidate 1 (gw-a) {rule}")]);
}

#[test]
fn control_characters_of_all_kinds_are_refused() {
    for bad in ['\0', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}'] {
        let text = format!("1{bad}");
        let callee = Candidate {
            callee: Some(text.clone()),
            ..to("gw-a")
        };
        assert_refused("pbx", callee, "called number");
        let header = HeaderField {
            name: "X-Note".into(),
            value: text,
        };
        let set = Candidate {
            set_headers: vec![header],
            ..to("gw-a")
        };
        assert_refused("pbx", set, "control characters");
    }
    let legal = HeaderField {
        name: "X-Note".into(),
        value: "a\tbücher".into(),
    };
    let set = Candidate {
        set_headers: vec![legal],
        ..to("gw-a")
    };
    assert!(judged("pbx", connect(vec![set])).1.is_empty());
}

#[test]
fn limits_are_reached_but_not_passed() {
    let edits = |set, removed| {
        let header = HeaderField {
            name: "X-Note".into(),
            value: String::new(),
        };
        let candidate = Candidate {
            set_headers: vec![header; set],
            remove_headers: vec!["X-Other".to_owned(); removed],
            ..to("gw-a")
        };
        judged("pbx", connect(vec![candidate])).0.is_ok()
    };
    assert!(edits(32, 32) && !edits(32, 33) && !edits(33, 32));
    let plan = |cookie, tag: usize| {
        let tag = Tag {
            name: String::new(),
            value: "t".repeat(tag),
        };
        let plan = Plan {
            candidates: vec![to("gw-a")],
            cookie: vec![0; cookie],
            tags: vec![tag],
            ..Plan::default()
        };
        judged("pbx", Verdict::Connect(plan)).0.is_ok()
    };
    let rest = 8 * 1024 - "gw-a".len();
    assert!(plan(rest, 0) && !plan(rest + 1, 0));
    assert!(plan(0, rest) && !plan(1, rest));
}

/// F7: peers and failover codes exist.
#[test]
fn peers_and_failover_codes_exist() {
    let peer = |name: &str| Candidate {
        peer: Some(name.to_owned()),
        ..to("gw-a")
    };
    assert_refused("pbx", peer("192.0.2.99:5060"), "does not have");
    for name in ["192.0.2.11:5060", "sip:192.0.2.11:5060"] {
        assert!(judged("pbx", connect(vec![peer(name)])).1.is_empty());
    }
    let codes = Candidate {
        failover: Some(vec![200]),
        ..to("gw-a")
    };
    assert_refused("pbx", codes, "failover code");
}

#[test]
fn a_verdict_with_nothing_left_is_a_fault() {
    let (left, _) = judged("pbx", connect(Vec::new()));
    assert_eq!(left, Err("connects to nobody".to_owned()));
    let (left, notes) = judged("pbx", connect(vec![to("pbx"), to("nowhere")]));
    assert!(left.is_err_and(|why| why.contains("leads back")));
    assert_eq!(notes.len(), 2);
}

#[test]
fn a_flood_is_bounded() {
    let (left, notes) = judged("pbx", connect(vec![to("gw-a"); 1_000]));
    assert_eq!(left.map(|l| l.len()), Ok(32));
    assert_eq!(notes.len(), 1, "one line for all that are past the limit");
    let fat = Candidate {
        callee: Some("1".repeat(200)),
        ..to("gw-a")
    };
    let (left, _) = judged("pbx", connect(vec![fat; 41]));
    assert!(left.is_err_and(|why| why.contains("the limit is 8192")));
}

#[test]
fn codes_are_codes() {
    let reject = |code| {
        Verdict::Reject(Rejection {
            code,
            ..Rejection::default()
        })
    };
    assert_eq!(judged("pbx", reject(403)).0, Ok(vec!["403".to_owned()]));
    for code in [0, 200, 302, 399, 700] {
        assert!(judged("pbx", reject(code)).0.is_err(), "{code}");
    }
    let phrase = Rejection {
        code: 403,
        phrase: Some("a\r\nb".into()),
        ..Rejection::default()
    };
    assert!(judged("pbx", Verdict::Reject(phrase)).0.is_err());
    let phrase = |n| {
        Verdict::Reject(Rejection {
            code: 403,
            phrase: Some("a".repeat(n)),
            ..Rejection::default()
        })
    };
    assert!(judged("pbx", phrase(256)).0.is_ok());
    assert!(judged("pbx", phrase(257)).0.is_err());
    let plan = |change: fn(&mut Plan)| {
        let mut plan = Plan {
            candidates: vec![to("gw-a")],
            ..Plan::default()
        };
        change(&mut plan);
        judged("pbx", Verdict::Connect(plan)).0
    };
    assert!(plan(|_| {}).is_ok());
    assert!(plan(|p| p.when_exhausted = WhenExhausted::Reply(200)).is_err());
    assert!(
        plan(|p| p.code_maps = vec![CodeMap {
            from_code: 404,
            q850: None,
            to_code: 180
        }])
        .is_err()
    );
}

#[test]
fn redirections_make_uris() {
    let party = |scheme, user: &str, host: &str| Party {
        scheme,
        user: user.to_owned(),
        host: host.to_owned(),
        ..Party::default()
    };
    let redirect = |p| judged("pbx", Verdict::Redirect(vec![p])).0;
    let good = redirect(party(Scheme::Sip, "a b", "example.com"));
    assert_eq!(good, Ok(vec!["<sip:a%20b@example.com>".to_owned()]));
    assert!(redirect(party(Scheme::Sip, "a", "x>\r\ny")).is_err());
    assert!(redirect(party(Scheme::Other, "a", "x")).is_err());
    assert!(judged("pbx", Verdict::Redirect(Vec::new())).0.is_err());
    let legal = party(Scheme::Sip, "a", "example.com");
    let many = |n| judged("pbx", Verdict::Redirect(vec![legal.clone(); n])).0;
    assert!(many(32).is_ok());
    assert!(many(33).is_err(), "an answer fits a datagram");
    assert!(redirect(party(Scheme::Sip, &"a".repeat(256), "x")).is_ok());
    assert!(redirect(party(Scheme::Sip, &"a".repeat(257), "x")).is_err());
}

#[test]
fn a_pass_to_nobody_is_a_fault() {
    assert!(judged("pbx", Verdict::Pass).0.is_err());
}

#[test]
fn an_inquiry_is_bounded_and_granted() {
    let inquiry = |count: usize, bytes: usize| Inquiry {
        look_ups: vec![
            LookUp {
                source: "cnam".to_owned(),
                key: "1".repeat(bytes),
                timeout_ms: None,
            };
            count
        ],
        cookie: Vec::new(),
    };
    let left = |count, bytes| judged("pbx", Verdict::Inquire(inquiry(count, bytes))).0;
    assert_eq!(left(1, 10), Ok(vec!["1".to_owned()]));
    assert_eq!(left(16, 10), Ok(vec!["16".to_owned()]));
    for (count, bytes) in [(0, 10), (17, 10), (1, 9000)] {
        assert!(left(count, bytes).is_err(), "{count} of {bytes}");
    }
    let snapshot = snapshot();
    let ingress = Arc::clone(snapshot.trunk_named("pbx").expect("a trunk of the test"));
    let nothing_granted = Policy {
        sources: Vec::new(),
        ..policy(&["*"])
    };
    let verdict = Verdict::Inquire(inquiry(1, 1));
    let (judged, _) = judge(verdict, &ingress, &snapshot, Some(&nothing_granted));
    assert!(matches!(judged, Judged::Fault(_)), "{judged:?}");
}
