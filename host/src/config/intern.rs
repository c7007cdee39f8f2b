//! What a trunk, a policy or a peer keeps over a reload: its id and its live state, found by its name.

use std::collections::HashMap;
use std::sync::Arc;

use intertrunk_proto::target::Targets;
use intertrunk_proto::trunk::TrunkState;
use intertrunk_proto::{PolicyId, TrunkId};

use crate::resolve::Question;

/// Remembers every name that this process has seen. A name that leaves the configuration and comes
/// back gets its old id, so calls that still hold it stay right.
#[derive(Debug, Default)]
pub struct Interner {
    trunks: HashMap<Arc<str>, (TrunkId, Arc<TrunkState>)>,
    policies: HashMap<Arc<str>, PolicyId>,
    targets: HashMap<Question, Arc<Targets>>,
}

impl Interner {
    /// The id and live state of the trunk with this name.
    pub fn trunk(&mut self, name: &str) -> (TrunkId, Arc<TrunkState>) {
        if let Some((id, state)) = self.trunks.get(name) {
            return (*id, Arc::clone(state));
        }
        let next = u32::try_from(self.trunks.len()).expect("fewer than 2^32 names fit in memory");
        let fresh = (TrunkId(next), Arc::default());
        self.trunks.insert(name.into(), fresh.clone());
        fresh
    }

    /// The targets that answer this question, with their marks.
    pub fn targets(&mut self, question: &Question) -> Arc<Targets> {
        Arc::clone(self.targets.entry(question.clone()).or_default())
    }

    /// The id of the policy with this name; `None` once all 65,536 ids are used up.
    pub fn policy(&mut self, name: &str) -> Option<PolicyId> {
        if let Some(id) = self.policies.get(name) {
            return Some(*id);
        }
        let fresh = PolicyId(u16::try_from(self.policies.len()).ok()?);
        self.policies.insert(name.into(), fresh);
        Some(fresh)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_keeps_its_id_and_its_state() {
        let mut interner = Interner::default();
        let (a, state) = interner.trunk("a");
        let (b, _) = interner.trunk("b");
        let (again, same) = interner.trunk("a");
        assert_ne!(a, b);
        assert_eq!(a, again);
        assert!(Arc::ptr_eq(&state, &same));
        assert_eq!(
            interner.policy("main").unwrap(),
            interner.policy("main").unwrap()
        );
    }
}
