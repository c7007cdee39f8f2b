//! Who a source is, and how many calls fit.

use std::net::SocketAddr;

use super::{Direction, Health, Peer, Seat, SourceMatch, Trunk, TrunkKind};
use crate::io::{Flow, ListenerId, TrunkId};
use crate::listener::Transport;
use crate::snapshot::{Snapshot, SnapshotFault};

/// A trunk with these sources, without peers and limits.
pub(crate) fn trunk(id: u32, name: &str, sources: Vec<SourceMatch>) -> Trunk {
    Trunk {
        sources,
        failover_codes: Vec::new(),
        ..Trunk::new(TrunkId(id), name, TrunkKind::Pbx)
    }
}

/// A peer with this host that is found at this address, by TLS.
pub(crate) fn peer(host_port: &str, address: &str) -> Peer {
    Peer {
        host_port: host_port.into(),
        transport: Transport::Tls,
        ..Peer::at(address.parse().expect("a literal"))
    }
}

fn source(network: &str, prefix: u8, port: Option<u16>) -> SourceMatch {
    SourceMatch {
        network: network.parse().expect("a literal"),
        prefix,
        port,
    }
}

#[test]
fn a_port_beats_an_address_beats_a_network() {
    let from: SocketAddr = "192.0.2.7:5070".parse().expect("a literal");
    let specificity = |s: SourceMatch| s.specificity(from);
    let all = specificity(source("0.0.0.0", 0, None));
    let net = specificity(source("192.0.2.0", 24, None));
    let one = specificity(source("192.0.2.7", 32, None));
    let port = specificity(source("192.0.2.7", 32, Some(5070)));
    assert!(all.is_some() && all < net && net < one && one < port);
    assert_eq!(specificity(source("192.0.3.0", 24, None)), None);
    assert_eq!(specificity(source("192.0.2.7", 32, Some(5060))), None);
    assert_eq!(specificity(source("2001:db8::", 32, None)), None);
    let v6: SocketAddr = "[2001:db8::7]:5060".parse().expect("a literal");
    assert_eq!(source("2001:db8::", 32, None).specificity(v6), Some(32));
    assert_eq!(source("::", 0, None).specificity(v6), Some(0));
    let mapped: SocketAddr = "[::ffff:192.0.2.7]:5070".parse().expect("a literal");
    assert!(source("192.0.2.7", 32, None).specificity(mapped).is_some());
}

#[test]
fn the_most_specific_trunk_of_the_listener_is_found() {
    let mut elsewhere = trunk(2, "elsewhere", vec![source("192.0.2.7", 32, Some(5070))]);
    elsewhere.listen = ListenerId(1);
    let trunks = vec![
        trunk(0, "net", vec![source("192.0.2.0", 24, None)]),
        trunk(1, "host", vec![source("192.0.2.7", 32, None)]),
        elsewhere,
    ];
    let snapshot = Snapshot::new("t", Vec::new(), trunks, Vec::new()).expect("sources differ");
    let who = |listener: u16, from: &str| {
        let remote = from.parse().expect("a literal");
        let found = snapshot.identify(Flow::to(ListenerId(listener), remote));
        found.map(|t| t.name.to_string())
    };
    assert_eq!(who(0, "192.0.2.7:5070").as_deref(), Some("host"));
    assert_eq!(who(0, "192.0.2.8:5070").as_deref(), Some("net"));
    assert_eq!(who(1, "192.0.2.7:5070").as_deref(), Some("elsewhere"));
    assert_eq!(who(0, "198.51.100.1:5070"), None);
}

#[test]
fn one_source_is_one_trunk() {
    let twice = vec![
        trunk(0, "a", vec![source("192.0.2.7", 32, None)]),
        trunk(1, "b", vec![source("192.0.2.7", 32, None)]),
    ];
    let fault = Snapshot::new("t", Vec::new(), twice, Vec::new()).expect_err("one source");
    let SnapshotFault::SourceTwice(a, b, source) = fault;
    assert_eq!((&*a, &*b, &*source), ("a", "b", "192.0.2.7/32"));
    let same = |a: &str, b: &str| source_of(a).is_same_as(&source_of(b));
    assert!(
        same("192.0.2.1/24", "192.0.2.9/24"),
        "bits behind the prefix do not count"
    );
    assert!(!same("192.0.2.1/24", "192.0.3.1/24") && !same("192.0.2.0/24", "192.0.2.0/25"));
}

#[test]
fn a_full_trunk_has_no_seat_until_one_is_given_back() {
    let mut t = trunk(0, "t", Vec::new());
    (t.calls_max, t.calls_in_max, t.calls_out_max) = (Some(3), Some(2), Some(2));
    let first = Seat::take(&t, Direction::In);
    let second = Seat::take(&t, Direction::In);
    assert!(first.is_some() && second.is_some());
    assert!(
        Seat::take(&t, Direction::In).is_none(),
        "two at most come in"
    );
    let third = Seat::take(&t, Direction::Out);
    assert!(third.is_some());
    assert!(
        Seat::take(&t, Direction::Out).is_none(),
        "three at most in all"
    );
    assert_eq!(
        (t.state.incoming(), t.state.outgoing(), t.state.active()),
        (2, 1, 3)
    );
    drop(first);
    assert!(Seat::take(&t, Direction::Out).is_some(), "and taken again");
    drop((second, third));
    assert_eq!(t.state.active(), 0, "every seat was given back");
}

#[test]
fn each_limit_holds_in_its_own_direction() {
    use Direction::{In, Out};
    let seats = |limits: [Option<u32>; 3], wishes: &[Direction]| {
        let mut t = trunk(0, "t", Vec::new());
        [t.calls_max, t.calls_in_max, t.calls_out_max] = limits;
        let taken: Vec<_> = wishes.iter().map(|d| Seat::take(&t, *d)).collect();
        let left = taken.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(t.state.active() as usize, taken.iter().flatten().count());
        drop(taken);
        assert_eq!((t.state.incoming(), t.state.outgoing()), (0, 0));
        left
    };
    let wishes = [In, Out, In, Out];
    assert_eq!(seats([None, None, None], &wishes), [true; 4]);
    let expected = [true, true, false, false];
    assert_eq!(seats([Some(2), None, None], &wishes), expected);
    let expected = [true, true, false, true];
    assert_eq!(seats([None, Some(1), None], &wishes), expected);
    let expected = [true, true, true, false];
    assert_eq!(seats([None, None, Some(1)], &wishes), expected);
    assert_eq!(seats([Some(0), None, None], &[In, Out]), [false, false]);
}

#[test]
fn health_closes_a_trunk() {
    let t = trunk(0, "t", Vec::new());
    let open = |health| {
        t.state.set_health(health);
        [Direction::In, Direction::Out].map(|d| Seat::take(&t, d).is_some())
    };
    assert_eq!(open(Health::Up), [true, true]);
    assert_eq!(open(Health::Degraded), [true, true]);
    assert_eq!(
        open(Health::Down),
        [true, false],
        "a peer that calls is there after all"
    );
    assert_eq!(open(Health::Disabled), [false, false]);
    assert_eq!(t.state.active(), 0);
}

fn source_of(text: &str) -> SourceMatch {
    let (network, prefix) = text.split_once('/').expect("a literal");
    source(network, prefix.parse().expect("a literal"), None)
}
