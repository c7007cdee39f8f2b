//! A model user agent, caller and callee, from RFC 3261 alone.
//!
//! It retransmits, acknowledges, cancels, hangs up, forks, renegotiates, and notes everything that
//! the host does wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::{Instant, Rng};
use intertrunk_sip::{Builder, Message, Method, Name, reply};

use crate::ms;

const T1: Duration = ms(500);
const T2: Duration = ms(4_000);

/// What a caller does.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Whom it calls.
    pub callee: String,
    /// Whether the INVITE has an offer; without, the ACK brings the answer.
    pub offer: bool,
    /// CANCEL so long after the INVITE.
    pub cancel: Option<Duration>,
    /// BYE so long after the first 18x, answered or not.
    pub early_bye: Option<Duration>,
    /// BYE so long after the answer.
    pub hang_up: Option<Duration>,
    /// re-INVITE so long after the answer.
    pub reinvite: Option<Duration>,
    /// INFO so long after the answer.
    pub info: Option<Duration>,
    /// Never sends ACK for a 2xx.
    pub no_ack: bool,
    /// More header lines of the INVITE.
    pub headers: Vec<(String, String)>,
}

impl Errand {
    /// Calls `callee`, hangs up a second after the answer.
    pub fn to(callee: &str) -> Errand {
        Errand {
            callee: callee.to_owned(),
            offer: true,
            cancel: None,
            early_bye: None,
            hang_up: Some(ms(1_000)),
            reinvite: None,
            info: None,
            no_ack: false,
            headers: Vec::new(),
        }
    }
}

/// A provisional answer.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// So long after the INVITE.
    pub after: Duration,
    /// 180 or 183.
    pub code: u16,
}

/// How a callee ends its INVITE transaction.
#[derive(Clone, Copy, Debug)]
pub enum Final {
    /// 200 so long after the INVITE.
    Answer(Duration),
    /// This code so long after the INVITE.
    Refuse(Duration, u16),
    /// Never, until it is cancelled.
    Rings,
    /// 200 in the very moment that a CANCEL comes.
    AnswersCancel,
    /// Does not even say 100.
    Dead,
}

/// What a callee does with one call.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// 18x, if any.
    pub ring: Option<Ring>,
    /// The final answer.
    pub last: Final,
    /// Dialogs that it answers with: more than one is a fork beyond it.
    pub forks: u8,
    /// BYE so long after the ACK.
    pub hang_up: Option<Duration>,
    /// re-INVITE so long after the ACK.
    pub reinvite: Option<Duration>,
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            ring: Some(Ring {
                after: ms(20),
                code: 180,
            }),
            last: Final::Answer(ms(100)),
            forks: 1,
            hang_up: None,
            reinvite: None,
        }
    }
}

/// What is to be done later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deed {
    Cancel,
    EarlyBye,
    HangUp,
    ReInvite,
    Info,
    Ring(u16),
    Answer,
    Refuse(u16),
    /// The ACK brought no answer to our offer: by now the call must be over.
    Unanswered,
}

#[derive(Clone, Debug)]
struct Client {
    method: Method,
    bytes: Bytes,
    branch: String,
    resend: Option<(Instant, Duration)>,
    give_up: Instant,
    provisional: bool,
    last: Option<u16>,
    /// Of a re-INVITE or INVITE: its ACK, to repeat.
    ack: Option<Bytes>,
    cseq: u32,
}

#[derive(Clone, Debug)]
struct Server {
    branch: String,
    method: Method,
    response: Option<Bytes>,
    last: bool,
}

#[derive(Clone, Debug)]
struct Unacked {
    cseq: u32,
    bytes: Bytes,
    at: Instant,
    interval: Duration,
    give_up: Instant,
}

/// One dialog as one side sees it.
#[derive(Clone, Debug)]
pub struct Dialog {
    tag: String,
    unacked: Option<Unacked>,
    /// It is up: answered, and nobody has hung up.
    pub up: bool,
    /// It was up once.
    pub was_up: bool,
    target: String,
    cseq: u32,
    remote_cseq: u32,
}

/// One side of one call.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its Call-ID.
    pub call_id: String,
    caller: bool,
    errand: Option<Errand>,
    manner: Manner,
    invite: Option<Message>,
    local: String,
    remote: String,
    /// One, or one for each fork.
    pub dialogs: Vec<Dialog>,
    clients: Vec<Client>,
    servers: Vec<Server>,
    deeds: BTreeSet<(Instant, Deed)>,
    /// Final code of the INVITE: what a caller got, what a callee gave.
    pub code: Option<u16>,
    /// The caller gave up without hearing anything.
    pub timed_out: bool,
    branches_seen: BTreeMap<String, Method>,
}

