//! Mailboxes: the only way into a shard from outside its thread.
//!
//! Each shard has one, with three bounded queues: messages that another shard's socket received but
//! this shard owns, errands for the connections that this shard holds, and orders of the operator.
//! They are apart so that a flood of the first never keeps out the others. Nothing that hands over a datagram ever blocks: a full queue gives it back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

use bytes::Bytes;
use intertrunk_proto::ask::Answered;
use intertrunk_proto::{AskId, CallId, CallView, Flow, Instant, TransmitId};
use mio::{Registry, Token, Waker};

use crate::node::Running;
use crate::shard::Pulse;
use crate::transport::Origin;

/// Datagrams that may wait for a shard.
pub const DATAGRAMS_MAX: usize = 4096;
/// Bytes of the datagrams that may wait for a shard; as many of errands.
pub const BYTES_MAX: usize = 16 << 20;
/// Errands that may wait for a shard.
pub const ERRANDS_MAX: usize = 4096;
/// Orders that may wait for a shard.
pub const ORDERS_MAX: usize = 256;

/// A datagram on its way to the shard that owns its call.
#[derive(Debug)]
pub struct Forwarded {
    /// Where it came from.
    pub flow: Flow,
    /// What it is.
    pub bytes: Bytes,
    /// When it was handed over.
    pub at: Instant,
}

/// What has to do with connections that another shard holds.
#[derive(Debug)]
pub enum Errand {
    /// Send this on a connection of yours.
    Send {
        /// Which one; if it is gone, any to the same address.
        flow: Flow,
        /// What.
        bytes: Bytes,
        /// Whom to tell if it is a request that could not be sent.
        origin: Option<Origin>,
    },
    /// This request of yours could not be sent.
    Unsent(TransmitId),
}

impl Errand {
    fn bytes(&self) -> usize {
        match self {
            Errand::Send { bytes, .. } => bytes.len(),
            Errand::Unsent(_) => 0,
        }
    }
}

/// What the node tells or asks a shard. Answers go into the given channel, which has room.
pub enum Order {
    /// Work by this configuration from now on.
    Config(Arc<Running>),
    /// Refuse new calls.
    Drain,
    /// Take new calls again.
    Resume,
    /// End this call, if it is yours.
    EndCall(CallId),
    /// All calls that are up.
    Calls(SyncSender<Vec<CallView>>),
    /// This call, if it is yours.
    Call(CallId, SyncSender<Option<CallView>>),
    /// A sign of life.
    Pulse(SyncSender<Pulse>),
    /// What outside sources said.
    Inquired(AskId, Vec<Answered>),
    /// Leave at once.
    Stop,
}

/// The shard behind a mailbox takes no orders: it does not turn, or it is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreachable;

/// The sending side; clones lead to the same shard.
#[derive(Clone, Debug)]
pub struct Mailbox {
    datagrams: SyncSender<Forwarded>,
    errands: SyncSender<Errand>,
    orders: SyncSender<Order>,
    waiting: Arc<AtomicUsize>,
    errands_bytes: Arc<AtomicUsize>,
    bell: Arc<Bell>,
}

/// The shard's side.
#[derive(Debug)]
pub struct Inbox {
    datagrams: Receiver<Forwarded>,
    errands: Receiver<Errand>,
    orders: Receiver<Order>,
    waiting: Arc<AtomicUsize>,
    errands_bytes: Arc<AtomicUsize>,
    bell: Arc<Bell>,
}

/// Wakes the shard, once for any number of letters.
#[derive(Debug)]
struct Bell {
    waker: Waker,
    rung: AtomicBool,
}

/// Makes the mailbox of the shard that polls `registry`; it is woken by an event with `token`.
pub fn mailbox(registry: &Registry, token: Token) -> io::Result<(Mailbox, Inbox)> {
    let bell = Bell {
        waker: Waker::new(registry, token)?,
        rung: AtomicBool::new(false),
    };
    let bell = Arc::new(bell);
    let waiting = Arc::<AtomicUsize>::default();
    let errands_bytes = Arc::<AtomicUsize>::default();
    let (datagrams, datagrams_in) = mpsc::sync_channel(DATAGRAMS_MAX);
    let (errands, errands_in) = mpsc::sync_channel(ERRANDS_MAX);
    let (orders, orders_in) = mpsc::sync_channel(ORDERS_MAX);
    let inbox = Inbox {
        datagrams: datagrams_in,
        errands: errands_in,
        orders: orders_in,
        waiting: Arc::clone(&waiting),
        errands_bytes: Arc::clone(&errands_bytes),
        bell: Arc::clone(&bell),
    };
    Ok((
        Mailbox {
            datagrams,
            errands,
            orders,
            waiting,
            errands_bytes,
            bell,
        },
        inbox,
    ))
}

