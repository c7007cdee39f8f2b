//! Where the candidates of a plan are tried, and in which order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::attempt::{Order, Try};
use crate::core::Core;
use crate::judge::Accepted;
use crate::target::Target;
use crate::trunk::{Health, Peer, Trunk};

/// One try for each target, one after the other: a trunk's peers in the order of its balance, each
/// peer's targets as RFC 2782 has it; those that failed lately last. Candidates whose trunk is not
/// well come after all others.
pub(super) fn tries_of(
    accepted: Vec<Accepted>,
    ask: u8,
    emergency: bool,
    core: &mut Core,
) -> VecDeque<Try> {
    let mut tries = Vec::new();
    for Accepted {
        candidate,
        trunk,
        peer,
    } in accepted
    {
        let candidate = Arc::new(candidate);
        let (places, last) = ranked(&trunk, peer.as_ref(), emergency, core);
        for ((peer, target), place) in places.into_iter().zip(0_u8..) {
            tries.push(Try {
                order: Order {
                    ask,
                    last,
                    group: candidate.group,
                    target: place,
                },
                candidate: Arc::clone(&candidate),
                trunk: Arc::clone(&trunk),
                peer: peer.clone(),
                target,
            });
        }
    }
    tries.sort_by_key(|t| t.order);
    tries.into()
}

/// Where a call may go on a trunk, the best place first, and how far behind other trunks it has its
/// turn. A target that is down is not tried at all, unless by an emergency call that finds nobody else.
fn ranked<'t>(
    trunk: &'t Trunk,
    named: Option<&'t Peer>,
    emergency: bool,
    core: &mut Core,
) -> (Vec<(&'t Peer, Option<Target>)>, u8) {
    let now = core.now;
    let places = places(trunk, named, core);
    let ails = |target: &Option<Target>| {
        let target = target.as_ref();
        target.map_or([false, false], |target| trunk.ails(target, now))
    };
    // Drawn once for all that soak, and only where something does.
    let soaks = places.iter().any(|(_, target)| ails(target)[1]);
    let lucky = soaks && trunk.draws_soaking(&mut core.rng);
    let rank = |target: &Option<Target>| match (target, ails(target)) {
        (_, [true, _]) => DOWN,
        (_, [false, true]) => u8::from(!lucky),
        (target, [false, false]) => u8::from(target.as_ref().is_none_or(|t| t.is_failing(now))),
    };
    let proven = places
        .iter()
        .any(|(_, target)| ails(target) == [false, false]);
    let mut places: Vec<_> = places
        .into_iter()
        .map(|place| (rank(&place.1), place))
        .collect();
    places.sort_by_key(|(rank, _)| *rank);
    if !emergency {
        // One stands for all that are down, to be told of.
        let usable = places.partition_point(|(rank, _)| *rank < DOWN);
        places.truncate(usable.max(1));
    }
    let last = match trunk.state.health() {
        Health::Degraded => u8::from(proven || !lucky),
        Health::Down | Health::Disabled if emergency => 2,
        Health::Up | Health::Down | Health::Disabled => 0,
    };
    (places.into_iter().map(|(_, place)| place).collect(), last)
}

/// Behind those that are up, and those that rest or soak.
const DOWN: u8 = 2;

/// Peers of a trunk, or the one that the policy named, each once for each of its targets. A peer
/// whose name has no address stands there once, to fail at once and be told of (K6).
fn places<'t>(
    trunk: &'t Trunk,
    named: Option<&'t Peer>,
    core: &mut Core,
) -> Vec<(&'t Peer, Option<Target>)> {
    let peers = match named {
        Some(named) => vec![named],
        None => trunk.peers_in_order(&mut core.rng),
    };
    let (mut places, mut order) = (Vec::with_capacity(peers.len()), Vec::new());
    for peer in peers {
        peer.targets.append_order(&mut core.rng, &mut order);
        if order.is_empty() {
            places.push((peer, None));
        }
        places.extend(order.drain(..).map(|target| (peer, Some(target))));
    }
    places
}
