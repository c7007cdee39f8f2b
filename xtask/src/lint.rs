//! `cargo xtask lint`: formatting, and clippy without a warning.

use std::fs;

use anyhow::Result;

use crate::cargo;
use crate::wasm_target::TARGET;

/// Checks formatting first: it takes a second.
pub fn run() -> Result<()> {
    cargo::run(&["fmt", "--all", "--check"])?;
    clippy(&["--workspace", "--all-targets"])?;
    // What is compiled for Wasm alone: policies with the SDK, and that without its allocator.
    for entry in fs::read_dir(cargo::root().join("policies"))? {
        let manifest = entry?.path().join("Cargo.toml");
        if let Some(path) = manifest.to_str().filter(|_| manifest.is_file()) {
            clippy(&["--target", TARGET, "--manifest-path", path])?;
        }
    }
    let bare = ["--package", "intertrunk-sdk", "--no-default-features"];
    let all = ["--features", "calendar,rules"];
    clippy(&[&["--target", TARGET], &bare[..], &all[..]].concat())?;
    clippy(&[&["--target", TARGET], &bare[..]].concat())
}

fn clippy(what: &[&str]) -> Result<()> {
    cargo::run(&[&["clippy"], what, &["--", "-D", "warnings"]].concat())
}
