//! Listeners: where they are, how bytes travel, and how they treat connections.
//!
//! Certificates are read here, each time that the file is read: a reload takes the new ones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use intertrunk_proto::{Listener, ListenerId, Transport};

use super::read::{At, Place, Section, Source};
use super::value;
use crate::transport::StreamRules;
use crate::transport::tls::{Pems, Tls};

/// `[[listen]]`
pub struct ListenEntry {
    pub name: Option<At<String>>,
    pub address: Option<At<SocketAddr>>,
    pub advertise: Option<At<String>>,
    pub transport: Transport,
    pub place: Place,
    idle: Option<At<Duration>>,
    connect_timeout: Option<At<Duration>>,
    connections_max: Option<At<u32>>,
    per_peer_max: Option<At<u32>>,
    tls: Option<TlsEntry>,
}

/// `tls = { … }`: the paths of PEM files.
struct TlsEntry {
    place: Place,
    cert: Option<At<String>>,
    key: Option<At<String>>,
    client_ca: Option<At<String>>,
    ca: Option<At<String>>,
}

const CONNECTIONS: std::ops::RangeInclusive<i64> = 1..=1_000_000;

/// Reads one table.
pub fn read(s: Section<'_>) -> ListenEntry {
    const ADDRESS: &str = "write address = \"192.0.2.1:5060\"";
    let words = [
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
    ];
    let entry = ListenEntry {
        place: s.place().clone(),
        name: s.required(
            "name",
            "write name = \"lan\"",
            s.parsed("name", value::name),
        ),
        address: s.required("address", ADDRESS, s.parsed("address", value::address)),
        advertise: s.parsed("advertise", value::host_port),
        transport: s
            .choice("transport", &words)
            .map_or(Transport::Udp, |at| at.value),
        idle: s.parsed("idle", value::duration(1_000..=86_400_000)),
        connect_timeout: s.parsed("connect_timeout", value::duration(100..=30_000)),
        connections_max: s.number("max_connections", CONNECTIONS),
        per_peer_max: s.number("max_connections_per_peer", CONNECTIONS),
        tls: s.section("tls").map(tls),
    };
    s.finish();
    entry
}

fn tls(s: Section<'_>) -> TlsEntry {
    const CERT: &str = "write cert = \"edge.pem\", our certificate and those that signed it";
    const KEY: &str = "write key = \"edge.key\", the private key of the certificate";
    let entry = TlsEntry {
        place: s.place().clone(),
        cert: s.required("cert", CERT, s.parsed("cert", value::text)),
        key: s.required("key", KEY, s.parsed("key", value::text)),
        client_ca: s.parsed("client_ca", value::text),
        ca: s.parsed("ca", value::text),
    };
    s.finish();
    entry
}

impl ListenEntry {
    /// Whether connections show whose they are: only then do names of certificates mean anything.
    pub fn knows_peers_by_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// Whether it can know the certificates of those whom it connects to.
    pub fn has_ca(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.ca.is_some() || tls.client_ca.is_some())
    }

    fn rules(&self, source: &Source<'_>) -> StreamRules {
        let usual = StreamRules::default();
        let duration = |at: &Option<At<Duration>>, usual| at.as_ref().map_or(usual, |at| at.value);
        let number = |at: &Option<At<u32>>, usual| at.as_ref().map_or(usual, |at| at.value);
        StreamRules {
            connect_timeout: duration(&self.connect_timeout, usual.connect_timeout),
            idle: duration(&self.idle, usual.idle),
            connections_max: match self.transport.is_reliable() {
                true => number(&self.connections_max, usual.connections_max),
                false => 0,
            },
            connections_per_peer_max: number(&self.per_peer_max, usual.connections_per_peer_max),
            tls: self.tls.as_ref().and_then(|tls| tls.load(source)),
        }
    }

    /// Keys that mean nothing for its transport, and those that it must have.
    fn check_transport(&self, source: &Source<'_>) {
        match (self.transport, &self.tls) {
            (Transport::Tls, None) => {
                let place = Place {
                    key: format!("{}.tls", self.place.key),
                    ..self.place
                };
                let remedy = "write tls = { cert = \"edge.pem\", key = \"edge.key\" }";
                source.missing(&place, "missing, and the transport is tls", remedy);
            }
            (Transport::Udp | Transport::Tcp, Some(tls)) => {
                let problem = "has no meaning without transport = \"tls\"";
                source.fault(&tls.place, problem, "leave it out, or change the transport");
            }
            (Transport::Tls, Some(_)) | (Transport::Udp | Transport::Tcp, None) => {}
        }
        let stream_keys = [
            self.idle.as_ref().map(|at| &at.place),
            self.connect_timeout.as_ref().map(|at| &at.place),
            self.connections_max.as_ref().map(|at| &at.place),
            self.per_peer_max.as_ref().map(|at| &at.place),
        ];
        if self.transport == Transport::Udp {
            for place in stream_keys.into_iter().flatten() {
                let problem = "has no effect: UDP has no connections";
                source.warn(place, problem, "leave it out");
            }
        }
    }
}

