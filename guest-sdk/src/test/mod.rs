//! Testing policies natively: a host to answer them, and case files to hold them to.
//!
//! ```no_run
//! # use intertrunk_sdk::{Plan, Policy, Query, Verdict};
//! # #[derive(Default)] struct LocalFirst;
//! # impl Policy for LocalFirst { fn decide(&self, _: &Query) -> Verdict { Verdict::Pass } }
//! #[test]
//! fn decides_its_cases() {
//!     intertrunk_sdk::test::run_cases::<LocalFirst>("cases");
//! }
//! ```

mod cases;
mod convert;
mod host;

pub use cases::run_cases;
pub use convert::{party, query};
pub(crate) use host::imports;
pub use host::{Host, Installed};
pub use intertrunk_cases::{Health, TrunkFixture, TrunkKind};
