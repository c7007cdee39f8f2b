//! Replays the corpus: what fuzzing has found once, and what it starts from, is tried in every run
//! of the tests.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use intertrunk_fuzz::TARGETS;

/// All of the corpus together, so that a clone stays small.
const BYTES_MAX: u64 = 1 << 20;

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut inputs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    inputs.sort();
    inputs
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(n, _)| *n == name).unwrap();
    let inputs = inputs(name);
    assert!(
        inputs.len() > 10,
        "{name}: {} inputs prove nothing",
        inputs.len()
    );
    for input in inputs {
        let data = fs::read(&input).unwrap();
        let outcome = std::panic::catch_unwind(|| target(&data));
        assert!(outcome.is_ok(), "{} breaks a rule", input.display());
    }
}

#[test]
fn bytes() {
    replay("bytes");
}

#[test]
fn stream() {
    replay("stream");
}

#[test]
fn values() {
    replay("values");
}

#[test]
fn calls() {
    replay("calls");
}

#[test]
fn the_corpus_stays_small() {
    let all = TARGETS.iter().flat_map(|(name, _)| inputs(name));
    let bytes: u64 = all.map(|input| fs::metadata(input).unwrap().len()).sum();
    assert!(
        bytes <= BYTES_MAX,
        "{bytes} bytes; run `cargo xtask fuzz --keep`"
    );
}
