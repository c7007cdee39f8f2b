//! All connections of one shard: accepted, made, found again, watched and closed.
//!
//! A message goes out on the connection that its flow names, else on any connection to that
//! address, else on a new one (RFC 3261 §18.1.1, §18.2.2). One connection's trouble is its own (K17):
//! nothing here waits, and each connection has a bounded share of a turn and of memory.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::{Connection, Flow, Instant, Listener, ListenerId, Snapshot};
use mio::event::Event;
use mio::{Interest, Registry, Token};

use super::census::Census;
use super::rules::StreamRules;
use super::stream::{End, Origin, Phase, Stream};
use super::{DoorSocket, tcp};

mod opening;

/// Listeners have tokens from here on, behind those of all other sockets.
const FIRST_DOOR: usize = 1 << 16;
/// Connections have tokens from here on.
const FIRST_TOKEN: usize = 1 << 17;
/// Bytes that may wait for the slow peers of one shard, all together.
pub const SHARD_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Connections that are read from in one turn, and how often each.
const READS_A_TURN: usize = 64;
/// Messages that wait to be taken in before nothing more is read.
const NEWS_MAX: usize = 1024;
/// How long a source that the configuration does not know may be without a message.
const STRANGER_IDLE: Duration = Duration::from_secs(30);
/// How long a peer may take nothing of what waits for it: 64·T1, as long as any request lives.
const STUCK: Duration = Duration::from_secs(32);
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// What a shard learns from its connections.
#[derive(Debug)]
pub enum News {
    /// A message came.
    Message {
        /// On which connection.
        flow: Flow,
        /// What.
        bytes: Bytes,
    },
    /// A request was not sent, or its connection died before anybody could have answered it.
    Unsent(Origin),
}

/// What has happened, for the counters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Connections that came about.
    pub opened: u64,
    /// Connections that we asked for and that did not come about.
    pub failed: u64,
    /// Connections that were not taken: there were too many, or their source is blocked.
    pub refused: u64,
    /// Connections closed because their peer did not read.
    pub slow: u64,
    /// Connections closed because their stream could not be cut into messages.
    pub unframed: u64,
}

/// One listener's part in one shard.
#[derive(Debug)]
struct Door {
    listener: Arc<Listener>,
    socket: mio::net::TcpListener,
    census: Arc<Census>,
    rules: StreamRules,
    ready: bool,
}

/// One connection, and when it has to be looked at.
#[derive(Debug)]
struct Entry {
    listener: ListenerId,
    stream: Stream,
    /// Made by us.
    outgoing: bool,
    /// What of its queue is counted.
    counted: usize,
    /// In the queue of those that can be read.
    ready: bool,
    /// In the queue of those that have something to write.
    dirty: bool,
    /// When it is given up, unless something is heard before.
    until: Instant,
    /// When it is given up, unless something is taken before.
    stuck: Option<Instant>,
    /// The time of its one live entry in the queue of deadlines.
    armed: Instant,
}

/// All connections of one shard.
#[derive(Debug)]
pub struct Streams {
    shard: u16,
    registry: Registry,
    doors: Vec<Option<Door>>,
    entries: HashMap<NonZeroU32, Entry>,
    by_remote: HashMap<(ListenerId, SocketAddr), Vec<NonZeroU32>>,
    last_number: u32,
    ready: VecDeque<NonZeroU32>,
    dirty: Vec<NonZeroU32>,
    deadlines: BinaryHeap<Reverse<(Instant, NonZeroU32)>>,
    accept_again: Option<Instant>,
    /// Bytes that wait for all peers.
    queued: usize,
    news: VecDeque<News>,
    scratch: Vec<u8>,
    tally: Tally,
}

