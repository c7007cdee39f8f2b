//! Compiled code on disk, so that a start or a staging need not compile what this host has compiled
//! before.
//!
//! ```text
//! cache/code/…/HASH     wasmtime's: the code of one module for one compiler, processor and settings
//! cache/sums/HASH       ours: SHA-256 of that file
//! ```
//!
//! wasmtime finds an entry and drops the oldest ones, but runs whatever it finds. So the folder is
//! refused unless it is ours alone, and an entry without its sum, or with another, is removed before
//! wasmtime looks.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wasmtime::CacheConfig;

use crate::files::replace;
use crate::program::sha256;

/// Where the cache is, and how large it may get.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheRules {
    /// The folder.
    pub dir: PathBuf,
    /// About as many bytes are kept.
    pub max_bytes: u64,
}

/// Why the folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum CacheFault {
    /// Somebody else could put code there, which would run as this user.
    #[error(
        "{} {problem}, who could put native code there that this service runs; {remedy}",
        path.display()
    )]
    Exposed {
        /// The folder, or one above it.
        path: PathBuf,
        /// Whose it is.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// It cannot be made, read or written.
    #[error("{} cannot be used: {source}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A folder of compiled code, which is this user's alone.
#[derive(Debug)]
pub struct Cache {
    wasmtime: wasmtime::Cache,
    sums: PathBuf,
}

impl Cache {
    /// Opens the folder, making it if it is not there.
    ///
    /// # Errors
    /// A [`CacheFault`] that says what to do.
    pub fn open(rules: &CacheRules) -> Result<Cache, CacheFault> {
        let dir = &rules.dir;
        let unusable = |source| CacheFault::Unusable {
            path: dir.to_owned(),
            source,
        };
        let (code, sums) = (dir.join("code"), dir.join("sums"));
        for folder in [&code, &sums] {
            make_private(folder).map_err(unusable)?;
            refuse_exposed(&folder.canonicalize().map_err(unusable)?)?;
        }
        let mut config = CacheConfig::new();
        config
            .with_directory(code.canonicalize().map_err(unusable)?)
            .with_files_total_size_soft_limit(rules.max_bytes)
            // With each module that is added, as they come that seldom. A longer interval is kept by
            // a file named after the process, which the next one of that number could not make.
            .with_cleanup_interval(Duration::ZERO)
            // An entry that is written again would no longer be what was summed up.
            .with_optimized_compression_usage_counter_threshold(u64::MAX);
        let wasmtime = wasmtime::Cache::new(config)
            .map_err(|error| unusable(io::Error::other(format!("{error:#}"))))?;
        let cache = Cache { wasmtime, sums };
        // What was cut short has no sum.
        cache.remove(|_, sum| sum.is_none());
        Ok(cache)
    }

    /// How many modules were found compiled.
    pub fn hits(&self) -> usize {
        self.wasmtime.cache_hits()
    }

    /// How many modules were compiled and put by.
    pub fn misses(&self) -> usize {
        self.wasmtime.cache_misses()
    }

    pub(crate) fn wasmtime(&self) -> wasmtime::Cache {
        self.wasmtime.clone()
    }

    /// Compiles by `compile`, which looks into the cache and adds to it. What others compile
    /// meanwhile has no sum yet and stays.
    pub(crate) fn around<T>(&self, compile: impl FnOnce() -> T) -> T {
        self.remove(|bytes, sum| sum.is_some_and(|sum| sum != sha256(bytes)));
        let compiled = compile();
        self.sum_up();
        compiled
    }

    /// Removes the entries that `is_unfit`, of their bytes and their sum, and sums of nothing.
    fn remove(&self, is_unfit: impl Fn(&[u8], Option<&str>) -> bool) {
        // Before the entries: a sum that is there now has its entry already.
        let mut sums = files(&self.sums);
        for (name, path) in &self.entries() {
            let sum = sums
                .remove(name)
                .and_then(|sum| fs::read_to_string(sum).ok());
            // What cannot be read cannot be run either.
            if fs::read(path).is_ok_and(|bytes| is_unfit(&bytes, sum.as_deref())) {
                tracing::warn!(entry = %path.display(), "compiled code is damaged and compiled anew");
                let _gone = fs::remove_file(path);
            }
        }
        for sum in sums.values() {
            let _gone = fs::remove_file(sum);
        }
    }

    /// Writes the sums of the entries that have none. One that cannot be written costs the next
    /// start a compilation.
    fn sum_up(&self) {
        for (name, path) in self.entries() {
            let sum = self.sums.join(name);
            if !sum.exists()
                && let Ok(bytes) = fs::read(path)
                && let Err(fault) = replace(&sum, sha256(&bytes).as_bytes())
            {
                tracing::warn!(%fault, sum = %sum.display(), "compiled code is not kept");
            }
        }
    }

    /// wasmtime's entries: a folder for each compiler, and in it the files without an extension.
    fn entries(&self) -> BTreeMap<String, PathBuf> {
        let compilers = fs::read_dir(self.wasmtime.directory().join("modules"));
        let compilers = compilers.into_iter().flatten().flatten();
        compilers
            .flat_map(|compiler| files(&compiler.path()))
            .collect()
    }
}

/// The files of a folder by name, but for those that are being written, which have an extension;
/// none where there is no folder.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| Some((file.file_name().into_string().ok()?, file.path())))
        .filter(|(_, path)| path.extension().is_none())
        .collect()
}

/// Makes a folder that only its owner enters, or shuts one that is there.
fn make_private(folder: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    // One of another user cannot be shut, and is refused for that afterwards.
    made.map(|()| drop(fs::set_permissions(folder, Permissions::from_mode(0o700))))
}

/// Whoever can write in `folder`, or put another folder in place of it or of one above it, chooses
/// what runs.
fn refuse_exposed(folder: &Path) -> Result<(), CacheFault> {
    let us = rustix::process::geteuid().as_raw();
    for path in folder.ancestors() {
        let metadata = fs::metadata(path).map_err(|source| CacheFault::Unusable {
            path: path.to_owned(),
            source,
        })?;
        if let Some((problem, remedy)) = exposure(path, &metadata, us) {
            return Err(CacheFault::Exposed {
                path: path.to_owned(),
                problem,
                remedy,
            });
        }
    }
    Ok(())
}

fn exposure(path: &Path, metadata: &Metadata, us: u32) -> Option<(String, String)> {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if owner != us && owner != 0 {
        let problem = format!("belongs to user {owner}");
        return Some((problem, "use a folder of the service's own user".to_owned()));
    }
    // In a sticky folder, such as /tmp, only owners replace what is theirs.
    (mode & OTHERS_WRITE != 0 && mode & STICKY == 0).then(|| {
        let problem = "can be written to by others".to_owned();
        (problem, format!("run `chmod go-w {}`", path.display()))
    })
}
