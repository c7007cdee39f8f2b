//! The configuration of a world.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use intertrunk_proto::trunk::{Trunk, TrunkState};
use intertrunk_proto::{Fallback, Listener, Policy, PolicyId, Snapshot, Transport, TrunkId};

use crate::streams::{TCP, UDP};
use crate::world::{HOST, TRUNKS};

/// The meter of every world.
pub const METER: &str = "meter";

/// The configuration of a world: [`TRUNKS`] with these states, each edited, and two policies.
pub fn snapshot(states: &[Arc<TrunkState>], edit: fn(&mut Trunk), fallback: Fallback) -> Snapshot {
    snapshot_without(None, states, edit, fallback)
}

/// The same without one of the trunks.
pub(crate) fn snapshot_without(
    without: Option<&str>,
    states: &[Arc<TrunkState>],
    edit: fn(&mut Trunk),
    fallback: Fallback,
) -> Snapshot {
    let listener = |(id, transport): (_, Transport)| Listener {
        id,
        name: transport.as_via().into(),
        local: HOST.parse().expect("a literal"),
        advertise: HOST.into(),
        transport,
    };
    let listeners = [(UDP, Transport::Udp), (TCP, Transport::Tcp)].map(listener);
    let trunks = TRUNKS
        .iter()
        .zip(states)
        .zip(0..)
        .map(|((&(name, kind, address), state), id)| {
            let address: SocketAddr = address.parse().expect("a literal");
            let mut trunk = Trunk {
                state: Arc::clone(state),
                ..Trunk::new(TrunkId(id), name, kind).with_peer_at(address)
            };
            edit(&mut trunk);
            trunk
        })
        .filter(|trunk| without != Some(&*trunk.name));
    let policy = |id, name: &str, fallback| Policy {
        id: PolicyId(id),
        name: name.into(),
        deadline: Duration::from_millis(20),
        fallback,
        trunks: vec!["*".to_owned()],
        sources: vec!["*".to_owned()],
    };
    let policies = vec![
        policy(0, "main", fallback),
        policy(1, "last", Fallback::Reject(500)),
    ];
    let snapshot = Snapshot::new("sim", listeners.into(), trunks.collect(), policies);
    let mut snapshot = snapshot.expect("sources differ");
    snapshot.meters.push(METER.to_owned());
    snapshot
}
