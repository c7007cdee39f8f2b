//! Which transaction a message belongs to, and what the table sends and tells for it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_sip::{Message, Token};

use super::{Env, Incoming, Owner, Sending, ServerKey, Table, Told};
use crate::call::{AttemptId, CallKey};
use crate::io::{Flow, ListenerId, Output, TransmitId};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::timer::{TimerOwner, Timers};

const PEER: &str = "192.0.2.7:5070";
const BRANCH: Token = Token(7);

fn owner() -> Owner {
    Owner::Attempt(CallKey::default(), AttemptId(3))
}

fn flow() -> Flow {
    Flow::to(ListenerId(0), PEER.parse().expect("a literal"))
}

fn message(text: String) -> Message {
    Message::parse(Bytes::from(text)).expect("a legal message")
}

/// A request whose headers up to To are these Via lines.
fn request_via(method: &str, cseq: u32, via: &str, to_tag: &str) -> Message {
    let by = if method == "ACK" || method == "CANCEL" {
        "INVITE"
    } else {
        method
    };
    message(format!(
        "{method} sip:1@192.0.2.1 SIP/2.0\r\n{via}Max-Forwards: 70\r\nFrom: <sip:2@x>;tag=a\r\n\
         To: <sip:1@x>{to_tag}\r\nCall-ID: {by}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:2@{PEER}>\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// A request of the peer with this branch.
fn request(method: &str, branch: &str) -> Message {
    let via = format!("Via: SIP/2.0/UDP {PEER};branch={branch}\r\n");
    request_via(method, 1, &via, "")
}

/// The bytes of our own request on [`BRANCH`].
fn ours(method: &str) -> Bytes {
    let via = format!("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{BRANCH}\r\n");
    request_via(method, 1, &via, "").bytes().clone()
}

/// A response on this branch.
fn response_on(branch: &str, status: u16, method: &str) -> Message {
    message(format!(
        "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\nFrom: <sip:2@x>;tag=a\r\n\
         To: <sip:1@x>;tag=b\r\nCall-ID: INVITE\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn response(status: u16, method: &str) -> Message {
    response_on(&format!("z9hG4bK{BRANCH}"), status, method)
}

/// A table, its timers and all that it put out.
#[derive(Default)]
struct Bench {
    table: Table,
    timers: Timers,
    out: VecDeque<Output>,
    now: Instant,
    snapshot: Snapshot,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            table: Table::new((1, 2)),
            ..Bench::default()
        }
    }

    fn parts(&mut self) -> (&mut Table, Env<'_>) {
        let env = Env {
            now: self.now,
            snapshot: &self.snapshot,
            timers: &mut self.timers,
            out: &mut self.out,
        };
        (&mut self.table, env)
    }

    fn send(&mut self, method: &str) -> super::ClientKey {
        let (table, mut env) = self.parts();
        let sending = Sending {
            flow: flow(),
            bytes: ours(method),
            branch: BRANCH,
            invite: method == "INVITE",
            owner: owner(),
        };
        table.send(sending, &mut env)
    }

    fn respond(&mut self, key: ServerKey, status: u16) {
        let (table, mut env) = self.parts();
        let bytes = Bytes::from(format!("{status}"));
        table.respond(key, status, bytes, &mut env);
    }

    fn fail(&mut self, id: TransmitId) -> Option<Flow> {
        let (table, mut env) = self.parts();
        table.transmit_failed(id, &mut env)
    }

    fn hear(&mut self, request: &Message) -> Incoming {
        let (table, mut env) = self.parts();
        table.request_received(request, &mut env)
    }

    fn hear_response(&mut self, response: Message) -> bool {
        let (table, mut env) = self.parts();
        table.response_received(response, &mut env)
    }

    /// Opens a transaction for a request of the peer.
    fn open(&mut self, request: &Message) -> ServerKey {
        self.table.open(request, flow(), Some(CallKey::default()))
    }

    /// First words of what was sent since the last look.
    fn sent(&mut self) -> Vec<String> {
        self.transmits().into_iter().map(|t| t.0).collect()
    }

    /// First word, destination and name of what was sent since the last look.
    fn transmits(&mut self) -> Vec<(String, String, Option<TransmitId>)> {
        let transmit = |output| match output {
            Output::Transmit {
                flow,
                bytes,
                request,
            } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let word = text.split(' ').next().unwrap_or_default().to_owned();
                Some((word, flow.remote.to_string(), request))
            }
            Output::Ask { .. } | Output::Inquire { .. } | Output::Forget(_) | Output::Event(_) => {
                None
            }
        };
        self.out.drain(..).filter_map(transmit).collect()
    }

    /// What owners were told since the last look.
    fn told(&mut self) -> Vec<String> {
        let word = |told| match told {
            Told::Response { owner: o, response } if o == owner() => response.status().to_string(),
            Told::TimedOut { owner: o } if o == owner() => "silence".to_owned(),
            Told::Unsendable { owner: o } if o == owner() => "unsendable".to_owned(),
            Told::ClientOver { owner: o } if o == owner() => "over".to_owned(),
            Told::ServerOver { .. } => "server over".to_owned(),
            other => panic!("{other:?} is for somebody else"),
        };
        std::iter::from_fn(|| self.table.next_told())
            .map(word)
            .collect()
    }

    /// Lets time pass; when something was sent, in milliseconds, and what.
    fn pass(&mut self, time: Duration) -> Vec<(u64, String)> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some((at, owner)) = self.timers.pop_due(end) {
            self.now = at;
            let (table, mut env) = self.parts();
            match owner {
                TimerOwner::Client(key) => table.client_clock(key, at, &mut env),
                TimerOwner::Server(key) => table.server_clock(key, at, &mut env),
                TimerOwner::Call(_) | TimerOwner::Trunk(_) | TimerOwner::Registration(_) => {
                    panic!("neither is in this test")
                }
            }
            let ms = at.as_micros() / 1000;
            sent.extend(self.sent().into_iter().map(|word| (ms, word)));
        }
        self.now = end;
        sent
    }
}

const MINUTE: Duration = Duration::from_secs(60);

// ---- requests of a peer ----

#[test]
fn a_request_that_comes_again_gets_the_last_answer_again() {
    let mut b = Bench::new();
    let invite = request("INVITE", "z9hG4bK1");
    assert!(matches!(b.hear(&invite), Incoming::New));
    let key = b.open(&invite);
    assert!(matches!(b.hear(&invite), Incoming::Absorbed));
    assert_eq!(b.sent(), [""; 0], "nothing was answered yet");
    for status in [100, 180, 486] {
        b.respond(key, status);
        assert!(matches!(b.hear(&invite), Incoming::Absorbed));
        assert_eq!(b.sent(), [status.to_string(), status.to_string()]);
    }
    b.respond(key, 500);
    assert_eq!(b.sent(), [""; 0], "there is one final answer");
    assert_eq!(b.told(), [""; 0]);
}

#[test]
fn branch_sender_and_method_make_a_transaction() {
    let mut b = Bench::new();
    let invite = request("INVITE", "z9hG4bK1");
    b.open(&invite);
    assert!(matches!(
        b.hear(&request("INVITE", "z9hG4bK2")),
        Incoming::New
    ));
    assert!(matches!(b.hear(&request("BYE", "z9hG4bK1")), Incoming::New));
    let via = "Via: SIP/2.0/UDP 192.0.2.7:5071;branch=z9hG4bK1\r\n";
    let elsewhere = request_via("INVITE", 1, via, "");
    assert!(matches!(b.hear(&elsewhere), Incoming::New));
    let via = format!("Via: SIP/2.0/UDP {PEER};rport;branch=z9hG4bK1\r\n");
    let same = request_via("INVITE", 1, &via, "");
    assert!(
        matches!(b.hear(&same), Incoming::Absorbed),
        "its other parameters do not count"
    );
}

#[test]
fn an_ack_ends_a_failure_and_is_nobodys_business() {
    let mut b = Bench::new();
    let invite = request("INVITE", "z9hG4bK1");
    let key = b.open(&invite);
    b.respond(key, 486);
    assert_eq!(b.sent(), ["486"]);
    assert!(!b.table.is_pending(key) && b.table.is_waiting());
    let resent = b.pass(Duration::from_millis(1_600));
    assert_eq!(resent, [(500, "486".into()), (1_500, "486".into())]);
    let ack = request("ACK", "z9hG4bK1");
    assert!(matches!(b.hear(&ack), Incoming::Absorbed));
    assert!(!b.table.is_waiting());
    assert!(matches!(b.hear(&ack), Incoming::Absorbed), "ACK again");
    assert_eq!(b.pass(Duration::from_millis(4_999)), []);
    assert_eq!((b.told().len(), b.table.len()), (0, 1));
    assert_eq!(b.pass(Duration::from_millis(1)), []);
    assert_eq!((b.told(), b.table.len()), (vec!["server over".into()], 0));
    assert!(matches!(b.hear(&invite), Incoming::New), "forgotten");
}

#[test]
fn a_failure_without_an_ack_is_given_up() {
    let mut b = Bench::new();
    let key = b.open(&request("INVITE", "z9hG4bK1"));
    b.respond(key, 503);
    assert_eq!(b.sent(), ["503"]);
    let resent: Vec<u64> = b.pass(MINUTE).into_iter().map(|(ms, _)| ms).collect();
    let every_t2 = [7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(resent, [&[500, 1_500, 3_500], &every_t2[..]].concat());
    assert_eq!(b.told(), ["server over"]);
}

/// K12: an ACK of a 2xx belongs to no transaction.
#[test]
fn an_ack_of_a_2xx_is_the_dialogs() {
    let mut b = Bench::new();
    let invite = request("INVITE", "z9hG4bK1");
    let key = b.open(&invite);
    b.respond(key, 200);
    assert_eq!(b.sent(), ["200"]);
    for branch in ["z9hG4bK2", "z9hG4bK1"] {
        assert!(matches!(b.hear(&request("ACK", branch)), Incoming::Ack));
    }
    assert!(matches!(b.hear(&invite), Incoming::Absorbed));
    assert_eq!(b.pass(MINUTE), [], "who sent the 2xx resends it");
    assert_eq!((b.told(), b.table.len()), (vec!["server over".into()], 0));
    let stray = b.hear(&request("ACK", "z9hG4bK1"));
    assert!(matches!(stray, Incoming::Ack), "no transaction takes it");
}

#[test]
fn a_cancel_finds_its_invite() {
    let mut b = Bench::new();
    let cancel = request("CANCEL", "z9hG4bK1");
    assert!(matches!(b.hear(&cancel), Incoming::Cancel(None)));
    let invite = b.open(&request("INVITE", "z9hG4bK1"));
    let found = |incoming| match incoming {
        Incoming::Cancel(found) => found,
        Incoming::Absorbed | Incoming::New | Incoming::Ack => panic!("no CANCEL"),
    };
    assert_eq!(found(b.hear(&cancel)), Some((invite, CallKey::default())));
    assert_eq!(found(b.hear(&request("CANCEL", "z9hG4bK2"))), None);
    let key = b.table.open(&cancel, flow(), None);
    b.respond(key, 200);
    assert!(matches!(b.hear(&cancel), Incoming::Absorbed));
    assert_eq!(b.sent(), ["200", "200"]);
    assert!(b.table.is_pending(invite), "only its owner ends it");
    b.pass(MINUTE);
    assert_eq!(b.told(), [""; 0], "nobody waits for the end of a CANCEL");
    assert_eq!(b.table.len(), 1, "but it is gone");
    let answered = b.table.open(&request("INVITE", "z9hG4bK3"), flow(), None);
    b.respond(answered, 482);
    let cancel = request("CANCEL", "z9hG4bK3");
    assert_eq!(found(b.hear(&cancel)), None, "an INVITE that made no call");
}

#[test]
fn peers_of_rfc_2543_are_matched_by_their_headers() {
    for branch in ["", ";branch=1", ";branch=z9hG4bK"] {
        let mut b = Bench::new();
        let top = format!("SIP/2.0/UDP {PEER}{branch}");
        let one = format!("Via: {top}\r\n");
        let joined = format!("Via: {top}, SIP/2.0/UDP 192.0.2.99\r\n");
        let two = format!("{one}Via: SIP/2.0/UDP 192.0.2.99\r\n");
        for (cseq, via) in [(1, &one), (2, &joined), (3, &two)] {
            let invite = request_via("INVITE", cseq, via, "");
            assert!(matches!(b.hear(&invite), Incoming::New), "{invite:?}");
            let key = b.open(&invite);
            assert!(matches!(b.hear(&invite), Incoming::Absorbed));
            let cancel = request_via("CANCEL", cseq, &one, "");
            let found = b.hear(&cancel);
            assert!(matches!(found, Incoming::Cancel(Some((k, _))) if k == key));
            b.respond(key, 404);
            assert_eq!(b.sent(), ["404"]);
            let ack = request_via("ACK", cseq, &one, ";tag=ours");
            assert!(matches!(b.hear(&ack), Incoming::Absorbed), "{via}");
            assert_eq!(b.pass(Duration::from_secs(4)), [], "{via} was acknowledged");
        }
        let via = format!("Via: SIP/2.0/UDP 192.0.2.8{branch}\r\n");
        let other = request_via("INVITE", 1, &via, "");
        assert!(matches!(b.hear(&other), Incoming::New));
    }
}

/// RFC 3261 §18.2.2, RFC 3581 §4
#[test]
fn responses_go_where_the_via_says() {
    let mut b = Bench::new();
    let mut goes = |via: &str| {
        let via = format!("Via: SIP/2.0/UDP {via};branch=z9hG4bK{}\r\n", via.len());
        let key = b.open(&request_via("OPTIONS", 1, &via, ""));
        b.respond(key, 200);
        b.transmits().remove(0).1
    };
    assert_eq!(goes("10.0.0.1:5080;rport"), "192.0.2.7:5070");
    assert_eq!(goes("10.0.0.1:5080"), "192.0.2.7:5080");
    assert_eq!(goes("10.0.0.1"), "192.0.2.7:5060");
}

// ---- our own requests ----

#[test]
fn a_response_belongs_to_the_branch_and_method_that_we_sent() {
    let mut b = Bench::new();
    b.send("INVITE");
    let cookie = format!("z9hG4bK{BRANCH}");
    let strange = [
        response_on(&format!("z9hG4bK{}", Token(8)), 200, "INVITE"),
        response_on(&BRANCH.to_string(), 200, "INVITE"),
        response_on(&cookie.to_ascii_uppercase(), 200, "INVITE"),
        response_on(&format!("{cookie}x"), 200, "INVITE"),
        response_on("z9hG4bK", 200, "INVITE"),
        response(200, "CANCEL"),
        response(200, "BYE"),
    ];
    for response in strange {
        assert!(!b.hear_response(response));
    }
    assert_eq!(b.told(), [""; 0]);
    assert!(b.hear_response(response(180, "INVITE")));
    assert_eq!(b.told(), ["180"]);
}

#[test]
fn an_invite_and_its_cancel_share_a_branch() {
    let mut b = Bench::new();
    let invite = b.send("INVITE");
    assert!(b.hear_response(response(180, "INVITE")));
    let (bytes, to, branch) = b.table.pending_request(invite).expect("not answered yet");
    assert_eq!((bytes, to, branch), (ours("INVITE"), flow(), BRANCH));
    b.send("CANCEL");
    assert!(b.hear_response(response(200, "CANCEL")));
    assert!(b.hear_response(response(487, "INVITE")));
    assert_eq!(b.told(), ["180", "200", "487"]);
    assert_eq!(b.sent(), ["INVITE", "CANCEL", "ACK"]);
    assert!(b.table.pending_request(invite).is_none());
    assert_eq!(b.pass(MINUTE), []);
    assert_eq!((b.told(), b.table.len()), (vec!["over".into(); 2], 0));
}

/// RFC 3261 §17.1.1.3
#[test]
fn a_failure_is_told_once_and_acknowledged_each_time() {
    let mut b = Bench::new();
    b.send("INVITE");
    b.out.clear();
    assert!(b.hear_response(response(486, "INVITE")));
    let first = b.out.pop_front();
    let Some(Output::Transmit { bytes, request, .. }) = first else {
        panic!("no ACK, but {first:?}");
    };
    let ack = Message::parse(bytes.clone()).expect("a legal ACK");
    assert_eq!((ack.to_tag(), ack.cseq()), (Some(&b"b"[..]), 1));
    assert_eq!(request, None, "an ACK is in no transaction");
    for status in [486, 500] {
        assert!(b.hear_response(response(status, "INVITE")));
        let again = b
            .out
            .drain(..)
            .any(|o| matches!(&o, Output::Transmit { bytes: repeated, .. } if *repeated == bytes));
        assert!(again, "the same ACK");
    }
    assert_eq!(b.told(), ["486"]);
    b.pass(Duration::from_millis(31_999));
    assert!(b.hear_response(response(486, "INVITE")), "until D");
    b.pass(Duration::from_millis(1));
    assert!(!b.hear_response(response(486, "INVITE")));
    assert_eq!(b.told(), ["over"]);
}

/// K3, K12: RFC 6026 §7.2
#[test]
fn every_2xx_is_the_owners() {
    let mut b = Bench::new();
    b.send("INVITE");
    for _ in 0..3 {
        assert!(b.hear_response(response(200, "INVITE")));
    }
    assert!(b.hear_response(response(486, "INVITE")), "ours, but late");
    assert_eq!(b.told(), ["200", "200", "200"]);
    assert_eq!(b.sent(), ["INVITE"], "an ACK of a 2xx is the owner's");
    assert!(!b.table.is_waiting());
    b.pass(Duration::from_secs(32));
    assert!(!b.hear_response(response(200, "INVITE")));
    assert_eq!(b.told(), ["over"]);
}

#[test]
fn silence_is_told_after_64_t1() {
    for (method, resent) in [
        ("INVITE", &[500, 1_500, 3_500, 7_500, 15_500, 31_500][..]),
        (
            "BYE",
            &[
                500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
            ],
        ),
    ] {
        let mut b = Bench::new();
        b.send(method);
        assert_eq!(b.sent(), [method]);
        let times: Vec<u64> = b
            .pass(Duration::from_millis(31_999))
            .into_iter()
            .inspect(|(_, what)| assert_eq!(what, method))
            .map(|(ms, _)| ms)
            .collect();
        assert_eq!(times, resent);
        assert!(b.told().is_empty() && b.table.is_waiting());
        assert_eq!(b.pass(Duration::from_millis(1)), []);
        assert_eq!(b.told(), ["silence", "over"]);
        assert_eq!((b.table.len(), b.timers.next()), (0, None));
    }
}

/// K6: RFC 3261 §17.1.4
#[test]
fn what_cannot_be_sent_is_told_at_once() {
    for method in ["INVITE", "BYE"] {
        let mut b = Bench::new();
        b.send(method);
        let id = b.transmits()[0].2.expect("a request has a name");
        b.fail(TransmitId(id.0 + 1));
        assert_eq!(b.told(), [""; 0], "not ours");
        b.fail(id);
        assert_eq!(b.told(), ["unsendable", "over"]);
        b.fail(id);
        assert_eq!(b.pass(MINUTE), [], "nothing is sent for it any more");
        assert_eq!((b.told().len(), b.table.len()), (0, 0));
        b.send(method);
        let id = b.transmits()[0].2.expect("a request has a name");
        b.hear_response(response(100, method));
        b.fail(id);
        assert_eq!(b.told(), ["100"], "it has arrived after all");
    }
}

#[test]
fn an_abandoned_request_is_over_and_says_nothing_else() {
    let mut b = Bench::new();
    let key = b.send("INVITE");
    b.table.abandon(key);
    b.table.abandon(key);
    assert_eq!(b.told(), ["over"]);
    assert!(!b.hear_response(response(200, "INVITE")));
    b.sent();
    assert_eq!(b.pass(MINUTE), []);
}
