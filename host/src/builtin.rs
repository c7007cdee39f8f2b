//! Policies inside the binary, so that nobody needs a Wasm toolchain to route by tables.
//!
//! Core modules with their component type inside, as `build.rs` made them from `policies/`; the
//! policy room wraps them as it does any other module.

/// What can stand behind `builtin:`.
pub const NAMES: &[&str] = &["standard"];

/// Routes and translations as data: `policies/intertrunk-standard`.
pub const STANDARD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/intertrunk_standard.wasm"));

/// A policy that never answers a call to a number, `policies/hostile`, for the demonstration.
pub const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy_hostile.wasm"));

/// The policy that `builtin:{name}` stands for.
pub fn policy(name: &str) -> Option<&'static [u8]> {
    match name {
        "standard" => Some(STANDARD),
        _ => None,
    }
}
