//! Sockets. Opens every listener of the configuration once for each shard; knows nothing of SIP.

mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use intertrunk_proto::{Listener, Transport};

pub use udp::{DATAGRAM_BYTES_MAX, UdpSocket};

/// All listeners, open.
#[derive(Debug)]
pub struct Bound {
    /// As configured, with the port that the system gave where the configuration says 0.
    pub listeners: Vec<Arc<Listener>>,
    /// One socket for each listener, for each shard.
    pub sockets: Vec<Vec<UdpSocket>>,
}

/// A listener that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener `{name}` cannot open udp {address}: {source}; {remedy}", remedy = remedy(.source))]
pub struct BindFault {
    /// Name of the listener.
    pub name: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// Opens all `listeners` for `shards` shards.
pub fn bind(listeners: &[Arc<Listener>], shards: u16) -> Result<Bound, BindFault> {
    let mut bound = Bound {
        listeners: Vec::with_capacity(listeners.len()),
        sockets: (0..shards)
            .map(|_| Vec::with_capacity(listeners.len()))
            .collect(),
    };
    for configured in listeners {
        let fault = |source| BindFault {
            name: Arc::clone(&configured.name),
            address: configured.local,
            source,
        };
        let mut listener = Listener::clone(configured);
        if shards > 1 {
            // Sharing lets in a second host of the same user, too; so ask without sharing first.
            UdpSocket::probe(listener.local).map_err(fault)?;
        }
        for of_shard in &mut bound.sockets {
            let socket = match listener.transport {
                Transport::Udp => UdpSocket::bind(listener.id, listener.local, shards > 1),
                Transport::Tcp | Transport::Tls => Err(io::ErrorKind::Unsupported.into()),
            };
            let socket = socket.map_err(fault)?;
            listener.local = socket.local().map_err(fault)?;
            of_shard.push(socket);
        }
        if *listener.advertise == *configured.local.to_string() {
            listener.advertise = listener.local.to_string().into();
        }
        bound.listeners.push(Arc::new(listener));
    }
    Ok(bound)
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port: `ss -lunp` names it; stop it or change `address`"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address: `ip addr` lists those there are"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; or take a higher port"
        }
        _ => "check `address` of this listener",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use intertrunk_proto::ListenerId;

    use super::*;

    fn listener(address: SocketAddr) -> Arc<Listener> {
        Arc::new(Listener {
            id: ListenerId(0),
            name: "lan".into(),
            local: address,
            advertise: address.to_string().into(),
            transport: Transport::Udp,
        })
    }

    #[test]
    fn shards_share_one_port_and_it_is_advertised() {
        let bound = bind(&[listener("127.0.0.1:0".parse().unwrap())], 3).unwrap();
        let local = bound.listeners[0].local;
        assert_ne!(local.port(), 0);
        assert_eq!(*bound.listeners[0].advertise, *local.to_string());
        assert_eq!(bound.sockets.len(), 3);
        assert!(bound.sockets.iter().all(|s| s[0].local().unwrap() == local));
    }

    #[test]
    fn a_name_for_the_outside_is_kept() {
        let mut natted = listener("127.0.0.1:0".parse().unwrap());
        Arc::make_mut(&mut natted).advertise = "sip.example.com:5060".into();
        let bound = bind(&[natted], 1).unwrap();
        assert_eq!(&*bound.listeners[0].advertise, "sip.example.com:5060");
    }

    /// SO_REUSEPORT alone would let a second host of the same user in, to share our calls.
    #[test]
    fn a_port_in_use_is_refused_even_between_hosts_of_many_shards() {
        let first = bind(&[listener("127.0.0.1:0".parse().unwrap())], 2).unwrap();
        let fault = bind(&[listener(first.listeners[0].local)], 2)
            .unwrap_err()
            .to_string();
        assert!(fault.contains("`lan`"), "{fault}");
        assert!(
            fault.contains(&first.listeners[0].local.to_string()),
            "{fault}"
        );
        assert!(fault.contains("ss -lunp"), "{fault}");
    }
}
