//! A model user agent, caller and callee, from RFC 3261 alone.
//!
//! It retransmits, acknowledges, cancels, hangs up, forks, renegotiates, and notes everything that
//! the host does wrong.

mod again;
pub mod asks;
mod callee;
mod caller;
mod choice;
mod crash;
mod manner;
mod media;
mod refer;
mod referred;
pub mod registrar;
mod reliable;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::{Instant, Rng};
use intertrunk_sip::{Builder, Message, Method, Name, reply};

use self::crash::State;
pub use self::manner::{
    Errand, Final, Manner, Renegotiation, Ring, random_manner, random_renegotiation,
};
use self::referred::Referred;
use crate::ms;

const T1: Duration = ms(500);
const T2: Duration = ms(4_000);

/// What is to be done later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Deed {
    /// The n-th client transaction.
    Cancel(usize),
    EarlyBye,
    HangUp,
    ReInvite,
    Info,
    Update,
    /// UPDATE with an offer before the answer.
    EarlyUpdate,
    /// INFO before the answer.
    EarlyInfo,
    Refresh,
    /// REFER.
    Refer,
    Ring(u16),
    Answer,
    Refuse(u16),
    /// 200 to the re-INVITE of the n-th server transaction.
    Accept(usize),
    /// The ACK brought no answer to our offer: by now this dialog must be over.
    Unanswered(usize),
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
    /// Of a re-INVITE that is answered later: itself, and the dialog that it belongs to.
    request: Option<(Message, usize)>,
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
    /// The tag of this side.
    pub tag: String,
    unacked: Option<Unacked>,
    /// It is up: answered, and nobody has hung up.
    pub up: bool,
    /// It was up once.
    pub was_up: bool,
    target: String,
    cseq: u32,
    remote_cseq: u32,
    reliable: reliable::Reliable,
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
    /// The To tag that a caller heard last, and what it knows of the others.
    hears: Vec<u8>,
    forks: BTreeMap<Vec<u8>, reliable::Reliable>,
    clients: Vec<Client>,
    servers: Vec<Server>,
    deeds: BTreeSet<(Instant, Deed)>,
    /// Final code of the INVITE: what a caller got, what a callee gave.
    pub code: Option<u16>,
    /// The caller gave up without hearing anything.
    pub timed_out: bool,
    branches_seen: BTreeMap<String, Method>,
    begun: Instant,
    /// Status lines that it was told by NOTIFY.
    notes: Vec<String>,
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
    /// How long it waits for what should come at once.
    pub patience: Duration,
    /// Whether the weather is good enough for 64·T1 to mean that nobody answered.
    pub strict: bool,
    /// Under a schedule: deeds are not done when their time comes, but when it is their turn.
    pub by_choice: bool,
    /// Whether those whom it calls transfer it.
    pub refers: bool,
    /// What it does with a REFER.
    pub referred: Referred,
    /// What it answers to OPTIONS of no dialog; nothing if absent.
    pub options: Option<u16>,
    /// How it answers REGISTER; it is no registrar if absent.
    pub grants: Option<registrar::Grants>,
    /// What it wants to be shown.
    pub asks: asks::Asks,
    secrets: [String; 3],
    state: State,
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
            patience: T1 * 64,
            strict: true,
            by_choice: false,
            refers: false,
            referred: Referred::default(),
            options: Some(200),
            grants: None,
            asks: asks::Asks::default(),
            secrets: [
                address.ip().to_string(),
                format!("agent-{name}"),
                format!("-{name}-"),
            ],
            state: State::default(),
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

    /// Names the next call without saying whose it is.
    fn mark(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.name, self.serial).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// What marks all that nobody beyond the host may see: address, product, and the tokens of
    /// Call-IDs, tags and branches.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// Places a call. Gives its Call-ID.
    pub fn place(&mut self, errand: &Errand, now: Instant) -> String {
        let call_id = self.token("call");
        let tag = self.token("tag");
        let mut deeds = BTreeSet::new();
        deeds.extend(errand.cancel.map(|d| (now + d, Deed::Cancel(0))));
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
            manner: Manner {
                renegotiation: errand.renegotiation,
                ..Manner::default()
            },
            invite: None,
            local,
            remote: format!("<{uri}>"),
            dialogs: vec![Dialog::new(tag, uri)],
            hears: Vec::new(),
            forks: BTreeMap::new(),
            clients: Vec::new(),
            servers: Vec::new(),
            deeds,
            code: None,
            timed_out: false,
            branches_seen: BTreeMap::new(),
            begun: now,
            notes: Vec::new(),
            errand: Some(errand.clone()),
        };
        let body = errand.offer.then_some("offer");
        if self.state == State::Dead {
            return call_id;
        }
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
        self.request_with(side, dialog, method, &[], body, now);
    }

    fn request_with(
        &mut self,
        side: &mut Side,
        dialog: usize,
        method: &Method,
        lines: &[(Name, String)],
        body: Option<&str>,
        now: Instant,
    ) {
        let branch = format!("z9hG4bK{}", self.token("b"));
        side.dialogs[dialog].cseq += 1;
        let cseq = side.dialogs[dialog].cseq;
        let mut b = self.head(side, dialog, method, &branch, cseq);
        for (name, value) in lines {
            b.header(*name, value);
        }
        if let (Method::Invite, Some(_), 1) = (method, &side.errand, cseq) {
            // Not a secret: what one call is on both sides (see `reference`).
            b.other("X-Call", &self.mark());
        }
        let refresh = *method == Method::Update && body.is_none();
        if let Some(errand) = side.errand.as_ref().filter(|_| refresh || cseq == 1) {
            for (name, value) in &errand.headers {
                b.other(name, value);
            }
            if errand.headers.is_empty() {
                self.put_tell_tales(&mut b);
            }
        }
        if *method == Method::Bye {
            side.put_parting(&mut b);
        }
        let bytes = self.finish(b, body);
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
        if self.state == State::Dead {
            return;
        }
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(fault) => return self.complain(&format!("unreadable: {fault}")),
        };
        if self.challenges(&message) || self.registers(&message) {
            return;
        }
        let call_id = String::from_utf8_lossy(message.call_id()).into_owned();
        let known = self.sides.remove(&call_id);
        let side = match (known, message.is_request()) {
            // Refused once, and asked again in the same dialog (RFC 4028 §7.3).
            (Some(side), true) if side.is_asked_again(&message) => self.invited(message, now),
            (Some(mut side), true) => {
                self.requested(&mut side, &message, now);
                Some(side)
            }
            (Some(mut side), false) => {
                self.responded(&mut side, &message, now);
                self.tell_referrer(&side.call_id, &message, now);
                Some(side)
            }
            (None, true) if *message.method() == Method::Options => {
                self.tell_options(&message);
                None
            }
            (None, _) if self.has_forgotten(&message) => None,
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

    fn tell_options(&mut self, options: &Message) {
        if let Some(code) = self.options {
            let phrase = intertrunk_sip::reason_phrase(code);
            let answer = reply(options, code, phrase, Some("options"), Some(self.host));
            self.out.push(answer.finish(None));
        }
    }

    fn complain(&mut self, what: &str) {
        self.complaints.push(format!("{}: {what}", self.name));
    }

    /// When this user agent wants to be woken.
    pub fn deadline(&self) -> Option<Instant> {
        let sides = self.sides.values();
        sides.filter_map(|s| s.deadline(self.by_choice)).min()
    }

    /// Does what is due.
    pub fn clock(&mut self, now: Instant) {
        let due: Vec<String> = self
            .sides
            .values()
            .filter(|s| s.deadline(self.by_choice).is_some_and(|at| at <= now))
            .map(|s| s.call_id.clone())
            .collect();
        for call_id in due {
            if let Some(mut side) = self.sides.remove(&call_id) {
                self.retransmit(&mut side, now);
                while let Some(due) = side.next_deed(self.by_choice).filter(|d| d.0 <= now) {
                    side.deeds.remove(&due);
                    self.act(&mut side, due.1, now);
                }
                self.sides.insert(call_id, side);
            }
        }
    }

    fn act(&mut self, side: &mut Side, deed: Deed, now: Instant) {
        match deed {
            Deed::Cancel(client) => self.cancel(side, client, now),
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
            Deed::ReInvite if side.dialogs[0].up && !self.has_pending_offer(side) => {
                self.request(side, 0, &Method::Invite, Some("offer"), now);
                let cancel = side.errand.as_ref().and_then(|e| e.cancel_reinvite);
                let client = side.clients.len() - 1;
                side.deeds
                    .extend(cancel.map(|d| (now + d, Deed::Cancel(client))));
            }
            Deed::Update if side.dialogs[0].up && !self.has_pending_offer(side) => {
                self.request(side, 0, &Method::Update, Some("offer"), now);
            }
            Deed::EarlyUpdate if side.can_update_early() && !self.has_pending_offer(side) => {
                self.request(side, 0, &Method::Update, Some("offer"), now);
            }
            Deed::EarlyInfo if side.code.is_none() => {
                self.request(side, 0, &Method::Info, None, now);
            }
            Deed::Refresh if side.dialogs[0].up => {
                self.request(side, 0, &Method::Update, None, now);
            }
            Deed::Info if side.dialogs[0].up => {
                self.request(side, 0, &Method::Info, None, now);
            }
            Deed::Refer if side.dialogs[0].up => self.refer_somewhere(side, now),
            Deed::Ring(code) if side.code.is_none() => {
                for dialog in 0..side.dialogs.len() {
                    self.ring(side, dialog, code, now);
                }
            }
            Deed::Answer if side.code.is_none() && side.waits_for_prack() => {
                side.deeds.insert((now + ms(50), Deed::Answer));
            }
            Deed::Answer if side.code.is_none() => self.answer(side, now),
            Deed::Refuse(code) if side.code.is_none() => {
                self.respond_invite(side, 0, code, None);
            }
            Deed::Accept(server) => self.accept(side, server, 200, now),
            Deed::Unanswered(dialog) if side.dialogs[dialog].up => {
                self.complain("an offer in our 2xx, but no answer in the ACK");
            }
            Deed::Unanswered(_)
            | Deed::EarlyBye
            | Deed::ReInvite
            | Deed::Info
            | Deed::Update
            | Deed::EarlyUpdate
            | Deed::EarlyInfo
            | Deed::Refresh
            | Deed::Refer
            | Deed::Ring(_)
            | Deed::Answer
            | Deed::Refuse(_) => {}
        }
    }
}

