//! What may be wrong with a message's grammar, and the status that says so to its sender
//! (RFC 3261 §21.4.1, §21.5.6, §21.5.7). Never says who is to be told: `read` decides that.

use crate::header::Name;

/// One fault in a peer's bytes. Small and `Copy`: it is made on the hot path of hostile input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// The start line is neither a request line nor a status line (RFC 3261 §7.1, §7.2).
    #[error("start line: {0}")]
    StartLine(&'static str),
    /// The request speaks another version of SIP than 2.0.
    #[error("the SIP version is not 2.0")]
    Version,
    /// The message has more bytes, or more header lines, than the limits allow.
    #[error("{0} over the limit")]
    TooLarge(&'static str),
    /// A header line that has no name or no colon, or that is no line (bare CR or LF).
    #[error("header section: {0}")]
    HeaderLine(&'static str),
    /// A header field that every message must have (RFC 3261 §8.1.1) is not there.
    #[error("{0} is missing")]
    Missing(Name),
    /// A header field that may stand once stands more often.
    #[error("{0} stands more than once")]
    Repeated(Name),
    /// The value of this header field breaks its grammar or range.
    #[error("{0}: {1}")]
    Header(Name, &'static str),
    /// A part that belongs to no known header field yet: a URI, a name-addr, a parameter list.
    #[error("{0}")]
    Grammar(&'static str),
}

impl Fault {
    /// The status code of a response to a request with this fault.
    pub fn status(self) -> u16 {
        match self {
            Fault::Version => 505,
            Fault::TooLarge(_) => 513,
            Fault::StartLine(_)
            | Fault::HeaderLine(_)
            | Fault::Missing(_)
            | Fault::Repeated(_)
            | Fault::Header(..)
            | Fault::Grammar(_) => 400,
        }
    }

    /// Names the header field that a grammar fault was found in.
    pub(crate) fn within(self, header: Name) -> Fault {
        match self {
            Fault::Grammar(what) => Fault::Header(header, what),
            named => named,
        }
    }
}
