//! A share of the new calls for a generation that is not live yet, and when that ends by itself.
//!
//! Who belongs to the share depends on the caller, the trunk or the number, never on chance: the
//! same caller meets the same policy call after call. What comes of the calls is counted for both
//! sides over the same time, so that a bad hour of a carrier is not blamed on the newcomer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use intertrunk_proto::Record;
use intertrunk_proto::ask::Query;
use serde::{Deserialize, Serialize};

use crate::generation::{Generation, GenerationInfo};

/// What the calls of one share have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// Calling number.
    #[default]
    Caller,
    /// Ingress trunk.
    Trunk,
    /// Called number.
    Number,
}

/// How large a share is, and what ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryRules {
    /// Share of the new calls, 1 to 100.
    pub percent: u8,
    /// Whose calls.
    pub sticky: Sticky,
    /// Decisions of it that may fail or be refused by the host: 2. One more ends it.
    pub max_faults: u64,
    /// Ended calls of each side before their outcomes are compared: 20.
    pub min_calls: u64,
    /// How many more of a thousand calls may end with 408 or 5xx than of the live generation: 100.
    pub failed_rise_permille: u64,
    /// How many fewer of a thousand calls may be answered: 200.
    pub answered_drop_permille: u64,
    /// How much longer callers may wait for ringing on average, milliseconds: 2000.
    pub pdd_rise_ms: u64,
}

impl Default for CanaryRules {
    fn default() -> Self {
        CanaryRules {
            percent: 5,
            sticky: Sticky::default(),
            max_faults: 2,
            min_calls: 20,
            failed_rise_permille: 100,
            answered_drop_permille: 200,
            pdd_rise_ms: 2000,
        }
    }
}

/// A share under way.
#[derive(Debug)]
pub(crate) struct Canary {
    pub generation: Arc<Generation>,
    pub rules: CanaryRules,
    newcomer: Tally,
    live: Tally,
}

/// What came of one side's decisions and calls.
#[derive(Debug, Default)]
struct Tally {
    decisions: AtomicU64,
    faults: AtomicU64,
    calls: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    rung: AtomicU64,
    pdd_ms: AtomicU64,
}

/// What came of one side's decisions and calls, as people see it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Score {
    /// Decisions.
    pub decisions: u64,
    /// Those that failed, or that the host refused.
    pub faults: u64,
    /// Calls that ended.
    pub calls: u64,
    /// Those that had been answered.
    pub answered: u64,
    /// Those that ended with 408 or 5xx.
    pub failed: u64,
    /// Average wait for ringing, milliseconds; `None` if nothing rang.
    pub pdd_ms: Option<u64>,
}

/// A share as people see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CanaryStatus {
    /// Who decides for the share.
    pub generation: GenerationInfo,
    /// How large it is, and what ends it.
    #[serde(flatten)]
    pub rules: CanaryRules,
    /// What came of the share.
    pub canary: Score,
    /// What came of the other calls meanwhile.
    pub live: Score,
}

/// A share that ended by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Withdrawn {
    /// Why.
    pub reason: String,
    /// What there was.
    #[serde(flatten)]
    pub canary: CanaryStatus,
}

impl Canary {
    pub fn new(generation: Arc<Generation>, rules: CanaryRules) -> Canary {
        Canary {
            generation,
            rules,
            newcomer: Tally::default(),
            live: Tally::default(),
        }
    }

    /// Whether the call belongs to the share.
    pub fn takes(&self, query: &Query) -> bool {
        let call = &query.call;
        let mut hasher = DefaultHasher::new();
        // Another module tries its luck with other callers.
        self.generation.info().sha256.hash(&mut hasher);
        match self.rules.sticky {
            Sticky::Caller => call.caller.user.hash(&mut hasher),
            Sticky::Trunk => call.ingress.hash(&mut hasher),
            Sticky::Number => call.callee.user.hash(&mut hasher),
        }
        hasher.finish() % 100 < u64::from(self.rules.percent)
    }

    /// Counts a decision of a new call.
    pub fn decided(&self, generation: u64) {
        let tally = self.of(generation);
        tally.decisions.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failed one; why the share is over, if it is.
    pub fn faulted(&self, generation: u64) -> Option<String> {
        let faults = self.of(generation).faults.fetch_add(1, Ordering::Relaxed) + 1;
        let is_over = self.is_newcomer(generation) && faults > self.rules.max_faults;
        is_over.then(|| format!("{faults} of its decisions failed"))
    }

    /// Counts an ended call; why the share is over, if it is.
    pub fn ended(&self, record: &Record) -> Option<String> {
        let tally = self.of(record.generation);
        tally.calls.fetch_add(1, Ordering::Relaxed);
        let count = |it: &AtomicU64, is: bool| it.fetch_add(is.into(), Ordering::Relaxed);
        count(&tally.answered, record.answered_at.is_some());
        let is_failed = record.final_code == 408 || record.final_code / 100 == 5;
        count(&tally.failed, is_failed);
        let rang = record.attempts.iter().find_map(|attempt| attempt.pdd_ms);
        if let Some(pdd_ms) = rang {
            tally.rung.fetch_add(1, Ordering::Relaxed);
            tally.pdd_ms.fetch_add(pdd_ms.into(), Ordering::Relaxed);
        }
        self.verdict()
    }

    pub fn status(&self) -> CanaryStatus {
        CanaryStatus {
            generation: self.generation.info().clone(),
            rules: self.rules,
            canary: self.newcomer.score(),
            live: self.live.score(),
        }
    }

    fn verdict(&self) -> Option<String> {
        let rules = &self.rules;
        let (new, old) = (self.newcomer.score(), self.live.score());
        if new.calls.min(old.calls) < rules.min_calls {
            return None;
        }
        let permille = |part: u64, of: &Score| part * 1000 / of.calls;
        let (failed, usual) = (permille(new.failed, &new), permille(old.failed, &old));
        if failed > usual + rules.failed_rise_permille {
            return Some(format!(
                "{failed} of 1000 calls fail, and {usual} of the live generation's"
            ));
        }
        let (answered, usual) = (permille(new.answered, &new), permille(old.answered, &old));
        if answered + rules.answered_drop_permille < usual {
            return Some(format!(
                "{answered} of 1000 calls are answered, and {usual} of the live generation's"
            ));
        }
        match (new.pdd_ms, old.pdd_ms) {
            (Some(waits), Some(usual)) if waits > usual + rules.pdd_rise_ms => Some(format!(
                "callers wait {waits} ms for ringing, and {usual} ms with the live generation"
            )),
            _ => None,
        }
    }

    fn of(&self, generation: u64) -> &Tally {
        if self.is_newcomer(generation) {
            &self.newcomer
        } else {
            &self.live
        }
    }

    fn is_newcomer(&self, generation: u64) -> bool {
        generation == self.generation.info().generation
    }
}

impl Tally {
    fn score(&self) -> Score {
        let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Score {
            decisions: read(&self.decisions),
            faults: read(&self.faults),
            calls: read(&self.calls),
            answered: read(&self.answered),
            failed: read(&self.failed),
            pdd_ms: read(&self.pdd_ms).checked_div(read(&self.rung)),
        }
    }
}
