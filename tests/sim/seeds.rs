//! Random worlds: every seed is a few calls through bad weather, with every rule checked.
//!
//! `INTERTRUNK_SIM_SEEDS=20000` runs more of them, `INTERTRUNK_SIM_SEED=17` runs one and prints its
//! ladder.

use std::collections::BTreeMap;
use std::env;
use std::panic::catch_unwind;
use std::time::Duration;

use intertrunk_proto::trunk::{
    Balance, Breaker, Health, HealthRules, Options, Quality, Rate, Redirects, Soak, Trunk,
};
use intertrunk_proto::{Event, Input, Limits, Rng, TrunkId};
use sim::reference::Reference;
use sim::reference::transfers::Transfers;
use sim::ua::random_renegotiation;
use sim::world::{TRUNKS, seed_bytes};
use sim::{Errand, Mood, Weather, World, ms, rules};

/// What repeats one world.
const AGAIN: &str = "INTERTRUNK_SIM_SEED=";
const TEST: &str = "cargo test -p intertrunk-tests --test seeds -- --nocapture";

/// Worlds of an ordinary test run.
const SEEDS: u64 = 300;

/// K2, K3, K7, K8, K12, S6, B13: whatever is lost, late or repeated, no call is left, nobody believes to be in
/// one that is over, and each message is legal.
#[test]
fn random_worlds_keep_every_rule() {
    let number = |name| env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let one = number("INTERTRUNK_SIM_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("INTERTRUNK_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        let run = catch_unwind(|| {
            let (mut world, weather) = random_world(seed, Callers::Plain);
            let broken = rules::settle(&mut world);
            (world, weather, broken)
        });
        let Ok((world, weather, broken)) = run else {
            panic!("seed {seed} panics; again: {AGAIN}{seed} {TEST} random_worlds");
        };
        if one.is_some() {
            println!("seed {seed}, {weather:?}\n{}", world.ladder.join("\n"));
        }
        assert!(
            broken.is_empty(),
            "seed {seed}, {weather:?}\n{}\n\n{}\n\nagain: {AGAIN}{seed} {TEST} random_worlds",
            world.ladder[world.ladder.len().saturating_sub(150)..].join("\n"),
            broken.join("\n"),
        );
        seen.look(&world);
    }
    println!("{} worlds: {seen:?}", seeds.end - seeds.start);
    if one.is_none() {
        seen.assert_varied();
    }
}

/// K3, K9, K10: the same with callers that take 18x reliably, or no others, and session timers of
/// which some are never refreshed. What waits for a PRACK comes when that comes, which the reference
/// model does not know; the user agents do.
#[test]
fn reliable_worlds_keep_every_rule() {
    let number = |name| env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds = match number("INTERTRUNK_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("INTERTRUNK_SIM_SEEDS").unwrap_or(SEEDS / 2),
    };
    for seed in seeds {
        let (mut world, weather) = random_world(seed, Callers::Reliable);
        let broken = rules::settle(&mut world);
        assert!(
            broken.is_empty(),
            "seed {seed}, {weather:?}\n{}\n\n{}\n\nagain: {AGAIN}{seed} {TEST} reliable_worlds",
            world.ladder[world.ladder.len().saturating_sub(150)..].join("\n"),
            broken.join("\n"),
        );
    }
}

