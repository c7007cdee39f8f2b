//! The sources that are not listened to, shared by all shards.
//!
//! Shards look before they read: while nobody is blocked that is one relaxed load, otherwise one look-up in
//! a table that is replaced as a whole. The machine behind it ([`Offenders`]) is told of offences only, under
//! a lock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use intertrunk_proto::blocking::{Block, BlockRules, Offence, Offenders, source_of};
use intertrunk_proto::{DropCause, Event, Instant, Snapshot};

/// Who is blocked, and who may be.
#[derive(Debug, Default)]
pub struct Blocklist {
    any: AtomicBool,
    blocked: ArcSwap<HashMap<IpAddr, Blocked>>,
    offenders: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: BlockRules,
    offenders: Offenders,
}

/// A source that is not listened to.
#[derive(Clone, Debug)]
struct Blocked {
    until: Instant,
    offence: Offence,
    dropped: Arc<AtomicU64>,
}

impl Blocklist {
    /// Works by these rules from now on. What is blocked stays so, but for sources that are trunks' now.
    pub fn adopt(&self, rules: BlockRules, snapshot: &Snapshot, now: Instant) {
        let mut state = self.lock();
        state.rules = rules;
        for block in state.offenders.blocks(now) {
            let known = snapshot.is_of_a_trunk(block.source);
            if rules.threshold.is_none() || (known && block.offence != Offence::WrongCredentials) {
                state.offenders.pardon(block.source, now);
            }
        }
        self.publish(&state, now);
    }

    /// Whether anybody is blocked: all that is asked of most datagrams.
    pub fn blocks_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Whether what comes from this address is thrown away.
    pub fn blocks(&self, address: IpAddr, snapshot: &Snapshot, now: Instant) -> bool {
        let blocked = self.blocked.load();
        let Some(found) = blocked.get(&source_of(address)) else {
            return false;
        };
        if found.until <= now {
            return false;
        }
        let before = found.dropped.fetch_add(1, Ordering::Relaxed);
        // DNS may have made it a trunk's since. Looked at now and then: this is a flood.
        let look = (before + 1).is_power_of_two() && found.offence != Offence::WrongCredentials;
        !(look && snapshot.is_of_a_trunk(address) && self.pardon(address, now))
    }

    /// Takes note of what an event says about its sender. Gives the block that begins with it.
    ///
    /// An address of a trunk is blocked for nothing but wrong credentials, and for those only when its
    /// owner was heard from there: anybody can write another's address on a datagram.
    pub fn note(&self, event: &Event, snapshot: &Snapshot, now: Instant) -> Option<Block> {
        let (flow, offence, reached) = match event {
            Event::Dropped { flow, cause, .. } => match cause {
                DropCause::UnknownSource => (flow, Offence::UnknownSource, false),
                DropCause::Malformed => (flow, Offence::Malformed, false),
                DropCause::Scanner => (flow, Offence::Scanner, false),
                DropCause::StrayResponse | DropCause::StrayAck | DropCause::Overload => {
                    return None;
                }
            },
            Event::WrongCredentials { flow, reached, .. } => {
                (flow, Offence::WrongCredentials, *reached)
            }
            _ => return None,
        };
        let address = flow.remote.ip();
        if flow.shard().is_some() || (!reached && snapshot.is_of_a_trunk(address)) {
            return None;
        }
        let mut state = self.lock();
        let State { rules, offenders } = &mut *state;
        let block = offenders.note(address, offence, rules, now)?;
        self.publish(&state, now);
        Some(block)
    }

    /// All blocks under way, and how many datagrams and messages each has kept out.
    pub fn list(&self, now: Instant) -> Vec<(Block, u64)> {
        let blocks = self.lock().offenders.blocks(now);
        let blocked = self.blocked.load();
        let dropped = |block: &Block| {
            let found = blocked.get(&block.source);
            found.map_or(0, |it| it.dropped.load(Ordering::Relaxed))
        };
        let with = |block: Block| (block, dropped(&block));
        blocks.into_iter().map(with).collect()
    }

    /// Ends a block. False if there is none.
    pub fn pardon(&self, address: IpAddr, now: Instant) -> bool {
        let mut state = self.lock();
        let was = state.offenders.pardon(address, now);
        self.publish(&state, now);
        was
    }

