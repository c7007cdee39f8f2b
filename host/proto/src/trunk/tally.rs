//! How calls on a trunk have ended lately: a window of slices that slides without a timer.
//!
//! Each slice knows which stretch of time it counts; who comes later takes it for a later one. Shards
//! add to it without waiting for each other: at the border of two slices a call may be lost to the
//! count, which no share of hundreds notices.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Instant;

const SLICES: u64 = 12;

/// How one attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    /// Final code.
    pub(crate) code: u16,
    /// Time from INVITE to the first 18x or 2xx.
    pub(crate) pdd_ms: Option<u32>,
}

impl Ended {
    fn is_answer(self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether the network has done its work, whatever the called side made of it (ITU-T E.425):
    /// answered, busy, not answered, refused by a person, sent elsewhere. A number that there is not
    /// counts as well: callers dial them, and no trunk can help it.
    fn is_effective(self) -> bool {
        match self.code {
            200..=399 | 404 | 410 | 480 | 484 | 486 | 600 | 603 | 604 => true,
            408 | 487 => self.pdd_ms.is_some(),
            _ => false,
        }
    }
}

/// Sums over a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Attempts that have ended.
    pub attempts: u32,
    /// Those that were answered.
    pub answered: u32,
    /// Those that failed by no fault of the trunk, the answered ones included.
    pub effective: u32,
    /// Post-dial delays, and how many.
    pub pdd_ms: u64,
    /// How many of them.
    pub pdds: u32,
    /// Answered calls that have ended, in milliseconds of talking.
    pub talk_ms: u64,
    /// How many of them.
    pub talks: u32,
}

impl Sums {
    /// Answer-seizure ratio in thousandths; 1000 before there were any.
    pub fn asr_permille(&self) -> u16 {
        permille(self.answered, self.attempts)
    }

    /// Network effectiveness ratio in thousandths (ITU-T E.425); 1000 before there were any.
    pub fn ner_permille(&self) -> u16 {
        permille(self.effective, self.attempts)
    }

    /// Mean post-dial delay in milliseconds.
    pub fn pdd_mean_ms(&self) -> u32 {
        mean(self.pdd_ms, self.pdds)
    }

    /// Mean duration of answered calls in milliseconds; `None` before one has ended.
    pub fn acd_ms(&self) -> Option<u32> {
        (self.talks > 0).then(|| mean(self.talk_ms, self.talks))
    }
}

fn permille(part: u32, whole: u32) -> u16 {
    let share = u64::from(part) * 1_000 / u64::from(whole.max(1));
    match whole {
        0 => 1_000,
        _ => u16::try_from(share).unwrap_or(1_000).min(1_000),
    }
}

fn mean(sum: u64, count: u32) -> u32 {
    u32::try_from(sum / u64::from(count.max(1))).unwrap_or(u32::MAX)
}

/// The window.
#[derive(Debug, Default)]
pub(super) struct Tally([Slice; SLICES as usize]);

#[derive(Debug, Default)]
struct Slice {
    /// Which stretch of time it counts; 0 for none yet.
    number: AtomicU64,
    attempts: AtomicU32,
    answered: AtomicU32,
    effective: AtomicU32,
    pdds: AtomicU32,
    talks: AtomicU32,
    pdd_ms: AtomicU64,
    talk_ms: AtomicU64,
}

impl Tally {
    pub(super) fn attempt_ended(&self, ended: Ended, window: Duration, now: Instant) {
        let slice = self.slice(window, now);
        let one = |count: &AtomicU32, is: bool| {
            count.fetch_add(u32::from(is), Ordering::Relaxed);
        };
        one(&slice.attempts, true);
        one(&slice.answered, ended.is_answer());
        one(&slice.effective, ended.is_effective());
        if let Some(ms) = ended.pdd_ms {
            one(&slice.pdds, true);
            slice.pdd_ms.fetch_add(ms.into(), Ordering::Relaxed);
        }
    }

