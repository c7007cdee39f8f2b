//! Overload: when a new call is refused before anything is spent on it (RFC 3261 §21.5.4).
//!
//! ```text
//!   new INVITE ─▶ emergency? ─yes─▶ taken
//!                    │ no
//!                 calls at their limit, work waiting too long, or no token left ─▶ 503, forgotten
//!                    │ none of these
//!                  taken
//! ```
//! Looks at new calls only. Whatever belongs to a call or to a transaction that is there never comes
//! here. Of those that it refuses it remembers the latest ([`Shed`]): one that comes again is refused
//! again, for its caller may have heard the first refusal meanwhile.

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Instant;

/// Tokens are counted in parts, so that a slow rate fills smoothly.
const PARTS: u64 = 1_000_000;
/// At most so often the outside is told how many were refused.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// When a shard refuses new calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overload {
    /// New calls a second; no limit if absent.
    pub calls_per_second: Option<u32>,
    /// New calls that may come at once after a quiet time; at least 1.
    pub burst: u32,
    /// The longest that a message may have waited for the shard.
    pub lag_max: Duration,
    /// The least that a refused caller is told to wait, in seconds.
    pub retry_after_min_s: u32,
    /// The most.
    pub retry_after_max_s: u32,
}

impl Default for Overload {
    fn default() -> Self {
        Overload {
            calls_per_second: None,
            burst: 1,
            lag_max: Duration::from_secs(2),
            retry_after_min_s: 2,
            retry_after_max_s: 10,
        }
    }
}

impl Overload {
    /// How long a refused caller is told to wait: drawn, so that not all come back at once.
    pub(crate) fn retry_after_s(&self, rng: &mut Rng) -> u32 {
        let (min, max) = (self.retry_after_min_s, self.retry_after_max_s);
        let span = u64::from(max.saturating_sub(min)) + 1;
        let drawn = u32::try_from(rng.next_u64() % span).expect("the span came from a u32");
        min.saturating_add(drawn)
    }
}

/// Why a new call was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Load {
    /// As many calls or transactions are up as there may be.
    Calls,
    /// New calls come faster than they may.
    Rate,
    /// Work waits too long.
    Lag,
    /// The shard's mailbox is full.
    Mailbox,
    /// New calls of one trunk come faster than they may.
    Trunk,
}

impl Load {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Load::Calls => "calls",
            Load::Rate => "rate",
            Load::Lag => "lag",
            Load::Mailbox => "mailbox",
            Load::Trunk => "trunk",
        }
    }
}

/// How many refused requests are remembered.
const REMEMBERED: usize = 16 * 1024;
/// What that takes, once one was refused.
pub(crate) const REMEMBERED_BYTES: usize = REMEMBERED * size_of::<(u64, Instant)>();
/// For how long a request may be sent again (64·T1 of RFC 3261 §17.1.1.2), and some time on the way.
const AGAIN: Duration = Duration::from_secs(40);

/// The requests that were refused lately, by their origin (`rng::origin_of`). Each has one place; who
/// comes there later takes it, so that a flood is forgotten sooner and takes no more memory.
#[derive(Debug, Default)]
pub(crate) struct Shed(Vec<(u64, Instant)>);

impl Shed {
    pub(crate) fn remember(&mut self, origin: u64, now: Instant) {
        if self.0.is_empty() {
            self.0 = vec![(0, Instant::default()); REMEMBERED];
        }
        self.0[place_of(origin)] = (origin, now);
    }

    pub(crate) fn has(&self, origin: u64, now: Instant) -> bool {
        let place = self.0.get(place_of(origin));
        place.is_some_and(|(known, at)| *known == origin && now.since(*at) < AGAIN)
    }
}

fn place_of(origin: u64) -> usize {
    usize::try_from(origin % REMEMBERED as u64).expect("a remainder below a usize fits one")
}

/// The gate of one shard.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Tokens in parts, as of `filled`.
    tokens: u64,
    filled: Option<Instant>,
    /// What is worked on may have waited since then.
    waiting_since: Option<Instant>,
    untold: u64,
    told: Option<Instant>,
    /// What was refused.
    pub(crate) shed: Shed,
}

impl Gate {
    /// What comes next may have waited since `at`; `None` if it has not waited.
    pub(crate) fn waiting_since(&mut self, at: Option<Instant>) {
        self.waiting_since = at;
    }

