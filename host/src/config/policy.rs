//! Policies: their module, their configuration and their cases, read; their fallbacks, resolved.

use std::collections::HashMap;
use std::sync::Arc;

use intertrunk_policy::Options;
use intertrunk_policy::signature::Trust;
use intertrunk_proto::{Fallback, Policy};

use super::build::Names;
use super::file::{FallbackEntry, PolicyEntry};
use super::read::{At, nearest};
use super::{PolicySource, read_text, signing};
use crate::builtin;

/// All policies that are right, each as the machines see it and as it is staged.
pub fn all(
    names: &Names<'_>,
    entries: &[PolicyEntry],
    trust: Option<&Arc<Trust>>,
) -> Vec<(Policy, PolicySource)> {
    refuse_fallback_cycles(names, entries);
    entries
        .iter()
        .filter_map(|entry| one(names, entry, trust))
        .collect()
}

fn one(
    names: &Names<'_>,
    entry: &PolicyEntry,
    trust: Option<&Arc<Trust>>,
) -> Option<(Policy, PolicySource)> {
    // All are read before any `?`, so that each reports what is wrong with it.
    let wasm = entry.module.as_ref().map(|at| module(names, at));
    let config = entry
        .config
        .as_ref()
        .map(|at| read_text(names.source(), at));
    let suites = entry.cases.as_ref().map(|at| cases(names, at));
    let fallback = fallback(names, &entry.fallback.value);
    let trunks = grants(names, entry);
    let trust = signing::of_policy(names.source(), trust, entry);
    entry.tables.iter().for_each(|at| names.granted_table(at));
    entry.sources.iter().for_each(|at| names.granted_source(at));

    let id = names.policy(&entry.name)?;
    let usual = Options::default();
    let deadline = entry.deadline.unwrap_or(usual.deadline);
    let (config_path, config) = match config {
        Some(read) => read.map(|(path, text)| (Some(path), text))?,
        None => (None, String::new()),
    };
    let module = entry.module.as_ref()?;
    let (line, column) = names.source().line_and_column(module.place.offset);
    let name: Arc<str> = entry.name.value.as_str().into();
    let source = PolicySource {
        id,
        name: Arc::clone(&name),
        line,
        column,
        module: module.value.as_str().into(),
        wasm: wasm??,
        config: config.into(),
        config_path,
        suites: suites.unwrap_or_else(|| Some(Vec::new()))?,
        options: Options {
            deadline,
            memory_bytes: entry.memory.unwrap_or(usual.memory_bytes),
            isolation: entry.isolation,
            trunks: trunks.clone(),
            tables: entry.tables.iter().map(|at| at.value.clone()).collect(),
            trust,
            ..usual
        },
    };
    Some((
        Policy {
            id,
            name,
            deadline,
            fallback: fallback?,
            trunks,
            sources: entry.sources.iter().map(|at| at.value.clone()).collect(),
        },
        source,
    ))
}

fn module(names: &Names<'_>, at: &At<String>) -> Option<Arc<[u8]>> {
    let source = names.source();
    if let Some(name) = at.value.strip_prefix("builtin:") {
        let bytes = builtin::policy(name);
        if bytes.is_none() {
            let known = builtin::NAMES.iter().copied();
            let remedy = nearest(name, known).unwrap_or(builtin::NAMES[0]);
            let problem = format!("no policy \"{name}\" is inside this binary");
            source.fault(
                &at.place,
                problem,
                format!("write module = \"builtin:{remedy}\""),
            );
        }
        return bytes.map(Arc::from);
    }
    if at.value.starts_with("oci://") {
        source.fault(
            &at.place,
            "registries are not in this version",
            "name a .wasm file",
        );
        return None;
    }
    let path = source.beside(&at.value);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            let problem = format!("{} cannot be read: {error}", path.display());
            source.fault(
                &at.place,
                problem,
                "build it with `intertrunk policy build DIR -o FILE`",
            );
            None
        }
    }
}

fn cases(names: &Names<'_>, at: &At<String>) -> Option<Vec<intertrunk_cases::Suite>> {
    use intertrunk_cases::CaseFault;
    let source = names.source();
    match intertrunk_cases::load(&source.beside(&at.value)) {
        Ok(suites) => return Some(suites),
        Err(CaseFault::Malformed {
            path,
            line,
            column,
            problem,
        }) => {
            source.fault_in(path, (line, column), &at.place, problem);
        }
        Err(fault @ (CaseFault::Unreadable { .. } | CaseFault::Empty { .. })) => {
            let remedy = "name a case file, or a folder of case files (*.toml)";
            source.fault(&at.place, fault, remedy);
        }
    }
    None
}

fn fallback(names: &Names<'_>, entry: &FallbackEntry) -> Option<Fallback> {
    match entry {
        FallbackEntry::Reject(code) => Some(Fallback::Reject(*code)),
        FallbackEntry::Route(trunks) => {
            let known: Vec<_> = trunks.iter().filter_map(|at| names.trunk(at)).collect();
            (known.len() == trunks.len()).then_some(Fallback::Route(known))
        }
        FallbackEntry::Policy(at) => names.policy(at).map(Fallback::Policy),
    }
}

fn grants(names: &Names<'_>, entry: &PolicyEntry) -> Vec<String> {
    let Some(written) = &entry.trunks else {
        return vec!["*".to_owned()];
    };
    written.iter().for_each(|at| names.granted_trunk(at));
    written.iter().map(|at| at.value.clone()).collect()
}

/// A fallback that leads back to its own policy would ask for ever.
fn refuse_fallback_cycles(names: &Names<'_>, entries: &[PolicyEntry]) {
    let next: HashMap<&str, &At<String>> = entries
        .iter()
        .filter_map(|entry| match &entry.fallback.value {
            FallbackEntry::Policy(at) => Some((entry.name.value.as_str(), at)),
            FallbackEntry::Reject(_) | FallbackEntry::Route(_) => None,
        })
        .collect();
    for entry in entries {
        let start = entry.name.value.as_str();
        let mut chain = vec![start];
        while let Some(at) = next.get(chain[chain.len() - 1]) {
            chain.push(&at.value);
            if at.value == start {
                let problem = format!("leads back to itself: {}", chain.join(" -> "));
                let remedy = "end the chain with { reject = 503 } or { route = [\"gw-a\"] }";
                names.source().fault(&entry.fallback.place, problem, remedy);
                break;
            }
            // Led into a circle that this policy is not part of; its members report it.
            if chain.len() > entries.len() {
                break;
            }
        }
    }
}
