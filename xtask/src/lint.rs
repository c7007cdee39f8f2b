//! `cargo xtask lint`: formatting, and clippy without a warning.

use anyhow::Result;

use crate::cargo;

/// Checks formatting first: it takes a second.
pub fn run() -> Result<()> {
    cargo::run(&["fmt", "--all", "--check"])?;
    cargo::run(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}
