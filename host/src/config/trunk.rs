//! Trunks: where their calls go, and which sources are theirs.
//!
//! The one place of the configuration that asks DNS: a peer's name is resolved when the file is
//! read, so that a wrong name is a fault of the file and no surprise of the first call.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use intertrunk_proto::target::{Resolved, Target, Targets};
use intertrunk_proto::trunk::{Oversize, Peer, SourceMatch, Trunk};
use intertrunk_proto::{ListenerId, PolicyId, Transport, TrunkId};

use super::build::Names;
use super::file::{File, TrunkEntry};
use super::intern::Interner;
use super::read::At;
use super::value::{PeerUri, one_address};

/// All trunks that are right. A source that two of them claim is reported.
pub fn all(names: &Names<'_>, file: &File, interner: &mut Interner) -> Vec<Trunk> {
    let drafts = file
        .trunks
        .iter()
        .filter_map(|entry| draft(names, file, entry));
    let mut drafts: Vec<Draft<'_>> = drafts.collect();
    claim_default_sources(&mut drafts);
    refuse_shared_sources(names, &drafts);
    drafts
        .into_iter()
        .filter_map(|draft| finish(draft, interner))
        .collect()
}

/// A trunk with all names resolved, before its sources are settled among all trunks.
struct Draft<'f> {
    entry: &'f TrunkEntry,
    listen: ListenerId,
    policy: Option<PolicyId>,
    pstn_to: Vec<TrunkId>,
    peers: Vec<Peer>,
    sources: Vec<At<SourceMatch>>,
}

fn draft<'f>(names: &Names<'_>, file: &File, entry: &'f TrunkEntry) -> Option<Draft<'f>> {
    let listen = names.listener(entry.listen.as_ref(), &entry.place);
    let policy = names.policy_or_only(entry.policy.as_ref(), &entry.place);
    let pstn_to = entry
        .pstn_to
        .iter()
        .filter_map(|at| names.trunk(at))
        .collect();
    let listen_entry = listen.and_then(|id| file.listens.get(usize::from(id.0)));
    let local = listen_entry
        .and_then(|entry| entry.address.as_ref())
        .map(|at| at.value);
    let resolved: Vec<(Peer, Vec<At<SocketAddr>>)> = entry
        .peers
        .iter()
        .filter_map(|peer| resolve(names, local, peer))
        .collect();
    let addresses = resolved.iter().flat_map(|(_, addresses)| addresses);
    let sources = match &entry.sources {
        Some(written) => written.clone(),
        None => addresses.map(exactly).collect(),
    };
    let peers = resolved.into_iter().map(|(peer, _)| peer).collect();
    Some(Draft {
        entry,
        listen: listen?,
        policy,
        pstn_to,
        peers,
        sources,
    })
}

fn exactly(peer: &At<SocketAddr>) -> At<SourceMatch> {
    let address = peer.value;
    At {
        place: peer.place.clone(),
        value: one_address(address.ip(), Some(address.port())),
    }
}

/// A peer with each address of the listener's family that its host stands for.
fn resolve(
    names: &Names<'_>,
    local: Option<SocketAddr>,
    at: &At<PeerUri>,
) -> Option<(Peer, Vec<At<SocketAddr>>)> {
    let PeerUri {
        uri,
        host_port,
        host,
        port,
    } = &at.value;
    let usable = |a: &SocketAddr| local.is_none_or(|local| a.is_ipv4() == local.is_ipv4());
    let addresses: Vec<SocketAddr> = match (host.as_str(), *port).to_socket_addrs() {
        Ok(addresses) => addresses.filter(usable).collect(),
        Err(error) => {
            let problem = format!("\"{host}\" cannot be resolved: {error}");
            names
                .source()
                .fault(&at.place, problem, "mend the name, or write an address");
            return None;
        }
    };
    if addresses.is_empty() {
        let problem = format!("\"{host}\" has no address of the family of the listener's");
        names.source().fault(
            &at.place,
            problem,
            "use a listener of the same family, IPv4 or IPv6",
        );
    }
    let targets = Targets::default();
    targets.replace(Resolved {
        targets: addresses.iter().map(|a| Target::at(host, *a)).collect(),
        left: Vec::new(),
    });
    let peer = Peer {
        uri: uri.as_str().into(),
        host_port: host_port.as_str().into(),
        targets: Arc::new(targets),
        transport: Transport::Udp,
        secure: false,
    };
    let addresses = addresses.into_iter().map(|value| At {
        place: at.place.clone(),
        value,
    });
    Some((peer, addresses.collect()))
}

/// A trunk without `match` is its peers' addresses with their ports, and, where no other trunk of
/// the listener claims or implies the same address, that address with any port: PBXes often send
/// from another port than they listen on.
fn claim_default_sources(drafts: &mut [Draft<'_>]) {
    let mut users: HashMap<(ListenerId, IpAddr), Vec<usize>> = HashMap::new();
    for (i, draft) in drafts.iter().enumerate() {
        for source in &draft.sources {
            let trunks = users
                .entry((draft.listen, source.value.network))
                .or_default();
            if trunks.last() != Some(&i) {
                trunks.push(i);
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
            let alone = users
                .get(&(draft.listen, network))
                .is_some_and(|trunks| trunks.len() == 1);
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
        for At { place, value } in &draft.sources {
            let claim = (draft.listen, value.network, value.prefix, value.port);
            let owner = owners.entry(claim).or_insert(draft.entry);
            if !std::ptr::eq(*owner, draft.entry) {
                let problem = format!("{} is a source of {} too", in_words(value), named(owner));
                let remedy = "give each source to one trunk by `match`, or use another listener";
                names.source().fault(place, problem, remedy);
            }
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
        listen,
        policy,
        pstn_to,
        peers,
        sources,
    } = draft;
    let name = &entry.name.as_ref()?.value;
    let (id, state) = interner.trunk(name);
    Some(Trunk {
        id,
        name: name.as_str().into(),
        kind: entry.kind,
        site: entry.site.clone(),
        tags: entry.tags.clone(),
        listen,
        also_listen: Vec::new(),
        peers,
        balance: entry.balance,
        sources: sources.into_iter().map(|at| at.value).collect(),
        follows_peers: false,
        certificates: Vec::new(),
        oversize: Oversize::default(),
        policy: policy?,
        calls_max: entry.calls_max,
        calls_in_max: entry.calls_in_max,
        calls_out_max: entry.calls_out_max,
        no_progress: entry.no_progress,
        failover_codes: entry.failover_codes.clone(),
        pstn_to,
        identity: entry.identity,
        transfers: entry.transfers,
        pass_headers: entry.pass_headers.clone().map(Into::into),
        extensions: entry.extensions,
        state,
    })
}
