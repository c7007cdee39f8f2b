//! Trunks: where their calls go, and which sources are theirs.
//!
//! Does not ask DNS: names are handed on as questions, and their lists of targets are empty until
//! somebody asks.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use intertrunk_proto::auth::{Door, Login, Register};
use intertrunk_proto::target::{Resolved, Target};
use intertrunk_proto::trunk::{Peer, SourceMatch, Trunk};
use intertrunk_proto::{ListenerId, PolicyId, Transport, TrunkId};

use super::build::Names;
use super::file::{File, PeerEntry, TrunkEntry};
use super::intern::Interner;
use super::listen::ListenEntry;
use super::read::At;
use super::value::{Match, PeerUri, one_address};
use crate::resolve::{Named, Question, Service};

/// All trunks that are right, and the names that DNS has to be asked for their sake. A source that
/// two trunks claim is reported.
pub fn all(
    names: &Names<'_>,
    file: &File,
    interner: &mut Interner,
) -> (Vec<Trunk>, Vec<At<Named>>) {
    let drafts = file
        .trunks
        .iter()
        .filter_map(|entry| draft(names, file, entry, interner));
    let mut drafts: Vec<Draft<'_>> = drafts.collect();
    claim_default_sources(&mut drafts);
    refuse_shared_sources(names, &drafts);
    refuse_doors_that_look_alike(names, &drafts);
    let asked = drafts.iter_mut().flat_map(|draft| {
        let peers = draft.named.iter_mut().filter_map(|peer| peer.name.take());
        peers.chain(draft.registrar.take())
    });
    let asked = asked.collect();
    let trunks = drafts
        .into_iter()
        .filter_map(|draft| finish(draft, interner));
    (trunks.collect(), asked)
}

/// A trunk with all names resolved, before its sources are settled among all trunks.
struct Draft<'f> {
    entry: &'f TrunkEntry,
    /// Its own first, then others that it may come in on.
    listens: Vec<ListenerId>,
    policies: Vec<PolicyId>,
    pstn_to: Vec<TrunkId>,
    named: Vec<NamedPeer>,
    door: Option<Arc<Door>>,
    login: Option<Arc<Login>>,
    register: Option<Arc<Register>>,
    /// What DNS is asked for the registrar's sake.
    registrar: Option<At<Named>>,
    sources: Vec<At<SourceMatch>>,
    certificates: Vec<String>,
}

/// Policies that one trunk asks, one after the other.
const CHAIN_MAX: usize = 4;

/// Who decides, one after the other; none after a fault was reported.
fn chain(names: &Names<'_>, entry: &TrunkEntry) -> Vec<PolicyId> {
    if entry.policies.is_empty() {
        return Vec::from_iter(names.policy_or_only(None, &entry.place));
    }
    let mut chain = Vec::new();
    for (at, place) in entry.policies.iter().zip(1..) {
        let Some(id) = names.policy(at) else {
            return Vec::new();
        };
        let problem = match () {
            () if chain.contains(&id) => "stands in the chain already",
            () if place > CHAIN_MAX => "is one too many: a chain has at most 4 policies",
            () => {
                chain.push(id);
                continue;
            }
        };
        names.source().fault(&at.place, problem, "leave it out");
        return Vec::new();
    }
    chain
}

fn draft<'f>(
    names: &Names<'_>,
    file: &File,
    entry: &'f TrunkEntry,
    interner: &mut Interner,
) -> Option<Draft<'f>> {
    let mut listens = ours(names, entry);
    let policies = chain(names, entry);
    let pstn_to = entry
        .pstn_to
        .iter()
        .filter_map(|at| names.trunk(at))
        .collect();
    let mut named = Vec::with_capacity(entry.peers.len());
    for peer in &entry.peers {
        let Some(by) = listener_for(names, file, &mut listens, peer) else {
            continue;
        };
        if let Some(local) = by.address.as_ref() {
            named.extend(named_peer(names, local.value, by.transport, peer, interner));
        }
    }
    let literals = named
        .iter()
        .filter_map(|peer: &NamedPeer| peer.literal.as_ref());
    let (sources, certificates) = match &entry.sources {
        Some(written) => by_kind(names, file, &listens, written),
        None => (literals.map(exactly).collect(), Vec::new()),
    };
    let source = names.source();
    let door = entry.door.as_ref().and_then(|it| it.build(source));
    let login = entry.login.as_ref().and_then(|it| it.build(source));
    let (register, registrar) = registration(
        names,
        file,
        entry,
        &mut listens,
        (&named, login.as_deref()),
        interner,
    );
    listens.first()?;
    Some(Draft {
        door,
        login,
        register,
        registrar,
        entry,
        listens,
        policies,
        pstn_to,
        named,
        sources,
        certificates,
    })
}

