//! A REFER that the other side carries out (RFC 3515, RFC 5589): passed on in words that lead that side
//! to us again, and what it tells of it comes back.
//!
//! ```text
//!   by --REFER--> host --REFER--> to --INVITE--> host: a new call of that side's trunk
//!      <-NOTIFY--      <-NOTIFY--     (Replaces: a ticket for the dialog that `by` named)
//! ```
//! Neither side sees a host, Call-ID or tag of the other. Refer-To keeps the number and names us, so
//! the policy of the trunk that calls decides, with all guards. Where it asks to replace a dialog of
//! `by`'s, the peer gets a ticket instead of that dialog's name: any shard can tell that it is good,
//! and that it was given to this trunk.

use std::hash::Hasher;

use bytes::Bytes;
use intertrunk_sip::{Name, Replaces, Scheme, Token, Uri};
use siphasher::sip::SipHasher13;

use super::bridge::InDialog;
use super::notify::{REFER_SUB, event_of, refer_event, refuses_subscription};
use super::relay::Anew;
use super::{Call, LegId};
use crate::core::Core;
use crate::io::TrunkId;
use crate::rng::owner_shard;

/// A REFER that was passed on, while its subscription lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Referral {
    by: LegId,
    to: LegId,
    /// CSeq of the REFER on either side: the `id` of what is told (RFC 3515 §2.4.6).
    asked: u32,
    sent: u32,
}

impl Call {
    /// What the other side is told of a REFER, if it takes those and can be told.
    pub(super) fn for_other(&self, r: &InDialog, target: &str, core: &mut Core) -> Option<Anew> {
        let (by, to) = (self.leg(r.leg)?, self.leg(self.other(r.leg)?)?);
        if !to.trunk.transfers.takes_refer {
            return None;
        }
        let uri = Uri::parse(target).ok()?;
        let user = uri.user?;
        let mut place = to.dialog.uri_at_us(&format!("{user}@"));
        if uri.scheme == Scheme::Tel || uri.params.get("user").flatten() == Some("phone") {
            place.push_str(";user=phone");
        }
        if let Some(named) = Replaces::of_uri(&uri) {
            let ticket = ticket_for(&named.ok()?, to.trunk.id, core)?;
            place.push('?');
            place.push_str(&ticket.to_uri_header());
        }
        let mut lines = vec![("Refer-To", format!("<{place}>"))];
        let by = to.crossing(&by.trunk).referred_by(&r.request);
        lines.extend(by.map(|by| ("Referred-By", by)));
        if refuses_subscription(&r.request) {
            lines.push((REFER_SUB, "false".to_owned()));
        }
        Some(Anew { lines, body: None })
    }

    /// It is on its way to the other side.
    pub(super) fn refer_goes_on(&mut self, r: &InDialog, to: LegId, sent: u32) {
        if !refuses_subscription(&r.request) {
            self.referrals.push(Referral {
                by: r.leg,
                to,
                asked: r.request.cseq(),
                sent,
            });
        }
    }

    /// The REFER with this CSeq was refused, or nobody is told of it any more.
    pub(super) fn referral_over(&mut self, to: LegId, sent: u32) {
        self.referrals.retain(|f| (f.to, f.sent) != (to, sent));
    }

    /// A REFER went out a second time, with this number.
    pub(super) fn referral_renumbered(&mut self, to: LegId, before: u32, sent: u32) {
        let mut of_leg = self.referrals.iter_mut().filter(|f| f.to == to);
        if let Some(referral) = of_leg.find(|f| f.sent == before) {
            referral.sent = sent;
        }
    }

    /// The `id` on the other side of a subscription of this leg.
    pub(super) fn referral_by(&self, by: LegId, id: Option<u32>) -> Option<u32> {
        let mut of_leg = self.referrals.iter().filter(|f| f.by == by);
        let found = of_leg.find(|f| id.is_none_or(|id| id == f.asked));
        found.map(|f| f.sent)
    }

