//! Our sockets as the machines see them: how bytes travel, and which listener serves a transport.
//!
//! Opens nothing. Listeners are fixed from the start of a node to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use intertrunk_sip::{Scheme, Uri};

use crate::io::ListenerId;

/// How bytes travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A stream.
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    /// As written in Via.
    pub fn as_via(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// As written behind the host of a `sip` URI that means this transport. UDP is what a URI
    /// without the parameter means.
    pub fn as_uri_param(self) -> &'static str {
        match self {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            // Deviation: RFC 3261 §26.2.2 deprecates it, but every PBX writes and reads it.
            Transport::Tls => ";transport=tls",
        }
    }

    /// The port of a URI that names none (RFC 3261 §19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }

    /// Whether the transport itself sends again what was lost: no transaction timer does then
    /// (RFC 3261 §17).
    pub fn is_reliable(self) -> bool {
        match self {
            Transport::Udp => false,
            Transport::Tcp | Transport::Tls => true,
        }
    }

    /// What a URI asks for by its scheme or its `transport`. None if it leaves that open, or asks
    /// for what we do not have.
    pub fn asked_by(uri: &Uri<'_>) -> Option<Transport> {
        let param = uri.params.get("transport").flatten();
        let is = |name: &str| param.is_some_and(|p| p.eq_ignore_ascii_case(name));
        match uri.scheme {
            // Only TLS carries `sips`, whatever its transport says (RFC 3261 §26.2.2).
            Scheme::Sips => Some(Transport::Tls),
            Scheme::Sip if is("udp") => Some(Transport::Udp),
            Scheme::Sip if is("tcp") => Some(Transport::Tcp),
            Scheme::Sip if is("tls") => Some(Transport::Tls),
            Scheme::Sip | Scheme::Tel | Scheme::Other => None,
        }
    }
}

/// One of our sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Its place among [`Listeners`].
    pub id: ListenerId,
    /// As configured.
    pub name: Arc<str>,
    /// Where it is bound.
    pub local: SocketAddr,
    /// Host and port written into Via and Contact.
    pub advertise: Arc<str>,
    /// How bytes travel.
    pub transport: Transport,
}

impl Listener {
    /// The host of what is advertised, an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        match self.advertise.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.advertise,
        }
    }
}

/// All our sockets, by their place in the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listeners(Arc<[Arc<Listener>]>);

impl Listeners {
    /// The one with this id.
    pub fn get(&self, id: ListenerId) -> Option<&Arc<Listener>> {
        let placed = self.0.get(usize::from(id.0));
        // The way to another call of the host's stands alone (`within`).
        placed.or_else(|| self.0.first().filter(|l| l.id == id))
    }

    /// How bytes travel over the one with this id.
    pub fn transport(&self, id: ListenerId) -> Transport {
        self.get(id).map_or(Transport::Udp, |l| l.transport)
    }

    /// The listener through which `like`'s peers are reached by another transport: on its own
    /// address if there is one, else of its family.
    pub fn beside(&self, like: ListenerId, transport: Transport) -> Option<&Arc<Listener>> {
        let like = self.get(like)?;
        if like.transport == transport {
            return self.get(like.id);
        }
        let fits = |l: &&Arc<Listener>| {
            l.transport == transport && l.local.is_ipv4() == like.local.is_ipv4()
        };
        let same_address = |l: &&Arc<Listener>| l.local.ip() == like.local.ip();
        let all = || self.0.iter().filter(fits);
        all().find(same_address).or_else(|| all().next())
    }
}

impl std::ops::Deref for Listeners {
    type Target = [Arc<Listener>];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<Arc<Listener>> for Listeners {
    fn from_iter<T: IntoIterator<Item = Arc<Listener>>>(all: T) -> Self {
        Listeners(all.into_iter().collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Listener, ListenerId, Listeners, Transport};
    use intertrunk_sip::Uri;

    /// Listeners on these addresses, in this order.
    pub(crate) fn listeners(all: &[(Transport, &str)]) -> Listeners {
        let listener = |(&(transport, local), id): (&(Transport, &str), u16)| Listener {
            id: ListenerId(id),
            name: format!("l{id}").into(),
            local: local.parse().expect("a literal"),
            advertise: format!("sbc{id}.example.com:5060").into(),
            transport,
        };
        all.iter().zip(0..).map(|l| listener(l).into()).collect()
    }

    #[test]
    fn a_uri_asks_for_a_transport_or_leaves_it_open() {
        let asked = |text: &str| Transport::asked_by(&Uri::parse(text).expect("a URI"));
        assert_eq!(asked("sip:h"), None);
        assert_eq!(asked("sip:h;transport=TCP"), Some(Transport::Tcp));
        assert_eq!(asked("sip:h;transport=udp"), Some(Transport::Udp));
        assert_eq!(asked("sip:h;transport=tls"), Some(Transport::Tls));
        assert_eq!(asked("sips:h;transport=tcp"), Some(Transport::Tls));
        assert_eq!(asked("sip:h;transport=sctp"), None, "keeps what there is");
    }

    #[test]
    fn another_transport_is_looked_for_on_the_same_address_first() {
        let all = listeners(&[
            (Transport::Udp, "192.0.2.1:5060"),
            (Transport::Tcp, "[2001:db8::1]:5060"),
            (Transport::Tcp, "192.0.2.2:5060"),
            (Transport::Tcp, "192.0.2.1:5080"),
            (Transport::Udp, "192.0.2.9:5060"),
        ]);
        let beside = |like, transport| all.beside(ListenerId(like), transport).map(|l| l.id.0);
        assert_eq!(beside(0, Transport::Tcp), Some(3));
        assert_eq!(beside(4, Transport::Tcp), Some(2), "of the same family");
        assert_eq!(beside(4, Transport::Udp), Some(4), "itself");
        assert_eq!(beside(1, Transport::Udp), None);
        assert_eq!(beside(0, Transport::Tls), None);
    }
}
