//! A shard by itself, with a neighbour that does not take its mail.

#![allow(clippy::unwrap_used)]

use std::net::UdpSocket as Peer;

use intertrunk_policy::{TrunkFacts, World};
use intertrunk_proto::trunk::{SourceMatch, Trunk, TrunkKind};
use intertrunk_proto::{Fallback, Listener, ListenerId, Policy, Snapshot, Transport, TrunkId};

use super::*;
use crate::mailbox::{DATAGRAMS_MAX, mailbox};
use crate::memory::Memory;
use crate::observe::cdr::RecordKeeper;
use crate::observe::journal::JournalKeeper;
use crate::observe::metrics::Counters;
use crate::outside::Outside;
use crate::transport;

struct Nothing;

impl World for Nothing {
    fn trunk(&self, _: &str) -> Option<TrunkFacts> {
        None
    }
    fn trunks(&self) -> Vec<TrunkFacts> {
        Vec::new()
    }
    fn tables(&self) -> Arc<dyn intertrunk_policy::Tables> {
        Arc::new(intertrunk_policy::Nowhere)
    }
}

/// One of two shards; the other one's mailbox is never emptied.
struct Bench {
    shard: Shard,
    neighbour: Inbox,
    counters: Arc<Counters>,
    peer: Peer,
}

fn bench() -> Bench {
    let peer = Peer::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let listener = Listener {
        id: ListenerId(0),
        name: "lan".into(),
        local: "127.0.0.1:0".parse().unwrap(),
        advertise: "127.0.0.1:0".into(),
        transport: Transport::Udp,
    };
    let mut bound = transport::bind(&[Arc::new(listener)], 1).unwrap();
    let mut sockets = bound.sockets.remove(0);
    let doors = bound.doors.remove(0);
    let (poll, other_poll) = (Poll::new().unwrap(), Poll::new().unwrap());
    sockets[0].watch(poll.registry(), Token(0)).unwrap();
    let streams = Streams::new(0, poll.registry().try_clone().unwrap(), doors).unwrap();
    let (mine, inbox) = mailbox(poll.registry(), MAILBOX).unwrap();
    let (theirs, neighbour) = mailbox(other_poll.registry(), MAILBOX).unwrap();
    let counters = Arc::<Counters>::default();
    let clock = Clock::start();
    let (_, records) = RecordKeeper::start(None, clock, Arc::clone(&counters)).unwrap();
    let (_, decisions) = JournalKeeper::start(None, Arc::clone(&counters)).unwrap();
    let trunk = trunk_of(&peer);
    let listeners = bound.listeners.iter().map(|l| Listener::clone(l)).collect();
    let policy = Policy {
        id: PolicyId(0),
        name: "main".into(),
        deadline: Duration::from_millis(20),
        fallback: Fallback::Reject(580),
        trunks: Vec::new(),
        sources: Vec::new(),
    };
    let snapshot = Snapshot::new("bench", listeners, vec![trunk], vec![policy]).unwrap();
    let shard = Shard::new(Parts {
        share: Share {
            shard: 0,
            shards: 2,
            key: (1, 2),
            seed: [7; 32],
        },
        clock,
        engine: Engine::new().unwrap(),
        running: Arc::new(Running {
            snapshot: Arc::new(snapshot),
            world: Arc::new(Nothing),
            memory: Memory::of(&Default::default(), 2, &[], Default::default()),
            streams: Arc::default(),
            slots: Vec::new(),
        }),
        poll,
        sockets,
        streams,
        inbox,
        mailboxes: [mine, theirs].into(),
        outside: Outside::start().unwrap(),
        blocklist: Arc::default(),
        observer: Observer::new(Arc::clone(&counters), records, decisions),
    });
    Bench {
        shard,
        neighbour,
        counters,
        peer,
    }
}

fn trunk_of(peer: &Peer) -> Trunk {
    let address = peer.local_addr().unwrap();
    let source = SourceMatch {
        network: address.ip(),
        prefix: 32,
        port: Some(address.port()),
    };
    Trunk {
        sources: vec![source],
        failover_codes: Vec::new(),
        ..Trunk::new(TrunkId(0), "pbx-a", TrunkKind::Pbx)
    }
}

impl Bench {
    fn send(&self, method: &str, call_id: &str) {
        let to = self.shard.sockets[0].local().unwrap();
        let from = self.peer.local_addr().unwrap();
        let text = format!(
            "{method} sip:100@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{call_id}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:1@{from}>;tag=1\r\nTo: <sip:100@{to}>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContact: <sip:1@{from}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.peer.send_to(text.as_bytes(), to).unwrap();
    }

    /// Lets the shard work until `count` has reached `n`, for some seconds at most.
    fn work_until(&mut self, count: Count, n: u64) {
        let give_up = self.shard.clock.now() + Duration::from_secs(5);
        while self.counters.read(count) < n {
            assert!(
                self.shard.clock.now() < give_up,
                "{count:?} stays below {n}"
            );
            self.shard.readable[0] = true;
            self.shard.turn();
        }
    }

    fn answer(&self) -> String {
        let mut buffer = [0; 2048];
        let length = self.peer.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

/// A Call-ID that belongs to the given one of two shards.
fn call_id_of(shard: u16) -> String {
    let ids = (0..).map(|n| format!("call-{n}"));
    ids.into_iter()
        .find(|id| owner_shard(id.as_bytes(), (1, 2), 2) == shard)
        .unwrap()
}

#[test]
fn a_datagram_goes_to_the_shard_that_owns_its_call() {
    let mut bench = bench();
    bench.send("OPTIONS", &call_id_of(1));
    bench.work_until(Count::DatagramsForwarded, 1);
    let Forwarded { flow, bytes, .. } = bench.neighbour.datagram().unwrap();
    assert!(bytes.starts_with(b"OPTIONS "));
    assert_eq!(flow.remote, bench.peer.local_addr().unwrap());
}

#[test]
fn a_new_call_that_finds_its_shard_full_is_refused_at_once() {
    let mut bench = bench();
    let id = call_id_of(1);
    for _ in 0..DATAGRAMS_MAX {
        let flow = Flow::to(ListenerId(0), bench.peer.local_addr().unwrap());
        let letter = Forwarded {
            flow,
            bytes: Bytes::new(),
            at: bench.shard.clock.now(),
        };
        bench.shard.mailboxes[1].forward(letter).unwrap();
    }
    bench.send("BYE", &id);
    bench.send("INVITE", &id);
    bench.work_until(Count::DatagramsShed, 2);
    let answer = bench.answer();
    assert!(
        answer.starts_with("SIP/2.0 503 "),
        "only the INVITE is answered: {answer}"
    );
    let (_, retry_after) = answer.split_once("Retry-After: ").unwrap();
    let seconds: u32 = retry_after.lines().next().unwrap().parse().unwrap();
    assert!((2..=10).contains(&seconds), "{answer}");
    assert_eq!(bench.counters.read(Count::ShedMailbox), 1);
    assert!(answer.contains(&format!("Call-ID: {id}\r\n")), "{answer}");
}

#[test]
fn a_policy_without_a_slot_is_a_fault_for_which_the_fallback_steps_in() {
    let mut bench = bench();
    bench.send("INVITE", &call_id_of(0));
    bench.work_until(Count::DatagramsSent, 2);
    assert!(bench.answer().starts_with("SIP/2.0 100 "));
    assert!(bench.answer().starts_with("SIP/2.0 580 "));
    assert_eq!(bench.counters.read(Count::FaultNotReady), 1);
}
