//! The world: host, user agents, network, policy and clock, run to the end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::ask::{Answer, LookUp, Pin, Query};
use intertrunk_proto::target::{Resolved, Target};
use intertrunk_proto::trunk::{HealthRules, Trunk, TrunkKind, TrunkState};
use intertrunk_proto::{
    AskId, B2bua, CallId, Event, Fallback, Flow, Input, Instant, Limits, Output, PolicyId, Record,
    Rng, Snapshot,
};
use intertrunk_sip::{Message, Method};

use crate::ladder::{arrow, start_line};
use crate::net::{Datagram, Net, Weather};
use crate::policy::{Decision, Mood};
use crate::reference::Reference;
use crate::reference::transfers::Transfers;
pub use crate::setting::snapshot;
use crate::setting::snapshot_without;
use crate::streams::{Streams, note};
use crate::ua::Ua;
use crate::wire::Wire;

/// The trunks of the world: name, kind, address.
pub const TRUNKS: [(&str, TrunkKind, &str); 4] = [
    ("pbx-a", TrunkKind::Pbx, "127.0.0.11:5070"),
    ("pbx-b", TrunkKind::Pbx, "127.0.0.12:5070"),
    ("gw-a", TrunkKind::Pstn, "127.0.0.21:5080"),
    ("gw-b", TrunkKind::Pstn, "127.0.0.22:5080"),
];
/// The host's address.
pub const HOST: &str = "127.0.0.1:5060";
/// The key by which Call-IDs are given to shards.
pub const KEY: (u64, u64) = (7, 11);
/// Which of how many shards the host is; others have no part in this world.
pub const SHARDS: (u16, u16) = (1, 3);

/// Everything.
pub struct World {
    /// The machine under test.
    pub b2bua: B2bua,
    /// One for each trunk, in the order of [`TRUNKS`].
    pub uas: Vec<Ua>,
    /// How the policy decides.
    pub mood: Mood,
    /// The clock.
    pub now: Instant,
    /// Every message, as it was handed to the network or dropped by the host.
    pub ladder: Vec<String>,
    /// All that the host said of itself.
    pub events: Vec<(Instant, Event)>,
    /// Live state of each trunk.
    pub states: Vec<Arc<TrunkState>>,
    /// Addresses that no new call can be sent to.
    pub unsendable: Vec<SocketAddr>,
    /// Connections, and who takes none.
    pub streams: Streams,
    /// The generation that decides new calls.
    pub generation: u64,
    /// What broke a rule.
    pub broken: Vec<String>,
    /// Every datagram that a user agent has sent.
    pub said: Vec<Bytes>,
    /// Every datagram that the host has sent, and to which trunk.
    pub sent: Vec<(&'static str, Bytes)>,
    /// Inquiries that nobody answers but the test itself.
    pub inquiries: Vec<(AskId, Vec<LookUp>)>,
    /// Inquiries that the host no longer waits for.
    pub forgotten: Vec<AskId>,
    /// When the host sent something last.
    pub spoke: Instant,
    /// What must be true of each call; only where nobody forges messages.
    pub reference: Option<Reference>,
    /// What must be true of each transfer; likewise.
    pub transfers: Option<Transfers>,
    /// Whether a ladder is written; a schedule that is only explored needs none.
    pub quiet: bool,
    /// Datagrams that the host has sent.
    transmitted: u64,
    wire: Wire,
    /// Generations by call, as first answered.
    pins: BTreeMap<String, u64>,
    pub(crate) net: Net,
    rng: Rng,
    /// Under a schedule: questions that wait until it is their turn.
    pub(crate) open_questions: Option<Vec<(Question, Pin)>>,
    answers: BinaryHeap<Reverse<(Instant, u64)>>,
    waiting: BTreeMap<u64, (Question, Answer)>,
    asked: u64,
    snapshot: Arc<Snapshot>,
    /// Bounds, from the next reload on.
    pub limits: Limits,
    /// A trunk that the configuration does not have, from the next reload on.
    pub without: Option<&'static str>,
    within: VecDeque<(Flow, Bytes)>,
    /// A change to the trunks, applied to each snapshot.
    edit: fn(&mut Trunk),
}

impl World {
    /// A world from a seed.
    pub fn new(seed: u64, weather: Weather, mood: Mood) -> World {
        World::with_trunks(seed, weather, mood, |_| {})
    }

