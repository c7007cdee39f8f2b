//! What a transferor learns of its transfer: NOTIFY with the status line of the call that is being
//! made for it (RFC 3515 §2.4.4), or nothing if it wants none (RFC 4488).

use intertrunk_sip::{Message, Method, Name, reason_phrase, reply};

use super::bridge::InDialog;
use super::change::Change;
use super::relay::Anew;
use super::{Call, LegId};
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
        Subscription {
            wanted: !refuses_subscription(refer),
            id: again.then_some(refer.cseq()),
            told: 0,
        }
    }
}

/// Whether somebody is to be told of a REFER (RFC 4488).
pub(super) const REFER_SUB: &str = "Refer-Sub";

/// Whether a REFER, or the answer to one, wants no subscription.
pub(super) fn refuses_subscription(message: &Message) -> bool {
    message.header_named(REFER_SUB).any(|v| {
        let word = v.trim_ascii().get(..5);
        word.is_some_and(|v| v.eq_ignore_ascii_case(b"false"))
    })
}

/// What a NOTIFY or SUBSCRIBE is about, if that is a REFER: the `id` of it, if it is named.
pub(super) fn refer_event(message: &Message) -> Option<Option<u32>> {
    let event = message.header(Name::Event)?;
    let mut parts = event.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let refer = parts.next()?.eq_ignore_ascii_case(b"refer");
    let id = parts.find_map(|part| {
        let (name, value) = part.split_at_checked(3)?;
        let id = std::str::from_utf8(value).ok()?.parse();
        name.eq_ignore_ascii_case(b"id=").then(|| id.ok())?
    });
    refer.then_some(id)
}

/// The same, as it is written.
pub(super) fn event_of(id: Option<u32>) -> String {
    match id {
        Some(id) => format!("refer;id={id}"),
        None => "refer".to_owned(),
    }
}

/// Seconds that a transfer may take: longer than a question, and than a callee may ring.
const EXPIRES_S: u32 = 600;

impl Call {
    /// A SUBSCRIBE within the dialog: a transferor refreshes what its REFER began, or wants no more
    /// of it (RFC 3515 §2.4.4). There is nothing else to subscribe to (RFC 6665 §4.2.1.3).
    pub(super) fn subscribe(&mut self, r: InDialog, core: &mut Core) {
        let wanted = |c: &Change| c.leaves == r.leg && c.subscription.wanted;
        let refer = refer_event(&r.request);
        if let Some(id) = refer
            && let Some(sent) = self.referral_by(r.leg, id)
        {
            let anew = Anew {
                lines: vec![("Event", event_of(id.map(|_| sent)))],
                body: None,
            };
            return self.relay_as(r, &anew, core);
        }
        if refer.is_none() || !self.change.as_deref().is_some_and(wanted) {
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
        self.send_notify(leaves, id, code, last, core);
    }

    /// Tells a leg what has become of a REFER of its; one that has hung up hears only the end.
    pub(super) fn send_notify(
        &mut self,
        to: LegId,
        id: Option<u32>,
        code: u16,
        last: bool,
        core: &mut Core,
    ) {
        let Some(leg) = self.leg_mut(to) else { return };
        if leg.over && !last {
            return;
        }
        let (mut b, branch) = leg.request(&Method::Notify, 70, core);
        b.header(Name::Contact, leg.contact());
        b.header(Name::Event, event_of(id));
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
        self.note_request(to, true, &Method::Notify, core);
    }
}
