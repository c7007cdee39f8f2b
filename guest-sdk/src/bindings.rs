//! What `wit/policy.wit` becomes in Rust. Generated at compile time; the SDK adds constructors and
//! builders to these types rather than copying into types of its own, because each string that
//! crosses the boundary already costs more than most decisions.

// Generated code: raw pointers at the boundary, and whatever style the generator has.
#![allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    rust_2018_idioms,
    clippy::all
)]
#![allow(clippy::wildcard_imports, clippy::semicolon_if_nothing_returned)]

wit_bindgen::generate!({
    path: "../wit",
    // Not a second world of the contract: tools take its only one without being told.
    inline: "
        package intertrunk:sdk;
        world packed-policy {
            include intertrunk:policy/policy@0.1.0;
            export intertrunk:policy/packed@0.1.0;
        }
    ",
    world: "intertrunk:sdk/packed-policy",
    additional_derives: [PartialEq],
    generate_all,
    // Of `packed`: `policy!` exports it. No other function of the contract may have this name.
    skip: ["answer"],
    generate_unused_types: true,
    runtime_path: "::intertrunk_sdk::wit_bindgen::rt",
    pub_export_macro: true,
});
