//! What makes a request part of a server transaction (RFC 3261 §17.2.3).

use std::hash::Hasher;

use intertrunk_sip::{BRANCH_COOKIE, Message, Method, Name};
use siphasher::sip128::{Hasher128, SipHasher13};

/// A keyed 128-bit hash of what identifies a server transaction. Outsiders do not know the key, so
/// they cannot make two requests collide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct ServerTxKey(u128);

impl ServerTxKey {
    /// The key of the transaction that `request` belongs to: top Via's branch, sent-by, and the
    /// method, with ACK counted as INVITE. A branch without the magic cookie's tail falls back to
    /// the fields of RFC 2543.
    pub(super) fn of(request: &Message, hash_key: (u64, u64)) -> ServerTxKey {
        let method = match request.method() {
            Method::Ack => &Method::Invite,
            other => other,
        };
        Self::with_method(request, method, hash_key)
    }

    /// The key of the INVITE that a CANCEL is about (RFC 3261 §9.2).
    pub(super) fn of_cancelled(cancel: &Message, hash_key: (u64, u64)) -> ServerTxKey {
        Self::with_method(cancel, &Method::Invite, hash_key)
    }

    fn with_method(request: &Message, method: &Method, hash_key: (u64, u64)) -> ServerTxKey {
        let mut hasher = SipHasher13::new_with_keys(hash_key.0, hash_key.1);
        let mut field = |bytes: &[u8]| {
            hasher.write(bytes);
            hasher.write_u8(0);
        };
        field(method.as_str().as_bytes());
        let cookie = BRANCH_COOKIE.as_bytes();
        match request.branch() {
            Some(branch) if branch.len() > cookie.len() && branch.starts_with(cookie) => {
                field(branch);
                field(request.sent_by());
            }
            _ => {
                // Deviation: the To tag is left out, since an ACK has one where its INVITE had none.
                field(request.request_uri().as_bytes());
                field(request.from_tag().unwrap_or_default());
                field(request.call_id());
                field(&request.cseq().to_be_bytes());
                // The top Via alone: an ACK has one where its INVITE may have more in the same line.
                field(request.values(Name::Via).next().unwrap_or_default());
            }
        }
        let hash = hasher.finish128();
        ServerTxKey((u128::from(hash.h1) << 64) | u128::from(hash.h2))
    }
}
