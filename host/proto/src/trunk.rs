//! Trunks: what the configuration says of each, and what is true of it at this moment.
//!
//! - `source`: who a message came from
//! - `peer`: where calls go, and how peers share them
//! - `rules`: what crosses, and how
//! - `seat`, `rate`: how many calls fit, and how fast they may come
//! - `health`, `tally`: when it is well, and how its calls end
//! - `state`: what all shards know of a trunk

mod health;
mod peer;
mod rate;
mod registered;
mod rules;
mod seat;
mod source;
mod state;
mod tally;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use intertrunk_sip::Method;
use serde::{Deserialize, Serialize};

use crate::auth::{Door, Login, Register};
use crate::io::{ListenerId, PolicyId, TrunkId};
use crate::listener::{Listener, Listeners, Transport};

pub use health::{Ailment, Breaker, HealthRules, Options, Quality, Soak};
pub use peer::{Balance, Peer};
pub use rate::{Rate, Rates};
pub use registered::{Registered, Registration};
pub use rules::{Extensions, HistoryForm, IdentityRules, Oversize, Redirects, TransferRules};
pub use seat::{Direction, Full, Seat, Wish};
pub use source::{Claim, SourceMatch};
pub use state::{Health, Switch, TrunkState};
pub(crate) use tally::Ended;
pub use tally::Sums;

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
    /// Places below each of these limits that only emergency calls may take.
    pub reserve_emergency: u32,
    /// How fast new calls may come.
    pub rates: Rates,
    /// By what it is judged.
    pub health: HealthRules,
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
    /// Methods that are taken from its peers, see [`Trunk::takes`]; all that we know if absent.
    pub methods: Option<Arc<[Method]>>,
    /// Extensions of SIP.
    pub extensions: Extensions,
    /// By what we answer the challenges of its peers.
    pub login: Option<Arc<Login>>,
    /// Our registration there.
    pub register: Option<Arc<Register>>,
    /// What its peers have to show.
    pub door: Option<Arc<Door>>,
    /// What is true of it at this moment; survives reloads, shared by all shards.
    pub state: Arc<TrunkState>,
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
            reserve_emergency: 0,
            rates: Rates::default(),
            health: HealthRules::default(),
            no_progress: Trunk::NO_PROGRESS,
            failover_codes: Trunk::FAILOVER_CODES.to_vec(),
            pstn_to: Vec::new(),
            identity: IdentityRules::default(),
            transfers: TransferRules::default(),
            redirects: Redirects::default(),
            pass_headers: None,
            methods: None,
            extensions: Extensions::default(),
            login: None,
            register: None,
            door: None,
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

    /// Whether a request of its peers with this method is let through, within a call or outside of
    /// one. What a call cannot do without always is: an end, an acknowledgement, a renegotiation.
    pub fn takes(&self, method: &Method, within: bool) -> bool {
        let listed = |method| self.methods.as_ref().is_none_or(|all| all.contains(method));
        match method {
            Method::Ack | Method::Cancel | Method::Bye | Method::Prack => true,
            Method::Invite => within || listed(method),
            Method::Refer => self.transfers.may_refer && listed(method),
            // Within a call, to what comes of a REFER.
            Method::Subscribe => listed(&Method::Refer),
            _ => listed(method),
        }
    }

    /// Who decides when `policy` passes.
    pub fn next_policy(&self, policy: PolicyId) -> Option<PolicyId> {
        let mut chain = std::iter::once(&self.policy).chain(&self.then);
        chain.find(|it| **it == policy)?;
        chain.next().copied()
    }

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

#[cfg(test)]
pub(crate) mod tests;
