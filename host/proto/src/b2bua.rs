//! The machine that owns a shard's calls: takes bytes, answers and time; gives bytes, questions and
//! facts.
//!
//! ```text
//!   Received --> read --> response --> transaction --> attempt or relay of a call
//!                    \--> request  --> transaction --> dialog of a call
//!                                                  \-> new call | plain answer
//! ```
//! A datagram of an unknown source that belongs to no dialog is dropped without an answer.

mod door;
mod register;
mod replaces;
mod shed;
mod told;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use intertrunk_sip::{
    Message, Method, Name, Read, Replaces, Scheme, Token, read, reply, unsupported_scheme,
};
use slotmap::SlotMap;

use self::register::Registrations;
use self::watch::Watch;
use crate::ask::{Answer, Answered};
use crate::auth::nonce::Uses;
use crate::call::{Arrival, Call, CallKey, InDialog, LegId, Q850, allow, q850_of};
use crate::core::Core;
use crate::dialog::session_timer::is_too_small;
use crate::event::{DropCause, Event};
use crate::io::{AskId, CallId, Flow, Input, Output};
use crate::listener::Transport;
use crate::overload::{Gate, Load};
use crate::rng::origin_of;
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::timer::TimerOwner;
use crate::transaction::Incoming;
use crate::trunk::{Direction, Full, Seat, Trunk, Wish};
use crate::view::CallView;
use crate::{hops, query};

/// One shard's B2BUA.
#[derive(Debug)]
pub struct B2bua {
    core: Core,
    calls: SlotMap<CallKey, Call>,
    draining: bool,
    gate: Gate,
    watch: Watch,
    registrations: Registrations,
    /// Which of our nonces were used.
    nonces: Uses,
}

impl B2bua {
    /// A machine for shard `shard` of `shards`. `seed` makes its tokens; `call_id_key` is the key,
    /// shared by all shards, by which Call-IDs are given to shards.
    pub fn new(
        snapshot: Arc<Snapshot>,
        shard: u16,
        shards: u16,
        seed: [u8; 32],
        call_id_key: (u64, u64),
    ) -> B2bua {
        let core = Core::new(snapshot, shard, shards, seed, call_id_key);
        let mut b2bua = B2bua {
            core,
            calls: SlotMap::with_key(),
            draining: false,
            gate: Gate::default(),
            watch: Watch::default(),
            registrations: Registrations::default(),
            nonces: Uses::default(),
        };
        b2bua.watch_all();
        b2bua.register_all();
        b2bua
    }

