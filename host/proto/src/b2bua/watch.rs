//! How trunks are: OPTIONS to their targets, and a look at each of them once a second.
//!
//! Each watched trunk belongs to one shard, which asks its targets and tells of every change. What
//! calls do to a target counts on any shard, at once. Rules and lists of targets are read anew at
//! each look, so a reload or a new answer of DNS needs no word here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_sip::{Method, Name, Token};

use super::B2bua;
use crate::core::Core;
use crate::dialog::{Dialog, RequestLine};
use crate::io::{Flow, TrunkId};
use crate::target::Mark;
use crate::time::Instant;
use crate::timer::{Alarm, TimerOwner};
use crate::transaction::{Challenged, ClientKey, Owner, Sending, Told};
use crate::trunk::{Options, Peer, Switch, Trunk};

/// How often a watched trunk is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Within this time after the start all targets are asked for the first time, one here, one there.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// The trunks that this shard watches.
#[derive(Debug, Default)]
pub(super) struct Watch {
    trunks: BTreeMap<TrunkId, Watched>,
    /// The next number of a question.
    next: u64,
    /// Nobody is asked: the shard finishes its calls.
    resting: bool,
}

#[derive(Debug)]
struct Watched {
    alarm: Alarm,
    /// Since when.
    since: Instant,
    probes: Vec<Probe>,
}

/// One target that is asked.
#[derive(Debug)]
struct Probe {
    address: SocketAddr,
    mark: Arc<Mark>,
    /// When it is asked next.
    due: Instant,
    waits: Option<Waiting>,
}

/// OPTIONS that have no answer yet.
#[derive(Debug)]
struct Waiting {
    number: u64,
    client: ClientKey,
    sent: Instant,
    until: Instant,
}

impl B2bua {
    /// Begins to watch the trunks that are this shard's, and lets go of those that are no longer.
    pub(super) fn watch_all(&mut self) {
        let core = &mut self.core;
        let mine =
            |t: &&Arc<Trunk>| t.id.0 % u32::from(core.shards.max(1)) == u32::from(core.shard);
        let watched = core
            .snapshot
            .trunks
            .iter()
            .filter(mine)
            .filter(|t| t.is_watched());
        let ids: Vec<TrunkId> = watched.map(|t| t.id).collect();
        for id in ids {
            self.watch.trunks.entry(id).or_insert_with(|| Watched {
                alarm: Alarm::default(),
                since: core.now,
                probes: Vec::new(),
            });
        }
        let all: Vec<TrunkId> = self.watch.trunks.keys().copied().collect();
        for id in all {
            self.watch.look(id, core);
        }
    }

    /// Asks nobody, or asks again.
    pub(super) fn watch_rests(&mut self, resting: bool) {
        self.watch.resting = resting;
        self.watch_all();
    }

    /// It is time to look at this trunk.
    pub(super) fn watch_clock(&mut self, id: TrunkId, at: Instant) {
        let due = self
            .watch
            .trunks
            .get_mut(&id)
            .is_some_and(|w| w.alarm.take(at));
        if due {
            self.watch.look(id, &mut self.core);
        }
    }

    /// What came of OPTIONS.
    pub(super) fn watch_told(&mut self, trunk: TrunkId, number: u64, told: &Told) {
        let (code, answered) = match told {
            Told::Challenged(challenged) if self.show(trunk, number, challenged) => return,
            Told::Challenged(challenged) => (challenged.response.status(), true),
            Told::Response { response, .. } if response.status() < 200 => return,
            Told::Response { response, .. } => (response.status(), true),
            Told::TimedOut { .. } | Told::Unsendable { .. } => (0, false),
            Told::ClientOver { .. } | Told::ServerOver { .. } => return,
        };
        let Some(rules) = self.core.snapshot.trunk(trunk).cloned() else {
            return;
        };
        let (Some(watched), Some(options)) = (
            self.watch.trunks.get_mut(&trunk),
            rules.health.options.as_ref(),
        ) else {
            return;
        };
        let asked = |p: &&mut Probe| p.waits.as_ref().is_some_and(|w| w.number == number);
        if let Some(probe) = watched.probes.iter_mut().find(asked) {
            let well = answered && !options.down_codes.contains(&code);
            probe.heard(well, options, self.core.now);
            self.watch.look(trunk, &mut self.core);
        }
    }

