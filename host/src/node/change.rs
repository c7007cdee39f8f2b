//! Changes to a running node: a policy staged, promoted or rolled back; the configuration reloaded.
//!
//! One change at a time, on the thread that asks for it, never on a shard: compiling takes long.
//! All or nothing: everything is checked before the first shard hears of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use intertrunk_policy::{
    CacheRules, CanaryRules, GenerationInfo, LoadFault, Slot, SlotFault, SlotStatus, World,
};
use intertrunk_proto::{Listener, PolicyId};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Node, Running, Unresponsive, with_listeners, with_slots};
use crate::config::{
    self, Admin, Built, Changes, Faults, Interner, PolicySource, TableFault, TableFile,
};
use crate::kept::Kept;
use crate::mailbox::Order;
use crate::observe::journal::JournalRules;
use crate::resolve::Resolver;
use crate::staging::faults_of;
use crate::tables::Tables;
use crate::world::Live;

/// How long a start or a reload waits for DNS; answers that come later are used then.
const FIRST_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What the next change starts from.
pub(super) struct State {
    pub(super) interner: Interner,
    pub(super) path: PathBuf,
    /// Of that file, as it runs.
    pub(super) text: Arc<str>,
    pub(super) policies: Vec<PolicySource>,
    table_files: Arc<[TableFile]>,
    /// As they were last read.
    tables: Arc<Tables>,
    kept: Option<Kept>,
    /// As configured, with a port of 0 where the file says so.
    pub(super) listeners: Vec<Arc<Listener>>,
    shards: u16,
    admin: Option<Admin>,
    cdr: Option<PathBuf>,
    cache: Option<CacheRules>,
    journal: Option<JournalRules>,
    audit: Option<PathBuf>,
    /// Runs once a peer is known by its name.
    resolver: Option<Resolver>,
}

