//! A generation that decides what the live one decides, after it, unheard by any call.
//!
//! It is fed with decisions as they were made, on a thread of no shard: what it takes of time and
//! memory, no call waits for. When that thread does not keep up, decisions are left out, which
//! makes the evidence smaller but not wrong.

use std::sync::{Arc, Mutex, PoisonError};

use intertrunk_proto::ask::PolicyFault;
use serde::Serialize;

use crate::decision::{Decision, Played};
use crate::difference::{Comparing, Comparison};
use crate::generation::{Generation, GenerationInfo};
use crate::instance::Instance;
use crate::options::Isolation;
use crate::replay::{decide_again, is_reproducible};
use crate::world::World;

/// A generation in the shadow of the live one.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub generation: Arc<Generation>,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    instance: Option<Instance>,
    comparing: Comparing,
    faults: u64,
}

/// What came of it so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ShadowStatus {
    /// Who decides in the shadow.
    pub generation: GenerationInfo,
    /// Its outcomes, compared with the live ones.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// Its decisions that failed.
    pub faults: u64,
}

impl Shadow {
    pub fn new(generation: Arc<Generation>) -> Shadow {
        Shadow {
            generation,
            work: Mutex::default(),
        }
    }

    /// Decides again what was decided by another.
    pub fn decide(&self, decision: &Decision, world: &Arc<dyn World>) {
        if !is_reproducible(&decision.outcome)
            || decision.generation == self.generation.info().generation
        {
            return;
        }
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let instance = match work.instance.take() {
            Some(instance) => Ok(instance),
            None => self.generation.instance(world),
        };
        let played = Arc::new(Played::new(decision.replies.clone()));
        let options = self.generation.options();
        let mut query = decision.query.clone();
        self.generation.keep_headers(&mut query);
        let outcome = instance.and_then(|mut instance| {
            // By tables of its own: they are part of what would be promoted.
            let verdict = decide_again(&mut instance, &query, &played, options.deadline)?;
            if options.isolation == Isolation::Warm {
                work.instance = Some(instance);
            }
            Ok(verdict)
        });
        if !is_reproducible(&outcome) && outcome != Err(PolicyFault::Timeout) {
            return;
        }
        work.faults += u64::from(outcome.is_err());
        let unknown = played.unknown();
        work.comparing
            .add(&query, &decision.outcome, &outcome, unknown.as_deref());
    }

    pub fn status(&self) -> ShadowStatus {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        ShadowStatus {
            generation: self.generation.info().clone(),
            comparison: work.comparing.result(),
            faults: work.faults,
        }
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("comparing", &self.comparing)
            .finish_non_exhaustive()
    }
}