    fn publish(&self, state: &State, now: Instant) {
        let before = self.blocked.load();
        let entry = |block: Block| {
            let same = before.get(&block.source);
            let same = same.filter(|it| it.until == block.until);
            let dropped = same.map(|it| Arc::clone(&it.dropped)).unwrap_or_default();
            let blocked = Blocked {
                until: block.until,
                offence: block.offence,
                dropped,
            };
            (block.source, blocked)
        };
        let blocks: HashMap<_, _> = state.offenders.blocks(now).into_iter().map(entry).collect();
        self.any.store(!blocks.is_empty(), Ordering::Relaxed);
        self.blocked.store(Arc::new(blocks));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.offenders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use intertrunk_proto::trunk::{Trunk, TrunkKind};
    use intertrunk_proto::{Flow, ListenerId, TrunkId};

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn snapshot() -> Snapshot {
        let peer = "192.0.2.1:5060".parse().unwrap();
        let trunk = Trunk::new(TrunkId(0), "gw", TrunkKind::Pstn).with_peer_at(peer);
        Snapshot::new("n", Vec::new(), vec![trunk], Vec::new()).unwrap()
    }

    fn blocklist() -> Blocklist {
        let list = Blocklist::default();
        let rules = BlockRules {
            threshold: Some(2),
            first: Duration::from_secs(60),
            ..BlockRules::default()
        };
        list.adopt(rules, &snapshot(), at(0));
        list
    }

    fn flow(remote: &str) -> Flow {
        Flow::to(ListenerId(0), remote.parse().unwrap())
    }

    fn stray(remote: &str) -> Event {
        Event::Dropped {
            flow: flow(remote),
            cause: DropCause::UnknownSource,
            detail: "",
        }
    }

    fn wrong(remote: &str, reached: bool) -> Event {
        Event::WrongCredentials {
            flow: flow(remote),
            trunk: None,
            reached,
        }
    }

    /// S3: a stranger is blocked until its time is up, and counted meanwhile.
    #[test]
    fn a_stranger_is_kept_out_for_a_while() {
        let (list, snapshot) = (blocklist(), snapshot());
        let blocks = |ip: &str, second| {
            list.blocks_any() && list.blocks(ip.parse().unwrap(), &snapshot, at(second))
        };
        assert!(
            list.note(&stray("192.0.2.7:5060"), &snapshot, at(1))
                .is_none()
        );
        assert!(!blocks("192.0.2.7", 1));
        let block = list.note(&stray("192.0.2.7:9"), &snapshot, at(1)).unwrap();
        assert_eq!(block.until, at(61));
        assert!(blocks("192.0.2.7", 60) && blocks("::ffff:192.0.2.7", 60));
        assert!(!blocks("192.0.2.7", 61) && !blocks("192.0.2.8", 60));
        assert_eq!(list.list(at(60)), [(block, 2)]);
        assert!(list.pardon("192.0.2.7".parse().unwrap(), at(60)));
        assert!(!blocks("192.0.2.7", 60));
        assert!(!list.blocks_any(), "looking is cheap again");
    }

    /// S3: whatever somebody sends under a trunk's address, its calls go on; only who was heard from there
    /// can lock it out.
    #[test]
    fn a_trunk_is_not_blocked_by_forgery() {
        let (list, snapshot) = (blocklist(), snapshot());
        for _ in 0..100 {
            assert!(list.note(&stray("192.0.2.1:9"), &snapshot, at(1)).is_none());
            assert!(
                list.note(&wrong("192.0.2.1:9", false), &snapshot, at(1))
                    .is_none()
            );
        }
        assert!(
            list.note(&wrong("192.0.2.1:9", true), &snapshot, at(1))
                .is_some()
        );
        let stranger = list.note(&wrong("192.0.2.9:9", false), &snapshot, at(1));
        assert!(stranger.is_some(), "a stranger need not be reached");
    }

    /// S3: who becomes a trunk's by DNS is listened to.
    #[test]
    fn an_answer_of_dns_frees_a_new_peer() {
        let list = blocklist();
        let nobody = Snapshot::new("n", Vec::new(), Vec::new(), Vec::new()).unwrap();
        list.note(&stray("192.0.2.1:5060"), &nobody, at(1));
        list.note(&stray("192.0.2.1:5060"), &nobody, at(1)).unwrap();
        let peer = "192.0.2.1".parse().unwrap();
        assert!(list.blocks(peer, &nobody, at(2)));
        assert!(!list.blocks(peer, &snapshot(), at(2)));
        assert!(!list.blocks_any());
    }

    /// S3: who becomes a trunk's by a reload is listened to.
    #[test]
    fn a_reload_frees_new_trunks() {
        let list = blocklist();
        let nobody = Snapshot::new("n", Vec::new(), Vec::new(), Vec::new()).unwrap();
        for ip in ["192.0.2.1:5060", "192.0.2.2:5060"] {
            list.note(&stray(ip), &nobody, at(1));
            list.note(&stray(ip), &nobody, at(1)).unwrap();
        }
        list.adopt(list.lock_rules(), &snapshot(), at(2));
        let left: Vec<_> = list.list(at(2)).iter().map(|(b, _)| b.source).collect();
        assert_eq!(left, ["192.0.2.2".parse::<IpAddr>().unwrap()]);
    }

    impl Blocklist {
        fn lock_rules(&self) -> BlockRules {
            self.lock().rules
        }
    }
}
