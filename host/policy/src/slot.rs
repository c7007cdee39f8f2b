//! One configured policy and its generations.
//!
//! ```text
//!            stage                promote              promote            last call ends
//!   module ────────▶ candidate ─────────────▶ live ─────────▶ previous ─ ─ ─▶ draining ─────▶ gone
//!            │       staged, or in the          ▲    rollback   │
//!            │       shadow, or canary          └───────────────┘
//!            ▼               │ rollback, or by itself: see `canary`
//!         rejected        staged, or withdrawn (nothing else changes, the reason stays visible)
//! ```
//!
//! New calls are decided by the live generation, a share of them by a canary, or by the previous
//! generation while the live one is quarantined. A change of generation is one atomic store; no
//! decision waits for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use intertrunk_cases::Suite;
use intertrunk_proto::Record;
use intertrunk_proto::ask::{Pin, PolicyFault, Query};
use intertrunk_sip::Message;
use serde::Serialize;

use crate::behind::behind;
use crate::canary::{Canary, CanaryRules, CanaryStatus, Withdrawn};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::fault::{LoadFault, SlotFault};
use crate::generation::{Generation, GenerationInfo, pick};
use crate::health::weight;
use crate::options::Options;
use crate::program::Program;
use crate::shadow::{Shadow, ShadowStatus};
use crate::world::World;

/// One configured policy, shared by all shards.
pub struct Slot {
    name: Arc<str>,
    engine: Engine,
    options: Options,
    serving: ArcSwapOption<Serving>,
    shadow: ArcSwapOption<Shadow>,
    changes: Mutex<Changes>,
    counts: Arc<Counts>,
}

/// The generations that may decide new calls. Replaced as a whole.
#[derive(Clone)]
struct Serving {
    live: Arc<Generation>,
    previous: Option<Arc<Generation>>,
    canary: Option<Arc<Canary>>,
}

/// What only operators change and look at.
#[derive(Clone, Default)]
struct Changes {
    /// The candidate, whether it waits, decides in the shadow or for a share of the calls.
    staged: Option<Arc<Generation>>,
    /// All that ever decided calls and are not gone.
    known: Vec<Weak<Generation>>,
    last_rejected: Option<Rejected>,
    last_withdrawn: Option<Withdrawn>,
}

/// A module that was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rejected {
    /// Size of the module, bytes.
    pub size: usize,
    /// Why.
    pub reason: String,
}

/// A slot as people see it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SlotStatus {
    /// The policy's name in the configuration.
    pub name: String,
    /// Decides new calls.
    pub live: Option<GenerationInfo>,
    /// Becomes live when promoted, whether it waits or is the shadow or the canary.
    pub staged: Option<GenerationInfo>,
    /// The staged generation's work in the shadow.
    pub shadow: Option<ShadowStatus>,
    /// The staged generation's share of the calls.
    pub canary: Option<CanaryStatus>,
    /// Becomes live again by a rollback, and decides while the live one is quarantined.
    pub previous: Option<GenerationInfo>,
    /// No longer live, but calls that began with them hold them.
    pub draining: Vec<GenerationInfo>,
    /// The last module that was refused, if none was staged since.
    pub last_rejected: Option<Rejected>,
    /// The last canary that ended by itself, if none was staged since.
    pub last_withdrawn: Option<Withdrawn>,
    /// Decisions asked for, failed ones included.
    pub decisions: u64,
    /// Decisions that failed, by [`PolicyFault::kind`]; kinds that never came are left out.
    pub faults: BTreeMap<&'static str, u64>,
    /// Whether the live generation is quarantined.
    pub quarantined: bool,
}

impl Slot {
    /// An empty slot for the policy `name`.
    pub fn new(engine: &Engine, name: &str, options: Options) -> Slot {
        Slot {
            name: name.into(),
            engine: engine.clone(),
            options,
            serving: ArcSwapOption::empty(),
            shadow: ArcSwapOption::empty(),
            changes: Mutex::default(),
            counts: Arc::default(),
        }
    }

    /// The slot once more, to prepare a change that goes live when the other takes this one's place:
    /// with a whole configuration, or not at all. What they count they count together.
    pub fn fork(&self) -> Slot {
        Slot {
            name: Arc::clone(&self.name),
            engine: self.engine.clone(),
            options: self.options.clone(),
            serving: ArcSwapOption::new(self.serving.load_full()),
            shadow: ArcSwapOption::new(self.shadow.load_full()),
            changes: Mutex::new(self.changes().clone()),
            counts: Arc::clone(&self.counts),
        }
    }

