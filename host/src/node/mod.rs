//! The running service in one value: sockets, shards, policies and records of one configuration.
//!
//! [`Node::start`] opens everything or nothing. From then on a node is asked and told by plain
//! method calls from any thread; none of them runs on a shard, and those that read ask every shard
//! by its mailbox and merge what comes back. Who calls them (signals, the admin API, the demo) is
//! not this module's business.

mod change;
mod review;
mod run;
mod running;

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use intertrunk_policy::{Cache, CacheFault, Engine, LoadFault, Slot, World};
use intertrunk_proto::{CallId, CallView, Listener, PolicyId, Record, Snapshot};
use mio::{Poll, Token};

use crate::audit::{Audit, AuditFault};
use crate::blocklist::Blocklist;
use crate::clock::Clock;
use crate::config::{Built, Faults, Interner, PolicySource};
use crate::kept::Kept;
use crate::mailbox::{Mailbox, Order, mailbox};
use crate::observe::Observer;
use crate::observe::cdr::{RecordKeeper, RecordQueue};
use crate::observe::journal::{JournalKeeper, JournalQueue};
use crate::observe::metrics::Counters;
use crate::outside::{Meters, Outside};
use crate::shard::{MAILBOX, Parts, Pulse, Shard, Share};
use crate::staging;
use crate::transport::{self, BindFault, DoorSocket, Streams, UdpSocket};
use crate::world::Live;

pub use change::{ChangeFault, Reloaded};
pub use run::{RunArgs, run};
pub use running::Running;

