//! The INVITE of an attempt, printed: our dialog, the caller's call, the policy's edits.

use bytes::Bytes;
use intertrunk_sip::{Line, Message, Name, Token};

use super::attempt::Dialled;
use super::history::{self, Tried, Way};
use super::leg::Leg;
use super::passing::{SUPPORTED, is_named};
use super::privacy::{names_the_caller, put_privacy};
use crate::ask::{Candidate, Cause, Query};
use crate::core::Core;
use crate::hops;
use crate::trunk::Trunk;

/// What an INVITE is made of.
pub(super) struct Outgoing<'a> {
    /// The caller's INVITE.
    pub(super) invite: &'a Message,
    /// The trunk that it came in on.
    pub(super) from: &'a Trunk,
    pub(super) query: &'a Query,
    pub(super) candidate: &'a Candidate,
    pub(super) dialled: &'a Dialled,
    /// Attempts of this call that failed.
    pub(super) tried: &'a [Tried<'a>],
    /// Its provisional answers may be reliable, as far as the call goes.
    pub(super) reliable: bool,
}

/// Prints the INVITE that begins `leg`'s dialog. Max-Forwards goes on from the caller's (K18).
pub(super) fn print_invite(leg: &mut Leg, o: &Outgoing<'_>, core: &mut Core) -> (Bytes, Token) {
    let max_forwards = o.invite.max_forwards().unwrap_or(70).saturating_sub(1);
    let (mut b, branch) = leg.request(o.invite.method(), max_forwards, core);
    b.header(Name::Contact, leg.contact());
    // A line that the policy sets or removes is not ours to add.
    let edits = Edits(o.candidate);
    if !edits.touch(Name::Allow) {
        b.header(Name::Allow, leg.allow());
    }
    let reliable = o.reliable && leg.trunk.extensions.prack;
    match reliable {
        true => b.header_fmt(Name::Supported, format_args!("100rel, {SUPPORTED}")),
        false => b.header(Name::Supported, SUPPORTED),
    };
    leg.print_timer(&mut b);
    if let Some(asserted) = &o.dialled.asserted
        && !edits.touch(Name::PAssertedIdentity)
    {
        b.header(Name::PAssertedIdentity, asserted);
    }
    if !edits.touch(Name::Privacy) {
        put_privacy(&mut b, o.invite, &leg.trunk, o.dialled.privacy_id);
    }
    let ingress = &o.query.call.ingress;
    let number = &o.query.call.request_uri.user;
    hops::put(&mut b, o.invite, ingress, number, core.call_id_key);
    let crossing = leg.crossing(o.from);
    if !edits.touch(Name::ReferredBy)
        && let Some(by) = crossing.referred_by(o.invite)
    {
        b.header(Name::ReferredBy, by);
    }
    if !edits.touch(Name::HistoryInfo) && !edits.touch(Name::Diversion) {
        let way = Way {
            crossing,
            asked: number,
            dialled: &o.dialled.callee,
            redirected: matches!(o.query.cause, Cause::Redirected(_)),
        };
        history::put(&mut b, o.invite, &way, o.tried);
    }
    crossing.put_lines(&mut b, o.invite, |line| {
        edits.touch_line(line) || (o.dialled.anonymous && names_the_caller(line))
    });
    for h in &o.candidate.set_headers {
        b.other(&h.name, &h.value);
    }
    (leg.finish_like(b, o.invite, core), branch)
}

/// The headers that a candidate sets or removes.
struct Edits<'a>(&'a Candidate);

impl Edits<'_> {
    fn names(&self) -> impl Iterator<Item = &String> {
        let set = self.0.set_headers.iter().map(|h| &h.name);
        set.chain(&self.0.remove_headers)
    }

    fn touch(&self, name: Name) -> bool {
        self.names().any(|n| Name::of(n.as_bytes()) == name)
    }

    fn touch_line(&self, line: &Line<'_>) -> bool {
        self.names().any(|name| is_named(line, name))
    }
}
