//! One running guest: its store, its calls, and what its failures are called.
//!
//! An instance decides by the clock it was last armed with, and is of no use after any fault: a trap
//! leaves it as it was in the middle of something.

use std::sync::Arc;
use std::time::{Duration, Instant};

use intertrunk_proto::LookedUp;
use intertrunk_proto::ask::{PolicyFault, Query, Verdict};
use wasmtime::{Store, Trap, component};

use crate::access::Access;
use crate::bindings::Policy;
use crate::convert;
use crate::decision::Reply;
use crate::fault::{ConfigureFault, LoadFault, WorldFault};
use crate::imports::{Guest, Memory, Notes, Replies, cut};
use crate::packed::{self, Packed};
use crate::program::{Code, Manifest};
use crate::ticker::ONE_THAT_SPINS_IS_MET_TWICE;
use crate::world::{Tables, World};

/// Bytes that one call between guest and host may copy out of the guest. Without it, a list whose
/// entries all point at one long string would cost the host more memory than the guest has.
const COPIED_BYTES_MAX: usize = 1 << 20;
/// Bytes of a trap's message.
const TRAP_BYTES_MAX: usize = 256;

/// One running guest.
pub(crate) struct Instance {
    store: Store<Guest>,
    component: component::Instance,
    /// Its typed exports; nothing if it is asked in bytes, until they are needed.
    policy: Option<Policy>,
    packed: Option<Packed>,
}

/// What an instance begins with, besides its code.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub access: &'a Arc<Access>,
    pub memory_bytes_max: usize,
    pub world: &'a Arc<dyn World>,
    pub tables: &'a Arc<dyn Tables>,
    pub time: Duration,
}

impl Instance {
    /// Instantiates, within the time of `with`, which also bounds what is called next; see
    /// [`arm`](Self::arm).
    pub fn new(code: &Code, with: &Surroundings<'_>) -> Result<Instance, LoadFault> {
        let mut instance = Instance::of_checked(code, with)?;
        match instance.policy() {
            Ok(_) => Ok(instance),
            Err(error) => Err(start_fault(&error, instance.store.data())),
        }
    }

    /// The same of code whose exports are known to have the right types: comparing them takes a tenth of what
    /// an instance takes.
    pub fn of_checked(code: &Code, with: &Surroundings<'_>) -> Result<Instance, LoadFault> {
        let mut store = store(code, with);
        let started = code.pre.instantiate(&mut store);
        let started = started.and_then(|component| {
            let packed = code.packed.as_ref();
            let packed = packed.map(|it| component.get_typed_func(&mut store, it));
            let packed = packed.transpose()?;
            let policy = match packed {
                Some(_) => None,
                None => Some(code.indices.load(&mut store, &component)?),
            };
            Ok((component, policy, packed))
        });
        match started {
            Ok((component, policy, packed)) => Ok(Instance {
                store,
                component,
                policy,
                packed,
            }),
            Err(error) => Err(start_fault(&error, store.data())),
        }
    }

    /// The store that it lives in, and what it is there.
    pub fn inside(&mut self) -> (&mut Store<Guest>, component::Instance) {
        (&mut self.store, self.component)
    }

    /// Its typed exports with the store that they are called in.
    fn policy(&mut self) -> wasmtime::Result<(&Policy, &mut Store<Guest>)> {
        let store = &mut self.store;
        let policy = match self.policy.take() {
            Some(policy) => policy,
            None => Policy::new(&mut *store, &self.component)?,
        };
        Ok((self.policy.insert(policy), store))
    }

    /// Bounds all that is called from now on, until it is armed again.
    pub fn arm(&mut self, time: Duration) {
        let guest = self.store.data_mut();
        guest.until = Instant::now() + time;
        guest.ticks = 0;
        self.store.set_epoch_deadline(1);
    }

    /// Asks who it is.
    pub fn describe(&mut self) -> Result<Manifest, PolicyFault> {
        let described = self.policy().and_then(|(policy, store)| {
            let api = policy.intertrunk_policy_policy_api();
            api.call_describe(store)
        });
        described
            .map(Manifest::from)
            .map_err(|error| fault_of(&error, self.store.data()))
    }

    /// The headers that it reads, those of its settings included.
    pub fn headers(&mut self) -> Result<Vec<String>, LoadFault> {
        let manifest = self.describe().map_err(|fault| LoadFault::Guest {
            during: "describe",
            fault,
        })?;
        Ok(manifest.headers)
    }

    /// Gives it its settings; the inner result is what it says to them.
    pub fn configure(
        &mut self,
        text: &str,
    ) -> Result<Result<(), Vec<ConfigureFault>>, PolicyFault> {
        let configured = self.policy().and_then(|(policy, store)| {
            let api = policy.intertrunk_policy_policy_api();
            api.call_configure(store, text)
        });
        match configured {
            Ok(Ok(())) => Ok(Ok(())),
            Ok(Err(faults)) => Ok(Err(faults.into_iter().map(Into::into).collect())),
            Err(error) => Err(fault_of(&error, self.store.data())),
        }
    }

