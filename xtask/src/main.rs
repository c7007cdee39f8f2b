//! The repository's commands, `cargo xtask …`: one file each.
//!
//! Owns how the project is built, tried and checked on a developer's machine and in CI; nothing
//! here is part of the product.

mod bench;
mod cargo;
mod ci;
mod conformance;
mod demo;
mod fuzz;
mod interop;
mod javascript;
mod lint;
mod mutate;
mod test;
mod wasm_target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Build, try and check Intertrunk",
    disable_version_flag = true
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Place real calls through the host in an embedded PBX-to-PBX-to-PSTN world
    Demo {
        /// Handed on to `intertrunk demo`, such as --json
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Every test that needs no outside program
    Test {
        /// Handed on to `cargo test`, such as -p intertrunk-proto
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// SIPp, Kamailio and baresip around `intertrunk run`: every call checked on both sides
    Interop(interop::Args),
    /// SIPp load through Intertrunk and through Kamailio: CPU, delay and memory of a call
    Bench(bench::Args),
    /// The policy in JavaScript: built with npm, its cases decided by the host
    Javascript,
    /// libFuzzer on datagrams, streams, values and whole calls
    Fuzz(fuzz::Args),
    /// Write docs/conformance.md: which test shows which rule
    Conformance,
    /// Break the rules of the call on purpose: the simulator must notice each fault
    Mutate {
        /// Parts of the names of faults in tests/mutations; all if there are none
        names: Vec<String>,
    },
    /// Formatting and clippy, as CI wants them
    Lint,
    /// Lint, test, demo, interop and the JavaScript policy, as CI runs them
    Ci,
}

fn main() -> ExitCode {
    let outcome = wasm_target::ensure().and_then(|()| match Args::parse().command {
        Command::Demo { args } => demo::run(&args),
        Command::Test { args } => test::run(&args),
        Command::Interop(args) => interop::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Javascript => javascript::run(),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Conformance => conformance::run(),
        Command::Mutate { names } => mutate::run(&names),
        Command::Lint => lint::run(),
        Command::Ci => ci::run(),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}
