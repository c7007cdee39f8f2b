//! What one call costs the machine alone, without sockets and without Wasm: allocations, bytes of
//! a call that is held, bytes of a finished transaction.
//!
//! ```text
//! cargo run --release -p intertrunk-proto --example call_cost              # 50,000 held calls
//! cargo run --release -p intertrunk-proto --example call_cost -- 1000 run  # calls only
//! valgrind --tool=callgrind target/release/examples/call_cost 1000 run     # instructions
//! ```
//! Counts and bytes are exact and the same on each machine; nothing here is timed.

#![allow(clippy::expect_used)]

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::ask::{Answer, Candidate, Plan, Verdict};
use intertrunk_proto::trunk::{
    Balance, IdentityRules, Peer, Redirects, SourceMatch, TransferRules, Trunk, TrunkKind,
    TrunkState,
};
use intertrunk_proto::{
    B2bua, Fallback, Flow, Input, Instant, Listener, ListenerId, Output, Policy, PolicyId,
    Snapshot, Transport, TrunkId,
};
use intertrunk_sip::{Message, Method, Name, reply};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLER: &str = "127.0.0.11:5070";
const GATEWAY: &str = "127.0.0.21:5080";
const SDP: &str = "v=0\r\no=- 3918274655 1 IN IP4 127.0.0.11\r\ns=-\r\nc=IN IP4 127.0.0.11\r\n\
    t=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
/// The longest that a finished transaction lives is 64·T1.
const TRANSACTIONS_LIVE: Duration = Duration::from_secs(33);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let calls: u32 = arguments
        .next()
        .map_or(50_000, |n| n.parse().expect("a number of calls"));
    if arguments.next().is_some() {
        return run(calls);
    }
    let mut world = World::new();
    for n in 0..100 {
        let call = world.set_up(n);
        world.hang_up(&call);
    }
    world.wait(TRANSACTIONS_LIVE * 2);

    (world.allocations, world.bytes) = (0, 0);
    let call = world.set_up(100);
    world.hang_up(&call);
    println!("one call            {:>8} allocations", world.allocations);
    println!("                    {:>8} bytes asked for", world.bytes);
    world.wait(TRANSACTIONS_LIVE * 2);

    // A BYE of a dialog that there is not: one server transaction and nothing else.
    let region = Region::new(ALLOCATOR);
    let mut answer = 0;
    for n in 0..calls {
        world.say(CALLER, &caller_says(n, "BYE", 2, "nobody", ""));
        answer = world.sent.iter().map(|(_, bytes)| bytes.len()).sum();
    }
    world.sent = Vec::new();
    println!(
        "a finished          {:>8} bytes, {answer} of them its answer",
        live(&region) / calls as usize
    );
    println!("transaction");
    world.wait(TRANSACTIONS_LIVE * 2);

    let region = Region::new(ALLOCATOR);
    let held: Vec<Held> = (0..calls).map(|n| world.set_up(1000 + n)).collect();
    let kept = held.capacity() * size_of::<Held>() + held.iter().map(Held::bytes).sum::<usize>();
    let fresh = live(&region) - kept;
    println!(
        "a held call         {:>8} bytes, right after its answer",
        fresh / calls as usize
    );
    world.wait(TRANSACTIONS_LIVE);
    let settled = live(&region) - kept;
    println!(
        "                    {:>8} bytes, transactions gone",
        settled / calls as usize
    );
    for call in held {
        world.hang_up(&call);
    }
    let [left, transactions, ..] = world.b2bua.holdings();
    let finished = live(&region);
    println!(
        "a finished call     {:>8} bytes, {} transactions and {} calls waiting",
        finished / calls as usize,
        transactions / calls as usize,
        left / calls as usize
    );
    world.wait(TRANSACTIONS_LIVE);
    println!(
        "all gone            {:>8} bytes a call kept by tables",
        live(&region) / calls as usize
    );
    assert_eq!(world.b2bua.holdings(), [0; 4]);
}

/// Calls one after the other, for a profiler.
fn run(calls: u32) {
    let mut world = World::new();
    for n in 0..calls {
        let call = world.set_up(n);
        world.hang_up(&call);
        world.wait(Duration::from_millis(10));
    }
    world.wait(TRANSACTIONS_LIVE);
}

fn live(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated)
}

/// What the two user agents remember of a call.
struct Held {
    n: u32,
    to_tag: String,
}

impl Held {
    fn bytes(&self) -> usize {
        self.to_tag.capacity()
    }
}

struct World {
    b2bua: B2bua,
    now: Instant,
    policy: Answer,
    sent: Vec<(Flow, Bytes)>,
    /// What the machine alone asked for.
    allocations: usize,
    bytes: usize,
}

impl World {
    fn new() -> World {
        let candidate = Candidate {
            trunk: "gw".to_owned(),
            callee: Some("+14255550100".to_owned()),
            ..Candidate::default()
        };
        let plan = Plan {
            candidates: vec![candidate],
            ..Plan::default()
        };
        World {
            b2bua: B2bua::new(snapshot(), 0, 1, [7; 32], (1, 2)),
            now: Instant::default(),
            policy: Answer {
                outcome: Ok(Verdict::Connect(plan)),
                pin: None,
                decision_us: 5,
                because: vec!["PSTN, least cost".to_owned()],
            },
            sent: Vec::new(),
            allocations: 0,
            bytes: 0,
        }
    }

    fn set_up(&mut self, n: u32) -> Held {
        self.say(CALLER, &caller_says(n, "INVITE", 1, "", SDP));
        let invite = self.take(GATEWAY);
        self.answer(&invite, 180, "");
        let _ringing = self.take(CALLER);
        self.answer(&invite, 200, SDP);
        let ok = self.take(CALLER);
        let _ack = self.take(GATEWAY);
        let to_tag = String::from_utf8_lossy(ok.to_tag().expect("a 200 has a tag")).into_owned();
        self.say(CALLER, &caller_says(n, "ACK", 1, &to_tag, ""));
        Held { n, to_tag }
    }

    fn hang_up(&mut self, call: &Held) {
        self.say(CALLER, &caller_says(call.n, "BYE", 2, &call.to_tag, ""));
        let _ok = self.take(CALLER);
        let bye = self.take(GATEWAY);
        assert_eq!(*bye.method(), Method::Bye);
        self.answer(&bye, 200, "");
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
        self.handle(input);
        while let Some(output) = self.b2bua.poll_output() {
            match output {
                Output::Transmit { flow, bytes, .. } => self.sent.push((flow, bytes)),
                Output::Ask { ask, .. } => {
                    let answer = Box::new(self.policy.clone());
                    self.handle(Input::Answered { ask, answer });
                }
                Output::Event(_) => {}
            }
        }
    }

    /// One step of the machine, counted.
    fn handle(&mut self, input: Input) {
        let region = Region::new(ALLOCATOR);
        self.b2bua.handle_input(input, self.now);
        let change = region.change();
        self.allocations += change.allocations + change.reallocations;
        self.bytes += change.bytes_allocated;
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

fn caller_says(n: u32, method: &str, cseq: u32, to_tag: &str, body: &str) -> String {
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

fn snapshot() -> Arc<Snapshot> {
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
    Arc::new(snapshot.expect("the trunks have different sources"))
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
        peers: vec![Peer::at(address)],
        follows_peers: false,
        certificates: Vec::new(),
        oversize: Default::default(),
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
        redirects: Redirects::default(),
        pass_headers: None,
        extensions: Default::default(),
        state: Arc::new(TrunkState::default()),
    }
}