impl TlsEntry {
    fn load(&self, source: &Source<'_>) -> Option<Tls> {
        let read = |at: &At<String>| -> Option<Vec<u8>> {
            let path = source.beside(&at.value);
            let content = std::fs::read(&path);
            content
                .map_err(|error| {
                    let problem = format!("{} cannot be read: {error}", path.display());
                    source.fault(&at.place, problem, "name a readable PEM file");
                })
                .ok()
        };
        // Every file is read before the first fault matters: all are reported.
        let cert = self.cert.as_ref().map(read);
        let key = self.key.as_ref().map(read);
        let client_ca = self.client_ca.as_ref().map(read);
        let ca = self.ca.as_ref().map(read);
        let unless_unreadable = |pem: Option<Option<Vec<u8>>>| match pem {
            Some(None) => Err(()),
            Some(Some(pem)) => Ok(Some(pem)),
            None => Ok(None),
        };
        let (client_ca, ca) = (unless_unreadable(client_ca), unless_unreadable(ca));
        let (cert, key, client_ca, ca) = (cert??, key??, client_ca.ok()?, ca.ok()?);
        let pems = Pems {
            cert: &cert,
            key: &key,
            client_ca: client_ca.as_deref(),
            ca: ca.as_deref(),
        };
        let fault = match Tls::of(&pems) {
            Ok(tls) => return Some(tls),
            Err(fault) => fault,
        };
        let (at, remedy) = match fault.key {
            "key" => (
                &self.key,
                "name the private key of `cert`, as unencrypted PEM",
            ),
            "client_ca" => (&self.client_ca, "name a PEM file with the peers' CA"),
            "ca" => (
                self.ca.as_ref().map_or(&self.client_ca, |_| &self.ca),
                "name a PEM file with the peers' CA",
            ),
            _ => (
                &self.cert,
                "name our certificate as PEM; `key` must be its private key",
            ),
        };
        let place = at.as_ref().map_or(&self.place, |at| &at.place);
        source.fault(place, fault.problem, remedy);
        None
    }
}

/// All listeners that are right, and how each treats its connections.
pub fn all(source: &Source<'_>, entries: &[ListenEntry]) -> (Vec<Listener>, Vec<StreamRules>) {
    if entries.is_empty() {
        let place = Place {
            key: "listen".to_owned(),
            offset: 0,
        };
        let remedy = "add a [[listen]] with a name and an address";
        source.fault(&place, "missing", remedy);
    }
    refuse_shared_addresses(source, entries);
    for entry in entries {
        entry.check_transport(source);
    }
    let listeners = entries
        .iter()
        .zip(0..)
        .filter_map(|(e, id)| listener(source, e, id));
    let rules = entries.iter().map(|entry| entry.rules(source));
    (listeners.collect(), rules.collect())
}

fn refuse_shared_addresses(source: &Source<'_>, entries: &[ListenEntry]) {
    let mut taken = HashMap::new();
    for entry in entries {
        let Some(at) = entry.address.as_ref().filter(|at| at.value.port() != 0) else {
            continue;
        };
        // UDP and TCP have ports of their own; TLS is TCP to the system.
        let ports = entry.transport.is_reliable();
        if taken.insert((at.value, ports), ()).is_some() {
            let problem = format!("a second listener on {}", at.value);
            source.fault(&at.place, problem, "give each its own address or port");
        }
    }
}

fn listener(source: &Source<'_>, entry: &ListenEntry, id: u16) -> Option<Listener> {
    let address = entry.address.as_ref()?;
    if address.value.ip().is_unspecified() && entry.advertise.is_none() {
        let place = Place {
            key: format!("{}.advertise", entry.place.key),
            ..address.place
        };
        let problem = format!(
            "missing, and {} means nothing to a peer",
            address.value.ip()
        );
        let remedy = "write advertise = \"host:port\" as peers reach it";
        source.missing(&place, problem, remedy);
    }
    let advertise = match &entry.advertise {
        Some(at) => at.value.as_str().into(),
        None => address.value.to_string().into(),
    };
    Some(Listener {
        id: ListenerId(id),
        name: entry.name.as_ref()?.value.as_str().into(),
        local: address.value,
        advertise,
        transport: entry.transport,
    })
}
