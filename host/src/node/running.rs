//! What a node works by at one moment: immutable, replaced as a whole.

use std::sync::Arc;

use intertrunk_policy::{Slot, World};
use intertrunk_proto::{PolicyId, Snapshot};

use crate::memory::Memory;
use crate::transport::StreamRules;

/// A configuration in use. Each shard holds the same one until it is given the next.
pub struct Running {
    /// What the machines work with.
    pub snapshot: Arc<Snapshot>,
    /// What policies are told when they ask.
    pub world: Arc<dyn World>,
    /// What it takes of memory at its limits.
    pub memory: Memory,
    /// How each listener treats its connections, in the order of the listeners.
    pub streams: Arc<[StreamRules]>,
    /// The slot of each policy.
    pub slots: Vec<(PolicyId, Arc<Slot>)>,
}

impl Running {
    /// The slot with this id.
    pub fn slot(&self, policy: PolicyId) -> Option<&Arc<Slot>> {
        self.slots
            .iter()
            .find(|(id, _)| *id == policy)
            .map(|(_, slot)| slot)
    }

    /// The slot with this name.
    pub fn slot_named(&self, name: &str) -> Option<&Arc<Slot>> {
        self.slots
            .iter()
            .map(|(_, slot)| slot)
            .find(|slot| **slot.name() == *name)
    }
}
