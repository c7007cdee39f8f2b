//! Trunks: what the configuration says of each, who a datagram came from, and how many calls are up.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::io::{ListenerId, PolicyId, TrunkId};
use crate::listener::{Listener, Listeners, Transport};
use crate::target::Targets;

/// What a trunk leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum TrunkKind {
    /// An IP-PBX.
    #[default]
    Pbx,
    /// The public telephone network.
    Pstn,
    /// Another session border controller or proxy.
    Sbc,
}

/// Whether a trunk may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[repr(u8)]
pub enum Health {
    /// In use.
    #[default]
    Up = 0,
    /// Tried last.
    Degraded = 1,
    /// Not tried.
    Down = 2,
    /// Switched off by an operator.
    Disabled = 3,
}

/// How the peers of a trunk share its calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// In the order written.
    #[default]
    Priority,
    /// In turn.
    RoundRobin,
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
        }
    }
}

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

/// In which form a trunk gets the history of a call (RFC 7544).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HistoryForm {
    /// As it came.
    #[default]
    AsIs,
    /// As Diversion, made of History-Info if need be.
    Diversion,
    /// As History-Info, made of Diversion if need be, and begun where there is none.
    HistoryInfo,
}

/// What the host does with identity headers of a trunk (RFC 3325).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdentityRules {
    /// Pass P-Asserted-Identity to this trunk.
    pub forward_pai: bool,
    /// Pass History-Info and Diversion to this trunk.
    pub forward_history: bool,
    /// Believe the identity headers that come from this trunk, and trust it with those of others.
    pub trusted: bool,
    /// In which form it gets the history of a call.
    pub history: HistoryForm,
}

impl Default for IdentityRules {
    fn default() -> Self {
        Self {
            forward_pai: true,
            forward_history: true,
            trusted: true,
            history: HistoryForm::AsIs,
        }
    }
}

/// What is done with a 3xx of a trunk's peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Redirects {
    /// The policy is asked again, with the places that it names.
    #[default]
    Policy,
    /// Places that are peers of trunks are tried.
    Follow,
    /// A trusted caller is told.
    Pass,
    /// It is a failure.
    Refuse,
}

impl Redirects {
    /// By its name in configurations and in a candidate's `extra`.
    pub fn named(name: &str) -> Option<Redirects> {
        match name {
            "policy" => Some(Redirects::Policy),
            "follow" => Some(Redirects::Follow),
            "pass" => Some(Redirects::Pass),
            "refuse" => Some(Redirects::Refuse),
            _ => None,
        }
    }
}

/// What the peers of a trunk may and can do to calls that are up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferRules {
    /// A REFER of theirs is taken (RFC 3515).
    pub may_refer: bool,
    /// They take REFER: what the other side of a call asks for is passed on to them.
    pub takes_refer: bool,
}

impl Default for TransferRules {
    fn default() -> Self {
        Self {
            may_refer: true,
            takes_refer: false,
        }
    }
}

/// What we ask of a trunk's peers beyond RFC 3261, and put up with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extensions {
    /// Session interval in seconds that we ask for; none: we do not ask, but answer (RFC 4028).
    pub session_timer_s: Option<u32>,
    /// Least session interval in seconds that we put up with.
    pub min_se_s: u32,
    /// Whether provisional answers may be reliable, in both directions (RFC 3262).
    pub prack: bool,
}

impl Default for Extensions {
    fn default() -> Self {
        Self {
            session_timer_s: None,
            min_se_s: 90,
            prack: true,
        }
    }
}

