//! Our registrations at trunks that want one (RFC 3261 §10.2): one for each such trunk, held by one shard.
//!
//! ```text
//!              +--------- 423, 401 and 407 at once ----------+
//!              v                                             |
//!   begun --> Asking --200--> Registered --time to refresh--> Asking
//!              | \                                           |
//!              |  +-- any other answer, none --> Waiting ----+  twice as long each time
//!           drain, or the trunk is gone: Expires 0, once --> Left
//! ```
//! A registration that cannot be refreshed is still one until its time is up. Never looks at calls: that a
//! trunk which must be registered is down meanwhile is for its state to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use intertrunk_sip::{Message, Method, Name, NameAddr};

use super::B2bua;
use crate::auth::Register;
use crate::core::Core;
use crate::dialog::{Dialog, RequestLine};
use crate::event::Event;
use crate::io::{Flow, TrunkId};
use crate::time::Instant;
use crate::timer::{Alarm, TimerOwner};
use crate::transaction::{Challenged, ClientKey, Owner, Sending, Told};
use crate::trunk::{Registered, Trunk};

/// Time after the first failure; twice as long after each further one.
const BACKOFF_MIN: Duration = Duration::from_secs(30);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_secs(1800);
/// The longest that a registrar's Retry-After is obeyed.
const RETRY_AFTER_MAX_S: u32 = 3600;
/// The longest that a registrar may want a registration to be (423).
const EXPIRES_MAX_S: u32 = 7 * 86_400;
/// A registration is refreshed when so much of it is left, but a quarter at most.
const EARLY: Duration = Duration::from_secs(60);
/// After the start all register within this time, one here, one there.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// The registrations of this shard.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    all: BTreeMap<TrunkId, Registration>,
    /// The shard finishes its calls: nobody is to send us others.
    resting: bool,
}

#[derive(Debug)]
struct Registration {
    trunk: Arc<Trunk>,
    rules: Arc<Register>,
    alarm: Alarm,
    call_id: String,
    tag: intertrunk_sip::Token,
    cseq: u32,
    /// What we ask for, in seconds.
    expires_s: u32,
    phase: Phase,
    /// Until when we are registered, if we are.
    until: Option<Instant>,
    failures: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Asked for at this time.
    Waiting(Instant),
    /// The registrar has been asked.
    Asking(ClientKey),
    /// It has been told that we leave.
    Leaving(ClientKey),
    /// It is over.
    Left,
}

impl B2bua {
    /// Begins the registrations that are this shard's, and ends those that are no longer.
    pub(super) fn register_all(&mut self) {
        let core = &mut self.core;
        let shards = u32::from(core.shards.max(1));
        let mine = |t: &&Arc<Trunk>| t.id.0 % shards == u32::from(core.shard);
        let wanted: Vec<Arc<Trunk>> = match self.registrations.resting {
            true => Vec::new(),
            false => core.snapshot.trunks.iter().filter(mine).cloned().collect(),
        };
        let all = &mut self.registrations.all;
        let rules_of = |id: &TrunkId| {
            let trunk = wanted.iter().find(|t| t.id == *id)?;
            trunk.register.as_ref().map(|rules| (trunk, rules))
        };
        for (id, registration) in all.iter_mut() {
            match rules_of(id) {
                Some((trunk, rules)) if rules.is_same_as(&registration.rules) => {
                    registration.trunk = Arc::clone(trunk);
                    registration.rules = Arc::clone(rules);
                }
                Some(_) | None => registration.leave(core),
            }
        }
        all.retain(|_, registration| registration.phase != Phase::Left);
        for trunk in &wanted {
            let Some(rules) = &trunk.register else {
                continue;
            };
            // One that is leaving under other rules begins anew when it has left.
            all.entry(trunk.id)
                .or_insert_with(|| Registration::begin(trunk, rules, core));
            core.appraise(trunk.id);
        }
    }

    /// Leaves everywhere, or registers again.
    pub(super) fn registrations_rest(&mut self, resting: bool) {
        self.registrations.resting = resting;
        self.register_all();
    }

    /// It is time to do something about a trunk's registration.
    pub(super) fn register_clock(&mut self, id: TrunkId, at: Instant) {
        let core = &mut self.core;
        if let Some(registration) = self.registrations.all.get_mut(&id)
            && registration.alarm.take(at)
        {
            registration.clock(core);
        }
    }

