//! A call: one leg that came in, the attempts that were made for it, and at most one bridge.
//!
//! ```text
//!   INVITE --> Asking --verdict--> Dialling --2xx--> Talking --BYE--> Ended --> gone
//!                 |                   |                                 ^
//!                 +-- refused, CANCEL, nobody answered -----------------+
//! ```
//! An ended call stays until its last transaction is over, so that crossing and late messages find
//! what they belong to.
//!
//! - `begin`: INVITE, question, verdict, fallback
//! - `tries`, `dial`: attempts in order, and giving them up
//! - `early`: the dialogs of a called side that has not answered
//! - `outcome`: what the called sides answer, and failover
//! - `redirect`: called sides that send the call elsewhere
//! - `bridge`: ACK, BYE and what ends an answered call
//! - `offer`: who may ask for another session, and who has to wait
//! - `change`, `refer`, `replaces`, `notify`, `join`: a party of an answered call changes
//! - `pickup`: a newcomer takes a call that rings elsewhere
//! - `referral`: a REFER that the other side carries out
//! - `challenged`: requests of ours that need credentials
//! - `provisional`: 18x and PRACK
//! - `refresh`: session timers
//! - `relay`: requests that cross from one leg to the other
//! - `passing`, `headers`, `privacy`, `history`: what crosses, who is named, where the call has been
//! - `reason`: why it ended, in causes and Reason headers
//! - `story`: what is remembered for the record

mod attempt;
mod begin;
mod bridge;
mod challenged;
mod change;
mod dial;
mod early;
mod headers;
mod history;
mod inquiry;
mod invite;
mod join;
mod leg;
mod notify;
mod offer;
mod outcome;
mod passing;
mod pickup;
mod privacy;
mod provisional;
mod reason;
mod redirect;
mod refer;
mod referral;
mod refresh;
mod relay;
mod replaces;
mod story;
mod tries;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use intertrunk_sip::{Message, Method, Name, Token, reply};
use slotmap::new_key_type;
use smallvec::SmallVec;

pub(crate) use self::attempt::AttemptId;
pub use self::attempt::Dialled;
use self::attempt::{Attempt, AttemptState, Try};
pub(crate) use self::begin::Arrival;
pub(crate) use self::bridge::InDialog;
use self::change::{Change, Step};
use self::join::OwnOffer;
use self::leg::Leg;
use self::outcome::Failure;
pub(crate) use self::passing::allow;
use self::provisional::CallerEarly;
use self::reason::Because;
pub(crate) use self::reason::{Q850, q850_of};
use self::referral::Referral;
use self::relay::Relay;
pub(crate) use self::relay::RelayId;
pub(crate) use self::replaces::Newcomer;
use self::story::Story;
use crate::ask::{Pin, Plan, Query};
use crate::core::Core;
use crate::event::{EndedBy, Event, LadderWhat};
use crate::io::{AskId, CallId, Flow, TrunkId};
use crate::meter::Price;
use crate::snapshot::Policy;
use crate::time::Instant;
use crate::timer::Alarm;
use crate::transaction::{Owner, Sending, ServerKey};
use crate::view::{CallView, LegView};

new_key_type! {
    /// A call of this shard.
    pub(crate) struct CallKey;
}

/// Which leg of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum LegId {
    /// The calling side.
    A,
    /// The side that this attempt called.
    B(AttemptId),
}

impl LegId {
    /// Its number in ladders: 0 for A, n for the n-th attempt.
    fn number(self) -> u8 {
        match self {
            LegId::A => 0,
            LegId::B(AttemptId(n)) => n.saturating_add(1),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Asking { ask: AskId, until: Instant },
    Dialling,
    Talking(Bridge),
    Ended,
}

/// The two legs that talk to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bridge {
    /// Has the caller's part in records.
    near: LegId,
    /// Has the callee's part.
    far: LegId,
}

impl Bridge {
    /// The other leg of the two; none for a leg that is not of them.
    fn other(self, leg: LegId) -> Option<LegId> {
        match leg {
            leg if leg == self.near => Some(self.far),
            leg if leg == self.far => Some(self.near),
            LegId::A | LegId::B(_) => None,
        }
    }

