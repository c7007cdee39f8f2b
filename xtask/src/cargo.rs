//! Runs cargo as the outer cargo was run: same binary, same toolchain, same target directory.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// Runs `cargo` with these arguments in the workspace; its output is the user's to read.
pub fn run<S: AsRef<str>>(args: &[S]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let shown = words.join(" ");
    eprintln!("\n$ cargo {shown}");
    let status = Command::new(cargo)
        .args(&words)
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot start cargo {shown}"))?;
    if !status.success() {
        bail!("cargo {shown}: {status}");
    }
    Ok(())
}

/// The directory that this binary was built into; its siblings are built there too.
pub fn out_dir() -> Result<PathBuf> {
    let xtask = env::current_exe().context("where this binary lies")?;
    Ok(xtask
        .parent()
        .context("a binary lies in a directory")?
        .to_owned())
}