    /// The policy's name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Makes a module the staged generation: compiles it, checks its world and what it asks for,
    /// configures it, and runs `suites` (those without settings of their own with `config`). Takes
    /// as long as that takes: never call it from a shard.
    ///
    /// # Errors
    /// What is wrong with the module; it also stays visible in [`status`](Self::status). Nothing
    /// else changes. [`LoadFault::CanaryDecides`] while a canary decides calls.
    pub fn stage(
        &self,
        wasm: &[u8],
        config: &str,
        world: &Arc<dyn World>,
        suites: &[Suite],
    ) -> Result<GenerationInfo, LoadFault> {
        if self.canary().is_some() {
            return Err(LoadFault::CanaryDecides);
        }
        let staged = behind(|| {
            let program = Program::load(&self.engine, wasm, &self.options)?;
            let module = wasm.into();
            Generation::stage(
                &self.engine,
                &self.name,
                program,
                module,
                config,
                world,
                suites,
            )
        });
        let mut changes = self.changes();
        match staged {
            Ok(generation) => {
                let info = generation.info().clone();
                self.shadow.store(None);
                changes.staged = Some(generation);
                changes.last_rejected = None;
                changes.last_withdrawn = None;
                Ok(info)
            }
            Err(fault) => {
                let reason = fault.to_string();
                changes.last_rejected = Some(Rejected {
                    size: wasm.len(),
                    reason,
                });
                Err(fault)
            }
        }
    }

    /// Lets the staged generation decide what the live one decides, unheard.
    ///
    /// # Errors
    /// [`SlotFault::NothingStaged`], [`SlotFault::CanaryDecides`]
    pub fn shadow(&self) -> Result<GenerationInfo, SlotFault> {
        let changes = self.changes();
        let staged = changes.staged.clone().ok_or(SlotFault::NothingStaged)?;
        if self.canary().is_some() {
            return Err(SlotFault::CanaryDecides);
        }
        let info = staged.info().clone();
        self.shadow.store(Some(Arc::new(Shadow::new(staged))));
        Ok(info)
    }

    /// Lets the staged generation decide for a share of the new calls, or changes that share. What
    /// has been counted so far is forgotten.
    ///
    /// # Errors
    /// [`SlotFault::NothingStaged`], [`SlotFault::NothingLive`]
    pub fn start_canary(&self, rules: CanaryRules) -> Result<GenerationInfo, SlotFault> {
        let mut changes = self.changes();
        let staged = changes.staged.clone().ok_or(SlotFault::NothingStaged)?;
        let serving = self.serving.load_full().ok_or(SlotFault::NothingLive)?;
        staged.health().forgive();
        changes.remember(&staged);
        let info = staged.info().clone();
        self.shadow.store(None);
        self.serving.store(Some(Arc::new(Serving {
            canary: Some(Arc::new(Canary::new(staged, rules))),
            ..Serving::clone(&serving)
        })));
        Ok(info)
    }

    /// Makes the staged generation live, and the live one previous.
    ///
    /// # Errors
    /// [`SlotFault::NothingStaged`]
    pub fn promote(&self) -> Result<GenerationInfo, SlotFault> {
        self.promote_only(None)
    }

    /// The same; with a hash, only if that is the staged one's: another operator may have staged
    /// something else meanwhile.
    ///
    /// # Errors
    /// [`SlotFault::NothingStaged`], [`SlotFault::OtherStaged`]
    pub fn promote_only(&self, sha256: Option<&str>) -> Result<GenerationInfo, SlotFault> {
        let mut changes = self.changes();
        let staged = changes.staged.as_ref().ok_or(SlotFault::NothingStaged)?;
        if sha256.is_some_and(|sha256| *sha256 != staged.info().sha256) {
            return Err(SlotFault::OtherStaged);
        }
        let live = changes.staged.take().ok_or(SlotFault::NothingStaged)?;
        let info = live.info().clone();
        changes.remember(&live);
        let previous = self.live();
        self.shadow.store(None);
        self.serving.store(Some(Arc::new(Serving {
            live,
            previous,
            canary: None,
        })));
        Ok(info)
    }

