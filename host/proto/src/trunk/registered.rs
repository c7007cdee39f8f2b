//! Whether we are registered at a trunk, for all shards and for operators.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};

use crate::time::Instant;

/// How our registration at a trunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Registered {
    /// We are not, and do not want to be.
    #[default]
    No = 0,
    /// Nobody has answered yet.
    Trying = 1,
    /// We are.
    Yes = 2,
    /// We want to be, and are not.
    Failed = 3,
}

impl Registered {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Registered::No => "unregistered",
            Registered::Trying => "registering",
            Registered::Yes => "registered",
            Registered::Failed => "failed",
        }
    }
}

/// The same, shared.
#[derive(Debug, Default)]
pub struct Registration {
    how: AtomicU8,
    code: AtomicU16,
    until: AtomicU64,
}

impl Registration {
    /// How it is.
    pub fn how(&self) -> Registered {
        match self.how.load(Ordering::Relaxed) {
            0 => Registered::No,
            1 => Registered::Trying,
            2 => Registered::Yes,
            _ => Registered::Failed,
        }
    }

    /// The registrar's last answer; 0 if it has given none.
    pub fn code(&self) -> u16 {
        self.code.load(Ordering::Relaxed)
    }

    /// Until when we are registered, if we are.
    pub fn until(&self) -> Option<Instant> {
        let micros = self.until.load(Ordering::Relaxed);
        (micros != 0).then(|| Instant::from_micros(micros))
    }

    pub(crate) fn set(&self, how: Registered, code: u16, until: Option<Instant>) {
        self.until
            .store(until.map_or(0, Instant::as_micros), Ordering::Relaxed);
        self.code.store(code, Ordering::Relaxed);
        self.how.store(how as u8, Ordering::Relaxed);
    }
}
