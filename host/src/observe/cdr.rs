//! Call records: kept for a while, given to subscribers, written as JSON Lines.
//!
//! One thread does all of it, behind a bounded queue: a slow or full disk costs records, which are
//! counted and logged, and never delays a call. Files are `cdr-YYYY-MM-DD.jsonl` by the UTC day on
//! which the call ended.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use intertrunk_proto::{CallId, Record};
use jiff::Timestamp;

use super::metrics::{Count, Counters};
use crate::admin::view::RecordView;
use crate::clock::Clock;

/// Records that may wait to be written.
pub const QUEUE_MAX: usize = 8192;
/// Records of ended calls that `why` can still explain.
pub const RECENT_MAX: usize = 1024;
/// Records that may wait for one subscriber; it misses the rest.
const SUBSCRIBER_MAX: usize = 4096;
/// What one record takes at most, with a ladder of usual length.
pub const RECORD_BYTES: usize = 4096;
/// Pause between two batches, so that a busy node wakes the thread fifty times a second and not
/// once for each call.
const GATHER: Duration = Duration::from_millis(20);

/// A shard's way to the record thread.
#[derive(Clone, Debug)]
pub struct RecordQueue {
    queue: SyncSender<Arc<Record>>,
    counters: Arc<Counters>,
}

/// The record thread, and what it keeps.
#[derive(Debug)]
pub struct RecordKeeper {
    kept: Arc<Mutex<Kept>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Kept {
    recent: VecDeque<Arc<Record>>,
    subscribers: Vec<SyncSender<Arc<Record>>>,
}

impl RecordQueue {
    /// Hands over a record; counts it as lost when the queue is full.
    pub fn put(&self, record: Arc<Record>) {
        let Err(TrySendError::Full(record) | TrySendError::Disconnected(record)) =
            self.queue.try_send(record)
        else {
            return;
        };
        self.counters.add(Count::RecordsLost);
        let lost = self.counters.read(Count::RecordsLost);
        if lost.is_power_of_two() {
            tracing::warn!(call = %record.call, lost, "call record lost: the queue to disk is full");
        }
    }
}

impl RecordKeeper {
    /// Starts the thread. Records are written into the folder `dir`, which is made if need be; none
    /// are without one. The thread ends when the last [`RecordQueue`] is gone.
    pub fn start(
        dir: Option<&Path>,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> io::Result<(RecordKeeper, RecordQueue)> {
        if let Some(dir) = dir {
            fs::create_dir_all(dir)?;
        }
        let (queue, records) = mpsc::sync_channel(QUEUE_MAX);
        let kept = Arc::<Mutex<Kept>>::default();
        let file = dir.map(|dir| DayFile {
            dir: dir.to_owned(),
            open: None,
            clock,
        });
        let mut keep = Keep {
            kept: Arc::clone(&kept),
            file,
            counters: Arc::clone(&counters),
        };
        let thread = thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || keep.run(&records))?;
        Ok((
            RecordKeeper {
                kept,
                thread: Mutex::new(Some(thread)),
            },
            RecordQueue { queue, counters },
        ))
    }

    /// All records from now on, as calls end. A subscriber that does not keep up misses some.
    pub fn subscribe(&self) -> Receiver<Arc<Record>> {
        let (subscriber, records) = mpsc::sync_channel(SUBSCRIBER_MAX);
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .subscribers
            .push(subscriber);
        records
    }

    /// The record of a call that ended lately.
    pub fn recent(&self, call: CallId) -> Option<Arc<Record>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.recent.iter().rev().find(|r| r.call == call).cloned()
    }

    /// Waits until all records are on disk. The queues must be gone.
    pub fn finish(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the record thread ended with a panic");
        }
    }
}

struct Keep {
    kept: Arc<Mutex<Kept>>,
    file: Option<DayFile>,
    counters: Arc<Counters>,
}

impl Keep {
    fn run(&mut self, records: &Receiver<Arc<Record>>) {
        let mut batch = Vec::new();
        while let Ok(first) = records.recv() {
            batch.push(first);
            batch.extend(records.try_iter().take(QUEUE_MAX));
            // Kept first: what is on disk can be explained.
            self.keep(&batch);
            self.write(&batch);
            batch.clear();
            thread::sleep(GATHER);
        }
    }

    fn write(&mut self, batch: &[Arc<Record>]) {
        let Some(file) = &mut self.file else { return };
        let count = batch.len() as u64;
        match file.append(batch) {
            Ok(()) => self.counters.add_many(Count::RecordsWritten, count),
            Err(error) => {
                self.counters.add_many(Count::RecordsLost, count);
                let dir = file.dir.display();
                tracing::warn!("{count} call records could not be written to {dir}: {error}");
                file.open = None;
            }
        }
    }

    fn keep(&self, batch: &[Arc<Record>]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for record in batch {
            kept.subscribers.retain(|s| {
                !matches!(
                    s.try_send(Arc::clone(record)),
                    Err(TrySendError::Disconnected(_))
                )
            });
            if kept.recent.len() == RECENT_MAX {
                kept.recent.pop_front();
            }
            kept.recent.push_back(Arc::clone(record));
        }
    }
}

