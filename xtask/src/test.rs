//! `cargo xtask test`: every test that needs no outside program.

use anyhow::Result;

use crate::cargo;

/// `cargo test` over the workspace; `args` narrow it down.
pub fn run(args: &[String]) -> Result<()> {
    let mut words = vec!["test", "--no-fail-fast"];
    // A package named by hand narrows the run; everything otherwise.
    if !args.iter().any(|a| a == "-p" || a.starts_with("--package")) {
        words.push("--workspace");
    }
    words.extend(args.iter().map(String::as_str));
    cargo::run(&words)
}
