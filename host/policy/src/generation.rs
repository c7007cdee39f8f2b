//! One version of a policy in its slot: a program with its settings, which passed its cases.
//!
//! It makes configured instances and never changes. A call holds the generation that it began with
//! by its [`Pin`], so that a cookie never meets another version; when the slot and all calls have
//! let go, it is gone.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use intertrunk_cases::{CaseReport, Suite};
use intertrunk_proto::ask::{HeaderField, Pin, PolicyFault, Query};
use intertrunk_sip::{Message, Name, unfold};
use serde::Serialize;

use crate::cases;
use crate::decision::Reply;
use crate::engine::Engine;
use crate::fault::LoadFault;
use crate::health::Health;
use crate::instance::Instance;
use crate::journal::GenerationEntry;
use crate::options::{Isolation, Options};
use crate::program::{Code, Manifest, Program};
use crate::signature::PublicKey;
use crate::spare::Refill;
use crate::world::{Tables, World};

/// What people are told of a generation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GenerationInfo {
    /// Name, of the manifest.
    pub name: String,
    /// Version, of the manifest.
    pub version: String,
    /// Number in this host, counted from 1.
    pub generation: u64,
    /// SHA-256 of the component, hex.
    pub sha256: String,
    /// Whose signature the module has, if it has one that fits.
    pub signer: Option<PublicKey>,
    /// Size of the component, bytes.
    pub size: usize,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Stored cases that it passed.
    pub cases_passed: usize,
}

/// One version of a policy.
pub struct Generation {
    info: GenerationInfo,
    policy: Arc<str>,
    sha256: Arc<str>,
    program: Program,
    /// The module as it was staged.
    module: Arc<[u8]>,
    settings: Box<str>,
    /// Those of its staging, whatever the host reads since.
    tables: Arc<dyn Tables>,
    /// What the host answered while it was configured.
    replies: Vec<Reply>,
    headers: Vec<Wanted>,
    health: Health,
    /// What its instances are made of, if not of the program and its settings.
    frozen: Option<Arc<Code>>,
    /// Whether an instance can be made within a decision.
    is_quick: bool,
    spares: Mutex<Vec<Instance>>,
    refilling: AtomicBool,
    refills: Sender<Refill>,
    me: Weak<Generation>,
}

/// A header that the manifest asks for.
struct Wanted {
    known: Name,
    name: String,
}

