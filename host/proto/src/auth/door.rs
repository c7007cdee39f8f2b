//! Whether a request that begins something may come in, by what it shows (RFC 3261 §22.4).
//!
//! ```text
//!   no credentials for the realm                        challenge
//!   a wrong proof                                       challenge, and it is told of
//!   a right proof, its nonce old or strange             challenge, stale=true
//!   a right proof, this count of its nonce seen before  challenge, stale=true
//!   a right proof                                       in
//! ```
//! A challenge is given from the request's bytes alone and forgotten (RFC 3261 §8.2.7).

use intertrunk_sip::auth::{Algorithm, Credentials};
use intertrunk_sip::{Message, Method, Scheme, Uri};

use super::Door;
use super::nonce::{Nonce, Scope, Uses, look_at};
use crate::time::Instant;

/// Credentials of one request that are looked at; each costs some hashes.
const CREDENTIALS_MAX: usize = 4;

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passage {
    /// It is who it says.
    In,
    /// It has to show credentials first, or others.
    Challenge(Wrong),
}

/// What was wrong with what it showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// It showed nothing.
    Nothing,
    /// Only the nonce.
    Nonce,
    /// The proof. Whoever shows one for a nonce that was said to its address has been heard from there.
    Proof {
        /// The nonce was said to this address.
        reached: bool,
    },
}

/// Looks at a request.
pub(crate) fn look_at_request(
    door: &Door,
    request: &Message,
    scope: Scope<'_>,
    uses: &mut Uses,
    now: Instant,
) -> Passage {
    let mut wrong = Wrong::Nothing;
    for shown in Credentials::all(request, &door.realm).take(CREDENTIALS_MAX) {
        let nonce = look_at(shown.nonce, scope, now);
        let right = *shown.user == *door.user
            && door.algorithms.contains(&shown.algorithm)
            && is_about(&shown, request)
            && shown.prove(door.password.reveal(), request.method().as_str());
        if !right {
            let reached = nonce != Nonce::Strange;
            wrong = Wrong::Proof { reached };
            continue;
        }
        match (nonce, shown.count()) {
            (Nonce::Good(id), Some(count)) if uses.is_first(id, count, now) => return Passage::In,
            (Nonce::Good(_) | Nonce::Stale | Nonce::Strange, _) => wrong = Wrong::Nonce,
        }
    }
    Passage::Challenge(wrong)
}

/// Whether credentials were made for what the request asks for: for a call, for this number. Elements
/// between may have changed the rest of the URI (RFC 3261 §22.4).
fn is_about(shown: &Credentials<'_>, request: &Message) -> bool {
    if shown.uri == request.request_uri() {
        return true;
    }
    match (Uri::parse(shown.uri), request.uri()) {
        (Ok(said), Ok(asked)) => is_sip(&said) && is_sip(&asked) && said.user == asked.user,
        _ => false,
    }
}

fn is_sip(uri: &Uri<'_>) -> bool {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
}

/// Whether requests with this method are challenged: ACK cannot be answered, and CANCEL has to be as good
/// as its INVITE (RFC 3261 §22.1).
pub(crate) fn can_be_challenged(method: &Method) -> bool {
    !matches!(method, Method::Ack | Method::Cancel)
}

/// The value of a challenge.
pub(crate) fn challenge(door: &Door, algorithm: Algorithm, nonce: &str, stale: bool) -> String {
    let stale = if stale { ", stale=true" } else { "" };
    let (realm, algorithm) = (&door.realm, algorithm.as_str());
    format!(
        "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}"
    )
}