    /// A NOTIFY: of a REFER that was passed on, or of what is between the two ends.
    pub(super) fn notified(&mut self, r: InDialog, core: &mut Core) {
        let Some(id) = refer_event(&r.request) else {
            return self.relay(r, core);
        };
        let mut of_leg = self.referrals.iter().filter(|f| f.to == r.leg);
        let Some(referral) = of_leg.find(|f| id.is_none_or(|id| id == f.sent)).copied() else {
            return self.reply_plain(&r, 481, None, core);
        };
        let state = r.request.header(Name::SubscriptionState);
        let over = state.is_some_and(|s| {
            let word = s.split(|b| *b == b';').next().unwrap_or_default();
            word.trim_ascii().eq_ignore_ascii_case(b"terminated")
        });
        if over {
            self.referral_over(referral.to, referral.sent);
        }
        let anew = Anew {
            lines: vec![("Event", event_of(id.map(|_| referral.asked)))],
            body: Some(status_line(&r.request.body())),
        };
        self.relay_as(r, &anew, core);
    }

    /// The call ends, or this leg leaves it: who waits to hear of a REFER hears no more.
    pub(super) fn end_referrals(&mut self, of: Option<LegId>, core: &mut Core) {
        let is_of = |f: &Referral| of.is_none_or(|leg| f.by == leg || f.to == leg);
        let (over, stay) = self.referrals.iter().partition(|f| is_of(f));
        self.referrals = stay;
        let over: Vec<Referral> = over;
        for referral in over {
            // Who has hung up does not ask how it went.
            if self.leg(referral.by).is_none_or(|l| l.over) {
                continue;
            }
            self.send_notify(referral.by, Some(referral.asked), 487, true, core);
        }
    }

    /// Whether a Replaces is a ticket for this leg's dialog, given to this trunk.
    pub(crate) fn is_ticket(
        &self,
        leg: LegId,
        ticket: &Replaces,
        to: TrunkId,
        core: &Core,
    ) -> bool {
        let Some(dialog) = self.leg(leg).map(|l| &l.dialog) else {
            return false;
        };
        let named = Replaces {
            call_id: dialog.call_id.to_vec(),
            to_tag: dialog.local_tag.text().to_vec(),
            from_tag: dialog.remote_tag.as_deref().unwrap_or_default().to_vec(),
            early_only: false,
        };
        ticket.from_tag == seal(&named, to, core.call_id_key).text()
    }
}

/// What a trunk may show instead of the name of another trunk's dialog: it leads to the same shard.
fn ticket_for(named: &Replaces, to: TrunkId, core: &mut Core) -> Option<Replaces> {
    Token::parse(&named.to_tag)?;
    let shard = owner_shard(&named.call_id, core.call_id_key, core.shards);
    Some(Replaces {
        call_id: core.mint_call_id_of(shard).into_bytes(),
        to_tag: named.to_tag.clone(),
        from_tag: seal(named, to, core.call_id_key).text().to_vec(),
        early_only: named.early_only,
    })
}

/// Nobody but the shards of this host can make it.
fn seal(named: &Replaces, to: TrunkId, key: (u64, u64)) -> Token {
    let mut hasher = SipHasher13::new_with_keys(!key.0, key.1);
    for part in [&named.call_id, &named.to_tag, &named.from_tag] {
        hasher.write_u64(part.len() as u64);
        hasher.write(part);
    }
    hasher.write_u32(to.0);
    Token(hasher.finish())
}

/// The status line of a `message/sipfrag`, which is all of it that does not speak of the other side.
fn status_line(fragment: &[u8]) -> Bytes {
    let end = fragment.windows(2).position(|w| w == b"\r\n");
    let line = &fragment[..end.unwrap_or(fragment.len())];
    match line.starts_with(b"SIP/2.0 ") {
        true => [line, b"\r\n"].concat().into(),
        false => Bytes::new(),
    }
}
