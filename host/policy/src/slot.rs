//! One configured policy and its generations: staged → live → previous → draining → gone.
//!
//! ```text
//!            stage            promote          promote            last call ends
//!   module ────────▶ staged ─────────▶ live ─────────▶ previous ─ ─ ─▶ draining ─────▶ gone
//!            │                           ▲    rollback   │
//!            ▼                           └───────────────┘
//!         rejected (nothing else changes, the reason stays visible)
//! ```
//!
//! New calls are decided by the live generation, or by the previous one while the live one is
//! quarantined. A change of generation is one atomic store; no decision waits for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use intertrunk_cases::Suite;
use intertrunk_proto::ask::{Pin, PolicyFault};
use serde::Serialize;

use crate::engine::Engine;
use crate::fault::{LoadFault, SlotFault};
use crate::generation::{Generation, GenerationInfo};
use crate::options::Options;
use crate::program::Program;
use crate::world::World;

/// One configured policy, shared by all shards.
pub struct Slot {
    name: Arc<str>,
    engine: Engine,
    options: Options,
    serving: ArcSwapOption<Serving>,
    changes: Mutex<Changes>,
    counts: Counts,
}

/// The generations that may decide new calls. Replaced as a whole.
struct Serving {
    live: Arc<Generation>,
    previous: Option<Arc<Generation>>,
}

/// What only operators change and look at.
#[derive(Default)]
struct Changes {
    staged: Option<Arc<Generation>>,
    /// All that were ever live and are not gone.
    known: Vec<Weak<Generation>>,
    last_rejected: Option<Rejected>,
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
    /// Becomes live when promoted.
    pub staged: Option<GenerationInfo>,
    /// Becomes live again by a rollback, and decides while the live one is quarantined.
    pub previous: Option<GenerationInfo>,
    /// No longer live, but calls that began with them hold them.
    pub draining: Vec<GenerationInfo>,
    /// The last module that was refused, if none was staged since.
    pub last_rejected: Option<Rejected>,
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
            changes: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// The policy's name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Makes a module the staged generation: compiles it, checks its world and what it asks for,
    /// configures it, and runs `suites` (those without settings of their own with `config`). Takes
    /// as long as that takes, on the caller's thread: never call it from a shard.
    ///
    /// # Errors
    /// What is wrong with the module; it also stays visible in [`status`](Self::status). Nothing
    /// else changes.
    pub fn stage(
        &self,
        wasm: &[u8],
        config: &str,
        world: &Arc<dyn World>,
        suites: &[Suite],
    ) -> Result<GenerationInfo, LoadFault> {
        let staged = Program::load(&self.engine, wasm, &self.options).and_then(|program| {
            Generation::stage(&self.engine, &self.name, program, config, world, suites)
        });
        let mut changes = self.changes();
        match staged {
            Ok(generation) => {
                let info = generation.info().clone();
                changes.staged = Some(generation);
                changes.last_rejected = None;
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

    /// Makes the staged generation live, and the live one previous.
    ///
    /// # Errors
    /// [`SlotFault::NothingStaged`]
    pub fn promote(&self) -> Result<GenerationInfo, SlotFault> {
        let mut changes = self.changes();
        let live = changes.staged.take().ok_or(SlotFault::NothingStaged)?;
        let info = live.info().clone();
        changes
            .known
            .retain(|generation| generation.strong_count() > 0);
        changes.known.push(Arc::downgrade(&live));
        let previous = self.live();
        self.serving
            .store(Some(Arc::new(Serving { live, previous })));
        Ok(info)
    }

    /// Exchanges the live generation and the previous one, which gets another chance if it was
    /// quarantined.
    ///
    /// # Errors
    /// [`SlotFault::NoPrevious`]
    pub fn rollback(&self) -> Result<GenerationInfo, SlotFault> {
        let _changes = self.changes();
        let serving = self.serving.load_full().ok_or(SlotFault::NoPrevious)?;
        let live = serving.previous.clone().ok_or(SlotFault::NoPrevious)?;
        live.health().forgive();
        let info = live.info().clone();
        let previous = Some(Arc::clone(&serving.live));
        self.serving
            .store(Some(Arc::new(Serving { live, previous })));
        Ok(info)
    }

    /// The generation that an operator made live.
    pub fn live(&self) -> Option<Arc<Generation>> {
        self.serving
            .load()
            .as_ref()
            .map(|serving| Arc::clone(&serving.live))
    }

    /// A hold on the generation that decides: the one that `pin` holds, else for a new call.
    pub(crate) fn pin(&self, pin: Option<&Pin>) -> Result<Pin, PolicyFault> {
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
        std::iter::once(&serving.live)
            .chain(&serving.previous)
            .find(|generation| !generation.is_quarantined())
            .map(Generation::pin)
            .ok_or(PolicyFault::Quarantined)
    }

    /// Counts a decision, and its fault against `generation`.
    pub(crate) fn count(&self, generation: Option<&Generation>, fault: Option<&PolicyFault>) {
        self.counts.decisions.fetch_add(1, Ordering::Relaxed);
        if let Some(fault) = fault {
            self.count_fault(generation, fault);
        }
    }

    /// Forgets the staged generation, if there is one; nothing else changes.
    pub fn unstage(&self) {
        self.changes().staged = None;
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
        if generation.health().fault(Instant::now()) {
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
        let is_draining = |generation: &Arc<Generation>| {
            let is = |other: Option<&Arc<_>>| other.is_some_and(|it| Arc::ptr_eq(it, generation));
            // Besides the calls, the slot holds the previous one, and this look at it counts too.
            let held_by_us = 1 + usize::from(is(previous));
            !is(live) && Arc::strong_count(generation) > held_by_us
        };
        let known = changes.known.iter().filter_map(Weak::upgrade);
        SlotStatus {
            name: self.name.to_string(),
            live: live.map(info),
            staged: changes.staged.as_ref().map(info),
            previous: previous.map(info),
            draining: known
                .filter(is_draining)
                .map(|generation| info(&generation))
                .collect(),
            last_rejected: changes.last_rejected.clone(),
            decisions: self.counts.decisions.load(Ordering::Relaxed),
            faults: self.counts.faults(),
            quarantined: live.is_some_and(|live| live.is_quarantined()),
        }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
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
