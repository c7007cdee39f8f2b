//! What all calls of a shard share: transactions, dialogs by tag, timers, randomness, output.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use intertrunk_sip::Token;

use crate::call::{CallKey, LegId};
use crate::event::Event;
use crate::io::{AskId, Flow, ListenerId, Output, TrunkId};
use crate::rng::{Rng, owner_shard};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::timer::{Alarm, NAP_MAX, TimerOwner, Timers};
use crate::transaction::{Env, ServerKey, Table};
use crate::trunk::Trunk;

/// The common part of one shard.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) table: Table,
    /// Dialogs by the tag that we minted.
    pub(crate) legs: HashMap<Token, (CallKey, LegId)>,
    /// What the INVITEs of all calls came from; see [`crate::rng::origin_of`].
    pub(crate) origins: HashSet<u64>,
    /// Questions that wait for an answer.
    pub(crate) asks: HashMap<AskId, CallKey>,
    /// Peers that took no connection lately, and until when they are not asked for one.
    pub(crate) unreachable: HashMap<(ListenerId, SocketAddr), Instant>,
    pub(crate) rng: Rng,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) now: Instant,
    pub(crate) timers: Timers,
    pub(crate) out: VecDeque<Output>,
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) call_id_key: (u64, u64),
    /// Where a body is put together, emptied before each use.
    pub(crate) scratch: Vec<u8>,
}

impl Core {
    /// Nothing yet; see [`crate::B2bua::new`].
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        shard: u16,
        shards: u16,
        seed: [u8; 32],
        call_id_key: (u64, u64),
    ) -> Core {
        let mut rng = Rng::new(seed);
        Core {
            table: Table::new((rng.next_u64(), rng.next_u64())),
            legs: HashMap::new(),
            origins: HashSet::new(),
            asks: HashMap::new(),
            unreachable: HashMap::new(),
            rng,
            snapshot,
            now: Instant::default(),
            timers: Timers::default(),
            out: VecDeque::new(),
            shard,
            shards,
            call_id_key,
            scratch: Vec::new(),
        }
    }

    /// Answers a request in its server transaction.
    pub(crate) fn respond(&mut self, server: ServerKey, status: u16, response: Bytes) {
        let (table, mut env) = self.table_env();
        table.respond(server, status, response, &mut env);
    }

    /// Sends outside of any transaction: a 2xx again, an ACK again, a stateless answer.
    pub(crate) fn transmit(&mut self, flow: Flow, bytes: Bytes) {
        self.out.push_back(Output::Transmit {
            flow,
            bytes,
            request: None,
        });
    }

    /// States a fact.
    pub(crate) fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    /// Looks how a trunk is, and tells of a change. Of several shards that see one, one tells.
    pub(crate) fn appraise(&mut self, trunk: TrunkId) {
        let Some(found) = self.snapshot.trunk(trunk) else {
            return;
        };
        let (health, why) = found.appraise(self.now);
        if found.state.set_measured(health) != health {
            self.event(Event::TrunkHealth { trunk, health, why });
        }
    }

    /// Tells of a trunk that has come near one of its limits, or is no longer.
    pub(crate) fn mind_limit(&mut self, trunk: &Trunk) {
        if let Some(near) = trunk.mind_limit() {
            let trunk = trunk.id;
            self.event(Event::TrunkNearLimit { trunk, near });
        }
    }

    /// Makes sure that a call is woken in time; sooner if its deadline is far, so that a call that
    /// ends long before it leaves nothing in the queue for longer than [`NAP_MAX`].
    pub(crate) fn ensure_call(&mut self, call: CallKey, alarm: &mut Alarm, at: Option<Instant>) {
        let at = at.map(|at| at.min(self.now + NAP_MAX));
        self.timers.ensure(TimerOwner::Call(call), alarm, at);
    }

    /// A Call-ID that hashes to this shard.
    pub(crate) fn mint_call_id(&mut self) -> String {
        self.mint_call_id_of(self.shard)
    }

    /// A Call-ID that hashes to that one.
    pub(crate) fn mint_call_id_of(&mut self, shard: u16) -> String {
        loop {
            let halves = [self.rng.token().text(), self.rng.token().text()];
            let candidate = halves.as_flattened();
            if owner_shard(candidate, self.call_id_key, self.shards) == shard {
                return String::from_utf8(candidate.to_vec()).expect("tokens are ASCII");
            }
        }
    }

    /// The transaction table and what it needs for one step.
    pub(crate) fn table_env(&mut self) -> (&mut Table, Env<'_>) {
        let env = Env {
            now: self.now,
            snapshot: &self.snapshot,
            timers: &mut self.timers,
            out: &mut self.out,
        };
        (&mut self.table, env)
    }
}
