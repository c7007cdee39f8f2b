//! All timers of a shard in one ordered queue.
//!
//! An owner keeps its own deadline and at most one live entry here (its [`Alarm`]); a deadline that
//! moves later costs nothing until the entry comes up. Entries of owners that are gone are ignored.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::call::CallKey;
use crate::io::TrunkId;
use crate::time::Instant;
use crate::transaction::{ClientKey, ServerKey};

/// How long a call sleeps at most. A policy may let a call last for days, and most calls end in
/// minutes: without this, each would leave an entry behind for the rest of those days.
pub(crate) const NAP_MAX: Duration = Duration::from_secs(300);

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum TimerOwner {
    Client(ClientKey),
    Server(ServerKey),
    Call(CallKey),
    Trunk(TrunkId),
    Registration(TrunkId),
}

/// The entry that an owner has in the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alarm(Option<Instant>);

impl Alarm {
    /// True if an entry that came up at `at` is this one; it is then used up.
    pub(crate) fn take(&mut self, at: Instant) -> bool {
        let mine = self.0 == Some(at);
        if mine {
            self.0 = None;
        }
        mine
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, TimerOwner)>>,
}

impl Timers {
    /// Makes sure that `owner` is woken at `deadline` or before.
    pub(crate) fn ensure(
        &mut self,
        owner: TimerOwner,
        alarm: &mut Alarm,
        deadline: Option<Instant>,
    ) {
        let Some(deadline) = deadline else { return };
        if alarm.0.is_none_or(|armed| armed > deadline) {
            alarm.0 = Some(deadline);
            self.heap.push(Reverse((deadline, owner)));
        }
    }

    /// When the next entry comes up; it may turn out to be stale.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next entry that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, TimerOwner)> {
        let due = self.next().is_some_and(|at| at <= now);
        due.then(|| self.heap.pop())
            .flatten()
            .map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::{Alarm, Instant, TimerOwner, Timers};
    use crate::call::CallKey;

    const fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// When the owner is woken, until nothing is left, and which of these times were its own.
    fn wakes(timers: &mut Timers, alarm: &mut Alarm) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| timers.pop_due(at(u64::MAX / 1000)))
            .map(|(due, _)| (due.as_micros() / 1000, alarm.take(due)))
            .collect()
    }

    #[test]
    fn an_owner_is_woken_at_its_earliest_deadline() {
        let owner = TimerOwner::Call(CallKey::default());
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.ensure(owner, &mut alarm, None);
        assert_eq!(timers.next(), None);
        timers.ensure(owner, &mut alarm, Some(at(50)));
        timers.ensure(owner, &mut alarm, Some(at(70)));
        assert_eq!(timers.next(), Some(at(50)), "later costs nothing");
        timers.ensure(owner, &mut alarm, Some(at(20)));
        assert_eq!(timers.pop_due(at(19)), None);
        assert_eq!(wakes(&mut timers, &mut alarm), [(20, true), (50, false)]);
        timers.ensure(owner, &mut alarm, Some(at(70)));
        assert_eq!(wakes(&mut timers, &mut alarm), [(70, true)]);
    }

    #[test]
    fn owners_are_woken_in_the_order_of_time() {
        let owner = TimerOwner::Call(CallKey::default());
        let mut timers = Timers::default();
        for ms in [30, 10, 20, 10] {
            timers.ensure(owner, &mut Alarm::default(), Some(at(ms)));
        }
        let order = std::iter::from_fn(|| timers.pop_due(at(25)));
        assert_eq!(
            order.map(|(due, _)| due).collect::<Vec<_>>(),
            [at(10), at(10), at(20)]
        );
        assert_eq!(timers.next(), Some(at(30)));
    }
}