/// One trunk of the running configuration.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Stable across reloads.
    pub id: TrunkId,
    /// As configured.
    pub name: Arc<str>,
    /// What it leads to.
    pub kind: TrunkKind,
    /// Network site.
    pub site: Option<String>,
    /// Free words for policies.
    pub tags: Vec<String>,
    /// Our socket towards it, unless a peer of it wants another transport.
    pub listen: ListenerId,
    /// Others that it may come in on.
    pub also_listen: Vec<ListenerId>,
    /// Where its calls go.
    pub peers: Vec<Peer>,
    /// How peers share calls.
    pub balance: Balance,
    /// Which sources it is.
    pub sources: Vec<SourceMatch>,
    /// Whether the addresses that its peers' names stand for are its sources too.
    pub follows_peers: bool,
    /// Names of the certificates that speak for it, in lower case; `*.` stands for one label.
    pub certificates: Vec<String>,
    /// What happens to requests that are too large for a datagram.
    pub oversize: Oversize,
    /// Who decides about calls that come in on it.
    pub policy: PolicyId,
    /// Who decides when that one passes, and so on.
    pub then: Vec<PolicyId>,
    /// Most calls up at once, both directions.
    pub calls_max: Option<u32>,
    /// Most calls up at once that came in on it.
    pub calls_in_max: Option<u32>,
    /// Most calls up at once that went out on it.
    pub calls_out_max: Option<u32>,
    /// Time without an 18x before the next candidate is tried.
    pub no_progress: Duration,
    /// Codes that go on to the next candidate.
    pub failover_codes: Vec<u16>,
    /// PSTN trunks that calls from this PSTN trunk may go to; all other PSTN to PSTN is refused.
    pub pstn_to: Vec<TrunkId>,
    /// Identity headers.
    pub identity: IdentityRules,
    /// Transfers.
    pub transfers: TransferRules,
    /// Redirections of its peers.
    pub redirects: Redirects,
    /// Header fields that it gets, of those that may cross; all that usually do if absent.
    pub pass_headers: Option<Arc<[String]>>,
    /// Extensions of SIP.
    pub extensions: Extensions,
    /// What is true of it at this moment; survives reloads, shared by all shards.
    pub state: Arc<TrunkState>,
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
    /// Codes that go on to the next candidate, unless the configuration says otherwise.
    pub const FAILOVER_CODES: [u16; 5] = [408, 500, 502, 503, 504];
    /// Time without an 18x, unless the configuration says otherwise.
    pub const NO_PROGRESS: Duration = Duration::from_secs(10);

    /// A trunk of the first listener and the first policy as it is without a word about anything
    /// else: no peers, no sources, no limits.
    pub fn new(id: TrunkId, name: &str, kind: TrunkKind) -> Trunk {
        Trunk {
            id,
            name: name.into(),
            kind,
            site: None,
            tags: Vec::new(),
            listen: ListenerId(0),
            also_listen: Vec::new(),
            peers: Vec::new(),
            balance: Balance::default(),
            sources: Vec::new(),
            follows_peers: false,
            certificates: Vec::new(),
            oversize: Oversize::default(),
            policy: PolicyId(0),
            then: Vec::new(),
            calls_max: None,
            calls_in_max: None,
            calls_out_max: None,
            no_progress: Trunk::NO_PROGRESS,
            failover_codes: Trunk::FAILOVER_CODES.to_vec(),
            pstn_to: Vec::new(),
            identity: IdentityRules::default(),
            transfers: TransferRules::default(),
            redirects: Redirects::default(),
            pass_headers: None,
            extensions: Extensions::default(),
            state: Arc::default(),
        }
    }

    /// The same with a peer at this address, of which calls may come in from any port.
    pub fn with_peer_at(self, address: SocketAddr) -> Trunk {
        Trunk {
            peers: vec![Peer::at(address)],
            sources: vec![SourceMatch {
                network: address.ip(),
                prefix: 32,
                port: None,
            }],
            ..self
        }
    }

    /// Who decides when `policy` passes.
    pub fn next_policy(&self, policy: PolicyId) -> Option<PolicyId> {
        let mut chain = std::iter::once(&self.policy).chain(&self.then);
        chain.find(|it| **it == policy)?;
        chain.next().copied()
    }

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

    fn any_source(&self, wanted: impl Fn(SocketAddr) -> bool) -> bool {
        self.peers.iter().any(|p| p.targets.any_source(&wanted))
    }
}

