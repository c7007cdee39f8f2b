//! A deterministic world for the call machines: one host, model user agents, a network that loses,
//! delays, reorders and repeats, a policy that is slow, wrong or silent, and one clock.
//!
//! Everything follows from one seed. The user agents are written from RFC 3261 alone and share
//! nothing with the machines but the parser. `World` runs it; `wire` says what each message must be
//! like, `rules` what must hold in the end.

mod ladder;
pub mod net;
pub mod policy;
pub mod reference;
pub mod rules;
pub mod schedule;
mod setting;
pub mod streams;
pub mod ua;
pub mod wire;
pub mod world;

pub use net::Weather;
pub use policy::{Decision, Mood};
pub use setting::METER;
pub use ua::{Errand, Final, Manner, Renegotiation, Ring, Ua};
pub use world::World;

use std::time::Duration;

/// Milliseconds, in fewer letters.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
