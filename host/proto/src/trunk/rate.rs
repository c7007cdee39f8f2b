//! How fast new calls may come: a token bucket that all shards share.
//!
//! Kept as the moment at which the bucket will be full again (GCRA, ITU-T I.371): one number that is
//! compared and replaced at once, so that shards never wait for each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Instant;

/// New calls a second, and how many may come at once after a quiet time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Sustained, at least 1.
    pub per_second: u32,
    /// At once, at least 1.
    pub burst: u32,
}

/// The rates of one trunk; no limit where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// Both directions together.
    pub both: Option<Rate>,
    /// Calls that come in on it.
    pub incoming: Option<Rate>,
    /// Calls that go out on it.
    pub outgoing: Option<Rate>,
}

impl Rate {
    /// Nanoseconds until another token is there.
    fn token_ns(self) -> u64 {
        1_000_000_000 / u64::from(self.per_second.max(1))
    }
}

/// The tokens of one rate: the nanosecond at which all of them are back.
#[derive(Debug, Default)]
pub(super) struct Bucket(AtomicU64);

impl Bucket {
    /// Takes a token, or says how long it will be until there is one.
    pub(super) fn take(&self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let now = now.as_micros().saturating_mul(1_000);
        let token = rate.token_ns();
        let allowance = token.saturating_mul(u64::from(rate.burst.max(1)) - 1);
        let mut wait = 0;
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                let full_at = full_at.max(now);
                wait = (full_at - now).saturating_sub(allowance);
                (wait == 0).then(|| full_at.saturating_add(token))
            });
        match taken {
            Ok(_) => Ok(()),
            Err(_) => Err(Duration::from_nanos(wait)),
        }
    }

    /// Puts a token back that was just taken.
    pub(super) fn give_back(&self, rate: Rate) {
        self.0.fetch_sub(rate.token_ns(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Rate};
    use crate::time::Instant;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000 + ms * 1_000)
    }

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second, burst }
    }

    /// F16: a burst passes, then the sustained rate; a quiet time fills no more than the burst.
    #[test]
    fn burst_then_rate() {
        let (bucket, rate) = (Bucket::default(), rate(10, 3));
        let take = |ms| bucket.take(rate, at(ms)).is_ok();
        assert_eq!([0, 0, 0, 0].map(take), [true, true, true, false]);
        assert_eq!(
            [99, 100, 150, 200, 299].map(take),
            [false, true, false, true, false]
        );
        assert_eq!([60_000; 5].map(take), [true, true, true, false, false]);
    }

    /// F16: who is refused learns when a token will be there, and takes none.
    #[test]
    fn wait_is_told() {
        let (bucket, rate) = (Bucket::default(), rate(2, 1));
        assert_eq!(bucket.take(rate, at(0)), Ok(()));
        let wait = |ms| bucket.take(rate, at(ms)).expect_err("empty").as_millis();
        assert_eq!([0, 100, 100, 499].map(wait), [500, 400, 400, 1]);
        assert_eq!(bucket.take(rate, at(500)), Ok(()));
        bucket.give_back(rate);
        assert_eq!(
            bucket.take(rate, at(500)),
            Ok(()),
            "put back, and taken again"
        );
        assert!(bucket.take(rate, at(500)).is_err());
    }

    /// F16: two rates that change at a reload go on from what was taken.
    #[test]
    fn another_rate_goes_on() {
        let bucket = Bucket::default();
        let slow = rate(1, 1);
        assert!(bucket.take(slow, at(0)).is_ok());
        assert!(
            bucket.take(rate(100, 1), at(999)).is_err(),
            "the second is not over"
        );
        assert!(
            bucket.take(rate(100, 200), at(0)).is_ok(),
            "a larger burst is there at once"
        );
    }
}
