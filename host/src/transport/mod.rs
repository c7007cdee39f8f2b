//! Sockets. Opens every listener of the configuration once for each shard; knows nothing of SIP.

mod census;
mod rules;
mod stream;
mod streams;
mod tcp;
pub mod tls;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use intertrunk_proto::{Listener, Transport};

use census::Census;
pub use rules::StreamRules;
pub use stream::Origin;
pub use streams::{News, Streams, Tally};
pub use udp::{DATAGRAM_BYTES_MAX, UdpSocket};

/// All listeners, open.
#[derive(Debug)]
pub struct Bound {
    /// As configured, with the port that the system gave where the configuration says 0.
    pub listeners: Vec<Arc<Listener>>,
    /// One socket for each UDP listener, for each shard.
    pub sockets: Vec<Vec<UdpSocket>>,
    /// For each shard what each of the listeners takes connections with; none for UDP.
    pub doors: Vec<Vec<Option<DoorSocket>>>,
}

/// What one shard takes the connections of one listener with.
#[derive(Debug)]
pub struct DoorSocket {
    /// The listener.
    pub listener: Arc<Listener>,
    /// Its socket in this shard.
    pub socket: mio::net::TcpListener,
    /// The connections of all shards.
    pub census: Arc<Census>,
}

/// A listener that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener `{name}` cannot open {transport} {address}: {source}; {remedy}", remedy = remedy(.source))]
pub struct BindFault {
    /// Name of the listener.
    pub name: Arc<str>,
    /// How bytes travel.
    pub transport: &'static str,
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
        doors: (0..shards).map(|_| Vec::new()).collect(),
    };
    for configured in listeners {
        let transport = configured.transport;
        let fault = |source| BindFault {
            name: Arc::clone(&configured.name),
            transport: match transport {
                Transport::Udp => "udp",
                Transport::Tcp | Transport::Tls => "tcp",
            },
            address: configured.local,
            source,
        };
        let mut listener = Listener::clone(configured);
        let opened = match transport {
            Transport::Udp => bind_udp(&mut listener, &mut bound.sockets).map(|()| None),
            Transport::Tcp | Transport::Tls => bind_tcp(&mut listener, shards).map(Some),
        };
        let opened = opened.map_err(fault)?;
        if *listener.advertise == *configured.local.to_string() {
            listener.advertise = listener.local.to_string().into();
        }
        let listener = Arc::new(listener);
        let census = Arc::<Census>::default();
        let mut sockets = opened.into_iter().flatten();
        for of_shard in &mut bound.doors {
            of_shard.push(sockets.next().map(|socket| DoorSocket {
                listener: Arc::clone(&listener),
                socket,
                census: Arc::clone(&census),
            }));
        }
        bound.listeners.push(listener);
    }
    Ok(bound)
}

fn bind_udp(listener: &mut Listener, shards: &mut [Vec<UdpSocket>]) -> io::Result<()> {
    let shared = shards.len() > 1;
    if shared {
        // Sharing lets in a second host of the same user, too; so ask without sharing first.
        UdpSocket::probe(listener.local)?;
    }
    for of_shard in shards {
        let socket = UdpSocket::bind(listener.id, listener.local, shared)?;
        listener.local = socket.local()?;
        of_shard.push(socket);
    }
    Ok(())
}

fn bind_tcp(listener: &mut Listener, shards: u16) -> io::Result<Vec<mio::net::TcpListener>> {
    let shared = shards > 1;
    if shared {
        tcp::probe(listener.local)?;
    }
    let mut sockets = Vec::with_capacity(shards.into());
    for _ in 0..shards {
        let socket = tcp::listen(listener.local, shared)?;
        listener.local = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port: `ss -lntup` names it; stop it or change `address`"
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
        assert!(fault.contains("ss -lntup"), "{fault}");
    }
}
