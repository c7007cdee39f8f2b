//! What the tests share: guests built once per run, a small world, and questions.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use intertrunk_policy::{Engine, Options, Row, Runner, Slot, Tables, TrunkFacts, World, build};
use intertrunk_proto::ask::{Answer, Party, Pin, Query, Verdict};
use intertrunk_proto::trunk::{Health, TrunkKind};

/// The engine of all tests.
pub static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().unwrap());

pub static EXTENSIONS: LazyLock<Vec<u8>> = LazyLock::new(|| built("extensions"));
pub static STANDARD: LazyLock<Vec<u8>> = LazyLock::new(|| built("intertrunk-standard"));
/// Misbehaves as the called user says; `sane` is routed to `gw-a`.
pub static HOSTILE: LazyLock<Vec<u8>> = LazyLock::new(|| built("hostile"));

/// The folder of a policy.
pub fn folder(policy: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../policies")
        .join(policy)
}

fn built(policy: &str) -> Vec<u8> {
    build::build(&folder(policy), None)
        .unwrap_or_else(|fault| panic!("{policy}: {fault}"))
        .bytes
}

/// Two PBXes and two gateways, all up, and a table `lcr`.
pub fn world() -> Arc<dyn World> {
    Arc::new(Lab)
}

struct Lab;

impl World for Lab {
    fn trunk(&self, name: &str) -> Option<TrunkFacts> {
        self.trunks().into_iter().find(|trunk| trunk.name == name)
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        let trunk = |(name, kind): (&str, TrunkKind)| TrunkFacts {
            name: name.to_owned(),
            kind,
            site: None,
            tags: Vec::new(),
            health: Health::Up,
            active: 0,
            limit: None,
            answered_permille: 1000,
            pdd_ms: 0,
        };
        let (pbx, pstn) = (TrunkKind::Pbx, TrunkKind::Pstn);
        [
            ("pbx-a", pbx),
            ("pbx-b", pbx),
            ("gw-a", pstn),
            ("gw-b", pstn),
        ]
        .map(trunk)
        .into()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::new(Lab)
    }
}

impl Tables for Lab {
    fn exact(&self, table: &str, key: &str) -> Option<Row> {
        let is_there = table == "lcr" && key == "+44";
        is_there.then(|| Row {
            key: key.to_owned(),
            columns: vec!["gw-b".to_owned()],
        })
    }

    fn longest_prefix(&self, table: &str, key: &str) -> Option<Row> {
        key.starts_with("+44").then(|| self.exact(table, "+44"))?
    }

    fn prefixes(&self, table: &str, key: &str) -> Vec<Row> {
        self.longest_prefix(table, key).into_iter().collect()
    }
}

/// The usual bounds, but for a deadline that a test machine, however busy, does not exceed.
pub fn options() -> Options {
    Options {
        deadline: Duration::from_secs(5),
        ..Options::default()
    }
}

/// A live slot named `main` with this module.
pub fn live(wasm: &[u8], config: &str, options: Options) -> Slot {
    let slot = Slot::new(&ENGINE, "main", options);
    slot.stage(wasm, config, &world(), &[])
        .unwrap_or_else(|fault| panic!("{fault}"));
    slot.promote().unwrap();
    slot
}

/// A new call from `pbx-a` to `number`, to be explained.
pub fn query(number: &str) -> Query {
    let mut query = Query {
        explain: true,
        ..Query::default()
    };
    query.call.id = "0000000000000001".to_owned();
    query.call.ingress = "pbx-a".to_owned();
    query.call.callee = Party {
        user: number.to_owned(),
        host: "example.com".to_owned(),
        ..Party::default()
    };
    query
}

/// Asks about a call to `number`.
pub fn ask(runner: &mut Runner, slot: &Slot, pin: Option<&Pin>, number: &str) -> Answer {
    runner.decide(slot, pin, &mut query(number), None, &world())
}

/// The trunks of a plan, in order.
pub fn trunks(answer: &Answer) -> Vec<&str> {
    match &answer.outcome {
        Ok(Verdict::Connect(plan)) => plan.candidates.iter().map(|it| it.trunk.as_str()).collect(),
        other => panic!("no plan but {other:?}"),
    }
}

/// The value of a plan's tag.
pub fn tag<'a>(answer: &'a Answer, name: &str) -> &'a str {
    match &answer.outcome {
        Ok(Verdict::Connect(plan)) => &plan.tags.iter().find(|it| it.name == name).unwrap().value,
        other => panic!("no plan but {other:?}"),
    }
}
