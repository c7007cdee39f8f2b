//! What `wit/policy.wit` becomes on the host's side. Generated at compile time; only this crate's
//! conversions and imports see these types.
//!
//! Parameters borrow, so that a question is lowered into the guest's memory without a copy of ours.

#![allow(
    missing_docs,
    unused_qualifications,
    rust_2018_idioms,
    clippy::all,
    clippy::needless_pass_by_value
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "policy",
    ownership: Borrowing { duplicate_if_necessary: true },
});

/// The contract's package.
pub const PACKAGE: &str = "intertrunk:policy@0.1.0";
