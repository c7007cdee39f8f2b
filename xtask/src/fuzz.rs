//! `cargo xtask fuzz`: libFuzzer on the targets of `tests/fuzz`.
//!
//! The coverage passes of LLVM are switched on by stable compiler flags, so that neither a nightly
//! toolchain nor `cargo-fuzz` is needed. No address sanitizer: there is no unsafe code to catch.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::cargo;

const TARGETS: [&str; 4] = ["bytes", "stream", "values", "calls"];

#[derive(clap::Args)]
#[command(
    after_help = "Needs a C++ compiler (libFuzzer is built from source) and one of Linux and \
    macOS; the stable toolchain is enough.\n\nAn input that breaks a rule is kept, and the command \
    that repeats it is printed. The corpus in tests/fuzz/corpus is replayed by `cargo xtask test`."
)]
pub struct Args {
    /// bytes, stream, values or calls; all of them in turn if absent
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Afterwards put what brought new coverage into tests/fuzz/corpus
    #[arg(long)]
    keep: bool,
    /// Only try this input
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
}

/// Builds the harness, then runs each target on its corpus.
pub fn run(args: &Args) -> Result<()> {
    let dir = cargo::out_dir()?.join("fuzz");
    let bin = build(&dir)?;
    for target in TARGETS {
        if args.target.as_deref().is_none_or(|wanted| wanted == target) {
            match &args.input {
                Some(input) => fuzz(&bin, target, &[text(input)?])?,
                None => session(args, &bin, &dir, target)?,
            }
        }
    }
    Ok(())
}

/// Instruments everything but build scripts: that is what naming the host's own triple does.
fn build(dir: &Path) -> Result<PathBuf> {
    let passes = [
        "level=4",
        "inline-8bit-counters",
        "pc-table",
        "trace-compares",
        "stack-depth",
    ];
    let mut flags = "-Cpasses=sancov-module --cfg fuzzing".to_owned();
    for pass in passes {
        flags += &format!(" -Cllvm-args=-sanitizer-coverage-{pass}");
    }
    let triple = host_triple()?;
    let harness = cargo::root().join("tests/fuzz/harness");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--target", &triple])
        .current_dir(harness)
        .env("CARGO_TARGET_DIR", dir)
        .env("RUSTFLAGS", flags)
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the harness was not built: {status}");
    }
    Ok(dir.join(triple).join("release"))
}

fn host_triple() -> Result<String> {
    let told = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// So many minutes of one target. What it finds out stays in the target directory, so that the next
/// session goes on from there.
fn session(args: &Args, bin: &Path, dir: &Path, target: &str) -> Result<()> {
    let (found, broken) = (dir.join("corpus").join(target), dir.join("broken"));
    for folder in [&found, &broken] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let folder = cargo::root().join("tests/fuzz");
    let kept = folder.join("corpus").join(target);
    println!("\n{target}: {} min", args.minutes);
    fuzz(
        bin,
        target,
        &[
            text(&found)?,
            text(&kept)?,
            format!("-dict={}", text(&folder.join("sip.dict"))?),
            format!("-max_total_time={}", args.minutes * 60),
            format!("-artifact_prefix={}/{target}-", text(&broken)?),
            "-timeout=5".to_owned(),
            "-rss_limit_mb=1024".to_owned(),
            format!("-max_len={}", if target == "bytes" { 8_192 } else { 2_048 }),
            "-print_final_stats=1".to_owned(),
        ],
    )
    .with_context(|| {
        format!(
            "{target} broke a rule: the input is in {}; again: cargo xtask fuzz {target} --input FILE",
            broken.display()
        )
    })?;
    if args.keep {
        keep(bin, target, &kept, &found)?;
    }
    Ok(())
}

/// The fewest inputs that reach what the kept ones do not.
fn keep(bin: &Path, target: &str, kept: &Path, found: &Path) -> Result<()> {
    let words = ["-set_cover_merge=1", "-use_counters=0", "-max_len=700"].map(str::to_owned);
    fuzz(
        bin,
        target,
        &[&words[..], &[text(kept)?, text(found)?]].concat(),
    )
}

fn fuzz(bin: &Path, target: &str, words: &[String]) -> Result<()> {
    let status = Command::new(bin.join(target))
        .args(words)
        .status()
        .with_context(|| format!("cannot start {target}"))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{target}: {status}"),
    }
}

fn text(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}