    /// Asks again with the trunk's credentials; false if there is nothing to show.
    fn show(&mut self, trunk: TrunkId, number: u64, challenged: &Challenged) -> bool {
        let login = self
            .core
            .snapshot
            .trunk(trunk)
            .and_then(|t| t.login.clone());
        let probes = self.watch.trunks.get_mut(&trunk).map(|w| &mut w.probes);
        let mut waits = probes
            .into_iter()
            .flatten()
            .filter_map(|p| p.waits.as_mut());
        let (Some(login), Some(waiting)) = (login, waits.find(|w| w.number == number)) else {
            return false;
        };
        let again = self.core.send_again(&login, challenged);
        again.is_some_and(|(client, _)| {
            waiting.client = client;
            true
        })
    }

    /// A trunk's peer has sent OPTIONS. The code of the answer: who takes no new calls says so.
    pub(super) fn options_code(&mut self, flow: Flow, trunk: &Trunk) -> u16 {
        let now = self.core.now;
        if let Some(options) = trunk.health.options.as_ref().filter(|o| o.expect.is_some()) {
            let ip = flow.remote.ip().to_canonical();
            trunk.each_target(|target| {
                if target.address.ip() == ip {
                    target.mark.heard(now);
                    target.mark.probed(true, options, now);
                }
            });
            self.core.appraise(trunk.id);
        }
        match self.draining || trunk.state.switch() != Switch::Enabled {
            true => 503,
            false => 200,
        }
    }
}

impl Watch {
    fn look(&mut self, id: TrunkId, core: &mut Core) {
        let trunk = core.snapshot.trunk(id).cloned();
        let Some(trunk) = trunk.filter(|t| t.is_watched()) else {
            return self.let_go(id, core);
        };
        let Some(watched) = self.trunks.get_mut(&id) else {
            return;
        };
        if self.resting {
            // What is known stays: it is not asked any more, and not forgotten.
            return watched.drop_questions(core);
        }
        let asked = trunk.state.switch() != Switch::Disabled;
        match trunk.health.options.as_ref().filter(|_| asked) {
            Some(options) => {
                watched.know_targets(&trunk, options, core);
                watched.expect(&trunk, options, core.now);
                watched.ask(&trunk, options, &mut self.next, core);
            }
            None => watched.stop_asking(core),
        }
        core.appraise(id);
        let waits = |p: &Probe| p.waits.as_ref().map_or(p.due, |w| w.until);
        let next = watched.probes.iter().map(waits).min();
        let next = next.map_or(core.now + LOOK, |at| at.min(core.now + LOOK));
        let owner = TimerOwner::Trunk(id);
        core.timers.ensure(owner, &mut watched.alarm, Some(next));
    }

    /// The trunk is gone, or has no rules any more.
    fn let_go(&mut self, id: TrunkId, core: &mut Core) {
        if let Some(mut watched) = self.trunks.remove(&id) {
            watched.stop_asking(core);
            core.appraise(id);
        }
    }
}

impl Watched {
    /// Takes in targets that are new, and lets go of those that are gone.
    fn know_targets(&mut self, trunk: &Trunk, options: &Options, core: &mut Core) {
        let mut known = Vec::with_capacity(self.probes.len());
        let asks = options.interval.is_some();
        trunk.each_target(|target| {
            let is_known = |known: &[Probe]| known.iter().any(|p| p.address == target.address);
            if !asks || is_known(&known) {
                return;
            }
            let place = self.probes.iter().position(|p| p.address == target.address);
            known.push(match place {
                Some(place) => self.probes.swap_remove(place),
                None => Probe {
                    address: target.address,
                    mark: Arc::clone(&target.mark),
                    due: core.now + draw(FIRST_WITHIN, core),
                    waits: None,
                },
            });
        });
        std::mem::swap(&mut self.probes, &mut known);
        known.iter_mut().for_each(|gone| gone.stop(core));
    }

