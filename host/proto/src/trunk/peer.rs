//! Where a trunk's calls go, and how its peers share them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Trunk;
use crate::listener::Transport;
use crate::rng::Rng;
use crate::target::{Targets, draw};

/// How the peers of a trunk share its calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// In the order written.
    #[default]
    Priority,
    /// In turn.
    RoundRobin,
    /// Drawn by weight, as RFC 2782 draws targets.
    Weighted,
    /// Who has the fewest calls up for its weight.
    LeastCalls,
}

/// One URI that a trunk's calls are sent to.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The URI as configured, such as `sip:gw.example.com:5060`.
    pub uri: Arc<str>,
    /// Host and port as written into Request-URI and To, such as `gw.example.com:5060`.
    pub host_port: Arc<str>,
    /// The addresses that it stands for.
    pub targets: Arc<Targets>,
    /// How its calls get there.
    pub transport: Transport,
    /// Its URI is a `sips` URI, and so are ours to it.
    pub secure: bool,
    /// Peers of a lower number are tried first; those of one number share calls by the balance.
    pub priority: u16,
    /// Its share among peers of one priority, at least 1.
    pub weight: u16,
}

impl Peer {
    /// A peer at a literal address, over UDP.
    pub fn at(address: SocketAddr) -> Peer {
        let host_port = address.to_string();
        Peer {
            uri: format!("sip:{host_port}").into(),
            targets: Arc::new(Targets::fixed(&host_port, address)),
            host_port: host_port.into(),
            transport: Transport::Udp,
            secure: false,
            priority: 0,
            weight: 1,
        }
    }

    /// Its weight in small parts: RFC 2782 draws from 0, which favours one of small weights.
    fn finely(&self) -> u64 {
        u64::from(self.weight) * 10_000
    }

    /// The URI of requests that are to itself.
    pub(crate) fn request_uri(&self) -> String {
        let (scheme, transport) = match self.secure {
            true => ("sips:", ""),
            false => ("sip:", self.transport.as_uri_param()),
        };
        [scheme, &self.host_port, transport].concat()
    }

    /// Calls that are up to its targets, or being tried.
    fn calls(&self) -> u64 {
        let resolved = self.targets.now();
        resolved
            .targets
            .iter()
            .map(|t| u64::from(t.mark.calls()))
            .sum()
    }
}

impl Trunk {
    /// Its peers in the order in which one call tries them.
    pub(crate) fn peers_in_order(&self, rng: &mut Rng) -> Vec<&Peer> {
        let mut peers: Vec<&Peer> = self.peers.iter().collect();
        if peers.len() > 1 {
            let turn = match self.balance {
                Balance::RoundRobin => self.state.next_turn(),
                Balance::Priority | Balance::Weighted | Balance::LeastCalls => 0,
            };
            peers.sort_by_key(|peer| peer.priority);
            for equals in peers.chunk_by_mut(|a, b| a.priority == b.priority) {
                match self.balance {
                    Balance::Priority => {}
                    Balance::RoundRobin => equals.rotate_left(turn % equals.len()),
                    Balance::Weighted => draw(equals, |peer| peer.finely(), rng),
                    Balance::LeastCalls => fewest_calls_first(equals),
                }
            }
        }
        peers
    }
}

/// By the calls that are up, each peer's divided by its weight; of equals the first written.
fn fewest_calls_first(peers: &mut [&Peer]) {
    // Read once for each: others place calls meanwhile.
    peers.sort_by_cached_key(|peer| {
        peer.calls() * u64::from(u16::MAX) / u64::from(peer.weight.max(1))
    });
}
