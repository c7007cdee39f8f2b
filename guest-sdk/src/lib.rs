//! Write Intertrunk routing policies in Rust.
//!
//! A policy answers one question: where may this call go? It is a pure function of the
//! [`Query`] and of what the host says about [`trunk`]s and [`table`]s, so it is tested natively by
//! `cargo test` and decides the same in the host, where it runs as a Wasm component.
//!
//! ```
//! use intertrunk_sdk::{policy, Policy, Query, Verdict, Plan};
//!
//! #[derive(Default)]
//! struct LocalFirst;
//!
//! impl Policy for LocalFirst {
//!     fn decide(&self, q: &Query) -> Verdict {
//!         match q.callee().e164() {
//!             Some(n) if n.starts_with("+1425") => Plan::to("pbx-a").callee(n.last(4)).into(),
//!             Some(n) => Plan::to("gw-a").or("gw-b").callee(n).because("PSTN, least cost").into(),
//!             None => Verdict::not_found(),
//!         }
//!     }
//! }
//! policy!(LocalFirst);
//! ```
//!
//! The crate that holds it is a `cdylib` (and an `rlib`, if integration tests use it), built by
//! `intertrunk policy build`, or by `cargo build --release --target wasm32-unknown-unknown`.
//!
//! Where to look: [`Query`] and [`Party`] for what is known of the call, [`Plan`] and [`Candidate`]
//! for where it goes, [`Verdict`] for the other answers, [`Inquiry`] and [`Meter`] for outside
//! sources, [`Number`] and [`PrefixMap`] for numbers, [`trunk`] and [`table`] for what the host knows,
//! `test` for a native host and case files.
//!
//! What a policy may do without is a feature of this crate:
//!
//! | feature | brings |
//! |---|---|
//! | `allocator`, on by default | the global allocator, made for many short texts; leave it out to bring your own |
//! | `settings`, on by default | [`settings`](fn@settings): TOML, with every fault at its line |
//! | `rules` | [`rules`]: regular expressions, translations, routes by usage; 450 KB of module |
//! | `calendar` | [`calendar`]: opening hours, holidays, all time zones; 590 KB of module |
//!
//! A module has only what its policy uses, whatever the features are: the smallest has 95 KB.
//! `intertrunk policy inspect` tells.

// The generated bindings name this crate by its public path, as they do from a policy's crate.
extern crate self as intertrunk_sdk;

#[cfg(any(all(target_arch = "wasm32", feature = "allocator"), test))]
mod allocator;
#[doc(hidden)]
pub mod bindings;
#[cfg(feature = "calendar")]
pub mod calendar;
mod chance;
#[doc(hidden)]
pub mod glue;
mod meter;
mod number;
#[cfg(feature = "settings")]
mod one_or_many;
#[cfg(any(target_arch = "wasm32", test))]
mod packed;
mod plan;
mod policy;
mod prefixes;
mod query;
mod recall;
#[cfg(feature = "rules")]
pub mod rules;
#[cfg(feature = "settings")]
mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod test;
mod verdict;
mod world;

#[doc(hidden)]
pub use wit_bindgen;

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
#[global_allocator]
pub(crate) static ALLOCATOR: allocator::Allocator = allocator::Allocator::new();

pub use bindings::exports::intertrunk::policy::policy_api::{Fault, Manifest};
pub use bindings::intertrunk::policy::tables::Row;
pub use bindings::intertrunk::policy::trunks::{Health, Kind as TrunkKind, Trunk as TrunkFacts};
pub use bindings::intertrunk::policy::types::{
    Answer, Attempt, Call, Candidate, Cause, CodeMap, ExhaustedAction, Header, Identity, Inquiry,
    LookUp, Media, NoAnswer, Param, Party, Plan, Privacy, Query, Rejection, Scheme, Tag, Transfer,
    Verdict,
};
pub use meter::{Amount, Meter};
pub use number::Number;
#[cfg(feature = "settings")]
pub use one_or_many::OneOrMany;
pub use policy::Policy;
pub use prefixes::PrefixMap;
#[cfg(feature = "settings")]
pub use settings::{checked, settings};
pub use world::{Table, Trunk, because, explaining, log, table, trunk, trunks};

/// Makes a type that implements [`Policy`] the policy of this crate: exports it to the host.
///
/// Off Wasm it exports nothing, so that several policies can be linked into one native test.
#[macro_export]
macro_rules! policy {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: $crate::glue::Instance<$policy> =
                    const { $crate::glue::Instance::unconfigured() };
            }

            struct Component;

            impl $crate::glue::Guest for Component {
                fn describe() -> $crate::Manifest {
                    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
                    INSTANCE.with(|instance| instance.describe(name, version))
                }

                fn configure(text: String) -> Result<(), Vec<$crate::Fault>> {
                    INSTANCE.with(|instance| instance.configure(&text))
                }

                fn decide(query: $crate::Query) -> $crate::Verdict {
                    INSTANCE.with(|instance| instance.decide(&query))
                }
            }

            #[unsafe(export_name = "intertrunk:policy/packed@0.1.0#answer")]
            unsafe extern "C" fn answer(query: *mut u8, size: usize) -> *const [usize; 2] {
                INSTANCE.with(|instance| unsafe { instance.answer(query, size) })
            }

    $crate::glue::export!(Component with_types_in $crate::bindings);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            fn is_a_policy<P: $crate::Policy>() {}
            is_a_policy::<$policy>();
        };
    };
}

/// Explains the decision with a formatted line, which is only formatted if somebody will read it.
///
/// ```
/// # let (route, n) = ("premium", 3);
/// intertrunk_sdk::because!("route {route} has {n} trunks");
/// ```
#[macro_export]
macro_rules! because {
    ($($format:tt)+) => {
        if $crate::explaining() {
            $crate::because(&::std::format!($($format)+));
        }
    };
}