    /// What came of REGISTER.
    pub(super) fn register_told(&mut self, id: TrunkId, told: Told) {
        let core = &mut self.core;
        let Some(registration) = self.registrations.all.get_mut(&id) else {
            return;
        };
        match told {
            Told::Response { response, .. } if response.status() < 200 => {}
            Told::Response { response, .. } => registration.answered(&response, core),
            Told::Challenged(challenged) => registration.challenged(&challenged, core),
            Told::TimedOut { .. } => registration.failed(408, None, core),
            Told::Unsendable { .. } => registration.failed(503, None, core),
            Told::ClientOver { .. } | Told::ServerOver { .. } => {}
        }
        if registration.phase == Phase::Left {
            self.registrations.all.remove(&id);
            self.register_all();
        }
    }
}

impl Registration {
    fn begin(trunk: &Arc<Trunk>, rules: &Arc<Register>, core: &mut Core) -> Registration {
        let micros = u64::try_from(FIRST_WITHIN.as_micros()).unwrap_or(u64::MAX);
        let first = core.now + Duration::from_micros(core.rng.next_u64() % micros);
        let mut registration = Registration {
            trunk: Arc::clone(trunk),
            rules: Arc::clone(rules),
            alarm: Alarm::default(),
            call_id: core.mint_call_id(),
            tag: core.rng.token(),
            cseq: 0,
            expires_s: rules.expires_s,
            phase: Phase::Waiting(first),
            until: None,
            failures: 0,
        };
        trunk.state.registered.set(Registered::Trying, 0, None);
        registration.arm(core);
        registration
    }

    fn arm(&mut self, core: &mut Core) {
        let next = match self.phase {
            Phase::Waiting(at) => Some(self.until.map_or(at, |until| at.min(until))),
            Phase::Asking(_) => self.until,
            Phase::Leaving(_) | Phase::Left => None,
        };
        let owner = TimerOwner::Registration(self.trunk.id);
        core.timers.ensure(owner, &mut self.alarm, next);
    }

    fn clock(&mut self, core: &mut Core) {
        if self.until.is_some_and(|until| until <= core.now) {
            self.until = None;
            self.say(Registered::Failed, 0, core);
        }
        if matches!(self.phase, Phase::Waiting(at) if at <= core.now) {
            self.ask(self.expires_s, core);
        }
        self.arm(core);
    }

    /// Asks the registrar for so many seconds; for none, to forget us.
    fn ask(&mut self, expires_s: u32, core: &mut Core) {
        let Some(flow) = self.place(core) else {
            return self.failed(503, None, core);
        };
        let Register {
            aor,
            registrar,
            contact_user,
            ..
        } = &*self.rules;
        let us = format!("<{aor}>");
        let target = registrar.request_uri();
        let listeners = core.snapshot.listeners.clone();
        let mut dialog =
            Dialog::to_peer(&self.call_id, self.tag, &us, &us, &target, flow, &listeners);
        dialog.skip_cseq(self.cseq);
        let branch = core.rng.token();
        let mut b = dialog.request(&RequestLine {
            method: &Method::Register,
            branch,
            max_forwards: 70,
        });
        let contact = dialog.uri_at_us(&format!("{contact_user}@"));
        b.header_fmt(
            Name::Contact,
            format_args!("<{contact}>;expires={expires_s}"),
        );
        b.header_number(Name::Expires, expires_s, &[]);
        self.cseq = dialog.last_cseq();
        let client = core.send(Sending {
            flow,
            bytes: b.finish(None),
            branch,
            invite: false,
            owner: Owner::Registration(self.trunk.id),
        });
        self.phase = match expires_s {
            0 => Phase::Leaving(client),
            _ => Phase::Asking(client),
        };
    }

    /// Where the registrar is: after a failure, another of its addresses.
    fn place(&self, core: &mut Core) -> Option<Flow> {
        let registrar = &self.rules.registrar;
        let mut order = Vec::new();
        registrar.targets.append_order(&mut core.rng, &mut order);
        let target = order.get(usize::from(self.failures) % order.len().max(1))?;
        let listeners = &core.snapshot.listeners;
        let listener = self.trunk.listener_by(registrar.transport, listeners)?;
        Some(Flow::to(listener.id, target.address))
    }