    /// Asks the question while trunks are as in `world`.
    pub fn decide(
        &mut self,
        query: &Query,
        world: &Arc<dyn World>,
    ) -> Result<Verdict, PolicyFault> {
        let guest = self.store.data_mut();
        if !Arc::ptr_eq(&guest.world, world) {
            guest.world = Arc::clone(world);
        }
        guest.notes.begin(&query.call.id, query.explain);
        guest.memory.refused = false;
        let verdict = match &self.packed {
            Some(packed) => packed::decide(packed, &mut self.store, query),
            None => self.policy().and_then(|(policy, store)| {
                let api = policy.intertrunk_policy_policy_api();
                let verdict = convert::lend(query, |query| api.call_decide(store, query));
                verdict.map(Verdict::from)
            }),
        };
        verdict.map_err(|error| fault_of(&error, self.store.data()))
    }

    /// Whether it ran out of time without having been at work before: the machine stood still, or
    /// the host kept it waiting. One that spins is met at least twice ([`Ticker::keep`]).
    ///
    /// [`Ticker::keep`]: crate::ticker::Ticker::keep
    pub fn stood_still(&self, deadline: Duration) -> bool {
        deadline >= ONE_THAT_SPINS_IS_MET_TWICE && self.store.data().ticks < 2
    }

    /// Answers from now on by these tables: those of a recorded decision.
    pub fn read(&mut self, tables: Arc<dyn Tables>) {
        self.store.data_mut().rows = tables;
    }

    /// From now on keeps, or no longer keeps, what the guest is told; see
    /// [`take_replies`](Self::take_replies).
    pub fn record(&mut self, wanted: bool) {
        self.store.data_mut().replies = wanted.then(Replies::default);
    }

    /// What the guest was told since [`record`](Self::record) was called last.
    pub fn take_replies(&mut self) -> Vec<Reply> {
        let replies = self.store.data_mut().replies.take();
        replies.map_or_else(Vec::new, Replies::into_inner)
    }

    /// What the last decision looked up; empty unless the query asked for an explanation.
    pub fn take_looked_up(&mut self) -> Vec<LookedUp> {
        std::mem::take(&mut self.store.data_mut().notes.looked_up)
    }

    /// The explanation of the last decision; empty unless the query asked for it.
    pub fn take_because(&mut self) -> Vec<String> {
        std::mem::take(&mut self.store.data_mut().notes.because)
    }
}

fn store(code: &Code, with: &Surroundings<'_>) -> Store<Guest> {
    let guest = Guest {
        access: Arc::clone(with.access),
        world: Arc::clone(with.world),
        rows: Arc::clone(with.tables),
        notes: Notes::default(),
        memory: Memory {
            bytes_max: with.memory_bytes_max,
            refused: false,
        },
        replies: None,
        until: Instant::now() + with.time,
        ticks: 0,
    };
    let mut store = Store::new(code.pre.engine(), guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(COPIED_BYTES_MAX);
    code.ticker.watch(&mut store);
    store.set_epoch_deadline(1);
    store
}

/// What the failure to start is called. The types of exports are compared no earlier than here.
fn start_fault(error: &wasmtime::Error, guest: &Guest) -> LoadFault {
    match fault_of(error, guest) {
        PolicyFault::Trap(_) if !error.is::<Trap>() => {
            LoadFault::World(vec![WorldFault::Signature(format!("{error:#}"))])
        }
        fault => LoadFault::Guest {
            during: "start",
            fault,
        },
    }
}

/// What the failure of a call is called.
fn fault_of(error: &wasmtime::Error, guest: &Guest) -> PolicyFault {
    let trap = error.downcast_ref::<Trap>();
    match trap {
        Some(Trap::Interrupt) => PolicyFault::Timeout,
        Some(Trap::StackOverflow) => PolicyFault::Stack,
        _ if guest.memory.refused => PolicyFault::Memory,
        _ if error.is::<wasmtime::PoolConcurrencyLimitError>() => PolicyFault::NotReady,
        _ => PolicyFault::Trap(cut(trap_message(error, trap, guest), TRAP_BYTES_MAX)),
    }
}

/// What a panic said, if the guest's hook told the log; else what the machine says.
fn trap_message(error: &wasmtime::Error, trap: Option<&Trap>, guest: &Guest) -> String {
    let panicked = guest.notes.warned.strip_prefix("panicked at ");
    match (panicked, trap) {
        (Some(message), Some(Trap::UnreachableCodeReached)) => format!("panicked at {message}"),
        (_, Some(trap)) => trap
            .to_string()
            .trim_start_matches("wasm trap: ")
            .to_owned(),
        (_, None) => error.root_cause().to_string(),
    }
}
