//! The way between two calls of this host, on the same shard or another: a SIP dialog like any
//! other, with both ends ours.
//!
//! An attended transfer names a dialog of another call. Instead of merging two calls, which may live
//! on two shards, the one sends the other an INVITE with Replaces; each stays a call with a record
//! of its own. Such a flow is of no socket: its listener is [`ListenerId::WITHIN`], its remote
//! address names a shard and the trunk in whose name it speaks (decision 41).

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use intertrunk_sip::Message;

use crate::core::Core;
use crate::io::{Flow, ListenerId, PolicyId, TrunkId};
use crate::listener::{Listener, Listeners, Transport};
use crate::trunk::{Oversize, Redirects, Trunk, TrunkKind};

/// Names the trunk of the party on the sender's side, in INVITEs between calls and their 2xx.
pub(crate) const PARTY: &str = "Intertrunk-Party";

/// The trunk that a message from another call names.
pub(crate) fn party(message: &Message, core: &Core) -> Option<Arc<Trunk>> {
    let id = message.header_named(PARTY).next()?;
    let id = TrunkId(std::str::from_utf8(id).ok()?.parse().ok()?);
    core.snapshot.trunk(id).cloned()
}

/// Names, in the re-INVITE that one call sends for another's INVITE with Replaces, the Call-ID of
/// that INVITE: whose call it comes back to would be joined with itself.
pub(crate) const JOINS: &str = "Intertrunk-Joins";

impl ListenerId {
    /// No socket: between shards, or within one.
    pub const WITHIN: ListenerId = ListenerId(u16::MAX);
}

impl Flow {
    /// To a shard, in the name of a trunk.
    pub(crate) fn within(shard: u16, trunk: TrunkId) -> Flow {
        Flow::to(ListenerId::WITHIN, address(shard, trunk))
    }

    /// The shard that bytes on this flow go to; `None` if they go to the network.
    pub fn shard(self) -> Option<u16> {
        let within = self.listener == ListenerId::WITHIN;
        within.then(|| self.remote.port().saturating_sub(1))
    }

    /// The same flow as the shard at its other end sees it, sent by this one.
    pub fn seen_from(self, sender: u16) -> Flow {
        let mut remote = self.remote;
        remote.set_port(sender.saturating_add(1));
        Flow { remote, ..self }
    }

    /// The trunk in whose name a flow between calls speaks.
    pub(crate) fn speaks_as(self) -> Option<TrunkId> {
        match (self.listener == ListenerId::WITHIN, self.remote) {
            (true, SocketAddr::V6(v6)) => {
                let [.., high, low] = v6.ip().segments();
                Some(TrunkId(u32::from(high) << 16 | u32::from(low)))
            }
            _ => None,
        }
    }
}

/// A shard's address: in the prefix that is thrown away everywhere (RFC 6666).
fn address(shard: u16, trunk: TrunkId) -> SocketAddr {
    let bytes = trunk.0.to_be_bytes();
    let [high, low] = [[bytes[0], bytes[1]], [bytes[2], bytes[3]]].map(u16::from_be_bytes);
    let ip = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, high, low);
    SocketAddr::new(ip.into(), shard.saturating_add(1))
}

/// Our end, on this shard, of a way to another call: of the flow with this remote address.
pub(crate) fn listeners(shard: u16, remote: SocketAddr) -> Listeners {
    let there = Flow::to(ListenerId::WITHIN, remote);
    let local = there.seen_from(shard).remote;
    let listener = Listener {
        id: ListenerId::WITHIN,
        name: "within".into(),
        local,
        advertise: local.to_string().into(),
        transport: Transport::Udp,
    };
    std::iter::once(Arc::new(listener)).collect()
}

/// What another call is to a call: a trunk without limits that hides nothing.
pub(crate) fn trunk() -> Arc<Trunk> {
    Arc::new(Trunk {
        listen: ListenerId::WITHIN,
        policy: PolicyId(u16::MAX),
        oversize: Oversize::Off,
        failover_codes: Vec::new(),
        redirects: Redirects::Refuse,
        ..Trunk::new(TrunkId(u32::MAX), "transfer", TrunkKind::Sbc)
    })
}

#[cfg(test)]
mod tests {
    use crate::io::{Flow, ListenerId, TrunkId};

    #[test]
    fn a_flow_names_shard_and_trunk() {
        let trunk = TrunkId(0x0001_0203);
        let there = Flow::within(7, trunk);
        assert_eq!((there.shard(), there.speaks_as()), (Some(7), Some(trunk)));
        let seen = there.seen_from(2);
        assert_eq!((seen.shard(), seen.speaks_as()), (Some(2), Some(trunk)));
        let network = Flow {
            listener: ListenerId(0),
            ..there
        };
        assert_eq!((network.shard(), network.speaks_as()), (None, None));
    }
}
