//! Targets: the addresses that a peer stands for (RFC 3263), and which of them fail at the moment.
//!
//! Owns the order in which a call tries them (RFC 2782) and the mark of one that failed. Never asks
//! DNS: whoever does replaces the list, and calls take what is there. A mark belongs to an address,
//! never to the name or to the trunk's other peers (K6).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::rng::Rng;
use crate::time::Instant;

/// One address that requests may be sent to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The host that it is an address of: the peer's own, or one that its SRV records name.
    pub host: Arc<str>,
    /// Where bytes go.
    pub address: SocketAddr,
    /// Lower ones are tried first (RFC 2782).
    pub priority: u16,
    /// Its share among those of equal priority (RFC 2782).
    pub weight: u16,
    /// Whether it failed lately; all lists with this address share it.
    pub mark: Arc<Mark>,
}

impl Target {
    /// A target without rivals.
    pub fn at(host: &str, address: SocketAddr) -> Target {
        Target {
            host: host.into(),
            address,
            priority: 0,
            weight: 0,
            mark: Arc::default(),
        }
    }

    /// Whether it is tried last at the moment.
    pub fn is_failing(&self, now: Instant) -> bool {
        self.mark.until().is_some_and(|until| until > now)
    }
}

/// Says until when a target is tried last. Shared by all shards; survives new answers of DNS.
#[derive(Debug, Default)]
pub struct Mark(AtomicU64);

impl Mark {
    /// The target failed: it is tried last for this long.
    pub fn set(&self, now: Instant, rest: Duration) {
        self.0.store((now + rest).as_micros(), Ordering::Relaxed);
    }

    /// The target answered.
    pub fn clear(&self) {
        // Nearly always clear: reading leaves the line shared between shards.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// When the mark loses its meaning; `None` if there is none.
    pub fn until(&self) -> Option<Instant> {
        let micros = self.0.load(Ordering::Relaxed);
        (micros != 0).then(|| Instant::from_micros(micros))
    }
}

/// What a peer stands for at one moment.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Where its requests go, lowest priority first. Empty while its name has no address.
    pub targets: Vec<Target>,
    /// Addresses that left the answers lately: still believed as sources.
    pub left: Vec<SocketAddr>,
}

/// The list of one peer's targets. Replaced as a whole; readers never wait.
#[derive(Debug, Default)]
pub struct Targets(ArcSwap<Resolved>);

impl Targets {
    /// The one target of a peer whose address is written in its URI.
    pub fn fixed(host: &str, address: SocketAddr) -> Targets {
        let targets = Targets::default();
        targets.replace(Resolved {
            targets: vec![Target::at(host, address)],
            left: Vec::new(),
        });
        targets
    }

    /// What calls that begin from now on find.
    pub fn replace(&self, mut resolved: Resolved) {
        resolved.targets.sort_by_key(|t| t.priority);
        self.0.store(Arc::new(resolved));
    }

    /// What is known at this moment.
    pub fn now(&self) -> Arc<Resolved> {
        self.0.load_full()
    }

    /// Whether one of its targets has this address.
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.0.load().targets.iter().any(|t| t.address == address)
    }

    /// Whether both have an address in common.
    pub fn overlaps(&self, other: &Targets) -> bool {
        let theirs = other.0.load();
        theirs.targets.iter().any(|t| self.contains(t.address))
    }

    /// The address of its first target.
    pub fn first(&self) -> Option<SocketAddr> {
        self.0.load().targets.first().map(|t| t.address)
    }

    /// All addresses that its datagrams may come from.
    pub fn any_source(&self, wanted: impl FnMut(SocketAddr) -> bool) -> bool {
        let resolved = self.0.load();
        let current = resolved.targets.iter().map(|t| t.address);
        current.chain(resolved.left.iter().copied()).any(wanted)
    }

    /// Appends its targets in the order in which one call tries them: by priority, and among equals
    /// drawn by weight (RFC 2782). Draws nothing where there is nothing to choose.
    pub(crate) fn append_order(&self, rng: &mut Rng, order: &mut Vec<Target>) {
        let resolved = self.0.load();
        for equals in resolved.targets.chunk_by(|a, b| a.priority == b.priority) {
            let start = order.len();
            order.extend_from_slice(equals);
            draw(&mut order[start..], rng);
        }
    }
}

/// Puts targets of equal priority in an order drawn by weight: a target comes first with the
/// probability of its share of all weights, and so on with those that are left. Those without
/// weight come first hardly ever, but they do (RFC 2782).
fn draw(equals: &mut [Target], rng: &mut Rng) {
    // So that a draw of 0 takes one without weight.
    equals.sort_by_key(|t| t.weight != 0);
    for place in 0..equals.len().saturating_sub(1) {
        let left = &equals[place..];
        let sum: u64 = left.iter().map(|t| u64::from(t.weight)).sum();
        let chosen = match sum {
            0 => usize::try_from(rng.next_u64() % left.len() as u64).expect("it is below a usize"),
            _ => reaching(left, rng.next_u64() % (sum + 1)),
        };
        equals[place..=place + chosen].rotate_right(1);
    }
}

/// The first target whose running sum of weights reaches `drawn`.
fn reaching(targets: &[Target], drawn: u64) -> usize {
    let mut sum = 0;
    let reached = targets.iter().position(|t| {
        sum += u64::from(t.weight);
        sum >= drawn
    });
    reached.expect("what is drawn is at most the sum of all weights")
}

#[cfg(test)]
mod tests;
