//! Runs case files against a policy, natively.

use std::path::Path;

use intertrunk_cases::{Case, CaseReport, Suite, load};

use super::convert::{outcome_of, query_of};
use super::host::Host;
use crate::Policy;

/// Decides all cases of a file, or of the `*.toml` of a folder, with `P`. A relative path starts at
/// the package's folder, where `cargo test` runs.
///
/// # Panics
/// If a file cannot be read, if the policy refuses its settings, and if a decision differs from
/// what its case expects; the message shows all differences, and why the policy decided so.
#[track_caller]
pub fn run_cases<P: Policy>(dir_or_file: impl AsRef<Path>) {
    let suites = match load(dir_or_file.as_ref()) {
        Ok(suites) => suites,
        Err(fault) => panic!("{fault}"),
    };
    let reports: Vec<CaseReport> = suites.iter().flat_map(run_suite::<P>).collect();
    let differing: Vec<String> = reports
        .iter()
        .filter(|report| !report.passed())
        .map(ToString::to_string)
        .collect();
    if !differing.is_empty() {
        let (count, all) = (differing.len(), reports.len());
        panic!(
            "{count} of {all} cases differ\n\n{}\n",
            differing.join("\n\n")
        );
    }
}

fn run_suite<P: Policy>(suite: &Suite) -> Vec<CaseReport> {
    let policy = {
        let _host = host(suite).trunks(suite.trunks.clone()).install();
        P::configure(suite.config.as_deref().unwrap_or_default())
    };
    match policy {
        Ok(policy) => suite
            .cases
            .iter()
            .map(|case| run_case(&policy, suite, case))
            .collect(),
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!(
                "{}: the policy refuses its settings\n{}",
                suite.path.display(),
                faults.join("\n")
            )
        }
    }
}

fn run_case<P: Policy>(policy: &P, suite: &Suite, case: &Case) -> CaseReport {
    let host = host(suite).trunks(suite.trunks_of(case)).install();
    let mut facts = case.facts();
    let mut headers = P::describe().headers;
    headers.extend(policy.headers());
    facts.keep_headers(&headers);
    let verdict = policy.decide(&query_of(facts));
    suite.report(case, outcome_of(verdict), host.because())
}

fn host(suite: &Suite) -> Host {
    Host::new().tables(&suite.tables)
}