    /// A world whose trunks are changed before it begins.
    pub fn with_trunks(seed: u64, weather: Weather, mood: Mood, edit: fn(&mut Trunk)) -> World {
        let states: Vec<Arc<TrunkState>> = TRUNKS.iter().map(|_| Arc::default()).collect();
        let snapshot = Arc::new(snapshot(&states, edit, Fallback::Reject(503)));
        let mut rng = Rng::new(seed_bytes(seed, 1));
        let host: SocketAddr = HOST.parse().expect("a literal");
        let uas = TRUNKS
            .iter()
            .zip(2..)
            .map(|((name, _, address), n)| {
                let address = address.parse().expect("a literal");
                let mut ua = Ua::new(name, address, host, Rng::new(seed_bytes(seed, n)));
                ua.strict = weather.loss <= 12;
                if weather.loss == 0 {
                    ua.patience = Duration::from_millis(2 * weather.delay_ms + 100);
                }
                ua
            })
            .collect();
        World {
            b2bua: B2bua::new(
                Arc::clone(&snapshot),
                SHARDS.0,
                SHARDS.1,
                seed_bytes(seed, 0),
                KEY,
            ),
            uas,
            mood,
            now: Instant::from_micros(1_000_000),
            ladder: Vec::new(),
            events: Vec::new(),
            states,
            unsendable: Vec::new(),
            streams: Streams::default(),
            generation: 1,
            broken: Vec::new(),
            said: Vec::new(),
            inquiries: Vec::new(),
            forgotten: Vec::new(),
            sent: Vec::new(),
            spoke: Instant::default(),
            transmitted: 0,
            reference: None,
            transfers: None,
            quiet: false,
            wire: Wire::default(),
            pins: BTreeMap::new(),
            net: Net::new(weather, Rng::new(seed_bytes(rng.next_u64(), 9))),
            rng,
            open_questions: None,
            answers: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            asked: 0,
            snapshot,
            limits: Limits::default(),
            without: None,
            within: VecDeque::new(),
            edit,
        }
    }

    /// Declares what happens when the policy gives no usable verdict.
    pub fn fall_back_to(&mut self, fallback: Fallback) {
        let mut snapshot = snapshot_without(self.without, &self.states, self.edit, fallback);
        snapshot.limits = self.limits;
        self.snapshot = Arc::new(snapshot);
        self.input(Input::Config(Arc::clone(&self.snapshot)));
    }

    /// Reloads the configuration.
    pub fn reload(&mut self) {
        let fallback = self.snapshot.policies[0].fallback.clone();
        self.fall_back_to(fallback);
    }

    /// The user agent of a trunk.
    pub fn ua(&mut self, name: &str) -> &mut Ua {
        self.uas
            .iter_mut()
            .find(|u| u.name == name)
            .expect("a trunk of this world")
    }

    /// The live state of a trunk.
    pub fn state(&self, name: &str) -> &TrunkState {
        let place = TRUNKS
            .iter()
            .position(|t| t.0 == name)
            .expect("a trunk of this world");
        &self.states[place]
    }

    /// Changes limits of the host, until the next reload.
    pub fn restrain(&mut self, edit: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = Snapshot::clone(&self.snapshot);
        edit(&mut snapshot);
        self.snapshot = Arc::new(snapshot);
        self.input(Input::Config(Arc::clone(&self.snapshot)));
    }

