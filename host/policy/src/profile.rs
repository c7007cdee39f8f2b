//! What policies are built with. The host's build script has this file, too: the policies inside the binary are
//! those that `intertrunk policy build` makes.

/// How policies are built, whatever the project's own profile says: small, fast, and with names for
/// traces.
pub(crate) const PROFILE: [&str; 6] = [
    "profile.release.lto=true",
    "profile.release.opt-level=3",
    "profile.release.panic=\"abort\"",
    "profile.release.codegen-units=1",
    "profile.release.strip=\"debuginfo\"",
    // A quarter of what it would be: a fresh instance is reset page by page, touched or not.
    "target.wasm32-unknown-unknown.rustflags=[\"-Clink-arg=-zstack-size=262144\"]",
];
