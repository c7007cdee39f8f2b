//! Makes sure that policies can be compiled: the Rust target `wasm32-unknown-unknown`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What policies are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

const REMEDY: &str = "\
the Rust target wasm32-unknown-unknown is missing, and policies are compiled for it.
  with rustup:     rustup target add wasm32-unknown-unknown
  without network: copy lib/rustlib/wasm32-unknown-unknown of the same toolchain version into the sysroot
  Debian's rustc:  apt-get install rustc-web rust-web-src lld-22, then build with -Zbuild-std";

/// Adds the target by rustup when the toolchain lacks it.
pub fn ensure() -> Result<()> {
    if is_installed()? {
        return Ok(());
    }
    eprintln!("installing the Rust target {TARGET}");
    match Command::new("rustup")
        .args(["target", "add", TARGET])
        .status()
    {
        Ok(status) if status.success() && is_installed()? => Ok(()),
        _ => bail!("{REMEDY}"),
    }
}

fn is_installed() -> Result<bool> {
    let printed = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("cannot start rustc")?;
    let sysroot = String::from_utf8(printed.stdout).context("rustc printed a path")?;
    Ok(Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .is_dir())
}
