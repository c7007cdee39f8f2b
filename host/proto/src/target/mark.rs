//! What is known of one target, shared by all shards and all lists with its address.
//!
//! ```text
//!          OPTIONS unanswered, calls that fail in a row         ┌── share ──┐
//!   up ───────────────────────────────────────────▶ down ─────▶ soaking ────▶ up
//!    ▲└──────── a call fails: it rests, tried last      OPTIONS answered,
//!    └───────────── any answer                          or a time is over
//! ```
//! Numbers that are written by whichever shard learns something, and never wait for each other. What
//! they mean depends on the rules of a trunk, which are given each time (decision 90).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Instant;
use crate::trunk::{Breaker, Options, Soak};

/// Until OPTIONS say otherwise.
const FOREVER: u64 = u64::MAX;

/// How a target is, and how many calls are up to it. Survives new answers of DNS.
#[derive(Debug, Default)]
pub struct Mark {
    rests_until: AtomicU64,
    calls: AtomicU32,
    /// Calls that failed in a row.
    failures: AtomicU32,
    /// OPTIONS in a row that were answered, and that were not.
    hits: AtomicU32,
    misses: AtomicU32,
    /// Not tried until then; 0 if it is up.
    down_until: AtomicU64,
    /// OPTIONS do not end that before.
    held_until: AtomicU64,
    /// Since when it has been back; 0 if it was never down.
    back_at: AtomicU64,
    /// Calls that it has answered since then.
    good: AtomicU32,
    /// When it sent OPTIONS last; 0 if never.
    heard_at: AtomicU64,
}

fn micros(at: &AtomicU64) -> u64 {
    at.load(Ordering::Relaxed)
}

impl Mark {
    /// The target failed: it is tried last for this long.
    pub fn set(&self, now: Instant, rest: Duration) {
        let until = (now + rest).as_micros();
        self.rests_until.store(until, Ordering::Relaxed);
    }

    /// The target answered.
    pub fn clear(&self) {
        // Nearly always clear: reading leaves the line shared between shards.
        if micros(&self.rests_until) != 0 {
            self.rests_until.store(0, Ordering::Relaxed);
        }
    }

    /// When the mark loses its meaning; `None` if there is none.
    pub fn until(&self) -> Option<Instant> {
        let until = micros(&self.rests_until);
        (until != 0).then(|| Instant::from_micros(until))
    }

    /// Calls that are up to it, or being tried.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn call_begins(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn call_ends(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it is not tried at the moment.
    pub fn is_down(&self, now: Instant) -> bool {
        now.as_micros() < micros(&self.down_until)
    }

    /// Calls that failed in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether it was down lately, and gets a share of the calls only.
    pub fn is_soaking(&self, soak: &Soak, now: Instant) -> bool {
        let back_at = micros(&self.back_at);
        back_at != 0
            && !self.is_down(now)
            && now.since(Instant::from_micros(back_at)) < soak.time
            && self.good.load(Ordering::Relaxed) < soak.good
    }

    // ---- calls ----

