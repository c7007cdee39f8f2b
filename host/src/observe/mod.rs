//! What the outside learns: each fact that a machine states becomes, once and here, a number, a log
//! line and, for a call that ended, a record. Never changes what happens to a call.

pub mod cdr;
pub mod journal;
pub mod log;
pub mod metrics;
mod stderr;

use std::sync::Arc;

use intertrunk_proto::{Event, Snapshot};

use cdr::RecordQueue;
use journal::JournalQueue;
use metrics::{Count, Counters};

/// The observer of one shard.
#[derive(Debug)]
pub struct Observer {
    counters: Arc<Counters>,
    records: RecordQueue,
    journal: JournalQueue,
}

impl Observer {
    /// One that counts into `counters`.
    pub fn new(counters: Arc<Counters>, records: RecordQueue, journal: JournalQueue) -> Observer {
        Observer {
            counters,
            records,
            journal,
        }
    }

    /// Its counters, for what the shell itself counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Where decisions go.
    pub fn journal(&self) -> &JournalQueue {
        &self.journal
    }

    /// Takes note of a fact. Counted first: who has read of it in the log finds it counted.
    pub fn note(&self, event: Event, snapshot: &Snapshot) {
        self.count(&event);
        log::line(&event, snapshot);
        if let Event::CallEnded(record) = event {
            self.records.put(Arc::from(record));
        }
    }

    fn count(&self, event: &Event) {
        let counters = &*self.counters;
        match event {
            Event::CallStarted { .. } => counters.add(Count::CallsStarted),
            Event::Decided { fault, refused, .. } => {
                counters.add(Count::Decisions);
                counters.add_many(Count::CandidatesRefused, refused.len() as u64);
                if let Some(fault) = fault {
                    counters.add(fault.into());
                }
            }
            Event::AttemptStarted { .. } => counters.add(Count::AttemptsStarted),
            Event::AttemptFailed { .. } => counters.add(Count::AttemptsFailed),
            Event::CallAnswered { .. } => counters.add(Count::CallsAnswered),
            Event::Planned { .. } | Event::CallTransferred { .. } => {}
            Event::CallEnded(record) => counters.add(Count::ended(record.final_code)),
            Event::Refused { .. } => counters.add(Count::RequestsRefused),
            Event::Shed { load, .. } => counters.add((*load).into()),
            Event::TrunkHealth { health, .. } => counters.add(Count::trunk_is(*health)),
            Event::Registration { how, .. } => counters.add(Count::registered(*how)),
            Event::TrunkNearLimit { near, .. } => {
                counters.add_many(Count::TrunkNearLimit, (*near).into());
            }
            Event::Dropped { cause, .. } => counters.add((*cause).into()),
            Event::Challenged { .. } => counters.add(Count::Challenges),
            Event::WrongCredentials { .. } => counters.add(Count::WrongCredentials),
            Event::LateAnswer => counters.add(Count::LateAnswers),
            Event::Retransmitted { .. } => counters.add(Count::Retransmissions),
        }
    }
}
