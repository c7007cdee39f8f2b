//! What policies may know of this node: trunks with their live state, and tables.
//!
//! [`Live`] is the truth; [`WhatIf`] lays assumptions over it for questions such as "and if gw-a
//! were down?". Neither blocks nor does IO.

use std::sync::Arc;

use intertrunk_policy::{TrunkFacts, World};
use intertrunk_proto::Snapshot;
use intertrunk_proto::trunk::{Health, Trunk};

use crate::clock::Clock;
use crate::tables::Tables;

/// The world of one configuration.
#[derive(Debug)]
pub struct Live {
    snapshot: Arc<Snapshot>,
    tables: Arc<Tables>,
    clock: Clock,
}

impl Live {
    /// The world as this configuration and the state of its trunks have it.
    pub fn new(snapshot: Arc<Snapshot>, tables: Arc<Tables>, clock: Clock) -> Live {
        Live {
            snapshot,
            tables,
            clock,
        }
    }

    fn facts(&self, trunk: &Trunk) -> TrunkFacts {
        let sums = trunk.sums(self.clock.now());
        TrunkFacts {
            name: trunk.name.to_string(),
            kind: trunk.kind,
            site: trunk.site.clone(),
            tags: trunk.tags.clone(),
            health: trunk.state.health(),
            active: trunk.state.active(),
            limit: trunk.calls_max,
            answered_permille: sums.asr_permille(),
            pdd_ms: sums.pdd_mean_ms(),
        }
    }
}

impl World for Live {
    fn trunk(&self, name: &str) -> Option<TrunkFacts> {
        self.snapshot
            .trunk_named(name)
            .map(|trunk| self.facts(trunk))
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        self.snapshot
            .trunks
            .iter()
            .map(|trunk| self.facts(trunk))
            .collect()
    }

    fn tables(&self) -> Arc<dyn intertrunk_policy::Tables> {
        Arc::clone(&self.tables) as _
    }
}

/// Another world with some trunks assumed down and some assumed full.
pub struct WhatIf {
    /// The world without assumptions.
    pub base: Arc<dyn World>,
    /// Trunks assumed down.
    pub down: Vec<String>,
    /// Trunks assumed full.
    pub full: Vec<String>,
}

impl WhatIf {
    fn assume(&self, mut facts: TrunkFacts) -> TrunkFacts {
        if self.down.contains(&facts.name) {
            facts.health = Health::Down;
        }
        if self.full.contains(&facts.name) {
            // A trunk without a limit is never full, so the assumption gives it one.
            let limit = *facts.limit.get_or_insert(facts.active.max(1));
            facts.active = limit;
        }
        facts
    }
}

impl World for WhatIf {
    fn trunk(&self, name: &str) -> Option<TrunkFacts> {
        self.base.trunk(name).map(|facts| self.assume(facts))
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        self.base
            .trunks()
            .into_iter()
            .map(|facts| self.assume(facts))
            .collect()
    }

    fn tables(&self) -> Arc<dyn intertrunk_policy::Tables> {
        self.base.tables()
    }
}
