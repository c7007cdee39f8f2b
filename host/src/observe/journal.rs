//! Decisions as they were made: written to disk for replay, and decided again by shadows.
//!
//! One thread does all of it, behind a bounded queue: a slow disk or a slow shadow costs evidence,
//! which is counted, and never delays a call. Files are numbered; when
//! one is full the next begins, and the oldest goes when there are too many.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use intertrunk_policy::journal::{Entry, GenerationEntry, JournalWriter};
use intertrunk_policy::{Decision, Slot, World};
use intertrunk_proto::ask::Pin;
use jiff::Timestamp;

use super::metrics::{Count, Counters};

/// Decisions that may wait.
const QUEUE_MAX: usize = 4096;
/// Pause between two batches, so that a busy node wakes the thread fifty times a second.
const GATHER: Duration = Duration::from_millis(20);
/// How files of decisions end.
pub const EXTENSION: &str = "itj";

/// Where decisions are kept, and how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalRules {
    /// Folder.
    pub dir: PathBuf,
    /// Bytes of one file: 64 MiB.
    pub file_bytes: u64,
    /// Files: 16.
    pub files: usize,
}

/// A decision with what a shadow needs besides.
pub struct Made {
    /// The decision.
    pub decision: Decision,
    /// The generation that made it, if any.
    pub pin: Option<Pin>,
    /// The policy.
    pub slot: Arc<Slot>,
    /// What policies may ask now.
    pub world: Arc<dyn World>,
}

/// A shard's way to the thread.
#[derive(Clone, Debug)]
pub struct JournalQueue {
    queue: SyncSender<Made>,
    counters: Arc<Counters>,
    writes: bool,
}

impl JournalQueue {
    /// Whether decisions of `slot` are wanted.
    pub fn wants(&self, slot: &Slot) -> bool {
        self.writes || slot.has_shadow()
    }

    /// Hands over a decision; counts it as lost when the queue is full.
    pub fn put(&self, made: Made) {
        if self.queue.try_send(made).is_err() {
            self.counters.add(Count::DecisionsLost);
        }
    }
}

/// The thread.
#[derive(Debug)]
pub struct JournalKeeper(Mutex<Option<JoinHandle<()>>>);

impl JournalKeeper {
    /// Starts it. Decisions are written into the folder of `rules`, which is made if need be; none
    /// are without rules. It ends when the last [`JournalQueue`] is gone.
    pub fn start(
        rules: Option<JournalRules>,
        counters: Arc<Counters>,
    ) -> io::Result<(JournalKeeper, JournalQueue)> {
        if let Some(rules) = &rules {
            fs::create_dir_all(&rules.dir)?;
        }
        let (queue, made) = mpsc::sync_channel(QUEUE_MAX);
        let writes = rules.is_some();
        let mut keep = Keep {
            journal: rules.map(|rules| Journal { rules, open: None }),
            counters: Arc::clone(&counters),
        };
        let thread = thread::Builder::new()
            .name("decisions".to_owned())
            .spawn(move || keep.run(&made))?;
        let queue = JournalQueue {
            queue,
            counters,
            writes,
        };
        Ok((JournalKeeper(Mutex::new(Some(thread))), queue))
    }

    /// Waits until all decisions are on disk. The queues must be gone.
    pub fn finish(&self) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of decisions ended with a panic");
        }
    }
}

struct Keep {
    journal: Option<Journal>,
    counters: Arc<Counters>,
}

impl Keep {
    fn run(&mut self, made: &Receiver<Made>) {
        while let Ok(first) = made.recv() {
            let batch = std::iter::once(first).chain(made.try_iter().take(QUEUE_MAX));
            for made in batch {
                self.keep(made);
            }
            let flushed = self.journal.as_mut().map_or(Ok(()), Journal::flush);
            self.complain(flushed);
            thread::sleep(GATHER);
        }
    }

    fn keep(&mut self, made: Made) {
        made.slot.decide_in_shadow(&made.decision, &made.world);
        if let Some(journal) = &mut self.journal {
            let written = journal.write(made);
            if written.is_ok() {
                self.counters.add(Count::DecisionsWritten);
            }
            self.complain(written);
        }
    }

    fn complain(&mut self, done: io::Result<()>) {
        let (Err(error), Some(journal)) = (done, &mut self.journal) else {
            return;
        };
        self.counters.add(Count::DecisionsLost);
        let lost = self.counters.read(Count::DecisionsLost);
        if lost.is_power_of_two() {
            let dir = journal.rules.dir.display();
            tracing::warn!(lost, "decisions could not be written to {dir}: {error}");
        }
        journal.open = None;
    }
}

struct Journal {
    rules: JournalRules,
    open: Option<Open>,
}

struct Open {
    writer: JournalWriter<BufWriter<File>>,
    /// The generations that this file has told of.
    told: HashSet<(String, u64)>,
}

impl Journal {
    fn write(&mut self, made: Made) -> io::Result<()> {
        let is_full = |open: &Open| open.writer.bytes() >= self.rules.file_bytes;
        if self.open.as_ref().is_some_and(is_full) {
            self.flush()?;
            self.open = None;
        }
        let Open { writer, told } = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(open(&self.rules)?),
        };
        let key = (made.decision.policy.clone(), made.decision.generation);
        if let Some(pin) = &made.pin
            && told.insert(key)
            && let Some(entry) = GenerationEntry::of(pin)
        {
            writer.put(&Entry::Generation(entry))?;
        }
        writer.put(&Entry::Decision(Box::new(made.decision)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |it| it.writer.flush())
    }
}

fn open(rules: &JournalRules) -> io::Result<Open> {
    let mut old = files(&rules.dir)?;
    while old.len() >= rules.files {
        fs::remove_file(old.remove(0))?;
    }
    // Numbered, so that a clock that goes back makes no file older than it is.
    let number = old.last().and_then(|path| number_of(path)).unwrap_or(0) + 1;
    let begun = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let name = format!("decisions-{number:06}-{begun}.{EXTENSION}");
    let file = File::create_new(rules.dir.join(name))?;
    Ok(Open {
        writer: JournalWriter::new(BufWriter::new(file))?,
        told: HashSet::new(),
    })
}

fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_stem()?.to_str()?;
    name.split('-').nth(1)?.parse().ok()
}

/// The files of decisions in a folder, oldest first.
pub fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|it| it == EXTENSION));
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_oldest_file_goes_when_there_are_too_many() {
        let dir = std::env::temp_dir().join(format!("intertrunk-journal-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let rules = JournalRules {
            dir: dir.clone(),
            file_bytes: 1,
            files: 3,
        };
        let first = open(&rules).map(drop).and_then(|()| files(&dir)).unwrap();
        for _ in 0..5 {
            open(&rules).unwrap();
        }
        let left = files(&dir).unwrap();
        assert_eq!(left.len(), 3);
        assert!(!left.contains(&first[0]));
        fs::remove_dir_all(&dir).unwrap();
    }
}
