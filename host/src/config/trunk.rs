//! Trunks: where their calls go, and which sources are theirs.
//!
//! Does not ask DNS: names are handed on as questions, and their lists of targets are empty until
//! somebody asks.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use intertrunk_proto::target::{Resolved, Target};
use intertrunk_proto::trunk::{Oversize, Peer, SourceMatch, Trunk};
use intertrunk_proto::{ListenerId, PolicyId, Transport, TrunkId};

use super::build::Names;
use super::file::{File, TrunkEntry};
use super::intern::Interner;
use super::read::At;
use super::value::{PeerUri, one_address};
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
    let asked = drafts.iter_mut().flat_map(|draft| &mut draft.named);
    let asked = asked.filter_map(|peer| peer.name.take()).collect();
    let trunks = drafts
        .into_iter()
        .filter_map(|draft| finish(draft, interner));
    (trunks.collect(), asked)
}

/// A trunk with all names resolved, before its sources are settled among all trunks.
struct Draft<'f> {
    entry: &'f TrunkEntry,
    listen: ListenerId,
    policy: Option<PolicyId>,
    pstn_to: Vec<TrunkId>,
    named: Vec<NamedPeer>,
    sources: Vec<At<SourceMatch>>,
}

fn draft<'f>(
    names: &Names<'_>,
    file: &File,
    entry: &'f TrunkEntry,
    interner: &mut Interner,
) -> Option<Draft<'f>> {
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
    let named: Vec<NamedPeer> = entry
        .peers
        .iter()
        .filter_map(|peer| named_peer(names, local?, peer, interner))
        .collect();
    let literals = named.iter().filter_map(|peer| peer.literal.as_ref());
    let sources = match &entry.sources {
        Some(written) => written.clone(),
        None => literals.map(exactly).collect(),
    };
    Some(Draft {
        entry,
        listen: listen?,
        policy,
        pstn_to,
        named,
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

/// A peer and what DNS is asked for its sake, or the address that is written in its URI.
struct NamedPeer {
    peer: Peer,
    literal: Option<At<SocketAddr>>,
    name: Option<At<Named>>,
}

fn named_peer(
    names: &Names<'_>,
    local: SocketAddr,
    at: &At<PeerUri>,
    interner: &mut Interner,
) -> Option<NamedPeer> {
    let PeerUri {
        uri,
        host_port,
        host,
        port,
    } = &at.value;
    let question = Question {
        host: host.to_ascii_lowercase(),
        port: *port,
        service: Service::from(Transport::Udp),
        ipv4: local.is_ipv4(),
    };
    let targets = interner.targets(&question);
    let peer = Peer {
        uri: uri.as_str().into(),
        host_port: host_port.as_str().into(),
        targets: Arc::clone(&targets),
        transport: Transport::Udp,
        secure: false,
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
        named,
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
        peers: named.into_iter().map(|named| named.peer).collect(),
        balance: entry.balance,
        sources: sources.into_iter().map(|at| at.value).collect(),
        follows_peers: entry.sources.is_none(),
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
        redirects: entry.redirects,
        pass_headers: entry.pass_headers.clone().map(Into::into),
        extensions: entry.extensions,
        state,
    })
}
