//! What one decision costs, warm and on a fresh instance, in microseconds.
//!
//! `cargo run --release -p intertrunk-policy --example decision_cost`, or without `--release` for
//! a figure without another build of wasmtime. Each figure is the median of many decisions, with
//! the tenth and the ninetieth percentile. With the path of a module and a number to call, it measures
//! that module, without settings.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use intertrunk_policy::{
    Engine, Isolation, Options, Row, Runner, Slot, Tables, TrunkFacts, World, build,
};
use intertrunk_proto::ask::{Param, Party, Query};
use intertrunk_proto::trunk::{Health, TrunkKind};

/// That of the host.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [module, number] = &arguments[..] {
        return measure_module(module, &std::fs::read(module)?, "", number);
    }
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let standard = policies.join("intertrunk-standard");
    let dialplan = std::fs::read_to_string(standard.join("dialplan.toml"))?;
    measure(
        "the smallest policy",
        &policies.join("extensions"),
        "",
        "+12065550123",
    )?;
    measure("the standard policy", &standard, &dialplan, "912065550123")?;
    for routes in [1_000, 100_000] {
        let name = format!("the standard policy with {routes} routes");
        measure(&name, &standard, &many_routes(routes), "92065550123")?;
    }
    Ok(())
}

/// A dial plan with this many routes by prefix, for calls that are also translated.
fn many_routes(routes: usize) -> String {
    let mut text = String::from(
        r#"
[[normalize]]
called = [{ match = '^9(\d{10})$', to = '+1$1' }]
calling = [{ match = '^(\d{4})$', to = '+1425555$1' }]
[[translate]]
trunk = "gw-b"
strip_plus = true
"#,
    );
    for route in 0..routes {
        let (area, office) = (200 + route % 800, route / 800);
        text += &format!(
            "[[route]]\nname = \"{route}\"\nprefix = \"+1{area}{office:03}\"\n\
             to = [\"gw-a\", \"gw-b\"]\n"
        );
    }
    // Whatever the number of routes, the one of the call is there.
    text + "[[route]]\nname = \"last\"\nprefix = \"+1206555\"\nto = [\"gw-a\", \"gw-b\"]\n"
}

fn measure(
    name: &str,
    folder: &Path,
    settings: &str,
    number: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    measure_module(name, &build::build(folder, None)?.bytes, settings, number)
}

fn measure_module(
    name: &str,
    module: &[u8],
    settings: &str,
    number: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::new()?;
    let world: Arc<dyn World> = Arc::new(Lab);
    let timed_live = |isolation| {
        let started = Instant::now();
        let slot = live(&engine, module, settings, isolation, &world);
        slot.map(|slot| (slot, started.elapsed().as_millis()))
    };
    let (warm, compile_ms) = timed_live(Isolation::Warm)?;
    let again = Instant::now();
    // Settings that take too long to read for each decision are refused.
    let fresh = timed_live(Isolation::Call).ok();
    let again_ms = again.elapsed().as_millis();
    println!(
        "{name}: {} bytes, staged in {compile_ms} ms, again in {again_ms} ms",
        module.len()
    );

    let mut runner = Runner::new(&engine);
    let plain = query(number, 0, false);
    let base = report("warm", 20_000, || {
        decide(&mut runner, &warm, &plain, &world)
    });
    for (name, query) in [
        ("warm, explained", query(number, 0, true)),
        ("warm, 24 strings more", query(number, 12, false)),
    ] {
        let cost = report(name, 20_000, || decide(&mut runner, &warm, &query, &world));
        println!("{:>26}{:.2} × warm", "", cost / base);
    }
    let Some((fresh, _)) = fresh else {
        println!("  fresh                   refused: `configure` takes too long");
        return Ok(());
    };
    let cost = report("fresh", 500, || decide(&mut runner, &fresh, &plain, &world));
    println!("{:>26}{:.2} × warm", "", cost / base);
    Ok(())
}

fn live(
    engine: &Engine,
    module: &[u8],
    dialplan: &str,
    isolation: Isolation,
    world: &Arc<dyn World>,
) -> Result<Slot, Box<dyn std::error::Error>> {
    let options = Options {
        isolation,
        // Half of it is what `configure` may take, or no fresh instance is made for a decision.
        deadline: Duration::from_millis(200),
        configure_deadline: Duration::from_secs(60),
        memory_bytes: 512 << 20,
        ..Options::default()
    };
    let slot = Slot::new(engine, "standard", options);
    slot.stage(module, dialplan, world, &[])?;
    slot.promote()?;
    Ok(slot)
}

fn decide(runner: &mut Runner, slot: &Slot, query: &Query, world: &Arc<dyn World>) -> Duration {
    let mut query = query.clone();
    let started = Instant::now();
    let answer = runner.decide(slot, None, &mut query, None, world);
    let elapsed = started.elapsed();
    assert!(answer.outcome.is_ok(), "{:?}", answer.outcome);
    elapsed
}

/// Prints the percentiles of `n` costs, and returns the median in microseconds.
fn report(name: &str, n: usize, mut cost: impl FnMut() -> Duration) -> f64 {
    (0..n / 10).for_each(|_| {
        cost();
    });
    let mut costs: Vec<f64> = (0..n).map(|_| cost().as_secs_f64() * 1e6).collect();
    costs.sort_by(f64::total_cmp);
    let [low, median, high] = [n / 10, n / 2, n * 9 / 10].map(|rank| costs[rank]);
    println!("  {name:<24}{median:.2} µs ({low:.2} to {high:.2})");
    median
}

/// A call from an extension to `number`, with `params` more URI parameters.
fn query(number: &str, params: usize, explain: bool) -> Query {
    let party = |user: &str| Party {
        user: user.to_owned(),
        host: "pbx-a.example.com".to_owned(),
        ..Party::default()
    };
    let mut query = Query {
        explain,
        unix_ms: 1_767_614_400_000,
        seed: 1,
        ..Query::default()
    };
    let call = &mut query.call;
    call.id = "0000000000000001".to_owned();
    call.ingress = "pbx-a".to_owned();
    call.source = "192.0.2.1:5060".to_owned();
    call.hops_left = 70;
    call.caller = party("0100");
    call.callee = party(number);
    call.request_uri = party(number);
    let param = |n| Param {
        name: format!("x-{n}"),
        value: Some("12065550123".to_owned()),
    };
    call.extra = (0..params).map(param).collect();
    query
}

/// Two PBXes and two gateways.
struct Lab;

impl World for Lab {
    fn trunk(&self, name: &str) -> Option<TrunkFacts> {
        self.trunks().into_iter().find(|trunk| trunk.name == name)
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        let trunk = |name: &str| TrunkFacts {
            name: name.to_owned(),
            kind: TrunkKind::Pbx,
            site: None,
            tags: Vec::new(),
            health: Health::Up,
            active: 0,
            limit: None,
            answered_permille: 1000,
            pdd_ms: 0,
        };
        ["pbx-a", "pbx-b", "gw-a", "gw-b"].map(trunk).into()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::new(Lab)
    }
}

impl Tables for Lab {
    fn exact(&self, _: &str, _: &str) -> Option<Row> {
        None
    }

    fn longest_prefix(&self, _: &str, _: &str) -> Option<Row> {
        None
    }

    fn prefixes(&self, _: &str, _: &str) -> Vec<Row> {
        Vec::new()
    }
}