    /// Nobody is asked how it is any more: whoever is watched is never at rest.
    pub fn unwatch(&mut self) {
        if self
            .snapshot
            .trunks
            .iter()
            .any(|t| t.health != HealthRules::default())
        {
            self.restrain(|s| {
                for trunk in &mut s.trunks {
                    Arc::make_mut(trunk).health = HealthRules::default();
                }
            });
        }
    }

    /// What DNS says of a trunk's peer from now on: addresses with their priorities.
    pub fn resolve(&mut self, name: &str, answer: &[(&str, u16)]) {
        let Some(trunk) = self.snapshot.trunk_named(name) else {
            return;
        };
        let peer = &trunk.peers[0];
        let target = |&(address, priority): &(&str, u16)| Target {
            priority,
            ..Target::at(name, address.parse().expect("a literal"))
        };
        peer.targets.replace(Resolved {
            targets: answer.iter().map(target).collect(),
            left: Vec::new(),
        });
    }

    /// Records of ended calls, in order.
    pub fn records(&self) -> Vec<&Record> {
        let record = |e: &'_ (Instant, Event)| matches!(e.1, Event::CallEnded(_));
        let ended = self.events.iter().filter(|e| record(e));
        ended
            .filter_map(|(_, e)| match e {
                Event::CallEnded(record) => Some(&**record),
                _ => None,
            })
            .collect()
    }

    /// The messages that the host has sent to a trunk and that begin so.
    pub fn sent_to(&self, trunk: &str, start: &str) -> Vec<Message> {
        let sent = self.sent.iter();
        let these = sent.filter(|(to, bytes)| *to == trunk && bytes.starts_with(start.as_bytes()));
        these
            .filter_map(|(_, bytes)| Message::parse(bytes.clone()).ok())
            .collect()
    }

    /// Ids of calls that are up.
    pub fn calls(&self) -> Vec<CallId> {
        self.b2bua.calls().iter().map(|c| c.call).collect()
    }

    /// Sends bytes to the host from any address.
    pub fn inject(&mut self, from: &str, bytes: impl Into<Bytes>) {
        let from = from.parse().expect("a literal address");
        let to = HOST.parse().expect("a literal");
        self.net.send(
            &Datagram {
                from,
                to,
                bytes: bytes.into(),
                late: false,
            },
            self.now,
        );
    }

    /// Loses the next datagram that begins so.
    pub fn lose(&mut self, start: &'static str) {
        self.net.lose.push(start);
    }

    /// Runs for this long, or until nothing more will happen.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0_u32;
        loop {
            self.post();
            let next = [
                self.net.next(),
                self.b2bua.poll_timeout(),
                self.answers.peek().map(|Reverse((at, _))| *at),
                self.uas.iter().filter_map(Ua::deadline).min(),
            ];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.step();
            steps += 1;
            if steps > 40_000 {
                self.broken
                    .push("the world does not come to rest".to_owned());
                return;
            }
        }
    }

    /// Everything that is due now.
    fn step(&mut self) {
        while let Some(datagram) = self.net.arrived(self.now) {
            self.deliver(datagram);
        }
        while self
            .answers
            .peek()
            .is_some_and(|Reverse((at, _))| *at <= self.now)
        {
            if let Some(Reverse((_, n))) = self.answers.pop()
                && let Some((question, answer)) = self.waiting.remove(&n)
            {
                self.answer(&question, answer);
            }
        }
        if self.b2bua.poll_timeout().is_some_and(|at| at <= self.now) {
            self.input(Input::Timeout);
        }
        for ua in &mut self.uas {
            ua.clock(self.now);
        }
    }

    /// A datagram arrives.
    pub(crate) fn deliver(&mut self, datagram: Datagram) {
        let Datagram {
            from, to, bytes, ..
        } = datagram;
        if to == HOST.parse().expect("a literal") {
            if let Some(reference) = &mut self.reference {
                reference.heard(from, &bytes, self.now);
            }
            if let Some(transfers) = &mut self.transfers {
                transfers.heard(&bytes);
            }
            let flow = self.streams.way_in(from, &bytes);
            self.input(Input::Received { flow, bytes });
        } else if let Some(ua) = self.uas.iter_mut().find(|u| u.address == to) {
            ua.receive(bytes, self.now);
        }
        self.post();
    }

