//! How often a generation faulted lately, and whether it is set aside for that.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The faults of one generation.
#[derive(Debug)]
pub(crate) struct Health {
    faults_max: usize,
    window: Duration,
    quarantined: AtomicBool,
    /// When it faulted, within the window; never more than `faults_max + 1`.
    faults: Mutex<VecDeque<Instant>>,
}

impl Health {
    /// Quarantines after more than `faults_max` faults within `window`.
    pub fn new(faults_max: u32, window: Duration) -> Health {
        let faults_max = usize::try_from(faults_max).unwrap_or(usize::MAX - 1);
        Health {
            faults_max,
            window,
            quarantined: AtomicBool::new(false),
            faults: Mutex::default(),
        }
    }

    /// Whether it is set aside.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Counts a fault; true if this is the one that sets it aside.
    pub fn fault(&self, now: Instant) -> bool {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push_back(now);
        while faults
            .front()
            .is_some_and(|first| now.duration_since(*first) > self.window)
        {
            faults.pop_front();
        }
        let is_too_many = faults.len() > self.faults_max;
        if is_too_many {
            faults.pop_front();
        }
        is_too_many && !self.quarantined.swap(true, Ordering::Relaxed)
    }

    /// Gives it another chance, because an operator said so.
    pub fn forgive(&self) {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.quarantined.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn more_faults_than_allowed_within_the_window_quarantine() {
        let health = Health::new(2, 10 * SECOND);
        let start = Instant::now();
        assert_eq!(
            [0, 1, 2].map(|s| health.fault(start + s * SECOND)),
            [false, false, true]
        );
        assert!(health.is_quarantined());
        assert!(!health.fault(start + 3 * SECOND), "it is announced once");
    }

    #[test]
    fn faults_far_apart_do_not() {
        let health = Health::new(2, 10 * SECOND);
        let start = Instant::now();
        assert!((0..20).all(|n| !health.fault(start + n * 6 * SECOND)));
        assert!(!health.is_quarantined());
    }

    #[test]
    fn a_forgiven_generation_starts_anew() {
        let health = Health::new(0, SECOND);
        let now = Instant::now();
        assert!(health.fault(now));
        health.forgive();
        assert!(!health.is_quarantined());
        assert!(health.fault(now));
    }
}
