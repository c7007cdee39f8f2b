//! Which trunk a source is: addresses, networks, ports.

use std::net::{IpAddr, SocketAddr};

use super::Trunk;
use crate::blocking::source_of;

/// A port outweighs any prefix.
const PORT: u16 = 256;

/// One rule that says "this source is that trunk". The most specific match wins: address with
/// port, then the longest prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceMatch {
    /// Network address.
    pub network: IpAddr,
    /// Prefix length in bits: 32 or 128 for one address.
    pub prefix: u8,
    /// Source port; any if absent.
    pub port: Option<u16>,
}

impl SourceMatch {
    /// Whether both match the same sources: bits behind the prefix do not count.
    pub fn is_same_as(&self, other: &SourceMatch) -> bool {
        let theirs = SocketAddr::new(other.network, other.port.unwrap_or_default());
        (self.prefix, self.port) == (other.prefix, other.port) && self.specificity(theirs).is_some()
    }

    /// How specific the match with `source` is; `None` if it does not match.
    pub fn specificity(&self, source: SocketAddr) -> Option<u16> {
        let same_net = match (self.network, source.ip().to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                net.to_bits().checked_shr(shift).unwrap_or(0)
                    == ip.to_bits().checked_shr(shift).unwrap_or(0)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                net.to_bits().checked_shr(shift).unwrap_or(0)
                    == ip.to_bits().checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        };
        match self.port {
            _ if !same_net => None,
            Some(port) if port != source.port() => None,
            Some(_) => Some(PORT + u16::from(self.prefix)),
            None => Some(u16::from(self.prefix)),
        }
    }
}

/// How well a source fits a trunk; the greater, the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Claim {
    specificity: u16,
    written: bool,
}

impl Claim {
    /// Whether it rests on the address alone, and that came from DNS.
    pub(crate) fn is_any_port_of_a_name(self) -> bool {
        !self.written && self.specificity < PORT
    }
}

impl Trunk {
    /// How well a source fits it; `None` if not at all.
    pub(crate) fn claim(&self, remote: SocketAddr) -> Option<Claim> {
        let written = self.sources.iter().filter_map(|s| s.specificity(remote));
        let written = written.max().map(|specificity| Claim {
            specificity,
            written: true,
        });
        if !self.follows_peers {
            return written;
        }
        let exact = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let bits: u16 = if exact.is_ipv4() { 32 } else { 128 };
        let of_names = |specificity| Claim {
            specificity,
            written: false,
        };
        let resolved = if self.any_source(|s| s == exact) {
            Some(of_names(PORT + bits))
        } else {
            let same = self.any_source(|s| s.ip() == exact.ip());
            same.then(|| of_names(bits))
        };
        written.max(resolved)
    }

    /// Whether a datagram from this address, at some port, is its.
    pub(crate) fn has_part_of(&self, ip: IpAddr) -> bool {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        self.sources
            .iter()
            .any(|s| s.network == ip && s.prefix == bits)
            || (self.follows_peers && self.any_source(|s| s.ip() == ip))
    }

    /// Whether something from this address may be its, on some listener and from some port.
    pub(crate) fn may_be_at(&self, ip: IpAddr) -> bool {
        let same = |other: IpAddr| source_of(other) == source_of(ip);
        let written = |s: &SourceMatch| {
            let port = s.port.unwrap_or_default();
            same(s.network) || s.specificity(SocketAddr::new(ip, port)).is_some()
        };
        self.sources.iter().any(written)
            || (self.follows_peers && self.any_source(|s| same(s.ip())))
    }

    fn any_source(&self, wanted: impl Fn(SocketAddr) -> bool) -> bool {
        self.peers.iter().any(|p| p.targets.any_source(&wanted))
    }
}
