//! A meter: how many calls a key has had lately, how many are up, how long they have talked, and what
//! that has cost.
//!
//! "Lately" is a window that moves in [`STEPS`] steps: what happened in it counts for the whole window,
//! and for at most a step longer. Talk counts while it goes on, in the step that it falls into. Money is
//! integers, so that no sum drifts. A key is forgotten when nothing of it is left in the window; while a
//! call of it is up it never is.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Instant;

/// Steps in which a window moves.
const STEPS: u64 = 60;
/// Bytes of a key that count: longer ones with the same beginning are one key.
const KEY_BYTES_MAX: usize = 128;
/// Memory of one key at most: its text, its steps, and its places in two maps.
pub const KEY_MEMORY: usize = 2048;
/// Millionths that make one unit of money.
const MILLIONTHS: u64 = 1_000_000;
/// Digits before the point of a price.
const PRICE_DIGITS_MAX: usize = 6;
const MINUTE_MS: u128 = 60_000;

/// What a minute of talk costs, in millionths of whatever unit the prices are in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Price(u64);

impl Price {
    /// Reads digits with a point, such as `0.012`. Digits behind the sixth after the point are nothing.
    pub fn read(text: &str) -> Option<Price> {
        let (whole, parts) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if !digits(whole) || !digits(parts) || whole.len() > PRICE_DIGITS_MAX {
            return None;
        }
        let parts: String = parts.chars().chain("000000".chars()).take(6).collect();
        let (whole, parts): (u64, u64) = (whole.parse().ok()?, parts.parse().ok()?);
        Some(Price(whole * MILLIONTHS + parts))
    }

    /// What two legs cost together.
    #[must_use]
    pub fn and(self, other: Price) -> Price {
        Price(self.0.saturating_add(other.0))
    }
}

/// How a meter counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeterRules {
    /// How far back is looked.
    pub window: Duration,
    /// Keys that are remembered.
    pub keys_max: usize,
}

/// What a meter says of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Calls that began in the window.
    pub calls: u64,
    /// Calls that are up, whenever they began.
    pub active: u32,
    /// Milliseconds of talk in the window.
    pub millis: u64,
    /// Millionths that the talk in the window has cost.
    pub spend: u64,
}

/// The answer to a look-up: `calls=12 active=2 seconds=3600 spend=4.250000`.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, units) = (self.millis / 1000, self.spend / MILLIONTHS);
        let (calls, active, parts) = (self.calls, self.active, self.spend % MILLIONTHS);
        write!(
            f,
            "calls={calls} active={active} seconds={seconds} spend={units}.{parts:06}"
        )
    }
}

/// What happened in one step.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    number: u32,
    calls: u32,
    millis: u64,
    /// Millionths a minute, times milliseconds.
    cost: u64,
}

/// What is known of a key.
#[derive(Debug, Default)]
struct Account {
    active: u32,
    talking: u32,
    /// Prices of those that talk, together.
    rate: u64,
    /// Talk is counted until then, in milliseconds.
    settled: u64,
    /// When the last call ended; its place among those that may be forgotten.
    quiet_since: u64,
    steps: VecDeque<Step>,
}

/// The counts of all keys.
#[derive(Debug)]
pub struct Meter {
    rules: MeterRules,
    step_ms: u64,
    accounts: HashMap<Arc<str>, Account>,
    /// Keys without a call, those that have had none for longest first.
    quiet: BTreeSet<(u64, Arc<str>)>,
}

impl Meter {
    /// One that has counted nothing.
    pub fn new(rules: MeterRules) -> Meter {
        let window = u64::try_from(rules.window.as_millis()).unwrap_or(u64::MAX);
        Meter {
            rules,
            step_ms: window.div_ceil(STEPS).max(1),
            accounts: HashMap::new(),
            quiet: BTreeSet::new(),
        }
    }

    /// A call of this key begins. False if it cannot be counted: each key that there is room for has a
    /// call.
    #[must_use]
    pub fn begins(&mut self, key: &str, now: Instant) -> bool {
        self.forget_old(now);
        let key = beginning(key);
        if !self.accounts.contains_key(key) {
            if self.accounts.len() >= self.rules.keys_max {
                let Some((_, oldest)) = self.quiet.pop_first() else {
                    return false;
                };
                self.accounts.remove(&oldest);
            }
            self.accounts.insert(key.into(), Account::default());
        }
        let Some((key, account)) = entry(&mut self.accounts, key) else {
            return false;
        };
        if account.active == 0 {
            self.quiet.remove(&(account.quiet_since, key));
        }
        account.active += 1;
        account.counts_call(millis(now), self.step_ms);
        true
    }

