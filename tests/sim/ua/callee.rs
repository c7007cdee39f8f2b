//! The side that is called: requests come in, answers go out. Requests within a dialog come in on
//! both sides.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use intertrunk_proto::Instant;
use intertrunk_sip::{Message, Method, Name, reply};

use super::{
    Deed, Dialog, Final, Manner, Renegotiation, Server, Side, T1, Ua, Unacked, branch_of,
    random_manner,
};
use crate::ms;

impl Ua {
    pub(super) fn invited(&mut self, invite: Message, now: Instant) -> Option<Side> {
        let manner = if self.manners.is_empty() {
            self.manner.unwrap_or_else(|| random_manner(&mut self.rng))
        } else {
            self.manners.remove(0)
        };
        let dice = if self.refers { self.rng.next_u64() } else { 0 };
        let manner = Manner {
            refer: (dice % 3 == 1)
                .then(|| ms(dice / 3 % 3_000))
                .or(manner.refer),
            ..manner
        };
        if invite.values(Name::Via).count() != 1 {
            self.complain("INVITE with more Vias than the host's");
        }
        if invite.contact().is_none() || invite.max_forwards().is_none() {
            self.complain("INVITE without Contact or Max-Forwards");
        }
        let target = invite.contact()?.ok()?.uri.to_owned();
        let text = |v: Option<&[u8]>| String::from_utf8_lossy(v.unwrap_or_default()).into_owned();
        let mut dialogs = Vec::new();
        for _ in 0..manner.forks {
            let tag = self.token("tag");
            let mut d = Dialog::new(tag, target.clone());
            d.remote_cseq = invite.cseq();
            dialogs.push(d);
        }
        let mut side = Side {
            call_id: text(Some(invite.call_id())),
            caller: false,
            errand: None,
            manner,
            local: text(invite.header(Name::To)),
            remote: text(invite.header(Name::From)),
            dialogs,
            hears: Vec::new(),
            forks: BTreeMap::new(),
            clients: Vec::new(),
            servers: vec![Server {
                branch: branch_of(&invite),
                method: Method::Invite,
                request: None,
                response: None,
                last: false,
            }],
            deeds: BTreeSet::new(),
            code: None,
            timed_out: false,
            branches_seen: BTreeMap::new(),
            begun: now,
            notes: Vec::new(),
            invite: Some(invite),
        };
        if matches!(manner.last, Final::Dead) {
            return Some(side);
        }
        self.respond_invite(&mut side, 0, 100, None);
        side.deeds
            .extend(manner.ring.map(|r| (now + r.after, Deed::Ring(r.code))));
        match manner.last {
            Final::Answer(after) => drop(side.deeds.insert((now + after, Deed::Answer))),
            Final::Refuse(after, code) => {
                side.deeds.insert((now + after, Deed::Refuse(code)));
            }
            Final::Either(after, code) => {
                side.deeds.insert((now + after, Deed::Answer));
                side.deeds.insert((now + after, Deed::Refuse(code)));
            }
            Final::Rings | Final::AnswersCancel | Final::Dead => {}
        }
        Some(side)
    }

    /// Sends a 18x, reliably if that is its manner and the other side knows how.
    pub(super) fn ring(&mut self, side: &mut Side, dialog: usize, code: u16, now: Instant) {
        let reliable = side.next_rseq(dialog, code);
        let offered = side.invite.as_ref().is_some_and(Message::has_body);
        let body = match reliable {
            Some(_) if !offered => "offer",
            _ => "answer",
        };
        let bytes = self.respond_invite(side, dialog, code, (code == 183).then_some(body));
        if reliable.is_some() {
            self.sent_reliably(side, dialog, &bytes, now);
        }
    }

    /// Answers the INVITE that began the call.
    pub(super) fn respond_invite(
        &mut self,
        side: &mut Side,
        dialog: usize,
        code: u16,
        body: Option<&str>,
    ) -> Bytes {
        let Some(invite) = side.invite.clone() else {
            return Bytes::new();
        };
        let tag = side.dialogs[dialog].tag.clone();
        let tag = (code != 100).then_some(tag.as_str());
        let mut b = reply(
            &invite,
            code,
            intertrunk_sip::reason_phrase(code),
            tag,
            Some(self.host),
        );
        match side.manner.places {
            Some(places) if (300..400).contains(&code) => b.header(Name::Contact, places),
            _ => b.header_fmt(Name::Contact, format_args!("<sip:{}>", self.address)),
        };
        b.header_fmt(Name::Server, format_args!("agent-{}", self.name));
        let rseq = side.dialogs[dialog].rseq_of(code);
        if let Some(rseq) = rseq {
            b.header(Name::Require, "100rel");
            b.header_fmt(Name::RSeq, format_args!("{rseq}"));
        }
        if code >= 200 {
            side.forget_reliable();
        }
        for (name, value) in side.manner.lines.iter().filter(|_| code > 100) {
            b.other(name, value);
        }
        if side.manner.lines.is_empty() {
            self.put_tell_tales(&mut b);
        }
        let bytes = self.finish(b, body);
        self.out.push(bytes.clone());
        side.servers[0].response = Some(bytes.clone());
        side.servers[0].last = code >= 200;
        if code >= 200 {
            side.code = Some(code);
        }
        bytes
    }

