//! Runs stored cases in the production engine, as the gate before a generation may go live and for
//! `intertrunk policy test`.
//!
//! The file format and the comparison belong to `intertrunk-cases`; here its neutral facts become a
//! query and a world, and a verdict becomes an outcome. The guest SDK does the same natively.

use std::collections::BTreeMap;
use std::sync::Arc;

use intertrunk_cases::{self as stored, Case, CaseReport, Facts, Outcome, Suite};
use intertrunk_proto::ask::{
    Answered, AttemptFacts, CallFacts, Candidate, Cause, HeaderField, NoAnswer, Param, Party,
    PolicyFault, Privacy, Query, Scheme, Transfer, Verdict,
};
use intertrunk_proto::trunk::{Health, TrunkKind};

use crate::engine::Engine;
use crate::fault::LoadFault;
use crate::instance::Instance;
use crate::options::Options;
use crate::program::Program;
use crate::world::{Row, Tables, TrunkFacts, World};

/// Decides all cases of `suites` with the module `wasm`, which is granted all trunks and tables.
/// Suites without settings of their own have it configured with `config`.
///
/// # Errors
/// What is wrong with the module or the settings. A case that differs is no error: see
/// [`CaseReport::passed`].
pub fn run(
    engine: &Engine,
    wasm: &[u8],
    config: &str,
    suites: &[Suite],
) -> Result<Vec<CaseReport>, LoadFault> {
    let options = Options {
        tables: vec!["*".to_owned()],
        ..Options::default()
    };
    decide_all(&Program::load(engine, wasm, &options)?, config, suites)
}

/// Decides all cases with a program.
pub(crate) fn decide_all(
    program: &Program,
    config: &str,
    suites: &[Suite],
) -> Result<Vec<CaseReport>, LoadFault> {
    let mut reports = Vec::new();
    for suite in suites {
        let run = Run::new(program, suite, config);
        let mut instance = run.configured()?;
        for case in &suite.cases {
            let (outcome, because) = run.decide(case, &mut instance)?;
            reports.push(suite.report(case, outcome, because));
        }
    }
    Ok(reports)
}

/// One suite being run.
pub(crate) struct Run<'a> {
    program: &'a Program,
    suite: &'a Suite,
    settings: &'a str,
    tables: Arc<dyn Tables>,
}

impl<'a> Run<'a> {
    pub fn new(program: &'a Program, suite: &'a Suite, config: &'a str) -> Run<'a> {
        Run {
            program,
            suite,
            settings: suite.config.as_deref().unwrap_or(config),
            tables: Arc::new(Stored(suite.tables.clone())),
        }
    }

    pub fn suite(&self) -> &Suite {
        self.suite
    }

    /// An instance that has decided nothing.
    pub fn configured(&self) -> Result<Instance, LoadFault> {
        self.instance(&self.world(self.suite.trunks.clone()))
    }

    /// What is decided, and why. After a fault the instance is another one.
    pub fn decide(
        &self,
        case: &Case,
        instance: &mut Instance,
    ) -> Result<(Outcome, Vec<String>), LoadFault> {
        let world = self.world(self.suite.trunks_of(case));
        let mut facts = case.facts();
        instance.arm(self.program.options.configure_deadline);
        facts.keep_headers(&instance.headers()?);
        let query = query(facts);
        let mut verdict = self.ask(instance, &query, &world);
        // One that ran out of time may have been held up by a busy machine; a second time it is
        // its own doing. Any fault leaves the instance unusable.
        if verdict == Err(PolicyFault::Timeout) {
            *instance = self.instance(&world)?;
            verdict = self.ask(instance, &query, &world);
        }
        let because = instance.take_because();
        if verdict.is_err() {
            *instance = self.instance(&world)?;
        }
        Ok((outcome(verdict), because))
    }

    fn ask(
        &self,
        instance: &mut Instance,
        query: &Query,
        world: &Arc<dyn World>,
    ) -> Result<Verdict, PolicyFault> {
        instance.arm(self.program.options.deadline);
        instance.decide(query, world)
    }

    fn instance(&self, world: &Arc<dyn World>) -> Result<Instance, LoadFault> {
        self.program.configured(
            self.settings,
            world,
            &self.tables,
            self.program.options.configure_deadline,
        )
    }

    fn world(&self, trunks: Vec<stored::TrunkFixture>) -> Arc<dyn World> {
        let trunks = trunks.into_iter().map(trunk).collect();
        Arc::new(Fixture {
            trunks,
            tables: Arc::clone(&self.tables),
        })
    }
}

/// The world of one case.
struct Fixture {
    trunks: Vec<TrunkFacts>,
    tables: Arc<dyn Tables>,
}

impl World for Fixture {
    fn trunk(&self, name: &str) -> Option<TrunkFacts> {
        self.trunks.iter().find(|trunk| trunk.name == name).cloned()
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        self.trunks.clone()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::clone(&self.tables)
    }
}

/// The tables of one suite.
struct Stored(BTreeMap<String, stored::Table>);

impl Tables for Stored {
    fn exact(&self, table: &str, key: &str) -> Option<Row> {
        self.0.get(table)?.exact(key).map(row)
    }

    fn longest_prefix(&self, table: &str, key: &str) -> Option<Row> {
        self.0.get(table)?.longest_prefix(key).map(row)
    }