    /// Whose end of the call a leg's hanging up is.
    fn part_of(self, leg: LegId) -> EndedBy {
        match leg == self.near {
            true => EndedBy::Caller,
            false => EndedBy::Callee,
        }
    }
}

/// A call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    key: CallKey,
    phase: Phase,
    policy: Arc<Policy>,
    asks: u8,
    /// The version of each policy that was asked, the one that decides now among them.
    pins: SmallVec<[Pin; 1]>,
    /// The outside sources are being asked, and not the policy.
    inquiry: Option<AskId>,
    /// The facts that the policy is asked about; gone when the call is answered.
    query: Option<Box<Query>>,
    a: Leg,
    a_flow: Flow,
    origin: u64,
    a_server: ServerKey,
    /// The INVITE of the calling side; dropped when the call ends.
    invite: Option<Arc<Message>>,
    attempts: Vec<Attempt>,
    /// Reliable provisional answers to the caller, once there was one.
    early: Option<Box<CallerEarly>>,
    /// Tags beside the current one by which the caller knows us: forks that it had to tell apart.
    more_tags: Vec<Token>,
    /// The early dialog that the caller hears.
    speaks: Option<(AttemptId, u8)>,
    queue: VecDeque<Try>,
    /// The best failure of those that ring together, while others still ring.
    failure: Option<Box<Failure>>,
    plan: Plan,
    relays: Vec<Relay>,
    next_relay: u16,
    ends_at: Option<Instant>,
    /// A party of the bridge is changing.
    change: Option<Box<Change>>,
    /// A newcomer has the call of those who rang, and is being connected.
    pickup: Option<AttemptId>,
    /// A re-INVITE of the host's own.
    own_offer: Option<Box<OwnOffer>>,
    /// The configured route of emergency calls is being tried, or was.
    routed_as_emergency: bool,
    /// Redirections obeyed so far.
    redirects: u8,
    /// Transfers so far.
    transfers: u8,
    /// REFERs that the other side carries out, while it tells of them.
    referrals: Vec<Referral>,
    story: Story,
    /// What the host's BYE or CANCEL to a side that has not ended the call itself says.
    why: Because,
    /// Transactions that may still speak to this call.
    open: u32,
    alarm: Alarm,
}

impl Call {
    /// Whether the call has ended; it may still wait for transactions.
    pub(crate) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether nothing can speak to this call any more.
    pub(crate) fn is_gone(&self) -> bool {
        let waits = self.legs().any(|(_, leg)| leg.bye_waits);
        self.is_ended() && self.open == 0 && !waits
    }

    /// A server INVITE transaction was opened for this call.
    pub(crate) fn transaction_opened(&mut self) {
        self.open += 1;
    }

    /// A transaction of this call is over.
    pub(crate) fn transaction_over(&mut self) {
        assert!(self.open > 0, "each transaction of a call ends once");
        self.open -= 1;
    }

