//! Meters: what this node itself counts of its calls, and answers when a policy inquires.
//!
//! Shared by all shards, each meter under a lock that is held for some look-ups in a map. What a call
//! counts as, its shard holds until the call has ended, in whatever way: the machine says so once of each.
//! A reload leaves a meter as it is unless its rules have changed; calls that an earlier one counted end
//! there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use intertrunk_proto::ask::{Answered, LookUp, NoAnswer, Tag};
use intertrunk_proto::meter::{Meter, MeterRules, Price};
use intertrunk_proto::{CallId, Event, Instant};

use super::source::{Kind, Source};

/// Keys that one call counts as.
const KEYS_A_CALL: usize = 16;

/// All meters of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Meters(Arc<ArcSwap<Vec<Arc<Shared>>>>);

#[derive(Debug)]
struct Shared {
    name: String,
    rules: MeterRules,
    meter: Mutex<Meter>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meters {
    /// Counts by these from now on.
    pub fn adopt(&self, sources: &[Source]) {
        let before = self.0.load();
        let meters = sources.iter().filter_map(|source| {
            let Kind::Meter(rules) = source.kind else {
                return None;
            };
            let same = |it: &&Arc<Shared>| it.name == source.name && it.rules == rules;
            Some(before.iter().find(same).map_or_else(
                || {
                    Arc::new(Shared {
                        name: source.name.clone(),
                        rules,
                        meter: Mutex::new(Meter::new(rules)),
                    })
                },
                Arc::clone,
            ))
        });
        self.0.store(Arc::new(meters.collect()));
    }

    /// Whether nobody else has to be asked for these.
    pub fn are_all(&self, look_ups: &[(LookUp, bool)]) -> bool {
        look_ups
            .iter()
            .all(|(it, is_granted)| !is_granted || self.named(&it.source).is_some())
    }

    /// Puts in what meters say, as of now. Others have said all that they do.
    pub fn answer(&self, answers: &mut [Answered], now: Instant) {
        for answer in answers {
            if answer.outcome != Err(NoAnswer::Denied)
                && let Some(meter) = self.named(&answer.source)
            {
                answer.outcome = Ok(meter.lock().read(&answer.key, now).to_string());
            }
        }
    }

    /// Each meter's name, and how many keys it remembers.
    pub fn keys(&self, now: Instant) -> Vec<(String, usize)> {
        let meters = self.0.load();
        let keys = |it: &Arc<Shared>| (it.name.clone(), it.lock().keys(now));
        meters.iter().map(keys).collect()
    }

    fn named(&self, name: &str) -> Option<Arc<Shared>> {
        let meters = self.0.load();
        meters.iter().find(|it| it.name == name).map(Arc::clone)
    }
}

/// What the calls of one shard count as.
#[derive(Debug)]
pub struct Counting {
    meters: Meters,
    calls: HashMap<CallId, Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// Each counts until the call ends.
    keys: Vec<(Arc<Shared>, String)>,
    /// What it costs, once it talks.
    price: Option<Price>,
}

impl Counting {
    /// For a shard without a call.
    pub fn new(meters: Meters) -> Counting {
        Counting {
            meters,
            calls: HashMap::new(),
        }
    }

    /// Counts what happens. Gives how many tags could not be counted, of which there is no room for
    /// more.
    pub fn note(&mut self, event: &Event, now: Instant) -> usize {
        match event {
            Event::Planned {
                call,
                tags,
                transfer,
            } => {
                if self.meters.0.load().is_empty() {
                    return 0;
                }
                let counted = self.calls.entry(*call).or_default();
                return counted.planned(&self.meters, tags, *transfer, now);
            }
            Event::CallAnswered { call, price } | Event::CallTransferred { call, price } => {
                if let Some(counted) = self.calls.get_mut(call) {
                    counted.talks(*price, now);
                }
            }
            Event::CallEnded(record) => {
                for (meter, key, price) in
                    self.calls.remove(&record.call).into_iter().flat_map(|it| {
                        it.keys
                            .into_iter()
                            .map(move |(meter, key)| (meter, key, it.price))
                    })
                {
                    meter.lock().ends(&key, price, now);
                }
            }
            _ => {}
        }
        0
    }
}

impl Counted {
    fn planned(&mut self, meters: &Meters, tags: &[Tag], transfer: bool, now: Instant) -> usize {
        let mut lost = 0;
        for tag in tags {
            let Some(meter) = meters.named(&tag.name) else {
                continue;
            };
            let is_it =
                |(it, key): &(Arc<Shared>, String)| Arc::ptr_eq(it, &meter) && *key == tag.value;
            match self.keys.iter().any(is_it) {
                true if transfer => meter.lock().begins_again(&tag.value, now),
                // Another plan of the same call.
                true => {}
                false if self.keys.len() < KEYS_A_CALL && meter.lock().begins(&tag.value, now) => {
                    if let Some(price) = self.price {
                        meter.lock().talks(&tag.value, None, price, now);
                    }
                    self.keys.push((meter, tag.value.clone()));
                }
                false => lost += 1,
            }
        }
        lost
    }

    fn talks(&mut self, price: Price, now: Instant) {
        for (meter, key) in &self.keys {
            meter.lock().talks(key, self.price, price, now);
        }
        self.price = Some(price);
    }
}