/// Where we register: at a registrar of its own, which DNS may be asked for, or at the first peer.
fn registration(
    names: &Names<'_>,
    file: &File,
    entry: &TrunkEntry,
    listens: &mut Vec<ListenerId>,
    (peers, login): (&[NamedPeer], Option<&Login>),
    interner: &mut Interner,
) -> (Option<Arc<Register>>, Option<At<Named>>) {
    let Some(wanted) = &entry.register else {
        return (None, None);
    };
    let own = wanted.registrar.as_ref().and_then(|at| {
        let by = listener_for(names, file, listens, at)?;
        named_peer(
            names,
            by.address.as_ref()?.value,
            by.transport,
            at,
            interner,
        )
    });
    let (peer, name) = match (own, &wanted.registrar) {
        (Some(own), _) => (Some(own.peer), own.name),
        (None, Some(_)) => (None, None),
        (None, None) => (peers.first().map(|it| it.peer.clone()), None),
    };
    let register = peer.and_then(|peer| wanted.build(names.source(), peer, login));
    (register, name)
}

/// The listeners that a trunk names, or the only one.
fn ours(names: &Names<'_>, entry: &TrunkEntry) -> Vec<ListenerId> {
    let first = names.listener(entry.listens.first(), &entry.place);
    let others = entry.listens.iter().skip(1);
    let others = others.filter_map(|at| names.listener(Some(at), &entry.place));
    first.into_iter().chain(others).collect()
}

/// The listener through which a peer is reached: one of the trunk's by the transport that the peer's
/// URI asks for, else another of the file, on the trunk's own address if there is one. The trunk
/// may come in on that, too.
fn listener_for<'f>(
    names: &Names<'_>,
    file: &'f File,
    listens: &mut Vec<ListenerId>,
    at: &At<PeerEntry>,
) -> Option<&'f ListenEntry> {
    let uri = &at.value.uri;
    let entry = |id: &ListenerId| file.listens.get(usize::from(id.0));
    let own = entry(listens.first()?)?;
    let transport = uri.transport.unwrap_or(own.transport);
    let listed = listens.iter().filter_map(entry);
    let mut listed = listed.filter(|e| e.transport == transport);
    let found = match listed.next() {
        Some(found) => Some(found),
        None => {
            let local = own.address.as_ref()?.value;
            let all = file.listens.iter().zip(0..).filter(|(e, _)| {
                let address = e.address.as_ref().map(|a| a.value);
                e.transport == transport && address.is_some_and(|a| a.is_ipv4() == local.is_ipv4())
            });
            let same = |e: &ListenEntry| {
                e.address
                    .as_ref()
                    .is_some_and(|a| a.value.ip() == local.ip())
            };
            let beside = all.min_by_key(|(e, _)| !same(e));
            beside.map(|(found, id)| {
                listens.push(ListenerId(id));
                found
            })
        }
    };
    let word = transport.as_via().to_ascii_lowercase();
    if found.is_none() {
        let problem = format!(
            "\"{}\" wants {word}, and there is no listener for it",
            uri.uri
        );
        let remedy = format!("add a [[listen]] with transport = \"{word}\"");
        names.source().fault(&at.place, problem, remedy);
    }
    if let Some(found) = found.filter(|f| transport == Transport::Tls && !f.has_ca()) {
        let name = found.name.as_ref().map_or("", |at| &at.value);
        let problem = format!("listener \"{name}\" has no CA to know the peer's certificate by");
        let remedy = "add ca = \"peers.pem\" to its `tls`";
        names.source().fault(&at.place, problem, remedy);
    }
    found
}

