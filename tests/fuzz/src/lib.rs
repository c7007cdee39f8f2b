//! What fuzzing does with arbitrary bytes: one function a target, each with its own oracle.
//!
//! A plain library, so that the corpus is replayed by the ordinary test command; the binaries that
//! libFuzzer drives lie in `harness`. A target panics where a rule is broken, and never otherwise.

mod bytes;
mod calls;
mod stream;
mod take;
mod values;

pub use self::bytes::bytes;
pub use self::calls::calls;
pub use self::stream::stream;
pub use self::values::values;

/// One target: its name, which is also its folder in `corpus`, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 4] = [
    ("bytes", bytes),
    ("stream", stream),
    ("values", values),
    ("calls", calls),
];
