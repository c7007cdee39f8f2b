//! `intertrunk policy keygen`, `sign` and `verify`: who answers for a module.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use intertrunk_policy::files::replace;
use intertrunk_policy::module::Kind;
use intertrunk_policy::signature::{PublicKey, Signed, SigningKey, Trust};
use serde::Serialize;

use super::{exit, read, read_text, say};

/// What a key says to a module.
#[derive(Serialize)]
pub struct Verified {
    file: PathBuf,
    key: PublicKey,
    accepts: bool,
    /// Why not.
    problem: Option<String>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified {
            file, key, problem, ..
        } = self;
        let file = file.display();
        match problem {
            None => write!(f, "{file} (key {key}) accepts it"),
            Some(problem) => write!(f, "{file} (key {key}) does not accept it: {problem}"),
        }
    }
}

/// Makes a pair of keys beside each other; never over another.
pub fn keygen(name: &Path) -> anyhow::Result<ExitCode> {
    let (key, text) = SigningKey::generate()?;
    let private = with_ending(name, "key");
    let public = with_ending(name, "pub");
    for (path, mode, text) in [
        (&private, 0o600, text),
        (&public, 0o644, key.public().to_pem()),
    ] {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(path);
        let mut file = file.with_context(|| match path.exists() {
            true => format!("{} is there already; choose another name", path.display()),
            false => format!("{} cannot be written", path.display()),
        })?;
        file.write_all(text.as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let (private, public) = (private.display(), public.display());
    say(&format!(
        "{private}  signs; keep it secret\n{public}  verifies; name it in `signing.keys`\nkey {}\n",
        key.public()
    ));
    Ok(ExitCode::SUCCESS)
}

fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut path = name.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

/// Signs a module.
pub fn sign(key: &Path, wasm: &Path, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let signing = SigningKey::from_pem(&read_text(key)?);
    let signing = signing.with_context(|| key.display().to_string())?;
    let bytes = read(wasm)?;
    let cannot_be_signed = || format!("{} cannot be signed", wasm.display());
    Kind::of(&bytes).with_context(cannot_be_signed)?;
    let signed = signing.sign(&bytes).with_context(cannot_be_signed)?;
    let out = out.unwrap_or(wasm);
    replace(out, &signed).with_context(|| format!("{} cannot be written", out.display()))?;
    say(&format!(
        "{}  signed by key {}\n",
        out.display(),
        signing.public()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Says whether one of `keys` signed a module.
pub fn verify(keys: &[PathBuf], wasm: &Path) -> anyhow::Result<ExitCode> {
    let bytes = read(wasm)?;
    Kind::of(&bytes).with_context(|| wasm.display().to_string())?;
    let verified = verified(keys, &bytes)?;
    let accepted = verified.iter().any(|it| it.accepts);
    let told = verified.iter().filter(|it| it.accepts == accepted);
    say(&told.map(|it| format!("{it}\n")).collect::<String>());
    Ok(exit(accepted))
}

/// What each of `keys` says to a module.
pub fn verified(keys: &[PathBuf], wasm: &[u8]) -> anyhow::Result<Vec<Verified>> {
    let say = |file: &PathBuf| {
        let key = PublicKey::from_pem(&read_text(file)?);
        let key = key.with_context(|| file.display().to_string())?;
        let trust = Trust::new(&[key], &[]);
        let fault = Signed::of(wasm).and_then(|it| trust.verify(&it)).err();
        Ok(Verified {
            file: file.clone(),
            key,
            accepts: fault.is_none(),
            problem: fault.map(|fault| fault.to_string()),
        })
    };
    keys.iter().map(say).collect()
}
