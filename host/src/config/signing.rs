//! Whose modules may decide: the keys of `[signing]`, and the policies that insist on them.

use std::sync::Arc;

use intertrunk_policy::signature::{PublicKey, Trust};

use super::file::{File, PolicyEntry};
use super::read::Source;
use super::read_text;
use crate::builtin;

/// Who is trusted, for the policies that want a signature; `None` without keys.
pub fn trust(source: &Source<'_>, file: &File) -> Option<Arc<Trust>> {
    let mut keys = Vec::new();
    for at in &file.signing_keys {
        let Some((path, text)) = read_text(source, at) else {
            continue;
        };
        match PublicKey::from_pem(&text) {
            Ok(key) => keys.push(key),
            Err(fault) => source.fault(&at.place, format!("{}: {fault}", path.display()), ""),
        }
    }
    // What is inside this binary is trusted as the binary is.
    let inside: Vec<&[u8]> = builtin::NAMES
        .iter()
        .filter_map(|it| builtin::policy(it))
        .collect();
    (!file.signing_keys.is_empty()).then(|| Trust::new(&keys, &inside))
}

/// The same as far as `entry` is concerned.
pub fn of_policy(
    source: &Source<'_>,
    trust: Option<&Arc<Trust>>,
    entry: &PolicyEntry,
) -> Option<Arc<Trust>> {
    match &entry.require_signature {
        Some(at) if !at.value => None,
        Some(at) if trust.is_none() => {
            let remedy = "add `[signing]` with keys = [\"ops.pub\"]; `intertrunk policy keygen ops` \
                          makes that file";
            source.fault(&at.place, "no key is trusted", remedy);
            None
        }
        // Who names keys means them: a policy that needs none says so.
        Some(_) | None => trust.cloned(),
    }
}
