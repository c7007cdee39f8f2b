//! What a restart begins with: the module of each policy that an operator made live.
//!
//! ```text
//! state/policies.json       which module is live, and which was before it
//! state/SHA256.wasm         those modules, as they were staged
//! ```
//!
//! Settings and tables are always what their files say. A policy whose module in the configuration
//! has changed since begins with that one: see docs/decisions/0093-state.md. Nothing that is wrong
//! here keeps the service from starting.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use intertrunk_policy::files::replace;
use intertrunk_policy::{Generation, LoadFault, Slot, World, sha256};
use serde::{Deserialize, Serialize};

use crate::config::PolicySource;

const INDEX: &str = "policies.json";
/// Of the index. A host that does not know it begins as configured.
const VERSION: u32 = 1;

/// The folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept(pub PathBuf);

#[derive(Default, Serialize, Deserialize)]
struct Index {
    version: u32,
    policies: BTreeMap<String, Entry>,
}

/// What is kept of one policy.
#[derive(PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Entry {
    /// The module of the configuration at that time.
    configured: String,
    live: Module,
    previous: Option<Module>,
}

#[derive(PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Module {
    /// That of the configuration.
    Configured,
    /// SHA-256 of its file.
    Sha256(String),
}

/// Why a kept module does not decide.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(
        "the module in the configuration has changed since; stage the other anew if it is meant"
    )]
    Reconfigured,
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is not what was staged", .0.display())]
    Damaged(PathBuf),
    #[error(transparent)]
    Load(#[from] LoadFault),
}

impl Kept {
    /// Puts live what was live, into slots whose configured module is live already. What cannot be
    /// is told to the log, and the configured module decides.
    pub fn restore(&self, policies: &[(&PolicySource, &Slot)], world: &Arc<dyn World>) {
        let index = match self.index() {
            Ok(index) => index,
            Err(fault) => {
                let remedy = "policies begin as they are configured";
                tracing::warn!(%fault, "what was live before cannot be told; {remedy}");
                return;
            }
        };
        for (source, slot) in policies {
            let Some(entry) = index.policies.get(&*source.name) else {
                continue;
            };
            if let Err(fault) = self.restore_one(entry, source, slot, world) {
                let policy = &source.name;
                tracing::warn!(%policy, %fault, "begins with the configured module, not the one before");
            }
        }
    }

    fn restore_one(
        &self,
        entry: &Entry,
        source: &PolicySource,
        slot: &Slot,
        world: &Arc<dyn World>,
    ) -> Result<(), Unfit> {
        if entry.configured != configured(source) {
            return Err(Unfit::Reconfigured);
        }
        let promote = |module: &Module| {
            let Module::Sha256(sha256) = module else {
                return Ok(());
            };
            slot.stage(&self.module(sha256)?, &source.config, world, &source.suites)?;
            slot.promote().expect("a generation has just been staged");
            Ok::<_, Unfit>(())
        };
        if let Some(previous) = &entry.previous
            && let Err(fault) = promote(previous)
        {
            let policy = &source.name;
            tracing::warn!(%policy, %fault, "there is no going back to the generation before");
        }
        match &entry.live {
            Module::Sha256(_) => {
                let live = promote(&entry.live);
                if live.is_err() && slot.previous().is_some() {
                    slot.rollback().expect("there is a previous generation");
                }
                live
            }
            Module::Configured => {
                if slot.previous().is_some() {
                    slot.rollback().expect("there is a previous generation");
                }
                Ok(())
            }
        }
    }

    fn index(&self) -> Result<Index, io::Error> {
        match fs::read(self.0.join(INDEX)) {
            Err(none) if none.kind() == io::ErrorKind::NotFound => Ok(Index::default()),
            Err(fault) => Err(fault),
            Ok(bytes) => {
                let index: Index = serde_json::from_slice(&bytes)?;
                if index.version == VERSION {
                    return Ok(index);
                }
                let what = format!("{INDEX} is of version {}", index.version);
                Err(io::Error::new(io::ErrorKind::Unsupported, what))
            }
        }
    }

    fn module(&self, hash: &str) -> Result<Vec<u8>, Unfit> {
        let path = self.path(hash);
        match fs::read(&path) {
            Ok(bytes) if sha256(&bytes) == hash => Ok(bytes),
            Ok(_) => Err(Unfit::Damaged(path)),
            Err(source) => Err(Unfit::Unreadable { path, source }),
        }
    }

    /// Writes down what is live now. All or nothing: modules first, then the index that names them.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&self, policies: &[(&PolicySource, &Slot)]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let mut index = Index {
            version: VERSION,
            policies: BTreeMap::new(),
        };
        for (source, slot) in policies {
            let keep = |it: &Arc<Generation>| self.keep_module(it, source);
            let live = slot.live().as_ref().map(keep).transpose()?;
            let previous = slot.previous().as_ref().map(keep).transpose()?;
            let entry = Entry {
                configured: configured(source),
                live: live.unwrap_or(Module::Configured),
                previous,
            };
            index.policies.insert(source.name.to_string(), entry);
        }
        let text = serde_json::to_vec_pretty(&index)?;
        replace(&self.0.join(INDEX), &text)?;
        self.forget_others(&index)
    }

    fn keep_module(&self, generation: &Generation, source: &PolicySource) -> io::Result<Module> {
        let module = generation.module();
        if *module == source.wasm {
            return Ok(Module::Configured);
        }
        let hash = sha256(module);
        let path = self.path(&hash);
        let is_there = fs::read(&path).is_ok_and(|bytes| *bytes == **module);
        if !is_there {
            replace(&path, module)?;
        }
        Ok(Module::Sha256(hash))
    }

    /// Removes modules that nobody goes back to.
    fn forget_others(&self, index: &Index) -> io::Result<()> {
        let entries = index.policies.values();
        let named = entries.flat_map(|entry| entry.previous.iter().chain([&entry.live]));
        let paths = named.filter_map(|module| match module {
            Module::Configured => None,
            Module::Sha256(hash) => Some(self.path(hash)),
        });
        let kept: Vec<PathBuf> = paths.collect();
        for file in fs::read_dir(&self.0)? {
            let path = file?.path();
            if is_module(&path) && !kept.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.0.join(hash).with_extension("wasm")
    }
}

/// Whether the name is one that is given here: others may keep files of theirs beside.
fn is_module(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .and_then(|it| it.to_str())
        .unwrap_or_default();
    let is_hash = stem.len() == 64 && stem.bytes().all(|it| it.is_ascii_hexdigit());
    is_hash && path.extension().is_some_and(|it| it == "wasm")
}

/// What the configuration says a policy is. What is inside the binary changes with the binary, which
/// is no word against what an operator has promoted.
fn configured(source: &PolicySource) -> String {
    if source.module.starts_with("builtin:") {
        source.module.to_string()
    } else {
        sha256(&source.wasm)
    }
}