/// The file of the day.
struct DayFile {
    dir: PathBuf,
    open: Option<(String, BufWriter<File>)>,
    clock: Clock,
}

impl DayFile {
    fn append(&mut self, batch: &[Arc<Record>]) -> io::Result<()> {
        let calendar = self.clock.calendar();
        for record in batch {
            let file = self.of_day(calendar.at(record.ended_at))?;
            serde_json::to_writer(&mut *file, &RecordView::new(record, &calendar))?;
            file.write_all(b"\n")?;
        }
        self.open.as_mut().map_or(Ok(()), |(_, file)| file.flush())
    }

    fn of_day(&mut self, at: Timestamp) -> io::Result<&mut BufWriter<File>> {
        let name = format!("cdr-{}.jsonl", at.strftime("%Y-%m-%d"));
        let open = match self.open.take() {
            Some(open) if open.0 == name => open,
            other => {
                if let Some((_, mut yesterday)) = other {
                    yesterday.flush()?;
                }
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(self.dir.join(&name))?;
                (name, BufWriter::with_capacity(64 * 1024, file))
            }
        };
        Ok(&mut self.open.insert(open).1)
    }
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]
    use intertrunk_proto::ask::{PolicyFault, Tag};
    use intertrunk_proto::{AttemptRecord, EndedBy, Instant};

    use super::*;

    /// A record in which everything is set.
    pub fn record(call: u64) -> Record {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let tag = |value: &str| Tag {
            name: "route".to_owned(),
            value: value.to_owned(),
        };
        Record {
            call: CallId(call),
            sip_call_id: "a1@pbx".to_owned(),
            started_at: at(1000),
            answered_at: Some(at(2500)),
            ended_at: at(60_000),
            ingress_trunk: "pbx-a".into(),
            egress_trunk: Some("gw-b".into()),
            caller_in: "0100".to_owned(),
            caller_out: Some("+14255550100".to_owned()),
            callee_in: "915551234567".to_owned(),
            callee_out: Some("+15551234567".to_owned()),
            policy: "main".into(),
            generation: 3,
            policy_sha256: Some("ab12".into()),
            decision_us: 17,
            fallback: Some(PolicyFault::Timeout),
            because: vec!["PSTN".to_owned()],
            looked_up: vec![],
            refused: vec!["gw-x: no such trunk".to_owned()],
            attempts: vec![AttemptRecord {
                trunk: "gw-a".into(),
                peer: Some("127.0.0.21:5080".parse().unwrap()),
                started_at: at(1010),
                ended_at: at(1030),
                q850: None,
                code: 503,
                reason: "Service Unavailable".to_owned(),
                pdd_ms: None,
            }],
            final_code: 200,
            ended_by: EndedBy::Caller,
            hangup_cause: 16,
            tags: vec![tag("first"), tag("last")],
            ladder: vec![],
        }
    }

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("intertrunk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    fn keeper(dir: Option<&Path>) -> (RecordKeeper, RecordQueue, Arc<Counters>) {
        let counters = Arc::<Counters>::default();
        let (keeper, queue) =
            RecordKeeper::start(dir, Clock::start(), Arc::clone(&counters)).unwrap();
        (keeper, queue, counters)
    }

    #[test]
    fn all_records_are_on_disk_when_it_has_finished() {
        let dir = folder("cdr").join("made/on/demand");
        let (keeper, queue, counters) = keeper(Some(&dir));
        for call in 0..100 {
            queue.put(Arc::new(record(call)));
        }
        drop(queue);
        keeper.finish();
        let files: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|f| f.unwrap().path())
            .collect();
        let [file] = &files[..] else {
            panic!("one file for one day: {files:?}")
        };
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with("cdr-20") && name.ends_with(".jsonl"),
            "{name}"
        );
        let text = fs::read_to_string(file).unwrap();
        let ids: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| line["call_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            ids,
            (0..100).map(|n| CallId(n).to_string()).collect::<Vec<_>>()
        );
        assert_eq!(counters.read(Count::RecordsWritten), 100);
        fs::remove_dir_all(folder("cdr")).unwrap_or(());
    }

    #[test]
    fn a_folder_that_goes_away_costs_records_and_nothing_else() {
        let dir = folder("cdr-gone");
        let (keeper, queue, counters) = keeper(Some(&dir));
        fs::remove_dir_all(&dir).unwrap();
        let heard = keeper.subscribe();
        queue.put(Arc::new(record(7)));
        assert_eq!(heard.recv().unwrap().call, CallId(7));
        assert_eq!(keeper.recent(CallId(7)).unwrap().callee_in, "915551234567");
        drop(queue);
        keeper.finish();
        assert_eq!(counters.read(Count::RecordsLost), 1);
        assert_eq!(counters.read(Count::RecordsWritten), 0);
    }

    #[test]
    fn lately_is_bounded() {
        let (keeper, queue, _) = keeper(None);
        let heard = keeper.subscribe();
        for call in 0..=RECENT_MAX as u64 {
            queue.put(Arc::new(record(call)));
        }
        drop(queue);
        keeper.finish();
        assert_eq!(heard.try_iter().count(), RECENT_MAX + 1);
        assert!(keeper.recent(CallId(0)).is_none());
        assert!(keeper.recent(CallId(1)).is_some());
    }
}
