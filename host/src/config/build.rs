//! From the file's shape to a whole configuration: every name leads somewhere, nothing is claimed
//! twice, every file named has been read. Goes on after each fault, to report them all.

use std::collections::HashMap;
use std::sync::Arc;

use intertrunk_policy::CacheRules;
use intertrunk_proto::{ListenerId, PolicyId, Snapshot, TrunkId};

use super::dns::PeerName;
use super::file::{AdminEntry, File};
use super::intern::Interner;
use super::read::{At, Place, Source, nearest};
use super::{
    Admin, Built, PolicySource, emergency, listen, outside, policy, signing, table, trunk,
};
use crate::memory::Held;
use crate::observe::journal::JournalRules;
use crate::tables::Tables;
use crate::transport::StreamRules;

/// Every name that the file defines, also of entries that are wrong otherwise: a reference to one
/// of those is right.
pub struct Names<'f> {
    source: &'f Source<'f>,
    listeners: HashMap<&'f str, ListenerId>,
    trunks: HashMap<&'f str, TrunkId>,
    policies: HashMap<&'f str, PolicyId>,
    tables: HashMap<&'f str, ()>,
    sources: HashMap<&'f str, ()>,
}

/// Resolves and checks everything; `None` once anything is wrong.
pub fn build(source: &Source<'_>, file: &File, interner: &mut Interner) -> Option<Built> {
    let names = Names::learn(source, file, interner);
    if file.trunks.is_empty() {
        source.fault(&Place::default(), "no trunk", "add at least one [[trunk]]");
    }
    let (listeners, streams) = listen::all(source, &file.listens);
    let (table_files, tables): (Vec<_>, Vec<_>) = file
        .tables
        .iter()
        .filter_map(|t| table::load(source, t))
        .map(|(file, table)| (file.clone(), (file.name, table)))
        .unzip();
    let trust = signing::trust(source, file);
    let policies = policy::all(&names, &file.policies, trust.as_ref());
    let outside: Vec<_> = file.sources.iter().filter_map(outside::source).collect();
    let (trunks, asked) = trunk::all(&names, file, interner);
    let emergency = emergency::resolve(&file.emergency, &names);
    let admin = file.admin.as_ref().and_then(|a| admin(source, a));
    if source.has_errors() {
        return None;
    }
    let (slots, sources): (_, Vec<PolicySource>) = policies.into_iter().unzip();
    let snapshot = Snapshot::new(
        file.node.as_deref().unwrap_or("intertrunk"),
        listeners,
        trunks,
        slots,
    );
    let snapshot = snapshot
        .map_err(|fault| source.fault(&Place::default(), fault, "give each source to one trunk"))
        .ok()?;
    let mut snapshot = snapshot;
    let shards = file.shards.unwrap_or_else(cores);
    snapshot.timers.target_rest = file.dns.rest;
    snapshot.emergency = emergency;
    let meters = outside.iter().filter(|it| it.is_meter());
    snapshot.meters = meters.map(|it| it.name.clone()).collect();
    snapshot.security = file.security.security.clone();
    snapshot.overload = file.overload.of_shard(shards);
    let instances: Vec<usize> = sources.iter().map(|p| p.options.memory_bytes).collect();
    snapshot.limits = {
        let held = Held {
            connections: StreamRules::bytes(&streams, shards),
            meters: outside.iter().map(|it| it.meter_bytes()).sum(),
        };
        file.limits.of_shard(source, shards, &instances, held)
    };
    if source.has_errors() {
        return None;
    }
    let asked = asked.into_iter().map(|at| PeerName::new(source, at));
    Some(Built {
        path: source.path().to_owned(),
        text: source.text().into(),
        snapshot: Arc::new(snapshot),
        dns: file.dns.dns.clone(),
        names: asked.collect(),
        shards,
        streams: streams.into(),
        policies: sources,
        tables: Arc::new(Tables(tables.into_iter().collect())),
        table_files: table_files.into(),
        sources: outside.into(),
        blocking: file.security.blocking,
        admin,
        cdr: file.cdr_dir.as_deref().map(|dir| source.beside(dir)),
        audit: file.audit_file.as_deref().map(|it| source.beside(it)),
        sha256: source.sha256(),
        state: file.state_dir.as_deref().map(|dir| source.beside(dir)),
        cache: file.cache.as_ref().map(|entry| CacheRules {
            dir: source.beside(&entry.dir),
            max_bytes: entry.max_bytes as u64,
        }),
        journal: file.journal.as_ref().map(|entry| JournalRules {
            dir: source.beside(&entry.dir),
            file_bytes: entry.file_bytes as u64,
            files: entry.files,
        }),
        warnings: Vec::new(),
    })
}