/// How long a shard may take to answer before it counts as stuck. A policy holds one up for its
/// deadline at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What a node needs besides its configuration.
#[derive(Debug, Default)]
pub struct NodeOptions {
    /// The interner that the configuration was built with; reloads go on with it.
    pub interner: Interner,
    /// Where all randomness comes from; the operating system if absent.
    pub seed: Option<[u8; 32]>,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeFault {
    /// A socket.
    #[error(transparent)]
    Bind(#[from] BindFault),
    /// The engine of policies.
    #[error("policies cannot run on this machine: {0}")]
    Engine(LoadFault),
    /// The folder of compiled code.
    #[error("compiled policies cannot be kept: {0}")]
    Cache(#[from] CacheFault),
    /// The policies.
    #[error("{0}")]
    Policies(Faults),
    /// The folder of call records.
    #[error("call records cannot be written to {dir}: {source}; create it or change `cdr.dir`")]
    Records {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder of decisions.
    #[error("decisions cannot be written to {dir}: {source}; create it or change `journal.dir`")]
    Journal {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditFault),
    /// The operating system.
    #[error("the system refuses threads, polls or randomness: {0}")]
    System(#[from] io::Error),
}

/// A shard did not answer in time: it is stuck, or it is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a shard does not answer; the node needs a restart if this lasts")]
pub struct Unresponsive;

/// A running node. Stops when it is dropped.
pub struct Node {
    clock: Clock,
    engine: Engine,
    listeners: Vec<Arc<Listener>>,
    running: ArcSwap<Running>,
    change: Mutex<change::State>,
    draining: AtomicBool,
    mailboxes: Arc<[Mailbox]>,
    counters: Vec<Arc<Counters>>,
    records: RecordKeeper,
    journal: JournalKeeper,
    outside: Outside,
    audit: Audit,
    blocklist: Arc<Blocklist>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    /// Opens the sockets, loads the policies and starts the shards.
    pub fn start(built: Built, options: NodeOptions) -> Result<Node, NodeFault> {
        let clock = Clock::start();
        let bound = transport::bind(&built.snapshot.listeners, built.shards)?;
        let cache = built.cache.as_ref().map(Cache::open).transpose()?;
        let engine = Engine::with_cache(cache).map_err(NodeFault::Engine)?;
        let running = Arc::new(load(&built, &bound.listeners, &engine, clock)?);
        let mut resolver = None;
        change::follow(&mut resolver, &built)?;

        let record_counters = Arc::<Counters>::default();
        let audit = Audit::open(built.audit.as_deref(), Arc::clone(&record_counters))?;
        let (records, queue) =
            RecordKeeper::start(built.cdr.as_deref(), clock, Arc::clone(&record_counters))
                .map_err(|source| NodeFault::Records {
                    dir: built.cdr.clone().unwrap_or_default(),
                    source,
                })?;
        let (journal, decisions) =
            JournalKeeper::start(built.journal.clone(), Arc::clone(&record_counters)).map_err(
                |source| NodeFault::Journal {
                    dir: built
                        .journal
                        .as_ref()
                        .map(|it| it.dir.clone())
                        .unwrap_or_default(),
                    source,
                },
            )?;
        let outside = Outside::start()?;
        outside.know(&built.sources, &built.dns);
        let blocklist = Arc::<Blocklist>::default();
        blocklist.adopt(built.blocking, &running.snapshot, clock.now());
        let mut start = Start {
            blocklist: &blocklist,
            clock,
            outside: &outside,
            engine: &engine,
            running: &running,
            queue,
            decisions,
            seed: [0; 32],
        };
        match options.seed {
            Some(seed) => start.seed = seed,
            None => File::open("/dev/urandom")?.read_exact(&mut start.seed)?,
        }
        let Started {
            mailboxes,
            mut counters,
            threads,
        } = start.shards(bound.sockets, bound.doors)?;
        counters.push(record_counters);

        Ok(Node {
            clock,
            listeners: bound.listeners,
            running: ArcSwap::new(running),
            change: Mutex::new(change::State::new(built, options.interner, resolver)),
            draining: AtomicBool::new(false),
            mailboxes,
            counters,
            records,
            journal,
            outside,
            audit,
            blocklist,
            threads: Mutex::new(threads),
            engine,
        })
    }

    /// Names of the listeners and where they are bound.
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.listeners
            .iter()
            .map(|l| (Arc::clone(&l.name), l.local))
            .collect()
    }

    /// The configuration in use.
    pub fn running(&self) -> Arc<Running> {
        self.running.load_full()
    }

    /// The slots of all policies, in the order of the configuration.
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        self.running()
            .slots
            .iter()
            .map(|(_, slot)| Arc::clone(slot))
            .collect()
    }

    /// All calls that are up, oldest first.
    pub fn calls(&self) -> Result<Vec<CallView>, Unresponsive> {
        let mut calls = self.ask(Order::Calls)?.concat();
        calls.sort_unstable_by_key(|call| (call.started_at, call.call));
        Ok(calls)
    }

    /// One call that is up.
    pub fn call(&self, call: CallId) -> Result<Option<CallView>, Unresponsive> {
        let answers = self.ask(|to| Order::Call(call, to))?;
        Ok(answers.into_iter().flatten().next())
    }

    /// Ends a call. Nothing happens if it has ended already.
    pub fn end_call(&self, call: CallId) -> Result<(), Unresponsive> {
        self.tell(|| Order::EndCall(call))
    }

    /// The records of all calls that end from now on.
    pub fn records(&self) -> Receiver<Arc<Record>> {
        self.records.subscribe()
    }

    /// The record of a call that ended lately.
    pub fn recent(&self, call: CallId) -> Option<Arc<Record>> {
        self.records.recent(call)
    }

    /// Where changes are written down.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Where compiled policies are kept, if they are.
    pub fn code_cache(&self) -> Option<&Cache> {
        self.engine.cache()
    }

    /// Whom nobody listens to.
    pub fn blocklist(&self) -> &Blocklist {
        &self.blocklist
    }

    /// What is counted for policies.
    pub fn meters(&self) -> &Meters {
        self.outside.meters()
    }

    /// Refuses new calls and lets those that are up finish.
    pub fn drain(&self) -> Result<(), Unresponsive> {
        self.draining.store(true, Ordering::Relaxed);
        self.tell(|| Order::Drain)
    }

    /// Takes new calls again.
    pub fn resume(&self) -> Result<(), Unresponsive> {
        self.draining.store(false, Ordering::Relaxed);
        self.tell(|| Order::Resume)
    }

    /// Whether new calls are refused.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Signs of life of all shards.
    pub fn pulse(&self) -> Result<Vec<Pulse>, Unresponsive> {
        self.ask(Order::Pulse)
    }

    /// Whether a shard's thread has ended, which only a bug can cause.
    pub fn has_lost_a_shard(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().any(JoinHandle::is_finished)
    }

    /// The node's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    /// All sets of counters.
    pub fn counters(&self) -> impl Iterator<Item = &Counters> {
        self.counters.iter().map(|set| &**set)
    }

    /// Stops at once, whatever is up, and returns when all records are on disk.
    pub fn stop(&self) {
        // A shard that is gone needs no telling; one that is stuck would be waited for in vain.
        let unreachable = self.send(|| Order::Stop).is_err();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if unreachable && !thread.is_finished() {
                return;
            }
            if thread.join().is_err() {
                tracing::error!("a shard ended with a panic");
            }
        }
        self.records.finish();
        self.journal.finish();
    }

    /// Gives an order to every shard, and returns when all have carried it out.
    fn tell(&self, order: impl Fn() -> Order) -> Result<(), Unresponsive> {
        self.send(order)?;
        // Orders are taken in turn: whoever answers this one has carried out the one before.
        self.pulse().map(drop)
    }

    fn send(&self, order: impl Fn() -> Order) -> Result<(), Unresponsive> {
        // Every shard is told, even if one before it cannot be.
        let told: Vec<_> = self
            .mailboxes
            .iter()
            .map(|mailbox| mailbox.order(order()))
            .collect();
        told.into_iter()
            .collect::<Result<(), _>>()
            .map_err(|_| Unresponsive)
    }

    fn ask<T>(&self, order: impl Fn(SyncSender<T>) -> Order) -> Result<Vec<T>, Unresponsive> {
        let (to, answers) = mpsc::sync_channel(self.mailboxes.len());
        self.send(|| order(to.clone()))?;
        let answer = |_| {
            answers
                .recv_timeout(ANSWER_WITHIN)
                .map_err(|_| Unresponsive)
        };
        (0..self.mailboxes.len()).map(answer).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Loads every policy and puts it live.
fn load(
    built: &Built,
    listeners: &[Arc<Listener>],
    engine: &Engine,
    clock: Clock,
) -> Result<Running, NodeFault> {
    let snapshot = with_listeners(&built.snapshot, listeners);
    let tables = Arc::clone(&built.tables);
    let world: Arc<dyn World> = Arc::new(Live::new(Arc::clone(&snapshot), tables, clock));
    let staged = staging::stage_all(engine, built, &world).map_err(NodeFault::Policies)?;
    let slots: Vec<_> = built
        .policies
        .iter()
        .zip(staged)
        .map(|(p, staged)| (p.id, staged.slot))
        .collect();
    if let Some(dir) = &built.state {
        Kept(dir.clone()).restore(&with_slots(&built.policies, &slots), &world);
    }
    Ok(Running {
        snapshot,
        world,
        memory: built.memory(),
        streams: Arc::clone(&built.streams),
        slots,
    })
}

/// Each policy with its slot.
fn with_slots<'a>(
    policies: &'a [PolicySource],
    slots: &'a [(PolicyId, Arc<Slot>)],
) -> Vec<(&'a PolicySource, &'a Slot)> {
    let slot = |id| slots.iter().find(|(it, _)| *it == id);
    let with_slot = |source: &'a PolicySource| Some((source, &*slot(source.id)?.1));
    policies.iter().filter_map(with_slot).collect()
}

/// The snapshot with the addresses that its listeners really have.
fn with_listeners(snapshot: &Snapshot, listeners: &[Arc<Listener>]) -> Arc<Snapshot> {
    let mut snapshot = snapshot.clone();
    snapshot.listeners = listeners.iter().cloned().collect();
    Arc::new(snapshot)
}

/// What all shards are started with.
struct Start<'n> {
    clock: Clock,
    outside: &'n Outside,
    blocklist: &'n Arc<Blocklist>,
    engine: &'n Engine,
    running: &'n Arc<Running>,
    queue: RecordQueue,
    decisions: JournalQueue,
    seed: [u8; 32],
}

/// The shards, at work.
struct Started {
    mailboxes: Arc<[Mailbox]>,
    counters: Vec<Arc<Counters>>,
    threads: Vec<JoinHandle<()>>,
}

impl Start<'_> {
    fn shards(
        &self,
        sockets: Vec<Vec<UdpSocket>>,
        doors: Vec<Vec<Option<DoorSocket>>>,
    ) -> io::Result<Started> {
        let shards = u16::try_from(sockets.len()).expect("sockets were opened for a u16 of shards");
        let polls = sockets
            .iter()
            .map(|_| Poll::new())
            .collect::<io::Result<Vec<_>>>()?;
        let boxes = polls.iter().map(|poll| mailbox(poll.registry(), MAILBOX));
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) =
            boxes.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        let mailboxes: Arc<[Mailbox]> = mailboxes.into();

        let (mut counters, mut threads) = (Vec::new(), Vec::new());
        let mut doors = doors.into_iter();
        for (shard, ((poll, inbox), mut sockets)) in
            (0..shards).zip(polls.into_iter().zip(inboxes).zip(sockets))
        {
            let doors = doors.next().unwrap_or_default();
            let streams = Streams::new(shard, poll.registry().try_clone()?, doors)?;
            for (place, socket) in sockets.iter_mut().enumerate() {
                socket.watch(poll.registry(), Token(place))?;
            }
            let set = Arc::<Counters>::default();
            counters.push(Arc::clone(&set));
            let parts = Parts {
                share: self.share(shard, shards),
                clock: self.clock,
                engine: self.engine.clone(),
                running: Arc::clone(self.running),
                poll,
                sockets,
                streams,
                inbox,
                mailboxes: Arc::clone(&mailboxes),
                outside: self.outside.clone(),
                blocklist: Arc::clone(self.blocklist),
                observer: Observer::new(set, self.queue.clone(), self.decisions.clone()),
            };
            let thread = thread::Builder::new().name(format!("shard-{shard}"));
            threads.push(thread.spawn(move || Shard::new(parts).run())?);
        }
        Ok(Started {
            mailboxes,
            counters,
            threads,
        })
    }

    /// Shards draw different numbers from one seed and hash Call-IDs with one key.
    fn share(&self, shard: u16, shards: u16) -> Share {
        let half = |at: usize| {
            let bytes = self.seed[at..at + 8].try_into();
            u64::from_le_bytes(bytes.expect("the seed has 32 bytes, the last half starts at 24"))
        };
        let mut seed = self.seed;
        for (mixed, byte) in seed.iter_mut().zip(shard.to_le_bytes()) {
            *mixed ^= byte;
        }
        // Taken from the unmixed seed, of which the shards' generators show nothing.
        Share {
            shard,
            shards,
            key: (half(16), half(24)),
            seed,
        }
    }
}
