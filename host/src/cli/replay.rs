//! `intertrunk policy replay`: what another module would have decided.

use std::fmt::Write;
use std::fs::File;
use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use intertrunk_policy::journal::JournalReader;
use intertrunk_policy::replay::{Replay, Replayed};

use super::{exit, say, say_json};
use crate::observe::journal::{EXTENSION, files};

/// Decisions between two signs of progress.
const PROGRESS_EVERY: u64 = 10_000;

/// Feeds the journals to `replay` and prints what came of it.
pub fn run(mut replay: Replay, journals: &[PathBuf], json: bool) -> anyhow::Result<ExitCode> {
    let shows_progress = std::io::stderr().is_terminal();
    let mut taken = 0;
    for path in expanded(journals)? {
        let of_file = || format!("{} cannot be replayed", path.display());
        let file = File::open(&path).with_context(of_file)?;
        let mut reader = JournalReader::new(BufReader::new(file)).with_context(of_file)?;
        for entry in reader.by_ref() {
            replay
                .take(entry.with_context(of_file)?)
                .with_context(of_file)?;
            taken += 1;
            if shows_progress && taken % PROGRESS_EVERY == 0 {
                eprint!("\r{taken} entries replayed");
            }
        }
        if reader.is_torn() {
            eprintln!(
                "{}: the last entry is incomplete and left out",
                path.display()
            );
        }
    }
    if shows_progress && taken >= PROGRESS_EVERY {
        eprintln!();
    }
    let replayed = replay.result();
    ensure!(
        replayed.comparison.compared + replayed.skipped + replayed.absent > 0,
        "there are no decisions to replay; does --policy name one that is in the journal?"
    );
    for trunk in &replayed.uninvolved {
        eprintln!("no decision has to do with the trunk {trunk}; is that its name?");
    }
    if json {
        say_json(&replayed);
    } else {
        say(&text(&replayed));
    }
    Ok(exit(
        replayed.comparison.different() == 0 && replayed.absent == 0,
    ))
}

/// Folders become the journals in them, oldest first.
fn expanded(journals: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for journal in journals {
        if !journal.is_dir() {
            paths.push(journal.clone());
            continue;
        }
        let found = files(journal).with_context(|| journal.display().to_string())?;
        ensure!(
            !found.is_empty(),
            "{} holds no journal (*.{EXTENSION}); is `journal.dir` of the configuration set?",
            journal.display()
        );
        paths.extend(found);
    }
    Ok(paths)
}

fn text(replayed: &Replayed) -> String {
    let of = &replayed.comparison;
    let mut text = format!(
        "{} decisions replayed: {} the same, {} different",
        of.compared,
        of.same,
        of.different()
    );
    if replayed.skipped > 0 {
        let _ = write!(
            text,
            ", {} skipped (they had timed out, or nobody was asked)",
            replayed.skipped
        );
    }
    if replayed.absent > 0 {
        let _ = write!(
            text,
            ", {} left out (they came from a trunk that is down)",
            replayed.absent
        );
    }
    text.push('\n');
    for group in &of.groups {
        let _ = write!(text, "\n{:>8}  {}\n", group.count, group.cause);
        for it in &group.examples {
            let _ = write!(
                text,
                "          call {}: {} from {} by {}\n            was {}\n            now {}\n",
                it.call, it.to, it.caller, it.from, it.before, it.after
            );
        }
    }
    text
}