/// K14: the same with parties that transfer their calls, blind and attended, that are transferred by the
/// host or by themselves, and with INVITEs that take the place of a dialog, be it up or ringing.
#[test]
fn transferring_worlds_keep_every_rule() {
    let number = |name| env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let one = number("INTERTRUNK_SIM_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("INTERTRUNK_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let (mut codes, mut passed_on, mut taken) = (BTreeMap::new(), 0, [0; 2]);
    for seed in seeds {
        let run = catch_unwind(|| {
            let (mut world, weather) = random_world(seed, Callers::Transferring);
            let broken = rules::settle(&mut world);
            (world, weather, broken)
        });
        let Ok((world, weather, broken)) = run else {
            panic!("seed {seed} panics; again: {AGAIN}{seed} {TEST} transferring_worlds");
        };
        assert!(
            broken.is_empty(),
            "seed {seed}, {weather:?}\n{}\n\n{}\n\nagain: {AGAIN}{seed} {TEST} transferring_worlds",
            world.ladder[world.ladder.len().saturating_sub(150)..].join("\n"),
            broken.join("\n"),
        );
        let transfers = world.transfers.expect("it was there");
        passed_on += transfers.passed_on;
        for (n, of_world) in taken.iter_mut().zip(transfers.newcomers_taken) {
            *n += of_world;
        }
        for (code, n) in transfers.codes {
            *codes.entry(code).or_insert(0) += n;
        }
    }
    println!("transfers ended with {codes:?}, {passed_on} were passed on; {taken:?} newcomers");
    if one.is_none() {
        assert!(passed_on > 20 && taken.iter().all(|n| *n > 5), "too quiet");
        for code in [200, 487, 488, 491, 503] {
            assert!(
                codes.contains_key(&code),
                "no transfer ended with {code}: {codes:?}"
            );
        }
    }
}

#[test]
fn a_seed_is_one_world() {
    let run = |seed| {
        let (mut world, _) = random_world(seed, Callers::Plain);
        rules::settle(&mut world);
        world.ladder
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

/// Weather in which user agents give up, and datagrams that somebody has mangled. What they think
/// of each other is theirs; the host keeps its books and sends nothing illegal.
#[test]
fn storms_leave_nothing_behind() {
    let number = |name| env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds = match number("INTERTRUNK_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("INTERTRUNK_SIM_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let run = catch_unwind(|| {
            let mut world = storm(seed);
            let broken = rules::settle_host(&mut world);
            (world, broken)
        });
        let Ok((world, broken)) = run else {
            panic!("storm {seed} panics; again: {AGAIN}{seed} {TEST} storms");
        };
        assert!(
            broken.is_empty(),
            "storm {seed}\n{}\n\n{}\n\nagain: {AGAIN}{seed} {TEST} storms",
            world.ladder[world.ladder.len().saturating_sub(150)..].join("\n"),
            broken.join("\n"),
        );
    }
}

fn storm(seed: u64) -> World {
    let mut rng = Rng::new(seed_bytes(seed, 101));
    let mut pick = move |n: u64| rng.next_u64() % n;
    let weather = Weather {
        loss: pick(31),
        twice: pick(11),
        delay_ms: 1 + pick(300),
    };
    let mut world = World::new(seed, weather, Mood::Random);
    for agent in &mut world.uas {
        agent.manner = None;
    }
    for _ in 0..40 {
        if pick(5) == 0 {
            let errand = random_errand(&mut pick);
            let now = world.now;
            world.ua(TRUNKS[pick(4) as usize].0).place(&errand, now);
        }
        world.run(ms(pick(600)));
        disturb(&mut world, &mut pick);
        if !world.said.is_empty() {
            let mut bytes = world.said[pick(world.said.len() as u64) as usize].to_vec();
            mangle(&mut bytes, &mut pick);
            world.inject(TRUNKS[pick(4) as usize].2, bytes);
        }
    }
    world.input(Input::Resume);
    world
}

/// Does to a message what bad memory, bad code and bad people do.
fn mangle(bytes: &mut Vec<u8>, pick: &mut impl FnMut(u64) -> u64) {
    for _ in 0..pick(4) {
        let len = bytes.len() as u64;
        let (from, to) = (pick(len), pick(len));
        let piece = from.min(to) as usize..(from.max(to) as usize).min(from.min(to) as usize + 40);
        match pick(6) {
            0 => bytes.truncate(bytes.len() - piece.len()),
            1 => bytes[from as usize] ^= 1 << pick(8),
            2 => drop(bytes.drain(piece)),
            3 => bytes.extend_from_within(piece),
            4 => bytes[piece].fill(b'9'),
            _ => {
                let piece = bytes[piece].to_vec();
                bytes.splice(to as usize..to as usize, piece);
            }
        }
        if bytes.is_empty() {
            return;
        }
    }
}

/// What the callers of a world can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Callers {
    Plain,
    /// 100rel and session timers.
    Reliable,
    /// REFER and Replaces.
    Transferring,
}

fn random_world(seed: u64, callers: Callers) -> (World, Weather) {
    let mut rng = Rng::new(seed_bytes(seed, 100));
    let mut pick = move |n: u64| rng.next_u64() % n;
    let weather = match pick(4) {
        0 => Weather::default(),
        _ => Weather {
            loss: pick(16),
            twice: pick(11),
            delay_ms: 1 + pick(300),
        },
    };
    let trunks: fn(&mut Trunk) = match pick(8) {
        0 | 1 => |trunk| trunk.calls_out_max = Some(1),
        2 => |trunk| trunk.redirects = Redirects::Follow,
        3 => |trunk| trunk.transfers.takes_refer = trunk.name.ends_with('a'),
        4 => |trunk| trunk.transfers.takes_refer = true,
        5 | 6 => well_watched,
        _ => |_| {},
    };
    let mut world = World::with_trunks(seed, weather, Mood::Random, trunks);
    world.reference = (callers == Callers::Plain).then(Reference::default);
    world.transfers = (callers == Callers::Transferring).then(Transfers::default);
    if pick(5) == 0 {
        world.limits = few();
        world.reload();
    }
    for agent in &mut world.uas {
        agent.manner = None;
        agent.refers = callers == Callers::Transferring;
    }
    if pick(6) == 0 {
        world
            .unsendable
            .push(TRUNKS[3].2.parse().expect("a literal"));
    }
    for _ in 0..2 + pick(6) {
        let trunk = TRUNKS[pick(4) as usize].0;
        let mut errand = random_errand(&mut pick);
        if callers == Callers::Reliable {
            errand.headers = abilities(&mut pick);
        }
        if callers == Callers::Transferring {
            (errand.cancel, errand.early_bye) = (None, None);
            errand.refer = (pick(2) == 0).then(|| ms(pick(3_000)));
            errand.hang_up = Some(ms(2_000 + pick(8_000)));
        }
        let now = world.now;
        world.ua(trunk).place(&errand, now);
        world.run(ms(pick(2_500)));
        if callers == Callers::Transferring && pick(2) == 0 {
            replace_one(&mut world, trunk, &mut pick);
        }
        disturb(&mut world, &mut pick);
    }
    (world, weather)
}

/// Asked often, broken early, demoted soon, slow to come back, and called not too fast.
fn well_watched(trunk: &mut Trunk) {
    // All are this shard's.
    trunk.id = TrunkId(trunk.id.0 * 3 + 1);
    trunk.health = HealthRules {
        options: Some(Options {
            interval: Some(ms(2_000)),
            down_interval: ms(1_000),
            timeout: ms(700),
            down_after: 2,
            ..Options::default()
        }),
        breaker: Some(Breaker {
            failures: 2,
            retry: ms(3_000),
        }),
        quality: Some(Quality {
            window: ms(12_000),
            calls_min: 2,
            asr_min: Some(60),
            ner_min: None,
            pdd_max: None,
            acd_min: None,
        }),
        soak: Some(Soak {
            share: 50,
            good: 2,
            time: ms(10_000),
        }),
    };
    trunk.rates.both = Some(Rate {
        per_second: 1,
        burst: 2,
    });
    trunk.balance = Balance::LeastCalls;
}

/// A user agent wants the place of one of its dialogs, or of any that it was ever in.
fn replace_one(world: &mut World, trunk: &str, pick: &mut impl FnMut(u64) -> u64) {
    let now = world.now;
    let ua = world.ua(trunk);
    let known: Vec<String> = ua.sides.keys().filter_map(|id| ua.replaces(id)).collect();
    if known.is_empty() {
        return;
    }
    let named = known[pick(known.len() as u64) as usize].clone();
    let errand = Errand {
        hang_up: Some(ms(2_000 + pick(4_000))),
        headers: vec![("Replaces".to_owned(), named)],
        ..random_errand(pick)
    };
    ua.place(&errand, now);
    world.run(ms(pick(1_000)));
}

/// Bounds that are reached.
fn few() -> Limits {
    Limits {
        calls_max: 3,
        attempts_max: 2,
        asks_max: 2,
        early_dialogs_max: 2,
        relays_max: 1,
        ladder_steps_max: 8,
        ..Limits::default()
    }
}

/// What a caller's INVITE says that it can do.
fn abilities(pick: &mut impl FnMut(u64) -> u64) -> Vec<(String, String)> {
    let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut lines = match pick(4) {
        0 => vec![line("Require", "100rel"), line("Supported", "timer")],
        1 => vec![line("Supported", "timer")],
        _ => vec![line("Supported", "100rel, timer")],
    };
    if pick(3) == 0 {
        let who = ["", ";refresher=uac", ";refresher=uas"][pick(3) as usize];
        lines.push(line("Session-Expires", &format!("90{who}")));
    }
    if pick(2) == 0 {
        lines.push(line("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK"));
    }
    lines
}

fn random_errand(pick: &mut impl FnMut(u64) -> u64) -> Errand {
    let dice = pick(1_000_000);
    let mut maybe = |one_in: u64, most_ms: u64| (pick(one_in) == 0).then(|| ms(pick(most_ms)));
    let mut errand = Errand::to(match dice % 10 {
        0 => "tel:+12065550100",
        1 => "mailto:somebody@example.com",
        _ => "12065550100",
    });
    errand.renegotiation = random_renegotiation(dice / 10);
    errand.cancel = maybe(4, 3_000);
    errand.early_bye = maybe(8, 1_000);
    errand.hang_up = Some(maybe(3, 200).unwrap_or(ms(4_000)));
    errand.reinvite = maybe(4, 3_000);
    errand.info = maybe(4, 3_000);
    errand.cancel_reinvite = maybe(4, 1_000);
    errand.no_ack = maybe(12, 1).is_some();
    errand.offer = maybe(5, 1).is_none();
    errand.early_update = maybe(3, 500);
    errand.early_info = maybe(8, 500);
    errand
}

/// What operators, scanners and accidents do meanwhile.
fn disturb(world: &mut World, pick: &mut impl FnMut(u64) -> u64) {
    world.input(Input::Resume);
    let someone = TRUNKS[pick(4) as usize];
    match pick(20) {
        0 => world.reload(),
        1 => world.generation += 1,
        2 => {
            let calls = world.calls();
            if !calls.is_empty() {
                let call = calls[pick(calls.len() as u64) as usize];
                world.input(Input::EndCall(call));
            }
        }
        3 => world.input(Input::Drain),
        4 => world.inject("127.0.0.11:5070", vec![0xff; 300]),
        5 => world.inject("127.0.0.99:5060", "INVITE sip:1@x SIP/2.0\r\n\r\n"),
        7 => world.inject(
            "127.0.0.21:5080",
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        ),
        8 => {
            let health = [Health::Up, Health::Degraded, Health::Down, Health::Disabled];
            world.states[pick(4) as usize].set_health(health[pick(4) as usize]);
        }
        9 => {
            world.without = world.without.xor(Some(someone.0));
            world.reload();
            // What it says meanwhile may be about no dialog of ours: it gets no answer.
            world.ua(someone.0).strict = false;
        }
        10 => world.unsendable = vec![someone.2.parse().expect("a literal")],
        11 => world.unsendable.clear(),
        12 => world.resolve(someone.0, &[]),
        13 => world.resolve(someone.0, &[(someone.2, 0)]),
        14 if pick(3) == 0 => world.ua(someone.0).crash(),
        14 => world.ua(someone.0).restart(),
        _ => {}
    }
    world.run(Duration::ZERO);
}

/// Whether the worlds had everything in them that they are for.
#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    answered: u64,
    attempts_failed: u64,
    fallbacks: u64,
    late_answers: u64,
    changes_of_health: u64,
    codes: BTreeMap<u16, u64>,
}

impl Seen {
    fn look(&mut self, world: &World) {
        for (_, event) in &world.events {
            match event {
                Event::CallStarted { .. } => self.calls += 1,
                Event::CallAnswered { .. } => self.answered += 1,
                Event::AttemptFailed { .. } => self.attempts_failed += 1,
                Event::Decided { fault: Some(_), .. } => self.fallbacks += 1,
                Event::LateAnswer => self.late_answers += 1,
                Event::TrunkHealth { .. } => self.changes_of_health += 1,
                Event::CallEnded(r) => *self.codes.entry(r.final_code).or_default() += 1,
                _ => {}
            }
        }
    }

    /// A simulation in which nothing happens proves nothing.
    fn assert_varied(&self) {
        let counts = [
            self.calls,
            self.answered,
            self.attempts_failed,
            self.fallbacks,
            self.late_answers,
            self.changes_of_health,
        ];
        assert!(counts.iter().all(|n| *n > 20), "too quiet: {self:?}");
        for code in [200, 403, 404, 408, 486, 487, 503, 603] {
            assert!(
                self.codes.contains_key(&code),
                "no call ended with {code}: {self:?}"
            );
        }
    }
}
