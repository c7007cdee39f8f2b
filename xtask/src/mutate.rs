//! `cargo xtask mutate`: breaks a rule of the call on purpose, and expects the simulator to notice.
//!
//! Each file of `tests/mutations` is one fault, of a line or two: which text of which file becomes
//! what, and which test must fail. Everything happens in a copy, with a target directory of its own;
//! nothing of the source tree is touched.
//!
//! ```text
//! # K2: what is broken, in words
//! # caught by: schedules k2_
//! --- host/proto/src/call/outcome.rs
//! -the text that must occur exactly once
//! +what takes its place
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;

/// What the copy consists of: the two rooms that hold the rules, and the tests.
const PARTS: [&str; 5] = [
    "host/sip",
    "host/proto",
    "tests",
    "Cargo.lock",
    "rust-toolchain.toml",
];
/// A fault may make the machines run for ever; that is noticed too.
const PATIENCE: Duration = Duration::from_secs(300);

/// One fault.
struct Mutation {
    name: String,
    what: String,
    /// The test binary, and the beginning of the test's name.
    test: [String; 2],
    edits: Vec<Edit>,
}

struct Edit {
    file: String,
    find: String,
    replace: String,
}

/// Tries every fault whose name contains one of `names`, or all.
pub fn run(names: &[String]) -> Result<()> {
    let all = read_all(&cargo::root().join("tests/mutations"))?;
    let wanted = |m: &&Mutation| names.is_empty() || names.iter().any(|n| m.name.contains(n));
    let chosen: Vec<&Mutation> = all.iter().filter(wanted).collect();
    ensure!(!chosen.is_empty(), "no fault of that name");
    let copy = copy()?;
    println!("in {}: without a fault", copy.display());
    for test in ["seeds", "schedules"] {
        let outcome = test_in(&copy, &[test.to_owned(), String::new()])?;
        ensure!(
            outcome == Outcome::Passed,
            "{test} fails without any fault: {outcome:?}"
        );
    }
    let mut missed = 0;
    for mutation in &chosen {
        let began = Instant::now();
        let outcome = mutation.try_in(&copy)?;
        let verdict = match outcome {
            Outcome::Failed | Outcome::RanForEver => "caught",
            Outcome::Passed => "MISSED",
            Outcome::NotBuilt => "DOES NOT BUILD",
            // The text that it replaces has changed: the patch wants to be adapted.
            Outcome::NotApplied => "DOES NOT APPLY",
        };
        missed += usize::from(verdict != "caught");
        let took = began.elapsed().as_secs();
        let test = mutation.test.join(" ");
        println!(
            "{verdict:<8} {:<34} {test:<22} {took:>3} s  {}",
            mutation.name, mutation.what
        );
    }
    println!("{} of {} caught", chosen.len() - missed, chosen.len());
    ensure!(missed == 0, "{missed} faults were not caught");
    Ok(())
}

#[derive(PartialEq, Eq, Debug)]
enum Outcome {
    Passed,
    Failed,
    NotBuilt,
    NotApplied,
    RanForEver,
}

impl Mutation {
    /// Breaks the copy, tests it, and mends it again.
    fn try_in(&self, copy: &Path) -> Result<Outcome> {
        let mut sound = Vec::new();
        let mut applies = true;
        for edit in &self.edits {
            let path = copy.join(&edit.file);
            let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            let found = text.matches(&edit.find).count();
            fs::write(&path, text.replacen(&edit.find, &edit.replace, 1))?;
            sound.push((path, text));
            applies &= found == 1;
        }
        let outcome = match applies {
            true => test_in(copy, &self.test),
            false => Ok(Outcome::NotApplied),
        };
        for (path, text) in sound.into_iter().rev() {
            fs::write(&path, text)?;
        }
        outcome
    }
}

fn read_all(folder: &Path) -> Result<Vec<Mutation>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        all.push(read(&path, &text).with_context(|| format!("{}", path.display()))?);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn read(path: &Path, text: &str) -> Result<Mutation> {
    let name = path.file_stem().context("a file has a name")?;
    let mut mutation = Mutation {
        name: name.to_string_lossy().into_owned(),
        what: String::new(),
        test: [String::new(), String::new()],
        edits: Vec::new(),
    };
    for line in text.lines() {
        if let Some(test) = line.strip_prefix("# caught by: ") {
            let (binary, start) = test.split_once(' ').context("a binary and a test")?;
            mutation.test = [binary.to_owned(), start.to_owned()];
        } else if let Some(what) = line.strip_prefix("# ") {
            what.clone_into(&mut mutation.what);
        } else if let Some(file) = line.strip_prefix("--- ") {
            mutation.edits.push(Edit {
                file: file.to_owned(),
                find: String::new(),
                replace: String::new(),
            });
        } else {
            let edit = mutation.edits.last_mut().context("a file first")?;
            let (text, line) = match line.split_at_checked(1) {
                Some(("-", line)) => (&mut edit.find, line),
                Some(("+", line)) => (&mut edit.replace, line),
                _ => bail!("a line that begins with neither - nor +: {line}"),
            };
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
    }
    ensure!(!mutation.edits.is_empty(), "no edit");
    Ok(mutation)
}

/// A copy of the rooms and tests as a workspace of their own. Its target directory stays from run to
/// run.
fn copy() -> Result<PathBuf> {
    let copy = cargo::out_dir()?.join("mutate");
    for part in PARTS {
        let to = copy.join(part);
        if to.is_dir() {
            fs::remove_dir_all(&to)?;
        }
        copy_all(&cargo::root().join(part), &to)?;
    }
    let manifest = fs::read_to_string(cargo::root().join("Cargo.toml"))?;
    let (start, rest) = manifest.split_once("members = [").context("members")?;
    let (_, rest) = rest.split_once(']').context("an end of the members")?;
    let members = r#"members = ["host/sip", "host/proto", "tests"]"#;
    let manifest = format!("{start}{members}{rest}");
    fs::write(copy.join("Cargo.toml"), manifest)?;
    Ok(copy)
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().context("a directory entry has a name")?;
        // A package of its own, and what was built; a room may be called `target`, too.
        if name != "fuzz" && !path.join("CACHEDIR.TAG").exists() {
            copy_all(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// Builds the copy and runs one of its tests.
fn test_in(copy: &Path, [binary, start]: &[String; 2]) -> Result<Outcome> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(program)
        .args(["test", "--offline", "--no-run", "-p", "intertrunk-tests"])
        .args(["--test", binary])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .output()?;
    if !built.status.success() {
        return Ok(Outcome::NotBuilt);
    }
    // Run without cargo in between, so that it can be stopped.
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    let named = said.lines().find(|line| line.contains("Executable"));
    let path = named.and_then(|line| line.split_once('(')?.1.split_once(')'));
    let (path, _) = path.context("cargo did not say what it built")?;
    let mut running = Command::new(copy.join(path))
        .arg(start)
        .current_dir(copy.join("tests"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let began = Instant::now();
    loop {
        match running.try_wait()? {
            Some(status) if status.success() => return Ok(Outcome::Passed),
            Some(_) => return Ok(Outcome::Failed),
            None if began.elapsed() > PATIENCE => {
                running.kill()?;
                running.wait()?;
                return Ok(Outcome::RanForEver);
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