/// What a trunk is known by: sources, and names of certificates.
fn by_kind(
    names: &Names<'_>,
    file: &File,
    listens: &[ListenerId],
    written: &[At<Match>],
) -> (Vec<At<SourceMatch>>, Vec<String>) {
    let (mut sources, mut certificates) = (Vec::new(), Vec::new());
    let entries = || {
        listens
            .iter()
            .filter_map(|id| file.listens.get(usize::from(id.0)))
    };
    let shown = entries().any(|e| e.knows_peers_by_certificate());
    for At { place, value } in written {
        match value {
            Match::Source(source) => sources.push(At {
                place: place.clone(),
                value: *source,
            }),
            Match::Certificate(name) => {
                if !shown {
                    let problem =
                        format!("\"{name}\" is the name of a certificate, and none is shown");
                    let remedy =
                        "write an address, or give the listener tls = { …, client_ca = \"…\" }";
                    names.source().fault(place, problem, remedy);
                }
                certificates.push(name.clone());
            }
        }
    }
    (sources, certificates)
}

fn exactly(peer: &At<SocketAddr>) -> At<SourceMatch> {
    let address = peer.value;
    At {
        place: peer.place.clone(),
        value: one_address(address.ip(), Some(address.port())),
    }
}

/// A peer and what DNS is asked for its sake, or the address that is written in its URI.
struct NamedPeer {
    peer: Peer,
    literal: Option<At<SocketAddr>>,
    name: Option<At<Named>>,
}

fn named_peer(
    names: &Names<'_>,
    local: SocketAddr,
    transport: Transport,
    at: &At<PeerEntry>,
    interner: &mut Interner,
) -> Option<NamedPeer> {
    let PeerUri {
        uri,
        host_port,
        host,
        port,
        secure,
        ..
    } = &at.value.uri;
    let question = Question {
        host: host.to_ascii_lowercase(),
        port: *port,
        service: Service::from(transport),
        ipv4: local.is_ipv4(),
    };
    let targets = interner.targets(&question);
    let peer = Peer {
        uri: uri.as_str().into(),
        host_port: host_port.as_str().into(),
        targets: Arc::clone(&targets),
        transport,
        secure: *secure,
        priority: at.value.priority,
        weight: at.value.weight,
    };
    let place = at.place.clone();
    let Ok(ip) = host.parse::<IpAddr>() else {
        let value = Named { question, targets };
        let name = Some(At { place, value });
        return Some(NamedPeer {
            peer,
            literal: None,
            name,
        });
    };
    if ip.is_ipv4() != local.is_ipv4() {
        let problem = format!("\"{host}\" is no address of the family of the listener's");
        let remedy = "use a listener of the same family, IPv4 or IPv6";
        names.source().fault(&at.place, problem, remedy);
        return None;
    }
    let address = SocketAddr::new(ip, port.unwrap_or(question.service.default_port()));
    if !targets.contains(address) {
        targets.replace(Resolved {
            targets: vec![Target::at(host, address)],
            left: Vec::new(),
        });
    }
    Some(NamedPeer {
        peer,
        literal: Some(At {
            place,
            value: address,
        }),
        name: None,
    })
}

/// A trunk without `match` is its peers' addresses with their ports, and, where no other trunk of
/// the listener claims or implies the same address, that address with any port: PBXes often send
/// from another port than they listen on.
fn claim_default_sources(drafts: &mut [Draft<'_>]) {
    let mut users: HashMap<(ListenerId, IpAddr), Vec<usize>> = HashMap::new();
    for (i, draft) in drafts.iter().enumerate() {
        for source in &draft.sources {
            for listen in &draft.listens {
                let trunks = users.entry((*listen, source.value.network)).or_default();
                if trunks.last() != Some(&i) {
                    trunks.push(i);
                }
            }
        }
    }
    for draft in drafts
        .iter_mut()
        .filter(|draft| draft.entry.sources.is_none())
    {
        let mut wider: Vec<At<SourceMatch>> = Vec::new();
        for source in &draft.sources {
            let network = source.value.network;
            let users_on = |listen: &ListenerId| users.get(&(*listen, network)).map_or(0, Vec::len);
            let alone = draft.listens.iter().all(|listen| users_on(listen) == 1);
            if alone && wider.iter().all(|w| w.value.network != network) {
                wider.push(At {
                    place: source.place.clone(),
                    value: one_address(network, None),
                });
            }
        }
        draft.sources.extend(wider);
    }
}

fn refuse_shared_sources(names: &Names<'_>, drafts: &[Draft<'_>]) {
    let mut owners: HashMap<(ListenerId, IpAddr, u8, Option<u16>), &TrunkEntry> = HashMap::new();
    for draft in drafts {
        let pairs = draft.sources.iter();
        let pairs = pairs.flat_map(|at| draft.listens.iter().map(move |listen| (at, *listen)));
        for (At { place, value }, listen) in pairs {
            let claim = (listen, value.network, value.prefix, value.port);
            let owner = owners.entry(claim).or_insert(draft.entry);
            if !std::ptr::eq(*owner, draft.entry) {
                let problem = format!("{} is a source of {} too", in_words(value), named(owner));
                let remedy = "give each source to one trunk by `match`, or use another listener";
                names.source().fault(place, problem, remedy);
            }
        }
    }
}

