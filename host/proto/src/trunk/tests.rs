//! Who a source is, and how many calls fit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Ailment, Direction, Ended, Full, Health, Options, Peer, Quality, Rate, Rates, Seat, Soak,
    SourceMatch, Switch, Trunk, TrunkKind, Wish,
};
use crate::io::{Flow, ListenerId, TrunkId};
use crate::listener::Transport;
use crate::rng::Rng;
use crate::snapshot::{Snapshot, SnapshotFault};
use crate::time::Instant;

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

/// A seat for an ordinary call, or for one for help, at this second.
fn ask(t: &Trunk, direction: Direction, emergency: bool, s: u64) -> Result<Seat, Full> {
    let wish = Wish {
        direction,
        emergency,
        now: Instant::from_micros(s * 1_000_000),
    };
    Seat::take(t, wish)
}

fn take(t: &Trunk, direction: Direction) -> Option<Seat> {
    ask(t, direction, false, 1).ok()
}

/// F15: a full trunk takes no call until one has ended.
#[test]
fn a_full_trunk_has_no_seat_until_one_is_given_back() {
    let mut t = trunk(0, "t", Vec::new());
    (t.calls_max, t.calls_in_max, t.calls_out_max) = (Some(3), Some(2), Some(2));
    let first = take(&t, Direction::In);
    let second = take(&t, Direction::In);
    assert!(first.is_some() && second.is_some());
    assert!(take(&t, Direction::In).is_none(), "two at most come in");
    let third = take(&t, Direction::Out);
    assert!(third.is_some());
    assert!(take(&t, Direction::Out).is_none(), "three at most in all");
    assert_eq!(
        (t.state.incoming(), t.state.outgoing(), t.state.active()),
        (2, 1, 3)
    );
    drop(first);
    assert!(take(&t, Direction::Out).is_some(), "and taken again");
    drop((second, third));
    assert_eq!(t.state.active(), 0, "every seat was given back");
}

