//! Targets: the addresses that a peer stands for (RFC 3263), and which of them fail at the moment.
//!
//! Owns the order in which a call tries them (RFC 2782) and the mark of one that failed. Never asks
//! DNS: whoever does replaces the list, and calls take what is there. A mark belongs to an address,
//! never to the name or to the trunk's other peers (K6).

mod mark;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::rng::Rng;
use crate::time::Instant;

pub use mark::Mark;

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
            draw(&mut order[start..], |target| target.weight.into(), rng);
        }
    }
}

/// Puts equals in an order drawn by weight (RFC 2782): one comes first with the probability of its
/// share of all weights, and so on with those that are left. Those without weight come first hardly
/// ever, but they do. Draws nothing where there is nothing to choose.
pub(crate) fn draw<T>(equals: &mut [T], weight: impl Fn(&T) -> u64, rng: &mut Rng) {
    // So that a draw of 0 takes one without weight.
    equals.sort_by_key(|t| weight(t) != 0);
    for place in 0..equals.len().saturating_sub(1) {
        let left = &equals[place..];
        let sum: u64 = left.iter().map(&weight).sum();
        let chosen = match sum {
            0 => usize::try_from(rng.next_u64() % left.len() as u64).expect("it is below a usize"),
            _ => reaching(left.iter().map(&weight), rng.next_u64() % (sum + 1)),
        };
        equals[place..=place + chosen].rotate_right(1);
    }
}

/// The place of the first whose running sum of weights reaches `drawn`.
fn reaching(mut weights: impl Iterator<Item = u64>, drawn: u64) -> usize {
    let mut sum = 0;
    let reached = weights.position(|weight| {
        sum += weight;
        sum >= drawn
    });
    reached.expect("what is drawn is at most the sum of all weights")
}

#[cfg(test)]
mod tests;
