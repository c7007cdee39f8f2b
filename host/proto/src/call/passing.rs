//! Which headers cross from one leg to the other.
//!
//! A B2BUA ends every header that speaks of a hop, a dialog or a capability of the peer itself, and
//! passes what speaks of the call. Unknown headers pass: they are between the two ends.

use intertrunk_sip::{Builder, Line, Message, Name};

use crate::trunk::{IdentityRules, Trunk};

/// Methods that we take within a dialog or outside of one.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, MESSAGE, NOTIFY, REFER";
/// The same for those who may not transfer calls.
const ALLOW_NO_REFER: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, MESSAGE, NOTIFY";

/// Methods that we take from the peers of a trunk.
pub(crate) fn allow(trunk: &Trunk) -> &'static str {
    match trunk.transfers.may_refer {
        true => ALLOW,
        false => ALLOW_NO_REFER,
    }
}

/// Whether a line of a caller's INVITE is about the caller, whomever it is connected to.
pub(crate) fn is_about_caller(name: Name) -> bool {
    matches!(
        name,
        Name::PAssertedIdentity | Name::Privacy | Name::Priority | Name::Other
    )
}

/// Copies to `b` the headers of `from` that cross to a leg with these identity rules. `skip` says
/// which of those stay behind all the same.
pub(crate) fn pass_headers(
    b: &mut Builder,
    from: &Message,
    towards: IdentityRules,
    source_trusted: bool,
    skip: impl Fn(&Line<'_>) -> bool,
) {
    for line in from.lines() {
        if crosses(line.name, towards, source_trusted) && !skip(&line) {
            b.raw_line(line.raw);
        }
    }
}

fn crosses(name: Name, towards: IdentityRules, source_trusted: bool) -> bool {
    match name {
        // The hop's and the dialog's own.
        Name::Via
        | Name::From
        | Name::To
        | Name::CallId
        | Name::CSeq
        | Name::Contact
        | Name::MaxForwards
        | Name::Route
        | Name::RecordRoute
        | Name::ContentLength
        | Name::Path
        | Name::ServiceRoute
        | Name::Replaces
        | Name::InReplyTo
        | Name::RSeq
        | Name::RAck
        | Name::Timestamp => false,
        // What the peer itself can do or is.
        Name::Require
        | Name::ProxyRequire
        | Name::Supported
        | Name::Unsupported
        | Name::Allow
        | Name::AllowEvents
        | Name::SessionExpires
        | Name::MinSe
        | Name::UserAgent
        | Name::Server
        | Name::Organization
        | Name::Warning
        | Name::Authorization
        | Name::ProxyAuthorization
        | Name::WwwAuthenticate
        | Name::ProxyAuthenticate => false,
        // Identity is printed anew (attempt.rs), or is not ours to vouch for.
        Name::PAssertedIdentity | Name::PPreferredIdentity | Name::RemotePartyId => false,
        Name::Diversion | Name::HistoryInfo => source_trusted && towards.forward_history,
        _ => true,
    }
}
