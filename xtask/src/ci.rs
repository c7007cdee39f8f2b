//! `cargo xtask ci`: everything that must hold before a change goes in.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{demo, interop, javascript, lint, test};

/// One step: its name and what runs it.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 5] = [
    ("test", || test::run(&[])),
    ("demo", || demo::run(&[])),
    ("interop", || interop::run(&interop::Args::default())),
    ("javascript", javascript::run),
    ("lint", lint::run),
];

/// Runs every step even when an earlier one failed, so that one run tells all there is to mend.
pub fn run() -> Result<()> {
    let mut lines = Vec::new();
    let mut failed = 0;
    for (name, step) in STEPS {
        let began = Instant::now();
        let outcome = step();
        let verdict = match &outcome {
            Ok(()) => "passed".to_owned(),
            Err(why) => format!("FAILED: {why:#}"),
        };
        failed += usize::from(outcome.is_err());
        lines.push(format!(
            "{name:<10} {:>6.1} s  {verdict}",
            began.elapsed().as_secs_f32()
        ));
    }
    println!("\n{}", lines.join("\n"));
    if failed > 0 {
        bail!("{failed} of {} steps failed", STEPS.len());
    }
    Ok(())
}