/// Why a change was not made. The node goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum ChangeFault {
    /// No such policy.
    #[error("there is no policy `{0}`")]
    UnknownPolicy(String),
    /// The module, its settings or its cases.
    #[error("policy `{name}` was not staged: {fault}")]
    Load {
        /// The policy.
        name: Arc<str>,
        /// What is wrong with it.
        fault: LoadFault,
    },
    /// The file of its settings.
    #[error("{} cannot be read: {source}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file of a table.
    #[error("{table}: {fault}")]
    Table {
        /// Which, and its file.
        table: String,
        /// What is wrong with it.
        fault: TableFault,
    },
    /// Nothing to promote or to go back to.
    #[error("policy `{name}`: {fault}")]
    Slot {
        /// The policy.
        name: Arc<str>,
        /// What is wrong.
        fault: SlotFault,
    },
    /// The configuration file.
    #[error("{0}")]
    Config(Faults),
    /// A change that only a restart can make.
    #[error("listeners are opened at start only; restart to change listener `{0}`")]
    Listener(Arc<str>),
    /// A trunk that was to be set.
    #[error("trunk `{0}`: {1}")]
    Trunk(String, String),
    /// No such trunk.
    #[error("there is no trunk `{0}`")]
    UnknownTrunk(String),
    /// Nowhere to keep changes.
    #[error("trunks are set and removed only if `admin.trunks` names a file that keeps them")]
    NotKept,
    /// The file of changes.
    #[error("{} cannot be read or written: {source}", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A shard.
    #[error(transparent)]
    Unresponsive(#[from] Unresponsive),
    /// The thread that asks DNS.
    #[error("the system refuses a thread: {0}")]
    Resolver(#[from] io::Error),
}

/// What a reload changed.
#[derive(Clone, Debug, Serialize)]
pub struct Reloaded {
    /// SHA-256 of the configuration file, hex.
    pub sha256: String,
    /// Generations that went live.
    pub promoted: Vec<GenerationInfo>,
    /// What the file says that has no effect, or not before a restart.
    pub warnings: Vec<String>,
}

/// The policies of the next configuration.
struct Next {
    /// All slots; those that change are not those in use.
    slots: Vec<(PolicyId, Arc<Slot>)>,
    /// What has gone live in them.
    promoted: Vec<GenerationInfo>,
}

impl State {
    pub(super) fn new(built: Built, interner: Interner, resolver: Option<Resolver>) -> State {
        State {
            interner,
            path: built.path,
            text: built.text,
            listeners: built.snapshot.listeners.to_vec(),
            policies: built.policies,
            table_files: built.table_files,
            tables: built.tables,
            kept: built.state.map(Kept),
            shards: built.shards,
            admin: built.admin,
            cdr: built.cdr,
            cache: built.cache,
            journal: built.journal,
            audit: built.audit,
            resolver,
        }
    }
}

/// Has all names of `built` followed, by a resolver that is started if there is none yet.
pub(super) fn follow(resolver: &mut Option<Resolver>, built: &Built) -> io::Result<()> {
    if resolver.is_none() && !built.names.is_empty() {
        *resolver = Some(Resolver::start()?);
    }
    if let Some(resolver) = resolver {
        resolver.follow(&built.dns, &built.named(), FIRST_ANSWERS_WITHIN);
    }
    Ok(())
}

impl Node {
    /// Compiles and checks a module for a policy, with the policy's cases, and its settings and
    /// tables as their files have them now, so that all can be promoted together. Calls notice
    /// nothing until then.
    pub fn stage(&self, policy: &str, wasm: &[u8]) -> Result<GenerationInfo, ChangeFault> {
        let mut state = self.change();
        let (running, slot) = self.slot(policy)?;
        let state = &mut *state;
        let source = state.policies.iter().find(|source| *source.name == *policy);
        let source = source.ok_or_else(|| ChangeFault::UnknownPolicy(policy.to_owned()))?;
        let config = match &source.config_path {
            Some(path) => read_settings(path)?,
            None => String::new(),
        };
        state.tables = Arc::new(read_again(
            &state.tables,
            &state.table_files,
            &source.options.tables,
        )?);
        let snapshot = Arc::clone(&running.snapshot);
        let live = Live::new(snapshot, Arc::clone(&state.tables), self.clock);
        let world: Arc<dyn World> = Arc::new(live);
        let staged = slot
            .stage(wasm, &config, &world, &source.suites)
            .map_err(|fault| ChangeFault::Load {
                name: Arc::clone(slot.name()),
                fault,
            })?;
        tracing::info!(policy, generation = staged.generation, "policy staged");
        Ok(staged)
    }

    /// Puts the staged generation live for all calls that come from now on; with a hash, only if it
    /// is the staged one's.
    pub fn promote(
        &self,
        policy: &str,
        sha256: Option<&str>,
    ) -> Result<GenerationInfo, ChangeFault> {
        let state = self.change();
        let slot = self.slot(policy)?.1;
        let live = slot.promote_only(sha256).map_err(of_slot(&slot))?;
        tracing::info!(policy, generation = live.generation, "policy promoted");
        self.keep(&state);
        Ok(live)
    }

    /// Lets the staged generation decide in the shadow of the live one.
    pub fn shadow(&self, policy: &str) -> Result<GenerationInfo, ChangeFault> {
        let _one_at_a_time = self.change();
        let slot = self.slot(policy)?.1;
        let shadow = slot.shadow().map_err(of_slot(&slot))?;
        tracing::info!(
            policy,
            generation = shadow.generation,
            "policy in the shadow"
        );
        Ok(shadow)
    }

    /// Lets the staged generation decide for a share of the new calls.
    pub fn canary(&self, policy: &str, rules: CanaryRules) -> Result<GenerationInfo, ChangeFault> {
        let _one_at_a_time = self.change();
        let slot = self.slot(policy)?.1;
        let canary = slot.start_canary(rules).map_err(of_slot(&slot))?;
        let (generation, percent) = (canary.generation, rules.percent);
        tracing::info!(policy, generation, percent, "policy decides as a canary");
        Ok(canary)
    }

    /// The policy's slot as people see it.
    pub fn policy(&self, policy: &str) -> Result<SlotStatus, ChangeFault> {
        Ok(self.slot(policy)?.1.status())
    }

    /// Puts the generation before the live one back.
    pub fn rollback(&self, policy: &str) -> Result<GenerationInfo, ChangeFault> {
        let state = self.change();
        let slot = self.slot(policy)?.1;
        let live = slot.rollback().map_err(of_slot(&slot))?;
        tracing::info!(policy, generation = live.generation, "policy rolled back");
        self.keep(&state);
        Ok(live)
    }

    /// Reads the configuration again and works by it from now on, each shard between two messages:
    /// trunks, settings and tables change together. A policy for which nothing has changed keeps
    /// its live generation; one whose settings or tables have changed, but not the module that is
    /// configured, keeps the module that is live.
    pub fn reload(&self) -> Result<Reloaded, ChangeFault> {
        let mut state = self.change();
        let path = state.path.clone();
        let built = config::load(&path, &mut state.interner).map_err(ChangeFault::Config)?;
        let reloaded = self.adopt(&mut state, built)?;
        tracing::info!(file = %path.display(), "configuration reloaded");
        Ok(reloaded)
    }

    /// A trunk with these keys of the configuration, new or in place of the one of its name.
    pub fn set_trunk(
        &self,
        name: &str,
        keys: &Map<String, Value>,
    ) -> Result<Reloaded, ChangeFault> {
        let reloaded = self.change_trunks(|changes| {
            let fault = |why| ChangeFault::Trunk(name.to_owned(), why);
            changes.set(name, keys).map_err(fault)
        })?;
        tracing::info!(trunk = name, "trunk set by an operator");
        Ok(reloaded)
    }

    /// No trunk of this name. Calls that are up on it go on.
    pub fn remove_trunk(&self, name: &str) -> Result<Reloaded, ChangeFault> {
        if self.running().snapshot.trunk_named(name).is_none() {
            return Err(ChangeFault::UnknownTrunk(name.to_owned()));
        }
        let reloaded = self.change_trunks(|changes| {
            changes.remove(name);
            Ok(())
        })?;
        tracing::info!(trunk = name, "trunk removed by an operator");
        Ok(reloaded)
    }

    /// Changes what is laid over the configuration: kept and in effect, or neither.
    fn change_trunks(
        &self,
        edit: impl FnOnce(&mut Changes) -> Result<(), ChangeFault>,
    ) -> Result<Reloaded, ChangeFault> {
        let mut state = self.change();
        let file = state.admin.as_ref().and_then(|admin| admin.trunks.clone());
        let file = file.ok_or(ChangeFault::NotKept)?;
        let kept = |source| ChangeFault::Kept {
            path: file.clone(),
            source,
        };
        let before = Changes::read(&file).map_err(kept)?;
        let mut changes = before.clone();
        edit(&mut changes)?;
        let path = state.path.clone();
        let built = config::load_with(&path, &changes, &mut state.interner);
        let built = built.map_err(ChangeFault::Config)?;
        changes.write(&file).map_err(kept)?;
        match self.adopt(&mut state, built) {
            Ok(reloaded) => Ok(reloaded),
            Err(fault) => {
                before.write(&file).map_err(kept)?;
                Err(fault)
            }
        }
    }

    /// Works by a configuration from now on.
    fn adopt(&self, state: &mut State, mut built: Built) -> Result<Reloaded, ChangeFault> {
        built.tables = Arc::new(Tables::clone(&built.tables).shared_with(&state.tables));
        refuse_other_listeners(&state.listeners, &built.snapshot.listeners)?;

        let snapshot = with_listeners(&built.snapshot, &self.listeners);
        let tables = Arc::clone(&built.tables);
        let world: Arc<dyn World> = Arc::new(Live::new(Arc::clone(&snapshot), tables, self.clock));
        let Next { slots, promoted } = self.next(&state.policies, &built, &world)?;

        follow(&mut state.resolver, &built)?;
        self.outside.know(&built.sources, &built.dns);
        let running = Arc::new(Running {
            snapshot,
            world,
            memory: built.memory(),
            streams: Arc::clone(&built.streams),
            slots,
        });
        self.running.store(Arc::clone(&running));
        self.blocklist
            .adopt(built.blocking, &running.snapshot, self.clock.now());

        let mut warnings: Vec<String> = built.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(until_restart(state, &built).map(str::to_owned));
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        state.policies = built.policies;
        state.text = built.text;
        state.tables = built.tables;
        state.table_files = built.table_files;
        self.keep(state);
        self.tell(|| Order::Config(Arc::clone(&running)))?;
        Ok(Reloaded {
            sha256: built.sha256,
            promoted,
            warnings,
        })
    }

    /// The policies of the next configuration. Those that change go live in slots of their own,
    /// which nobody sees before the configuration as a whole is in use.
    fn next(
        &self,
        before: &[PolicySource],
        after: &Built,
        world: &Arc<dyn World>,
    ) -> Result<Next, ChangeFault> {
        let running = self.running();
        let mut next = Next {
            slots: Vec::with_capacity(after.policies.len()),
            promoted: Vec::new(),
        };
        let mut faults = Vec::new();
        for source in &after.policies {
            let old = before.iter().find(|old| old.id == source.id);
            let old = old.and_then(|old| Some((old, running.slot(old.id)?)));
            match old {
                Some((old, slot)) if is_same(old, source, slot, &after.tables) => {
                    next.slots.push((source.id, Arc::clone(slot)));
                    continue;
                }
                _ => {}
            }
            let (slot, wasm) = match old {
                Some((old, slot)) => (
                    // Bounds belong to a slot, and its other generations have had others.
                    if old.options == source.options {
                        slot.fork()
                    } else {
                        Slot::new(&self.engine, &source.name, source.options.clone())
                    },
                    // What an operator has promoted stays, unless the file names another module.
                    slot.live()
                        .filter(|_| old.wasm == source.wasm)
                        .map_or_else(|| Arc::clone(&source.wasm), |it| Arc::clone(it.module())),
                ),
                None => (
                    Slot::new(&self.engine, &source.name, source.options.clone()),
                    Arc::clone(&source.wasm),
                ),
            };
            match slot.stage(&wasm, &source.config, world, &source.suites) {
                Ok(_) => {
                    let live = slot.promote().map_err(of_slot(&slot))?;
                    next.promoted.push(live);
                }
                Err(fault) => faults.extend(faults_of(&after.path, source, &fault)),
            }
            next.slots.push((source.id, Arc::new(slot)));
        }
        if faults.is_empty() {
            return Ok(next);
        }
        Err(ChangeFault::Config(Faults {
            faults,
            unreadable: false,
        }))
    }

    /// Writes down what is live, for a restart. An operator's change is not undone for a full disk.
    fn keep(&self, state: &State) {
        let running = self.running();
        if let Some(kept) = &state.kept
            && let Err(fault) = kept.keep(&with_slots(&state.policies, &running.slots))
        {
            let dir = kept.0.display();
            tracing::warn!(%fault, "what is live is not kept for a restart; make room in {dir}");
        }
    }

    pub(super) fn change(&self) -> MutexGuard<'_, State> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, policy: &str) -> Result<(Arc<Running>, Arc<Slot>), ChangeFault> {
        let running = self.running();
        let slot = running.slot_named(policy).map(Arc::clone);
        let slot = slot.ok_or_else(|| ChangeFault::UnknownPolicy(policy.to_owned()))?;
        Ok((running, slot))
    }
}