    /// A call that counts here already becomes another one, by a transfer.
    pub fn begins_again(&mut self, key: &str, now: Instant) {
        if let Some(account) = self.accounts.get_mut(beginning(key)) {
            account.counts_call(millis(now), self.step_ms);
        }
    }

    /// A call talks from now on at the price `after`; at `before` until now, if it talked.
    pub fn talks(&mut self, key: &str, before: Option<Price>, after: Price, now: Instant) {
        if let Some(account) = self.accounts.get_mut(beginning(key)) {
            account.settle(millis(now), self.step_ms);
            account.talking += u32::from(before.is_none());
            account.rate -= before.unwrap_or_default().0;
            account.rate += after.0;
        }
    }

    /// A call ends that has talked at this price, if it has.
    pub fn ends(&mut self, key: &str, talked: Option<Price>, now: Instant) {
        let Some((key, account)) = entry(&mut self.accounts, beginning(key)) else {
            return;
        };
        account.settle(millis(now), self.step_ms);
        account.talking -= u32::from(talked.is_some());
        account.rate -= talked.unwrap_or_default().0;
        account.active -= 1;
        if account.active == 0 {
            account.quiet_since = millis(now);
            self.quiet.insert((account.quiet_since, key));
        }
    }

    /// What is known of a key; of one that is not known, that there was nothing.
    pub fn read(&mut self, key: &str, now: Instant) -> Reading {
        let Some(account) = self.accounts.get_mut(beginning(key)) else {
            return Reading::default();
        };
        account.settle(millis(now), self.step_ms);
        account.trim(millis(now) / self.step_ms);
        let cost: u128 = account.steps.iter().map(|it| u128::from(it.cost)).sum();
        Reading {
            calls: account.steps.iter().map(|it| u64::from(it.calls)).sum(),
            active: account.active,
            millis: account.steps.iter().map(|it| it.millis).sum(),
            spend: u64::try_from(cost / MINUTE_MS).unwrap_or(u64::MAX),
        }
    }

    /// How many keys are remembered.
    pub fn keys(&mut self, now: Instant) -> usize {
        self.forget_old(now);
        self.accounts.len()
    }

    fn forget_old(&mut self, now: Instant) {
        let step = millis(now) / self.step_ms;
        while let Some((since, _)) = self.quiet.first()
            && since / self.step_ms + STEPS < step
            && let Some((_, key)) = self.quiet.pop_first()
        {
            self.accounts.remove(&key);
        }
    }
}

impl Account {
    fn counts_call(&mut self, now: u64, step_ms: u64) {
        // Steps are in order: the talk before now comes first.
        self.settle(now, step_ms);
        self.step(now, step_ms).calls += 1;
    }

    /// Counts the talk since the last time, each part in its step.
    fn settle(&mut self, now: u64, step_ms: u64) {
        // Longer ago than the window nothing counts.
        let mut at = self.settled.max(now.saturating_sub((STEPS + 1) * step_ms));
        while self.talking > 0 && at < now {
            let end = now.min((at / step_ms + 1) * step_ms);
            let (talking, rate) = (u64::from(self.talking), self.rate);
            let step = self.step(at, step_ms);
            step.millis += talking * (end - at);
            step.cost = step.cost.saturating_add(rate.saturating_mul(end - at));
            at = end;
        }
        self.settled = now;
    }

    /// The step of this time, which is the last one, or a new one.
    fn step(&mut self, at: u64, step_ms: u64) -> &mut Step {
        let number = at / step_ms;
        self.trim(number);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        if self.steps.back().is_none_or(|last| last.number < number) {
            self.steps.push_back(Step {
                number,
                ..Step::default()
            });
        }
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// Forgets what has left the window.
    fn trim(&mut self, step: u64) {
        while let Some(first) = self.steps.front()
            && u64::from(first.number) + STEPS < step
        {
            self.steps.pop_front();
        }
    }
}

/// A key's account, with the text that both maps share.
fn entry<'m>(
    accounts: &'m mut HashMap<Arc<str>, Account>,
    key: &str,
) -> Option<(Arc<str>, &'m mut Account)> {
    let shared = Arc::clone(accounts.get_key_value(key)?.0);
    let account = accounts.get_mut(key)?;
    Some((shared, account))
}

fn beginning(key: &str) -> &str {
    &key[..key.floor_char_boundary(KEY_BYTES_MAX)]
}

fn millis(now: Instant) -> u64 {
    now.as_micros() / 1000
}

#[cfg(test)]
mod tests;
