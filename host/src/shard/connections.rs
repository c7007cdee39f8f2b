//! A shard's part with connections: its own, and those that other shards hold.
//!
//! A message of a connection is taken in like a datagram. What goes out on a connection of another
//! shard is an errand in that shard's mailbox; a full one fails the request at once.

use bytes::Bytes;
use intertrunk_proto::{Flow, Input, TransmitId};

use super::{Due, Shard};
use crate::mailbox::Errand;
use crate::observe::metrics::Count;
use crate::transport::{News, Origin, Tally};

/// Errands and news that are handled in one turn.
const ERRANDS_A_TURN: usize = 256;

impl Shard {
    /// Does what other shards ask of its connections, and takes in what these have brought.
    pub(super) fn take_streams(&mut self) {
        if !self.streams.has_doors() {
            return;
        }
        // A stream says nothing of when its bytes came in.
        self.b2bua.waiting_since(None);
        self.streams_left = true;
        for _ in 0..ERRANDS_A_TURN {
            match self.inbox.next_errand() {
                Some(errand) => self.run_errand(errand),
                None => {
                    self.streams_left = false;
                    break;
                }
            }
        }
        let (now, snapshot) = (self.clock.now(), &self.running.snapshot);
        let list = &self.blocklist;
        let keeps_out = |address| list.blocks_any() && list.blocks(address, snapshot, now);
        self.streams.turn(now, snapshot, keeps_out);
        for _ in 0..ERRANDS_A_TURN {
            if self.has_waited() {
                break;
            }
            match self.streams.next_news() {
                Some(News::Message { flow, bytes }) => {
                    self.count(Count::StreamMessagesReceived);
                    match self.is_blocked(flow) {
                        true => self.streams.hang_up(flow),
                        false => self.take_in(flow, bytes),
                    }
                }
                Some(News::Unsent(origin)) => self.tell_unsent(origin),
                None => break,
            }
        }
    }

    /// Writes what this turn has queued.
    pub(super) fn flush_streams(&mut self) {
        if !self.streams.has_doors() {
            return;
        }
        self.streams.flush(self.clock.now(), &self.running.snapshot);
        let Tally {
            opened,
            failed,
            refused,
            slow,
            unframed,
        } = self.streams.take_tally();
        let counters = self.observer.counters();
        for (count, n) in [
            (Count::ConnectionsOpened, opened),
            (Count::ConnectionsFailed, failed),
            (Count::ConnectionsRefused, refused),
            (Count::ConnectionsSlow, slow),
            (Count::ConnectionsUnframed, unframed),
        ] {
            if n > 0 {
                counters.add_many(count, n);
            }
        }
    }

    /// Sends what goes by a connection, whoever holds it.
    pub(super) fn send_on_stream(&mut self, flow: Flow, bytes: Bytes, request: Option<TransmitId>) {
        let shard = self.share.shard;
        let origin = request.map(|request| Origin { shard, request });
        let holder = flow.connection.map_or(shard, |c| c.shard);
        let errand = Errand::Send {
            flow,
            bytes,
            origin,
        };
        if holder == shard {
            return self.run_errand(errand);
        }
        let mailbox = self.mailboxes.get(usize::from(holder));
        if mailbox.is_some_and(|mailbox| mailbox.errand(errand).is_ok()) {
            return;
        }
        self.count(Count::StreamMessagesUnsent);
        self.due.extend(request.map(Due::Unsent));
    }

    fn run_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Send {
                flow,
                bytes,
                origin,
            } => {
                self.count(Count::StreamMessagesSent);
                let (now, snapshot) = (self.clock.now(), &self.running.snapshot);
                self.streams.send(flow, bytes, origin, now, snapshot);
            }
            Errand::Unsent(request) => self.handle(Input::TransmitFailed(request)),
        }
    }

    fn tell_unsent(&mut self, origin: Origin) {
        let Origin { shard, request } = origin;
        if shard == self.share.shard {
            return self.handle(Input::TransmitFailed(request));
        }
        // If the mailbox is full, the request's own timers will find out.
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard)) {
            let _ = mailbox.errand(Errand::Unsent(request));
        }
    }
}