impl Streams {
    /// Watches these listeners; each place is that of the listener with this id.
    pub fn new(
        shard: u16,
        registry: Registry,
        sockets: Vec<Option<DoorSocket>>,
    ) -> io::Result<Streams> {
        let mut doors = Vec::with_capacity(sockets.len());
        for (place, socket) in sockets.into_iter().enumerate() {
            let Some(DoorSocket {
                listener,
                mut socket,
                census,
            }) = socket
            else {
                doors.push(None);
                continue;
            };
            registry.register(&mut socket, Token(FIRST_DOOR + place), Interest::READABLE)?;
            doors.push(Some(Door {
                listener,
                socket,
                census,
                rules: StreamRules::default(),
                ready: true,
            }));
        }
        let any = doors.iter().any(Option::is_some);
        Ok(Streams {
            shard,
            registry,
            doors,
            entries: HashMap::new(),
            by_remote: HashMap::new(),
            last_number: 0,
            ready: VecDeque::new(),
            dirty: Vec::new(),
            deadlines: BinaryHeap::new(),
            accept_again: None,
            queued: 0,
            news: VecDeque::new(),
            scratch: vec![0; if any { READ_BYTES } else { 0 }],
            tally: Tally::default(),
        })
    }

    /// Works by these rules from now on, and asks anew who is at the other end of each connection.
    pub fn adopt(&mut self, rules: &[StreamRules], snapshot: &Snapshot) {
        for (door, rules) in self.doors.iter_mut().zip(rules) {
            if let Some(door) = door {
                door.rules = rules.clone();
            }
        }
        for (number, entry) in &mut self.entries {
            identify(self.shard, *number, entry, snapshot);
        }
    }

    /// Whether there is any stream listener; without one nothing ever happens here.
    pub fn has_doors(&self) -> bool {
        !self.scratch.is_empty()
    }

    /// Whether there is something to do at once.
    pub fn is_busy(&self) -> bool {
        let doors = || self.doors.iter().flatten().any(|door| door.ready);
        let accepting = self.accept_again.is_none() && doors();
        accepting || !self.ready.is_empty() || !self.news.is_empty() || !self.dirty.is_empty()
    }

    /// When [`Streams::turn`] is due, if nothing happens before.
    pub fn timeout(&self) -> Option<Instant> {
        let next = self.deadlines.peek().map(|Reverse((at, _))| *at);
        next.into_iter().chain(self.accept_again).min()
    }

    /// Takes note of an event; it may be for somebody else.
    pub fn woken(&mut self, event: &Event) {
        let Token(token) = event.token();
        let door = token.checked_sub(FIRST_DOOR);
        if let Some(Some(door)) = door.and_then(|place| self.doors.get_mut(place)) {
            door.ready = true;
        }
        let number = token.checked_sub(FIRST_TOKEN).map(u32::try_from);
        let Some(Ok(Some(number))) = number.map(|n| n.map(NonZeroU32::new)) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        if event.is_writable() || event.is_error() {
            mark(&mut entry.dirty, &mut self.dirty, number);
        }
        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
        if readable && !entry.ready {
            entry.ready = true;
            self.ready.push_back(number);
        }
    }

    /// Does a bounded share of what there is to do. Nobody whom `keeps_out` names gets a connection.
    pub fn turn(&mut self, now: Instant, snapshot: &Snapshot, keeps_out: impl Fn(IpAddr) -> bool) {
        self.expire(now);
        self.accept(now, snapshot, &keeps_out);
        // What was read and not yet taken in is a queue like any other.
        if self.news.len() < NEWS_MAX {
            self.read(now, snapshot);
        }
    }

    /// Closes the connection that a flow names: nobody listens to its peer any more.
    pub fn hang_up(&mut self, flow: Flow) {
        if let Some(connection) = flow.connection.filter(|c| c.shard == self.shard) {
            self.close(connection.number, &End::Blocked);
        }
    }