/// A user agent.
#[derive(Debug)]
pub struct Ua {
    /// Its name in ladders.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    host: SocketAddr,
    rng: Rng,
    /// Calls by Call-ID.
    pub sides: BTreeMap<String, Side>,
    /// What it wants sent.
    pub out: Vec<Bytes>,
    /// What the host did wrong.
    pub complaints: Vec<String>,
    /// What it does with the next calls; the default when there are none.
    pub manners: Vec<Manner>,
    /// What it does with all others.
    pub manner: Option<Manner>,
    serial: u32,
}

impl Ua {
    /// A user agent that talks to `host`.
    pub fn new(name: &str, address: SocketAddr, host: SocketAddr, rng: Rng) -> Ua {
        Ua {
            name: name.to_owned(),
            address,
            host,
            rng,
            sides: BTreeMap::new(),
            out: Vec::new(),
            complaints: Vec::new(),
            manners: Vec::new(),
            manner: Some(Manner::default()),
            serial: 0,
        }
    }

    fn token(&mut self, what: &str) -> String {
        self.serial += 1;
        format!(
            "{what}-{}-{}-{:x}",
            self.name,
            self.serial,
            self.rng.next_u64() & 0xffff
        )
    }

    /// Everything of this user agent that nobody beyond the host may see.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![self.address.to_string(), format!("agent-{}", self.name)];
        for side in self.sides.values().filter(|s| s.caller) {
            secrets.push(side.call_id.clone());
        }
        let tags = self
            .sides
            .values()
            .flat_map(|s| &s.dialogs)
            .map(|d| d.tag.clone());
        secrets.extend(tags.filter(|t| !t.is_empty()));
        secrets
    }

    /// Places a call. Gives its Call-ID.
    pub fn place(&mut self, errand: Errand, now: Instant) -> String {
        let call_id = self.token("call");
        let tag = self.token("tag");
        let mut deeds = BTreeSet::new();
        deeds.extend(errand.cancel.map(|d| (now + d, Deed::Cancel)));
        let callee = errand.callee.clone();
        let uri = if callee.contains(':') {
            callee
        } else {
            format!("sip:{callee}@{}", self.host)
        };
        let local = format!("\"Caller\" <sip:0100@{}>;tag={tag}", self.address);
        let mut side = Side {
            call_id: call_id.clone(),
            caller: true,
            manner: Manner::default(),
            invite: None,
            local,
            remote: format!("<{uri}>"),
            dialogs: vec![Dialog::new(tag, uri)],
            clients: Vec::new(),
            servers: Vec::new(),
            deeds,
            code: None,
            timed_out: false,
            branches_seen: BTreeMap::new(),
            errand: Some(errand.clone()),
        };
        let body = errand.offer.then_some("offer");
        self.request(&mut side, 0, &Method::Invite, body, now);
        self.sides.insert(call_id.clone(), side);
        call_id
    }

    /// Sends a request of a dialog in a new client transaction.
    fn request(
        &mut self,
        side: &mut Side,
        dialog: usize,
        method: &Method,
        body: Option<&str>,
        now: Instant,
    ) {
        let branch = format!("z9hG4bK{}", self.token("b"));
        side.dialogs[dialog].cseq += 1;
        let cseq = side.dialogs[dialog].cseq;
        let mut b = self.head(side, dialog, method, &branch, cseq);
        if let (Method::Invite, Some(errand), 1) = (method, &side.errand, cseq) {
            for (name, value) in &errand.headers {
                b.other(name, value);
            }
        }
        let bytes = finish(b, body);
        self.out.push(bytes.clone());
        side.clients.push(Client {
            method: method.clone(),
            bytes,
            branch,
            resend: Some((now + T1, T1)),
            give_up: now + T1 * 64,
            provisional: false,
            last: None,
            ack: None,
            cseq,
        });
    }

    fn head(
        &self,
        side: &Side,
        dialog: usize,
        method: &Method,
        branch: &str,
        cseq: u32,
    ) -> Builder {
        let d = &side.dialogs[dialog];
        let mut b = Builder::request(method, &d.target);
        b.header_fmt(
            Name::Via,
            format_args!("SIP/2.0/UDP {};rport;branch={branch}", self.address),
        );
        b.header(Name::MaxForwards, "70");
        let local = if side.caller {
            side.local.clone()
        } else {
            format!("{};tag={}", side.local, d.tag)
        };
        b.header(Name::From, local);
        b.header(Name::To, &side.remote);
        b.header(Name::CallId, &side.call_id);
        b.header_fmt(Name::CSeq, format_args!("{cseq} {method}"));
        b.header_fmt(Name::Contact, format_args!("<sip:{}>", self.address));
        b.header_fmt(Name::UserAgent, format_args!("agent-{}", self.name));
        b
    }

    // ---- what comes in ----

    /// A datagram arrived.
    pub fn receive(&mut self, bytes: Bytes, now: Instant) {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(fault) => return self.complain(&format!("unreadable: {fault}")),
        };
        let call_id = String::from_utf8_lossy(message.call_id()).into_owned();
        let known = self.sides.remove(&call_id);
        let side = match (known, message.is_request()) {
            (Some(mut side), true) => {
                self.requested(&mut side, &message, now);
                Some(side)
            }
            (Some(mut side), false) => {
                self.responded(&mut side, &message, now);
                Some(side)
            }
            (None, true) if *message.method() == Method::Invite => self.invited(message, now),
            (None, _) => {
                self.complain(&format!(
                    "about no call of mine: {} {}",
                    message.method(),
                    message.status()
                ));
                None
            }
        };
        if let Some(side) = side {
            self.sides.insert(call_id, side);
        }
    }

    fn complain(&mut self, what: &str) {
        self.complaints.push(format!("{}: {what}", self.name));
    }

    fn invited(&mut self, invite: Message, now: Instant) -> Option<Side> {
        let manner = if self.manners.is_empty() {
            self.manner.unwrap_or_else(|| random_manner(&mut self.rng))
        } else {
            self.manners.remove(0)
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
            clients: Vec::new(),
            servers: vec![Server {
                branch: branch_of(&invite),
                method: Method::Invite,
                response: None,
                last: false,
            }],
            deeds: BTreeSet::new(),
            code: None,
            timed_out: false,
            branches_seen: BTreeMap::new(),
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
            Final::Rings | Final::AnswersCancel | Final::Dead => {}
        }
        Some(side)
    }

    /// Answers the INVITE that began the call.
    fn respond_invite(
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
        b.header_fmt(Name::Contact, format_args!("<sip:{}>", self.address));
        b.header_fmt(Name::Server, format_args!("agent-{}", self.name));
        let bytes = finish(b, body);
        self.out.push(bytes.clone());
        side.servers[0].response = Some(bytes.clone());
        side.servers[0].last = code >= 200;
        if code >= 200 {
            side.code = Some(code);
        }
        bytes
    }

    fn answer(&mut self, side: &mut Side, now: Instant) {
        let body = side
            .invite
            .as_ref()
            .map(|i| if i.has_body() { "answer" } else { "offer" });
        let cseq = side.invite.as_ref().map_or(0, Message::cseq);
        for dialog in 0..side.dialogs.len() {
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

    fn requested(&mut self, side: &mut Side, request: &Message, now: Instant) {
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
        self.check_cseq(side, dialog, request, &branch);
        let code = match &method {
            Method::Bye => {
                side.dialogs[dialog].up = false;
                side.dialogs[dialog].unacked = None;
                if side.caller && side.code.is_none() {
                    self.complain("BYE before any answer");
                }
                200
            }
            Method::Invite if self.has_pending_invite(side) => 491,
            _ => 200,
        };
        let mut b = reply(
            request,
            code,
            intertrunk_sip::reason_phrase(code),
            None,
            Some(self.host),
        );
        b.header_fmt(Name::Contact, format_args!("<sip:{}>", self.address));
        let bytes = finish(
            b,
            (method == Method::Invite && code == 200).then_some("answer"),
        );
        self.out.push(bytes.clone());
        if method == Method::Invite && code == 200 {
            side.dialogs[dialog].unacked = Some(Unacked {
                cseq: request.cseq(),
                bytes: bytes.clone(),
                at: now + T1,
                interval: T1,
                give_up: now + T1 * 64,
            });
        }
        side.servers.push(Server {
            branch,
            method,
            response: Some(bytes),
            last: true,
        });
    }

    fn has_pending_invite(&self, side: &Side) -> bool {
        side.clients
            .iter()
            .any(|c| c.method == Method::Invite && c.last.is_none())
    }

    fn check_cseq(&mut self, side: &mut Side, dialog: usize, request: &Message, branch: &str) {
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

    fn acknowledged(&mut self, side: &mut Side, ack: &Message, now: Instant) {
        let to_tag = ack
            .to_tag()
            .map(|t| String::from_utf8_lossy(t).into_owned());
        let found = side
            .dialogs
            .iter_mut()
            .find(|d| Some(&d.tag) == to_tag.as_ref());
        let Some(d) = found else {
            return self.complain("ACK of no dialog");
        };
        let first = d.unacked.as_ref().is_some_and(|u| u.cseq == ack.cseq());
        if !first {
            return;
        }
        d.unacked = None;
        let initial = side.invite.as_ref().is_some_and(|i| i.cseq() == ack.cseq());
        if initial && !side.caller {
            let offered = side.invite.as_ref().is_some_and(Message::has_body);
            if !offered && d.up && !ack.has_body() {
                // Legal only when the call is ended at once; the network may lose a few BYEs.
                side.deeds.insert((now + T1 * 64, Deed::Unanswered));
            }
            side.deeds
                .extend(side.manner.hang_up.map(|d| (now + d, Deed::HangUp)));
            side.deeds
                .extend(side.manner.reinvite.map(|d| (now + d, Deed::ReInvite)));
        }
    }

    fn cancelled(&mut self, side: &mut Side, cancel: &Message, branch: &str, now: Instant) {
        let ok = finish(
            reply(cancel, 200, "OK", Some("cancel"), Some(self.host)),
            None,
        );
        self.out.push(ok.clone());
        side.servers.push(Server {
            branch: branch.to_owned(),
            method: Method::Cancel,
            response: Some(ok),
            last: true,
        });
        if side.servers[0].last || side.servers[0].branch != branch {
            return;
        }
        side.deeds.clear();
        match side.manner.last {
            Final::AnswersCancel => self.answer(side, now),
            Final::Answer(_) | Final::Refuse(..) | Final::Rings | Final::Dead => {
                self.respond_invite(side, 0, 487, None);
            }
        }
    }

    fn responded(&mut self, side: &mut Side, response: &Message, now: Instant) {
        let branch = branch_of(response);
        let method = response.method().clone();
        let code = response.status();
        let place = side
            .clients
            .iter()
            .position(|c| c.branch == branch && c.method == method);
        let Some(place) = place else {
            return self.complain(&format!("{code} to a request that I never sent"));
        };
        if response.values(Name::Via).count() != 1 {
            self.complain("response with Vias that are not mine");
        }
        if code < 200 {
            side.clients[place].provisional = true;
            if method == Method::Invite {
                side.clients[place].resend = None;
                if code > 100 && response.contact().is_none() {
                    self.complain("18x without Contact");
                }
                let early = side.errand.as_ref().and_then(|e| e.early_bye);
                if let (Some(after), true, None) = (early, code > 100, side.code) {
                    self.learn(side, response);
                    side.deeds.insert((now + after, Deed::EarlyBye));
                }
            }
            return;
        }
        match side.clients[place].last {
            Some(before) if before != code => {
                self.complain(&format!(
                    "two final answers to one {method}: {before}, {code}"
                ));
            }
            Some(_) => {}
            None => self.finally(side, place, response, now),
        }
        // A final answer that comes again is acknowledged again.
        self.out.extend(side.clients[place].ack.clone());
    }

    fn finally(&mut self, side: &mut Side, place: usize, response: &Message, now: Instant) {
        let code = response.status();
        let initial = side.caller && side.clients[place].cseq == 1;
        side.clients[place].last = Some(code);
        side.clients[place].resend = None;
        if side.clients[place].method != Method::Invite {
            return;
        }
        if initial {
            side.code = Some(code);
        }
        if code >= 300 {
            let invite = Message::parse(side.clients[place].bytes.clone()).expect("ours");
            let mut b = Builder::request(&Method::Ack, invite.request_uri());
            b.header(Name::Via, invite.header(Name::Via).unwrap_or_default());
            b.header(Name::MaxForwards, "70");
            b.header(Name::From, invite.header(Name::From).unwrap_or_default());
            b.header(Name::To, response.header(Name::To).unwrap_or_default());
            b.header(Name::CallId, invite.call_id());
            b.header_fmt(Name::CSeq, format_args!("{} ACK", invite.cseq()));
            side.clients[place].ack = Some(b.finish(None));
            return;
        }
        if response.contact().is_none() {
            self.complain("2xx without Contact");
        }
        let body = response.body();
        let offered = side.clients[place].bytes.ends_with(b"offer");
        let expected: &[u8] = if offered { b"answer" } else { b"offer" };
        if *body != *expected {
            self.complain(&format!(
                "2xx with body {:?}",
                String::from_utf8_lossy(&body)
            ));
        }
        let dialog = 0;
        if side.caller {
            self.learn(side, response);
        }
        if initial {
            let d = &mut side.dialogs[dialog];
            (d.up, d.was_up) = (true, true);
        }
        let branch = format!("z9hG4bK{}", self.token("b"));
        let b = self.head(
            side,
            dialog,
            &Method::Ack,
            &branch,
            side.clients[place].cseq,
        );
        let ack = finish(b, (!offered).then_some("answer"));
        let errand = side.errand.clone();
        if !errand.as_ref().is_some_and(|e| e.no_ack) {
            side.clients[place].ack = Some(ack);
        }
        if let (true, Some(e)) = (initial, errand) {
            side.deeds.clear();
            side.deeds
                .extend(e.hang_up.map(|d| (now + d, Deed::HangUp)));
            side.deeds
                .extend(e.reinvite.map(|d| (now + d, Deed::ReInvite)));
            side.deeds.extend(e.info.map(|d| (now + d, Deed::Info)));
        }
    }

    /// Takes To and Contact of an answer into the caller's dialog.
    fn learn(&mut self, side: &mut Side, response: &Message) {
        let to = response.header(Name::To).unwrap_or_default();
        side.remote = String::from_utf8_lossy(to).into_owned();
        if let Some(Ok(contact)) = response.contact() {
            side.dialogs[0].target = contact.uri.to_owned();
        }
    }

    // ---- time ----

    /// When this user agent wants to be woken.
    pub fn deadline(&self) -> Option<Instant> {
        self.sides.values().filter_map(Side::deadline).min()
    }

    /// Does what is due.
    pub fn clock(&mut self, now: Instant) {
        let due: Vec<String> = self
            .sides
            .values()
            .filter(|s| s.deadline().is_some_and(|at| at <= now))
            .map(|s| s.call_id.clone())
            .collect();
        for call_id in due {
            if let Some(mut side) = self.sides.remove(&call_id) {
                self.retransmit(&mut side, now);
                while side.deeds.first().is_some_and(|(at, _)| *at <= now) {
                    if let Some((_, deed)) = side.deeds.pop_first() {
                        self.act(&mut side, deed, now);
                    }
                }
                self.sides.insert(call_id, side);
            }
        }
    }

    fn retransmit(&mut self, side: &mut Side, now: Instant) {
        for c in &mut side.clients {
            if let Some((at, interval)) = c.resend
                && at <= now
            {
                if c.give_up <= now {
                    c.resend = None;
                    c.last = Some(408);
                    side.timed_out |= c.method == Method::Invite && c.cseq == 1;
                    continue;
                }
                let doubled = interval * 2;
                let most = if c.method == Method::Invite {
                    doubled
                } else {
                    T2
                };
                let next = doubled.min(most);
                c.resend = Some((now + next, next));
                self.out.push(c.bytes.clone());
            }
        }
        for d in &mut side.dialogs {
            if let Some(u) = &mut d.unacked
                && u.at <= now
            {
                if u.give_up <= now {
                    d.unacked = None;
                    side.deeds.insert((now, Deed::HangUp));
                    continue;
                }
                u.interval = (u.interval * 2).min(T2);
                u.at = now + u.interval;
                self.out.push(u.bytes.clone());
            }
        }
    }

    fn act(&mut self, side: &mut Side, deed: Deed, now: Instant) {
        match deed {
            Deed::Cancel => self.cancel(side, now),
            Deed::EarlyBye if side.code.is_none() => {
                self.request(side, 0, &Method::Bye, None, now);
            }
            Deed::HangUp => {
                for dialog in 0..side.dialogs.len() {
                    if side.dialogs[dialog].up {
                        side.dialogs[dialog].up = false;
                        self.request(side, dialog, &Method::Bye, None, now);
                    }
                }
            }
            Deed::ReInvite if side.dialogs[0].up && !self.has_pending_invite(side) => {
                self.request(side, 0, &Method::Invite, Some("offer"), now);
            }
            Deed::Info if side.dialogs[0].up => {
                self.request(side, 0, &Method::Info, None, now);
            }
            Deed::Ring(code) if side.code.is_none() => {
                let body = (code == 183).then_some("answer");
                for dialog in 0..side.dialogs.len() {
                    self.respond_invite(side, dialog, code, body);
                }
            }
            Deed::Answer if side.code.is_none() => self.answer(side, now),
            Deed::Refuse(code) if side.code.is_none() => {
                self.respond_invite(side, 0, code, None);
            }
            Deed::Unanswered if side.dialogs.iter().any(|d| d.up) => {
                self.complain("an offer in our 2xx, but no answer in the ACK");
            }
            Deed::Unanswered
            | Deed::EarlyBye
            | Deed::ReInvite
            | Deed::Info
            | Deed::Ring(_)
            | Deed::Answer
            | Deed::Refuse(_) => {}
        }
    }

    fn cancel(&mut self, side: &mut Side, now: Instant) {
        let invite = side.clients[0].clone();
        if invite.last.is_some() {
            return;
        }
        if !invite.provisional {
            // RFC 3261 §9.1: not before a first answer.
            side.deeds.insert((now + ms(100), Deed::Cancel));
            return;
        }
        let m = Message::parse(invite.bytes).expect("ours");
        let mut b = Builder::request(&Method::Cancel, m.request_uri());
        for name in [Name::Via, Name::From, Name::To, Name::CallId] {
            b.header(name, m.header(name).unwrap_or_default());
        }
        b.header(Name::MaxForwards, "70");
        b.header_fmt(Name::CSeq, format_args!("{} CANCEL", m.cseq()));
        let bytes = b.finish(None);
        self.out.push(bytes.clone());
        side.clients.push(Client {
            method: Method::Cancel,
            bytes,
            branch: invite.branch,
            resend: Some((now + T1, T1)),
            give_up: now + T1 * 64,
            provisional: false,
            last: None,
            ack: None,
            cseq: invite.cseq,
        });
    }
}

impl Side {
    fn deadline(&self) -> Option<Instant> {
        let clients = self
            .clients
            .iter()
            .filter_map(|c| c.resend.map(|(at, _)| at));
        let unacked = self
            .dialogs
            .iter()
            .filter_map(|d| d.unacked.as_ref().map(|u| u.at));
        let deeds = self.deeds.first().map(|(at, _)| *at);
        clients.chain(unacked).chain(deeds).min()
    }

    /// Whether this side placed the call.
    pub fn is_caller(&self) -> bool {
        self.caller
    }

    /// The INVITE that a callee got.
    pub fn invite(&self) -> Option<&Message> {
        self.invite.as_ref()
    }
}

impl Dialog {
    fn new(tag: String, target: String) -> Dialog {
        Dialog {
            tag,
            unacked: None,
            up: false,
            was_up: false,
            target,
            cseq: 0,
            remote_cseq: 0,
        }
    }
}

fn branch_of(message: &Message) -> String {
    let branch = message
        .via()
        .ok()
        .and_then(|v| v.branch)
        .unwrap_or_default();
    String::from_utf8_lossy(branch).into_owned()
}

fn finish(mut b: Builder, body: Option<&str>) -> Bytes {
    if body.is_some() {
        b.header(Name::ContentType, "application/sdp");
    }
    b.finish(body.map(str::as_bytes))
}

/// Any manner at all.
pub fn random_manner(rng: &mut Rng) -> Manner {
    let pick = |rng: &mut Rng, n: u64| rng.next_u64() % n;
    let after = ms(pick(rng, 3_000));
    let last = match pick(rng, 20) {
        0..11 => Final::Answer(after),
        11..15 => {
            let codes = [404, 486, 503, 603, 500, 408];
            Final::Refuse(after, codes[pick(rng, 6) as usize])
        }
        15..17 => Final::Rings,
        17..19 => Final::AnswersCancel,
        _ => Final::Dead,
    };
    let code = if pick(rng, 3) == 0 { 183 } else { 180 };
    let ring = (pick(rng, 4) > 0).then(|| Ring {
        after: ms(pick(rng, 1_000)),
        code,
    });
    Manner {
        ring,
        last,
        forks: if pick(rng, 6) == 0 { 2 } else { 1 },
        hang_up: (pick(rng, 3) == 0).then(|| ms(pick(rng, 3_000))),
        reinvite: (pick(rng, 4) == 0).then(|| ms(pick(rng, 2_000))),
    }
}
