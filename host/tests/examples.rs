//! Every example checks without a word of complaint, and its README's commands find a route.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn source() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"))
}

/// A copy of the examples, with the certificates and the password that `carrier-edge` is told to have.
fn examples(name: &str) -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _none_before = fs::remove_dir_all(&copy);
    copy_all(source(), &copy);
    let edge = copy.join("carrier-edge");
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(edge.join("edge.pem"), own.cert.pem()).unwrap();
    fs::write(edge.join("ca.pem"), own.cert.pem()).unwrap();
    fs::write(edge.join("edge.key"), own.signing_key.serialize_pem()).unwrap();
    fs::write(edge.join("carrier.password"), "secret\n").unwrap();
    copy
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_all(&path, &there),
            false => drop(fs::copy(&path, &there).unwrap()),
        }
    }
}

fn intertrunk(args: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_intertrunk"));
    command.args(args).current_dir(dir).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn folders(all: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(all).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// O5: the stored cases of each example pass, between trunks too.
#[test]
fn each_example_checks_without_a_warning() {
    for folder in folders(&examples("examples-check")) {
        let check = intertrunk(&["check", "-c", "intertrunk.toml"], &folder);
        let told = told(&check);
        assert!(check.status.success(), "{}: {told}", folder.display());
        assert!(!told.contains("warning"), "{}: {told}", folder.display());
        assert!(
            told.contains("case"),
            "{}: no cases: {told}",
            folder.display()
        );
    }
}

#[test]
fn each_example_is_in_the_readme() {
    let readme = fs::read_to_string(source().join("README.md")).unwrap();
    for folder in folders(source()) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("({name})")), "{name}");
    }
}

/// O1: the commands of the README find a route.
#[test]
fn the_readme_s_routes_are_there() {
    let readme = fs::read_to_string(source().join("README.md")).unwrap();
    let commands = readme
        .lines()
        .filter(|line| line.starts_with("intertrunk route"));
    let (mut tried, all) = (0, examples("examples-route"));
    for command in commands {
        let args: Vec<&str> = command.split_whitespace().skip(1).collect();
        let route = intertrunk(&args, &all);
        assert!(route.status.success(), "{command}: {}", told(&route));
        tried += 1;
    }
    assert!(tried >= 5, "{tried}");
}