    /// Who was to send OPTIONS and has not is down.
    fn expect(&self, trunk: &Trunk, options: &Options, now: Instant) {
        let Some(expect) = options.expect else { return };
        trunk.each_target(|target| {
            let heard = target.mark.heard_at().max(self.since);
            if now.since(heard) > expect && !target.mark.is_down(now) {
                target.mark.lie_down();
            }
        });
    }

    /// Asks whom it is time to ask, and gives up on those who have not answered.
    fn ask(&mut self, trunk: &Trunk, options: &Options, next: &mut u64, core: &mut Core) {
        for probe in &mut self.probes {
            let late = probe.waits.as_ref().filter(|w| w.until <= core.now);
            if let Some(client) = late.map(|waiting| waiting.client) {
                core.table.abandon(client);
                probe.heard(false, options, core.now);
            }
            if probe.waits.is_some() || probe.due > core.now {
                continue;
            }
            *next += 1;
            let owner = Owner::Trunk(trunk.id, *next);
            match send(trunk, probe.address, owner, core) {
                Some(client) => {
                    probe.waits = Some(Waiting {
                        number: *next,
                        client,
                        sent: core.now,
                        until: core.now + options.timeout,
                    });
                }
                None => probe.due = core.now + LOOK,
            }
        }
    }

    fn stop_asking(&mut self, core: &mut Core) {
        for mut probe in self.probes.drain(..) {
            probe.stop(core);
        }
    }

    fn drop_questions(&mut self, core: &mut Core) {
        self.probes
            .iter_mut()
            .for_each(|probe| probe.drop_question(core));
    }
}

impl Probe {
    /// What came of the question.
    fn heard(&mut self, well: bool, options: &Options, now: Instant) {
        let sent = self.waits.take().map_or(now, |waiting| waiting.sent);
        self.mark.probed(well, options, now);
        let interval = match self.mark.is_down(now) {
            true => options.down_interval,
            false => options.interval.unwrap_or(options.down_interval),
        };
        self.due = (sent + interval).max(now);
    }

    /// It is asked no more: nobody would say when it is up again.
    fn stop(&mut self, core: &mut Core) {
        self.drop_question(core);
        self.mark.unwatch(core.now);
    }

    fn drop_question(&mut self, core: &mut Core) {
        if let Some(waiting) = self.waits.take() {
            core.table.abandon(waiting.client);
        }
    }
}

/// Sends OPTIONS to a target, if its peer still stands for it.
fn send(trunk: &Trunk, address: SocketAddr, owner: Owner, core: &mut Core) -> Option<ClientKey> {
    let peer = trunk
        .peers
        .iter()
        .find(|peer| peer.targets.contains(address))?;
    let listeners = core.snapshot.listeners.clone();
    let listener = trunk.listener_by(peer.transport, &listeners)?;
    let flow = Flow::to(listener.id, address);
    let (bytes, branch) = options(peer, flow, core);
    Some(core.send(Sending {
        flow,
        bytes,
        branch,
        invite: false,
        owner,
    }))
}

/// OPTIONS to a peer, of no dialog (RFC 3261 §11.1).
fn options(peer: &Peer, flow: Flow, core: &mut Core) -> (Bytes, Token) {
    let listeners = core.snapshot.listeners.clone();
    let (tag, branch) = (core.rng.token(), core.rng.token());
    let (call_id, target) = (core.mint_call_id(), peer.request_uri());
    let us = listeners.get(flow.listener).map_or("", |l| &*l.advertise);
    let (us, to) = (format!("<sip:{us}>"), format!("<{target}>"));
    let mut dialog = Dialog::to_peer(&call_id, tag, &us, &to, &target, flow, &listeners);
    let mut b = dialog.request(&RequestLine {
        method: &Method::Options,
        branch,
        max_forwards: 70,
    });
    b.header(Name::Contact, dialog.contact());
    b.header(Name::Accept, "application/sdp");
    (b.finish(None), branch)
}

fn draw(within: Duration, core: &mut Core) -> Duration {
    let micros = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(core.rng.next_u64() % micros.max(1))
}