    pub(super) fn answer(&mut self, side: &mut Side, now: Instant) {
        let body = side
            .invite
            .as_ref()
            .map(|i| if i.has_body() { "answer" } else { "offer" });
        let cseq = side.invite.as_ref().map_or(0, Message::cseq);
        for dialog in 0..side.dialogs.len() {
            let settled = side.dialogs[dialog].reliable.settled;
            let body = body.filter(|_| !settled);
            let bytes = self.respond_invite(side, dialog, 200, body);
            let d = &mut side.dialogs[dialog];
            (d.up, d.was_up) = (true, true);
            d.unacked = Some(Unacked {
                cseq,
                bytes,
                at: now + T1,
                interval: T1,
                give_up: now + T1 * 64,
            });
        }
        side.servers[0].response = None;
    }

    pub(super) fn requested(&mut self, side: &mut Side, request: &Message, now: Instant) {
        let method = request.method().clone();
        let branch = branch_of(request);
        if method == Method::Ack {
            return self.acknowledged(side, request, now);
        }
        let again = side
            .servers
            .iter()
            .find(|s| s.branch == branch && s.method == method);
        if let Some(server) = again {
            self.out.extend(server.response.clone());
            return;
        }
        if method == Method::Cancel {
            return self.cancelled(side, request, &branch, now);
        }
        let to_tag = request
            .to_tag()
            .map(|t| String::from_utf8_lossy(t).into_owned());
        let found = side
            .dialogs
            .iter()
            .position(|d| Some(&d.tag) == to_tag.as_ref());
        let Some(dialog) = found else {
            return self.complain(&format!("{method} of no dialog, To tag {to_tag:?}"));
        };
        let deaf = matches!(side.manner.renegotiation, Renegotiation::Silent);
        if deaf && method != Method::Bye {
            return;
        }
        self.check_cseq(side, dialog, request, &branch);
        let code = match &method {
            Method::Notify => {
                let line = String::from_utf8_lossy(&request.body()).trim().to_owned();
                side.notes.push(line);
                200
            }
            Method::Bye => {
                side.dialogs[dialog].up = false;
                side.dialogs[dialog].unacked = None;
                if side.caller && side.code.is_none() {
                    self.complain("BYE before any answer");
                }
                self.give_up_pending(side, now);
                200
            }
            Method::Prack => self.pracked(side, dialog, request, now),
            Method::Refer => self.referred(side, request, now),
            Method::Invite if self.has_pending_offer(side) => 491,
            Method::Update if request.has_body() && self.has_pending_offer(side) => 491,
            Method::Invite => match side.manner.renegotiation {
                Renegotiation::Accepts => 200,
                Renegotiation::Refuses(code) => code,
                Renegotiation::AcceptsAfter(_) | Renegotiation::Stuck | Renegotiation::Silent => {
                    100
                }
            },
            Method::Update | Method::Info => match side.manner.renegotiation {
                Renegotiation::Refuses(code) => code,
                _ => 200,
            },
            _ => 200,
        };
        let server = side.servers.len();
        if let (100, Renegotiation::AcceptsAfter(time)) = (code, side.manner.renegotiation) {
            side.deeds.insert((now + time, Deed::Accept(server)));
        }
        side.servers.push(Server {
            branch,
            method,
            request: Some((request.clone(), dialog)),
            response: None,
            last: false,
        });
        self.accept(side, server, code, now);
    }

    /// Answers a request within a dialog.
    pub(super) fn accept(&mut self, side: &mut Side, server: usize, code: u16, now: Instant) {
        let Some((request, dialog)) = side.servers[server].request.clone() else {
            return;
        };
        let phrase = intertrunk_sip::reason_phrase(code);
        let mut b = reply(&request, code, phrase, None, Some(self.host));
        b.header_fmt(Name::Contact, format_args!("<sip:{}>", self.address));
        let accepts = *request.method() == Method::Invite && code == 200;
        let updates = *request.method() == Method::Update && code == 200 && request.has_body();
        let part = if request.has_body() {
            "answer"
        } else {
            "offer"
        };
        let bytes = self.finish(b, (accepts || updates).then_some(part));
        self.out.push(bytes.clone());
        let s = &mut side.servers[server];
        s.response = Some(bytes.clone());
        s.last = code >= 200;
        if s.last {
            s.request = None;
        }
        if accepts {
            side.dialogs[dialog].unacked = Some(Unacked {
                cseq: request.cseq(),
                bytes,
                at: now + T1,
                interval: T1,
                give_up: now + T1 * 64,
            });
        }
    }

