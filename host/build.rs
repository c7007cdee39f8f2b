//! Builds the policies that lie inside the binary, and one for its tests: core Wasm modules with
//! their component type, written to `OUT_DIR` for `src/builtin.rs` and `tests/service`.
//!
//! A cargo of its own with a target folder of its own inside `OUT_DIR`, so it neither waits for the
//! outer cargo's lock nor rebuilds what has not changed. Works alike under build, test and clippy.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

#[path = "policy/src/profile.rs"]
mod profile;

use profile::PROFILE;

const TARGET: &str = "wasm32-unknown-unknown";

/// Package, folder below `policies/`, file of the module.
const POLICIES: [(&str, &str, &str); 4] = [
    (
        "intertrunk-standard",
        "intertrunk-standard",
        "intertrunk_standard.wasm",
    ),
    ("policy-hostile", "hostile", "policy_hostile.wasm"),
    // Not in the binary: what the service tests swap to.
    (
        "policy-portability",
        "portability",
        "policy_portability.wasm",
    ),
    ("policy-extensions", "extensions", "policy_extensions.wasm"),
];

/// Of the outer cargo: they would apply its flags and its linter to the guests.
const NOT_OURS: [&str; 5] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
];

fn main() {
    let host = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let root = host
        .parent()
        .expect("the host is a folder of the workspace");
    let out = PathBuf::from(var("OUT_DIR"));
    watch();
    require_target();
    let guests = out.join("guests");
    build(root, &guests);
    for (_, _, module) in POLICIES {
        let built = guests.join(TARGET).join("release").join(module);
        if let Err(error) = std::fs::copy(&built, out.join(module)) {
            give_up(&format!("{} cannot be copied: {error}", built.display()));
        }
    }
}

/// By paths from here, not from the root of the disk: a target folder may serve another clone next.
fn watch() {
    println!("cargo::rerun-if-changed=build.rs");
    let shared = [
        "Cargo.toml",
        "Cargo.lock",
        "wit",
        "guest-sdk/src",
        "guest-sdk/Cargo.toml",
    ];
    for path in shared {
        println!("cargo::rerun-if-changed=../{path}");
    }
    for (_, folder, _) in POLICIES {
        for path in ["src", "Cargo.toml"] {
            println!("cargo::rerun-if-changed=../policies/{folder}/{path}");
        }
    }
}

fn require_target() {
    let libraries = Command::new(var("RUSTC"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let folder = libraries
        .ok()
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    if !folder.is_some_and(|folder| Path::new(&folder).is_dir()) {
        give_up(&format!(
            "the Rust target {TARGET} is missing, which policies are built for. Install it with \
             `rustup target add {TARGET}`, or let `cargo xtask test` do it"
        ));
    }
}

fn build(root: &Path, guests: &Path) {
    let mut cargo = Command::new(var("CARGO"));
    cargo
        .current_dir(root)
        .args(["build", "--release", "--target", TARGET]);
    cargo.arg("--target-dir").arg(guests);
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    for (package, _, _) in POLICIES {
        cargo.args(["--package", package]);
    }
    for name in NOT_OURS {
        cargo.env_remove(name);
    }
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(_) => give_up("the built-in policies do not build; the compiler says why above"),
        Err(error) => give_up(&format!("cargo cannot be run: {error}")),
    }
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| give_up(&format!("cargo has not set {name}")))
}

fn give_up(why: &str) -> ! {
    println!("cargo::error={why}");
    exit(1);
}
