//! A list of operations through the B2BUA: peers that say anything in any order, a policy that
//! answers anything or nothing, operators who reload, drain and end calls, and time.
//!
//! Whatever happened, once every call has been ended and every timer has run, nothing is held, each
//! call has one record, and no request of the host's own was illegal.

mod peers;
mod verdicts;
mod watch;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::ask::{Answer, Pin, PolicyFault};
use intertrunk_proto::trunk::{Health, HistoryForm, Oversize, Trunk, TrunkState};
use intertrunk_proto::{
    AskId, B2bua, Fallback, Flow, Input, Instant, ListenerId, Output, PolicyId, Snapshot,
    TransmitId, TrunkId,
};
use intertrunk_sip::Message;
use sim::world::{KEY, SHARDS, TRUNKS, seed_bytes, snapshot};

use self::watch::Watch;
use crate::take::Take;

/// More operations than this say nothing new.
const OPERATIONS_MAX: usize = 160;
/// How many messages each way can still be referred to.
const REMEMBERED_MAX: usize = 64;
/// Nothing that one input causes has more parts.
const OUTPUTS_MAX: usize = 1_000;
/// Nothing that is left runs longer than this many timers.
const WAKES_MAX: usize = 20_000;
/// Longer than the longest timer of anything.
const REST: Duration = Duration::from_secs(20_000);

/// Plays the operations that `data` spells, then lets everything come to rest.
pub fn calls(data: &[u8]) {
    let mut take = Take::new(data);
    let mut play = Play::new();
    for _ in 0..OPERATIONS_MAX {
        if take.is_empty() {
            break;
        }
        play.operation(&mut take);
    }
    play.rest();
}

/// A message of the host's and where it went.
struct Sent {
    to: SocketAddr,
    bytes: Bytes,
    message: Option<Message>,
    request: Option<TransmitId>,
}

/// A message of a peer's and where it came from.
struct Said {
    from: SocketAddr,
    bytes: Bytes,
}

struct Play {
    host: B2bua,
    now: Instant,
    states: Vec<Arc<TrunkState>>,
    asks: Vec<(AskId, Option<Pin>)>,
    sent: Vec<Sent>,
    said: Vec<Said>,
    watch: Watch,
    /// From one call to another.
    within: VecDeque<(Flow, Bytes)>,
    /// The next of these is lost.
    deaf: bool,
    generation: u64,
    serial: u32,
}

impl Play {
    fn new() -> Play {
        let states: Vec<Arc<TrunkState>> = TRUNKS.iter().map(|_| Arc::default()).collect();
        let first = Arc::new(snapshot(&states, |_| {}, Fallback::Reject(503)));
        Play {
            host: B2bua::new(first, SHARDS.0, SHARDS.1, seed_bytes(1, 0), KEY),
            now: Instant::from_micros(1_000_000),
            states,
            asks: Vec::new(),
            sent: Vec::new(),
            said: Vec::new(),
            watch: Watch::default(),
            within: VecDeque::new(),
            deaf: false,
            generation: 1,
            serial: 0,
        }
    }

    fn operation(&mut self, take: &mut Take<'_>) {
        match take.byte() % 20 {
            0 | 1 => self.invite(take),
            2..=5 => self.respond(take),
            6..=8 => self.request(take),
            9 => self.cancel(take),
            10 | 11 => self.answer(take),
            12 => self.repeat(take),
            13 => self.mangle(take),
            14 => self.wait(Duration::from_millis(u64::from(take.word()))),
            15 => self.wait(Duration::from_secs(u64::from(take.byte()))),
            16 => self.next_timer(),
            17 => self.transmit_failed(take),
            18 => self.operator(take),
            _ => self.acknowledge(take),
        }
    }

    // ---- the policy and the operators ----

    /// The verdict on a question: the newest one, or an older one, or one that is long gone.
    fn answer(&mut self, take: &mut Take<'_>) {
        let back = usize::from(take.byte());
        let Some(place) = self
            .asks
            .len()
            .checked_sub(1 + back % self.asks.len().max(1))
        else {
            return;
        };
        let (ask, pin) = self.asks[place].clone();
        let outcome = match take.byte() % 8 {
            0 => Err(PolicyFault::Timeout),
            1 => Err(PolicyFault::Quarantined),
            _ => Ok(verdicts::verdict(take)),
        };
        let generation = self.generation;
        let pin = pin.or_else(|| {
            Some(Pin {
                policy: "main".into(),
                generation,
                sha256: "0".into(),
                keep: Arc::new(()),
            })
        });
        let answer = Box::new(Answer {
            outcome,
            pin,
            decision_us: 1,
            because: Vec::new(),
            looked_up: Vec::new(),
        });
        self.input(Input::Answered { ask, answer });
    }

    fn operator(&mut self, take: &mut Take<'_>) {
        match take.byte() % 8 {
            0 => self.input(Input::Drain),
            1 => self.input(Input::Resume),
            2 => self.generation += 1,
            3 => {
                let calls = self.host.calls();
                if let Some(call) = calls.get(usize::from(take.byte()) % calls.len().max(1)) {
                    assert!(self.host.call(call.call).is_some());
                    self.input(Input::EndCall(call.call));
                }
            }
            4 => {
                let health =
                    take.of(&[Health::Up, Health::Degraded, Health::Down, Health::Disabled]);
                let trunk = usize::from(take.byte()) % self.states.len();
                self.states[trunk].set_health(health);
            }
            _ => {
                let config = self.config(take);
                self.input(Input::Config(Arc::new(config)));
            }
        }
    }