/// What happens to a request of more than 1,300 bytes that would go out over UDP (RFC 3261
/// §18.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Oversize {
    /// It goes out over UDP, in fragments.
    Off,
    /// It goes out over TCP; over UDP if no connection can be made.
    #[default]
    TcpIfReachable,
    /// It goes out over TCP, or not at all.
    Tcp,
}

impl Trunk {
    /// Whether it may come in on this listener.
    pub fn listens_on(&self, listener: ListenerId) -> bool {
        self.listen == listener || self.also_listen.contains(&listener)
    }

    /// The listener of its own through which a transport goes.
    pub fn listener_by<'l>(
        &self,
        transport: Transport,
        all: &'l Listeners,
    ) -> Option<&'l Arc<Listener>> {
        let ids = std::iter::once(&self.listen).chain(&self.also_listen);
        let mut own = ids.filter_map(|id| all.get(*id));
        own.find(|listener| listener.transport == transport)
    }

    /// Whether it may come in on a listener that the other may come in on.
    pub fn shares_listener(&self, other: &Trunk) -> bool {
        other.listens_on(self.listen) || self.also_listen.iter().any(|l| other.listens_on(*l))
    }
}

/// The live state of one trunk.
#[derive(Debug, Default)]
pub struct TrunkState {
    incoming: AtomicU32,
    outgoing: AtomicU32,
    health: AtomicU8,
    turn: AtomicU32,
}

impl TrunkState {
    /// Calls up that came in on this trunk.
    pub fn incoming(&self) -> u32 {
        self.incoming.load(Ordering::Relaxed)
    }

    /// Calls up, or being tried, that went out on this trunk.
    pub fn outgoing(&self) -> u32 {
        self.outgoing.load(Ordering::Relaxed)
    }

    /// Both directions.
    pub fn active(&self) -> u32 {
        self.incoming() + self.outgoing()
    }

    /// A number that grows by one each time: whose turn it is among peers.
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) as usize
    }

    /// Whether it may be used.
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Up,
            1 => Health::Degraded,
            2 => Health::Down,
            _ => Health::Disabled,
        }
    }

    /// Sets whether it may be used.
    pub fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }
}

/// Which way a call uses a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the trunk to us.
    In,
    /// From us to the trunk.
    Out,
}

/// One call's place on a trunk. Lives in the leg that uses it, so that the count of calls cannot
/// drift from the calls there are.
#[derive(Debug)]
pub struct Seat {
    state: Arc<TrunkState>,
    direction: Direction,
}

impl Seat {
    /// Takes a place, or `None` when the trunk is full or may not be used.
    pub fn take(trunk: &Trunk, direction: Direction) -> Option<Seat> {
        let state = Arc::clone(&trunk.state);
        // Count first, look after: two shards cannot both take the last place.
        let mine = match direction {
            Direction::In => &state.incoming,
            Direction::Out => &state.outgoing,
        };
        let in_direction = mine.fetch_add(1, Ordering::Relaxed) + 1;
        let seat = Seat {
            state: Arc::clone(&state),
            direction,
        };
        let direction_max = match direction {
            Direction::In => trunk.calls_in_max,
            Direction::Out => trunk.calls_out_max,
        };
        let full = trunk.calls_max.is_some_and(|max| state.active() > max)
            || direction_max.is_some_and(|max| in_direction > max);
        let usable = match state.health() {
            Health::Up | Health::Degraded => true,
            Health::Down => direction == Direction::In,
            Health::Disabled => false,
        };
        (usable && !full).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        match self.direction {
            Direction::In => self.state.incoming.fetch_sub(1, Ordering::Relaxed),
            Direction::Out => self.state.outgoing.fetch_sub(1, Ordering::Relaxed),
        };
    }
}

#[cfg(test)]
pub(crate) mod tests;