    fn answered(&mut self, response: &Message, core: &mut Core) {
        let code = response.status();
        match (self.phase, code) {
            (Phase::Leaving(_), _) => self.left(core),
            (Phase::Waiting(_) | Phase::Left, _) => {}
            (Phase::Asking(_), 200..=299) => self.registered(response, core),
            (Phase::Asking(_), 423) => {
                let least = response.u32_header(Name::MinExpires);
                match least.filter(|s| *s > self.expires_s && *s <= EXPIRES_MAX_S) {
                    Some(least) => {
                        self.expires_s = least;
                        self.ask(least, core);
                        self.arm(core);
                    }
                    None => self.failed(code, None, core),
                }
            }
            (Phase::Asking(_), _) => {
                let retry = response.u32_header(Name::RetryAfter);
                self.failed(code, retry, core);
            }
        }
    }

    fn registered(&mut self, response: &Message, core: &mut Core) {
        let granted = granted(response, &self.rules.contact_user).unwrap_or(self.expires_s);
        if granted == 0 {
            // It has forgotten us in the very answer.
            return self.failed(response.status(), None, core);
        }
        let lasts = Duration::from_secs(granted.into());
        let until = core.now + lasts;
        self.failures = 0;
        self.until = Some(until);
        self.phase = Phase::Waiting(core.now + (lasts - EARLY.min(lasts / 4)));
        self.say(Registered::Yes, response.status(), core);
        self.arm(core);
    }

    fn challenged(&mut self, challenged: &Challenged, core: &mut Core) {
        let login = self.trunk.login.clone();
        let again = login.and_then(|login| core.send_again(&login, challenged));
        match (again, self.phase) {
            (Some((client, cseq)), Phase::Asking(_)) => {
                self.cseq = cseq;
                self.phase = Phase::Asking(client);
            }
            (Some((client, cseq)), Phase::Leaving(_)) => {
                self.cseq = cseq;
                self.phase = Phase::Leaving(client);
            }
            (None, Phase::Asking(_) | Phase::Leaving(_)) => {
                self.answered(&challenged.response, core);
            }
            (_, Phase::Waiting(_) | Phase::Left) => {}
        }
    }

    fn failed(&mut self, code: u16, retry_after_s: Option<u32>, core: &mut Core) {
        if matches!(self.phase, Phase::Leaving(_)) {
            return self.left(core);
        }
        let doubled = BACKOFF_MIN * (1 << self.failures.min(8));
        let backoff = doubled.min(BACKOFF_MAX);
        // Drawn, so that those who failed together do not come back together.
        let half = u64::try_from(backoff.as_micros() / 2).unwrap_or(u64::MAX);
        let drawn = Duration::from_micros(half + core.rng.next_u64() % half.max(1));
        let asked = retry_after_s.unwrap_or(0).min(RETRY_AFTER_MAX_S);
        let pause = drawn.max(Duration::from_secs(asked.into()));
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Waiting(core.now + pause);
        self.say(Registered::Failed, code, core);
        self.arm(core);
    }

    fn leave(&mut self, core: &mut Core) {
        match self.phase {
            Phase::Waiting(_) if self.until.is_none() => self.left(core),
            Phase::Asking(client) => {
                core.table.abandon(client);
                self.ask_to_leave(core);
            }
            Phase::Waiting(_) => self.ask_to_leave(core),
            Phase::Leaving(_) | Phase::Left => {}
        }
    }

    fn ask_to_leave(&mut self, core: &mut Core) {
        self.ask(0, core);
        if !matches!(self.phase, Phase::Leaving(_)) {
            self.left(core);
        }
    }

    fn left(&mut self, core: &mut Core) {
        self.phase = Phase::Left;
        self.until = None;
        self.say(Registered::No, 0, core);
    }

    /// Makes it known how the registration is.
    fn say(&mut self, how: Registered, code: u16, core: &mut Core) {
        // A registration lasts even while it cannot be refreshed.
        let shown = match (how, self.until) {
            (Registered::Failed, Some(_)) => Registered::Yes,
            (how, _) => how,
        };
        self.trunk.state.registered.set(shown, code, self.until);
        let trunk = self.trunk.id;
        core.appraise(trunk);
        core.event(Event::Registration { trunk, how, code });
    }
}

/// For how many seconds a 2xx has us registered: what it says of our own Contact, else of all.
fn granted(response: &Message, contact_user: &str) -> Option<u32> {
    let contacts = response.values(Name::Contact);
    let contacts = contacts.filter_map(|value| NameAddr::parse(value).ok());
    let ours = |c: &NameAddr<'_>| c.uri().is_ok_and(|uri| uri.user == Some(contact_user));
    let mut ours = contacts.filter(ours);
    let said = ours.find_map(|c| c.params.get("expires").flatten()?.trim().parse().ok());
    said.or_else(|| response.u32_header(Name::Expires))
}
