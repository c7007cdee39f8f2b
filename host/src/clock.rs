//! The one place of the running service that reads a clock.
//!
//! Machines live in [`Instant`]s, microseconds since the node started. People read calendar time:
//! [`Calendar`] ties the two together at one moment, so that the times of one record agree with
//! each other even when the wall clock is set between two records.

use std::time::{Duration, Instant as Monotonic, SystemTime};

use intertrunk_proto::Instant;
use jiff::{SignedDuration, Timestamp};

/// The node's clock. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Monotonic,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Clock {
        Clock {
            origin: Monotonic::now(),
        }
    }

    /// Time since the start.
    pub fn now(&self) -> Instant {
        let micros = u64::try_from(self.origin.elapsed().as_micros());
        Instant::from_micros(micros.expect("half a million years fit into 64 bits of microseconds"))
    }

    /// The wall clock tied to this one, as of this moment.
    pub fn calendar(&self) -> Calendar {
        Calendar {
            now: self.now(),
            wall: Timestamp::now(),
        }
    }
}

/// Milliseconds since 1970 UTC; zero if the wall clock stands before that.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    now: Instant,
    wall: Timestamp,
}

impl Calendar {
    /// What the wall clock showed at `at`, or will show.
    pub fn at(&self, at: Instant) -> Timestamp {
        let micros = |t: Instant| i64::try_from(t.as_micros()).unwrap_or(i64::MAX);
        let offset = SignedDuration::from_micros(micros(at) - micros(self.now));
        self.wall.saturating_add(offset).unwrap_or(self.wall)
    }

    /// Seconds from the node's start to this moment.
    pub fn uptime(&self) -> Duration {
        self.now.since(Instant::default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_calendar_tells_past_and_future() {
        let wall: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let calendar = Calendar {
            now: Instant::from_micros(90_000_000),
            wall,
        };
        let shown = |micros| format!("{:.3}", calendar.at(Instant::from_micros(micros)));
        assert_eq!(shown(0), "2026-03-01T11:58:30.000Z");
        assert_eq!(shown(90_001_500), "2026-03-01T12:00:00.001Z");
        assert_eq!(calendar.uptime(), Duration::from_secs(90));
    }

    #[test]
    fn the_clock_never_goes_back() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
    }
}