impl Side {
    /// What this side says where it leaves.
    fn put_parting(&self, b: &mut Builder) {
        for (name, value) in self.errand.iter().flat_map(|e| &e.parting) {
            b.other(name, value);
        }
        for (name, value) in self.manner.lines {
            b.other(name, value);
        }
    }

    /// The deed that comes first; of deeds that are a matter of choice, none.
    fn next_deed(&self, by_choice: bool) -> Option<(Instant, Deed)> {
        let mut deeds = self.deeds.iter();
        let timed = |(_, deed): &&(Instant, Deed)| !by_choice || !deed.is_choice();
        deeds.find(timed).copied()
    }

    fn deadline(&self, by_choice: bool) -> Option<Instant> {
        let clients = self
            .clients
            .iter()
            .filter_map(|c| c.resend.map(|(at, _)| at));
        let unacked = self
            .dialogs
            .iter()
            .filter_map(|d| d.unacked.as_ref().map(|u| u.at));
        let deeds = self.next_deed(by_choice).map(|(at, _)| at);
        let reliable = self.dialogs.iter().filter_map(Dialog::again_at);
        clients.chain(reliable).chain(unacked).chain(deeds).min()
    }

    /// Requests that never got a final answer.
    pub fn unanswered(&self) -> impl Iterator<Item = &Method> {
        self.clients
            .iter()
            .filter(|c| c.last.is_none())
            .map(|c| &c.method)
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
            reliable: Default::default(),
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
