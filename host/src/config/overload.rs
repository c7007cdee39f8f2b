//! `[overload]` and `[limits]`: when a node refuses new calls.
//!
//! The file speaks of the node; machines are told each shard's even share. A budget of memory says
//! how many calls there may be; where both are given they must agree.

use std::time::Duration;

use intertrunk_proto::{Limits, Overload};

use super::read::{At, Section, Source};
use super::value;
use crate::memory::{Held, Memory, in_words};

/// `[overload]`
#[derive(Debug, Default)]
pub struct OverloadEntry {
    calls_per_second: Option<u32>,
    burst: Option<u32>,
    lag: Option<Duration>,
    retry_after_min: Option<Duration>,
    retry_after_max: Option<Duration>,
}

/// `[limits]`
#[derive(Debug, Default)]
pub struct LimitsEntry {
    pub calls: Option<At<u32>>,
    pub transactions: Option<At<u32>>,
    pub memory: Option<At<usize>>,
}

/// Reads `[overload]`.
pub fn read(s: Section<'_>, source: &Source<'_>) -> OverloadEntry {
    let number = |key| s.number(key, 1..=1_000_000).map(|at| at.value);
    let seconds = |key| s.parsed(key, value::duration(1_000..=3_600_000));
    let (min, max) = (seconds("retry_after_min"), seconds("retry_after_max"));
    let entry = OverloadEntry {
        calls_per_second: number("calls_per_second"),
        burst: number("burst"),
        lag: s
            .parsed("lag", value::duration(10..=60_000))
            .map(|at| at.value),
        retry_after_min: min.map(|at| at.value),
        retry_after_max: max.as_ref().map(|at| at.value),
    };
    let usual = Overload::default();
    let least = entry
        .retry_after_min
        .unwrap_or(Duration::from_secs(usual.retry_after_min_s.into()));
    let most = entry
        .retry_after_max
        .unwrap_or(Duration::from_secs(usual.retry_after_max_s.into()));
    if least > most {
        let place = max.map_or_else(|| s.place().clone(), |at| at.place);
        let remedy = "raise `retry_after_max`, or lower `retry_after_min`";
        source.fault(&place, "is below `retry_after_min`", remedy);
    }
    s.finish();
    entry
}

/// Reads `[limits]`.
pub fn limits(s: Section<'_>) -> LimitsEntry {
    let entry = LimitsEntry {
        calls: s.number("calls", 1..=100_000_000),
        transactions: s.number("transactions", 4..=400_000_000),
        memory: s.parsed("memory", value::size(1 << 20..=1 << 44)),
    };
    s.finish();
    entry
}

impl OverloadEntry {
    /// One shard's share.
    pub fn of_shard(&self, shards: u16) -> Overload {
        let usual = Overload::default();
        let seconds = |at: Option<Duration>, usual| {
            at.map_or(usual, |d| u32::try_from(d.as_secs()).unwrap_or(u32::MAX))
        };
        let share = |n: u32| n.div_ceil(shards.max(1).into());
        let burst = self.burst.or(self.calls_per_second);
        Overload {
            calls_per_second: self.calls_per_second.map(share),
            burst: burst.map_or(usual.burst, share),
            lag_max: self.lag.unwrap_or(usual.lag_max),
            retry_after_min_s: seconds(self.retry_after_min, usual.retry_after_min_s),
            retry_after_max_s: seconds(self.retry_after_max, usual.retry_after_max_s),
        }
    }
}

impl LimitsEntry {
    /// One shard's share. Reports a budget that is not enough for what else the file asks for;
    /// `instances` are the sizes of the policies' instances, `held` is what else takes memory.
    pub fn of_shard(
        &self,
        source: &Source<'_>,
        shards: u16,
        instances: &[usize],
        held: Held,
    ) -> Limits {
        let Some(At {
            place,
            value: budget,
        }) = &self.memory
        else {
            return self.written(shards, Limits::default());
        };
        let fixed = Memory::fixed(shards, instances, held);
        let share = budget.saturating_sub(fixed) / usize::from(shards.max(1));
        let derived = Limits::within(share);
        let limits = self.written(shards, derived.unwrap_or_default());
        let needed = Memory::of(&limits, shards, instances, held).total;
        if derived.is_none() && self.calls.is_none() {
            let problem = format!(
                "leaves nothing for calls: all else takes {}",
                in_words(fixed)
            );
            source.fault(place, problem, "raise it, or lower `memory` of policies");
        } else if needed > *budget {
            let problem = format!(
                "is contradicted: these limits take up to {}",
                in_words(needed)
            );
            let remedy = "raise it, or leave out `calls` and `transactions`, which follow from it";
            source.fault(place, problem, remedy);
        }
        limits
    }

    fn written(&self, shards: u16, usual: Limits) -> Limits {
        let share = |at: &Option<At<u32>>, usual| {
            at.as_ref().map_or(usual, |at| {
                usize::try_from(at.value.div_ceil(shards.max(1).into())).unwrap_or(usize::MAX)
            })
        };
        Limits {
            calls_max: share(&self.calls, usual.calls_max),
            transactions_max: share(&self.transactions, usual.transactions_max),
            ..usual
        }
    }
}