    /// What has come of it.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// What has happened since the last time that this was asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Sends a message the way of a flow. What becomes of a request that cannot be sent is news.
    pub fn send(
        &mut self,
        flow: Flow,
        bytes: Bytes,
        origin: Option<Origin>,
        now: Instant,
        snapshot: &Snapshot,
    ) {
        let named = flow.connection.filter(|c| c.shard == self.shard);
        let named = named.filter(|c| self.entries.contains_key(&c.number));
        let to_there = || {
            let all = self.by_remote.get(&(flow.listener, flow.remote));
            all.and_then(|all| all.last().copied())
        };
        let number = match named.map(|c| c.number).or_else(to_there) {
            Some(number) => number,
            None => match self.connect(flow, now, snapshot) {
                Ok(number) => number,
                Err(error) => {
                    tracing::debug!(remote = %flow.remote, "no connection: {error}");
                    self.tally.failed += 1;
                    self.news.extend(origin.map(News::Unsent));
                    return;
                }
            },
        };
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let queued = entry.stream.queue(bytes, origin);
        mark(&mut entry.dirty, &mut self.dirty, number);
        entry.recount(&mut self.queued);
        match queued {
            // Who adds to a heap that is too high goes first.
            Ok(()) if self.queued > SHARD_QUEUE_BYTES_MAX => self.close(number, &End::Slow),
            Ok(()) => {}
            Err(end) => self.close(number, &end),
        }
    }