    pub(super) fn talk_ended(&self, talk: Duration, window: Duration, now: Instant) {
        let slice = self.slice(window, now);
        let ms = u64::try_from(talk.as_millis()).unwrap_or(u64::MAX);
        slice.talks.fetch_add(1, Ordering::Relaxed);
        slice.talk_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) fn sums(&self, window: Duration, now: Instant) -> Sums {
        let current = number(window, now);
        let mut sums = Sums::default();
        for slice in &self.0 {
            let number = slice.number.load(Ordering::Relaxed);
            if number > current || number + SLICES <= current {
                continue;
            }
            let of = |count: &AtomicU32| count.load(Ordering::Relaxed);
            sums.attempts += of(&slice.attempts);
            sums.answered += of(&slice.answered);
            sums.effective += of(&slice.effective);
            sums.pdds += of(&slice.pdds);
            sums.talks += of(&slice.talks);
            sums.pdd_ms += slice.pdd_ms.load(Ordering::Relaxed);
            sums.talk_ms += slice.talk_ms.load(Ordering::Relaxed);
        }
        sums
    }

    fn slice(&self, window: Duration, now: Instant) -> &Slice {
        let number = number(window, now);
        let place = usize::try_from(number % SLICES).expect("a remainder below 12 fits a usize");
        let slice = &self.0[place];
        if slice.number.swap(number, Ordering::Relaxed) != number {
            slice.empty();
        }
        slice
    }
}

impl Slice {
    fn empty(&self) {
        let counts = [
            &self.attempts,
            &self.answered,
            &self.effective,
            &self.pdds,
            &self.talks,
        ];
        for count in counts {
            count.store(0, Ordering::Relaxed);
        }
        self.pdd_ms.store(0, Ordering::Relaxed);
        self.talk_ms.store(0, Ordering::Relaxed);
    }
}

/// The stretch of time that `now` is in, from 12 on, so that a slice without one is never current.
fn number(window: Duration, now: Instant) -> u64 {
    let slice = u64::try_from(window.as_micros()).unwrap_or(u64::MAX) / SLICES;
    now.as_micros() / slice.max(1) + SLICES
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Ended, Tally};
    use crate::time::Instant;

    const WINDOW: Duration = Duration::from_secs(12);

    fn at(s: u64) -> Instant {
        Instant::from_micros(s * 1_000_000)
    }

    fn ended(code: u16, pdd_ms: Option<u32>) -> Ended {
        Ended { code, pdd_ms }
    }

    /// F14: shares and means over the window, and nothing of what is older.
    #[test]
    fn window_slides() {
        let tally = Tally::default();
        let end = |code, pdd, s| tally.attempt_ended(ended(code, pdd), WINDOW, at(s));
        let empty = tally.sums(WINDOW, at(0));
        assert_eq!((empty.asr_permille(), empty.ner_permille()), (1_000, 1_000));
        assert_eq!(empty.acd_ms(), None);
        end(200, Some(1_000), 0);
        end(503, None, 1);
        end(486, Some(3_000), 2);
        end(500, None, 11);
        tally.talk_ended(Duration::from_secs(90), WINDOW, at(11));
        let sums = tally.sums(WINDOW, at(11));
        assert_eq!((sums.asr_permille(), sums.ner_permille()), (250, 500));
        assert_eq!((sums.pdd_mean_ms(), sums.acd_ms()), (2_000, Some(90_000)));
        let sums = tally.sums(WINDOW, at(13));
        assert_eq!((sums.attempts, sums.effective), (2, 1), "two have left");
        end(200, None, 14);
        assert_eq!(
            tally.sums(WINDOW, at(14)).attempts,
            2,
            "a slice counts anew"
        );
        assert_eq!(tally.sums(WINDOW, at(40)).attempts, 0);
    }

    /// F14: what the called side did is not the network's fault (ITU-T E.425).
    #[test]
    fn effectiveness_looks_at_the_network() {
        for code in [200, 302, 404, 480, 484, 486, 600, 603] {
            assert!(ended(code, None).is_effective(), "{code}");
        }
        for code in [401, 403, 408, 487, 488, 500, 502, 503, 504] {
            assert!(!ended(code, None).is_effective(), "{code}");
        }
        assert!(
            ended(408, Some(90)).is_effective(),
            "it rang, and nobody was in"
        );
    }
}
