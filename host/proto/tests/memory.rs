//! A machine filled to its limits takes no more memory than its limits say it does.
//!
//! One test, in a binary of its own: the allocator counts for the whole process.

#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::ask::{Answer, Candidate, Plan, Verdict};
use intertrunk_proto::trunk::{
    Balance, IdentityRules, Peer, SourceMatch, TransferRules, Trunk, TrunkKind, TrunkState,
};
use intertrunk_proto::{
    B2bua, CALL_BYTES, Fallback, Flow, Input, Instant, Limits, Listener, ListenerId, MESSAGE_BYTES,
    Output, Policy, PolicyId, Snapshot, TRANSACTION_BYTES, Transport, TrunkId,
};
use intertrunk_sip::{Message, Name, reply};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLER: &str = "127.0.0.11:5070";
const GATEWAY: &str = "127.0.0.21:5080";
const CALLS: usize = 2_000;
const TRANSACTIONS: usize = 10_000;

#[test]
fn limits_say_what_they_cost() {
    let sdp = format!("v=0\r\na={}\r\n", "x".repeat(MESSAGE_BYTES - 700));
    let mut world = World::new();
    let empty = Region::new(ALLOCATOR);

    // Finished transactions first, until there may be no more.
    for n in 0..TRANSACTIONS {
        world.say(CALLER, &caller_says(n, "OPTIONS", 1, "", ""));
    }
    world.sent = Vec::new();
    assert_eq!(world.b2bua.holdings(), [0, TRANSACTIONS, 0, 0]);
    let transactions = live(&empty);
    assert!(
        transactions <= TRANSACTIONS * TRANSACTION_BYTES,
        "{transactions}"
    );
    world.wait(Duration::from_secs(70));
    assert_eq!(world.b2bua.holdings(), [0; 4]);

    // Calls that ring at their second gateway, until there may be no more.
    for n in 0..CALLS {
        world.say(CALLER, &caller_says(n, "INVITE", 1, "", &sdp));
        let invite = world.take(GATEWAY);
        assert!((MESSAGE_BYTES - 400..=MESSAGE_BYTES).contains(&invite.bytes().len()));
        world.answer(&invite, 503, "");
        let invite = world.take(GATEWAY);
        world.answer(&invite, 180, &sdp);
    }
    world.sent = Vec::new();
    let [calls, transactions, ..] = world.b2bua.holdings();
    assert_eq!(calls, CALLS);
    let ringing = live(&empty);
    assert!(ringing <= CALLS * CALL_BYTES, "{} a call", ringing / CALLS);

    // One more of each is refused, and takes nothing.
    world.say(CALLER, &caller_says(CALLS, "INVITE", 1, "", &sdp));
    assert_eq!(world.take(CALLER).status(), 503);
    world.sent = Vec::new();
    assert_eq!(world.b2bua.holdings()[..2], [calls, transactions]);
    let limits = world.limits;
    assert!(live(&empty) <= limits.bytes());
}

fn live(region: &Region<'_, System>) -> usize {
    let change = region.change();
    let gone = change.bytes_deallocated;
    change.bytes_allocated.saturating_sub(gone)
}

struct World {
    b2bua: B2bua,
    limits: Limits,
    now: Instant,
    policy: Answer,
    sent: Vec<(Flow, Bytes)>,
}

impl World {
    fn new() -> World {
        let candidate = |group| Candidate {
            trunk: "gw".to_owned(),
            callee: Some("+14255550100".to_owned()),
            group,
            ..Candidate::default()
        };
        let plan = Plan {
            candidates: vec![candidate(0), candidate(1)],
            ..Plan::default()
        };
        let limits = Limits {
            calls_max: CALLS,
            transactions_max: TRANSACTIONS,
            ..Limits::default()
        };
        let mut snapshot = snapshot();
        snapshot.limits = limits;
        World {
            b2bua: B2bua::new(Arc::new(snapshot), 0, 1, [7; 32], (1, 2)),
            limits,
            now: Instant::default(),
            policy: Answer {
                outcome: Ok(Verdict::Connect(plan)),
                pin: None,
                decision_us: 5,
                because: vec!["PSTN, least cost".to_owned()],
            },
            sent: Vec::new(),
        }
    }

    /// The last message that was sent to this address.
    fn take(&mut self, to: &str) -> Message {
        let to = to.parse().expect("a literal");
        let at = self.sent.iter().rposition(|(flow, _)| flow.remote == to);
        let (_, bytes) = self.sent.swap_remove(at.expect("something was sent there"));
        Message::parse(bytes).expect("the host sends legal messages")
    }