impl Generation {
    /// Configures a program, runs its cases, and makes the first instances.
    pub(crate) fn stage(
        engine: &Engine,
        policy: &Arc<str>,
        mut program: Program,
        module: Arc<[u8]>,
        settings: &str,
        world: &Arc<dyn World>,
        suites: &[Suite],
    ) -> Result<Arc<Generation>, LoadFault> {
        let Options {
            deadline,
            configure_deadline,
            isolation,
            ..
        } = program.options;
        let tables = world.tables();
        // What it asks while it is configured belongs to the evidence of its decisions.
        let (mut first, replies) =
            program.configured_recording(settings, world, &tables, configure_deadline)?;
        program.manifest.headers = first.headers()?;
        let configured = || program.configured(settings, world, &tables, configure_deadline);
        // Measured on the second, as the first also pays for fresh pages of code.
        let (second, mut cost) = timed(configured)?;
        let (mut spares, mut frozen) = (vec![first, second], None);
        if isolation == Isolation::Call || 2 * cost > deadline {
            match program.frozen(engine, &module, settings, world, &tables) {
                Ok(code) => {
                    let thawed = || program.thawed(&code, world, &tables, configure_deadline);
                    spares = vec![thawed()?];
                    let (second, its_cost) = timed(thawed)?;
                    spares.push(second);
                    (frozen, cost) = (Some(code), its_cost);
                }
                Err(fault) => {
                    tracing::info!(%policy, %fault, "each instance reads the settings anew");
                }
            }
        }
        let is_quick = 2 * cost <= deadline;
        if isolation == Isolation::Call && !is_quick {
            let (configure_us, deadline_us) = (cost.as_micros(), deadline.as_micros());
            return Err(LoadFault::SlowConfigure {
                configure_us,
                deadline_us,
            });
        }

        let reports = cases::decide_all(&program, settings, suites)?;
        if !reports.iter().all(CaseReport::passed) {
            return Err(LoadFault::Cases(reports));
        }
        while !is_quick && spares.len() < engine.runners() {
            spares.push(match &frozen {
                Some(code) => program.thawed(code, world, &tables, configure_deadline)?,
                None => configured()?,
            });
        }
        let info = GenerationInfo {
            name: program.manifest.name.clone(),
            version: program.manifest.version.clone(),
            generation: engine.next_generation(policy),
            sha256: program.sha256.clone(),
            signer: program.signer,
            size: program.size,
            manifest: program.manifest.clone(),
            cases_passed: reports.len(),
        };
        Ok(Arc::new_cyclic(|me| Generation {
            policy: Arc::clone(policy),
            sha256: info.sha256.as_str().into(),
            headers: info
                .manifest
                .headers
                .iter()
                .map(|name| Wanted::new(name))
                .filter(|wanted| !wanted.is_secret())
                .collect(),
            health: Health::new(
                program.options.quarantine_faults,
                program.options.quarantine_window,
            ),
            module,
            settings: settings.into(),
            tables,
            replies,
            spares: Mutex::new(spares),
            refilling: AtomicBool::new(false),
            refills: engine.refills(),
            me: Weak::clone(me),
            program,
            info,
            frozen,
            is_quick,
        }))
    }

    /// What people are told of it.
    pub fn info(&self) -> &GenerationInfo {
        &self.info
    }

    /// The module as it was staged.
    pub fn module(&self) -> &Arc<[u8]> {
        &self.module
    }

    /// The settings that it was staged with.
    pub fn settings(&self) -> &str {
        &self.settings
    }

    /// The tables that it was staged with.
    pub fn tables(&self) -> &dyn Tables {
        &*self.tables
    }

    /// A hold on it, for a call.
    pub fn pin(self: &Arc<Self>) -> Pin {
        Pin {
            policy: Arc::clone(&self.policy),
            generation: self.info.generation,
            sha256: Arc::clone(&self.sha256),
            keep: Arc::clone(self) as _,
        }
    }

    /// The generation that `pin` holds.
    pub fn of(pin: &Pin) -> Option<&Generation> {
        pin.keep.downcast_ref()
    }

    /// What a journal says of it.
    pub(crate) fn entry(&self) -> GenerationEntry {
        GenerationEntry {
            policy: self.policy.to_string(),
            generation: self.info.generation,
            sha256: self.info.sha256.clone(),
            settings: self.settings.to_string(),
            headers: self.info.manifest.headers.clone(),
            replies: self.replies.clone(),
        }
    }

