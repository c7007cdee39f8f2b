//! The configuration: from one TOML file and what it names to a checked, immutable [`Built`].
//!
//! `read` turns TOML into typed values, `file` knows the shape of the file, `build` resolves and
//! checks. All three report into one list, so that a file with ten mistakes is mended in one go.
//! Nothing here opens a socket or compiles a policy.

mod auth;
mod build;
mod capacity;
mod changes;
mod dns;
mod emergency;
mod fault;
mod file;
mod health;
mod intern;
mod listen;
mod outside;
mod overload;
mod policy;
mod read;
mod register;
mod security;
mod signing;
mod table;
mod trunk;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use intertrunk_cases::Suite;
use intertrunk_policy::{CacheRules, Options};
use intertrunk_proto::blocking::BlockRules;
use intertrunk_proto::{PolicyId, Snapshot};

use crate::memory::{Held, Memory};
use crate::observe::journal::JournalRules;
use crate::outside::Source;
use crate::resolve::Dns;
use crate::tables::Tables;
use crate::transport::StreamRules;
use read::{At, Source as FileSource};

pub use changes::Changes;
pub use dns::PeerName;
pub use fault::{Fault, Faults, Severity};
pub use intern::Interner;
pub use table::{TableFault, TableFile};

/// A configuration that is whole: every name resolved, every file that it names read.
#[derive(Debug)]
pub struct Built {
    /// The file that it came from.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// What the machines work with.
    pub snapshot: Arc<Snapshot>,
    /// Whom to ask for the names of peers.
    pub dns: Dns,
    /// The names that DNS is asked for; their lists are empty until somebody does.
    pub names: Vec<PeerName>,
    /// Threads that calls are spread over; the number of cores unless the file says otherwise.
    pub shards: u16,
    /// How each listener treats its connections, in the order of the file.
    pub streams: Arc<[StreamRules]>,
    /// Policies in the order of the file; `snapshot.policies` has the same order.
    pub policies: Vec<PolicySource>,
    /// All tables, loaded.
    pub tables: Arc<Tables>,
    /// Where they come from.
    pub table_files: Arc<[TableFile]>,
    /// Outside sources that policies may inquire of.
    pub sources: Arc<[Source]>,
    /// When sources are blocked.
    pub blocking: BlockRules,
    /// The admin API; off if absent.
    pub admin: Option<Admin>,
    /// Folder of call records; none are written if absent.
    pub cdr: Option<PathBuf>,
    /// The audit log; none is kept if absent.
    pub audit: Option<PathBuf>,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Folder of what a restart begins with; it begins anew if absent.
    pub state: Option<PathBuf>,
    /// Folder of compiled policies; each start compiles them if absent.
    pub cache: Option<CacheRules>,
    /// Where decisions are kept for replay; none are if absent.
    pub journal: Option<JournalRules>,
    /// Keys that are right but have no effect, and the like.
    pub warnings: Vec<Fault>,
}

impl Built {
    /// What it takes of memory at its limits.
    pub fn memory(&self) -> Memory {
        let sizes: Vec<usize> = self
            .policies
            .iter()
            .map(|p| p.options.memory_bytes)
            .collect();
        let held = Held {
            connections: StreamRules::bytes(&self.streams, self.shards),
            meters: self.sources.iter().map(Source::meter_bytes).sum(),
        };
        Memory::of(&self.snapshot.limits, self.shards, &sizes, held)
    }
}

/// One policy as configured, ready to be staged.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// Its slot.
    pub id: PolicyId,
    /// As configured.
    pub name: Arc<str>,
    /// Line of its `module` in the configuration file, counted from 1.
    pub line: usize,
    /// Its column in characters, counted from 1.
    pub column: usize,
    /// Its `module` as configured.
    pub module: Arc<str>,
    /// Bytes of the module.
    pub wasm: Arc<[u8]>,
    /// Text for the policy's `configure`; empty if the file names none.
    pub config: Arc<str>,
    /// The file that `config` came from.
    pub config_path: Option<PathBuf>,
    /// Stored cases that must pass before a generation goes live.
    pub suites: Vec<Suite>,
    /// Bounds and grants.
    pub options: Options,
}

/// Where the admin API listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// Address and port.
    pub listen: SocketAddr,
    /// The bearer token that each request must carry, if one is configured.
    pub token: Option<String>,
    /// The file of trunks that the API sets and removes; it does not if absent.
    pub trunks: Option<PathBuf>,
}

/// Reads `path` and everything that it names.
///
/// `interner` gives trunks and policies the ids and the live state that they had before a reload.
/// On failure nothing is changed but names that it has learnt.
pub fn load(path: &Path, interner: &mut Interner) -> Result<Built, Faults> {
    let text = read_file(path)?;
    let file = Changes::file(path, &text);
    let changes = match &file {
        Some(file) => Changes::read(file).map_err(|error| Faults::unreadable(file, &error))?,
        None => Changes::default(),
    };
    load_over(path, text, &changes, file, interner)
}

/// As [`load`], with these changes instead of those that are kept.
pub fn load_with(path: &Path, changes: &Changes, interner: &mut Interner) -> Result<Built, Faults> {
    let text = read_file(path)?;
    let file = Changes::file(path, &text);
    load_over(path, text, changes, file, interner)
}

fn read_file(path: &Path) -> Result<String, Faults> {
    std::fs::read_to_string(path).map_err(|error| Faults::unreadable(path, &error))
}

fn load_over(
    path: &Path,
    text: String,
    changes: &Changes,
    file: Option<PathBuf>,
    interner: &mut Interner,
) -> Result<Built, Faults> {
    let overlaid = changes.over(text, file);
    let place = |faults: &mut Vec<Fault>| {
        for fault in faults {
            overlaid.place(fault, path);
        }
    };
    match parse(path, &overlaid.text, interner) {
        Ok(mut built) => {
            place(&mut built.warnings);
            Ok(built)
        }
        Err(mut faults) => {
            place(&mut faults.faults);
            Err(faults)
        }
    }
}

/// As [`load`], from text at hand. Relative paths in it start at the folder of `path`.
pub fn parse(path: &Path, text: &str, interner: &mut Interner) -> Result<Built, Faults> {
    let source = FileSource::new(path, text);
    let file = file::read(&source);
    let built = file.and_then(|file| build::build(&source, &file, interner));
    let faults = source.into_faults();
    match built {
        Some(built) => Ok(Built {
            warnings: faults,
            ..built
        }),
        None => Err(Faults {
            faults,
            unreadable: false,
        }),
    }
}

/// The path and the text of a file that the configuration names.
fn read_text(source: &FileSource<'_>, at: &At<String>) -> Option<(PathBuf, String)> {
    let path = source.beside(&at.value);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some((path, text)),
        Err(error) => {
            let problem = format!("{} cannot be read: {error}", path.display());
            source.fault(&at.place, problem, "name a readable text file");
            None
        }
    }
}

#[cfg(test)]
mod tests;