    /// Takes what the user agents want sent.
    pub(crate) fn post(&mut self) {
        for ua in &mut self.uas {
            for bytes in ua.out.drain(..) {
                self.said.push(bytes.clone());
                if !self.quiet {
                    let line = start_line(&bytes);
                    self.ladder.push(arrow(self.now, &ua.name, "host", &line));
                }
                let to = HOST.parse().expect("a literal");
                self.net.send(
                    &Datagram {
                        from: ua.address,
                        to,
                        bytes,
                        late: false,
                    },
                    self.now,
                );
            }
        }
    }

    /// Hands something to the machine and does all that it wants done.
    pub fn input(&mut self, input: Input) {
        let before = self.b2bua.poll_timeout();
        self.b2bua.handle_input(input, self.now);
        while let Some(output) = self.b2bua.poll_output() {
            match output {
                Output::Transmit {
                    flow,
                    bytes,
                    request,
                } => self.transmit(flow, bytes, request),
                Output::Ask {
                    ask,
                    policy,
                    query,
                    pin,
                    invite,
                } => {
                    let call_id = Bytes::copy_from_slice(invite.call_id());
                    self.ask(Question { ask, call_id }, policy, &query, pin);
                }
                Output::Inquire { ask, look_ups, .. } => self.inquiries.push((ask, look_ups)),
                Output::Forget(ask) => self.forgotten.push(ask),
                Output::Event(event) => self.events.push((self.now, event)),
            }
        }
        self.b2bua.assert_sound();
        if let Some((flow, bytes)) = self.within.pop_front() {
            self.input(Input::Received { flow, bytes });
        }
        if let Some(reference) = &mut self.reference {
            reference.stepped(self.now);
            let differs = reference.compare(&self.b2bua.calls(), &self.states, self.now);
            self.broken.extend(differs);
            self.broken.append(&mut reference.broken);
        }
        if let Some(transfers) = &mut self.transfers {
            transfers.stepped();
            self.broken.append(&mut transfers.broken);
        }
        let [calls, ..] = self.b2bua.holdings();
        if calls > self.limits.calls_max {
            self.broken.push(format!("{calls} calls held"));
        }
        let stuck = self.b2bua.poll_timeout().is_some_and(|at| at <= self.now);
        if stuck && before == self.b2bua.poll_timeout() {
            self.broken
                .push("a timer that is due was not run".to_owned());
        }
    }

    /// The policy answers. Too late, it must change nothing.
    pub(crate) fn answer(&mut self, question: &Question, answer: Answer) {
        if self.b2bua.poll_timeout().is_some_and(|at| at <= self.now) {
            self.input(Input::Timeout);
        }
        let generation = answer.pin.as_ref().map_or(0, |p| p.generation);
        let in_time = self.reference.as_mut().is_none_or(|reference| {
            reference.decided(&question.call_id, &answer.outcome, generation, &self.states)
        });
        let (before, events) = (self.transmitted, self.events.len());
        let answer = Box::new(answer);
        let ask = question.ask;
        self.input(Input::Answered { ask, answer });
        let late = matches!(self.events[events..], [(_, Event::LateAnswer)]);
        if !in_time && (self.transmitted != before || !late) {
            self.broken
                .push("a late verdict changed something".to_owned());
        }
    }