impl<'f> Names<'f> {
    fn learn(source: &'f Source<'f>, file: &'f File, interner: &mut Interner) -> Names<'f> {
        let listen_names = file.listens.iter().map(|l| l.name.as_ref()).enumerate();
        let listener = |(i, name): (usize, Option<&'f At<String>>)| {
            Some((name?, ListenerId(u16::try_from(i).ok()?)))
        };
        let mut policies = HashMap::new();
        for entry in &file.policies {
            match interner.policy(&entry.name.value) {
                Some(id) => drop(policies.insert(entry.name.value.as_str(), id)),
                None => source.fault(&entry.name.place, "too many policies", "restart the node"),
            }
        }
        Names {
            source,
            listeners: unique(source, "listener", listen_names.filter_map(listener)),
            trunks: unique(
                source,
                "trunk",
                file.trunks.iter().filter_map(|t| {
                    let name = t.name.as_ref()?;
                    Some((name, interner.trunk(&name.value).0))
                }),
            ),
            policies,
            tables: file
                .tables
                .iter()
                .map(|t| (t.name.value.as_str(), ()))
                .collect(),
            sources: file
                .sources
                .iter()
                .map(|s| (s.name.value.as_str(), ()))
                .collect(),
        }
    }

    /// Where faults go.
    pub fn source(&self) -> &'f Source<'f> {
        self.source
    }

    /// The listener that `at` names; the only one if it is left out.
    pub fn listener(&self, at: Option<&At<String>>, owner: &Place) -> Option<ListenerId> {
        self.only_or_named(&self.listeners, "listener", "listen", at, owner)
    }

    /// The policy that `at` names; the only one if it is left out.
    pub fn policy_or_only(&self, at: Option<&At<String>>, owner: &Place) -> Option<PolicyId> {
        self.only_or_named(&self.policies, "policy", "policy", at, owner)
    }

    /// The policy that `at` names.
    pub fn policy(&self, at: &At<String>) -> Option<PolicyId> {
        self.find(&self.policies, "policy", at)
    }

    /// The trunk that `at` names.
    pub fn trunk(&self, at: &At<String>) -> Option<TrunkId> {
        self.find(&self.trunks, "trunk", at)
    }

    /// Reports `at` unless it names a table or stands for all.
    pub fn granted_table(&self, at: &At<String>) {
        self.granted(&self.tables, "table", at);
    }

    /// Reports `at` unless it names an outside source or stands for all.
    pub fn granted_source(&self, at: &At<String>) {
        self.granted(&self.sources, "source", at);
    }

    /// Reports `at` unless it names a trunk or stands for all.
    pub fn granted_trunk(&self, at: &At<String>) {
        self.granted(&self.trunks, "trunk", at);
    }

    fn granted<T: Copy>(&self, map: &HashMap<&str, T>, what: &str, at: &At<String>) {
        if at.value != "*" {
            self.find(map, what, at);
        }
    }

    fn find<T: Copy>(&self, map: &HashMap<&str, T>, what: &str, at: &At<String>) -> Option<T> {
        let found = map.get(at.value.as_str()).copied();
        if found.is_none() {
            self.source.fault(
                &at.place,
                format!("no {what} \"{}\"", at.value),
                hint(map, what, at),
            );
        }
        found
    }

    fn only_or_named<T: Copy>(
        &self,
        map: &HashMap<&str, T>,
        what: &str,
        key: &str,
        at: Option<&At<String>>,
        owner: &Place,
    ) -> Option<T> {
        match (at, map.len()) {
            (Some(at), _) => self.find(map, what, at),
            (None, 1) => map.values().next().copied(),
            (None, count) => {
                let key = format!("{}.{key}", owner.key);
                let place = Place {
                    key,
                    offset: owner.offset,
                };
                let problem = if count == 0 {
                    "missing"
                } else {
                    "missing, and there are several"
                };
                self.source
                    .missing(&place, problem, format!("name a {what} of this file"));
                None
            }
        }
    }
}

fn hint<T>(map: &HashMap<&str, T>, what: &str, at: &At<String>) -> String {
    let mut known: Vec<&str> = map.keys().copied().collect();
    known.sort_unstable();
    match nearest(&at.value, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => format!("define a {what} of this name"),
        None => format!("there are: {}", known.join(", ")),
    }
}

fn unique<'f, T>(
    source: &Source<'_>,
    what: &str,
    named: impl Iterator<Item = (&'f At<String>, T)>,
) -> HashMap<&'f str, T> {
    let mut map = HashMap::new();
    for (name, meaning) in named {
        if map.insert(name.value.as_str(), meaning).is_some() {
            let problem = format!("a second {what} \"{}\"", name.value);
            source.fault(&name.place, problem, "give each its own name");
        }
    }
    map
}

fn admin(source: &Source<'_>, entry: &AdminEntry) -> Option<Admin> {
    let token = match &entry.token_file {
        Some(at) => Some(super::read_text(source, at)?.1.trim().to_owned()),
        None => None,
    };
    if let (Some(at), Some("")) = (&entry.token_file, token.as_deref()) {
        source.fault(
            &at.place,
            "the file is empty",
            "put a long random word into it",
        );
    }
    let listen = entry.listen.as_ref()?;
    if token.is_none() && !listen.value.ip().is_loopback() {
        let problem = "anybody who reaches this address controls the node";
        source.warn(
            &listen.place,
            problem,
            "add token_file, or listen on 127.0.0.1",
        );
    }
    Some(Admin {
        listen: listen.value,
        token,
        trunks: entry.trunks.as_ref().map(|at| source.beside(&at.value)),
    })
}

fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores).unwrap_or(u16::MAX)
}