fn read_settings(path: &Path) -> Result<String, ChangeFault> {
    fs::read_to_string(path).map_err(|source| ChangeFault::Settings {
        path: path.to_owned(),
        source,
    })
}

fn of_slot(slot: &Slot) -> impl Fn(SlotFault) -> ChangeFault {
    |fault| ChangeFault::Slot {
        name: Arc::clone(slot.name()),
        fault,
    }
}

/// Whether nothing of a policy has changed that its live generation was made of.
fn is_same(old: &PolicySource, new: &PolicySource, slot: &Slot, tables: &Tables) -> bool {
    let Some(live) = slot.live() else {
        return false;
    };
    let before = Tables::of(live.tables());
    old.options == new.options
        && old.wasm == new.wasm
        && *live.settings() == *new.config
        && before.is_some_and(|before| before.agree(tables, &new.options.tables))
}

/// `tables` with those that `granted` names, `*` for every one, as their files have them now.
fn read_again(
    tables: &Tables,
    files: &[TableFile],
    granted: &[String],
) -> Result<Tables, ChangeFault> {
    let all = granted.iter().any(|name| name == "*");
    let mut read = Tables::clone(tables);
    for file in files {
        if all || granted.contains(&file.name) {
            let table = file.read().map_err(|fault| ChangeFault::Table {
                table: file.to_string(),
                fault,
            })?;
            read.0.insert(file.name.clone(), Arc::new(table));
        }
    }
    Ok(read.shared_with(tables))
}