/// F15: both directions together, and each alone.
#[test]
fn each_limit_holds_in_its_own_direction() {
    use Direction::{In, Out};
    let seats = |limits: [Option<u32>; 3], wishes: &[Direction]| {
        let mut t = trunk(0, "t", Vec::new());
        [t.calls_max, t.calls_in_max, t.calls_out_max] = limits;
        let taken: Vec<_> = wishes.iter().map(|d| take(&t, *d)).collect();
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

/// F5: what is down is not called; what is switched off takes nothing.
#[test]
fn health_closes_a_trunk() {
    let t = trunk(0, "t", Vec::new());
    let open = |health| {
        t.state.set_health(health);
        [Direction::In, Direction::Out].map(|d| take(&t, d).is_some())
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

/// T12: a trunk that drains or is disabled takes no new call in either direction, and keeps those that
/// are up; enabled again it is as well as before.
#[test]
fn switched_trunk_keeps_its_calls() {
    use Direction::{In, Out};
    let t = trunk(0, "t", Vec::new());
    let up = [take(&t, In), take(&t, Out)];
    for switch in [Switch::Draining, Switch::Disabled] {
        t.state.set_switch(switch);
        for direction in [In, Out] {
            let refused = ask(&t, direction, false, 1).expect_err("no new calls");
            assert_eq!(refused, Full::Switched(switch));
        }
        assert_eq!(t.state.health(), Health::Disabled);
        assert_eq!(t.state.active(), 2, "calls that are up stay");
    }
    t.state.set_switch(Switch::Enabled);
    assert!(take(&t, In).is_some() && t.state.health() == Health::Up);
    drop(up);
    assert_eq!(t.state.active(), 0);
}

/// F16: new calls above the rate have no seat, and leave none behind; each direction has a rate of its
/// own, and a call that one of two rates refuses costs the other nothing.
#[test]
fn rate_limits_new_calls() {
    use Direction::{In, Out};
    let mut t = trunk(0, "t", Vec::new());
    let rate = |per_second| {
        Some(Rate {
            per_second,
            burst: per_second,
        })
    };
    t.rates = Rates {
        both: rate(3),
        incoming: rate(1),
        outgoing: None,
    };
    let got = [In, In, In, Out, Out, Out].map(|d| ask(&t, d, false, 1).err());
    let over = Some(Full::Rate);
    assert_eq!(got, [None, over, over, None, None, over]);
    assert_eq!(t.state.active(), 0);
    assert!(ask(&t, In, false, 2).is_ok(), "a second later");
}

/// F17: places of the reserve are for emergency calls alone, and those pass every limit.
#[test]
fn emergency_calls_have_places_of_their_own() {
    use Direction::Out;
    let mut t = trunk(0, "t", Vec::new());
    t.calls_max = Some(4);
    t.reserve_emergency = 2;
    t.rates.both = Some(Rate {
        per_second: 3,
        burst: 3,
    });
    let mut up = vec![ask(&t, Out, false, 1), ask(&t, Out, false, 1)];
    assert_eq!(
        ask(&t, Out, false, 1).err(),
        Some(Full::Calls),
        "the reserve"
    );
    up.extend((0..9).map(|_| ask(&t, Out, true, 1)));
    assert!(up.iter().all(Result::is_ok), "no limit for them");
    up.remove(0).expect("it is up");
    assert_eq!(
        ask(&t, Out, false, 9).err(),
        Some(Full::Calls),
        "they fill it"
    );
    up.clear();
    // With one of them up, one place of the reserve is still kept.
    up.push(ask(&t, Out, true, 10));
    up.extend((0..3).map(|_| ask(&t, Out, false, 10)));
    let taken: Vec<bool> = up.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, true, true, false]);
    t.state.set_health(Health::Down);
    assert!(ask(&t, Out, true, 1).is_ok(), "it is worth a try");
    t.state.set_switch(Switch::Draining);
    assert!(ask(&t, Out, true, 1).is_ok());
    t.state.set_switch(Switch::Disabled);
    assert!(ask(&t, Out, true, 1).is_err(), "cut off by an operator");
    assert!(ask(&t, Direction::In, true, 1).is_ok());
}

/// F15: somebody is told once when 90 % of a limit are taken, and once when it is below 80 % again.
#[test]
fn limit_is_minded_once() {
    let mut t = trunk(0, "t", Vec::new());
    t.calls_in_max = Some(10);
    let mut up: Vec<_> = (0..8).map(|_| take(&t, Direction::In)).collect();
    assert_eq!(t.mind_limit(), None);
    up.push(take(&t, Direction::In));
    assert_eq!([t.mind_limit(), t.mind_limit()], [Some(true), None]);
    up.pop();
    assert_eq!(t.mind_limit(), None, "80 % are taken");
    up.pop();
    assert_eq!([t.mind_limit(), t.mind_limit()], [Some(false), None]);
}

/// F12, F14: the health of a trunk follows its targets and its calls.
#[test]
fn health_follows_targets_and_calls() {
    let mut t = trunk(0, "t", Vec::new());
    t.peers = ["192.0.2.1:5060", "192.0.2.2:5060"]
        .map(|a| peer(a, a))
        .into();
    t.health.options = Some(Options::default());
    t.health.soak = Some(Soak {
        share: 10,
        good: 1,
        time: Duration::from_secs(60),
    });
    t.health.quality = Some(Quality {
        window: Duration::from_secs(120),
        calls_min: 2,
        asr_min: Some(50),
        ner_min: Some(80),
        pdd_max: Some(Duration::from_secs(3)),
        acd_min: Some(Duration::from_secs(10)),
    });
    let marks = [0, 1].map(|n: usize| Arc::clone(&t.peers[n].targets.now().targets[0].mark));
    let at = |s: u64| Instant::from_micros(s * 1_000_000);
    let is = |s, health, why| assert_eq!(t.appraise(at(s)), (health, why), "second {s}");
    is(1, Health::Up, None);
    marks[0].lie_down();
    is(1, Health::Up, None);
    marks[1].lie_down();
    is(1, Health::Down, Some(Ailment::Silent));
    marks[0].come_back(at(2));
    is(2, Health::Degraded, Some(Ailment::Soaking));
    marks[0].call_answered(true);
    is(2, Health::Up, None);
    let end = |code, pdd_ms| t.attempt_ended(Ended { code, pdd_ms }, at(3));
    end(503, None);
    is(3, Health::Up, None);
    end(200, Some(9_000));
    is(3, Health::Degraded, Some(Ailment::Ner(50)));
    end(200, Some(0));
    end(486, Some(0));
    end(486, Some(0));
    is(3, Health::Degraded, Some(Ailment::Asr(40)));
    end(200, None);
    is(3, Health::Up, None);
    end(200, Some(7_000));
    is(3, Health::Degraded, Some(Ailment::Pdd(3_200)));
    end(200, Some(0));
    t.talk_ended(Duration::from_secs(9), at(3));
    is(3, Health::Degraded, Some(Ailment::Acd(9_000)));
    is(200, Health::Up, None);
}

/// T8: calls go to the peers of the lowest number first, and are shared among those as the balance
/// says.
#[test]
fn peers_share_calls() {
    use super::Balance;
    let mut t = trunk(0, "t", Vec::new());
    let peers = [("a", 1, 1), ("b", 0, 1), ("c", 0, 3), ("d", 1, 1)];
    t.peers = peers
        .map(|(host, priority, weight)| Peer {
            priority,
            weight,
            ..peer(host, "192.0.2.1:5060")
        })
        .into();
    let mut rng = Rng::new([3; 32]);
    let mut order = |t: &Trunk| -> String {
        let peers = t.peers_in_order(&mut rng);
        peers.iter().map(|peer| &*peer.host_port).collect()
    };
    assert_eq!(order(&t), "bcad");
    t.balance = Balance::RoundRobin;
    assert_eq!([order(&t), order(&t), order(&t)], ["bcad", "cbda", "bcad"]);
    t.balance = Balance::Weighted;
    let firsts = (0..1_000).filter(|_| order(&t).starts_with('c')).count();
    assert!((700..800).contains(&firsts), "three of four: {firsts}");
    t.balance = Balance::LeastCalls;
    let mark = |n: usize| Arc::clone(&t.peers[n].targets.now().targets[0].mark);
    let seat = |n| {
        ask(&t, Direction::Out, false, 1)
            .expect("no limit")
            .at(&mark(n))
    };
    assert_eq!(order(&t), "bcad");
    let up = [seat(1), seat(0)];
    assert_eq!(order(&t), "cbda");
    let more = [seat(2), seat(2), seat(2), seat(2)];
    assert_eq!(
        order(&t),
        "bcda",
        "four calls for a weight of three are more than one"
    );
    drop((up, more));
    assert_eq!(
        [0, 1, 2, 3].map(|n| mark(n).calls()),
        [0; 4],
        "they end with the calls"
    );
}

fn source_of(text: &str) -> SourceMatch {
    let (network, prefix) = text.split_once('/').expect("a literal");
    source(network, prefix.parse().expect("a literal"), None)
}
