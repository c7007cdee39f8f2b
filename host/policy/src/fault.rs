//! What can be wrong with a module before it decides anything, said so that the one who can mend it
//! knows how. Faults of decisions are [`PolicyFault`]s, which the machines know.

use std::fmt;

use intertrunk_cases::CaseReport;
use intertrunk_proto::ask::PolicyFault;
use serde::Serialize;

use crate::bindings::PACKAGE;
use crate::signature::SignatureFault;

/// Why a module cannot become a generation.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// The engine cannot run on this machine.
    #[error("WebAssembly cannot run on this machine: {0}")]
    Engine(String),
    /// Bytes of something else.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(&'static str),
    /// A core module that says nothing of the component it means to be.
    #[error(
        "a core module without a component type, so not a policy; build it with intertrunk-sdk \
         and `intertrunk policy build`, or pass a component"
    )]
    NoComponentType,
    /// A core module that cannot be wrapped as a component.
    #[error("the core module does not fit its component type: {0}")]
    Componentize(String),
    /// Signed by nobody who is trusted, or not signed well.
    #[error("refused: {0}")]
    Signature(#[from] SignatureFault),
    /// WebAssembly that this host does not run.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// A component of another world.
    #[error("not a policy of {PACKAGE}: {}", list(.0))]
    World(Vec<WorldFault>),
    /// The manifest asks for what the configuration did not grant.
    #[error("asks for what it was not granted: {}", ungranted(.trunks, .tables))]
    Ungranted {
        /// Trunks.
        trunks: Vec<String>,
        /// Tables.
        tables: Vec<String>,
    },
    /// The guest failed before its first decision.
    #[error("failed in {during}: {fault}{}", remedy(.during, .fault))]
    Guest {
        /// `start`, `describe` or `configure`.
        during: &'static str,
        /// How it failed.
        fault: PolicyFault,
    },
    /// The policy refuses its settings.
    #[error("its settings are refused:\n{}", lines(.0))]
    Configure(Vec<ConfigureFault>),
    /// The candidate before it decides for a share of the calls.
    #[error("a canary decides calls; promote it or roll it back first")]
    CanaryDecides,
    /// Cases that differ, and those that do not.
    #[error("{}", cases(.0))]
    Cases(Vec<CaseReport>),
    /// A fresh instance for each decision would take longer than a decision may.
    #[error(
        "configuring an instance takes {configure_us} µs, too long for isolation = \"call\" under a \
         deadline of {deadline_us} µs; make `configure` cheaper, raise the deadline, or use \
         isolation = \"warm\""
    )]
    SlowConfigure {
        /// Time to instantiate and configure, microseconds.
        configure_us: u128,
        /// Deadline of a decision, microseconds.
        deadline_us: u128,
    },
}

/// One way in which a component differs from the policy world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorldFault {
    /// It exports no policy interface.
    MissingExport(String),
    /// It imports what this host does not have.
    ForeignImport(String),
    /// It imports or exports another version of the contract.
    OtherVersion(String),
    /// A function of the contract has other parameters or results.
    Signature(String),
}

impl fmt::Display for WorldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorldFault::MissingExport(name) => write!(f, "it does not export {name}"),
            WorldFault::ForeignImport(name) if name.starts_with("wasi:") => write!(
                f,
                "it imports {name}, and a policy has no WASI (no files, clocks or sockets): build \
                 for wasm32-unknown-unknown, or stub WASI out"
            ),
            WorldFault::ForeignImport(name) => {
                write!(f, "it imports {name}, which this host does not have")
            }
            WorldFault::OtherVersion(name) => {
                write!(f, "it uses {name}: build it with the SDK of this host")
            }
            WorldFault::Signature(what) => write!(
                f,
                "its types are not those of the contract ({what}): build it with the SDK of this host"
            ),
        }
    }
}

/// One thing that a policy finds wrong with its settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConfigureFault {
    /// The setting, such as `route[2].prefix`; empty for all of them.
    pub path: String,
    /// Line of the settings, counted from 1.
    pub line: Option<u32>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl fmt::Display for ConfigureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Why a slot cannot change its generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SlotFault {
    /// Nothing to promote.
    #[error("no generation is staged; stage a module first")]
    NothingStaged,
    /// Another module than the one that was meant.
    #[error("another module has been staged meanwhile; look at it before you promote it")]
    OtherStaged,
    /// Nothing that a share could be taken from.
    #[error("no generation is live; promote this one")]
    NothingLive,
    /// The candidate decides for a share of the calls already.
    #[error("a canary decides calls; promote it or roll it back first")]
    CanaryDecides,
    /// Nothing to go back to.
    #[error("there is no previous generation to go back to")]
    NoPrevious,
}

fn list(faults: &[WorldFault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn lines(faults: &[ConfigureFault]) -> String {
    faults
        .iter()
        .map(|fault| format!("  {fault}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn ungranted(trunks: &[String], tables: &[String]) -> String {
    let of = |what: &str, key: &str, names: &[String]| {
        let names = names
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ");
        format!("{what} {names} (add to `{key}` of the policy)")
    };
    let trunks = (!trunks.is_empty()).then(|| of("trunk", "trunks", trunks));
    let tables = (!tables.is_empty()).then(|| of("table", "tables", tables));
    trunks
        .into_iter()
        .chain(tables)
        .collect::<Vec<_>>()
        .join(", ")
}

fn cases(reports: &[CaseReport]) -> String {
    let differing: Vec<_> = reports.iter().filter(|report| !report.passed()).collect();
    let all = differing
        .iter()
        .map(|report| format!("\n{report}"))
        .collect::<String>();
    format!("{} of {} cases differ{all}", differing.len(), reports.len())
}

fn remedy(during: &str, fault: &PolicyFault) -> &'static str {
    match (during, fault) {
        (_, PolicyFault::Memory) => "; raise `memory` of the policy, or let it keep less",
        ("configure", PolicyFault::Timeout) => "; it must be done with its settings in that time",
        (_, PolicyFault::NotReady) => "; too many instances are in use, try again",
        _ => "",
    }
}
