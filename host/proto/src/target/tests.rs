//! Order by priority and weight over seeds; marks.

use super::{Resolved, Target, Targets};
use crate::rng::Rng;
use crate::time::Instant;
use std::net::SocketAddr;
use std::time::Duration;

fn target(port: u16, priority: u16, weight: u16) -> Target {
    Target {
        priority,
        weight,
        ..Target::at("gw", address(port))
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn list(targets: Vec<Target>) -> Targets {
    let list = Targets::default();
    list.replace(Resolved {
        targets,
        left: Vec::new(),
    });
    list
}

fn order(list: &Targets, seed: u8) -> Vec<u16> {
    let mut order = Vec::new();
    list.append_order(&mut Rng::new([seed; 32]), &mut order);
    order.iter().map(|t| t.address.port()).collect()
}

#[test]
fn lower_priorities_come_first_whatever_their_weight() {
    let list = list(vec![target(3, 20, 900), target(1, 1, 0), target(2, 10, 5)]);
    for seed in 0..50 {
        assert_eq!(order(&list, seed), [1, 2, 3]);
    }
}

#[test]
fn equals_share_by_weight_and_every_order_has_all() {
    let list = list(vec![target(1, 1, 60), target(2, 1, 30), target(3, 1, 10)]);
    let mut rng = Rng::new([7; 32]);
    let (mut first, mut second) = ([0_u32; 4], [0_u32; 4]);
    for _ in 0..10_000 {
        let mut drawn = Vec::new();
        list.append_order(&mut rng, &mut drawn);
        let ports: Vec<u16> = drawn.iter().map(|t| t.address.port()).collect();
        let mut all = ports.clone();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        first[usize::from(ports[0])] += 1;
        if ports[0] == 1 {
            second[usize::from(ports[1])] += 1;
        }
    }
    // RFC 2782 draws from 0 to the sum, both included: 61, 30 and 10 of 101.
    assert!((5_800..6_300).contains(&first[1]), "{first:?}");
    assert!((2_700..3_250).contains(&first[2]), "{first:?}");
    assert!((800..1_200).contains(&first[3]), "{first:?}");
    assert!(
        (2.4..3.7).contains(&(f64::from(second[2]) / f64::from(second[3]))),
        "{second:?}"
    );
}

#[test]
fn one_without_weight_comes_first_seldom_and_alone_they_share_evenly() {
    let some = list(vec![target(1, 1, 0), target(2, 1, 9)]);
    let none = list(vec![target(1, 1, 0), target(2, 1, 0)]);
    let mut rng = Rng::new([1; 32]);
    let mut firsts = |list: &Targets| {
        let mut firsts = 0;
        for _ in 0..2_000 {
            let mut drawn = Vec::new();
            list.append_order(&mut rng, &mut drawn);
            firsts += u32::from(drawn[0].address.port() == 1);
        }
        firsts
    };
    assert!((120..300).contains(&firsts(&some)), "one draw in ten");
    assert!((850..1_150).contains(&firsts(&none)));
}

#[test]
fn a_single_target_draws_nothing() {
    let mut rng = Rng::new([3; 32]);
    let untouched = rng.clone().next_u64();
    let list = list(vec![target(1, 1, 5), target(2, 2, 5)]);
    list.append_order(&mut rng, &mut Vec::new());
    assert_eq!(rng.next_u64(), untouched);
}

/// K6: a mark is the target's, and it ends.
#[test]
fn a_mark_ends_by_itself_or_by_an_answer() {
    let target = target(1, 0, 0);
    let copy = target.clone();
    let at = |s: u64| Instant::from_micros(s * 1_000_000);
    assert!(!target.is_failing(at(0)));
    target.mark.set(at(1), Duration::from_secs(30));
    assert!(target.is_failing(at(30)) && !target.is_failing(at(31)));
    assert!(copy.is_failing(at(2)), "a copy is the same target");
    target.mark.clear();
    assert!(!target.is_failing(at(2)));
    assert_eq!(target.mark.until(), None);
}

#[test]
fn sources_are_the_targets_and_what_left_them() {
    let list = list(vec![target(1, 0, 0)]);
    assert!(list.contains(address(1)) && !list.contains(address(2)));
    let resolved = Resolved {
        targets: vec![target(2, 0, 0)],
        left: vec![address(1)],
    };
    list.replace(resolved);
    assert!(!list.contains(address(1)));
    let is_source = |port| list.any_source(|s| s == address(port));
    assert!(is_source(1) && is_source(2) && !is_source(3));
    assert!(list.overlaps(&Targets::fixed("x", address(2))));
    assert!(!list.overlaps(&Targets::fixed("x", address(1))));
}