pub(super) fn refuse_other_listeners(
    before: &[Arc<Listener>],
    after: &[Arc<Listener>],
) -> Result<(), ChangeFault> {
    let mut all = after.iter().chain(before);
    match all.find(|l| !before.contains(l) || !after.contains(l)) {
        Some(listener) => Err(ChangeFault::Listener(Arc::clone(&listener.name))),
        None => Ok(()),
    }
}

/// What the new file says that only a restart puts into effect.
pub(super) fn until_restart(state: &State, built: &Built) -> impl Iterator<Item = &'static str> {
    let shards = state.shards != built.shards;
    let admin = state.admin != built.admin;
    let cdr = state.cdr != built.cdr;
    let cache = state.cache != built.cache;
    let journal = state.journal != built.journal;
    let audit = state.audit != built.audit;
    let kept = state.kept.as_ref().map(|it| &it.0) != built.state.as_ref();
    [
        shards.then_some("`node.shards` changes with the next start"),
        admin.then_some("`admin` changes with the next start"),
        cdr.then_some("`cdr` changes with the next start"),
        cache.then_some("`cache` changes with the next start"),
        journal.then_some("`journal` changes with the next start"),
        audit.then_some("`audit` changes with the next start"),
        kept.then_some("`state` changes with the next start"),
    ]
    .into_iter()
    .flatten()
}
