//! What a policy may ask the host while it decides: how trunks are now, and what tables say.
//!
//! Trunks are as they are at that moment. Tables belong to a generation like its settings: they are
//! those of its staging for as long as it decides.

use std::any::Any;
use std::sync::Arc;

use intertrunk_proto::trunk::{Health, TrunkKind};
use serde::{Deserialize, Serialize};

/// What the host answers to a policy's questions. Never blocks, never does IO: a deadline cannot
/// interrupt it.
pub trait World: Send + Sync + 'static {
    /// The trunk of this name.
    fn trunk(&self, name: &str) -> Option<TrunkFacts>;
    /// All trunks, in the order of the configuration.
    fn trunks(&self) -> Vec<TrunkFacts>;
    /// The tables that a generation staged now will have.
    fn tables(&self) -> Arc<dyn Tables>;
}

/// The tables of one generation; they never change. Like a [`World`] they never block.
pub trait Tables: Any + Send + Sync {
    /// The row of this very key.
    fn exact(&self, table: &str, key: &str) -> Option<Row>;
    /// The row of the longest prefix of `key`.
    fn longest_prefix(&self, table: &str, key: &str) -> Option<Row>;
    /// The rows of all prefixes of `key`, longest first.
    fn prefixes(&self, table: &str, key: &str) -> Vec<Row>;
}

/// The state of one trunk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrunkFacts {
    /// As configured.
    pub name: String,
    /// What it leads to.
    pub kind: TrunkKind,
    /// Network site.
    pub site: Option<String>,
    /// Free words for policies.
    pub tags: Vec<String>,
    /// Whether it may be used.
    pub health: Health,
    /// Calls up, both directions.
    pub active: u32,
    /// Most calls up at once.
    pub limit: Option<u32>,
    /// Answered calls of a thousand, lately; 1000 before there were any.
    pub answered_permille: u16,
    /// Post-dial delay lately, milliseconds.
    pub pdd_ms: u32,
}

/// One row of a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Key.
    pub key: String,
    /// The columns after the key.
    pub columns: Vec<String>,
}

/// No trunks, no tables: the world of a module that is only looked at.
pub struct Nowhere;

impl World for Nowhere {
    fn trunk(&self, _: &str) -> Option<TrunkFacts> {
        None
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        Vec::new()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::new(Nowhere)
    }
}

impl Tables for Nowhere {
    fn exact(&self, _: &str, _: &str) -> Option<Row> {
        None
    }

    fn longest_prefix(&self, _: &str, _: &str) -> Option<Row> {
        None
    }

    fn prefixes(&self, _: &str, _: &str) -> Vec<Row> {
        Vec::new()
    }
}
