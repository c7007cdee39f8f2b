//! `docs/features.md`: what there is of the list of features, what shows it, and what is missing.

use std::fmt::Write as _;

use super::found::{Evidence, evidence, read};
use super::is_fresh;

/// A line of `tests/conformance/features.txt`.
struct Feature {
    id: String,
    /// M, S, X, or `later`.
    priority: String,
    text: String,
    missing: Option<String>,
}

/// Sections in order: title and features.
fn sections() -> Vec<(String, Vec<Feature>)> {
    let text = read("tests/conformance/features.txt");
    let mut all: Vec<(String, Vec<Feature>)> = Vec::new();
    for line in text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        if let Some(title) = line.strip_prefix("= ") {
            all.push((title.to_owned(), Vec::new()));
        } else {
            let (head, text) = line.split_once(": ").unwrap();
            let (id, priority) = head.split_once(' ').unwrap();
            let (text, missing) = match text.split_once(" | ") {
                Some((text, missing)) => (text, Some(missing.to_owned())),
                None => (text, None),
            };
            all.last_mut().unwrap().1.push(Feature {
                id: id.to_owned(),
                priority: priority.to_owned(),
                text: text.to_owned(),
                missing,
            });
        }
    }
    all
}

fn shown<'e>(id: &str, evidence: &'e [Evidence]) -> Vec<&'e Evidence> {
    let these = evidence.iter().filter(|e| e.ids.iter().any(|i| i == id));
    these.collect()
}

/// A feature may be shown by dozens of cases; a reader follows a few.
const LINKS_MAX: usize = 6;

fn page() -> String {
    let evidence = evidence();
    let mut page = "# Features\n\nMade from the tests by `cargo xtask conformance`; wording, and what \
        is missing, is in `tests/conformance/features.txt`. M: Skype for Business Server had it; S: \
        enterprise session border controllers have it; X: neither. The rules of the call kernel \
        (K1 to K20) are in [conformance.md](conformance.md).\n"
        .to_owned();
    for (title, features) in sections() {
        _ = write!(
            page,
            "\n## {title}\n\n| id | | feature | shown by | missing |\n|---|---|---|---|---|\n"
        );
        for f in features {
            let all = shown(&f.id, &evidence);
            let link = |e: &&Evidence| format!("[{}](../{})", e.name.replace('|', "\\|"), e.path);
            let mut links: Vec<String> = all.iter().take(LINKS_MAX).map(link).collect();
            if all.len() > LINKS_MAX {
                links.push(format!("{} more", all.len() - LINKS_MAX));
            }
            _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                f.id,
                f.priority,
                f.text,
                links.join(", "),
                f.missing.unwrap_or_default()
            );
        }
    }
    page
}

#[test]
fn the_page_is_fresh() {
    is_fresh("docs/features.md", &page());
}

#[test]
fn every_feature_has_a_test_or_a_word_about_it() {
    let evidence = evidence();
    let bare: Vec<String> = sections()
        .into_iter()
        .flat_map(|(_, features)| features)
        .filter(|f| f.missing.is_none() && shown(&f.id, &evidence).is_empty())
        .map(|f| f.id)
        .collect();
    assert!(bare.is_empty(), "neither test nor remark: {bare:?}");
}

#[test]
fn tests_name_features_that_there_are() {
    let all = sections();
    let known: Vec<_> = all
        .iter()
        .flat_map(|(_, features)| features)
        .map(|f| f.id.as_str())
        .collect();
    for test in evidence() {
        let strange = test
            .ids
            .iter()
            .find(|id| !id.starts_with('K') && !known.contains(&id.as_str()));
        assert!(
            strange.is_none(),
            "{} {}: no feature {strange:?}",
            test.path,
            test.name
        );
    }
}
