//! GUESTS: routing policies as Wasm components; loaded, bounded, swapped.
//!
//! Owns everything between a file of bytes and a verdict: what a module is, whether it fits the
//! contract in `wit/`, what it may see, how long and how large it may grow, which version of it
//! decides, and what its failure is called. Only this crate names wasmtime or a WIT type.
//!
//! It never does IO while deciding, never waits, and never judges a verdict: whether a candidate is
//! legal is for the machines to say.
//!
//! The way of a module: [`module`] (what is it?) → program (does it fit, what does it ask for?) →
//! [`Generation`] (configured, its [`cases`] passed) → [`Slot`] (staged, live, previous, draining) →
//! [`Runner`] (one per shard: asks it). What was decided becomes a [`Decision`], which a shadow
//! decides again at once and [`replay`] from a [`journal`].

mod access;
mod behind;
mod bindings;
pub mod build;
mod cache;
mod canary;
pub mod cases;
mod convert;
mod decision;
mod difference;
mod engine;
mod fault;
pub mod files;
mod generation;
mod health;
mod imports;
mod instance;
pub mod journal;
pub mod module;
mod options;
mod packed;
mod profile;
mod program;
pub mod replay;
mod runner;
mod shadow;
pub mod shuffle;
pub mod signature;
mod slot;
mod snapshot;
mod spare;
mod ticker;
mod world;

pub use cache::{Cache, CacheFault, CacheRules};
pub use canary::{CanaryRules, CanaryStatus, Score, Sticky, Withdrawn};
pub use decision::{Decision, Reply};
pub use difference::{Comparison, Example, Group};
pub use engine::Engine;
pub use fault::{ConfigureFault, LoadFault, SlotFault, WorldFault};
pub use generation::{Generation, GenerationInfo};
pub use options::{Isolation, Options};
pub use program::{Manifest, sha256};
pub use runner::Runner;
pub use shadow::ShadowStatus;
pub use slot::{Rejected, Slot, SlotStatus};
pub use world::{Nowhere, Row, Tables, TrunkFacts, World};
