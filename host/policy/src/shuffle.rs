//! Does a policy carry anything from one call to the next? It must not: an instance decides many
//! calls, and may be thrown away between any two.
//!
//! Each case is decided by an instance of its own, which nothing can have reached. Then all of a
//! file are decided by one instance, in one random order after another. Who decides otherwise then
//! remembers something.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use intertrunk_cases::{Outcome, Suite};
use intertrunk_proto::Rng;
use serde::Serialize;

use crate::cases::Run;
use crate::engine::Engine;
use crate::fault::LoadFault;
use crate::options::Options;
use crate::program::Program;

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Shuffled {
    /// Gives the same orders again.
    pub seed: u64,
    /// Orders tried.
    pub rounds: u32,
    /// Cases that were decided otherwise, once each.
    pub leaks: Vec<Leak>,
}

/// A case whose outcome depends on what was decided before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Leak {
    /// The case file.
    pub suite: PathBuf,
    /// Line of the case in it, counted from 1.
    pub line: usize,
    /// Name of the case.
    pub name: String,
    /// What a fresh instance decides.
    pub fresh: String,
    /// What was decided once.
    pub otherwise: String,
    /// The case before it then; `None`: it was the first, and differed all the same.
    pub after: Option<String>,
    /// In how many of the orders it was decided otherwise.
    pub rounds: u32,
}

/// Decides the cases of `suites` in `rounds` random orders.
///
/// # Errors
/// What is wrong with the module or the settings.
pub fn run(
    engine: &Engine,
    wasm: &[u8],
    config: &str,
    suites: &[Suite],
    seed: u64,
    rounds: u32,
) -> Result<Shuffled, LoadFault> {
    let options = Options {
        tables: vec!["*".to_owned()],
        ..Options::default()
    };
    let program = Program::load(engine, wasm, &options)?;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = Rng::new(bytes);
    let mut leaks = Vec::new();
    for suite in suites {
        let of_suite = leaks_of(&Run::new(&program, suite, config), rounds, &mut rng)?;
        leaks.extend(of_suite);
    }
    Ok(Shuffled {
        seed,
        rounds,
        leaks,
    })
}

fn leaks_of(run: &Run<'_>, rounds: u32, rng: &mut Rng) -> Result<Vec<Leak>, LoadFault> {
    let cases = &run.suite().cases;
    let mut fresh = Vec::with_capacity(cases.len());
    for case in cases {
        fresh.push(run.decide(case, &mut run.configured()?)?.0);
    }
    let mut leaks: BTreeMap<usize, Leak> = BTreeMap::new();
    let mut order: Vec<usize> = (0..cases.len()).collect();
    for _ in 0..rounds {
        shuffle(&mut order, rng);
        let mut instance = run.configured()?;
        let mut before = None;
        for &at in &order {
            let (outcome, _) = run.decide(&cases[at], &mut instance)?;
            if outcome != fresh[at] {
                let (was, is) = told_apart(&fresh[at], &outcome);
                let leak = leaks.entry(at).or_insert_with(|| Leak {
                    suite: run.suite().path.clone(),
                    line: cases[at].line,
                    name: cases[at].name.clone(),
                    fresh: was,
                    otherwise: is,
                    after: before.map(|before: usize| cases[before].name.clone()),
                    rounds: 0,
                });
                leak.rounds += 1;
            }
            before = Some(at);
        }
    }
    Ok(leaks.into_values().collect())
}

/// Both in few words, or in many where few do not tell them apart.
fn told_apart(fresh: &Outcome, other: &Outcome) -> (String, String) {
    let (short, other_short) = (fresh.to_string(), other.to_string());
    if short == other_short {
        (format!("{fresh:?}"), format!("{other:?}"))
    } else {
        (short, other_short)
    }
}

/// Fisher and Yates.
fn shuffle(order: &mut [usize], rng: &mut Rng) {
    for last in (1..order.len()).rev() {
        let among = last as u64 + 1;
        let drawn = usize::try_from(rng.next_u64() % among).expect("it is below a usize");
        order.swap(last, drawn);
    }
}

impl fmt::Display for Shuffled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for leak in &self.leaks {
            writeln!(f, "{leak}")?;
        }
        let Shuffled { seed, rounds, .. } = self;
        write!(f, "{rounds} random orders of seed {seed}: ")?;
        match self.leaks.len() {
            0 => f.write_str("nothing is carried from call to call"),
            leaks => write!(f, "{leaks} cases depend on the calls before"),
        }
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (suite, line) = (self.suite.display(), self.line);
        let after = self.after.as_deref().unwrap_or("nothing");
        write!(
            f,
            "LEAKS   {} ({suite}:{line})\n  in an instance of its own  {}\n  \
             once after \"{after}\"  {}",
            self.name, self.fresh, self.otherwise
        )
    }
}

impl Shuffled {
    /// Whether no case depends on what was decided before.
    pub fn passed(&self) -> bool {
        self.leaks.is_empty()
    }
}
