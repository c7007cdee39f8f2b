//! When a drained service may leave.
//!
//! It may when nothing is left to do. A call that has ended leaves transactions behind for up to 32
//! seconds (RFC 3261 timers H, J and K), to answer retransmissions; of those it waits [`LINGER`]
//! only, in which a peer that did not hear the end of its call has sent three of them.

use std::time::Duration;

use intertrunk_proto::Instant;

use crate::shard::Pulse;

/// The longest that a message stays in the network (T4, RFC 3261 §17.1.2.2).
const LINGER: Duration = Duration::from_secs(5);

/// A drain under way.
#[derive(Clone, Copy, Default, Debug)]
pub struct Drain {
    without_calls_since: Option<Instant>,
}

impl Drain {
    /// Whether the service may leave, as the shards are at `now`.
    pub fn is_over(&mut self, shards: &[Pulse], now: Instant) -> bool {
        if shards.iter().any(|shard| shard.calls > 0) {
            self.without_calls_since = None;
            return false;
        }
        let since = *self.without_calls_since.get_or_insert(now);
        now.since(since) >= LINGER || shards.iter().all(|shard| shard.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn shards(calls: usize, idle: bool) -> [Pulse; 2] {
        [
            Pulse {
                shard: 0,
                calls: 0,
                held: [0; 4],
                idle: true,
            },
            Pulse {
                shard: 1,
                calls,
                held: [0; 4],
                idle,
            },
        ]
    }

    #[test]
    fn leaves_at_once_when_nothing_is_left() {
        assert!(Drain::default().is_over(&shards(0, true), at(0)));
    }

    #[test]
    fn never_leaves_a_call() {
        let mut drain = Drain::default();
        for hour in 0..24 {
            assert!(!drain.is_over(&shards(1, false), at(hour * 3600)));
        }
    }

    #[test]
    fn answers_retransmissions_for_a_while() {
        let mut drain = Drain::default();
        assert!(!drain.is_over(&shards(0, false), at(100)));
        assert!(!drain.is_over(&shards(0, false), at(104)));
        assert!(drain.is_over(&shards(0, false), at(105)));
    }

    #[test]
    fn the_while_begins_with_the_last_call() {
        let mut drain = Drain::default();
        assert!(!drain.is_over(&shards(0, false), at(100)));
        assert!(!drain.is_over(&shards(1, false), at(104)));
        assert!(!drain.is_over(&shards(0, false), at(106)));
        assert!(drain.is_over(&shards(0, false), at(111)));
    }
}
