//! The form of recorded decisions: a line that says what the file is, then one frame for each entry.
//!
//! A frame is its length, four bytes little-endian, and that many bytes of MessagePack. An entry is
//! written whole or not at all, but a machine that stops leaves a torn one at the end: a reader
//! takes all before it. Decisions name their generation, which the file told of before them.

use std::io::{self, BufRead, Read, Write};

use intertrunk_proto::ask::Pin;
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Reply};
use crate::generation::Generation;

/// The first line. Another form has another number.
const HEAD: &[u8] = b"intertrunk-journal 1\n";
/// Bytes of one entry: the settings of a large dial plan are the largest.
const ENTRY_BYTES_MAX: u32 = 64 << 20;

/// One entry of a journal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// A generation that decisions name from here on.
    Generation(GenerationEntry),
    /// A decision.
    Decision(Box<Decision>),
}

/// What it takes to make a generation again, but for its module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GenerationEntry {
    /// Name of the policy.
    pub policy: String,
    /// Number in that host.
    pub generation: u64,
    /// SHA-256 of its component, hex.
    pub sha256: String,
    /// Its settings, as given to `configure`.
    pub settings: String,
    /// Headers that its manifest asks for: no others are in its decisions for sure.
    pub headers: Vec<String>,
    /// What the host answered while it was configured.
    pub replies: Vec<Reply>,
}

impl GenerationEntry {
    /// That of the generation that `pin` holds.
    pub fn of(pin: &Pin) -> Option<GenerationEntry> {
        Generation::of(pin).map(Generation::entry)
    }
}

/// Why a journal cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// Some other file.
    #[error("this is no journal of decisions, or one of another version of intertrunk")]
    NotAJournal,
    /// The operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Bytes that make no entry.
    #[error("entry {0} cannot be read: {1}")]
    Damaged(u64, String),
}

/// Writes entries.
#[derive(Debug)]
pub struct JournalWriter<W> {
    out: W,
    bytes: u64,
    frame: Vec<u8>,
}

impl<W: Write> JournalWriter<W> {
    /// Begins a journal.
    ///
    /// # Errors
    /// Of `out`.
    pub fn new(mut out: W) -> io::Result<JournalWriter<W>> {
        out.write_all(HEAD)?;
        Ok(JournalWriter {
            out,
            bytes: HEAD.len() as u64,
            frame: Vec::new(),
        })
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// Of `out`; [`io::ErrorKind::FileTooLarge`] if no reader would take it, and then nothing has
    /// been written.
    pub fn put(&mut self, entry: &Entry) -> io::Result<()> {
        self.frame.clear();
        self.frame.extend_from_slice(&[0; 4]);
        rmp_serde::encode::write(&mut self.frame, entry).map_err(io::Error::other)?;
        let length = u32::try_from(self.frame.len() - 4).ok();
        let length = length.filter(|it| *it <= ENTRY_BYTES_MAX);
        let length = length.ok_or(io::ErrorKind::FileTooLarge)?;
        self.frame[..4].copy_from_slice(&length.to_le_bytes());
        self.out.write_all(&self.frame)?;
        self.bytes += self.frame.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes sure that all of it has left this process.
    ///
    /// # Errors
    /// Of `out`.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads entries, in the order in which they were written.
#[derive(Debug)]
pub struct JournalReader<R> {
    from: R,
    read: u64,
    torn: bool,
    over: bool,
}

impl<R: BufRead> JournalReader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`JournalFault::NotAJournal`], or that of `from`.
    pub fn new(mut from: R) -> Result<JournalReader<R>, JournalFault> {
        let mut head = [0; HEAD.len()];
        match from.read_exact(&mut head) {
            Ok(()) if head == *HEAD => Ok(JournalReader {
                from,
                read: 0,
                torn: false,
                over: false,
            }),
            Err(fault) if fault.kind() != io::ErrorKind::UnexpectedEof => Err(fault.into()),
            _ => Err(JournalFault::NotAJournal),
        }
    }

    /// Whether the last entry was not written to its end.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    fn entry(&mut self) -> Result<Option<Entry>, JournalFault> {
        if self.from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut length = [0; 4];
        if self.is_cut(|from| from.read_exact(&mut length))? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(length);
        let damaged = |read, what: String| JournalFault::Damaged(read + 1, what);
        if length > ENTRY_BYTES_MAX {
            let what = format!("it says that it has {length} bytes");
            return Err(damaged(self.read, what));
        }
        // Grows as bytes come, so that a wrong length costs no memory.
        let mut frame = Vec::new();
        let mut rest = (&mut self.from).take(length.into());
        rest.read_to_end(&mut frame)?;
        if frame.len() < length as usize {
            self.torn = true;
            return Ok(None);
        }
        let entry = rmp_serde::from_slice(&frame);
        let entry = entry.map_err(|fault| damaged(self.read, fault.to_string()))?;
        self.read += 1;
        Ok(Some(entry))
    }

