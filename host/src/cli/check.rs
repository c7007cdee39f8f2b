//! `intertrunk check`: the way of `run`, without sockets.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use intertrunk_policy::{Engine, GenerationInfo, World};
use serde::Serialize;

use super::{exit, say, say_json};
use crate::clock::Clock;
use crate::config::{self, Built, Fault, Interner, Severity};
use crate::memory::{Memory, in_words};
use crate::resolve;
use crate::staging;
use crate::world::Live;

pub const EXAMPLES: &str = "\
Prints every fault as file:line:column: key: problem; remedy.

Examples:
  intertrunk check -c intertrunk.toml
  intertrunk check -c intertrunk.toml && systemctl reload intertrunk";

#[derive(Args)]
pub struct CheckArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Print the result for programs
    #[arg(long)]
    json: bool,
}

/// What came of the check.
#[derive(Default, Serialize)]
struct Report {
    faults: Vec<Fault>,
    policies: Vec<Passed>,
    memory: Option<Memory>,
    #[serde(skip)]
    contents: String,
}

/// One policy that is right.
#[derive(Serialize)]
struct Passed {
    policy: String,
    #[serde(flatten)]
    generation: GenerationInfo,
}

pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let report = match config::load(&args.config, &mut Interner::default()) {
        Err(faults) if faults.unreadable => anyhow::bail!("{faults}"),
        Err(faults) => Report {
            faults: faults.faults,
            ..Report::default()
        },
        Ok(built) => check_policies(&built)?,
    };
    if args.json {
        say_json(&report);
    } else {
        say(&report.to_text());
    }
    let wrong = report
        .faults
        .iter()
        .any(|fault| fault.severity == Severity::Error);
    Ok(exit(!wrong))
}

fn check_policies(built: &Built) -> anyhow::Result<Report> {
    let engine = Engine::new()?;
    let live = Live::new(
        Arc::clone(&built.snapshot),
        Arc::clone(&built.tables),
        Clock::start(),
    );
    let world: Arc<dyn World> = Arc::new(live);
    let failed = resolve::once(&built.dns, &built.named())?;
    let mut faults = built.warnings.clone();
    faults.extend(built.unresolved(&failed));
    let mut report = Report {
        faults,
        contents: contents(built),
        memory: Some(built.memory()),
        ..Report::default()
    };
    match staging::stage_all(&engine, built, &world) {
        Ok(staged) => {
            let passed = staged.into_iter().map(|one| Passed {
                policy: one.slot.name().to_string(),
                generation: one.generation,
            });
            report.policies = passed.collect();
        }
        Err(faults) => report.faults.extend(faults.faults),
    }
    Ok(report)
}

fn contents(built: &Built) -> String {
    let snapshot = &built.snapshot;
    let listeners = counted(snapshot.listeners.len(), "listener");
    let trunks = counted(snapshot.trunks.len(), "trunk");
    let tables = counted(built.tables.0.len(), "table");
    let memory = built.memory();
    format!(
        "{}: {listeners}, {trunks}, {tables}\nmemory: at most {}, of it {} for calls\n",
        built.path.display(),
        in_words(memory.total),
        in_words(memory.calls)
    )
}

impl Report {
    fn to_text(&self) -> String {
        let mut text = self.contents.clone();
        for Passed { policy, generation } in &self.policies {
            let _infallible = writeln!(
                text,
                "policy {policy}: {} {}, {}, {} passed",
                generation.name,
                generation.version,
                generation.sha256.get(..12).unwrap_or(&generation.sha256),
                counted(generation.cases_passed, "case"),
            );
        }
        for fault in &self.faults {
            let _infallible = writeln!(text, "{fault}");
        }
        let (errors, warnings): (Vec<&Fault>, Vec<&Fault>) = self
            .faults
            .iter()
            .partition(|fault| fault.severity == Severity::Error);
        let verdict = match (errors.len(), warnings.len()) {
            (0, 0) => "good".to_owned(),
            (0, warnings) => format!("good, {}", counted(warnings, "warning")),
            (errors, 0) => counted(errors, "fault"),
            (errors, warnings) => {
                format!(
                    "{}, {}",
                    counted(errors, "fault"),
                    counted(warnings, "warning")
                )
            }
        };
        text + &verdict + "\n"
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
