//! Calls of one peer over several connections.

use sim::streams::TCP;
use sim::{Errand, Mood, Weather, World, ms};

use super::check;

/// pbx-a also comes in by connections.
fn world() -> World {
    World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), |trunk| {
        trunk.also_listen.push(TCP);
    })
}

/// K17: two calls of one peer, each by a connection of its own. What is said to a call goes by that
/// call's; when one connection breaks, the call of the other neither ends nor waits.
#[test]
fn two_connections_of_one_peer() {
    let mut w = world();
    let [first, _] = [(1, "1"), (2, "2")].map(|(number, callee)| {
        let now = w.now;
        let errand = Errand {
            hang_up: None,
            ..Errand::to(callee)
        };
        let call_id = w.ua("pbx-a").place(&errand, now);
        w.streams.carry(&call_id, number);
        w.run(ms(1_000));
        call_id
    });
    w.streams.break_off(1);
    for _ in 0..2 {
        let now = w.now;
        w.ua("gw-a").hang_up(now);
        w.run(ms(60_000));
    }
    // The telephone has not heard it, and hangs up by a new connection.
    w.streams.carry(&first, 3);
    let now = w.now;
    w.ua("pbx-a").hang_up(now);
    w.run(ms(1_000));
    let to_pbx = |line: &&String| line.contains("pbx-a  <--");
    let said: Vec<_> = w.ladder.iter().filter(to_pbx).collect();
    assert!(said.iter().all(|line| line.contains("(TCP ")), "{said:#?}");
    let byes = |by: &str| {
        let bye = |line: &&&String| line.contains("BYE") && line.ends_with(by);
        said.iter().filter(bye).count()
    };
    assert_eq!(byes("(TCP 1)"), 1, "not even once more: it failed at once");
    assert_eq!(byes("(TCP 2)"), 1, "the other call's end is told");
    check("two_connections_of_one_peer", &mut w);
}