    fn is_cut(&mut self, read: impl FnOnce(&mut R) -> io::Result<()>) -> io::Result<bool> {
        match read(&mut self.from) {
            Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => {
                self.torn = true;
                Ok(true)
            }
            done => done.map(|()| false),
        }
    }
}

impl<R: BufRead> Iterator for JournalReader<R> {
    type Item = Result<Entry, JournalFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let entry = self.entry().transpose();
        self.over = !matches!(entry, Some(Ok(_)));
        entry
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use intertrunk_proto::ask::{PolicyFault, Query};

    use super::*;

    fn decision(n: u64) -> Entry {
        Entry::Decision(Box::new(Decision {
            policy: "main".to_owned(),
            generation: n,
            query: Query::default(),
            replies: vec![Reply::Trunk("gw-a".to_owned(), None)],
            outcome: Err(PolicyFault::Trap("oops".to_owned())),
            decision_us: 7,
        }))
    }

    fn written(entries: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = JournalWriter::new(&mut bytes).unwrap();
        for n in 0..entries {
            writer.put(&decision(n)).unwrap();
        }
        let counted = writer.bytes();
        assert_eq!(counted, bytes.len() as u64);
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = written(3);
        let read: Result<Vec<_>, _> = JournalReader::new(&*bytes).unwrap().collect();
        assert_eq!(read.unwrap(), [decision(0), decision(1), decision(2)]);
    }

    #[test]
    fn of_a_torn_journal_all_before_the_tear_is_read() {
        let bytes = written(3);
        let whole = written(2).len();
        for cut in whole + 1..bytes.len() {
            let mut reader = JournalReader::new(&bytes[..cut]).unwrap();
            assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 2);
            assert!(reader.is_torn(), "cut at {cut}");
        }
        let mut reader = JournalReader::new(&bytes[..whole]).unwrap();
        assert_eq!(reader.by_ref().count(), 2);
        assert!(!reader.is_torn());
    }

    #[test]
    fn damage_and_other_files_are_named() {
        let mut bytes = written(1);
        let at = HEAD.len() + 4;
        bytes[at] = 0xc1;
        let fault = JournalReader::new(&*bytes).unwrap().next().unwrap();
        assert!(matches!(fault, Err(JournalFault::Damaged(1, _))));
        bytes[HEAD.len()..at].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut reader = JournalReader::new(&*bytes).unwrap();
        assert!(matches!(
            reader.next(),
            Some(Err(JournalFault::Damaged(1, _)))
        ));
        assert!(reader.next().is_none(), "nothing is read after damage");
        for other in [&b"\x00asm"[..], b"intertrunk-journal 9\nxxx"] {
            let fault = JournalReader::new(other).map(drop);
            assert!(matches!(fault, Err(JournalFault::NotAJournal)));
        }
    }
}
