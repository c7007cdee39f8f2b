//! Case files: a call as it comes in, and what the policy must decide about it.
//!
//! This crate owns the format, the neutral [`Facts`] that a case stands for, and the comparison of
//! an [`Outcome`] with what was expected. It never runs a policy: the SDK does so natively, the host
//! in the production engine, and since both only map fields, a case means the same in both.
//!
//! ```toml
//! config = "../dialplan.toml"          # handed to the policy; relative to this file
//!
//! [[trunk]]                            # without any: the trunks that the cases name, all up
//! name = "gw-a"
//! kind = "pstn"                        # pbx | pstn | sbc
//!
//! [table.lcr]                          # key = columns
//! "+44" = ["gw-b", "0.012"]
//!
//! [[case]]
//! name = "second carrier when the first is down"
//! from = "pbx-a"
//! to = "+442071234567"
//! down = ["gw-a"]
//! expect = { connect = [{ trunk = "gw-b", callee = "+442071234567" }] }
//! ```
//!
//! [`Case`] lists all keys of a case, [`Expect`] all expectations, [`TrunkFixture`] those of a
//! trunk.

mod case;
mod expect;
mod facts;
mod fault;
mod fixture;
mod party;
mod report;
mod suite;

pub use case::{Answered, Case, Transfer};
pub use expect::{Expect, ExpectedCandidate, LookUp, Outcome, OutcomeCandidate};
pub use facts::{Attempt, CALL_ID, Cause, DEFAULT_UNIX_MS, Facts, Privacy, SEED};
pub use fault::CaseFault;
pub use fixture::{Health, Row, Table, TrunkFixture, TrunkKind};
pub use party::{Param, Party, Scheme};
pub use report::CaseReport;
pub use suite::{Suite, load};
