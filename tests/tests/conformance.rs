//! Which test shows which rule: `docs/conformance.md`, made from the tests themselves.
//!
//! A test says so in the first line of its doc comment, `/// K7, K13: …`; a scenario of the interop
//! run in a comment, `<!-- K7: … -->` or `# K7: …`. Wording of the rules and the table of RFCs are in
//! `tests/conformance`, kept by hand. `cargo xtask conformance` writes the page.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a test runs; a column of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Simulation,
    Flow,
    Unit,
    Interop,
}

const KINDS: [Kind; 4] = [Kind::Simulation, Kind::Flow, Kind::Unit, Kind::Interop];

/// One test that shows rules.
#[derive(Debug)]
struct Evidence {
    rules: Vec<String>,
    kind: Kind,
    name: String,
    /// From the root of the repository.
    path: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The rules in order: id and wording, from `K1: text` lines.
fn rules() -> Vec<(String, String)> {
    let text = read("tests/conformance/rules.txt");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rule = lines.map(|line| line.split_once(": ").unwrap());
    rule.map(|(id, text)| (id.to_owned(), text.to_owned()))
        .collect()
}

// ---- finding ----

fn evidence() -> Vec<Evidence> {
    let mut found = Vec::new();
    for path in files(&["host", "tests"]) {
        let Some(kind) = kind(&path) else { continue };
        let text = read(&path);
        match kind {
            Kind::Interop => of_scenario(&path, &text, &mut found),
            Kind::Simulation | Kind::Flow | Kind::Unit => of_tests(&path, kind, &text, &mut found),
        }
    }
    found.sort_by(|a, b| (a.kind, &a.path, &a.name).cmp(&(b.kind, &b.path, &b.name)));
    found
}

fn kind(path: &str) -> Option<Kind> {
    match path {
        p if p.starts_with("tests/interop/") => Some(Kind::Interop),
        p if !p.ends_with(".rs") => None,
        p if p.starts_with("tests/sim/") => Some(Kind::Simulation),
        p if p.starts_with("tests/flows/") => Some(Kind::Flow),
        p if p.starts_with("host/") => Some(Kind::Unit),
        _ => None,
    }
}

/// Every file below these folders, from the root, sorted.
fn files(folders: &[&str]) -> Vec<String> {
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

/// The rules that a comment begins with: `K7, K13: text`. Other ids (`F9`) may stand among them.
fn rules_of(comment: &str) -> Vec<String> {
    let Some((ids, _)) = comment.split_once(": ") else {
        return Vec::new();
    };
    let ids: Vec<&str> = ids.split(", ").collect();
    let is_id = |id: &&str| {
        let digits = id
            .strip_prefix(|c: char| c.is_ascii_uppercase())
            .unwrap_or("");
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    match ids.iter().all(is_id) {
        true => ids
            .iter()
            .filter(|id| id.starts_with('K'))
            .map(|id| (*id).to_owned())
            .collect(),
        false => Vec::new(),
    }
}

/// Functions behind `#[test]` whose doc comment begins with rules.
fn of_tests(path: &str, kind: Kind, text: &str, found: &mut Vec<Evidence>) {
    let (mut doc, mut is_test) = (None, false);
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            doc = doc.or(Some(comment));
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            let name = line
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            let rules = doc.map(rules_of).unwrap_or_default();
            if let Some(name) = name.filter(|_| is_test && !rules.is_empty()) {
                found.push(Evidence {
                    rules,
                    kind,
                    name: name.to_owned(),
                    path: path.to_owned(),
                });
            }
            (doc, is_test) = (None, false);
        }
    }
}

/// A scenario shows all rules that any of its comments begins with.
fn of_scenario(path: &str, text: &str, found: &mut Vec<Evidence>) {
    let comment = |line: &'_ str| {
        let line = line.trim();
        let body = line
            .strip_prefix("<!-- ")
            .or_else(|| line.strip_prefix("# "))?;
        Some(rules_of(body))
    };
    let mut rules: Vec<String> = text.lines().filter_map(comment).flatten().collect();
    rules.sort();
    rules.dedup();
    if !rules.is_empty() {
        let name = Path::new(path).file_stem().unwrap().to_str().unwrap();
        found.push(Evidence {
            rules,
            kind: Kind::Interop,
            name: name.to_owned(),
            path: path.to_owned(),
        });
    }
}

