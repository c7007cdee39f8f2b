//! From a peer's name to addresses, priorities and weights: RFC 3263 §4 in one pass.
//!
//! ```text
//!   hosts file ─▶ port written? ─yes─▶ A/AAAA, that port
//!                    │ no
//!                  NAPTR of our service ─▶ SRV, else _service._proto SRV
//!                    │ none                   │ found: A/AAAA of each host that it names
//!                    └──▶ A/AAAA, default port
//! ```
//! Remembers nothing. Asks only for the transport of the peer's listener: what NAPTR says of others
//! is for those who have a listener for it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use intertrunk_proto::target::Target;

use super::{Dns, Question};

/// Most targets that one peer has; what comes after them is left out.
const TARGETS_MAX: usize = 32;
/// Most NAPTR records that are followed until one leads to addresses.
const NAPTR_MAX: usize = 4;
/// How long an entry of the hosts file is believed.
const HOSTS_TTL: Duration = Duration::from_secs(60);

/// What a name stands for.
#[derive(Debug)]
pub struct Answer {
    /// In no order; empty if the name says that there is no such service.
    pub targets: Vec<Target>,
    /// Hosts whose addresses could not be had this time, though the name still leads to them.
    pub unknown: Vec<Arc<str>>,
    /// How long that is true.
    pub ttl: Duration,
}

/// Why a name could not be resolved.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// DNS says that it has no address of the listener's family.
    #[error("has no address")]
    NoAddress,
    /// What is no name cannot be asked for.
    #[error("is no name that DNS knows how to ask for")]
    NoName,
    /// No server gave a usable answer.
    #[error("no usable answer from DNS: {0}")]
    Unanswered(String),
}

/// Asks the configured servers.
#[derive(Debug)]
pub struct Client {
    resolver: TokioResolver,
}

