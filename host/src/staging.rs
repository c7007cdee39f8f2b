//! Policies of a configuration into their slots, and what is wrong with those that do not fit,
//! said at the place of the file that must change.

use std::path::Path;
use std::sync::Arc;

use intertrunk_policy::{Engine, GenerationInfo, LoadFault, Slot, World};

use crate::config::{Built, Fault, Faults, PolicySource, Severity};

/// A policy whose first generation is live.
pub struct Staged {
    /// Its slot.
    pub slot: Arc<Slot>,
    /// The generation.
    pub generation: GenerationInfo,
}

/// Compiles, checks and promotes every policy of `built`, running its cases. Takes as long as
/// compiling does: never call it from a shard. Reports the faults of all policies together.
pub fn stage_all(
    engine: &Engine,
    built: &Built,
    world: &Arc<dyn World>,
) -> Result<Vec<Staged>, Faults> {
    let mut staged = Vec::new();
    let mut faults = Vec::new();
    for policy in &built.policies {
        match stage(engine, policy, world) {
            Ok(one) => staged.push(one),
            Err(fault) => faults.extend(faults_of(&built.path, policy, &fault)),
        }
    }
    if faults.is_empty() {
        Ok(staged)
    } else {
        Err(Faults {
            faults,
            unreadable: false,
        })
    }
}

/// Compiles, checks and promotes one policy.
pub fn stage(
    engine: &Engine,
    policy: &PolicySource,
    world: &Arc<dyn World>,
) -> Result<Staged, LoadFault> {
    let slot = Arc::new(Slot::new(engine, &policy.name, policy.options.clone()));
    slot.stage(&policy.wasm, &policy.config, world, &policy.suites)?;
    let generation = slot.promote().expect("a generation has just been staged");
    Ok(Staged { slot, generation })
}

/// The same in one error, for a command that cannot go on.
pub fn as_error(file: &Path, policy: &PolicySource, fault: &LoadFault) -> anyhow::Error {
    let faults = faults_of(file, policy, fault);
    anyhow::Error::new(Faults {
        faults,
        unreadable: false,
    })
    .context(format!("policy {} cannot be loaded", policy.name))
}

/// What is wrong with a policy of the configuration file `file`.
pub fn faults_of(file: &Path, policy: &PolicySource, fault: &LoadFault) -> Vec<Fault> {
    let at_module = |key: &str, problem: String, remedy: &str| Fault {
        severity: Severity::Error,
        file: file.to_owned(),
        line: policy.line,
        column: policy.column,
        key: format!("policy.{}.{key}", policy.name),
        problem,
        remedy: remedy.to_owned(),
    };
    match fault {
        LoadFault::Configure(faults) => {
            let of_config = faults.iter().map(|fault| Fault {
                severity: Severity::Error,
                file: policy
                    .config_path
                    .clone()
                    .unwrap_or_else(|| file.to_owned()),
                line: fault
                    .line
                    .map_or(1, |line| usize::try_from(line).unwrap_or(usize::MAX)),
                column: 1,
                key: fault.path.clone(),
                problem: fault.problem.clone(),
                remedy: fault.remedy.clone().unwrap_or_default(),
            });
            of_config.collect()
        }
        LoadFault::Cases(reports) => {
            let differing = reports.iter().filter(|report| !report.passed());
            let of_cases = differing.map(|report| Fault {
                file: report.suite.clone(),
                line: report.line,
                column: 1,
                ..at_module("cases", report.to_string(), "")
            });
            of_cases.collect()
        }
        other => vec![at_module("module", other.to_string(), "")],
    }
}
