//! How many calls a trunk takes, and how fast they may come.

use intertrunk_proto::trunk::{Rate, Rates};

use super::read::Section;

/// The limits of one trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capacity {
    pub calls_max: Option<u32>,
    pub calls_in_max: Option<u32>,
    pub calls_out_max: Option<u32>,
    pub reserve_emergency: u32,
    pub rates: Rates,
}

const CALLS: std::ops::RangeInclusive<i64> = 0..=u32::MAX as i64;
/// A shard takes some ten thousand calls a second at most.
const RATE: std::ops::RangeInclusive<i64> = 1..=1_000_000;

/// Reads `max_calls` and its like, `max_cps` and its like, `burst` and `reserve_emergency`.
pub fn read(s: &Section<'_>) -> Capacity {
    let [calls_max, calls_in_max, calls_out_max] = ["max_calls", "max_calls_in", "max_calls_out"]
        .map(|key| s.number(key, CALLS).map(|at| at.value));
    let reserve = s.number("reserve_emergency", CALLS).map(|at| at.value);
    if let Some(reserve) = reserve {
        let limits = [calls_max, calls_in_max, calls_out_max];
        match limits.into_iter().flatten().min() {
            None => s.has_effect_with("reserve_emergency", "`max_calls`"),
            Some(least) if reserve > 0 && reserve >= least => {
                let problem = format!("leaves ordinary calls none of {least} places");
                let remedy = "write less than `max_calls`, `max_calls_in` and `max_calls_out`";
                s.wrong("reserve_emergency", problem, remedy);
            }
            Some(_) => {}
        }
    }
    Capacity {
        calls_max,
        calls_in_max,
        calls_out_max,
        reserve_emergency: reserve.unwrap_or(0),
        rates: rates(s),
    }
}

fn rates(s: &Section<'_>) -> Rates {
    let [both, incoming, outgoing] = ["max_cps", "max_cps_in", "max_cps_out"]
        .map(|key| s.number::<u32>(key, RATE).map(|at| at.value));
    let burst = s.number::<u32>("burst", RATE).map(|at| at.value);
    if both.or(incoming).or(outgoing).is_none() {
        s.has_effect_with("burst", "`max_cps`");
    }
    let rate = |per_second: Option<u32>| {
        per_second.map(|per_second| Rate {
            per_second,
            burst: burst.unwrap_or(per_second),
        })
    };
    Rates {
        both: rate(both),
        incoming: rate(incoming),
        outgoing: rate(outgoing),
    }
}