    /// The gateway answers.
    fn answer(&mut self, request: &Message, code: u16, body: &str) {
        let phrase = intertrunk_sip::reason_phrase(code);
        let mut b = reply(request, code, phrase, Some("gw-7f3a"), None);
        b.header(Name::Contact, "<sip:127.0.0.21:5080>");
        if !body.is_empty() {
            b.header(Name::ContentType, "application/sdp");
        }
        let bytes = b.finish((!body.is_empty()).then_some(body.as_bytes()));
        self.receive(GATEWAY, bytes);
    }

    fn say(&mut self, from: &str, text: &str) {
        self.sent.clear();
        self.receive(from, Bytes::copy_from_slice(text.as_bytes()));
    }

    fn receive(&mut self, from: &str, bytes: Bytes) {
        let flow = Flow::to(ListenerId(0), from.parse().expect("a literal"));
        self.input(Input::Received { flow, bytes });
    }

    fn input(&mut self, input: Input) {
        self.b2bua.handle_input(input, self.now);
        while let Some(output) = self.b2bua.poll_output() {
            match output {
                Output::Transmit { flow, bytes, .. } => self.sent.push((flow, bytes)),
                Output::Ask { ask, .. } => {
                    let answer = Box::new(self.policy.clone());
                    let answered = Input::Answered { ask, answer };
                    self.b2bua.handle_input(answered, self.now);
                }
                Output::Event(_) => {}
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.b2bua.poll_timeout().filter(|at| *at <= until) {
            self.now = at;
            self.input(Input::Timeout);
            self.sent.clear();
        }
        self.now = until;
        self.sent = Vec::new();
    }
}

fn caller_says(n: usize, method: &str, cseq: u32, to_tag: &str, body: &str) -> String {
    let to_tag = match to_tag {
        "" => String::new(),
        tag => format!(";tag={tag}"),
    };
    let kind = match body {
        "" => "",
        _ => "Content-Type: application/sdp\r\n",
    };
    format!(
        "{method} sip:94255550100@127.0.0.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{n}-{cseq}-{method}\r\n\
         Max-Forwards: 70\r\n\
         From: \"Desk 0100\" <sip:0100@127.0.0.11:5070>;tag=caller{n}\r\n\
         To: <sip:94255550100@127.0.0.1:5060>{to_tag}\r\n\
         Call-ID: {n}-4711@127.0.0.11\r\n\
         CSeq: {cseq} {method}\r\n\
         Contact: <sip:0100@127.0.0.11:5070>\r\n\
         User-Agent: A telephone\r\n\
         {kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn snapshot() -> Snapshot {
    let listener = Listener {
        id: ListenerId(0),
        name: "lan".into(),
        local: "127.0.0.1:5060".parse().expect("a literal"),
        advertise: "127.0.0.1:5060".into(),
        transport: Transport::Udp,
    };
    let policy = Policy {
        id: PolicyId(0),
        name: "main".into(),
        deadline: Duration::from_millis(20),
        fallback: Fallback::Reject(503),
        trunks: vec!["*".to_owned()],
    };
    let trunks = vec![
        trunk(0, "pbx", TrunkKind::Pbx, CALLER),
        trunk(1, "gw", TrunkKind::Pstn, GATEWAY),
    ];
    let snapshot = Snapshot::new("bench", vec![listener], trunks, vec![policy]);
    snapshot.unwrap()
}

fn trunk(id: u32, name: &str, kind: TrunkKind, address: &str) -> Trunk {
    let address: std::net::SocketAddr = address.parse().expect("a literal");
    Trunk {
        id: TrunkId(id),
        name: name.into(),
        kind,
        site: None,
        tags: Vec::new(),
        listen: ListenerId(0),
        also_listen: Vec::new(),
        certificates: Vec::new(),
        oversize: Default::default(),
        peers: vec![Peer::at(address)],
        follows_peers: false,
        balance: Balance::Priority,
        sources: vec![SourceMatch {
            network: address.ip(),
            prefix: 32,
            port: None,
        }],
        policy: PolicyId(0),
        calls_max: None,
        calls_in_max: None,
        calls_out_max: None,
        no_progress: Duration::from_secs(10),
        failover_codes: vec![408, 500, 502, 503, 504],
        pstn_to: Vec::new(),
        identity: IdentityRules::default(),
        transfers: TransferRules::default(),
        redirects: Default::default(),
        pass_headers: None,
        extensions: Default::default(),
        state: Arc::new(TrunkState::default()),
    }
}
