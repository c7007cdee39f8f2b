//! Call flows as golden text: one file a flow, every message of it in order.
//!
//! `UPDATE_GOLDEN=1 cargo test -p intertrunk-tests --test flows` writes them anew; read the diff.

#![allow(clippy::unwrap_used)]

mod answered;
mod attended;
mod capacity;
mod chained;
mod connections;
mod dead_peers;
mod digest;
mod forbidden;
mod health;
mod identity;
mod metered;
mod overload;
mod oversize;
mod pickup;
mod reasons;
mod redirected;
mod referred;
mod refused;
mod registered;
mod reliable;
mod renegotiated;
mod session_timers;
mod strangers;
mod targets;
mod toll;
mod transferred;
mod tried;

use std::fs;
use std::path::Path;

use sim::{Errand, Manner, Mood, Weather, World, ms, rules};

/// A quiet world in which gw-a and gw-b are called in that order.
fn world() -> World {
    World::new(1, Weather::default(), Mood::connect(&["gw-a", "gw-b"]))
}

/// One call from pbx-a, run to the end.
fn call(world: &mut World, errand: &Errand) {
    let now = world.now;
    world.ua("pbx-a").place(errand, now);
    world.run(ms(30_000));
}

/// Somebody calls, and talks until told otherwise. The Call-ID.
fn talk(world: &mut World, who: &str, callee: &str) -> String {
    let now = world.now;
    let errand = Errand {
        hang_up: None,
        ..Errand::to(callee)
    };
    let call_id = world.ua(who).place(&errand, now);
    world.run(ms(1_000));
    call_id
}

/// What gw-a does with its next call.
fn gw_a(world: &mut World, manner: Manner) {
    world.ua("gw-a").manners.push(manner);
}

/// Runs the world to its rest, then compares its ladder with the golden file.
fn check(name: &str, world: &mut World) {
    let broken = rules::settle(world);
    assert!(
        broken.is_empty(),
        "{}\n\n{}",
        world.ladder.join("\n"),
        broken.join("\n")
    );
    let ladder = world.ladder.join("\n") + "\n" + &records(world);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("flows/golden")
        .join(name);
    let path = path.with_extension("txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &ladder).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(golden, ladder, "{} differs", path.display());
}

/// The records of the world, in a few words each.
fn records(world: &World) -> String {
    let mut text = String::new();
    for r in world.records() {
        let attempts: Vec<String> = r
            .attempts
            .iter()
            .map(|a| format!("{} {} {}", a.trunk, a.code, a.reason))
            .collect();
        text += &format!(
            "record: {} {} -> {}, {} by {}, cause {}, tried [{}]\n",
            r.ingress_trunk,
            r.callee_in,
            r.callee_out.as_deref().unwrap_or("-"),
            r.final_code,
            r.ended_by.as_str(),
            r.hangup_cause,
            attempts.join("; ")
        );
    }
    text
}