impl Mailbox {
    /// Hands over a datagram, or gives it back when the queue is full or the shard is gone.
    pub fn forward(&self, letter: Forwarded) -> Result<(), Forwarded> {
        let bytes = letter.bytes.len();
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES_MAX {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return Err(letter);
        }
        self.datagrams.try_send(letter).map_err(|error| {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                mpsc::TrySendError::Full(letter) | mpsc::TrySendError::Disconnected(letter) => {
                    letter
                }
            }
        })?;
        self.bell.ring();
        Ok(())
    }

    /// Hands over an errand, or gives it back when the queue is full or the shard is gone.
    pub fn errand(&self, errand: Errand) -> Result<(), Errand> {
        let bytes = errand.bytes();
        if self.errands_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES_MAX {
            self.errands_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(errand);
        }
        self.errands.try_send(errand).map_err(|error| {
            self.errands_bytes.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                mpsc::TrySendError::Full(errand) | mpsc::TrySendError::Disconnected(errand) => {
                    errand
                }
            }
        })?;
        self.bell.ring();
        Ok(())
    }

    /// Hands over an order.
    pub fn order(&self, order: Order) -> Result<(), Unreachable> {
        self.orders.try_send(order).map_err(|_| Unreachable)?;
        self.bell.ring();
        Ok(())
    }
}

impl Inbox {
    /// Call before taking letters: whoever sends one from here on rings again.
    pub fn hush(&self) {
        self.bell.rung.swap(false, Ordering::AcqRel);
    }

    /// The next datagram.
    pub fn datagram(&self) -> Option<Forwarded> {
        let letter = self.datagrams.try_recv().ok()?;
        self.waiting
            .fetch_sub(letter.bytes.len(), Ordering::Relaxed);
        Some(letter)
    }

    /// The next errand.
    pub fn next_errand(&self) -> Option<Errand> {
        let errand = self.errands.try_recv().ok()?;
        self.errands_bytes
            .fetch_sub(errand.bytes(), Ordering::Relaxed);
        Some(errand)
    }

    /// The next order.
    pub fn next_order(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }
}

impl Bell {
    fn ring(&self) {
        // Waking costs a system call; a shard that was rung and has not looked yet needs no more.
        if !self.rung.swap(true, Ordering::AcqRel) && self.waker.wake().is_err() {
            self.rung.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use intertrunk_proto::ListenerId;
    use mio::{Events, Poll};

    use super::*;

    const BELL: Token = Token(7);

    fn letter() -> Forwarded {
        let flow = Flow::to(ListenerId(0), "127.0.0.1:5060".parse().unwrap());
        Forwarded {
            flow,
            bytes: Bytes::from_static(b"x"),
            at: Instant::default(),
        }
    }

    fn rings(poll: &mut Poll) -> usize {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().filter(|e| e.token() == BELL).count()
    }

    #[test]
    fn a_full_mailbox_gives_the_datagram_back_and_still_takes_orders() {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), BELL).unwrap();
        for _ in 0..DATAGRAMS_MAX {
            mailbox.forward(letter()).unwrap();
        }
        assert_eq!(&mailbox.forward(letter()).unwrap_err().bytes[..], b"x");
        mailbox.order(Order::Drain).unwrap();
        assert!(matches!(inbox.next_order(), Some(Order::Drain)));
        assert!(inbox.datagram().is_some());
        mailbox.forward(letter()).unwrap();
    }

    #[test]
    fn large_datagrams_fill_it_by_their_bytes() {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), BELL).unwrap();
        let large = || Forwarded {
            bytes: Bytes::from_static(&[0; 1 << 16]),
            ..letter()
        };
        for _ in 0..BYTES_MAX >> 16 {
            mailbox.forward(large()).unwrap();
        }
        assert!(mailbox.forward(large()).is_err());
        assert!(mailbox.forward(letter()).is_err());
        inbox.datagram().unwrap();
        mailbox.forward(large()).unwrap();
    }

    #[test]
    fn the_bell_rings_once_until_the_shard_has_looked() {
        let mut poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), BELL).unwrap();
        mailbox.forward(letter()).unwrap();
        assert_eq!(rings(&mut poll), 1);
        mailbox.forward(letter()).unwrap();
        assert_eq!(rings(&mut poll), 0, "rung already");
        inbox.hush();
        mailbox.forward(letter()).unwrap();
        assert_eq!(rings(&mut poll), 1);
    }

    #[test]
    fn a_shard_that_is_gone_is_unreachable() {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), BELL).unwrap();
        drop(inbox);
        assert_eq!(mailbox.order(Order::Stop), Err(Unreachable));
        assert!(mailbox.forward(letter()).is_err());
    }
}