    /// Whether a new call may come in; takes its token if so.
    pub(crate) fn admit(
        &mut self,
        rules: &Overload,
        has_room: bool,
        now: Instant,
    ) -> Result<(), Load> {
        if !has_room {
            return Err(Load::Calls);
        }
        let lag = self
            .waiting_since
            .map_or(Duration::ZERO, |at| now.since(at));
        if lag > rules.lag_max {
            return Err(Load::Lag);
        }
        match rules.calls_per_second {
            Some(rate) if !self.take_token(rate, rules.burst, now) => Err(Load::Rate),
            _ => Ok(()),
        }
    }

    fn take_token(&mut self, rate: u32, burst: u32, now: Instant) -> bool {
        let full = u64::from(burst.max(1)) * PARTS;
        self.tokens = match self.filled {
            None => full,
            Some(filled) => {
                let micros = u64::try_from(now.since(filled).as_micros()).unwrap_or(u64::MAX);
                let since = u64::from(rate).saturating_mul(micros);
                self.tokens.saturating_add(since).min(full)
            }
        };
        self.filled = Some(now);
        let left = self.tokens.checked_sub(PARTS);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }

    /// One more was refused. Says how many there were since the last time, once a second at most.
    pub(crate) fn refused(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        let due = self.told.is_none_or(|told| now.since(told) >= TELL_EVERY);
        due.then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, Load, Overload};
    use crate::rng::Rng;
    use crate::time::Instant;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000 + ms * 1_000)
    }

    fn rules(rate: u32, burst: u32) -> Overload {
        Overload {
            calls_per_second: Some(rate),
            burst,
            ..Overload::default()
        }
    }

    #[test]
    fn a_burst_passes_then_the_rate() {
        let (mut gate, rules) = (Gate::default(), rules(10, 3));
        let mut passes = |ms| gate.admit(&rules, true, at(ms)).is_ok();
        assert_eq!(
            [passes(0), passes(0), passes(0), passes(0)],
            [true, true, true, false]
        );
        assert_eq!([passes(99), passes(100), passes(150)], [false, true, false]);
        assert_eq!([passes(200), passes(299)], [true, false]);
        let after_quiet: Vec<bool> = (0..5).map(|_| passes(60_000)).collect();
        assert_eq!(after_quiet, [true, true, true, false, false]);
    }

    #[test]
    fn without_a_rate_no_token_is_needed() {
        let mut gate = Gate::default();
        for _ in 0..10_000 {
            assert_eq!(gate.admit(&Overload::default(), true, at(0)), Ok(()));
        }
    }

    #[test]
    fn what_waited_too_long_is_refused() {
        let (mut gate, rules) = (Gate::default(), Overload::default());
        gate.waiting_since(Some(at(0)));
        assert_eq!(gate.admit(&rules, true, at(2_000)), Ok(()));
        assert_eq!(gate.admit(&rules, true, at(2_001)), Err(Load::Lag));
        gate.waiting_since(None);
        assert_eq!(gate.admit(&rules, true, at(2_001)), Ok(()));
    }

    #[test]
    fn a_refusal_takes_no_token() {
        let (mut gate, rules) = (Gate::default(), rules(1, 1));
        assert_eq!(gate.admit(&rules, false, at(0)), Err(Load::Calls));
        assert_eq!(gate.admit(&rules, true, at(0)), Ok(()));
        assert_eq!(gate.admit(&rules, true, at(0)), Err(Load::Rate));
    }

    #[test]
    fn the_outside_is_told_once_a_second() {
        let mut gate = Gate::default();
        let told: Vec<_> = [0, 1, 999, 1_000, 1_001, 5_000]
            .into_iter()
            .filter_map(|ms| gate.refused(at(ms)))
            .collect();
        assert_eq!(told, [1, 3, 2], "each is told of once");
    }

    #[test]
    fn callers_come_back_at_different_times() {
        let mut rng = Rng::new([5; 32]);
        let rules = Overload::default();
        let mut drawn: Vec<u32> = (0..500).map(|_| rules.retry_after_s(&mut rng)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, (2..=10).collect::<Vec<_>>());
        let fixed = Overload {
            retry_after_min_s: 7,
            retry_after_max_s: 7,
            ..rules
        };
        assert_eq!(fixed.retry_after_s(&mut rng), 7);
    }
}