    /// One step back: ends a canary or a shadow, which stays staged; else exchanges the live
    /// generation and the previous one, which gets another chance if it was quarantined. Returns
    /// the generation that decides then.
    ///
    /// # Errors
    /// [`SlotFault::NoPrevious`]
    pub fn rollback(&self) -> Result<GenerationInfo, SlotFault> {
        let _changes = self.changes();
        let serving = self.serving.load_full().ok_or(SlotFault::NoPrevious)?;
        if serving.canary.is_some() || self.shadow.load().is_some() {
            self.shadow.store(None);
            self.end_canary(&serving);
            return Ok(serving.live.info().clone());
        }
        let live = serving.previous.clone().ok_or(SlotFault::NoPrevious)?;
        live.health().forgive();
        let info = live.info().clone();
        let previous = Some(Arc::clone(&serving.live));
        self.serving.store(Some(Arc::new(Serving {
            live,
            previous,
            canary: None,
        })));
        Ok(info)
    }

    fn end_canary(&self, serving: &Serving) {
        self.serving.store(Some(Arc::new(Serving {
            canary: None,
            ..serving.clone()
        })));
    }

    /// Ends `canary` because of what came of it, unless an operator was faster.
    fn withdraw(&self, canary: &Arc<Canary>, reason: String) {
        let mut changes = self.changes();
        let serving = self.serving.load_full();
        let Some(serving) = serving.filter(|serving| {
            let current = serving.canary.as_ref();
            current.is_some_and(|current| Arc::ptr_eq(current, canary))
        }) else {
            return;
        };
        self.end_canary(&serving);
        changes.staged = None;
        let (policy, generation) = (&self.name, canary.generation.info().generation);
        tracing::warn!(%policy, generation, %reason, "canary withdrawn, the live generation decides");
        changes.last_withdrawn = Some(Withdrawn {
            reason,
            canary: canary.status(),
        });
    }

    fn canary(&self) -> Option<Arc<Canary>> {
        let serving = self.serving.load();
        serving.as_ref().and_then(|serving| serving.canary.clone())
    }

    /// Counts what became of a call that one of the generations decided.
    pub fn ended(&self, record: &Record) {
        if let Some(canary) = self.canary()
            && record.generation != 0
            && *record.policy == *self.name
            && let Some(reason) = canary.ended(record)
        {
            self.withdraw(&canary, reason);
        }
    }

    /// Whether somebody decides in the shadow of the live generation.
    pub fn has_shadow(&self) -> bool {
        self.shadow.load().is_some()
    }

    /// Puts into a query that has been decided the headers that the shadow asks for as well.
    pub fn widen(&self, pin: Option<&Pin>, query: &mut Query, invite: &Message) {
        let decided = pin.and_then(Generation::of);
        if let (Some(decided), Some(shadow)) = (decided, self.shadow.load().as_ref()) {
            pick(query, invite, &[decided, &shadow.generation]);
        }
    }

    /// Has the shadow, if there is one, decide what was decided. Takes as long as a decision: never
    /// call it from a shard.
    pub fn decide_in_shadow(&self, decision: &Decision, world: &Arc<dyn World>) {
        if let Some(shadow) = self.shadow.load_full() {
            shadow.decide(decision, world);
        }
    }

    /// The generation that an operator made live.
    pub fn live(&self) -> Option<Arc<Generation>> {
        self.serving
            .load()
            .as_ref()
            .map(|serving| Arc::clone(&serving.live))
    }

    /// The generation that a rollback makes live.
    pub fn previous(&self) -> Option<Arc<Generation>> {
        let serving = self.serving.load();
        serving
            .as_ref()
            .and_then(|serving| serving.previous.clone())
    }

    /// A hold on the generation that decides: the one that `pin` holds, else for a new call.
    pub(crate) fn pin(&self, pin: Option<&Pin>, query: &Query) -> Result<Pin, PolicyFault> {
        // A pin of another policy comes from a chain or a fallback: its generation is not ours.
        let ours = |pin: &&Pin| *pin.policy == *self.name;
        if let Some((pin, generation)) = pin
            .filter(ours)
            .and_then(|pin| Some((pin, Generation::of(pin)?)))
        {
            let sound = !generation.is_quarantined();
            return sound.then(|| pin.clone()).ok_or(PolicyFault::Quarantined);
        }
        let serving = self.serving.load();
        let serving = serving.as_ref().ok_or(PolicyFault::NotReady)?;
        let canary = serving.canary.as_ref();
        let canary = canary.filter(|canary| canary.takes(query));
        (canary.map(|canary| &canary.generation).into_iter())
            .chain([&serving.live])
            .chain(&serving.previous)
            .find(|generation| !generation.is_quarantined())
            .map(Generation::pin)
            .ok_or(PolicyFault::Quarantined)
    }