impl Client {
    /// One for these settings. Call within a runtime.
    pub fn new(dns: &Dns) -> Result<Client, Failure> {
        let unusable = |error: NetError| Failure::Unanswered(error.to_string());
        let (config, mut options) = match dns.servers.as_slice() {
            [] => read_system_conf().map_err(unusable)?,
            servers => (configured(servers), ResolverOpts::default()),
        };
        if let Some(timeout) = dns.timeout {
            options.timeout = timeout;
        }
        if let Some(attempts) = dns.attempts {
            options.attempts = attempts;
        }
        // The lists of targets are the cache: one that was asked for again is wanted fresh.
        options.cache_size = 0;
        options.positive_max_ttl = Some(Duration::ZERO);
        options.negative_max_ttl = Some(Duration::ZERO);
        options.use_hosts_file = ResolveHosts::Never;
        let runtime = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, runtime).with_options(options);
        let resolver = builder.build().map_err(unusable)?;
        Ok(Client { resolver })
    }

    /// What the name of `question` stands for at this moment.
    pub async fn answer(&self, question: &Question) -> Result<Answer, Failure> {
        let name = name_of(&question.host)?;
        // Deviation: an entry of the hosts file is the last word, without NAPTR and SRV; whoever
        // writes one means it.
        if let Some(addresses) = in_hosts_file(&name, question.ipv4) {
            let port = question.port.unwrap_or(question.service.default_port());
            return Ok(single(question, &addresses, port, HOSTS_TTL));
        }
        if let Some(port) = question.port {
            return self.by_address(question, name, port).await;
        }
        let mut ttl = Duration::MAX;
        match self.services(question, &name, &mut ttl).await? {
            Some(services) => self.by_services(question, services, ttl).await,
            None => {
                let port = question.service.default_port();
                self.by_address(question, name, port).await
            }
        }
    }

    async fn by_address(
        &self,
        question: &Question,
        name: Name,
        port: u16,
    ) -> Result<Answer, Failure> {
        let (addresses, ttl) = self.addresses(name, question.ipv4).await?;
        match addresses.is_empty() {
            true => Err(Failure::NoAddress),
            false => Ok(single(question, &addresses, port, ttl)),
        }
    }

    /// The SRV records that lead on; `None` if there are none (RFC 3263 §4.1, §4.2).
    async fn services(
        &self,
        question: &Question,
        name: &Name,
        ttl: &mut Duration,
    ) -> Result<Option<Vec<SRV>>, Failure> {
        let service = question.service;
        // A server that cannot answer NAPTR still knows SRV.
        let naptr = self.records(name.clone(), RecordType::NAPTR, ttl).await;
        let mut naptr: Vec<NAPTR> = naptr
            .unwrap_or_default()
            .into_iter()
            .filter_map(|data| match data {
                RData::NAPTR(n) if leads_to(&n, service.naptr()) => Some(n),
                _ => None,
            })
            .collect();
        naptr.sort_by_key(|n| (n.order, n.preference));
        let by_name = service
            .owner()
            .append_domain(name)
            .map_err(|_| Failure::NoName)?;
        let owners = naptr.into_iter().take(NAPTR_MAX).map(|n| n.replacement);
        for owner in owners.chain([by_name]) {
            let found = self.records(owner, RecordType::SRV, ttl).await?;
            let found = found.into_iter().filter_map(|data| match data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            });
            let found: Vec<SRV> = found.collect();
            if !found.is_empty() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn by_services(
        &self,
        question: &Question,
        services: Vec<SRV>,
        mut ttl: Duration,
    ) -> Result<Answer, Failure> {
        let mut answer = Answer {
            targets: Vec::new(),
            unknown: Vec::new(),
            ttl,
        };
        // RFC 2782: a target of "." says that there is no such service here.
        let mut offered = services;
        offered.retain(|srv| !srv.target.is_root());
        if offered.is_empty() {
            return Ok(answer);
        }
        offered.sort_by_key(|srv| (srv.priority, u16::MAX - srv.weight));
        let mut failure = Failure::NoAddress;
        for srv in offered {
            let host: Arc<str> = srv.target.to_utf8().trim_end_matches('.').into();
            match self.addresses(srv.target, question.ipv4).await {
                Ok((addresses, of_host)) => {
                    ttl = ttl.min(of_host);
                    let target = |ip: &IpAddr| Target {
                        priority: srv.priority,
                        weight: srv.weight,
                        ..Target::at(&host, SocketAddr::new(*ip, srv.port))
                    };
                    answer.targets.extend(addresses.iter().map(target));
                }
                Err(fault) => {
                    failure = fault;
                    answer.unknown.push(host);
                }
            }
            if answer.targets.len() >= TARGETS_MAX {
                break;
            }
        }
        answer.targets.truncate(TARGETS_MAX);
        answer.ttl = ttl;
        match answer.targets.is_empty() {
            true => Err(failure),
            false => Ok(answer),
        }
    }

    /// Addresses of one family; none if DNS knows of none.
    async fn addresses(&self, name: Name, ipv4: bool) -> Result<(Vec<IpAddr>, Duration), Failure> {
        if let Some(addresses) = in_hosts_file(&name, ipv4) {
            return Ok((addresses, HOSTS_TTL));
        }
        let kind = if ipv4 {
            RecordType::A
        } else {
            RecordType::AAAA
        };
        let mut ttl = Duration::MAX;
        let found = self.records(name, kind, &mut ttl).await?;
        Ok((found.iter().filter_map(RData::ip_addr).collect(), ttl))
    }

    /// All records of one type; none if DNS says that there are none. Lowers `ttl` to the lowest
    /// of what led to them.
    pub(super) async fn records(
        &self,
        name: Name,
        kind: RecordType,
        ttl: &mut Duration,
    ) -> Result<Vec<RData>, Failure> {
        let lookup: Lookup = match self.resolver.lookup(name, kind).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(Failure::Unanswered(error.to_string())),
        };
        let answers = lookup.answers();
        if let Some(lowest) = answers.iter().map(|record| record.ttl).min() {
            *ttl = (*ttl).min(Duration::from_secs(lowest.into()));
        }
        Ok(answers.iter().map(|record| record.data.clone()).collect())
    }
}

fn configured(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = address.port();
        }
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    ResolverConfig::from_name_servers(servers.iter().map(server).collect())
}

/// A host with a dot is whole; one without may be completed by the system's search list.
pub(super) fn name_of(host: &str) -> Result<Name, Failure> {
    let mut name = Name::from_str(host).map_err(|_| Failure::NoName)?;
    if name.num_labels() > 1 {
        name.set_fqdn(true);
    }
    Ok(name)
}

fn in_hosts_file(name: &Name, ipv4: bool) -> Option<Vec<IpAddr>> {
    let kind = if ipv4 {
        RecordType::A
    } else {
        RecordType::AAAA
    };
    let hosts = Hosts::from_system().ok()?;
    let found = hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
    let addresses = found.answers().iter().filter_map(|r| r.data.ip_addr());
    Some(addresses.collect())
}

/// An `s` record, which leads to SRV, of our service (RFC 3263 §4.1).
fn leads_to(naptr: &NAPTR, service: &str) -> bool {
    naptr.flags.eq_ignore_ascii_case(b"s")
        && naptr.services.eq_ignore_ascii_case(service.as_bytes())
}

/// Several addresses of one host share evenly.
fn single(question: &Question, addresses: &[IpAddr], port: u16, ttl: Duration) -> Answer {
    let targets = addresses.iter().take(TARGETS_MAX);
    let target = |ip: &IpAddr| Target::at(&question.host, SocketAddr::new(*ip, port));
    Answer {
        targets: targets.map(target).collect(),
        unknown: Vec::new(),
        ttl,
    }
}
