//! What must hold when a world has come to rest.

use std::collections::BTreeMap;
use std::time::Duration;

use intertrunk_proto::{CallId, Event, Input};

use crate::world::World;

/// Longer than the longest call: every attempt of every plan may ring for three minutes.
pub const REST: Duration = Duration::from_secs(20_000);

/// Lets the world come to rest and collects every rule that is broken.
pub fn settle(world: &mut World) -> Vec<String> {
    world.unwatch();
    world.run(REST);
    end_calls_of_the_dead(world);
    let mut broken = std::mem::take(&mut world.broken);
    for ua in &mut world.uas {
        broken.append(&mut ua.complaints);
    }
    if let Some(reference) = &world.reference {
        broken.extend(reference.account(&world.records()));
    }
    if let Some(transfers) = &world.transfers {
        broken.extend(transfers.account());
    }
    broken.extend(nothing_is_left(world));
    broken.extend(one_record_a_call(world));
    broken.extend(no_ghosts(world));
    broken.extend(requests_are_answered(world));
    broken.extend(silence_at_last(world));
    broken
}

/// A call whose peer has died is up until somebody says that it is over; and so is one whose parties
/// have been joined by others: neither was told when to hang up.
fn end_calls_of_the_dead(world: &mut World) {
    let failed = world.uas.iter().filter(|u| u.has_failed());
    let failed: Vec<String> = failed.map(|u| u.name.clone()).collect();
    let is_of = |name: &str| failed.iter().any(|f| f == name);
    for call in world.b2bua.calls() {
        let callee = call.b_leg.is_some_and(|leg| is_of(&leg.trunk));
        if callee || is_of(&call.a_leg.trunk) || world.transfers.is_some() {
            world.input(Input::EndCall(call.call));
        }
    }
    world.run(REST);
}

/// The same, but only what is the host's own: whatever its peers do and whatever is lost.
pub fn settle_host(world: &mut World) -> Vec<String> {
    world.unwatch();
    world.run(REST);
    // A mangled BYE that comes first takes the place of the real one: such a call is up until an
    // operator ends it.
    for call in world.calls() {
        world.input(Input::EndCall(call));
    }
    world.run(REST);
    let mut broken = std::mem::take(&mut world.broken);
    // A refusal repeats the lines that make its request illegal; a request of ours has no excuse.
    broken.retain(|b| b.contains(" illegal request: ") || b.contains("come to rest"));
    broken.extend(nothing_is_left(world));
    broken.extend(one_record_a_call(world));
    broken.extend(silence_at_last(world));
    broken
}

/// No call, transaction, dialog, question or seat is left.
fn nothing_is_left(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let holdings = world.b2bua.holdings();
    if holdings != [0; 4] {
        broken.push(format!(
            "held at rest: calls, transactions, dialogs, questions {holdings:?}"
        ));
    }
    for (state, trunk) in world.states.iter().zip(crate::world::TRUNKS) {
        if state.active() != 0 {
            broken.push(format!(
                "{} active calls on {} at rest",
                state.active(),
                trunk.0
            ));
        }
    }
    if let Some(at) = world.b2bua.poll_timeout() {
        broken.push(format!("a timer at {at:?} that belongs to nobody"));
    }
    broken
}

/// Each call that starts ends once, and after its end dials nobody.
fn one_record_a_call(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let mut ended: BTreeMap<CallId, u32> = BTreeMap::new();
    let mut started = Vec::new();
    for (_, event) in &world.events {
        match event {
            Event::CallStarted { call, .. } => started.push(*call),
            Event::CallEnded(record) => *ended.entry(record.call).or_default() += 1,
            Event::AttemptStarted { call, .. } | Event::CallAnswered { call, .. }
                if ended.contains_key(call) =>
            {
                broken.push(format!("call {call} went on after its end"));
            }
            _ => {}
        }
    }
    for call in &started {
        match ended.get(call) {
            Some(1) => {}
            n => broken.push(format!(
                "call {call} has {} records",
                n.copied().unwrap_or(0)
            )),
        }
    }
    broken
}

/// Nobody believes to be in a call: whoever was answered was also hung up, or hung up.
fn no_ghosts(world: &World) -> Vec<String> {
    let sides = world
        .uas
        .iter()
        .flat_map(|u| u.sides.values().map(move |s| (u, s)));
    let dialogs = sides.flat_map(|(u, s)| s.dialogs.iter().map(move |d| (u, s, d)));
    let ghosts = dialogs.filter(|(_, _, d)| d.up);
    ghosts
        .map(|(u, s, _)| format!("{} is still in call {}", u.name, s.call_id))
        .collect()
}

/// Long enough for a BYE that waits for an ACK that never comes, and for a peer that still asks.
const ECHO: Duration = Duration::from_secs(150);

/// Once all calls have ended, the host falls silent.
fn silence_at_last(world: &World) -> Option<String> {
    let ends = world.events.iter().rev();
    let (ended, _) = ends
        .into_iter()
        .find(|(_, e)| matches!(e, Event::CallEnded(_)))?;
    let late = world.spoke.since(*ended);
    (late > ECHO).then(|| format!("the host spoke {late:?} after the end of the last call"))
}

/// Each request got a final answer, unless the network ate all copies.
fn requests_are_answered(world: &World) -> Vec<String> {
    let sides = world
        .uas
        .iter()
        .flat_map(|u| u.sides.values().map(move |s| (u, s)));
    let unanswered = sides.flat_map(|(u, s)| s.unanswered().map(move |m| (u, s, m)));
    unanswered
        .map(|(u, s, m)| format!("{} never got an answer to {m} of {}", u.name, s.call_id))
        .collect()
}
