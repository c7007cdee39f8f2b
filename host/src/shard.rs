//! One shard: a thread with its own machine, its own sockets and its own policy instances.
//!
//! It shares nothing that changes with other shards. Whoever's socket gets a datagram hands it to
//! the shard that owns its Call-ID, through that shard's [`Mailbox`]. Policies are asked on this
//! very thread: a hop to another costs more than a decision. The loop never blocks but in `wait`,
//! takes a bounded share of each kind of work a turn, and drains the machine after each input.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_policy::{Engine, Runner};
use intertrunk_proto::ask::{Answer, Answered, Pin, Query};
use intertrunk_proto::{
    AskId, B2bua, Event, Flow, Input, Instant, Output, PolicyId, TransmitId, owner_shard,
};
use intertrunk_sip::{Message, peek_call_id};
use mio::{Events, Poll, Token};

use crate::blocklist::Blocklist;
use crate::clock::Clock;
use crate::mailbox::{Forwarded, Inbox, Mailbox, Order};
use crate::node::Running;
use crate::observe::Observer;
use crate::observe::metrics::Count;
use crate::outside::{Counting, Outside};
use crate::transport::{DATAGRAM_BYTES_MAX, Streams, UdpSocket};

/// The event that a shard's mailbox wakes it with; sockets have their listener's number.
pub const MAILBOX: Token = Token(usize::MAX);

/// Datagrams of one socket, or of the mailbox, that are handled in one turn.
const DATAGRAMS_A_TURN: usize = 64;
/// Timeouts that are handled in one turn.
const TIMEOUTS_A_TURN: usize = 256;
/// A decision that took longer than this many microseconds waits until what came meanwhile has been
/// read: a CANCEL among it must win, or somebody would be dialled for a caller who is gone (K1).
const PROMPT_DECISION_US: u32 = 2000;

/// Which part of the work is this shard's.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Its number.
    pub shard: u16,
    /// How many there are.
    pub shards: u16,
    /// The secret that Call-IDs are hashed with.
    pub key: (u64, u64),
    /// Where its randomness comes from.
    pub seed: [u8; 32],
}

/// What a shard is made of.
pub struct Parts {
    /// Its share of the work.
    pub share: Share,
    /// Time.
    pub clock: Clock,
    /// What policies run in.
    pub engine: Engine,
    /// The configuration.
    pub running: Arc<Running>,
    /// What wakes it; the sockets are registered with it.
    pub poll: Poll,
    /// Its UDP sockets, in the order of the listeners.
    pub sockets: Vec<UdpSocket>,
    /// Its connections.
    pub streams: Streams,
    /// Its own mailbox.
    pub inbox: Inbox,
    /// Everybody's mailbox, by number.
    pub mailboxes: Arc<[Mailbox]>,
    /// Whom policies inquire of.
    pub outside: Outside,
    /// Whom nobody listens to.
    pub blocklist: Arc<Blocklist>,
    /// Who is told what happens.
    pub observer: Observer,
}

/// A sign of life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// Which shard.
    pub shard: u16,
    /// Calls that are up.
    pub calls: usize,
    /// Calls, transactions, dialogs and questions that are held in memory.
    pub held: [usize; 4],
    /// Whether nothing at all is left to do: no call and no transaction.
    pub idle: bool,
}

/// The shard itself. Lives on its own thread.
pub struct Shard {
    share: Share,
    clock: Clock,
    b2bua: B2bua,
    runner: Runner,
    running: Arc<Running>,
    poll: Poll,
    events: Events,
    sockets: Vec<UdpSocket>,
    /// The place of each listener's UDP socket.
    udp_of: Vec<Option<usize>>,
    streams: Streams,
    /// Errands or news of connections are left over from the last turn.
    streams_left: bool,
    readable: Vec<bool>,
    /// When each socket was last known to have nothing.
    empty_at: Vec<Instant>,
    inbox: Inbox,
    forwarded_left: bool,
    mailboxes: Arc<[Mailbox]>,
    outside: Outside,
    counting: Counting,
    blocklist: Arc<Blocklist>,
    observer: Observer,
    due: VecDeque<Due>,
    /// Answers of decisions that took long.
    late: VecDeque<Late>,
    /// How many of them this turn began with: at most one more is made in a turn.
    late_due: usize,
    /// Who gave the answer that the machine is working on.
    answered: Option<(PolicyId, Pin)>,
    buffer: Vec<u8>,
    stopped: bool,
}

