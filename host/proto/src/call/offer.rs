//! Offer and answer between the two sides of a call (RFC 3264, RFC 6337): who may ask, and who has
//! to wait.
//!
//! A bridge has one exchange of session descriptions at a time, whichever method carries it. Its
//! state is not kept beside what it is about: it is read from the requests that are under way, so
//! that it cannot differ from them. A refusal of 491 is relayed to whoever asked, who waits by its
//! own timer (RFC 3261 §14.1); the host itself asks again only what it asked by itself.

use std::time::Duration;

use intertrunk_sip::{Message, Method};

use super::{Call, LegId};
use crate::core::Core;

/// What the two sides are negotiating.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Negotiation {
    /// Nothing: either side may ask.
    Idle,
    /// This side has asked, with an offer or for one.
    AskedBy(LegId),
    /// The host has asked by itself (`join`, `refresh`).
    AskedByHost,
}

impl Call {
    /// What is being negotiated on the bridge.
    pub(super) fn negotiation(&self) -> Negotiation {
        let mut relays = self.relays.iter();
        match relays.find(|r| r.negotiates && r.request.is_some()) {
            Some(relay) => Negotiation::AskedBy(relay.from),
            None if self.is_offering() || self.is_refreshing_by_invite() => {
                Negotiation::AskedByHost
            }
            None => Negotiation::Idle,
        }
    }

    /// Why a request from this leg has to wait: 491 if the other side has asked already, 500 with
    /// Retry-After if this side has (RFC 3261 §14.2, RFC 3311 §5.2).
    pub(super) fn glare(&self, from: LegId, request: &Message) -> Option<u16> {
        if !negotiates(request) {
            let again = *request.method() == Method::Update && self.has_pending_update(from);
            return again.then_some(500);
        }
        if self.other(from).is_none()
            && let Some(code) = self.early_glare(from, request)
        {
            return Some(code);
        }
        // Our 2xx to it is not acknowledged yet: its own negotiation is not over.
        let unacked = self.leg(from).is_some_and(|l| l.unacked.is_some());
        match self.negotiation() {
            Negotiation::AskedBy(side) if side == from => Some(500),
            Negotiation::AskedBy(_) | Negotiation::AskedByHost => Some(491),
            Negotiation::Idle => unacked.then_some(500),
        }
    }

    /// RFC 3311 §5.2: one UPDATE at a time, whatever is in it.
    fn has_pending_update(&self, from: LegId) -> bool {
        let mut relays = self.relays.iter();
        relays.any(|r| {
            let request = r.request.as_ref();
            r.from == from && request.is_some_and(|m| *m.method() == Method::Update)
        })
    }
}

/// How long the host waits after 491 to a re-INVITE of its own (RFC 3261 §14.1): 2.1 to 4 s if the
/// Call-ID is ours, else up to 2 s, in steps of 10 ms.
pub(super) fn after_glare(leg: LegId, core: &mut Core) -> Duration {
    let dice = 1 + core.rng.next_u64() % 190;
    let tens = if leg == LegId::A { dice } else { 210 + dice };
    Duration::from_millis(10 * tens)
}

/// Whether a request opens an exchange: each INVITE, and whatever else carries an offer.
pub(super) fn negotiates(request: &Message) -> bool {
    match request.method() {
        Method::Invite => true,
        Method::Update | Method::Prack => request.has_body(),
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Register
        | Method::Options
        | Method::Info
        | Method::Refer
        | Method::Subscribe
        | Method::Notify
        | Method::Message
        | Method::Publish
        | Method::Other(_) => false,
    }
}

/// Whether this failure of a request within the dialog says that the peer has no such call any
/// more (RFC 3261 §12.2.1.2). RFC 5057 §5.1: it does so only for requests that belong to the call;
/// a subscription, a message or a question about abilities has a life of its own.
pub(super) fn ends_call(method: &Method, code: u16) -> bool {
    let of_call = match method {
        Method::Invite | Method::Update | Method::Info => true,
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Register
        | Method::Options
        // It acknowledges an answer; if that is unknown, a final one has taken its place.
        | Method::Prack
        | Method::Refer
        | Method::Subscribe
        | Method::Notify
        | Method::Message
        | Method::Publish
        | Method::Other(_) => false,
    };
    of_call && matches!(code, 408 | 481)
}

#[cfg(test)]
mod tests {
    use intertrunk_sip::Method;

    use super::ends_call;

    /// RFC 5057 §5.1
    #[test]
    fn only_the_call_s_own_requests_end_it() {
        let of_call = [Method::Invite, Method::Update, Method::Info];
        let others = [
            Method::Prack,
            Method::Notify,
            Method::Message,
            Method::Options,
            Method::Refer,
        ];
        for code in [408, 481] {
            assert!(of_call.iter().all(|m| ends_call(m, code)), "{code}");
            assert!(!others.iter().any(|m| ends_call(m, code)), "{code}");
        }
        for code in [404, 480, 486, 487, 488, 491, 500, 503, 603] {
            assert!(!of_call.iter().any(|m| ends_call(m, code)), "{code}");
        }
    }
}
