//! The command line: what can be asked, and which exit code the answer has.
//!
//! Exit codes: 0 good; 1 the answer is no; 2 wrong use or unreadable input; 70 a bug of ours.

mod audit;
mod check;
mod ctl;
mod import;
mod policy;
mod replay;
mod route;
mod scaffold;
mod sign;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{self, Built, Interner};
use crate::resolve;
use crate::{builtin, demo, node};

/// The answer is no: a case differs, there is no route, the configuration has faults.
const NO: u8 = 1;
/// Wrong use, or input that cannot be read.
const MISUSE: u8 = 2;
/// A bug of ours.
const BUG: u8 = 70;

const EXAMPLES: &str = "\
Examples:
  intertrunk demo                                  a dozen real calls on this machine
  intertrunk check -c intertrunk.toml              is the configuration right?
  intertrunk route -c intertrunk.toml --from pbx-a --to +14255550100
  intertrunk run -c intertrunk.toml                the service
  intertrunk ctl calls                             what it is doing

Exit codes: 0 good, 1 the answer is no, 2 wrong use or unreadable input, 70 a bug.";

/// Routes SIP calls between trunks; Wasm policies decide where to.
#[derive(Parser)]
#[command(name = "intertrunk", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service
    #[command(after_help = RUN_EXAMPLES)]
    Run(node::RunArgs),
    /// Check a configuration: every key, policy, table and stored case
    #[command(after_help = check::EXAMPLES)]
    Check(check::CheckArgs),
    /// Ask where a call would go, and why
    #[command(after_help = route::EXAMPLES)]
    Route(route::RouteArgs),
    /// Make, build, inspect and test policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Look into an audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show real calls through a host with model PBXes and gateways, all on loopback
    #[command(after_help = "Example:\n  intertrunk demo --json | jq .calls")]
    Demo(DemoArgs),
    /// Make a configuration of what another product exported
    #[command(subcommand, after_help = import::EXAMPLES)]
    Import(import::ImportCommand),
    /// Talk to a running service
    #[command(after_help = ctl::EXAMPLES)]
    Ctl(ctl::CtlArgs),
    /// Print the completions of a shell
    #[command(after_help = "Example:\n  intertrunk completions bash > \
        ~/.local/share/bash-completion/completions/intertrunk")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

const RUN_EXAMPLES: &str = "\
Signals: SIGHUP reloads the configuration, all or nothing. SIGTERM or SIGINT
finishes the calls that are up and refuses new ones; a second one stops at once.

Examples:
  intertrunk run -c intertrunk.toml
  intertrunk run -c intertrunk.toml --log debug --log-format json";

/// How to show the demonstration.
#[derive(Args, Clone, Copy, Debug)]
pub struct DemoArgs {
    /// Print results for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // The default hook has printed the panic; what is left is the exit code of a bug.
    catch_unwind(AssertUnwindSafe(|| run(cli.command))).unwrap_or(ExitCode::from(BUG))
}

fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Run(args) => node::run(&args),
        Command::Demo(args) => return demo::run(args),
        Command::Check(args) => check::run(&args),
        Command::Route(args) => route::run(&args),
        Command::Policy(command) => policy::run(command),
        Command::Audit(command) => audit::run(&command),
        Command::Import(command) => import::run(command),
        Command::Ctl(args) => ctl::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "intertrunk", &mut script);
            say(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
    };
    match done {
        Ok(code) => code,
        Err(misuse) => {
            eprintln!("intertrunk: {}", in_one_line(&misuse));
            ExitCode::from(MISUSE)
        }
    }
}

/// An error and its causes, without those that an outer one has quoted.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            let colon = if line.is_empty() { "" } else { ": " };
            line = line + colon + &cause;
        }
    }
    line
}

/// The configuration for a command that needs a good one; its warnings go to standard error.
fn configuration(path: &Path) -> anyhow::Result<Built> {
    let built = config::load(path, &mut Interner::default())
        .map_err(|faults| anyhow::anyhow!("the configuration cannot be used\n{faults}"))?;
    let failed = resolve::once(&built.dns, &built.named())?;
    for warning in built.warnings.iter().chain(&built.unresolved(&failed)) {
        eprintln!("{warning}");
    }
    Ok(built)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The bytes of a module: those of a file, or of a policy inside this binary.
fn module_bytes(wasm: &Path) -> anyhow::Result<Vec<u8>> {
    let Some(name) = wasm.to_str().and_then(|it| it.strip_prefix("builtin:")) else {
        return read(wasm);
    };
    let module = builtin::policy(name).with_context(|| {
        let names = builtin::NAMES.join(", builtin:");
        format!("no policy \"{name}\" is inside this binary; there is builtin:{names}")
    })?;
    Ok(module.to_vec())
}

/// 0 if the answer is yes, 1 if it is no.
fn exit(yes: bool) -> ExitCode {
    if yes {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    }
}

/// Prints to standard output. A reader that has gone away, such as `head`, is no fault of ours.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a value for programs.
fn say_json<T: serde::Serialize>(value: &T) {
    let text = serde_json::to_string_pretty(value).expect("plain data with string keys is JSON");
    say(&format!("{text}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