// ---- writing ----

fn page() -> String {
    let evidence = evidence();
    let mut page =
        "# Conformance\n\nMade from the tests by `cargo xtask conformance`; what is wrong \
        here is wrong in a test, or in `tests/conformance`.\n\n## The call kernel\n\nWhere other \
        B2BUAs broke in production, and what shows that this one does not.\n\n\
        | rule | | simulation | flows | unit and service | SIPp, Kamailio, baresip |\n\
        |---|---|---|---|---|---|\n"
            .to_owned();
    for (id, text) in rules() {
        _ = write!(page, "| {id} | {text} |");
        for kind in KINDS {
            let shown = evidence
                .iter()
                .filter(|e| e.kind == kind && e.rules.contains(&id));
            let links: Vec<String> = shown
                .map(|e| format!("[{}](../{})", e.name, e.path))
                .collect();
            _ = write!(page, " {} |", links.join(", "));
        }
        page.push('\n');
    }
    page + "\n" + &hostile() + "\n" + &read("tests/conformance/rfcs.md")
}

/// What is sent by strangers.
fn hostile() -> String {
    let torture = files(&["host/sip/tests"])
        .iter()
        .filter(|p| p.ends_with(".dat"))
        .count();
    let mut text = format!(
        "## Hostile input\n\n| what | replayed by |\n|---|---|\n\
         | the {torture} torture messages of RFC 4475: read, refused and written back as its text says | \
         [torture.rs](../host/sip/tests/torture.rs) |\n"
    );
    let corpus = fs::read_dir(root().join("tests/fuzz/corpus")).unwrap();
    let mut targets: Vec<_> = corpus.map(|e| e.unwrap().file_name()).collect();
    targets.sort();
    for target in targets.iter().map(|name| name.to_str().unwrap()) {
        _ = writeln!(
            text,
            "| fuzz corpus [{target}](../tests/fuzz/corpus/{target}): where it began, and what \
             brought new coverage or broke a rule | [corpus.rs](../tests/fuzz/corpus.rs) |"
        );
    }
    text
}

// ---- tests ----

#[test]
fn the_page_is_fresh() {
    let path = root().join("docs/conformance.md");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/conformance.md is stale; run: cargo xtask conformance"
    );
}

#[test]
fn every_rule_has_a_test() {
    let evidence = evidence();
    let shown = |id: &String| {
        evidence
            .iter()
            .any(|e| e.kind != Kind::Interop && e.rules.contains(id))
    };
    let bare: Vec<_> = rules()
        .into_iter()
        .map(|(id, _)| id)
        .filter(|id| !shown(id))
        .collect();
    assert!(
        bare.is_empty(),
        "no simulation, flow or unit test shows {bare:?}"
    );
}

#[test]
fn tests_name_rules_that_there_are() {
    let known: Vec<_> = rules().into_iter().map(|(id, _)| id).collect();
    for test in evidence() {
        let strange: Vec<_> = test.rules.iter().filter(|id| !known.contains(id)).collect();
        assert!(
            strange.is_empty(),
            "{} {}: no rule {strange:?}",
            test.path,
            test.name
        );
    }
}

#[test]
fn comments_are_found_where_they_begin_with_rules() {
    assert_eq!(rules_of("K7, K13: both"), ["K7", "K13"]);
    assert_eq!(rules_of("K5, F9: once it has rung"), ["K5"]);
    for none in [
        "K7 is about glare",
        "Note: nothing",
        "RFC 3261: K7",
        "K: x",
        "as K7: x",
    ] {
        assert!(rules_of(none).is_empty(), "{none}");
    }
    let mut found = Vec::new();
    let text = "/// K1: shown.\n/// And more.\n#[test]\nfn yes() {}\n/// K2: no test.\nfn no() {}\n\
        /// Plain.\n#[test]\nfn neither() {}\n";
    of_tests("x.rs", Kind::Unit, text, &mut found);
    of_scenario(
        "y/z.xml",
        "<?xml?>\n <!-- K3: one -->\n<!-- K3, K4: two -->",
        &mut found,
    );
    let seen: Vec<_> = found
        .iter()
        .map(|e| (e.name.as_str(), e.rules.join(" ")))
        .collect();
    assert_eq!(seen, [("yes", "K1".to_owned()), ("z", "K3 K4".to_owned())]);
}