    /// Writes what was queued since the last time, as far as the peers take it.
    pub fn flush(&mut self, now: Instant, snapshot: &Snapshot) {
        for number in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.entries.get_mut(&number) else {
                continue;
            };
            entry.dirty = false;
            if let Err(end) = self.write(number, now, snapshot) {
                self.close(number, &end);
            }
        }
    }

    fn write(&mut self, number: NonZeroU32, now: Instant, snapshot: &Snapshot) -> Result<(), End> {
        let Some(entry) = self.entries.get_mut(&number) else {
            return Ok(());
        };
        if entry.stream.phase == Phase::Connecting {
            if !tcp::is_connected(&entry.stream.socket)? {
                return Ok(());
            }
            entry.stream.connected();
            self.opened(number, now, snapshot);
        }
        let idle = self.idle(number);
        let Some(entry) = self.entries.get_mut(&number) else {
            return Ok(());
        };
        let progress = entry.stream.flush()?;
        entry.recount(&mut self.queued);
        entry.stuck = match entry.stream.is_queued() {
            false => None,
            true if progress || entry.stuck.is_none() => Some(now + STUCK),
            true => entry.stuck,
        };
        if progress && entry.stream.phase == Phase::Open {
            entry.until = now + idle;
        }
        self.arm(number);
        Ok(())
    }

    /// The kernel has connected it; under TLS it is not open yet.
    fn opened(&mut self, number: NonZeroU32, now: Instant, snapshot: &Snapshot) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        identify(self.shard, number, entry, snapshot);
        if entry.stream.phase != Phase::Open {
            return;
        }
        tracing::debug!(remote = %entry.stream.remote, outgoing = entry.outgoing, "connected");
        self.tally.opened += 1;
        let idle = self.idle(number);
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.until = now + idle;
        }
        self.arm(number);
    }

    fn idle(&self, number: NonZeroU32) -> Duration {
        let entry = self.entries.get(&number);
        let door = entry.and_then(|e| self.doors.get(usize::from(e.listener.0))?.as_ref());
        match (entry, door) {
            (Some(entry), Some(door)) if entry.outgoing || entry.stream.known => door.rules.idle,
            _ => STRANGER_IDLE,
        }
    }

    fn read(&mut self, now: Instant, snapshot: &Snapshot) {
        for _ in 0..READS_A_TURN {
            let Some(number) = self.ready.pop_front() else {
                return;
            };
            match self.read_one(number, now, snapshot) {
                Ok(true) => self.ready.push_back(number),
                Ok(false) => {
                    if let Some(entry) = self.entries.get_mut(&number) {
                        entry.ready = false;
                    }
                }
                Err(end) => self.close(number, &end),
            }
        }
    }

    fn read_one(
        &mut self,
        number: NonZeroU32,
        now: Instant,
        snapshot: &Snapshot,
    ) -> Result<bool, End> {
        let idle = self.idle(number);
        let Some(entry) = self.entries.get_mut(&number) else {
            return Ok(false);
        };
        if entry.stream.phase == Phase::Connecting {
            // What is wrong with it, its writing side finds out.
            return Ok(false);
        }
        let (listener, shard, news) = (entry.listener, self.shard, &mut self.news);
        let was = entry.stream.phase;
        let mut heard = false;
        let more = entry.stream.read(&mut self.scratch, |stream, bytes| {
            heard = true;
            let flow = flow_of(shard, number, listener, stream);
            news.push_back(News::Message { flow, bytes });
        })?;
        entry.recount(&mut self.queued);
        if heard {
            entry.until = now + idle;
        }
        // A handshake, an answer to a keep-alive.
        mark(&mut entry.dirty, &mut self.dirty, number);
        if was != entry.stream.phase {
            self.opened(number, now, snapshot);
        }
        Ok(more)
    }

    /// Sees to it that a connection is looked at when its time has come.
    fn arm(&mut self, number: NonZeroU32) {
        if let Some(entry) = self.entries.get_mut(&number) {
            let deadline = entry.deadline();
            if deadline < entry.armed {
                entry.armed = deadline;
                self.deadlines.push(Reverse((deadline, number)));
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(Reverse((at, number))) = self.deadlines.peek().copied()
            && at <= now
        {
            self.deadlines.pop();
            let Some(entry) = self.entries.get_mut(&number).filter(|e| e.armed == at) else {
                continue;
            };
            let deadline = entry.deadline();
            if deadline > now {
                entry.armed = deadline;
                self.deadlines.push(Reverse((deadline, number)));
                continue;
            }
            let end = match entry.stream.phase {
                Phase::Connecting | Phase::Handshaking => End::TooLong,
                Phase::Open if entry.until > now => End::Slow,
                Phase::Open => End::Idle,
            };
            self.close(number, &end);
        }
    }

    fn close(&mut self, number: NonZeroU32, end: &End) {
        let Some(mut entry) = self.entries.remove(&number) else {
            return;
        };
        self.queued -= entry.counted;
        let remote = (entry.listener, entry.stream.remote);
        if let Some(all) = self.by_remote.get_mut(&remote) {
            all.retain(|n| *n != number);
            if all.is_empty() {
                self.by_remote.remove(&remote);
            }
        }
        let came_about = entry.stream.phase == Phase::Open;
        tracing::debug!(remote = %remote.1, came_about, "connection closed: {end}");
        match end {
            End::Slow => self.tally.slow += 1,
            End::Unframed(_) => self.tally.unframed += 1,
            _ if !came_about && entry.outgoing => self.tally.failed += 1,
            _ => {}
        }
        // Closing the socket does it too, unless somebody else holds it.
        let _ = self.registry.deregister(&mut entry.stream.socket);
        self.news.extend(entry.stream.close().map(News::Unsent));
    }
}

impl Entry {
    /// Brings the sum of what waits for all peers up to date.
    fn recount(&mut self, queued: &mut usize) {
        let waits = self.stream.queued_bytes();
        *queued = *queued - self.counted + waits;
        self.counted = waits;
    }

    fn deadline(&self) -> Instant {
        self.stuck.map_or(self.until, |stuck| stuck.min(self.until))
    }
}

/// Asks who is at the other end: the trunk that the certificate speaks for, and whether the
/// configuration knows the peer at all.
fn identify(shard: u16, number: NonZeroU32, entry: &mut Entry, snapshot: &Snapshot) {
    let names = &entry.stream.names;
    entry.stream.trunk = match names.is_empty() {
        true => None,
        false => snapshot.certified(entry.listener, names),
    };
    let flow = flow_of(shard, number, entry.listener, &entry.stream);
    entry.stream.known = snapshot.identify(flow).is_some();
}

fn flow_of(shard: u16, number: NonZeroU32, listener: ListenerId, stream: &Stream) -> Flow {
    Flow {
        connection: Some(Connection {
            number,
            shard,
            trunk: stream.trunk,
        }),
        ..Flow::to(listener, stream.remote)
    }
}

/// Puts a connection into a list, once.
fn mark(is_in: &mut bool, list: &mut Vec<NonZeroU32>, number: NonZeroU32) {
    if !std::mem::replace(is_in, true) {
        list.push(number);
    }
}
