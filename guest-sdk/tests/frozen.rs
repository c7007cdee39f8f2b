//! The contract of a release is never changed in place (`wit/README.md`).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// `0.1.0` of `package intertrunk:policy@0.1.0;`
fn version_of(wit: &str) -> &str {
    let package = wit
        .lines()
        .find_map(|line| line.strip_prefix("package intertrunk:policy@"));
    package.unwrap().trim_end_matches(';')
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// File and checksum of each released version.
fn sums(released: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(released.join("SHA256SUMS")).unwrap();
    let pair = |line: &str| {
        let (sum, file) = line.split_once("  ").unwrap();
        (file.to_owned(), sum.to_owned())
    };
    text.lines().map(pair).collect()
}

/// What was changed that may not be, and what to do instead.
fn check(current: &str, released: &Path) -> Result<(), String> {
    let sums = sums(released);
    let mut files: Vec<String> = fs::read_dir(released)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".wit"))
        .collect();
    files.sort();
    if !files.iter().eq(sums.keys()) {
        return Err(format!(
            "wit/released has {files:?}, but SHA256SUMS names {:?}; a released version stays there \
             for ever: restore what is missing",
            sums.keys()
        ));
    }
    for (file, sum) in &sums {
        if sha256(&fs::read_to_string(released.join(file)).unwrap()) != *sum {
            return Err(format!(
                "wit/released/{file} was changed after its release; restore it with `git checkout`"
            ));
        }
    }
    let version = version_of(current);
    match sums.get(&format!("{version}.wit")) {
        Some(sum) if *sum != sha256(current) => Err(format!(
            "wit/policy.wit was changed, but version {version} is released: policies exist that were \
             built against it. Give the changed contract a version of its own at the head of the \
             file; wit/README.md says which"
        )),
        _ => Ok(()),
    }
}

#[test]
fn no_released_contract_was_changed() {
    let wit = fs::read_to_string(root().join("wit/policy.wit")).unwrap();
    if let Err(why) = check(&wit, &root().join("wit/released")) {
        panic!("{why}");
    }
}

#[test]
fn a_release_freezes_its_contract() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let mut headings = changelog.lines().filter(|line| line.starts_with("## "));
    let is_released = headings.any(|line| !line.starts_with("## Unreleased"));
    assert!(
        !is_released || !sums(&root().join("wit/released")).is_empty(),
        "CHANGELOG.md tells of a release, but no contract is frozen; wit/README.md says how"
    );
}

/// A folder of releases with 0.1.0 in it.
fn released(name: &str) -> (PathBuf, String) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let wit = "package intertrunk:policy@0.1.0;\ninterface a {}\n".to_owned();
    fs::write(folder.join("0.1.0.wit"), &wit).unwrap();
    let sums = format!("{}  0.1.0.wit\n", sha256(&wit));
    fs::write(folder.join("SHA256SUMS"), sums).unwrap();
    (folder, wit)
}

#[test]
fn a_change_needs_a_new_version() {
    let (folder, wit) = released("released-change");
    assert_eq!(check(&wit, &folder), Ok(()));
    let changed = wit.replace("a {}", "b {}");
    let why = check(&changed, &folder).unwrap_err();
    assert!(why.contains("version 0.1.0 is released"), "{why}");
    assert_eq!(check(&changed.replace("0.1.0", "0.2.0"), &folder), Ok(()));
}

#[test]
fn what_was_released_stays_as_it_was() {
    let (folder, wit) = released("released-stays");
    fs::write(folder.join("0.1.0.wit"), wit.replace("a {}", "b {}")).unwrap();
    let why = check(&wit, &folder).unwrap_err();
    assert!(why.contains("was changed after its release"), "{why}");
    fs::remove_file(folder.join("0.1.0.wit")).unwrap();
    let why = check(&wit, &folder).unwrap_err();
    assert!(why.contains("restore what is missing"), "{why}");
}