    /// RFC 3261 §15.1.2: who hears BYE answers what it has not answered yet.
    fn give_up_pending(&mut self, side: &mut Side, now: Instant) {
        for server in 0..side.servers.len() {
            if !matches!(side.manner.renegotiation, Renegotiation::Stuck) {
                self.accept(side, server, 487, now);
            }
        }
    }

    /// Whether an offer of its own is not answered yet.
    pub(super) fn has_pending_offer(&self, side: &Side) -> bool {
        side.clients.iter().any(|c| {
            let first = side.caller && c.cseq == 1;
            matches!(c.method, Method::Invite | Method::Update)
                && c.last.is_none()
                && !(first && side.dialogs[0].reliable.settled)
                && (c.method == Method::Invite || c.bytes.ends_with(b"offer"))
        })
    }

    pub(super) fn check_cseq(
        &mut self,
        side: &mut Side,
        dialog: usize,
        request: &Message,
        branch: &str,
    ) {
        if side
            .branches_seen
            .insert(branch.to_owned(), request.method().clone())
            .is_some()
        {
            self.complain("a branch used for two requests");
        }
        let d = &mut side.dialogs[dialog];
        if request.cseq() < d.remote_cseq {
            // Overtaken on the way; its own order was right if nobody else has this number.
            return;
        }
        if request.cseq() == d.remote_cseq {
            let what = format!("{} with a CSeq used before", request.method());
            return self.complain(&what);
        }
        d.remote_cseq = request.cseq();
    }

    pub(super) fn acknowledged(&mut self, side: &mut Side, ack: &Message, now: Instant) {
        let to_tag = ack
            .to_tag()
            .map(|t| String::from_utf8_lossy(t).into_owned());
        let found = side
            .dialogs
            .iter()
            .position(|d| Some(&d.tag) == to_tag.as_ref());
        let Some(dialog) = found else {
            return self.complain("ACK of no dialog");
        };
        let d = &mut side.dialogs[dialog];
        let first = d.unacked.as_ref().is_some_and(|u| u.cseq == ack.cseq());
        if !first {
            return;
        }
        d.unacked = None;
        let initial = side.invite.as_ref().is_some_and(|i| i.cseq() == ack.cseq());
        if initial && !side.caller {
            let offered = side.invite.as_ref().is_some_and(Message::has_body);
            if !offered && d.up && !ack.has_body() && !d.reliable.settled {
                // Legal only when the call is ended at once; the network may lose a few BYEs.
                side.deeds
                    .insert((now + self.patience, Deed::Unanswered(dialog)));
            }
            side.deeds
                .extend(side.manner.hang_up.map(|d| (now + d, Deed::HangUp)));
            side.deeds
                .extend(side.manner.reinvite.map(|d| (now + d, Deed::ReInvite)));
            side.deeds
                .extend(side.manner.refer.map(|d| (now + d, Deed::Refer)));
            side.deeds
                .extend(side.manner.update.map(|d| (now + d, Deed::Update)));
        }
    }

    pub(super) fn cancelled(
        &mut self,
        side: &mut Side,
        cancel: &Message,
        branch: &str,
        now: Instant,
    ) {
        let ok = reply(cancel, 200, "OK", Some("cancel"), Some(self.host)).finish(None);
        self.out.push(ok.clone());
        side.servers.push(Server {
            branch: branch.to_owned(),
            method: Method::Cancel,
            request: None,
            response: Some(ok),
            last: true,
        });
        let invites = |s: &Server| s.branch == branch && s.method == Method::Invite;
        let Some(server) = side.servers.iter().position(invites) else {
            return;
        };
        if side.servers[server].last {
            return;
        }
        if side.servers[server].response.is_none() {
            self.complain("CANCEL of an INVITE that I have not answered at all");
        }
        if side.servers[server].request.is_some() {
            return self.give_up_pending(side, now);
        }
        side.deeds.clear();
        match side.manner.last {
            Final::AnswersCancel => self.answer(side, now),
            Final::Answer(_)
            | Final::Refuse(..)
            | Final::Either(..)
            | Final::Rings
            | Final::Dead => {
                self.respond_invite(side, 0, 487, None);
            }
        }
    }
}
