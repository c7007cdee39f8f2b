//! `intertrunk demo`: a node with an embedded world of PBXes and carriers, and real calls over UDP.
//!
//! Owns the story (`calls`), the parties (`peer`), what carries their datagrams (`world`) and how
//! it is told (`print`). Everything between the parties is the product itself: the same
//! configuration, policies and node as in `intertrunk run`.

mod calls;
mod judge;
mod peer;
mod print;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use intertrunk_proto::EndedBy;

use calls::{AFTER, Act, CALLS, Call, STANDING};
use judge::{Landing, Outcome};
use peer::Progress;
use world::World;

use crate::cli::DemoArgs;

/// What the demonstration came to.
pub struct Story {
    /// Each call, in the order of their ends.
    pub outcomes: Vec<Outcome>,
    /// How long the swap took, from the changed file to the new generation.
    pub swap: Duration,
    /// From the start of the node to the end of the last call.
    pub elapsed: Duration,
    /// Calls that the node still thinks are up at the end.
    pub left_up: usize,
}

impl Story {
    /// Whether everything was as it should be.
    pub fn is_good(&self) -> bool {
        self.left_up == 0
            && self
                .outcomes
                .iter()
                .all(|outcome| outcome.differs.is_empty())
    }
}

/// Places all calls and tells what came of them. Exit code 0 only if each did what was expected.
pub fn run(args: DemoArgs) -> ExitCode {
    let told = place_all().and_then(|story| {
        if args.json {
            print::json(&story)?;
        } else {
            print::text(&story)?;
        }
        Ok(story.is_good())
    });
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("intertrunk: the demonstration cannot go on: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn place_all() -> Result<Story> {
    let began = Instant::now();
    let mut world = World::start()?;
    let mut outcomes = Vec::new();
    for call in &CALLS {
        let begun = begin(&mut world, call)?;
        outcomes.push(finish(&mut world, begun)?);
    }
    let standing = begin(&mut world, &STANDING)?;
    let swap = world.swap()?;
    let after = begin(&mut world, &AFTER)?;
    outcomes.push(finish(&mut world, after)?);
    outcomes.push(finish(&mut world, standing)?);

    let left_up = world.calls_up()?;
    Ok(Story {
        outcomes,
        swap,
        elapsed: began.elapsed(),
        left_up,
    })
}

/// A call that has been answered, refused, or has come as far as its caller lets it.
struct Begun {
    call: &'static Call,
    call_id: String,
    landing: Option<Landing>,
}

fn begin(world: &mut World, call: &'static Call) -> Result<Begun> {
    let call_id = world.peer(call.from).dial(call.caller, call.dialled);
    world.until(|world| match (progress(world, call, &call_id), call.act) {
        (Progress::Trying, _) | (Progress::Ringing, Act::Talk) => false,
        (Progress::Ringing, Act::GiveUp) => true,
        (Progress::Answered | Progress::HungUp | Progress::Refused(_), _) => true,
    })?;
    // Read now: a later call may land on the same peer.
    let last = call.expect.attempts.last();
    let landing = last.and_then(|(trunk, _)| Landing::of(world.peer(trunk)));
    Ok(Begun {
        call,
        call_id,
        landing,
    })
}

fn finish(world: &mut World, begun: Begun) -> Result<Outcome> {
    let Begun {
        call,
        call_id,
        landing,
    } = begun;
    let hangs_up = call.expect.ended_by == EndedBy::Caller;
    match progress(world, call, &call_id) {
        Progress::Answered if hangs_up => {
            world.talk()?;
            world.peer(call.from).hang_up(&call_id);
        }
        Progress::Ringing | Progress::Trying => world.peer(call.from).cancel(&call_id),
        Progress::Answered | Progress::HungUp | Progress::Refused(_) => {}
    }
    world.until(|world| {
        let over = matches!(
            progress(world, call, &call_id),
            Progress::HungUp | Progress::Refused(_)
        );
        over && world.record(&call_id).is_some()
    })?;
    let progress = progress(world, call, &call_id);
    let record = world.record(&call_id).cloned();
    Ok(judge::judge(
        call,
        &call_id,
        progress,
        landing.as_ref(),
        record,
        world.host(),
    ))
}

fn progress(world: &mut World, call: &Call, call_id: &str) -> Progress {
    world
        .peer(call.from)
        .call(call_id)
        .map_or(Progress::Trying, |side| side.progress)
}