    /// A call found it silent, or it said 503. True if that brings it down: until OPTIONS are answered
    /// again, where they are sent, else for a time.
    pub(crate) fn call_failed(&self, breaker: &Breaker, probed: bool, now: Instant) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < breaker.failures || self.is_down(now) {
            return false;
        }
        let until = (now + breaker.retry).as_micros();
        self.held_until.store(until, Ordering::Relaxed);
        self.hits.store(0, Ordering::Relaxed);
        if probed {
            self.down_until.store(FOREVER, Ordering::Relaxed);
        } else {
            // One call more that fails, and it is down again.
            self.failures
                .store(breaker.failures.saturating_sub(1), Ordering::Relaxed);
            self.back_from(until);
            self.down_until.store(until, Ordering::Relaxed);
        }
        true
    }

    /// It said something else to a call; `finally` if that was its last word.
    pub(crate) fn call_answered(&self, finally: bool) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if finally && micros(&self.back_at) != 0 {
            self.good.fetch_add(1, Ordering::Relaxed);
        }
    }

    // ---- OPTIONS ----

    /// It answered our OPTIONS, or sent its own; or it did not. True if that changes how it is.
    pub(crate) fn probed(&self, well: bool, options: &Options, now: Instant) -> bool {
        let (counts, other) = match well {
            true => (&self.hits, &self.misses),
            false => (&self.misses, &self.hits),
        };
        other.store(0, Ordering::Relaxed);
        let in_a_row = counts.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let down = self.is_down(now);
        let held = now.as_micros() < micros(&self.held_until);
        match well {
            true if down && in_a_row >= options.up_after && !held => {
                self.come_back(now);
                true
            }
            false if !down && in_a_row >= options.down_after => {
                self.lie_down();
                true
            }
            true | false => false,
        }
    }

    /// It was to send OPTIONS, and has not.
    pub(crate) fn lie_down(&self) {
        self.hits.store(0, Ordering::Relaxed);
        self.down_until.store(FOREVER, Ordering::Relaxed);
    }

    /// It is up again.
    pub(crate) fn come_back(&self, now: Instant) {
        self.failures.store(0, Ordering::Relaxed);
        self.misses.store(0, Ordering::Relaxed);
        self.back_from(now.as_micros());
        self.down_until.store(0, Ordering::Relaxed);
    }

    /// Nobody sends OPTIONS any more, so nobody would ever say that it is up again.
    pub(crate) fn unwatch(&self, now: Instant) {
        if micros(&self.down_until) == FOREVER {
            self.come_back(now);
        }
    }

    fn back_from(&self, micros: u64) {
        self.good.store(0, Ordering::Relaxed);
        self.back_at.store(micros.max(1), Ordering::Relaxed);
    }

    /// It has sent OPTIONS.
    pub(crate) fn heard(&self, now: Instant) {
        self.heard_at.store(now.as_micros(), Ordering::Relaxed);
    }

    /// When it sent OPTIONS last.
    pub(crate) fn heard_at(&self) -> Instant {
        Instant::from_micros(micros(&self.heard_at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Mark;
    use crate::time::Instant;
    use crate::trunk::{Breaker, Options, Soak};

    fn at(s: u64) -> Instant {
        Instant::from_micros(s * 1_000_000)
    }

    fn options() -> Options {
        Options {
            down_after: 3,
            up_after: 2,
            ..Options::default()
        }
    }

    const BREAKER: Breaker = Breaker {
        failures: 2,
        retry: Duration::from_secs(30),
    };

    /// F3: down after misses in a row, up after answers in a row; one of the other kind begins anew.
    #[test]
    fn options_in_a_row() {
        let (mark, options) = (Mark::default(), options());
        let mut health = Vec::new();
        for well in [
            false, false, true, false, false, false, true, false, true, true,
        ] {
            mark.probed(well, &options, at(1));
            health.push(!mark.is_down(at(1)));
        }
        let [up, down] = [true, false];
        assert_eq!(health, [up, up, up, up, up, down, down, down, down, up]);
    }

    /// F13: calls that fail in a row bring a target down for a time; then one more is enough, and one
    /// that is answered makes all good.
    #[test]
    fn failing_calls_break_the_circuit() {
        let mark = Mark::default();
        let fails = |s| mark.call_failed(&BREAKER, false, at(s));
        assert!(!fails(1));
        mark.call_answered(true);
        assert!(!fails(2) && fails(3), "two in a row");
        assert!(mark.is_down(at(32)) && !mark.is_down(at(33)));
        assert!(fails(34), "half open: one is enough");
        assert!(mark.is_down(at(63)) && !mark.is_down(at(64)));
        mark.call_answered(false);
        assert!(!fails(65) && fails(66));
    }

    /// F13: where OPTIONS are sent they say when it is up again, but not before its time.
    #[test]
    fn options_end_a_break() {
        let (mark, options) = (Mark::default(), options());
        for s in [1, 2] {
            mark.call_failed(&BREAKER, true, at(s));
        }
        for s in 3..32 {
            assert!(!mark.probed(true, &options, at(s)));
        }
        assert!(mark.is_down(at(31)));
        assert!(mark.probed(true, &options, at(32)) && !mark.is_down(at(32)));
    }

    /// F12: who comes back soaks until it has answered so many calls, or for so long.
    #[test]
    fn soak_ends_by_calls_or_by_time() {
        let soak = Soak {
            share: 10,
            good: 2,
            time: Duration::from_secs(60),
        };
        let mark = Mark::default();
        assert!(!mark.is_soaking(&soak, at(1)), "it was never down");
        mark.lie_down();
        assert!(!mark.is_soaking(&soak, at(1)), "it is down");
        mark.come_back(at(10));
        assert!(mark.is_soaking(&soak, at(69)) && !mark.is_soaking(&soak, at(70)));
        mark.call_answered(true);
        mark.call_answered(false);
        assert!(mark.is_soaking(&soak, at(11)));
        mark.call_answered(true);
        assert!(!mark.is_soaking(&soak, at(11)));
    }

    /// F3: a target of which nobody asks any more is not down for ever.
    #[test]
    fn nobody_asks_any_more() {
        let mark = Mark::default();
        mark.lie_down();
        mark.unwatch(at(5));
        assert!(!mark.is_down(at(5)));
    }
}