/// Trunks that are known by what they show need different names, and one realm to show them for.
fn refuse_doors_that_look_alike(names: &Names<'_>, drafts: &[Draft<'_>]) {
    let open = |draft: &&Draft<'_>| draft.door.as_ref().is_some_and(|door| door.anywhere);
    let open: Vec<&Draft<'_>> = drafts.iter().filter(open).collect();
    for (n, draft) in open.iter().enumerate() {
        let (Some(door), Some(entry)) = (&draft.door, &draft.entry.door) else {
            continue;
        };
        let met = |other: &&&Draft<'_>| other.listens.iter().any(|id| draft.listens.contains(id));
        for other in open[..n].iter().filter(met) {
            let Some(before) = &other.door else { continue };
            let (problem, remedy) = if before.realm != door.realm {
                (
                    "has another realm than",
                    "give all doors of a listener that anybody may knock at one realm",
                )
            } else if before.user == door.user {
                ("has the same user as", "give each its own user")
            } else {
                continue;
            };
            let problem = format!("{problem} {}", named(other.entry));
            names.source().fault(&entry.place, problem, remedy);
        }
    }
}

fn named(entry: &TrunkEntry) -> String {
    entry
        .name
        .as_ref()
        .map_or_else(|| entry.place.key.clone(), |n| format!("\"{}\"", n.value))
}

fn in_words(source: &SourceMatch) -> String {
    match source.port {
        Some(port) => SocketAddr::new(source.network, port).to_string(),
        None => format!("{}/{}", source.network, source.prefix),
    }
}

fn finish(draft: Draft<'_>, interner: &mut Interner) -> Option<Trunk> {
    let Draft {
        entry,
        listens,
        policies,
        pstn_to,
        named,
        door,
        login,
        register,
        registrar: _,
        sources,
        certificates,
    } = draft;
    let name = &entry.name.as_ref()?.value;
    let (id, state) = interner.trunk(name);
    Some(Trunk {
        id,
        name: name.as_str().into(),
        kind: entry.kind,
        site: entry.site.clone(),
        tags: entry.tags.clone(),
        listen: *listens.first()?,
        also_listen: listens.get(1..)?.to_vec(),
        peers: named.into_iter().map(|named| named.peer).collect(),
        balance: entry.balance,
        sources: sources.into_iter().map(|at| at.value).collect(),
        follows_peers: entry.sources.is_none(),
        certificates,
        oversize: entry.oversize,
        policy: *policies.first()?,
        then: policies[1..].to_vec(),
        calls_max: entry.capacity.calls_max,
        calls_in_max: entry.capacity.calls_in_max,
        calls_out_max: entry.capacity.calls_out_max,
        reserve_emergency: entry.capacity.reserve_emergency,
        rates: entry.capacity.rates,
        health: entry.health.clone(),
        no_progress: entry.no_progress,
        failover_codes: entry.failover_codes.clone(),
        pstn_to,
        identity: entry.identity,
        transfers: entry.transfers,
        redirects: entry.redirects,
        pass_headers: entry.pass_headers.clone().map(Into::into),
        methods: entry.methods.clone().map(Into::into),
        extensions: entry.extensions,
        login,
        register,
        door,
        state,
    })
}
