//! Runs cargo as the outer cargo was run: same binary, same toolchain, same target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

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
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_this_package) {
            command.env_remove(name);
        }
    }
    let status = command
        .args(&words)
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot start cargo {shown}"))?;
    if !status.success() {
        bail!("cargo {shown}: {status}");
    }
    Ok(())
}

/// Whether the outer cargo set this variable for xtask. Build scripts such as ring's run again when it is
/// another's: `cargo xtask` and `cargo` by turns would build TLS and all that uses it each time.
fn is_of_this_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

/// The directory that this binary was built into; its siblings are built there too.
pub fn out_dir() -> Result<PathBuf> {
    let xtask = env::current_exe().context("where this binary lies")?;
    Ok(xtask
        .parent()
        .context("a binary lies in a directory")?
        .to_owned())
}

/// An empty directory `into` for one run, with a copy of `tests/{folder}`: nothing is written into
/// the source tree.
pub fn scratch_copy(folder: &str, into: &str) -> Result<PathBuf> {
    let dir = out_dir()?.join(into);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(&dir)?;
    for entry in fs::read_dir(root().join("tests").join(folder))? {
        let path = entry?.path();
        let name = path.file_name().context("a directory entry has a name")?;
        fs::copy(&path, dir.join(name))?;
    }
    Ok(dir)
}
