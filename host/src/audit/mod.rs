//! The audit log: who changed what, when, and what came of it.
//!
//! JSON Lines, only ever appended to, each line on disk before its change is answered for. A line holds
//! the hash of the one before and of itself, so a line that was altered, taken out or put in breaks
//! the chain; `intertrunk audit verify` finds it. What a chain alone cannot show is that its end was cut
//! off: for that, keep its last hash elsewhere (`--has`).
//!
//! ```text
//!   {"seq":7,"at":"…","by":"admin","peer":"127.0.0.1:5124","what":"promote","target":"main",
//!    "sha256":"…","result":"done","prev":"<hash of line 6>","hash":"<SHA-256 of all before this>"}
//! ```
//! Never decides whether a change is made. A line that cannot be written is shouted about in the log
//! and counted; the change has been made by then.

mod chain;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::observe::metrics::{Count, Counters};
pub use chain::{Broken, Chain, verify};

/// Whose change it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Who {
    /// Somebody by the admin API.
    Admin {
        /// Where the request came from.
        peer: Option<SocketAddr>,
        /// Name of the token that it carried; none if none is asked for.
        token: Option<String>,
    },
    /// Whoever may signal the process.
    Signal {
        /// Such as `SIGHUP`.
        signal: &'static str,
    },
    /// The host itself.
    Host,
}

/// A change, made or refused.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Deed {
    /// In a word, such as `promote`.
    pub what: &'static str,
    /// What was changed: a policy, a trunk, a call, an address.
    pub target: Option<String>,
    /// Hash of the module or of the configuration that it is about.
    pub sha256: Option<String>,
    /// More of it, such as who signed a module.
    pub detail: Option<String>,
}

impl Deed {
    /// A change of the node as a whole.
    pub fn new(what: &'static str) -> Deed {
        Deed {
            what,
            ..Deed::default()
        }
    }

    /// A change of one thing.
    pub fn of(what: &'static str, target: impl Into<String>) -> Deed {
        Deed {
            target: Some(target.into()),
            ..Deed::new(what)
        }
    }
}

/// One line without its hash.
#[derive(Serialize)]
struct Entry<'e> {
    seq: u64,
    at: String,
    #[serde(flatten)]
    who: &'e Who,
    what: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'e str>,
    /// `done`, or why it was not.
    result: &'e str,
    prev: &'e str,
}

/// Why an audit log cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum AuditFault {
    /// The file.
    #[error("the audit log {} cannot be written: {source}; make its folder, or change `audit.file`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another node writes it.
    #[error("the audit log {} is another node's; change `audit.file`", path.display())]
    Taken {
        /// Which.
        path: PathBuf,
    },
    /// Its chain.
    #[error("the audit log {} is broken, {broken}; look into it, then move it away to begin a new one", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// Where.
        broken: Broken,
    },
}

/// The audit log of a node, open until the node ends. Without a file, nothing is kept.
#[derive(Debug, Default)]
pub struct Audit {
    log: Option<Mutex<Log>>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    chain: Chain,
}

impl Audit {
    /// Opens the log at `path`, or begins it, and goes on with its chain. The chain must be whole: a node
    /// does not write behind a log that somebody has altered.
    pub fn open(path: Option<&Path>, counters: Arc<Counters>) -> Result<Audit, AuditFault> {
        let log = path.map(Log::open).transpose()?.map(Mutex::new);
        Ok(Audit { log, counters })
    }

    /// Writes down a change and what came of it, and waits until it is on disk.
    pub fn note(&self, who: &Who, deed: &Deed, result: Result<(), &dyn std::fmt::Display>) {
        let Some(log) = &self.log else { return };
        let result = match result {
            Ok(()) => "done".to_owned(),
            Err(why) => format!("refused: {why}"),
        };
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.append(who, deed, &result) {
            Ok(()) => self.counters.add(Count::AuditWritten),
            Err(error) => {
                self.counters.add(Count::AuditLost);
                let (path, what) = (log.path.display(), deed.what);
                tracing::error!(what, ?who, result, "not in the audit log {path}: {error}");
            }
        }
    }
}

impl Log {
    fn open(path: &Path) -> Result<Log, AuditFault> {
        let fault = |source| AuditFault::File {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(fault)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => AuditFault::Taken {
                path: path.to_owned(),
            },
            TryLockError::Error(error) => fault(error),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fault)?;
        let chain = verify(&bytes).map_err(|broken| AuditFault::Broken {
            path: path.to_owned(),
            broken,
        })?;
        if chain.torn {
            // The machine stopped while the last line was on its way to disk. It stays as it is: a log
            // that is only appended to keeps its scars.
            file.write_all(b"\n").map_err(fault)?;
        }
        Ok(Log {
            path: path.to_owned(),
            file,
            chain,
        })
    }

    fn append(&mut self, who: &Who, deed: &Deed, result: &str) -> io::Result<()> {
        let entry = Entry {
            seq: self.chain.next(),
            at: format!("{:.3}", Timestamp::now()),
            who,
            what: deed.what,
            target: deed.target.as_deref(),
            sha256: deed.sha256.as_deref(),
            detail: deed.detail.as_deref(),
            result,
            prev: &self.chain.head,
        };
        let text =
            serde_json::to_vec(&entry).expect("an entry has string keys and no failing parts");
        let (line, head) = chain::sealed(text);
        // One write, so that a reader never sees half a line.
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.chain = Chain {
            lines: self.chain.next(),
            head,
            torn: false,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
