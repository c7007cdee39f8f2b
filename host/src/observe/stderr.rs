//! Log lines on their way to standard error.
//!
//! One thread writes them, behind a bounded queue: whoever reads our standard error, or has stopped
//! reading it, never holds up a shard. Lines that find the queue full are lost, counted, and owned
//! up to in the log as soon as it moves again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

/// Lines that may wait.
const QUEUE_MAX: usize = 16_384;
/// How long [`Lines::flush`] waits for a reader that does not read.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The way in; clones lead to the same writer. Each write is one line.
#[derive(Clone, Debug)]
pub struct Lines {
    queue: SyncSender<Letter>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Letter {
    Line(Box<[u8]>),
    /// All lines before this one are out.
    Flushed(SyncSender<()>),
}

impl Lines {
    /// Starts the thread that writes to `out`.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Lines> {
        let (queue, letters) = mpsc::sync_channel(QUEUE_MAX);
        let lines = Lines {
            queue,
            lost: Arc::default(),
        };
        let lost = Arc::clone(&lines.lost);
        let writer = thread::Builder::new().name("log".to_owned());
        writer.spawn(move || write_all(out, &letters, &lost))?;
        Ok(lines)
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Letter::Line(line.into())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    /// Waits until the lines so far are out, but not for ever.
    fn flush(&mut self) -> io::Result<()> {
        let (flushed, out) = mpsc::sync_channel(1);
        if self.queue.try_send(Letter::Flushed(flushed)).is_ok() {
            let _too_late = out.recv_timeout(FLUSH_WITHIN);
        }
        Ok(())
    }
}

fn write_all(mut out: impl Write, letters: &Receiver<Letter>, lost: &AtomicU64) {
    // Nobody is left to tell when standard error itself fails, or when a flush came too late.
    for letter in letters {
        match letter {
            Letter::Line(line) => {
                let _ = out.write_all(&line);
            }
            Letter::Flushed(flushed) => {
                let _ = out.flush();
                let _ = flushed.try_send(());
            }
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                out,
                "{lost} log lines were lost: standard error is read too slowly"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use super::*;

    /// A reader that reads nothing while somebody holds the lock.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_in_order_and_are_out_after_a_flush() {
        let pipe = Pipe::default();
        let mut lines = Lines::start(pipe.clone()).unwrap();
        for n in 0..100 {
            writeln!(lines, "{n}").unwrap();
        }
        lines.flush().unwrap();
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        let read: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(read, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_blocks_nobody() {
        let pipe = Pipe::default();
        let mut lines = Lines::start(pipe.clone()).unwrap();
        let stopped = pipe.0.lock().unwrap();
        for _ in 0..QUEUE_MAX + 10 {
            lines.write_all(b"x\n").unwrap();
        }
        drop(stopped);
        // A flush finds the queue full and gives up; this waits for its turn.
        let (flushed, out) = mpsc::sync_channel(1);
        lines.queue.send(Letter::Flushed(flushed)).unwrap();
        out.recv().unwrap();
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains(" log lines were lost"), "{}", text.len());
    }
}
