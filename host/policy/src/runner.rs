//! Asks policies, on one shard's thread.
//!
//! A runner owns the warm instances of its shard, so that a decision takes no lock and touches no
//! other shard's memory. It returns an answer within the generation's deadline, whatever the guest
//! does.

use std::any::Any;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Instant;

use intertrunk_proto::ask::{Answer, Pin, PolicyFault, Query, Verdict};
use intertrunk_proto::{LookedUp, Rng};
use intertrunk_sip::Message;

use crate::decision::Reply;
use crate::engine::Engine;
use crate::generation::Generation;
use crate::instance::Instance;
use crate::options::Isolation;
use crate::slot::Slot;
use crate::world::World;

/// Warm instances of one shard, over all policies and generations. The one that decided longest ago
/// makes room.
const WARM_MAX: usize = 8;

/// Asks policies; one per shard.
pub struct Runner {
    engine: Engine,
    /// The one that decided last is at the end.
    warm: Vec<Warm>,
    rng: Rng,
    records: bool,
    /// What the last decision was told, if that was wanted.
    replies: Vec<Reply>,
    /// Explanation and look-ups of the last decision.
    because: Vec<String>,
    looked_up: Vec<LookedUp>,
    /// Whether the guest of the last decision had no chance to be in time.
    stood_still: bool,
}

/// An instance that decided and may again, as long as its generation is not gone.
struct Warm {
    generation: Weak<dyn Any + Send + Sync>,
    instance: Instance,
    /// Decisions until it makes room for another.
    left: u32,
}

impl Runner {
    /// A runner without instances; it makes them when they are needed.
    pub fn new(engine: &Engine) -> Runner {
        let seed = RandomState::new().build_hasher().finish();
        Runner::seeded(engine, seed)
    }

    /// The same, whose instances live as long as those of another with this seed.
    pub fn seeded(engine: &Engine, seed: u64) -> Runner {
        engine.add_runner();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Runner {
            rng: Rng::new(bytes),
            engine: engine.clone(),
            warm: Vec::with_capacity(WARM_MAX),
            records: false,
            replies: Vec::new(),
            because: Vec::new(),
            looked_up: Vec::new(),
            stood_still: false,
        }
    }

    /// Asks the generation that `pin` holds, else the one that decides the slot's new calls. Fills
    /// `query.call.headers` from `invite` by its manifest; without an INVITE, leaves those headers
    /// there that it asks for. All failures, whatever the guest did, are in the answer.
    pub fn decide(
        &mut self,
        slot: &Slot,
        pin: Option<&Pin>,
        query: &mut Query,
        invite: Option<&Message>,
        world: &Arc<dyn World>,
    ) -> Answer {
        let started = Instant::now();
        self.warm.retain(|warm| warm.generation.strong_count() > 0);
        let (pin, outcome) = match slot.pin(pin, query) {
            Ok(pin) => {
                let outcome = self.ask(&pin, query, invite, world);
                (Some(pin), outcome)
            }
            Err(fault) => (None, Err(fault)),
        };
        let generation = pin.as_ref().and_then(Generation::of);
        let fault = outcome.as_ref().err();
        let stood_still = std::mem::take(&mut self.stood_still);
        slot.count(
            generation,
            fault,
            stood_still && fault == Some(&PolicyFault::Timeout),
        );
        if let Err(fault) = &outcome {
            report(slot, generation, query, fault);
        }
        let decision_us = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
        Answer {
            outcome,
            pin,
            decision_us,
            because: std::mem::take(&mut self.because),
            looked_up: std::mem::take(&mut self.looked_up),
        }
    }

    /// Keeps from now on, or no longer, what guests are told while they decide.
    pub fn record(&mut self, wanted: bool) {
        self.records = wanted;
    }

    /// What the guest was told in the last decision, if that was to be kept.
    pub fn take_replies(&mut self) -> Vec<Reply> {
        std::mem::take(&mut self.replies)
    }

    fn ask(
        &mut self,
        pin: &Pin,
        query: &mut Query,
        invite: Option<&Message>,
        world: &Arc<dyn World>,
    ) -> Result<Verdict, PolicyFault> {
        let generation = Generation::of(pin).expect("a slot's pins hold generations");
        generation.pick_headers(query, invite);
        let options = generation.options();
        let mut warm = match self.take(pin) {
            Some(mut warm) => {
                warm.instance.arm(options.deadline);
                warm
            }
            None => Warm {
                instance: generation.instance(world)?,
                generation: Arc::downgrade(&pin.keep),
                left: drawn(&mut self.rng, &options.retire_after),
            },
        };
        warm.instance.record(self.records);
        let outcome = warm.instance.decide(query, world);
        self.stood_still = warm.instance.stood_still(options.deadline);
        self.because = warm.instance.take_because();
        self.looked_up = warm.instance.take_looked_up();
        if self.records {
            self.replies = warm.instance.take_replies();
        }
        if outcome.is_ok() && options.isolation == Isolation::Warm {
            warm.left = warm.left.saturating_sub(1);
            // It stays until there is another: making one would hold up a call.
            if warm.left == 0
                && let Some(fresh) = generation.relief(world)
            {
                warm.instance = fresh;
                warm.left = drawn(&mut self.rng, &options.retire_after);
            }
            self.keep(warm);
        }
        outcome
    }

    /// The warm instance of a generation.
    fn take(&mut self, pin: &Pin) -> Option<Warm> {
        let is_its =
            |warm: &Warm| std::ptr::addr_eq(warm.generation.as_ptr(), Arc::as_ptr(&pin.keep));
        let found = self.warm.iter().rposition(is_its)?;
        Some(self.warm.remove(found))
    }

    fn keep(&mut self, warm: Warm) {
        if self.warm.len() == WARM_MAX {
            self.warm.remove(0);
        }
        self.warm.push(warm);
    }
}

/// A number of `range`, none less likely than another.
fn drawn(rng: &mut Rng, range: &RangeInclusive<u32>) -> u32 {
    let among = u64::from(range.end().saturating_sub(*range.start())) + 1;
    let drawn = u32::try_from(rng.next_u64() % among).expect("the range is of u32");
    range.start() + drawn
}

/// Says why there is no verdict. Only the guest's own faults are news: there are few of them before
/// it is quarantined.
fn report(slot: &Slot, generation: Option<&Generation>, query: &Query, fault: &PolicyFault) {
    let (call, policy) = (query.call.id.as_str(), slot.name());
    match generation.map(|generation| generation.info().generation) {
        Some(generation) => tracing::warn!(call, %policy, generation, %fault, "no verdict"),
        None => tracing::debug!(call, %policy, %fault, "no verdict"),
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.engine.remove_runner();
    }
}
