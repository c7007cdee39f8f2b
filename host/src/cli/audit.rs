//! `intertrunk audit …`: is an audit log as the node wrote it?

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::{exit, say, say_json};
use crate::audit::verify;

const EXAMPLES: &str = "\
Examples:
  intertrunk audit verify audit.jsonl
  intertrunk audit verify audit.jsonl --has 5feceb66ffc8…      as long as it was when that was noted?

Exit codes: 0 it is whole, 1 it was tampered with, 2 it cannot be read.";

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Follow the chain of hashes from the first line to the last
    #[command(after_help = EXAMPLES)]
    Verify {
        /// The log
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Hash of a line that must be there: one noted before shows whether the end was cut off
        #[arg(long, value_name = "HEX")]
        has: Option<String>,
        /// Print the result for programs
        #[arg(long)]
        json: bool,
    },
}

/// The result, for programs.
#[derive(Serialize)]
struct Verified {
    whole: bool,
    lines: u64,
    head: Option<String>,
    fault: Option<String>,
}

pub fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify { file, has, json } = command;
    let bytes = std::fs::read(file);
    let bytes = bytes.with_context(|| format!("{} cannot be read", file.display()))?;
    let chain = verify(&bytes).map_err(|broken| broken.to_string());
    let chain = chain.and_then(|chain| match has {
        Some(hash) if !has_line(&bytes, hash) => Err(format!(
            "no line has the hash {hash}: its end was cut off, or it is another log"
        )),
        Some(_) | None => Ok(chain),
    });
    let whole = chain.is_ok();
    let name = file.display();
    match (chain, json) {
        (Ok(chain), false) => {
            let (lines, head) = (chain.lines, chain.head);
            let torn = match chain.torn {
                true => ", and a last one that was never finished",
                false => "",
            };
            say(&format!(
                "{name}: whole, {lines} lines{torn}; the last one's hash is {head}\n"
            ));
        }
        (Err(fault), false) => eprintln!("{name}: {fault}"),
        (Ok(chain), true) => say_json(&Verified {
            whole,
            lines: chain.lines,
            head: Some(chain.head),
            fault: None,
        }),
        (Err(fault), true) => say_json(&Verified {
            whole,
            lines: 0,
            head: None,
            fault: Some(fault),
        }),
    }
    Ok(exit(whole))
}

fn has_line(bytes: &[u8], hash: &str) -> bool {
    let end = format!("\"hash\":\"{hash}\"}}\n");
    let mut lines = bytes.split_inclusive(|b| *b == b'\n');
    lines.any(|line| line.ends_with(end.as_bytes()))
}