/// What an output leads to, once the machine has said all that it had to say.
enum Due {
    Ask {
        ask: AskId,
        policy: PolicyId,
        query: Box<Query>,
        invite: Arc<Message>,
        pin: Option<Pin>,
    },
    Unsent(TransmitId),
    /// From one call of this shard to another.
    Within(Flow, Bytes),
    /// Nobody could be asked.
    Inquired(AskId, Vec<Answered>),
}

/// An answer that is handed in only after what came while its policy was deciding.
struct Late {
    ask: AskId,
    policy: PolicyId,
    answer: Box<Answer>,
}

impl Shard {
    /// Puts a shard together.
    pub fn new(parts: Parts) -> Shard {
        let Parts {
            share,
            clock,
            engine,
            running,
            poll,
            sockets,
            mut streams,
            inbox,
            mailboxes,
            outside,
            blocklist,
            observer,
        } = parts;
        streams.adopt(&running.streams, &running.snapshot);
        let listeners = running.snapshot.listeners.iter();
        let udp_of = listeners.map(|l| sockets.iter().position(|s| s.listener() == l.id));
        let snapshot = Arc::clone(&running.snapshot);
        Shard {
            b2bua: B2bua::new(snapshot, share.shard, share.shards, share.seed, share.key),
            runner: Runner::new(&engine),
            events: Events::with_capacity(sockets.len() + 1),
            readable: vec![true; sockets.len()],
            empty_at: vec![clock.now(); sockets.len()],
            udp_of: udp_of.collect(),
            streams,
            streams_left: false,
            forwarded_left: false,
            due: VecDeque::new(),
            late: VecDeque::new(),
            late_due: 0,
            answered: None,
            buffer: vec![0; DATAGRAM_BYTES_MAX],
            stopped: false,
            share,
            clock,
            running,
            poll,
            sockets,
            inbox,
            mailboxes,
            counting: Counting::new(outside.meters().clone()),
            outside,
            blocklist,
            observer,
        }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        while !self.stopped {
            self.wait();
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.inbox.hush();
        self.late_due = self.late.len();
        self.take_orders();
        self.take_forwarded();
        self.take_datagrams();
        self.take_streams();
        self.take_late();
        self.take_timeouts();
        self.flush_streams();
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) {
        let busy = self.forwarded_left
            || !self.late.is_empty()
            || self.readable.contains(&true)
            || self.streams_left
            || self.streams.is_busy();
        let timeouts = [self.b2bua.poll_timeout(), self.streams.timeout()];
        let patience = match timeouts.into_iter().flatten().min() {
            _ if busy => Some(Duration::ZERO),
            Some(at) => Some(at.since(self.clock.now())),
            None => None,
        };
        match self.poll.poll(&mut self.events, patience) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            woken => woken.expect("epoll_wait fails only on a wrong argument"),
        }
        let now = self.clock.now();
        for event in &self.events {
            let socket = event.token().0;
            if let Some(readable) = self.readable.get_mut(socket) {
                if !*readable {
                    self.empty_at[socket] = now;
                }
                *readable = true;
            } else {
                self.streams.woken(event);
            }
        }
    }

    fn take_orders(&mut self) {
        while let Some(order) = self.inbox.next_order() {
            // Whoever asked and is gone needs no answer.
            match order {
                Order::Config(running) => {
                    self.running = Arc::clone(&running);
                    self.streams.adopt(&running.streams, &running.snapshot);
                    self.handle(Input::Config(Arc::clone(&running.snapshot)));
                }
                Order::Drain => self.handle(Input::Drain),
                Order::Resume => self.handle(Input::Resume),
                Order::EndCall(call) => self.handle(Input::EndCall(call)),
                Order::Calls(to) => drop(to.try_send(self.b2bua.calls())),
                Order::Call(call, to) => drop(to.try_send(self.b2bua.call(call))),
                Order::Pulse(to) => drop(to.try_send(self.pulse())),
                Order::Inquired(ask, answers) => self.inquired(ask, answers),
                Order::Stop => self.stopped = true,
            }
        }
    }