    fn prefixes(&self, table: &str, key: &str) -> Vec<Row> {
        let rows = self.0.get(table).map(|table| table.prefixes(key));
        rows.unwrap_or_default().into_iter().map(row).collect()
    }
}

fn trunk(trunk: stored::TrunkFixture) -> TrunkFacts {
    TrunkFacts {
        name: trunk.name,
        kind: match trunk.kind {
            stored::TrunkKind::Pbx => TrunkKind::Pbx,
            stored::TrunkKind::Pstn => TrunkKind::Pstn,
            stored::TrunkKind::Sbc => TrunkKind::Sbc,
        },
        site: trunk.site,
        tags: trunk.tags,
        health: match trunk.health {
            stored::Health::Up => Health::Up,
            stored::Health::Degraded => Health::Degraded,
            stored::Health::Down => Health::Down,
            stored::Health::Disabled => Health::Disabled,
        },
        active: trunk.active,
        limit: trunk.limit,
        answered_permille: trunk.answered_permille,
        pdd_ms: trunk.pdd_ms,
    }
}

fn row(row: stored::Row) -> Row {
    Row {
        key: row.key,
        columns: row.columns,
    }
}

fn query(facts: Facts) -> Query {
    let header = |(name, value)| HeaderField { name, value };
    Query {
        call: CallFacts {
            id: facts.call_id,
            ingress: facts.ingress,
            request_uri: party(facts.request_uri),
            caller: party(facts.caller),
            callee: party(facts.callee),
            asserted: facts.asserted.into_iter().map(party).collect(),
            diverted: facts.diverted.into_iter().map(party).collect(),
            privacy: match facts.privacy {
                stored::Privacy::None => Privacy::None,
                stored::Privacy::User => Privacy::User,
                stored::Privacy::Full => Privacy::Full,
            },
            source: facts.source,
            emergency: facts.emergency,
            hops_left: facts.hops_left,
            headers: facts.headers.into_iter().map(header).collect(),
            extra: Vec::new(),
        },
        cause: cause(facts.cause),
        cookie: facts.cookie,
        unix_ms: facts.unix_ms,
        seed: facts.seed,
        explain: true,
    }
}

fn cause(cause: stored::Cause) -> Cause {
    let attempt = |it: stored::Attempt| AttemptFacts {
        trunk: it.trunk,
        peer: it.peer,
        code: it.code,
        q850: None,
        progressed: it.progressed,
        elapsed_ms: it.elapsed_ms,
    };
    let answered = |it: stored::Answered| Answered {
        source: it.source,
        key: it.key,
        outcome: it.answer.ok_or(NoAnswer::Failed),
    };
    match cause {
        stored::Cause::NewCall => Cause::NewCall,
        stored::Cause::Exhausted(failed) => {
            Cause::Exhausted(failed.into_iter().map(attempt).collect())
        }
        stored::Cause::Redirected(targets) => {
            Cause::Redirected(targets.into_iter().map(party).collect())
        }
        stored::Cause::Transferred {
            by,
            target,
            replaces,
        } => Cause::Transferred(Transfer {
            by,
            target: party(target),
            replaces,
        }),
        stored::Cause::Answered(answers) => {
            Cause::Answered(answers.into_iter().map(answered).collect())
        }
    }
}

fn party(party: stored::Party) -> Party {
    let param = |it: stored::Param| Param {
        name: it.name,
        value: it.value,
    };
    Party {
        display: party.display,
        scheme: match party.scheme {
            stored::Scheme::Sip => Scheme::Sip,
            stored::Scheme::Sips => Scheme::Sips,
            stored::Scheme::Tel => Scheme::Tel,
            stored::Scheme::Other => Scheme::Other,
        },
        user: party.user,
        host: party.host,
        params: party.params.into_iter().map(param).collect(),
    }
}

fn outcome(verdict: Result<Verdict, PolicyFault>) -> Outcome {
    match verdict {
        Ok(Verdict::Connect(plan)) => Outcome::Connect {
            candidates: plan.candidates.into_iter().map(candidate).collect(),
            tags: plan
                .tags
                .into_iter()
                .map(|tag| (tag.name, tag.value))
                .collect(),
        },
        Ok(Verdict::Reject(rejection)) => Outcome::Reject(rejection.code),
        Ok(Verdict::Redirect(targets)) => Outcome::Redirect(targets.into_iter().map(uri).collect()),
        Ok(Verdict::Inquire(inquiry)) => {
            let look_ups = inquiry.look_ups.into_iter();
            let look_up = |it: intertrunk_proto::ask::LookUp| stored::LookUp {
                source: it.source,
                key: it.key,
            };
            Outcome::Inquire(look_ups.map(look_up).collect())
        }
        Ok(Verdict::Pass) => Outcome::Pass,
        Err(fault) => Outcome::Fault(fault.to_string()),
    }
}

fn candidate(candidate: Candidate) -> stored::OutcomeCandidate {
    let (caller, caller_name) = candidate
        .caller
        .map_or((None, None), |it| (Some(it.user), it.display));
    let mut extra = candidate.extra.into_iter();
    stored::OutcomeCandidate {
        price: extra.find(|it| it.name == "price").and_then(|it| it.value),
        trunk: candidate.trunk,
        callee: candidate.callee,
        caller,
        caller_name,
        withhold: candidate.withhold_caller,
        headers: candidate
            .set_headers
            .into_iter()
            .map(|it| (it.name, it.value))
            .collect(),
        removed: candidate.remove_headers,
        group: candidate.group,
    }
}

/// As the neutral form writes it.
fn uri(party: Party) -> String {
    let param = |it: Param| stored::Param {
        name: it.name,
        value: it.value,
    };
    let neutral = stored::Party {
        display: None,
        scheme: match party.scheme {
            Scheme::Sip => stored::Scheme::Sip,
            Scheme::Sips => stored::Scheme::Sips,
            Scheme::Tel => stored::Scheme::Tel,
            Scheme::Other => stored::Scheme::Other,
        },
        user: party.user,
        host: party.host,
        params: party.params.into_iter().map(param).collect(),
    };
    neutral.to_string()
}
