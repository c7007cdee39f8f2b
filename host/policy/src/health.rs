//! How often a generation faulted lately, and whether it is set aside for that.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use intertrunk_proto::ask::PolicyFault;

/// A fault that held its shard for as long as it was let counts as so many. The fourth sets aside:
/// that often a deadline of 20 ms is less than one hundredth of the window, so that the 99th
/// percentile of the other calls does not show it.
const HOLDING: u32 = 6;

/// The faults of one generation.
#[derive(Debug)]
pub(crate) struct Health {
    faults_max: u32,
    window: Duration,
    quarantined: AtomicBool,
    /// When it faulted, and as how many faults that counts, within the window; of more than
    /// `faults_max` the last ones.
    faults: Mutex<VecDeque<(Instant, u32)>>,
}

/// As how many faults this one counts.
pub(crate) fn weight(fault: &PolicyFault) -> u32 {
    match fault {
        PolicyFault::Timeout | PolicyFault::Memory => HOLDING,
        _ => 1,
    }
}

impl Health {
    /// Quarantines after more than `faults_max` faults within `window`.
    pub fn new(faults_max: u32, window: Duration) -> Health {
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

    /// Counts a fault as so many; true if this is the one that sets it aside.
    pub fn fault(&self, now: Instant, weight: u32) -> bool {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push_back((now, weight));
        while faults
            .front()
            .is_some_and(|(first, _)| now.duration_since(*first) > self.window)
        {
            faults.pop_front();
        }
        let is_too_many = faults.iter().map(|(_, weight)| weight).sum::<u32>() > self.faults_max;
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
    use crate::options::Options;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn more_faults_than_allowed_within_the_window_quarantine() {
        let health = Health::new(2, 10 * SECOND);
        let start = Instant::now();
        assert_eq!(
            [0, 1, 2].map(|s| health.fault(start + s * SECOND, 1)),
            [false, false, true]
        );
        assert!(health.is_quarantined());
        assert!(!health.fault(start + 3 * SECOND, 1), "it is announced once");
    }

    #[test]
    fn faults_far_apart_do_not() {
        let health = Health::new(2, 10 * SECOND);
        let start = Instant::now();
        assert!((0..20).all(|n| !health.fault(start + n * 6 * SECOND, 1)));
        assert!(!health.is_quarantined());
    }

    #[test]
    fn a_forgiven_generation_starts_anew() {
        let health = Health::new(0, SECOND);
        let now = Instant::now();
        assert!(health.fault(now, 1));
        health.forgive();
        assert!(!health.is_quarantined());
        assert!(health.fault(now, 1));
    }

    #[test]
    fn faults_that_hold_a_shard_count_more() {
        let usual = Options::default();
        for fault in [PolicyFault::Timeout, PolicyFault::Memory] {
            let health = Health::new(usual.quarantine_faults, usual.quarantine_window);
            let start = Instant::now();
            let held = (1..).find(|n| health.fault(start + *n * SECOND, weight(&fault)));
            assert_eq!(held, Some(4), "{fault}");
        }
    }
}
