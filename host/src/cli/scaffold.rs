//! The project that `intertrunk policy new` writes: the smallest policy worth reading, with a case
//! file that passes.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

const MANIFEST: &str = r#"[package]
name = "@NAME@"
description = "A routing policy for Intertrunk"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
intertrunk-sdk = { @SDK@ }

# Not part of any workspace that this folder may lie in.
[workspace]
"#;

const TOOLCHAIN: &str = r#"[toolchain]
channel = "stable"
targets = ["wasm32-unknown-unknown"]
profile = "minimal"
"#;

const POLICY: &str = include_str!("scaffold/lib.rs.txt");
const CASES: &str = include_str!("scaffold/cases.toml");

/// Writes the project into `dir`, which must not exist yet or be empty. Without `sdk` the project
/// depends on the SDK in the repository of this binary.
pub fn write(dir: &Path, sdk: Option<&Path>) -> anyhow::Result<()> {
    let name = package_name(dir)?;
    let sdk = match sdk {
        Some(path) => {
            let path = path
                .canonicalize()
                .with_context(|| format!("no SDK in {}", path.display()))?;
            if !path.join("Cargo.toml").is_file() {
                bail!("no SDK in {}: there is no Cargo.toml", path.display());
            }
            format!("path = {:?}", path.display().to_string())
        }
        None => format!("git = {REPOSITORY:?}"),
    };
    if dir
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        bail!(
            "{} is not empty; name a folder that does not exist yet",
            dir.display()
        );
    }
    let files = [
        (
            "Cargo.toml",
            MANIFEST.replace("@NAME@", &name).replace("@SDK@", &sdk),
        ),
        ("rust-toolchain.toml", TOOLCHAIN.to_owned()),
        (".gitignore", "/target\n".to_owned()),
        ("src/lib.rs", POLICY.to_owned()),
        ("cases/first.toml", CASES.to_owned()),
    ];
    for (path, text) in files {
        let path = dir.join(path);
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// The folder's name, if cargo takes it for a package.
fn package_name(dir: &Path) -> anyhow::Result<String> {
    let name = dir
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(legal) {
        bail!("\"{name}\" is no name for a package; write a letter, then letters, digits, - or _");
    }
    Ok(name.to_owned())
}
