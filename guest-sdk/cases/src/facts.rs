//! The question that a case puts, in a form that neither the SDK nor the host owns.
//!
//! Both map these fields onto their own query and nothing else, so a case means the same in both.

use serde::Deserialize;

use crate::case::{Answered, Transfer};
use crate::party::Party;

/// Id of every case's call.
pub const CALL_ID: &str = "case";
/// Randomness of every case.
pub const SEED: u64 = 1;
/// When a case is decided unless it says `at`: Monday 2026-01-05, noon UTC.
pub const DEFAULT_UNIX_MS: u64 = 1_767_614_400_000;

/// The caller's wish for privacy (RFC 3323, RFC 3325).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privacy {
    /// Nothing withheld.
    #[default]
    None,
    /// `Privacy: user`
    User,
    /// `Privacy: id` or full.
    Full,
}

/// Everything that the policy is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The call's id.
    pub call_id: String,
    /// Trunk that the call came in on.
    pub ingress: String,
    /// The Request-URI.
    pub request_uri: Party,
    /// From.
    pub caller: Party,
    /// Whom the caller wants.
    pub callee: Party,
    /// P-Asserted-Identity.
    pub asserted: Vec<Party>,
    /// Diversion, most recent first.
    pub diverted: Vec<Party>,
    /// Privacy wished.
    pub privacy: Privacy,
    /// Address and port that the INVITE came from.
    pub source: String,
    /// Whether it is an emergency call.
    pub emergency: bool,
    /// Max-Forwards left.
    pub hops_left: u8,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// Why the policy is asked.
    pub cause: Cause,
    /// What the policy returned last time for this call.
    pub cookie: Vec<u8>,
    /// Wall clock, milliseconds since 1970 UTC.
    pub unix_ms: u64,
    /// Randomness.
    pub seed: u64,
}

impl Facts {
    /// A new call of an anonymous caller from trunk `ingress` to `callee`: a number, an address, or
    /// a SIP or tel URI.
    pub fn new(ingress: &str, callee: &str) -> Facts {
        let callee = Party::read(callee);
        Facts {
            call_id: CALL_ID.to_owned(),
            ingress: ingress.to_owned(),
            request_uri: callee.clone(),
            caller: Party::anonymous(),
            callee,
            asserted: Vec::new(),
            diverted: Vec::new(),
            privacy: Privacy::None,
            source: "192.0.2.1:5060".to_owned(),
            emergency: false,
            hops_left: 70,
            headers: Vec::new(),
            cause: Cause::NewCall,
            cookie: Vec::new(),
            unix_ms: DEFAULT_UNIX_MS,
            seed: SEED,
        }
    }

    /// Keeps only the headers that a manifest asks for, as the host does with a real call.
    pub fn keep_headers(&mut self, wanted: &[String]) {
        self.headers
            .retain(|(name, _)| wanted.iter().any(|want| want.eq_ignore_ascii_case(name)));
    }
}

/// Why the policy is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A new call.
    NewCall,
    /// All candidates failed.
    Exhausted(Vec<Attempt>),
    /// A peer answered 3xx.
    Redirected(Vec<Party>),
    /// A peer sent REFER.
    Transferred {
        /// Trunk whose peer asked for it.
        by: String,
        /// Refer-To.
        target: Party,
        /// Whether it names a dialog to replace.
        replaces: bool,
    },
    /// An inquiry was answered.
    Answered(Vec<Answered>),
}

impl Cause {
    pub(crate) fn transferred(transfer: &Transfer) -> Self {
        Cause::Transferred {
            by: transfer.by.clone(),
            target: Party::read(&transfer.target),
            replaces: transfer.replaces,
        }
    }
}

/// One attempt that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Egress trunk.
    pub trunk: String,
    /// Peer address.
    pub peer: String,
    /// Final code.
    pub code: u16,
    /// Whether a provisional answer other than 100 came.
    pub progressed: bool,
    /// Milliseconds from INVITE to the end.
    pub elapsed_ms: u32,
}

impl Attempt {
    /// An attempt on `trunk` that ended at once with `code`.
    pub(crate) fn failed(trunk: &str, code: u16) -> Self {
        Attempt {
            trunk: trunk.to_owned(),
            peer: "192.0.2.2:5060".to_owned(),
            code,
            progressed: false,
            elapsed_ms: 100,
        }
    }
}