    fn transmit(
        &mut self,
        flow: Flow,
        bytes: Bytes,
        request: Option<intertrunk_proto::TransmitId>,
    ) {
        if flow.shard().is_some() {
            return self.within.push_back((flow.seen_from(SHARDS.0), bytes));
        }
        let to = flow.remote;
        let place = self.uas.iter().position(|u| u.address == to);
        let name = place.map_or("?", |place| TRUNKS[place].0);
        if !self.quiet {
            let line = start_line(&bytes) + &note(flow);
            self.ladder.push(arrow(self.now, "host", name, &line));
            self.sent.push((name, bytes.clone()));
        }
        self.spoke = self.now;
        self.transmitted += 1;
        for wrong in self.wire.judge(flow, &bytes) {
            self.broken.push(format!("to {name}: {wrong}"));
        }
        self.check_secrets(place, name, &bytes);
        // A peer whom we cannot reach begins no call; what is up goes on.
        let unreached = self.unsendable.contains(&to) && begins_call(&bytes);
        let unsendable = request.filter(|_| unreached || !self.streams.reaches(flow));
        if let Some(reference) = &mut self.reference
            && let Ok(message) = Message::parse(bytes.clone())
        {
            reference.said(to, &message, &self.states, self.now);
            if unsendable.is_some() {
                reference.not_sent(&message);
            }
        }
        if let (Some(transfers), Ok(message)) = (&mut self.transfers, Message::parse(bytes.clone()))
        {
            transfers.said(&message);
        }
        if let Some(id) = unsendable {
            return self.input(Input::TransmitFailed(id));
        }
        let from = HOST.parse().expect("a literal");
        let late = false;
        self.net.send(
            &Datagram {
                from,
                to,
                bytes,
                late,
            },
            self.now,
        );
    }

    /// No message tells one side anything of another.
    fn check_secrets(&mut self, place: Option<usize>, to: &str, bytes: &Bytes) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        let others = self.uas.iter().zip(0..);
        let others = others.filter(|(_, n)| Some(*n) != place);
        let leak = others
            .flat_map(|(u, _)| u.secrets())
            .find(|secret| text.contains(secret.as_str()));
        if let Some(secret) = leak {
            let what = format!("{to} saw {secret} of another side in\n{text}");
            self.broken.push(what);
        }
    }

    fn ask(&mut self, question: Question, policy: PolicyId, query: &Query, pin: Option<Pin>) {
        let call = query.call.id.as_str();
        if let Some(reference) = &mut self.reference {
            reference.asked(&question.call_id, self.now + PATIENCE_WITH_POLICIES);
        }
        let generation = pin.as_ref().map_or(self.generation, |p| p.generation);
        let first = *self.pins.entry(call.to_owned()).or_insert(generation);
        if first != generation {
            self.broken.push(format!(
                "call {call} began with {first}, asked {generation}"
            ));
        }
        let pin = pin.unwrap_or_else(|| Pin {
            policy: Arc::clone(&self.snapshot.policy(policy).expect("it was asked").name),
            generation,
            sha256: "0".into(),
            keep: Arc::new(()),
        });
        if let Some(open) = &mut self.open_questions {
            return open.push((question, pin));
        }
        self.asked += 1;
        if let Decision::After(delay, outcome) = self.mood.decide(query, &mut self.rng) {
            let answer = Answer {
                outcome: *outcome,
                pin: Some(pin),
                decision_us: 1,
                because: Vec::new(),
                looked_up: Vec::new(),
            };
            self.waiting.insert(self.asked, (question, answer));
            self.answers.push(Reverse((self.now + delay, self.asked)));
        }
    }
}

/// A question to the policy, and the call that it is about.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    ask: AskId,
    call_id: Bytes,
}

/// A policy's deadline in this world, and the time that the host adds to it.
const PATIENCE_WITH_POLICIES: Duration = Duration::from_millis(20 + 250);

/// Whether this is an INVITE outside of any dialog.
fn begins_call(bytes: &Bytes) -> bool {
    let message = Message::parse(bytes.clone()).ok();
    message.is_some_and(|m| m.is_request() && *m.method() == Method::Invite && m.to_tag().is_none())
}

/// A seed of its own for each part of a world.
pub fn seed_bytes(seed: u64, part: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&part.to_le_bytes());
    bytes
}
