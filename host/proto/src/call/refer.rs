//! REFER: one side of an answered call sends the other one elsewhere (RFC 3515, RFC 5589). If that
//! side's trunk takes REFER, it is told (`referral`). Otherwise the host carries it out: it asks the
//! policy where, and calls there.
//!
//! The call that is made for it is a call of the party that stays: its trunk's guards apply, and
//! its name and session are presented. The policy learns whose peer asked.

use std::sync::Arc;

use bytes::Bytes;
use intertrunk_sip::{
    BRANCH_COOKIE, Builder, Message, Method, Name, NameAddr, Replaces, Scheme, Uri, reply, sdp,
};

use super::bridge::InDialog;
use super::change::{Change, Step};
use super::leg::SDP;
use super::notify::Subscription;
use super::passing::is_about_caller;
use super::{Call, LegId, Phase};
use crate::ask::{Cause, Transfer};
use crate::core::Core;
use crate::io::TrunkId;
use crate::query;

impl Call {
    /// Takes a REFER, or refuses it.
    pub(super) fn refer(&mut self, r: InDialog, core: &mut Core) {
        let target = match self.may_refer(&r, core) {
            Ok(target) => target,
            Err(code) => return self.reply_plain(&r, code, None, core),
        };
        if let Some(anew) = self.for_other(&r, &target, core) {
            self.transfers += 1;
            return self.relay_as(r, &anew, core);
        }
        let r = &r;
        let Some(change) = self.transfer_of(r, &target, core) else {
            return self.reply_plain(r, 400, None, core);
        };
        let (cause, replaces) = (change.query.cause.clone(), change.replaces.clone());
        self.transfers += 1;
        self.accept_refer(r, change.subscription.wanted, core);
        self.change = Some(Box::new(change));
        self.notify(100, false, core);
        match replaces {
            Some(replaces) => {
                let by = self.leg(r.leg).map_or(TrunkId(u32::MAX), |l| l.trunk.id);
                self.dial_within(&replaces, by, core);
            }
            None => self.ask(cause, core),
        }
    }

    /// The URI to which the other side is sent, or the code of the refusal.
    fn may_refer(&self, r: &InDialog, core: &Core) -> Result<String, u16> {
        let Phase::Talking(bridge) = self.phase else {
            return Err(if self.is_ended() { 481 } else { 491 });
        };
        if bridge.other(r.leg).is_none() {
            return Err(481);
        }
        if self.is_changing() {
            return Err(491);
        }
        if self.transfers >= core.snapshot.limits.transfers_max {
            return Err(603);
        }
        let value = r.request.header(Name::ReferTo).ok_or(400_u16)?;
        let target = NameAddr::parse(value).map_err(|_| 400_u16)?;
        let uri = target.uri().map_err(|_| 400_u16)?;
        let method = uri.params.get("method").flatten();
        match uri.scheme {
            // Nothing but a call can be asked for.
            _ if method.is_some_and(|m| m != "INVITE") => Err(403),
            Scheme::Sip | Scheme::Tel => Ok(target.uri.to_owned()),
            Scheme::Sips | Scheme::Other => Err(416),
        }
    }

    /// The change that a REFER asks for.
    fn transfer_of(&self, r: &InDialog, target: &str, core: &mut Core) -> Option<Change> {
        let Phase::Talking(bridge) = self.phase else {
            return None;
        };
        let stays = bridge.other(r.leg)?;
        let invite = self.invite_for(stays, target, r)?;
        let leg = self.leg(stays)?;
        let remote = leg.dialog.flow().remote;
        let replaces = match Uri::parse(target).ok().and_then(|u| Replaces::of_uri(&u)) {
            Some(named) => Some(named.ok()?),
            None => None,
        };
        let mut query = query::of_invite(&invite, leg.party(), remote, &self.id.to_string());
        query.seed = core.rng.next_u64();
        query.explain = core.snapshot.explain;
        query.cookie.clone_from(&self.plan.cookie);
        query.cause = Cause::Transferred(Transfer {
            by: self.leg(r.leg)?.trunk.name.to_string(),
            target: query.call.request_uri.clone(),
            replaces: replaces.is_some(),
        });
        Some(Change {
            leaves: r.leg,
            stays,
            step: Step::Dialling,
            invite: Arc::new(invite),
            query: Box::new(query),
            subscription: Subscription::of(&r.request, self.transfers > 0),
            incoming: None,
            replaces,
            attempts_before: self.story.attempts.len(),
            tags_before: self.plan.tags.clone(),
        })
    }

    /// The INVITE that the party that stays would have sent to the target: its name, what its own
    /// INVITE said of the call, the session that it has described last, and one hop more than the
    /// call has taken (K18).
    fn invite_for(&self, stays: LegId, target: &str, r: &InDialog) -> Option<Message> {
        let leg = self.leg(stays)?;
        let peer = NameAddr::parse(leg.dialog.peer()).ok()?;
        let uri = Uri::parse(target).ok()?;
        let end = uri.headers.map_or(0, |h| h.len() + 1);
        let target = &target[..target.len() - end];
        let mut b = Builder::request(&Method::Invite, target);
        b.header_fmt(
            Name::Via,
            format_args!("SIP/2.0/UDP transfer.invalid;branch={BRANCH_COOKIE}0"),
        );
        let hops = self.invite.as_ref().and_then(|i| i.max_forwards());
        let hops = hops
            .unwrap_or(70)
            .saturating_sub(self.transfers.saturating_add(1));
        b.header_fmt(Name::MaxForwards, format_args!("{hops}"));
        let display = peer.display.as_deref().unwrap_or_default();
        let display = display.replace(['"', '\\'], "");
        b.header_fmt(
            Name::From,
            format_args!("\"{display}\" <{}>;tag=0", peer.uri),
        );
        b.header_fmt(Name::To, format_args!("<{target}>"));
        b.header(Name::CallId, &self.a.dialog.call_id);
        b.header(Name::CSeq, "1 INVITE");
        if let (LegId::A, Some(first)) = (stays, &self.invite) {
            for line in first.lines().filter(|l| is_about_caller(l.name)) {
                b.raw_line(line.raw);
            }
        }
        // Whoever asked for it is believed, or not, by its own trunk.
        let by = r.request.header(Name::ReferredBy);
        if let Some(by) = by.filter(|_| self.leg(r.leg).is_some_and(|l| l.trunk.identity.trusted)) {
            b.header(Name::ReferredBy, by);
        }
        if leg.said.is_some() {
            b.header(Name::ContentType, SDP);
        }
        // Whoever was put on hold for the transfer is to be heard again.
        let body = leg.said.as_ref().map(|said| sdp::without_direction(said));
        Message::parse(b.finish(body.as_deref())).ok()
    }

    fn accept_refer(&mut self, r: &InDialog, notifies: bool, core: &mut Core) {
        let mut b = reply(&r.request, 202, "Accepted", None, Some(r.flow.remote));
        if let Some(leg) = self.leg(r.leg) {
            b.header(Name::Contact, leg.contact());
        }
        if !notifies {
            b.other("Refer-Sub", "false");
        }
        let bytes: Bytes = b.finish(None);
        core.respond(r.server, 202, bytes);
        self.note_response(r.leg, true, 202, &Method::Refer, core);
    }
}
