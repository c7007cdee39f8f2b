//! What the configuration says about one policy: its bounds and its grants.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::signature::Trust;

/// How long an instance lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Isolation {
    /// One instance a shard decides call after call, and is thrown away after any fault.
    #[default]
    Warm,
    /// A fresh instance for each decision.
    Call,
}

/// The bounds and grants of one policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Wall time for one decision, a fresh instance included if one is needed: 20 ms. Kept to
    /// within 4 ms.
    pub deadline: Duration,
    /// Wall time for `describe` and for `configure`, each: 5 s.
    pub configure_deadline: Duration,
    /// Linear memory of one instance: 32 MiB.
    pub memory_bytes: usize,
    /// How long an instance lives: warm.
    pub isolation: Isolation,
    /// After how many decisions a warm instance makes room for a fresh one; drawn for each: 8,192 to
    /// 16,384. So that nobody relies on what an instance remembers.
    pub retire_after: RangeInclusive<u32>,
    /// Trunks that the policy may see, `*` for all: all. A manifest that names another is refused;
    /// one that says `*` gets these.
    pub trunks: Vec<String>,
    /// Tables that the policy may read, `*` for all: none. A manifest that names another is
    /// refused; one that says `*` gets these.
    pub tables: Vec<String>,
    /// Whose signature a module needs; none if absent: absent.
    pub trust: Option<Arc<Trust>>,
    /// A generation with more faults than this in one window is quarantined: 20. Running out of time
    /// or memory, which holds the shard as long as it is let, counts as six.
    pub quarantine_faults: u32,
    /// The window: 10 s.
    pub quarantine_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            deadline: Duration::from_millis(20),
            configure_deadline: Duration::from_secs(5),
            memory_bytes: 32 << 20,
            isolation: Isolation::Warm,
            retire_after: 8_192..=16_384,
            trunks: vec!["*".to_owned()],
            tables: Vec::new(),
            trust: None,
            quarantine_faults: 20,
            quarantine_window: Duration::from_secs(10),
        }
    }
}