    /// Counts a decision, and its fault against `generation`, unless the guest `stood_still`.
    pub(crate) fn count(
        &self,
        generation: Option<&Generation>,
        fault: Option<&PolicyFault>,
        stood_still: bool,
    ) {
        self.counts.decisions.fetch_add(1, Ordering::Relaxed);
        if let (Some(generation), Some(canary)) = (generation, self.canary()) {
            canary.decided(generation.info().generation);
        }
        if let Some(fault) = fault {
            self.count_fault(generation.filter(|_| !stood_still), fault);
        }
    }

    /// Counts a verdict that was refused after it was given, as if the decision had failed.
    pub fn refuse(&self, pin: &Pin, fault: &PolicyFault) {
        self.count_fault(Generation::of(pin), fault);
    }

    fn count_fault(&self, generation: Option<&Generation>, fault: &PolicyFault) {
        self.counts.fault(fault);
        let Some(generation) = generation.filter(|_| is_its_own(fault)) else {
            return;
        };
        if let Some(canary) = self.canary()
            && let Some(reason) = canary.faulted(generation.info().generation)
        {
            self.withdraw(&canary, format!("{reason}, the last with: {fault}"));
        }
        if generation.health().fault(Instant::now(), weight(fault)) {
            let (policy, number) = (&self.name, generation.info().generation);
            tracing::warn!(%policy, generation = number, "quarantined after repeated faults");
        }
    }

    /// The slot as people see it.
    pub fn status(&self) -> SlotStatus {
        let changes = self.changes();
        let serving = self.serving.load_full();
        let info = |generation: &Arc<Generation>| generation.info().clone();
        let live = serving.as_ref().map(|serving| &serving.live);
        let previous = serving
            .as_ref()
            .and_then(|serving| serving.previous.as_ref());
        let staged = changes.staged.as_ref();
        let is_draining = |generation: &Arc<Generation>| {
            let is = |other: Option<&Arc<_>>| other.is_some_and(|it| Arc::ptr_eq(it, generation));
            // Besides the calls, the slot holds the previous one, and this look at it counts too.
            let held_by_us = 1 + usize::from(is(previous));
            !is(live) && !is(staged) && Arc::strong_count(generation) > held_by_us
        };
        let known = changes.known.iter().filter_map(Weak::upgrade);
        SlotStatus {
            name: self.name.to_string(),
            live: live.map(info),
            staged: staged.map(info),
            previous: previous.map(info),
            draining: known
                .filter(is_draining)
                .map(|generation| info(&generation))
                .collect(),
            shadow: self.shadow.load().as_ref().map(|it| it.status()),
            canary: self.canary().map(|canary| canary.status()),
            last_rejected: changes.last_rejected.clone(),
            last_withdrawn: changes.last_withdrawn.clone(),
            decisions: self.counts.decisions.load(Ordering::Relaxed),
            faults: self.counts.faults(),
            quarantined: live.is_some_and(|live| live.is_quarantined()),
        }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    /// Calls may hold this one from now on.
    fn remember(&mut self, generation: &Arc<Generation>) {
        self.known
            .retain(|known| known.strong_count() > 0 && !known.ptr_eq(&Arc::downgrade(generation)));
        self.known.push(Arc::downgrade(generation));
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.name)
            .field("live", &self.live())
            .finish()
    }
}

/// Whether the guest is to blame.
fn is_its_own(fault: &PolicyFault) -> bool {
    match fault {
        PolicyFault::Timeout
        | PolicyFault::Trap(_)
        | PolicyFault::Memory
        | PolicyFault::Stack
        | PolicyFault::Verdict(_) => true,
        PolicyFault::NotReady | PolicyFault::Quarantined => false,
    }
}

/// The kinds of [`PolicyFault`].
const KINDS: [&str; 7] = [
    "timeout",
    "trap",
    "memory",
    "stack",
    "not-ready",
    "quarantined",
    "verdict",
];

#[derive(Default)]
struct Counts {
    decisions: AtomicU64,
    faults: [AtomicU64; KINDS.len()],
}

impl Counts {
    fn fault(&self, fault: &PolicyFault) {
        let counts = KINDS
            .iter()
            .zip(&self.faults)
            .find(|(kind, _)| **kind == fault.kind());
        let (_, count) = counts.expect("KINDS has the kind of every fault");
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn faults(&self) -> BTreeMap<&'static str, u64> {
        let counts = self
            .faults
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        KINDS
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
