//! `cargo xtask javascript`: the policy of `policies/other-language` under the contract of this
//! checkout, built as its README says and asked all cases of the one in Rust.
//!
//! A machine without npm, or without a way to its registry, is told so and passes: there is nothing of
//! ours to be wrong there.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result};

use crate::cargo;
use crate::interop::process;

/// What the author writes; npm puts the rest beside it.
const SOURCES: [&str; 3] = ["package.json", "package-lock.json", "extensions.js"];

/// Builds and tries it, or says why not.
pub fn run() -> Result<()> {
    if let Some(tool) = ["node", "npm"]
        .into_iter()
        .find(|tool| !works(tool, &["--version"]))
    {
        return skip(&format!(
            "there is no {tool}; `apt-get install nodejs npm` on Debian"
        ));
    }
    cargo::run(&["build", "--package", "intertrunk"])?;
    let folder = scratch()?;
    let npm = |words: &[&str]| {
        eprintln!("\n$ npm {}", words.join(" "));
        let mut npm = Command::new("npm");
        npm.args(words).current_dir(&folder).env("PATH", path()?);
        process::complete(&mut npm)
    };
    if let Err(fault) = npm(&["ci"]) {
        if works("npm", &["ping", "--fetch-retries=0"]) {
            return Err(fault);
        }
        return skip("npm does not reach its registry");
    }
    npm(&["run", "build"])?;
    npm(&["test"])
}

fn skip(reason: &str) -> Result<()> {
    println!("JavaScript policy skipped: {reason}");
    Ok(())
}

fn works(tool: &str, words: &[&str]) -> bool {
    let mut command = Command::new(tool);
    command
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A folder for one run that has the same places beside it as the policy's own: npm writes nothing
/// into the source tree.
fn scratch() -> Result<PathBuf> {
    let root = cargo::out_dir()?.join("javascript");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot empty {}", root.display()))?;
    }
    let policies = root.join("policies");
    let folder = policies.join("other-language");
    fs::create_dir_all(&folder)?;
    symlink(cargo::root().join("wit"), root.join("wit"))?;
    symlink(
        cargo::root().join("policies/extensions"),
        policies.join("extensions"),
    )?;
    let from = cargo::root().join("policies/other-language");
    for name in SOURCES {
        fs::copy(from.join(name), folder.join(name)).with_context(|| format!("copying {name}"))?;
    }
    Ok(folder)
}

/// With the `intertrunk` that was just built before any other.
fn path() -> Result<OsString> {
    let usual = env::var_os("PATH").context("PATH is not set")?;
    let folders = [cargo::out_dir()?]
        .into_iter()
        .chain(env::split_paths(&usual));
    Ok(env::join_paths(folders)?)
}
