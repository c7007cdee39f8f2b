//! Recorded decisions, made again by another module: the evidence before it is promoted.
//!
//! Nothing but the record goes in: the same module gives the same outcomes on any machine. What a
//! module asks that was not asked then is answered with nothing and said in the difference. What else
//! may be otherwise than it was, [`Otherwise`] says: settings and tables are tried like a new module, and
//! a trunk that is down shows where its calls would have gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use intertrunk_proto::ask::{
    AttemptFacts, Cause, HeaderField, PolicyFault, Query, Verdict, WhenExhausted,
};
use serde::Serialize;

use crate::decision::{Decision, Played, Reply};
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

/// How often a policy is asked again whose plans name only trunks that are down.
const ASKED_AGAIN_MAX: u32 = 8;

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
    /// Decisions about calls that would not have come: from a trunk that is down.
    pub absent: u64,
    /// Trunks that are down and that none of the decisions has to do with: perhaps nobody has that name.
    pub uninvolved: Vec<String>,
}

/// What is otherwise than it was when the decisions were made; nothing by default.
#[derive(Clone, Default)]
pub struct Otherwise {
    /// In place of the recorded settings.
    pub settings: Option<String>,
    /// In place of what the tables said then.
    pub tables: Option<Arc<dyn Tables>>,
    /// Names of trunks that are down: policies are told so, no call goes there, and none comes from there.
    pub down: Arc<[String]>,
}

/// An instance with its settings, and the headers that it reads with them.
struct Configured {
    instance: Instance,
    headers: Vec<String>,
}

/// Decides recorded decisions again.
pub struct Replay {
    program: Program,
    otherwise: Otherwise,
    isolation: Isolation,
    policy: Option<String>,
    /// The settings of each generation, by policy and number.
    generations: HashMap<(String, u64), Arc<GenerationEntry>>,
    /// The instance of each settings.
    instances: HashMap<Arc<str>, Configured>,
    comparing: Comparing,
    skipped: u64,
    absent: u64,
    /// Of the trunks that are down, those that a decision had to do with.
    involved: HashSet<String>,
}

impl Replay {
    /// Makes ready to decide with `wasm`, and only decisions of `policy` if one is named.
    ///
    /// # Errors
    /// What is wrong with the module.
    pub fn new(
        engine: &Engine,
        wasm: &[u8],
        otherwise: Otherwise,
        policy: Option<String>,
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
            otherwise,
            isolation,
            policy,
            generations: HashMap::new(),
            instances: HashMap::new(),
            comparing: Comparing::default(),
            skipped: 0,
            absent: 0,
            involved: HashSet::new(),
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
        let down = self.otherwise.down.iter();
        let uninvolved: BTreeSet<_> = down.filter(|it| !self.involved.contains(*it)).collect();
        Replayed {
            sha256: self.program.sha256.clone(),
            comparison: self.comparing.result(),
            skipped: self.skipped,
            absent: self.absent,
            uninvolved: uninvolved.into_iter().cloned().collect(),
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
        self.note_involved(&decision);
        let is_down = |trunk| self.otherwise.down.contains(trunk);
        let by_one_down = match &decision.query.cause {
            Cause::Transferred(transfer) => is_down(&transfer.by),
            _ => false,
        };
        if by_one_down || is_down(&decision.query.call.ingress) {
            self.absent += 1;
            return Ok(());
        }
        let key = (decision.policy, decision.generation);
        let generation = self.generations.get(&key).cloned();
        let settings: Arc<str> = match (&self.otherwise.settings, &generation) {
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
        let world = Played::new(decision.replies).with_down(&self.otherwise.down);
        let world = Arc::new(world);
        if self.otherwise.tables.is_none() {
            configured.instance.read(Arc::clone(&world) as _);
        }
        let instance = &mut configured.instance;
        let mut outcome = decide_again(instance, &query, &world, DEADLINE);
        let mut asked_again = 0;
        while let Some(again) = self.without_down(&mut outcome)
            && asked_again < ASKED_AGAIN_MAX
        {
            asked_again += 1;
            (query.cause, query.cookie) = again;
            outcome = decide_again(instance, &query, &world, DEADLINE);
        }
        let is_good = outcome.is_ok();
        let unknown = world.unknown().or(missing);
        self.comparing
            .add(&query, &then, &outcome, unknown.as_deref());
        if is_good && self.isolation == Isolation::Warm {
            self.instances.insert(settings, configured);
        }
        Ok(())
    }

    /// Notes a trunk that a decision has to do with.
    fn involve(&mut self, trunk: &String) {
        if self.otherwise.down.contains(trunk) && !self.involved.contains(trunk) {
            self.involved.insert(trunk.clone());
        }
    }

    /// Notes the trunks that a decision had to do with when it was made.
    fn note_involved(&mut self, decision: &Decision) {
        self.involve(&decision.query.call.ingress);
        if let Cause::Transferred(transfer) = &decision.query.cause {
            self.involve(&transfer.by);
        }
        for reply in &decision.replies {
            let told = match reply {
                Reply::Trunk(_, trunk) => trunk.as_slice(),
                Reply::Trunks(all) => all,
                _ => &[],
            };
            told.iter().for_each(|it| self.involve(&it.name));
        }
        if let Ok(Verdict::Connect(plan)) = &decision.outcome {
            plan.candidates
                .iter()
                .for_each(|it| self.involve(&it.trunk));
        }
    }

    /// Takes the places that are down out of a plan. If none is left and the policy wants to be asked again
    /// then, why and with which cookie.
    fn without_down(
        &mut self,
        outcome: &mut Result<Verdict, PolicyFault>,
    ) -> Option<(Cause, Vec<u8>)> {
        let Ok(Verdict::Connect(plan)) = outcome else {
            return None;
        };
        let mut failed = Vec::new();
        plan.candidates.retain(|it| {
            let is_down = self.otherwise.down.contains(&it.trunk);
            if is_down {
                failed.push(AttemptFacts {
                    trunk: it.trunk.clone(),
                    code: 503,
                    ..AttemptFacts::default()
                });
            }
            !is_down
        });
        failed.iter().for_each(|it| self.involve(&it.trunk));
        let asks_again = plan.candidates.is_empty()
            && !failed.is_empty()
            && plan.when_exhausted == WhenExhausted::AskAgain;
        asks_again.then(|| (Cause::Exhausted(failed), std::mem::take(&mut plan.cookie)))
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
        let tables = self.otherwise.tables.clone().unwrap_or(then);
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