    /// Something happened. Drain [`B2bua::poll_output`] afterwards.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        self.core.now = now.max(self.core.now);
        match input {
            Input::Received { flow, bytes } => self.received(flow, bytes),
            Input::TransmitFailed(id) => self.core.transmit_failed(id),
            Input::Answered { ask, answer } => self.answered(ask, *answer),
            Input::Inquired { ask, answers } => self.inquired(ask, answers),
            Input::Config(snapshot) => {
                self.core.snapshot = snapshot;
                self.watch_all();
                self.register_all();
            }
            Input::Drain => {
                self.draining = true;
                self.watch_rests(true);
                self.registrations_rest(true);
            }
            Input::Resume => {
                self.draining = false;
                self.watch_rests(false);
                self.registrations_rest(false);
            }
            Input::EndCall(id) => self.end_call(id),
            Input::Timeout => {}
        }
        self.run_timers();
        self.tell_owners();
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.out.pop_front()
    }

    /// When `Input::Timeout` is due, if nothing else comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.timers.next()
    }

    /// Calls that have not ended.
    pub fn active_calls(&self) -> usize {
        self.calls.values().filter(|c| !c.is_ended()).count()
    }

    /// Whether nothing is left to do for anybody: what a drained shard waits for.
    pub fn is_idle(&self) -> bool {
        self.active_calls() == 0 && !self.core.table.is_waiting()
    }

    /// All calls that have not ended.
    pub fn calls(&self) -> Vec<CallView> {
        self.calls
            .values()
            .filter(|c| !c.is_ended())
            .map(Call::view)
            .collect()
    }

    /// One call.
    pub fn call(&self, id: CallId) -> Option<CallView> {
        self.calls
            .values()
            .find(|c| c.id == id && !c.is_ended())
            .map(Call::view)
    }

    /// What is held in memory: calls (ended ones that wait for transactions included),
    /// transactions, dialogs, questions.
    pub fn holdings(&self) -> [usize; 4] {
        let core = &self.core;
        [
            self.calls.len(),
            core.table.len(),
            core.legs.len(),
            core.asks.len(),
        ]
    }

    /// Panics if a rule between the parts is broken. For simulations; costs a walk over all calls.
    pub fn assert_sound(&self) {
        for call in self.calls.values() {
            call.assert_sound();
            assert!(
                !call.is_gone(),
                "a call with nothing left to do was not removed"
            );
        }
        assert!(
            self.core.asks.len() <= self.calls.len(),
            "questions without calls"
        );
    }

    // ---- bytes ----

    fn received(&mut self, flow: Flow, bytes: Bytes) {
        match read(bytes, &self.core.snapshot.security.message) {
            Read::Message(message) if message.is_request() => self.request(flow, message),
            Read::Message(message) => {
                let (table, mut env) = self.core.table_env();
                if !table.response_received(message, &mut env) {
                    self.dropped(
                        flow,
                        DropCause::StrayResponse,
                        "a response that we do not await",
                    );
                }
            }
            Read::Refuse(refusal) => {
                let known = self.core.snapshot.identify(flow).is_some();
                if known && !refusal.ack {
                    let tag = self.core.rng.token().to_string();
                    let code = refusal.status;
                    let bytes = refusal.response(&tag, flow.remote);
                    let remote = refusal.destination(flow.remote);
                    self.core.transmit(Flow { remote, ..flow }, bytes);
                    self.core.event(Event::Refused { flow, code });
                } else {
                    self.dropped(flow, DropCause::Malformed, "a malformed request");
                }
            }
            Read::Drop(_) => self.dropped(flow, DropCause::Malformed, "no SIP message"),
            Read::KeepAlive(_) => {}
        }
    }

    fn dropped(&mut self, flow: Flow, cause: DropCause, detail: &'static str) {
        self.core.event(Event::Dropped {
            flow,
            cause,
            detail,
        });
    }

    fn request(&mut self, flow: Flow, request: Message) {
        let (table, mut env) = self.core.table_env();
        match table.request_received(&request, &mut env) {
            Incoming::Absorbed => self.core.event(Event::Retransmitted { flow }),
            Incoming::Ack => self.ack(flow, &request),
            Incoming::Cancel(found) => self.cancel(flow, &request, found),
            Incoming::New => match self.dialog_of(&request) {
                Some((call, leg)) if !self.speaks_for(flow, call, leg) => {
                    self.dropped(
                        flow,
                        DropCause::UnknownSource,
                        "a request of another's dialog",
                    );
                }
                Some((call, leg)) => self.in_dialog(flow, request, call, leg),
                None => self.out_of_dialog(flow, request),
            },
        }
    }

    /// Whether a datagram may speak for this leg: it comes from the leg's trunk, or from the address
    /// that the leg's requests go to. Knowing the tags alone is not enough.
    fn speaks_for(&self, flow: Flow, key: CallKey, leg: LegId) -> bool {
        let trunk = self.core.snapshot.identify(flow).map(|t| t.id);
        self.calls
            .get(key)
            .is_some_and(|call| call.is_from(leg, flow, trunk))
    }

    /// The call and leg whose dialog a message names by our tag in To.
    fn dialog_of(&self, message: &Message) -> Option<(CallKey, LegId)> {
        let token = Token::parse(message.to_tag()?)?;
        let &(key, leg) = self.core.legs.get(&token)?;
        self.calls
            .get(key)?
            .owns(leg, message)
            .then_some((key, leg))
    }

    fn ack(&mut self, flow: Flow, ack: &Message) {
        match self.dialog_of(ack) {
            Some((key, leg)) if self.speaks_for(flow, key, leg) => {
                if let Some(call) = self.calls.get_mut(key) {
                    call.acknowledged(leg, ack, &mut self.core);
                }
            }
            Some(_) => self.dropped(flow, DropCause::UnknownSource, "an ACK of another's dialog"),
            None => self.dropped(flow, DropCause::StrayAck, "an ACK of no dialog"),
        }
    }

    fn cancel(
        &mut self,
        flow: Flow,
        cancel: &Message,
        found: Option<(crate::transaction::ServerKey, CallKey)>,
    ) {
        let Some((invite, key)) = found else {
            if self.core.snapshot.identify(flow).is_none() {
                return self.dropped(flow, DropCause::UnknownSource, "a CANCEL of no trunk");
            }
            return self.answer(flow, cancel, 481);
        };
        let trunk = self.core.snapshot.identify(flow).map(|t| t.id);
        let of_the_call = self
            .calls
            .get(key)
            .is_some_and(|call| call.has_party(flow, trunk));
        if !of_the_call {
            // The branch alone is no right to end a call (RFC 3261 §22.1).
            return self.dropped(
                flow,
                DropCause::UnknownSource,
                "a CANCEL of another's INVITE",
            );
        }
        let server = self.core.table.open(cancel, flow, None);
        // The tag of the answer that the INVITE has, or will get (RFC 3261 §9.2).
        let will = self.calls.get(key).and_then(|call| call.tag_for(invite));
        let tag = self.core.table.tag_said(invite).or(will);
        let tag = tag.unwrap_or_else(|| self.core.rng.token()).to_string();
        let ok = reply(cancel, 200, "OK", Some(&tag), Some(flow.remote)).finish(None);
        self.core.respond(server, 200, ok);
        if self.core.table.is_pending(invite)
            && let Some(call) = self.calls.get_mut(key)
        {
            call.cancelled(invite, cancel, &mut self.core);
        }
    }

    fn in_dialog(&mut self, flow: Flow, request: Message, key: CallKey, leg: LegId) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let invite = *request.method() == Method::Invite;
        let server = self.core.table.open(&request, flow, invite.then_some(key));
        if invite {
            call.transaction_opened();
            let trying = reply(&request, 100, "Trying", None, Some(flow.remote)).finish(None);
            self.core.respond(server, 100, trying);
        }
        call.requested(
            InDialog {
                leg,
                request,
                flow,
                server,
            },
            &mut self.core,
        );
    }

    fn out_of_dialog(&mut self, flow: Flow, request: Message) {
        if flow.shard().is_some() {
            return self.sent_within(flow, request);
        }
        let Some(trunk) = self.let_in(flow, &request) else {
            return;
        };
        if request.to_tag().is_some() {
            return self.answer(flow, &request, 481);
        }
        if !trunk.takes(request.method(), false) {
            return self.answer(flow, &request, 405);
        }
        match request.method() {
            Method::Invite => self.invite(flow, request, &trunk),
            Method::Options => {
                let code = self.options_code(flow, &trunk);
                self.answer(flow, &request, code);
            }
            Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Register
            | Method::Prack
            | Method::Update
            | Method::Info
            | Method::Refer
            | Method::Subscribe
            | Method::Notify
            | Method::Message
            | Method::Publish
            | Method::Other(_) => self.answer(flow, &request, 405),
        }
    }

    /// Checks a new INVITE in the order of RFC 3261 §8.2 and makes a call of it.
    fn invite(&mut self, flow: Flow, invite: Message, trunk: &Arc<Trunk>) {
        let policy = self.core.snapshot.policy(trunk.policy).cloned();
        let origin = origin_of(&invite, self.core.call_id_key);
        let secure = self.core.snapshot.listeners.transport(flow.listener) == Transport::Tls;
        let emergency = self
            .core
            .snapshot
            .emergency
            .is_called_by(invite.request_uri());
        let code = if !is_callable(&invite) || (is_sips(&invite) && !secure) {
            Some(416)
        } else if self.core.origins.contains(&origin) {
            // The same request by another way: forked before us (RFC 3261 §8.2.2.2).
            Some(482)
        } else if is_too_small(&invite, &trunk.extensions) {
            Some(422)
        } else if required(&invite, trunk.extensions.prack).next().is_some() {
            Some(420)
        } else if invite.max_forwards() == Some(0) {
            Some(483)
        } else if self.is_loop(&invite, trunk) {
            Some(482)
        } else if invite.contact().is_none() {
            // Without a Contact there is nobody to send the BYE to (RFC 3261 §8.1.1.8).
            Some(400)
        } else if self.draining && !emergency {
            Some(503)
        } else {
            None
        };
        if let Some(code) = code {
            return self.answer(flow, &invite, code);
        }
        let replaces = match invite.header(Name::Replaces).map(Replaces::parse) {
            None => None,
            Some(Err(_)) => return self.answer(flow, &invite, 400),
            Some(Ok(named)) if self.owns(&named) => {
                return self.replace(flow, invite, trunk, trunk.id);
            }
            Some(Ok(named)) => Some(named),
        };
        if self.gate.shed.has(origin, self.core.now) {
            return self.shed_again(flow, &invite);
        }
        if let Err(load) = self.admit(emergency) {
            return self.shed(flow, &invite, load);
        }
        let wish = Wish {
            direction: Direction::In,
            emergency,
            now: self.core.now,
        };
        let seat = Seat::take(trunk, wish);
        self.core.mind_limit(trunk);
        let (policy, seat) = match (policy, seat) {
            (Some(policy), Ok(seat)) => (policy, seat),
            // From its bytes alone, as under overload: these come in floods.
            (_, Err(Full::Rate)) => return self.shed(flow, &invite, Load::Trunk),
            _ => return self.answer(flow, &invite, 503),
        };
        let trunk = Arc::clone(trunk);
        let core = &mut self.core;
        self.calls.insert_with_key(|key| {
            Call::begin(
                key,
                Arrival {
                    invite,
                    flow,
                    trunk,
                    policy,
                    seat,
                    origin,
                    replaces,
                },
                core,
            )
        });
    }

    /// Whether the call has come back to where it was (K18).
    fn is_loop(&self, invite: &Message, trunk: &Trunk) -> bool {
        let spirals_max = self.core.snapshot.limits.spirals_max;
        invite.header(Name::HopMark).is_some() && {
            let number = query::asked(invite);
            let key = self.core.call_id_key;
            hops::is_loop(invite, &trunk.name, &number, key, spirals_max)
        }
    }

    /// Answers a request that makes no call, in a transaction of its own: whatever changes until
    /// it comes again, it gets the same answer. Only under overload nothing is remembered.
    fn answer(&mut self, flow: Flow, request: &Message, code: u16) {
        let tag = self.core.rng.token().to_string();
        let phrase = intertrunk_sip::reason_phrase(code);
        let mut b = reply(request, code, phrase, Some(&tag), Some(flow.remote));
        match code {
            200 | 405 => {
                if let Some(trunk) = self.core.snapshot.identify(flow) {
                    b.header(Name::Allow, allow(trunk, false));
                }
                b.header(Name::Accept, "application/sdp");
            }
            420 => {
                let trunk = self.core.snapshot.identify(flow);
                let prack = trunk.is_some_and(|t| t.extensions.prack);
                let tags: Vec<_> = required(request, prack)
                    .map(String::from_utf8_lossy)
                    .collect();
                b.header(Name::Unsupported, tags.join(", "));
            }
            422 => {
                let trunk = self.core.snapshot.identify(flow);
                let least = trunk.map_or(0, |t| t.extensions.min_se_s);
                b.header_fmt(Name::MinSe, format_args!("{least}"));
            }
            503 => {
                let retry_after = self
                    .core
                    .snapshot
                    .overload
                    .retry_after_s(&mut self.core.rng);
                b.header_fmt(Name::RetryAfter, format_args!("{retry_after}"));
            }
            _ => {}
        }
        if *request.method() == Method::Invite {
            b.header_fmt(Name::Reason, format_args!("{}", Q850(q850_of(code))));
        }
        let bytes = b.finish(None);
        if self.core.table.len() >= self.core.snapshot.limits.transactions_max {
            self.core.transmit(flow.back_to_sender(request), bytes);
        } else {
            let server = self.core.table.open(request, flow, None);
            self.core.respond(server, code, bytes);
        }
        if code != 200 {
            self.core.event(Event::Refused { flow, code });
        }
    }

    // ---- answers, time, owners ----

    fn answered(&mut self, ask: AskId, answer: Answer) {
        let call = self
            .core
            .asks
            .remove(&ask)
            .and_then(|key| self.calls.get_mut(key));
        let used = call.is_some_and(|call| call.answered(ask, answer, &mut self.core));
        if !used {
            self.core.event(Event::LateAnswer);
        }
    }

    fn inquired(&mut self, ask: AskId, answers: Vec<Answered>) {
        let call = self.core.asks.remove(&ask);
        let call = call.and_then(|key| self.calls.get_mut(key));
        let used = call.is_some_and(|call| call.inquired(ask, answers, &mut self.core));
        if !used {
            self.core.event(Event::LateAnswer);
        }
    }

    fn end_call(&mut self, id: CallId) {
        if let Some(call) = self.calls.values_mut().find(|c| c.id == id) {
            call.end_by_host(&mut self.core);
        }
    }

    fn run_timers(&mut self) {
        while let Some((at, owner)) = self.core.timers.pop_due(self.core.now) {
            match owner {
                TimerOwner::Client(key) => {
                    let (table, mut env) = self.core.table_env();
                    table.client_clock(key, at, &mut env);
                }
                TimerOwner::Server(key) => {
                    let (table, mut env) = self.core.table_env();
                    table.server_clock(key, at, &mut env);
                }
                TimerOwner::Call(key) => {
                    if let Some(call) = self.calls.get_mut(key) {
                        call.clock(at, &mut self.core);
                    }
                }
                TimerOwner::Trunk(trunk) => self.watch_clock(trunk, at),
                TimerOwner::Registration(trunk) => self.register_clock(trunk, at),
            }
        }
    }

    fn remove(&mut self, key: CallKey) {
        if let Some(call) = self.calls.remove(key) {
            for tag in call.tags() {
                self.core.legs.remove(&tag);
            }
            self.core.origins.remove(&call.origin());
        }
    }
}

/// Whether the Request-URI is one that we can call: emergency services are (RFC 5031).
fn is_callable(invite: &Message) -> bool {
    !unsupported_scheme(invite) || query::is_emergency_service(invite.request_uri())
}

/// Secure all the way (RFC 3261 §26.2.2) is what only TLS can promise.
fn is_sips(invite: &Message) -> bool {
    invite.uri().is_ok_and(|uri| uri.scheme == Scheme::Sips)
}

/// Extensions that a request insists on and that we do not have (RFC 3261 §8.2.2.3).
fn required(request: &Message, prack: bool) -> impl Iterator<Item = &[u8]> {
    let ours = move |tag: &&[u8]| {
        let is = |ours: &[u8]| tag.eq_ignore_ascii_case(ours);
        is(b"timer") || is(b"replaces") || (prack && is(b"100rel"))
    };
    request
        .values(Name::Require)
        .filter(move |tag| !ours(tag))
        .chain(request.values(Name::ProxyRequire))
}
