//! House style as a test: what CONTRIBUTING.md asks for and a machine can see.
//!
//! Each test reads the sources and lists every place that breaks its rule, with the line.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this has two things to say.
const LINES_MAX: usize = 600;
/// Half of all files are no longer than this.
const LINES_MEDIAN_MAX: usize = 250;

struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All files below the root with one of these endings, sorted.
fn files(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["host", "guest-sdk", "policies", "tests", "xtask"]
        .map(|name| root().join(name))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) && path.is_file() {
                let text = fs::read_to_string(&path).unwrap();
                let path = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no sources below {}", root().display());
    found
}

/// Every line of code, comments left out, in which `broken` sees one of its needles.
fn lines_with<'s>(sources: impl Iterator<Item = &'s Source>, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in (1..).zip(source.text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(needle) = needles.iter().find(|needle| code.contains(**needle)) {
                found.push(format!("{}:{number}: {needle}", source.path));
            }
        }
    }
    found
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Code of a crate that ships: not its tests, examples and build script.
fn in_src(source: &Source, room: &str) -> bool {
    source.path.starts_with(&format!("{room}/src/"))
}

#[test]
fn every_file_opens_by_saying_what_it_owns() {
    let silent = files(&[".rs"])
        .into_iter()
        .filter(|s| !s.text.starts_with("//! "));
    assert_none(
        "a file opens with `//!`",
        &silent.map(|s| s.path).collect::<Vec<_>>(),
    );
}

#[test]
fn files_stay_short() {
    let mut lengths: Vec<(usize, String)> = files(&[".rs"])
        .into_iter()
        .map(|s| (s.text.lines().count(), s.path))
        .collect();
    lengths.sort();
    let long = lengths.iter().filter(|(lines, _)| *lines > LINES_MAX);
    let long: Vec<String> = long
        .map(|(lines, path)| format!("{path}: {lines}"))
        .collect();
    assert_none("a file has at most 600 lines", &long);
    let (median, _) = lengths[lengths.len() / 2];
    assert!(
        median <= LINES_MEDIAN_MAX,
        "the median file has {median} lines"
    );
}

#[test]
fn names_say_what_a_file_is_for() {
    let vague = [
        "util.rs",
        "utils.rs",
        "helpers.rs",
        "manager.rs",
        "handler.rs",
        "common.rs",
    ];
    let found = files(&[".rs"]).into_iter().map(|s| s.path);
    let found: Vec<_> = found
        .filter(|p| vague.contains(&p.rsplit('/').next().unwrap_or_default()))
        .collect();
    assert_none("no util, manager or handler", &found);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not break its own rule.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]].map(|m| m.concat());
    let macros = [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"]].map(|m| m.concat());
    let mut broken = Vec::new();
    for source in files(&[".rs", ".toml", ".xml"]) {
        for (number, line) in (1..).zip(source.text.lines()) {
            if let Some(mark) = marks
                .iter()
                .chain(&macros)
                .find(|m| line.contains(m.as_str()))
            {
                broken.push(format!("{}:{number}: {mark}", source.path));
            }
        }
    }
    assert_none("nothing is left for later", &broken);
}

#[test]
fn words_and_machines_know_no_clock_and_no_io() {
    let all = files(&[".rs"]);
    let rooms = all
        .iter()
        .filter(|s| in_src(s, "host/sip") || in_src(s, "host/proto"));
    let world = [
        "Instant::now",
        "SystemTime",
        "std::fs",
        "std::env::",
        "std::thread",
        "std::process",
        "UdpSocket",
        "TcpStream",
        "tokio",
        "mio::",
        "println!",
    ];
    assert_none(
        "sip and proto know no clock and no IO",
        &lines_with(rooms, &world),
    );
}

#[test]
fn rsip_is_known_to_one_file() {
    let all = files(&[".rs"]);
    let others = all.iter().filter(|s| s.path != "host/sip/src/rsip.rs");
    let needles = [
        "use rsip",
        " rsip::",
        "(rsip::",
        "<rsip::",
        "&rsip::",
        "extern crate rsip",
    ];
    let found = lines_with(others.filter(|s| s.path != "tests/tests/tidy.rs"), &needles);
    assert_none("rsip stays behind host/sip/src/rsip.rs", &found);
}

#[test]
fn wasmtime_is_known_to_one_room() {
    let all = files(&[".rs"]);
    let outside =
        |s: &&Source| !s.path.starts_with("host/policy/") && s.path != "tests/tests/tidy.rs";
    let found = lines_with(all.iter().filter(outside), &["wasmtime::", "use wasmtime"]);
    assert_none("wasmtime stays in host/policy", &found);
}

#[test]
fn arrows_between_rooms_point_one_way() {
    let above: [(&str, &[&str]); 5] = [
        (
            "host/sip/Cargo.toml",
            &[
                "intertrunk-proto",
                "intertrunk-policy",
                "wasmtime",
                "tokio",
                "mio",
            ],
        ),
        (
            "host/proto/Cargo.toml",
            &["intertrunk-policy", "wasmtime", "tokio", "mio", "socket2"],
        ),
        (
            "host/policy/Cargo.toml",
            &["tokio", "mio", "socket2", "axum"],
        ),
        (
            "guest-sdk/Cargo.toml",
            &["intertrunk-sip", "intertrunk-proto", "intertrunk-policy"],
        ),
        (
            "guest-sdk/cases/Cargo.toml",
            &["intertrunk-sip", "intertrunk-proto", "wasmtime"],
        ),
    ];
    for (manifest, forbidden) in above {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for name in forbidden {
            let named = dependencies.lines().any(|line| line.starts_with(name));
            assert!(!named, "{manifest} must not depend on {name}");
        }
    }
}

#[test]
fn licences_and_documents_are_there() {
    for name in [
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/architecture.md",
        "docs/lexicon.md",
        "docs/testing.md",
    ] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
    // Every relative link in the documents leads to a file.
    let mut documents = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/decisions"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            documents.push(entry.unwrap().path());
        }
    }
    for document in documents
        .iter()
        .filter(|d| d.extension().is_some_and(|e| e == "md"))
    {
        let text = fs::read_to_string(document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let there = document.parent().unwrap().join(target).exists();
                assert!(there, "{}: dead link {link}", document.display());
            }
        }
    }
}