    fn config(&self, take: &mut Take<'_>) -> Snapshot {
        let edits: [fn(&mut Trunk); 12] = [
            |_| {},
            |trunk| trunk.calls_out_max = Some(1),
            |trunk| trunk.no_progress = Duration::from_secs(1),
            |trunk| trunk.failover_codes = vec![486, 404, 603],
            |trunk| trunk.extensions.session_timer_s = Some(90),
            |trunk| trunk.extensions.min_se_s = 1_800,
            |trunk| trunk.extensions.prack = !trunk.extensions.prack,
            |trunk| trunk.transfers.may_refer = false,
            |trunk| trunk.identity.trusted = false,
            |trunk| trunk.identity.history = HistoryForm::Diversion,
            |trunk| trunk.oversize = Oversize::Tcp,
            |trunk| trunk.transfers.takes_refer = true,
        ];
        let fallbacks = [
            Fallback::Reject(503),
            Fallback::Route(vec![TrunkId(2), TrunkId(3)]),
            Fallback::Policy(PolicyId(1)),
        ];
        let edit = take.of(&edits);
        let fallback = fallbacks[usize::from(take.byte()) % fallbacks.len()].clone();
        let mut config = snapshot(&self.states, edit, fallback);
        match take.byte() % 8 {
            0 => config.limits.calls_max = 1,
            1 => config.limits.transactions_max = 6,
            2 => config.limits.relays_max = 1,
            3 => config.limits.early_dialogs_max = 2,
            4 => config.limits.ladder_steps_max = 2,
            5 => config.limits.asks_max = 1,
            6 => config.limits.transfers_max = 1,
            _ => {}
        }
        config
    }

    // ---- time ----

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(at) = self.host.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
            let next = self.host.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a due timer ran");
            wakes += 1;
            assert!(wakes < WAKES_MAX, "the host does not come to rest");
        }
        self.now = end;
    }

    fn next_timer(&mut self) {
        if let Some(at) = self.host.poll_timeout() {
            self.wait(at.since(self.now));
        }
    }

    /// Ends every call, runs every timer, and looks at what is left.
    fn rest(&mut self) {
        // Ending a call may take what its peers never send; a second word is for what began late.
        for _ in 0..2 {
            self.wait(REST);
            for call in self.host.calls() {
                self.input(Input::EndCall(call.call));
            }
        }
        self.wait(REST);
        let held = self.host.holdings();
        assert!(
            held.iter().all(|n| *n == 0),
            "calls, transactions, … at rest: {held:?}"
        );
        assert_eq!(
            self.host.poll_timeout(),
            None,
            "a timer that belongs to nobody"
        );
        assert!(self.host.is_idle());
        for (state, trunk) in self.states.iter().zip(TRUNKS) {
            assert_eq!(state.active(), 0, "calls up on {} at rest", trunk.0);
        }
        self.watch.at_rest();
    }

    // ---- in and out ----

    fn receive(&mut self, from: SocketAddr, bytes: Bytes) {
        remember(
            &mut self.said,
            Said {
                from,
                bytes: bytes.clone(),
            },
        );
        let flow = Flow::to(ListenerId(0), from);
        self.input(Input::Received { flow, bytes });
    }

    fn transmit_failed(&mut self, take: &mut Take<'_>) {
        let requests: Vec<TransmitId> = self.sent.iter().filter_map(|s| s.request).collect();
        let back = usize::from(take.byte());
        self.deaf |= back >= 240;
        let back = back % requests.len().max(1);
        if let Some(id) = requests.iter().rev().nth(back) {
            self.input(Input::TransmitFailed(*id));
        }
    }

    /// Hands over an input, and what one call says to another because of it.
    fn input(&mut self, input: Input) {
        self.hand(input);
        let mut said = 0;
        while let Some((flow, bytes)) = self.within.pop_front() {
            said += 1;
            assert!(
                said < OUTPUTS_MAX,
                "calls that talk to each other without end"
            );
            if !std::mem::take(&mut self.deaf) {
                self.hand(Input::Received { flow, bytes });
            }
        }
    }

    fn hand(&mut self, input: Input) {
        self.host.handle_input(input, self.now);
        let mut outputs = 0;
        while let Some(output) = self.host.poll_output() {
            outputs += 1;
            assert!(outputs < OUTPUTS_MAX, "one input, no end of outputs");
            self.output(output);
        }
        self.host.assert_sound();
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Transmit { flow, bytes, .. } if flow.shard().is_some() => {
                self.within.push_back((flow.seen_from(SHARDS.0), bytes));
            }
            Output::Transmit {
                flow,
                bytes,
                request,
            } => {
                let to = flow.remote;
                // Said already: a retransmission is the same memory.
                let same = |s: &Sent| s.to == to && s.bytes.as_ptr() == bytes.as_ptr();
                if !self.sent.iter().rev().any(same) {
                    self.watch.sent(flow, &bytes);
                    let message = Message::parse(bytes.clone()).ok();
                    let sent = Sent {
                        to,
                        bytes,
                        message,
                        request,
                    };
                    remember(&mut self.sent, sent);
                }
            }
            Output::Ask { ask, pin, .. } => remember(&mut self.asks, (ask, pin)),
            Output::Event(event) => self.watch.said(&event),
            // What the host asks of others and nobody answers, it must live without.
            #[allow(unreachable_patterns)]
            _ => {}
        }
    }
}

fn remember<T>(list: &mut Vec<T>, item: T) {
    if list.len() == REMEMBERED_MAX {
        list.remove(0);
    }
    list.push(item);
}
