//! Recorded decisions, made again by another module: the evidence before it is promoted.
//!
//! Nothing but the record goes in: the same module gives the same outcomes on any machine. What a
//! module asks that was not asked then is answered with nothing and said in the difference. Only
//! tables may be others than then: new ones are tried like a new module.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use intertrunk_proto::ask::{HeaderField, PolicyFault, Query, Verdict};
use serde::Serialize;

use crate::decision::{Decision, Played};
use crate::difference::{Comparing, Comparison};
use crate::engine::Engine;
use crate::fault::LoadFault;
use crate::instance::Instance;
use crate::journal::{Entry, GenerationEntry};
use crate::options::{Isolation, Options};
use crate::program::Program;
use crate::world::{Tables, World};

/// Longer than a busy machine can hold up a decision: a replay is about what, not how fast.
const DEADLINE: Duration = Duration::from_secs(2);

/// What came of a replay.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Replayed {
    /// SHA-256 of the module, hex.
    pub sha256: String,
    /// The outcomes, compared with the recorded ones.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// Decisions that are none of the module's: its time ran out, or nobody was asked.
    pub skipped: u64,
}

/// An instance with its settings, and the headers that it reads with them.
struct Configured {
    instance: Instance,
    headers: Vec<String>,
}

/// Decides recorded decisions again.
pub struct Replay {
    program: Program,
    settings: Option<String>,
    isolation: Isolation,
    policy: Option<String>,
    /// The settings of each generation, by policy and number.
    generations: HashMap<(String, u64), Arc<GenerationEntry>>,
    /// The instance of each settings.
    instances: HashMap<Arc<str>, Configured>,
    /// In place of what the tables said then.
    tables: Option<Arc<dyn Tables>>,
    comparing: Comparing,
    skipped: u64,
}

impl Replay {
    /// Makes ready to decide with `wasm`: with `settings` in place of the recorded ones if there
    /// are any, `tables` in place of what tables answered then, and only decisions of `policy` if one is named.
    ///
    /// # Errors
    /// What is wrong with the module.
    pub fn new(
        engine: &Engine,
        wasm: &[u8],
        settings: Option<String>,
        policy: Option<String>,
        tables: Option<Arc<dyn Tables>>,
        isolation: Isolation,
    ) -> Result<Replay, LoadFault> {
        // What it may see is in the record already.
        let options = Options {
            deadline: DEADLINE,
            tables: vec!["*".to_owned()],
            memory_bytes: 128 << 20,
            ..Options::default()
        };
        Ok(Replay {
            program: Program::load(engine, wasm, &options)?,
            settings,
            isolation,
            policy,
            generations: HashMap::new(),
            instances: HashMap::new(),
            tables,
            comparing: Comparing::default(),
            skipped: 0,
        })
    }

    /// Takes the next entry of a journal.
    ///
    /// # Errors
    /// The module refuses the settings of the decision.
    pub fn take(&mut self, entry: Entry) -> Result<(), LoadFault> {
        match entry {
            Entry::Generation(entry) => {
                let key = (entry.policy.clone(), entry.generation);
                self.generations.insert(key, Arc::new(entry));
                Ok(())
            }
            Entry::Decision(decision) => self.decide(*decision),
        }
    }

    /// What came of it so far.
    pub fn result(&self) -> Replayed {
        Replayed {
            sha256: self.program.sha256.clone(),
            comparison: self.comparing.result(),
            skipped: self.skipped,
        }
    }

    fn decide(&mut self, decision: Decision) -> Result<(), LoadFault> {
        let other = |policy: &String| *policy != decision.policy;
        if self.policy.as_ref().is_some_and(other) {
            return Ok(());
        }
        if !is_reproducible(&decision.outcome) {
            self.skipped += 1;
            return Ok(());
        }
        let key = (decision.policy, decision.generation);
        let generation = self.generations.get(&key).cloned();
        let settings: Arc<str> = match (&self.settings, &generation) {
            (Some(settings), _) => settings.as_str().into(),
            (None, Some(generation)) => generation.settings.as_str().into(),
            (None, None) => "".into(),
        };
        let mut configured = match self.instances.remove(&settings) {
            Some(configured) => configured,
            None => self.configured(&settings, generation.as_deref())?,
        };
        let missing = missing_header(&configured.headers, generation.as_deref());
        let (mut query, then) = (decision.query, decision.outcome);
        let is_wanted = |it: &HeaderField| reads(&configured.headers, &it.name);
        query.call.headers.retain(is_wanted);
        let world = Arc::new(Played::new(decision.replies));
        if self.tables.is_none() {
            configured.instance.read(Arc::clone(&world) as _);
        }
        let outcome = decide_again(&mut configured.instance, &query, &world, DEADLINE);
        let unknown = world.unknown().or(missing);
        self.comparing
            .add(&query, &then, &outcome, unknown.as_deref());
        if outcome.is_ok() && self.isolation == Isolation::Warm {
            self.instances.insert(settings, configured);
        }
        Ok(())
    }

    /// An instance with these settings, told what `generation` was told meanwhile.
    fn configured(
        &self,
        settings: &str,
        generation: Option<&GenerationEntry>,
    ) -> Result<Configured, LoadFault> {
        let replies = generation.map(|it| it.replies.clone());
        let then = Arc::new(Played::new(replies.unwrap_or_default()));
        let world: Arc<dyn World> = Arc::clone(&then) as _;
        let tables = self.tables.clone().unwrap_or(then);
        let time = self.program.options.configure_deadline;
        let mut instance = self.program.configured(settings, &world, &tables, time)?;
        let headers = instance.headers()?;
        Ok(Configured { instance, headers })
    }
}

/// Whether a header is among these.
fn reads(headers: &[String], name: &str) -> bool {
    headers.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// One of these headers that the decisions of `generation` do not hold.
fn missing_header(headers: &[String], generation: Option<&GenerationEntry>) -> Option<String> {
    let recorded = generation.map_or(&[][..], |it| &it.headers);
    let missing = headers.iter().find(|name| !reads(recorded, name));
    missing.map(|name| format!("header {name}"))
}

/// Asks a recorded question in the world as it was then.
pub(crate) fn decide_again(
    instance: &mut Instance,
    query: &Query,
    world: &Arc<Played>,
    deadline: Duration,
) -> Result<Verdict, PolicyFault> {
    instance.arm(deadline);
    let world: Arc<dyn World> = Arc::clone(world) as _;
    instance.decide(query, &world)
}

/// Whether an outcome follows from the question, and not from how busy the machine was.
pub(crate) fn is_reproducible(outcome: &Result<Verdict, PolicyFault>) -> bool {
    !matches!(
        outcome,
        Err(PolicyFault::Timeout | PolicyFault::NotReady | PolicyFault::Quarantined)
    )
}
