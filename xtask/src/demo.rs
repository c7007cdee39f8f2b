//! `cargo xtask demo`: builds the host and runs its demonstration.

use anyhow::Result;

use crate::cargo;

/// Builds, then runs `intertrunk demo` with `args`.
pub fn run(args: &[String]) -> Result<()> {
    // A step of its own, so that a first build of many minutes shows how far it is.
    cargo::run(&["build", "--package", "intertrunk"])?;
    let mut words = vec!["run", "--quiet", "--package", "intertrunk", "--", "demo"];
    words.extend(args.iter().map(String::as_str));
    cargo::run(&words)
}
