//! Finding the tests, and the ids that each begins with.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a test runs; a column of the table of rules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Simulation,
    Flow,
    Unit,
    /// A stored case of a policy.
    Case,
    Interop,
}

/// One test that shows rules or features.
#[derive(Debug)]
pub struct Evidence {
    pub ids: Vec<String>,
    pub kind: Kind,
    pub name: String,
    /// From the root of the repository.
    pub path: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every test that begins with ids, sorted.
pub fn evidence() -> Vec<Evidence> {
    let mut found = Vec::new();
    for path in files(&[
        "host",
        "tests",
        "guest-sdk",
        "policies",
        "examples",
        "xtask",
    ]) {
        let Some(kind) = kind(&path) else { continue };
        let text = read(&path);
        match kind {
            Kind::Interop if path.ends_with(".rs") => of_interop(&path, &text, &mut found),
            Kind::Interop => of_scenario(&path, &text, &mut found),
            Kind::Case => of_cases(&path, &text, &mut found),
            Kind::Simulation | Kind::Flow | Kind::Unit => of_tests(&path, kind, &text, &mut found),
        }
    }
    found.sort_by(|a, b| (a.kind, &a.path, &a.name).cmp(&(b.kind, &b.path, &b.name)));
    found
}

fn kind(path: &str) -> Option<Kind> {
    match path {
        p if p.starts_with("tests/interop/") => Some(Kind::Interop),
        p if p.contains("/cases/") && p.ends_with(".toml") => Some(Kind::Case),
        p if !p.ends_with(".rs") => None,
        p if p.starts_with("xtask/src/interop/") => Some(Kind::Interop),
        p if p.starts_with("tests/sim/") => Some(Kind::Simulation),
        p if p.starts_with("tests/flows/") => Some(Kind::Flow),
        p if p.starts_with("tests/") || p.starts_with("xtask/") => None,
        _ => Some(Kind::Unit),
    }
}

/// Every file below these folders, from the root, sorted.
pub fn files(folders: &[&str]) -> Vec<String> {
    let mut open: Vec<PathBuf> = folders.iter().map(|f| root().join(f)).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(root()).unwrap().to_str().unwrap();
            match path.is_dir() {
                true if relative.ends_with("/target") || relative.ends_with("/corpus") => {}
                true => open.push(path),
                false => found.push(relative.replace('\\', "/")),
            }
        }
    }
    found.sort();
    found
}

/// The ids that a comment begins with: `K7, K13: text`, or `R3 N4: text`.
pub fn ids_of(comment: &str) -> Vec<String> {
    let Some((ids, _)) = comment.split_once(": ") else {
        return Vec::new();
    };
    let ids: Vec<&str> = ids.split([',', ' ']).filter(|id| !id.is_empty()).collect();
    let is_id = |id: &&str| {
        let digits = id
            .strip_prefix(|c: char| c.is_ascii_uppercase())
            .unwrap_or("");
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    match ids.iter().all(is_id) {
        true => ids.into_iter().map(str::to_owned).collect(),
        false => Vec::new(),
    }
}

/// Functions behind `#[test]` whose doc comment begins with ids.
pub fn of_tests(path: &str, kind: Kind, text: &str, found: &mut Vec<Evidence>) {
    let (mut doc, mut is_test) = (None, false);
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            doc = doc.or(Some(comment));
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        } else {
            let function = line.strip_prefix("async ").unwrap_or(line);
            let name = function
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            let ids = doc.map(ids_of).unwrap_or_default();
            if let Some(name) = name.filter(|_| is_test) {
                push(found, ids, kind, name, path);
            }
            (doc, is_test) = (None, false);
        }
    }
}

/// A scenario shows all rules that any of its comments begins with.
pub fn of_scenario(path: &str, text: &str, found: &mut Vec<Evidence>) {
    let comment = |line: &'_ str| {
        let line = line.trim();
        let body = line
            .strip_prefix("<!-- ")
            .or_else(|| line.strip_prefix("# "))?;
        Some(ids_of(body))
    };
    let mut ids: Vec<String> = text.lines().filter_map(comment).flatten().collect();
    ids.sort();
    ids.dedup();
    let name = Path::new(path).file_stem().unwrap().to_str().unwrap();
    push(found, ids, Kind::Interop, name, path);
}

/// A line `rules: "F1, F3",` of the interop run shows what it says, but for the rules of the kernel:
/// those are named by the scenario's own files.
fn of_interop(path: &str, text: &str, found: &mut Vec<Evidence>) {
    let quoted = |line: &str, key: &str| {
        let rest = line.trim().strip_prefix(key)?.strip_prefix(": \"")?;
        Some(rest.split('"').next()?.to_owned())
    };
    let mut name = String::new();
    for line in text.lines() {
        if let Some(new) = quoted(line, "name") {
            name = new;
        } else if let Some(ids) = quoted(line, "rules") {
            let mut ids = ids_of(&(ids + ": "));
            ids.retain(|id| !id.starts_with('K'));
            push(found, ids, Kind::Interop, &name, path);
        }
    }
}

/// A stored case whose name begins with ids.
fn of_cases(path: &str, text: &str, found: &mut Vec<Evidence>) {
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("name = \""));
    for name in names.map(|rest| rest.trim_end_matches('"')) {
        let what = name.split_once(": ").map_or(name, |(_, what)| what);
        push(found, ids_of(name), Kind::Case, what, path);
    }
}

fn push(found: &mut Vec<Evidence>, ids: Vec<String>, kind: Kind, name: &str, path: &str) {
    if !ids.is_empty() {
        found.push(Evidence {
            ids,
            kind,
            name: name.to_owned(),
            path: path.to_owned(),
        });
    }
}

#[test]
fn comments_are_found_where_they_begin_with_ids() {
    assert_eq!(ids_of("K7, K13: both"), ["K7", "K13"]);
    assert_eq!(ids_of("R3 N4: a case"), ["R3", "N4"]);
    for none in [
        "K7 is about glare",
        "Note: nothing",
        "RFC 3261: K7",
        "K: x",
        "as K7: x",
    ] {
        assert!(ids_of(none).is_empty(), "{none}");
    }
    let mut found = Vec::new();
    let text = "/// K1: shown.\n/// And more.\n#[test]\nfn yes() {}\n/// K2: no test.\nfn no() {}\n\
        /// Plain.\n#[test]\nfn neither() {}\n/// F1: waits.\n#[tokio::test]\nasync fn later() {}\n";
    of_tests("x.rs", Kind::Unit, text, &mut found);
    of_scenario(
        "y/z.xml",
        "<?xml?>\n <!-- K3: one -->\n<!-- K3, K4: two -->",
        &mut found,
    );
    let text = "Case {\n    name: \"down\",\n    rules: \"F1, K6\",\n";
    of_interop("cases.rs", text, &mut found);
    of_cases(
        "c/cases/x.toml",
        "name = \"R3: backup\"\nname = \"plain\"\n",
        &mut found,
    );
    let seen: Vec<_> = found
        .iter()
        .map(|e| (e.name.as_str(), e.ids.join(" ")))
        .collect();
    let expected = [
        ("yes", "K1"),
        ("later", "F1"),
        ("z", "K3 K4"),
        ("down", "F1"),
        ("backup", "R3"),
    ];
    assert_eq!(seen, expected.map(|(name, ids)| (name, ids.to_owned())));
}
