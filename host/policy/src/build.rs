//! From a policy's source folder to a component: cargo for the Wasm target, then componentized in
//! this process.
//!
//! It builds into a target folder of its own, so that it can run inside another cargo (a test, a
//! build script) without waiting for that one's lock.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::fault::LoadFault;
use crate::files::replace;
use crate::module::componentize;
use crate::profile::PROFILE;
use crate::program::sha256;

/// What policies are built for: no WASI, no imports but the contract's.
const TARGET: &str = "wasm32-unknown-unknown";

/// A policy that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Where the component was written.
    pub path: PathBuf,
    /// The core module that cargo made.
    pub module: PathBuf,
    /// The component.
    pub bytes: Vec<u8>,
    /// SHA-256 of the component, hex.
    pub sha256: String,
}

/// Why a policy could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildFault {
    /// No package in the folder.
    #[error("{} has no Cargo.toml; make a policy with `intertrunk policy new DIR`", .0.display())]
    NoPackage(PathBuf),
    /// cargo or rustc cannot be started.
    #[error("{program} cannot be started: {source}; install Rust from https://rustup.rs")]
    NoToolchain {
        /// Which.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The compiler has no library for the Wasm target.
    #[error(
        "the Rust toolchain lacks the target {TARGET}; install it with `rustup target add {TARGET}`"
    )]
    NoTarget,
    /// cargo failed; it has said why on standard error.
    #[error("cargo could not build the policy in {}; its messages are above", .0.display())]
    Cargo(PathBuf),
    /// The package makes no dynamic library.
    #[error(
        "the package in {} makes no module; add `[lib]` with `crate-type = [\"cdylib\"]` to its \
         Cargo.toml",
        .0.display()
    )]
    NoCdylib(PathBuf),
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What cargo made is no policy.
    #[error("{}: {fault}", module.display())]
    Module {
        /// The module that cargo made.
        module: PathBuf,
        /// What is wrong with it.
        fault: LoadFault,
    },
}

/// Builds the policy package in `dir` and writes its component to `out`, or else beside the module
/// that cargo made. cargo's messages go to standard error.
///
/// # Errors
/// A [`BuildFault`] that says what to do.
pub fn build(dir: &Path, out: Option<&Path>) -> Result<Built, BuildFault> {
    let dir = dir
        .canonicalize()
        .ok()
        .filter(|dir| dir.join("Cargo.toml").is_file())
        .ok_or_else(|| BuildFault::NoPackage(dir.to_owned()))?;
    require_target(&dir)?;
    let module = run_cargo(&dir)?;
    let core = std::fs::read(&module).map_err(|source| file_fault(&module, source))?;
    let bytes = componentize(&core).map_err(|fault| BuildFault::Module {
        module: module.clone(),
        fault,
    })?;
    let path = out.map_or_else(|| module.with_extension("component.wasm"), Path::to_owned);
    replace(&path, &bytes).map_err(|source| file_fault(&path, source))?;
    Ok(Built {
        sha256: sha256(&bytes),
        path,
        module,
        bytes,
    })
}

/// Asks rustc where the target's library is, and looks whether it is there.
fn require_target(dir: &Path) -> Result<(), BuildFault> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = command(&rustc, dir)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|source| no_toolchain(&rustc, source))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let is_there = output.status.success() && folder.is_dir();
    is_there.then_some(()).ok_or(BuildFault::NoTarget)
}

/// Builds the package in `dir`; returns its dynamic library.
fn run_cargo(dir: &Path) -> Result<PathBuf, BuildFault> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = dir.join("Cargo.toml");
    let mut build = command(&cargo, dir);
    build
        .args(["build", "--release", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target_dir(&cargo, dir)?)
        .args(PROFILE.iter().flat_map(|setting| ["--config", setting]))
        .stderr(Stdio::inherit());
    let output = build
        .output()
        .map_err(|source| no_toolchain(&cargo, source))?;
    if !output.status.success() {
        return Err(BuildFault::Cargo(dir.to_owned()));
    }
    let messages = output.stdout.split(|byte| *byte == b'\n');
    messages
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .find_map(|message| message.library_of(&manifest))
        .ok_or_else(|| BuildFault::NoCdylib(dir.to_owned()))
}

/// `wasm` in the target folder that cargo would use by itself.
fn target_dir(cargo: &OsString, dir: &Path) -> Result<PathBuf, BuildFault> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }

    let output = command(cargo, dir)
        .args(["metadata", "--no-deps", "--format-version=1"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| no_toolchain(cargo, source))?;
    serde_json::from_slice(&output.stdout)
        .map(|Metadata { target_directory }| target_directory.join("wasm"))
        .map_err(|_| BuildFault::Cargo(dir.to_owned()))
}

/// A command in `dir`, without what an outer cargo set for its own compilations.
fn command(program: &OsString, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null());
    for outer in [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_MAKEFLAGS",
        "MAKEFLAGS",
        "RUSTFLAGS",
    ] {
        command.env_remove(outer);
    }
    command.env_remove("RUSTC_WORKSPACE_WRAPPER");
    command
}

/// One line of cargo's JSON; only artifacts have these keys.
#[derive(Deserialize)]
struct Message {
    manifest_path: PathBuf,
    target: Target,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Message {
    /// The dynamic library of the package of `manifest`, if this line tells of it.
    fn library_of(self, manifest: &Path) -> Option<PathBuf> {
        let is_it =
            self.manifest_path == manifest && self.target.kind.iter().any(|it| it == "cdylib");
        let is_wasm = |file: &PathBuf| file.extension().is_some_and(|it| it == "wasm");
        self.filenames
            .into_iter()
            .find(|file| is_it && is_wasm(file))
    }
}

fn no_toolchain(program: &OsString, source: io::Error) -> BuildFault {
    BuildFault::NoToolchain {
        program: program.to_string_lossy().into_owned(),
        source,
    }
}

fn file_fault(path: &Path, source: io::Error) -> BuildFault {
    BuildFault::File {
        path: path.to_owned(),
        source,
    }
}
