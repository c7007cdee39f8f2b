//! All timers of a shard in one ordered queue.
//!
//! An owner keeps its own deadline and at most one live entry here (its [`Alarm`]); a deadline that
//! moves later costs nothing until the entry comes up. Entries of owners that are gone are ignored.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::call::CallKey;
use crate::time::Instant;
use crate::transaction::{ClientKey, ServerKey};

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum TimerOwner {
    Client(ClientKey),
    Server(ServerKey),
    Call(CallKey),
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
