//! The one wasmtime engine of the process: how guests are compiled, and where they live.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::bindings::Policy;
use crate::cache::Cache;
use crate::fault::LoadFault;
use crate::imports::Guest;
use crate::program::Code;
use crate::spare::{self, Refill};
use crate::ticker::Ticker;

/// Instances alive at once, over all policies, generations and shards. Costs address space (4 GiB
/// each), not memory.
const INSTANCES_MAX: u32 = 512;
/// Native stack of a guest. Shards run guests on their own stack, so it must fit there.
const STACK_BYTES_MAX: usize = 512 << 10;
/// Memory that a slot keeps between two instances; more than a small policy touches.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;
/// The same of its function tables. Giving them back costs a fresh instance more than all its own work.
const KEEP_RESIDENT_TABLE_BYTES: usize = 64 << 10;

/// The wasmtime engine with its linker and ticker. Clones are the same engine; the threads stop
/// when the last is dropped.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    /// The last generation of each policy.
    generations: Arc<Mutex<HashMap<Arc<str>, u64>>>,
}

struct Shared {
    wasm: wasmtime::Engine,
    linker: Linker<Guest>,
    refills: Sender<Refill>,
    runners: AtomicUsize,
    /// What is compiled and in use, by the module's SHA-256.
    compiled: Mutex<HashMap<String, Weak<Code>>>,
    cache: Option<Cache>,
    ticker: Arc<Ticker>,
    /// Its disconnection stops the ticker.
    _ticking: Sender<()>,
}

impl Engine {
    /// Starts an engine and its ticker.
    ///
    /// # Errors
    /// If the machine cannot run compiled WebAssembly, or gives no thread.
    pub fn new() -> Result<Engine, LoadFault> {
        Engine::with_cache(None)
    }

    /// The same, with compiled code kept on disk if there is a cache.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    pub fn with_cache(cache: Option<Cache>) -> Result<Engine, LoadFault> {
        let fault = |error: wasmtime::Error| LoadFault::Engine(format!("{error:#}"));
        let no_thread = |error| LoadFault::Engine(format!("no thread can be started: {error}"));
        // A machine with a small address space cannot reserve the pool; mapping memories one by one
        // works there too, only slower.
        let mut config = config();
        config.cache(cache.as_ref().map(Cache::wasmtime));
        let wasm = wasmtime::Engine::new(config.clone().allocation_strategy(pool()))
            .or_else(|_| wasmtime::Engine::new(&config))
            .map_err(fault)?;
        let mut linker = Linker::new(&wasm);
        Policy::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest).map_err(fault)?;
        let (ticker, ticking) = Ticker::start(wasm.clone()).map_err(no_thread)?;
        let shared = Shared {
            ticker,
            _ticking: ticking,
            refills: spare::start().map_err(no_thread)?,
            runners: AtomicUsize::new(0),
            compiled: Mutex::default(),
            cache,
            linker,
            wasm,
        };
        Ok(Engine {
            shared: Arc::new(shared),
            generations: Arc::default(),
        })
    }

    /// The same engine for generations that never decide: they are numbered by themselves.
    pub fn aside(&self) -> Engine {
        Engine {
            shared: Arc::clone(&self.shared),
            generations: Arc::default(),
        }
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.shared.wasm
    }

    pub(crate) fn linker(&self) -> &Linker<Guest> {
        &self.shared.linker
    }

    /// What interrupts guests.
    pub(crate) fn ticker(&self) -> &Arc<Ticker> {
        &self.shared.ticker
    }

    /// Where to ask for spare instances.
    pub(crate) fn refills(&self) -> Sender<Refill> {
        self.shared.refills.clone()
    }

    /// The code of the module with this hash: that of another policy or generation, or else what
    /// `compile` makes.
    pub(crate) fn code(
        &self,
        sha256: &str,
        compile: impl FnOnce() -> Result<Code, LoadFault>,
    ) -> Result<Arc<Code>, LoadFault> {
        let compiled = || {
            self.shared
                .compiled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(code) = compiled().get(sha256).and_then(Weak::upgrade) {
            return Ok(code);
        }
        // Not under the lock: two may compile the same at once, but nobody waits for another.
        let code = Arc::new(compile()?);
        let mut compiled = compiled();
        compiled.retain(|_, code| code.strong_count() > 0);
        compiled.insert(sha256.to_owned(), Arc::downgrade(&code));
        Ok(code)
    }

    /// Compiles a component, or takes it from the cache.
    pub(crate) fn compile(&self, component: &[u8]) -> wasmtime::Result<Component> {
        let compile = || Component::from_binary(self.wasm(), component);
        match &self.shared.cache {
            Some(cache) => cache.around(compile),
            None => compile(),
        }
    }

    /// The cache of compiled code, if there is one.
    pub fn cache(&self) -> Option<&Cache> {
        self.shared.cache.as_ref()
    }

    /// The next generation of the policy `name`, counted from 1 over all slots of that name.
    pub(crate) fn next_generation(&self, name: &Arc<str>) -> u64 {
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let last = generations.entry(Arc::clone(name)).or_default();
        *last += 1;
        *last
    }

    /// How many runners there are: as many instances of a generation are wanted at once.
    pub(crate) fn runners(&self) -> usize {
        self.shared.runners.load(Ordering::Relaxed)
    }

    pub(crate) fn add_runner(&self) {
        self.shared.runners.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_runner(&self) {
        self.shared.runners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How guests are compiled: bounded, and the same decision from the same question on any machine.
fn config() -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .memory_init_cow(true)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .shared_memory(false);
    config
}

fn pool() -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    // A componentized core module is up to four core instances: itself, two shims, and its adapter.
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(4 * INSTANCES_MAX)
        .total_memories(INSTANCES_MAX)
        .total_tables(4 * INSTANCES_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_TABLE_BYTES)
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
}
