//! `cargo xtask conformance`: writes `docs/conformance.md` from the tests.
//!
//! The page is a golden file of `tests/tests/conformance`, which also says when it is stale.

use anyhow::{Context, Result, bail};

use std::env;
use std::process::Command;

use crate::cargo;

/// Runs that test with the word that writes golden files.
pub fn run() -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "test",
            "-q",
            "-p",
            "intertrunk-tests",
            "--test",
            "conformance",
        ])
        .env("UPDATE_GOLDEN", "1")
        .current_dir(cargo::root())
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("docs/conformance.md: {status}");
    }
    println!("docs/conformance.md is as the tests are");
    Ok(())
}
