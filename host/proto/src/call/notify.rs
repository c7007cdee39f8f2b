//! What a transferor learns of its transfer: NOTIFY with the status line of the call that is being
//! made for it (RFC 3515 §2.4.4), or nothing if it wants none (RFC 4488).

use intertrunk_sip::{Message, Method, Name, reason_phrase, reply};

use super::Call;
use super::bridge::InDialog;
use super::change::Change;
use crate::core::Core;

/// The subscription that a REFER made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Subscription {
    /// Whether the transferor wants to know.
    pub(super) wanted: bool,
    /// CSeq of its REFER: names the subscription once there was another one in the dialog.
    pub(super) id: Option<u32>,
    /// The code told last.
    told: u16,
}

impl Subscription {
    /// Of nobody.
    pub(super) fn none() -> Subscription {
        Subscription {
            wanted: false,
            id: None,
            told: 0,
        }
    }

    /// Of this REFER, which was not the first of its call if `again`.
    pub(super) fn of(refer: &Message, again: bool) -> Subscription {
        let refused = refer.header_named("Refer-Sub").any(|v| {
            v.trim_ascii()
                .get(..5)
                .is_some_and(|v| v.eq_ignore_ascii_case(b"false"))
        });
        Subscription {
            wanted: !refused,
            id: again.then_some(refer.cseq()),
            told: 0,
        }
    }
}

/// Seconds that a transfer may take: longer than a question, and than a callee may ring.
const EXPIRES_S: u32 = 600;

impl Call {
    /// A SUBSCRIBE within the dialog: a transferor refreshes what its REFER began, or wants no more
    /// of it (RFC 3515 §2.4.4). There is nothing else to subscribe to (RFC 6665 §4.2.1.3).
    pub(super) fn subscribe(&mut self, r: &InDialog, core: &mut Core) {
        let wanted = |c: &Change| c.leaves == r.leg && c.subscription.wanted;
        let event = r.request.header(Name::Event).unwrap_or_default();
        let event = event.split(|b| *b == b';').next().unwrap_or_default();
        let refer = event.trim_ascii().eq_ignore_ascii_case(b"refer");
        if !refer || !self.change.as_deref().is_some_and(wanted) {
            let phrase = reason_phrase(489);
            let mut b = reply(&r.request, 489, phrase, None, Some(r.flow.remote));
            b.header(Name::AllowEvents, "refer");
            core.respond(r.server, 489, b.finish(None));
            return self.note_response(r.leg, true, 489, &Method::Subscribe, core);
        }
        let asked = r.request.u32_header(Name::Expires).unwrap_or(EXPIRES_S);
        let mut b = reply(&r.request, 200, "OK", None, Some(r.flow.remote));
        b.header_fmt(Name::Expires, format_args!("{}", asked.min(EXPIRES_S)));
        if let Some(leg) = self.leg(r.leg) {
            b.header(Name::Contact, leg.contact());
        }
        core.respond(r.server, 200, b.finish(None));
        self.note_response(r.leg, true, 200, &Method::Subscribe, core);
        if let Some(change) = &mut self.change {
            // Each SUBSCRIBE is followed by a NOTIFY of how things stand.
            let code = std::mem::take(&mut change.subscription.told);
            self.notify(code, asked == 0, core);
        }
    }

    /// Tells the transferor how far its transfer has come. After its BYE it hears only the end (RFC
    /// 5057 §4.2: the subscription outlives the call).
    pub(super) fn notify(&mut self, code: u16, last: bool, core: &mut Core) {
        let Some(change) = &mut self.change else {
            return;
        };
        let (leaves, subscription) = (change.leaves, &mut change.subscription);
        let (known, id) = (subscription.told == code, subscription.id);
        if !subscription.wanted || (known && !last) {
            return;
        }
        subscription.told = code;
        subscription.wanted = !last;
        let Some(leg) = self.leg_mut(leaves) else {
            return;
        };
        if leg.over && !last {
            return;
        }
        let (mut b, branch) = leg.request(&Method::Notify, 70, core);
        b.header(Name::Contact, leg.contact());
        match id {
            Some(id) => b.header_fmt(Name::Event, format_args!("refer;id={id}")),
            None => b.header(Name::Event, "refer"),
        };
        match last {
            true => b.header(Name::SubscriptionState, "terminated;reason=noresource"),
            false => b.header_fmt(
                Name::SubscriptionState,
                format_args!("active;expires={EXPIRES_S}"),
            ),
        };
        b.header(Name::ContentType, "message/sipfrag;version=2.0");
        let fragment = format!("SIP/2.0 {code} {}\r\n", reason_phrase(code));
        let bytes = b.finish(Some(fragment.as_bytes()));
        let flow = leg.dialog.flow();
        self.send_own(flow, bytes, branch, core);
        self.note_request(leaves, true, &Method::Notify, core);
    }
}