    fn take_forwarded(&mut self) {
        self.forwarded_left = true;
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(Forwarded { flow, bytes, at }) = self.inbox.datagram() else {
                self.forwarded_left = false;
                return;
            };
            self.b2bua.waiting_since(Some(at));
            self.handle(Input::Received { flow, bytes });
            if self.has_waited() {
                return;
            }
        }
    }

    fn take_datagrams(&mut self) {
        for socket in 0..self.sockets.len() {
            // A datagram is no older than the last time that its socket was empty.
            self.b2bua.waiting_since(Some(self.empty_at[socket]));
            for _ in 0..DATAGRAMS_A_TURN {
                if !self.readable[socket] || self.has_waited() {
                    break;
                }
                match self.sockets[socket].receive(&mut self.buffer) {
                    Ok(Some((flow, length))) => self.receive(flow, length),
                    Ok(None) => {
                        self.readable[socket] = false;
                        self.empty_at[socket] = self.clock.now();
                    }
                    Err(error) => tracing::debug!("receiving failed: {error}"),
                }
            }
        }
    }

    /// Whether a decision of this turn took long: the turn is over, so that the call which waits
    /// for it does not wait for others as well.
    fn has_waited(&self) -> bool {
        self.late.len() > self.late_due
    }

    /// Hands in the answers that were there when this turn began.
    fn take_late(&mut self) {
        for _ in 0..self.late_due {
            let late = self.late.pop_front();
            let Late {
                ask,
                policy,
                answer,
            } = late.expect("only this loop takes answers away");
            self.answered = answer.pin.clone().map(|pin| (policy, pin));
            self.handle(Input::Answered { ask, answer });
        }
    }

    fn take_timeouts(&mut self) {
        for _ in 0..TIMEOUTS_A_TURN {
            if self
                .b2bua
                .poll_timeout()
                .is_none_or(|at| at > self.clock.now())
            {
                return;
            }
            self.handle(Input::Timeout);
        }
    }

    /// Takes `length` bytes of the buffer in, or hands them to the shard that owns their call.
    fn receive(&mut self, flow: Flow, length: usize) {
        self.count(Count::DatagramsReceived);
        if self.is_blocked(flow) {
            return;
        }
        let bytes = Bytes::copy_from_slice(&self.buffer[..length]);
        self.take_in(flow, bytes);
    }

    /// Whether nobody listens to who is at the other end. Looked at before anything is read.
    fn is_blocked(&self, flow: Flow) -> bool {
        let blocked = self.blocklist.blocks_any() && {
            let (snapshot, now) = (&self.running.snapshot, self.clock.now());
            self.blocklist.blocks(flow.remote.ip(), snapshot, now)
        };
        if blocked {
            self.count(Count::DroppedBlocked);
        }
        blocked
    }

    /// Keeps count of who misbehaves.
    fn mind_offences(&self, event: &Event) {
        let (snapshot, now) = (&self.running.snapshot, self.clock.now());
        if let Some(block) = self.blocklist.note(event, snapshot, now) {
            self.count(Count::Blocks);
            let (source, offence) = (block.source, block.offence.as_str());
            let seconds = block.until.since(now).as_secs();
            tracing::warn!(%source, offence, seconds, times = block.times, "source blocked");
        }
    }

    /// Takes a message in, or hands it to the shard that owns its call.
    fn take_in(&mut self, flow: Flow, bytes: Bytes) {
        let Share {
            shard, shards, key, ..
        } = self.share;
        let owner = match peek_call_id(&bytes) {
            Some(call_id) if shards > 1 => owner_shard(call_id, key, shards),
            // What names no call, this machine can refuse as well as any other.
            _ => shard,
        };
        if owner == shard {
            return self.handle(Input::Received { flow, bytes });
        }
        let at = self.clock.now();
        match self.mailboxes[usize::from(owner)].forward(Forwarded { flow, bytes, at }) {
            Ok(()) => self.count(Count::DatagramsForwarded),
            Err(letter) => self.shed(letter),
        }
    }

    /// Puts one input into the machine and does all that follows from it.
    fn handle(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            self.b2bua.handle_input(input, self.clock.now());
            while let Some(output) = self.b2bua.poll_output() {
                self.carry_out(output);
            }
            self.answered = None;
            next = self.next_due();
        }
    }

    /// The next input that follows from what the machine has said.
    fn next_due(&mut self) -> Option<Input> {
        loop {
            let (ask, policy, answer) = match self.due.pop_front()? {
                Due::Ask {
                    ask,
                    policy,
                    query,
                    invite,
                    pin,
                } => {
                    let answer = self.decide(policy, *query, &invite, pin.as_ref());
                    (ask, policy, Box::new(answer))
                }
                Due::Unsent(request) => return Some(Input::TransmitFailed(request)),
                Due::Within(flow, bytes) => return Some(Input::Received { flow, bytes }),
                Due::Inquired(ask, answers) => return Some(Input::Inquired { ask, answers }),
            };
            if answer.decision_us <= PROMPT_DECISION_US {
                self.answered = answer.pin.clone().map(|pin| (policy, pin));
                return Some(Input::Answered { ask, answer });
            }
            self.late.push_back(Late {
                ask,
                policy,
                answer,
            });
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Transmit {
                flow,
                bytes,
                request,
            } => match self.udp_of.get(usize::from(flow.listener.0)) {
                Some(Some(socket)) => {
                    if let (Err(()), Some(request)) = (self.send(*socket, flow, &bytes), request) {
                        self.due.push_back(Due::Unsent(request));
                    }
                }
                Some(None) => self.send_on_stream(flow, bytes, request),
                None => match flow.shard() {
                    Some(to) => self.pass_on(to, flow, bytes),
                    None => self.due.extend(request.map(Due::Unsent)),
                },
            },
            Output::Ask {
                ask,
                policy,
                query,
                invite,
                pin,
            } => {
                self.due.push_back(Due::Ask {
                    ask,
                    policy,
                    query,
                    invite,
                    pin,
                });
            }
            Output::Inquire {
                ask,
                policy,
                look_ups,
            } => self.inquire(ask, policy, look_ups),
            Output::Forget(ask) => self.outside.forget(self.share.shard, ask),
            Output::Event(event) => {
                self.blame(&event);
                self.mind_offences(&event);
                self.tell_policy(&event);
                self.meter(&event);
                self.observer.note(event, &self.running.snapshot);
            }
        }
    }

    /// Hands a message from a call of this shard to one of another, or of this one. A full mailbox
    /// loses it, as a network would: the machine's timers send it again.
    fn pass_on(&mut self, to: u16, flow: Flow, bytes: Bytes) {
        let flow = flow.seen_from(self.share.shard);
        if to == self.share.shard {
            return self.due.push_back(Due::Within(flow, bytes));
        }
        let mailbox = self.mailboxes.get(usize::from(to));
        let passed = mailbox.map(|m| {
            m.forward(Forwarded {
                flow,
                bytes,
                at: self.clock.now(),
            })
        });
        if !matches!(passed, Some(Ok(()))) {
            self.count(Count::DatagramsShed);
        }
    }

    /// Fails when the kernel says that this cannot be sent. A datagram for which it just has no
    /// room is lost like any other: the machine's timers send it again.
    fn send(&self, socket: usize, flow: Flow, bytes: &[u8]) -> Result<(), ()> {
        match self.sockets[socket].send(bytes, flow.remote) {
            Ok(true) => self.count(Count::DatagramsSent),
            Ok(false) => self.count(Count::DatagramsUnsent),
            Err(error) => {
                self.count(Count::DatagramsUnsent);
                tracing::debug!(remote = %flow.remote, "sending failed: {error}");
                return Err(());
            }
        }
        Ok(())
    }

    /// The owner's mailbox is full: a new call is refused by this shard.
    fn shed(&mut self, letter: Forwarded) {
        self.count(Count::DatagramsShed);
        let Forwarded { flow, bytes, .. } = letter;
        self.b2bua.refuse_unheard(flow, bytes, self.clock.now());
        while let Some(output) = self.b2bua.poll_output() {
            self.carry_out(output);
        }
    }

    fn pulse(&self) -> Pulse {
        let calls = self.b2bua.active_calls();
        Pulse {
            shard: self.share.shard,
            calls,
            held: self.b2bua.holdings(),
            idle: self.b2bua.is_idle(),
        }
    }

    fn count(&self, count: Count) {
        self.observer.counters().add(count);
    }
}

mod connections;
mod policies;
#[cfg(test)]
mod tests;
