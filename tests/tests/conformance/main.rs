//! Which test shows which rule or feature: `docs/conformance.md` and `docs/features.md`, made from the
//! tests themselves.
//!
//! A test says so in the first line of its doc comment, `/// K7, K13: …`; a scenario of the interop
//! run in a comment, `<!-- K7: … -->` or `# K7: …`; a stored case in its name. Wording of the rules and
//! features and the table of RFCs are in `tests/conformance`, kept by hand. `cargo xtask conformance`
//! writes the pages.

#![allow(clippy::unwrap_used)]

mod features;
mod found;

use std::fmt::Write as _;
use std::fs;

use found::{Evidence, Kind, evidence, files, read, root};

/// Columns of the table of rules.
const KINDS: [Kind; 4] = [Kind::Simulation, Kind::Flow, Kind::Unit, Kind::Interop];

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
                .filter(|e| e.kind == kind && e.ids.contains(&id));
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

/// Compares a page with the file, or writes it.
fn is_fresh(path: &str, page: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, page).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == page,
        "{path} is stale; run: cargo xtask conformance"
    );
}

#[test]
fn the_page_is_fresh() {
    is_fresh("docs/conformance.md", &page());
}

#[test]
fn every_rule_has_a_simulation_or_a_flow() {
    let evidence = evidence();
    let shown = |id: &String| {
        let whole = |e: &&Evidence| matches!(e.kind, Kind::Simulation | Kind::Flow);
        evidence.iter().filter(whole).any(|e| e.ids.contains(id))
    };
    let bare: Vec<_> = rules()
        .into_iter()
        .map(|(id, _)| id)
        .filter(|id| !shown(id))
        .collect();
    assert!(bare.is_empty(), "no simulation or flow shows {bare:?}");
}

#[test]
fn tests_name_rules_that_there_are() {
    let known: Vec<_> = rules().into_iter().map(|(id, _)| id).collect();
    for test in evidence() {
        let strange = test
            .ids
            .iter()
            .find(|id| id.starts_with('K') && !known.contains(id));
        assert!(
            strange.is_none(),
            "{} {}: no rule {strange:?}",
            test.path,
            test.name
        );
    }
}