    /// Whether it faulted so often that it decides no more.
    pub fn is_quarantined(&self) -> bool {
        self.health.is_quarantined()
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn options(&self) -> &Options {
        &self.program.options
    }

    /// A configured instance, armed for one decision: a spare, or else a new one made within the
    /// deadline of that decision.
    pub(crate) fn instance(&self, world: &Arc<dyn World>) -> Result<Instance, PolicyFault> {
        let deadline = self.options().deadline;
        let spare = self
            .spares
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match spare {
            Some(mut spare) => {
                spare.arm(deadline);
                Ok(spare)
            }
            None if self.is_quick => self.configured(world, deadline),
            None => {
                self.ask_for_spare(world);
                Err(PolicyFault::NotReady)
            }
        }
    }

    /// A spare in place of an instance that has decided long enough; `None` if there is none yet.
    /// Never makes one here, where a call would wait for it.
    pub(crate) fn relief(&self, world: &Arc<dyn World>) -> Option<Instance> {
        let spare = self
            .spares
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if spare.is_none() {
            self.ask_for_spare(world);
        }
        spare
    }

    /// Puts one more spare by. For the builder: takes as long as `configure` does.
    pub(crate) fn add_spare(&self, world: &Arc<dyn World>) {
        let made = self.configured(world, self.options().configure_deadline);
        self.refilling.store(false, Ordering::Relaxed);
        match made {
            Ok(spare) => self
                .spares
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(spare),
            Err(fault) => {
                let (policy, generation) = (&self.policy, self.info.generation);
                tracing::warn!(%policy, generation, %fault, "no instance can be made");
                self.health.fault(Instant::now(), 1);
            }
        }
    }

    /// Leaves in `query` the headers that the manifest asks for: those of `invite` in its order, if
    /// there is one, else those of what is there already.
    pub(crate) fn pick_headers(&self, query: &mut Query, invite: Option<&Message>) {
        match invite {
            Some(invite) => pick(query, invite, &[self]),
            None => self.keep_headers(query),
        }
    }

    /// Leaves in `query` the headers that the manifest asks for.
    pub(crate) fn keep_headers(&self, query: &mut Query) {
        let is_wanted = |it: &HeaderField| self.wanted(it.name.as_bytes()).is_some();
        query.call.headers.retain(is_wanted);
    }

    fn wanted(&self, name: &[u8]) -> Option<&Wanted> {
        self.headers.iter().find(|wanted| wanted.is(name))
    }

    fn configured(&self, world: &Arc<dyn World>, time: Duration) -> Result<Instance, PolicyFault> {
        let made = match &self.frozen {
            Some(frozen) => self.program.thawed(frozen, world, &self.tables, time),
            None => (self.program).configured(&self.settings, world, &self.tables, time),
        };
        made.map_err(|fault| match fault {
            LoadFault::Guest { fault, .. } => fault,
            // The same settings were right when it was staged, but the world has changed.
            other => PolicyFault::Trap(other.to_string()),
        })
    }

    fn ask_for_spare(&self, world: &Arc<dyn World>) {
        if !self.refilling.swap(true, Ordering::Relaxed) {
            let refill = Refill {
                generation: Weak::clone(&self.me),
                world: Arc::clone(world),
            };
            // The builder lives as long as anybody can ask it.
            let _ = self.refills.send(refill);
        }
    }
}

fn timed<T>(make: impl FnOnce() -> Result<T, LoadFault>) -> Result<(T, Duration), LoadFault> {
    let started = Instant::now();
    let made = make()?;
    Ok((made, started.elapsed()))
}

/// Puts into `query` the headers of `invite` that any of `generations` asks for, in its order.
pub(crate) fn pick(query: &mut Query, invite: &Message, generations: &[&Generation]) {
    let headers = &mut query.call.headers;
    headers.clear();
    if generations.iter().all(|it| it.headers.is_empty()) {
        return;
    }
    for line in invite.lines() {
        let mut wanted = generations.iter().flat_map(|it| &it.headers);
        let is_it = |wanted: &&Wanted| wanted.known == line.name && wanted.is(line.name_bytes);
        if let Some(wanted) = wanted.find(is_it) {
            let value = unfold(line.value);
            headers.push(HeaderField {
                name: wanted.name.clone(),
                value: String::from_utf8_lossy(&value).trim().to_owned(),
            });
        }
    }
}

impl Wanted {
    fn new(name: &str) -> Wanted {
        Wanted {
            known: Name::of(name.as_bytes()),
            name: name.to_owned(),
        }
    }

    /// Whether it proves a password: that is between a peer and the host, and in no journal.
    fn is_secret(&self) -> bool {
        matches!(self.known, Name::Authorization | Name::ProxyAuthorization)
    }

    /// Whether `name`, perhaps in its compact form, is the header wanted.
    fn is(&self, name: &[u8]) -> bool {
        match self.known {
            Name::Other => self.name.as_bytes().eq_ignore_ascii_case(name),
            known => Name::of(name) == known,
        }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.policy, self.info.generation)
    }
}