    /// All tags by which the shard finds this call.
    pub(crate) fn tags(&self) -> impl Iterator<Item = Token> + '_ {
        let b = self.attempts.iter().map(|a| a.leg.dialog.local_tag);
        let a = std::iter::once(self.a.dialog.local_tag);
        a.chain(self.more_tags.iter().copied()).chain(b)
    }

    /// What its INVITE came from; see [`crate::rng::origin_of`].
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// Whether a datagram of this flow, and of this trunk if it is of one, comes from the peer of
    /// a leg.
    pub(crate) fn is_from(&self, leg: LegId, flow: Flow, trunk: Option<TrunkId>) -> bool {
        self.leg(leg).is_some_and(|l| {
            let own = l.dialog.flow();
            let within = [own.shard().is_some(), flow.shard().is_some()];
            within[0] == within[1]
                && (trunk == Some(l.trunk.id) || own.remote.ip() == flow.remote.ip())
        })
    }

    /// Whether a datagram comes from the peer of any leg; see [`Call::is_from`].
    pub(crate) fn has_party(&self, flow: Flow, trunk: Option<TrunkId>) -> bool {
        self.legs().any(|(leg, _)| self.is_from(leg, flow, trunk))
    }

    /// All legs, whether they talk or not.
    fn legs(&self) -> impl Iterator<Item = (LegId, &Leg)> {
        let b = (0..).map(AttemptId).map(LegId::B);
        let b = b.zip(self.attempts.iter().map(|a| &a.leg));
        std::iter::once((LegId::A, &self.a)).chain(b)
    }

    fn legs_mut(&mut self) -> impl Iterator<Item = (LegId, &mut Leg)> {
        let b = (0..).map(AttemptId).map(LegId::B);
        let b = b.zip(self.attempts.iter_mut().map(|a| &mut a.leg));
        std::iter::once((LegId::A, &mut self.a)).chain(b)
    }

    fn leg(&self, id: LegId) -> Option<&Leg> {
        match id {
            LegId::A => Some(&self.a),
            LegId::B(AttemptId(n)) => self.attempts.get(usize::from(n)).map(|a| &a.leg),
        }
    }

    fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        match id {
            LegId::A => Some(&mut self.a),
            LegId::B(AttemptId(n)) => self.attempts.get_mut(usize::from(n)).map(|a| &mut a.leg),
        }
    }

    fn attempt_mut(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.attempts.get_mut(usize::from(id.0))
    }

    /// What a minute of its two legs costs, as the plans have it.
    fn price(&self) -> Price {
        let Phase::Talking(bridge) = self.phase else {
            return Price::default();
        };
        let price = |leg| match leg {
            LegId::B(AttemptId(n)) => self.attempts.get(usize::from(n))?.candidate.price(),
            LegId::A => None,
        };
        let legs = [bridge.near, bridge.far].into_iter();
        legs.filter_map(price).fold(Price::default(), Price::and)
    }

    /// Does everything that is due, and arranges to be woken for the rest.
    pub(crate) fn clock(&mut self, at: Instant, core: &mut Core) {
        if !self.alarm.take(at) {
            return;
        }
        let now = core.now;
        if let Some((ask, until)) = self.asking()
            && until <= now
        {
            self.unask(ask, core);
            self.fall_back(crate::ask::PolicyFault::Timeout, core);
        }
        self.early_clock(core);
        self.dial_clock(core);
        self.bridge_clock(core);
        self.own_clock(core);
        self.refresh_clock(core);
        self.rearm(core);
    }

    /// Arranges to be woken at the next deadline.
    pub(crate) fn rearm(&mut self, core: &mut Core) {
        let asking = self.asking().map(|(_, until)| until);
        let ends_at = self.ends_at.filter(|_| !self.is_ended());
        let attempts = self.attempts.iter().filter_map(Attempt::deadline);
        let at = attempts
            .chain(asking)
            .chain(ends_at)
            .chain(self.a.deadline())
            .chain(self.early_deadline())
            .chain(self.relays.iter().filter_map(|r| r.until))
            .chain(self.own_offer.as_ref().map(|o| o.until))
            .min();
        core.ensure_call(self.key, &mut self.alarm, at);
    }

    /// Sends one of the host's own requests (BYE, CANCEL, PRACK, NOTIFY); only that it ends is of interest.
    fn send_own(&mut self, flow: Flow, bytes: Bytes, branch: Token, core: &mut Core) {
        self.open += 1;
        core.send(Sending {
            flow,
            bytes,
            branch,
            invite: false,
            owner: Owner::Call(self.key),
        });
    }

    fn note(&mut self, leg: LegId, sent: bool, what: LadderWhat, core: &Core) {
        // The record of an ended call is written; its ladder is closed.
        if !self.is_ended() {
            self.story.note(leg.number(), sent, what, core);
        }
    }

    fn note_request(&mut self, leg: LegId, sent: bool, method: &Method, core: &Core) {
        self.note(
            leg,
            sent,
            LadderWhat::Request(LadderWhat::method(method.as_str())),
            core,
        );
    }

    fn note_response(&mut self, leg: LegId, sent: bool, code: u16, method: &Method, core: &Core) {
        let method = LadderWhat::method(method.as_str());
        self.note(leg, sent, LadderWhat::Response(code, method), core);
    }

    /// Refuses the caller's INVITE with a final code, and ends the call; or refuses a transfer, and
    /// the call goes on.
    fn refuse(&mut self, refusal: &Refusal<'_>, by: EndedBy, core: &mut Core) {
        if self.change.is_some() {
            return self.change_refused(refusal.code, core);
        }
        let cause = refusal.q850.unwrap_or_else(|| q850_of(refusal.code));
        if let Some(invite) = self.invite.clone() {
            let tag = self.a.dialog.local_tag.to_string();
            let source = Some(self.a_flow.remote);
            let mut b = reply(&invite, refusal.code, refusal.phrase(), Some(&tag), source);
            b.header_fmt(Name::Reason, format_args!("{}", Q850(cause)));
            if let Some(seconds) = refusal.retry_after_s {
                b.header_fmt(Name::RetryAfter, format_args!("{seconds}"));
            }
            for contact in refusal.contacts {
                b.header(Name::Contact, contact);
            }
            core.respond(self.a_server, refusal.code, b.finish(None));
            self.note_response(LegId::A, true, refusal.code, &Method::Invite, core);
        }
        if self.why == Because::Unsaid && by != EndedBy::Caller {
            self.why = Because::Code(refusal.code);
        }
        self.end(by, refusal.code, cause, core);
    }

    /// Ends the call: gives up what is being tried, gives back its places, writes its record.
    fn end(&mut self, by: EndedBy, code: u16, q850: u16, core: &mut Core) {
        assert!(!self.is_ended(), "a call ends once");
        if let Some((ask, _)) = self.asking() {
            self.unask(ask, core);
        }
        self.drop_change(core);
        self.give_up_own(core);
        if let Some(id) = self.pickup.take() {
            self.hang_up(LegId::B(id), core);
        }
        self.give_up_all(&self.why.clone(), core);
        self.early_over();
        self.answer_relays(core);
        self.tally_talk(core);
        let record = self.story.close(self, by, code, q850, core);
        core.event(Event::CallEnded(Box::new(record)));
        self.phase = Phase::Ended;
        // An ended call keeps only what late messages need.
        for (_, leg) in self.legs_mut() {
            leg.stop_timer();
            leg.seat = None;
            leg.said = None;
        }
        self.invite = None;
        self.queue = VecDeque::new();
        self.failure = None;
        self.plan = Plan::default();
        self.query = None;
        self.pins = SmallVec::new();
        self.story = Story::default();
    }

    /// Counts for how long was talked, for the health of the trunk that was called.
    fn tally_talk(&self, core: &Core) {
        if let (Phase::Talking(bridge), Some(at)) = (self.phase, self.story.answered_at)
            && let Some(leg) = self.leg(bridge.far)
        {
            leg.trunk.talk_ended(core.now.since(at), core.now);
        }
    }

    /// What operators see.
    pub(crate) fn view(&self) -> CallView {
        let leg_view = |leg: &Leg| LegView {
            trunk: Arc::clone(&leg.trunk.name),
            peer: Some(leg.dialog.flow().remote),
            sip_call_id: String::from_utf8_lossy(&leg.dialog.call_id).into_owned(),
        };
        let ringing = self
            .attempts
            .iter()
            .any(|a| a.state == AttemptState::Ringing);
        let state = match self.phase {
            Phase::Asking { .. } => "asking",
            Phase::Dialling if ringing => "ringing",
            Phase::Dialling => "trying",
            Phase::Talking(_) => "answered",
            Phase::Ended => "ending",
        };
        let near = match self.phase {
            Phase::Talking(bridge) => self.leg(bridge.near),
            Phase::Asking { .. } | Phase::Dialling | Phase::Ended => None,
        };
        let far = match self.phase {
            Phase::Talking(bridge) => self.leg(bridge.far),
            Phase::Asking { .. } | Phase::Dialling | Phase::Ended => {
                self.attempts.last().map(|a| &a.leg)
            }
        };
        self.story.view(CallView {
            call: self.id,
            state,
            started_at: Instant::default(),
            answered_at: None,
            a_leg: leg_view(near.unwrap_or(&self.a)),
            b_leg: far.map(leg_view),
            caller: String::new(),
            callee: String::new(),
            policy: self.pin().map(|p| (Arc::clone(&p.policy), p.generation)),
            because: Vec::new(),
            looked_up: Vec::new(),
            refused: Vec::new(),
            attempts: Vec::new(),
            ladder: Vec::new(),
        })
    }

    /// The deepest check that a simulation makes after each step.
    pub(crate) fn assert_sound(&self) {
        let seats = self.legs().any(|(_, leg)| leg.seat.is_some());
        assert!(!self.is_ended() || !seats, "an ended call has no seat");
        let won = self
            .attempts
            .iter()
            .filter(|a| a.state == AttemptState::Won)
            .count();
        match self.phase {
            Phase::Asking { .. } | Phase::Dialling => {
                let picks_up = usize::from(self.pickup.is_some());
                assert!(won == picks_up, "won but not answered");
            }
            Phase::Talking(bridge) => {
                let legs = [bridge.near, bridge.far];
                let dialled = legs.iter().filter(|leg| **leg != LegId::A).count();
                let step = self.change.as_ref().map(|c| c.step);
                let joining = usize::from(matches!(step, Some(Step::Joining { .. })));
                assert!(won == dialled + joining, "answered legs that have no part");
                let seats = legs.map(|leg| self.leg(leg).is_some_and(|l| l.seat.is_some()));
                assert!(seats == [true, true], "a bridged leg without a seat");
            }
            Phase::Ended => assert!(won <= 2, "more winners than parties"),
        }
    }
}

/// A final answer to the caller that is not 2xx.
#[derive(Clone, Copy, Debug, Default)]
struct Refusal<'a> {
    code: u16,
    phrase: Option<&'a str>,
    q850: Option<u16>,
    retry_after_s: Option<u32>,
    contacts: &'a [String],
}

impl<'a> Refusal<'a> {
    fn of(code: u16) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    fn phrase(&self) -> &'a str {
        self.phrase
            .unwrap_or_else(|| intertrunk_sip::reason_phrase(self.code))
    }
}
