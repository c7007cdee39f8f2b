//! A user agent that takes REFER: it calls whom it is sent to, and tells what becomes of it (RFC 3515).

use std::collections::BTreeMap;

use intertrunk_proto::Instant;
use intertrunk_sip::{Message, Method, Name, NameAddr, Replaces, reason_phrase};

use super::{Errand, Side, Ua};

/// What it does with a REFER, and what it has done.
#[derive(Clone, Debug, Default)]
pub struct Referred {
    /// The code that it refuses with.
    pub refuses: Option<u16>,
    /// It tells nobody how its calls end.
    pub is_silent: bool,
    /// Refer-To and Referred-By of each.
    pub heard: Vec<[String; 2]>,
    /// By the Call-ID of the call that it makes: that of the REFER, and its CSeq.
    calls: BTreeMap<String, (String, u32)>,
}

impl Ua {
    /// Takes a REFER, or refuses it: the code.
    pub(super) fn referred(&mut self, side: &mut Side, refer: &Message, now: Instant) -> u16 {
        let text = |name| {
            let value = refer.header(name).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        let [refer_to, by] = [Name::ReferTo, Name::ReferredBy].map(text);
        self.referred.heard.push([refer_to.clone(), by.clone()]);
        if refer.contact().is_none() {
            self.complain("REFER without Contact");
        }
        if let Some(code) = self.referred.refuses {
            return code;
        }
        let Some((place, replaces)) = place_in(&refer_to) else {
            self.complain("REFER to nobody");
            return 400;
        };
        let mut errand = Errand {
            hang_up: None,
            ..Errand::to(&place)
        };
        let replaces = replaces.map(|r| ("Replaces".to_owned(), r));
        errand.headers.extend(replaces);
        errand.headers.push(("Referred-By".to_owned(), by));
        let wants = refer.header_named("Refer-Sub").next() != Some(b"false");
        let call_id = self.place(&errand, now);
        if wants {
            self.notify(side, refer.cseq(), 100, now);
            let named = (side.call_id.clone(), refer.cseq());
            self.referred.calls.insert(call_id, named);
        }
        202
    }

    /// What the answer to its INVITE means for whoever sent it there.
    pub(super) fn tell_referrer(&mut self, call_id: &str, answer: &Message, now: Instant) {
        let (code, invite) = (answer.status(), *answer.method() == Method::Invite);
        let known = self.referred.calls.get(call_id).cloned();
        let Some((of, cseq)) = known.filter(|_| invite && answer.cseq() == 1 && code > 100) else {
            return;
        };
        if code >= 200 {
            self.referred.calls.remove(call_id);
        }
        if let Some(mut side) = self.sides.remove(&of) {
            self.notify(&mut side, cseq, code, now);
            self.sides.insert(of, side);
        }
    }

    fn notify(&mut self, side: &mut Side, id: u32, code: u16, now: Instant) {
        if self.referred.is_silent || !side.dialogs[0].up {
            return;
        }
        let branch = format!("z9hG4bK{}", self.token("b"));
        side.dialogs[0].cseq += 1;
        let cseq = side.dialogs[0].cseq;
        let mut b = self.head(side, 0, &Method::Notify, &branch, cseq);
        b.header_fmt(Name::Event, format_args!("refer;id={id}"));
        let state = match code {
            100..=199 => "active;expires=60",
            _ => "terminated;reason=noresource",
        };
        b.header(Name::SubscriptionState, state);
        b.header(Name::ContentType, "message/sipfrag;version=2.0");
        let (phrase, address) = (reason_phrase(code), self.address);
        let body = format!("SIP/2.0 {code} {phrase}\r\nContact: <sip:{address}>\r\n");
        let bytes = b.finish(Some(body.as_bytes()));
        self.send(side, bytes, (Method::Notify, branch, cseq), now);
    }
}

/// The URI of a Refer-To without its headers, and the Replaces that it asks for.
fn place_in(refer_to: &str) -> Option<(String, Option<String>)> {
    let address = NameAddr::parse(refer_to.as_bytes()).ok()?;
    let uri = address.uri().ok()?;
    let replaces = match Replaces::of_uri(&uri) {
        Some(named) => Some(String::from_utf8(named.ok()?.to_value()).ok()?),
        None => None,
    };
    let place = address.uri.split('?').next()?.to_owned();
    Some((place, replaces))
}
