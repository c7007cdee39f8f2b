//! A machine between one caller and one gateway, for those who count what calls cost it: the test
//! of memory and the example `call_cost`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::ask::{Answer, Candidate, Plan, Verdict};
use intertrunk_proto::trunk::{Trunk, TrunkKind};
use intertrunk_proto::{
    B2bua, Fallback, Flow, Input, Instant, Limits, Listener, ListenerId, Output, Policy, PolicyId,
    Snapshot, Transport, TrunkId,
};
use intertrunk_sip::{Message, Name, reply};

/// Where the caller is.
pub const CALLER: &str = "127.0.0.11:5070";
/// Where the gateway is.
pub const GATEWAY: &str = "127.0.0.21:5080";

/// The machine and its two peers.
pub struct Between {
    /// The machine.
    pub b2bua: B2bua,
    /// What it has sent since a peer spoke last.
    pub sent: Vec<(Flow, Bytes)>,
    now: Instant,
    policy: Answer,
    /// How the machine takes an input: whoever counts does so here.
    step: fn(&mut B2bua, Input, Instant),
}

impl Between {
    /// A policy that tries the gateway `tries` times, one after the other.
    pub fn new(limits: Limits, tries: u8, step: fn(&mut B2bua, Input, Instant)) -> Between {
        let candidate = |group| Candidate {
            trunk: "gw".to_owned(),
            callee: Some("+14255550100".to_owned()),
            group,
            ..Candidate::default()
        };
        let plan = Plan {
            candidates: (0..tries).map(candidate).collect(),
            ..Plan::default()
        };
        let mut snapshot = snapshot();
        snapshot.limits = limits;
        Between {
            b2bua: B2bua::new(Arc::new(snapshot), 0, 1, [7; 32], (1, 2)),
            sent: Vec::new(),
            now: Instant::default(),
            policy: Answer {
                outcome: Ok(Verdict::Connect(plan)),
                pin: None,
                decision_us: 5,
                because: vec!["PSTN, least cost".to_owned()],
                looked_up: Vec::new(),
            },
            step,
        }
    }

    /// The last message that was sent to this address.
    pub fn take(&mut self, to: &str) -> Message {
        let to = to.parse().expect("a literal");
        let at = self.sent.iter().rposition(|(flow, _)| flow.remote == to);
        let (_, bytes) = self.sent.swap_remove(at.expect("something was sent there"));
        Message::parse(bytes).expect("the host sends legal messages")
    }

    /// The gateway answers.
    pub fn answer(&mut self, request: &Message, code: u16, body: &str) {
        let phrase = intertrunk_sip::reason_phrase(code);
        let mut b = reply(request, code, phrase, Some("gw-7f3a"), None);
        b.header(Name::Contact, "<sip:127.0.0.21:5080>");
        if !body.is_empty() {
            b.header(Name::ContentType, "application/sdp");
        }
        let bytes = b.finish((!body.is_empty()).then_some(body.as_bytes()));
        self.receive(GATEWAY, bytes);
    }

    /// The caller says something; `n` is the call.
    pub fn say(&mut self, n: usize, method: &str, cseq: u32, to_tag: &str, body: &str) {
        self.sent.clear();
        let text = caller_says(n, method, cseq, to_tag, body);
        self.receive(CALLER, Bytes::copy_from_slice(text.as_bytes()));
    }

    /// Lets time go by; what is sent meanwhile reaches nobody.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.b2bua.poll_timeout().filter(|at| *at <= until) {
            self.now = at;
            self.input(Input::Timeout);
            self.sent.clear();
        }
        self.now = until;
        self.sent = Vec::new();
    }

    fn receive(&mut self, from: &str, bytes: Bytes) {
        let flow = Flow::to(ListenerId(0), from.parse().expect("a literal"));
        self.input(Input::Received { flow, bytes });
    }

    fn input(&mut self, input: Input) {
        (self.step)(&mut self.b2bua, input, self.now);
        while let Some(output) = self.b2bua.poll_output() {
            match output {
                Output::Transmit { flow, bytes, .. } => self.sent.push((flow, bytes)),
                Output::Ask { ask, .. } => {
                    let answer = Box::new(self.policy.clone());
                    let answered = Input::Answered { ask, answer };
                    (self.step)(&mut self.b2bua, answered, self.now);
                }
                Output::Event(_) | Output::Inquire { .. } | Output::Forget(_) => {}
            }
        }
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
        sources: Vec::new(),
    };
    let trunk = |id, name, kind, address: &str| {
        Trunk::new(TrunkId(id), name, kind).with_peer_at(address.parse().expect("a literal"))
    };
    let trunks = vec![
        trunk(0, "pbx", TrunkKind::Pbx, CALLER),
        trunk(1, "gw", TrunkKind::Pstn, GATEWAY),
    ];
    let snapshot = Snapshot::new("bench", vec![listener], trunks, vec![policy]);
    snapshot.expect("the trunks have different sources")
}
