//! Flows to a peer whose name stands for several addresses, or for none (RFC 3263).

use sim::{Errand, Final, Manner, Mood, Weather, World, ms, rules};

use super::{check, gw_a};

const FIRST: &str = "127.0.0.21:5080";
const SECOND: &str = "127.0.0.22:5080";

/// One call from pbx-a, and twelve seconds, in which no rest ends.
fn call(world: &mut World, number: &str) {
    let now = world.now;
    world.ua("pbx-a").place(&Errand::to(number), now);
    world.run(ms(12_000));
}

/// gw-a is reached by its name.
fn named(candidates: &'static [&'static str]) -> World {
    let mood = Mood::connect(candidates);
    World::with_trunks(1, Weather::default(), mood, |trunk| {
        if &*trunk.name == "gw-a" {
            trunk.peers[0].host_port = "gw.example".into();
        }
    })
}

/// The name behind gw-a stands for gw-a's address and, after it, for gw-b's.
fn two_targets() -> World {
    let mut w = named(&["gw-a"]);
    w.resolve("gw-a", &[(FIRST, 1), (SECOND, 2)]);
    w
}

/// The codes of all attempts, a list for each call, and where the last one of each went.
fn tried(w: &World) -> Vec<(Vec<u16>, String)> {
    let call = |r: &&intertrunk_proto::Record| {
        let codes = r.attempts.iter().map(|a| a.code).collect();
        let last = r.attempts.last().and_then(|a| a.peer);
        (codes, last.map(|p| p.to_string()).unwrap_or_default())
    };
    w.records().iter().map(call).collect()
}

fn refuses(code: u16) -> Manner {
    Manner {
        ring: None,
        last: Final::Refuse(ms(10), code),
        ..Manner::default()
    }
}

/// K6: an address that nothing can be sent to fails at once and marks itself, not its name: the
/// name's other address takes this call, and is the first that the next call tries.
#[test]
fn target_that_cannot_be_sent_to() {
    let mut w = two_targets();
    w.unsendable.push(FIRST.parse().unwrap());
    call(&mut w, "1");
    call(&mut w, "2");
    check("target_that_cannot_be_sent_to", &mut w);
}

/// K6: a name without an address fails at once, not after a timer.
#[test]
fn name_without_an_address() {
    let mut w = named(&["gw-a", "gw-b"]);
    w.resolve("gw-a", &[]);
    call(&mut w, "1");
    check("name_without_an_address", &mut w);
}

/// K6: where there is nobody else, the caller hears it at once.
#[test]
fn only_name_without_an_address() {
    let mut w = named(&["gw-a"]);
    w.resolve("gw-a", &[]);
    call(&mut w, "1");
    check("only_name_without_an_address", &mut w);
}

/// K6: 503 makes a target rest for thirty seconds; then it is the first again.
#[test]
fn target_rests_after_503() {
    let mut w = two_targets();
    gw_a(&mut w, refuses(503));
    call(&mut w, "1");
    call(&mut w, "2");
    w.run(ms(31_000));
    call(&mut w, "3");
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
    let expected = [
        (vec![503, 200], SECOND.to_owned()),
        (vec![200], SECOND.to_owned()),
        (vec![200], FIRST.to_owned()),
    ];
    assert_eq!(tried(&w), expected);
}

/// K6: silence makes a target rest too.
#[test]
fn target_rests_after_silence() {
    let mut w = two_targets();
    let dead = Manner {
        last: Final::Dead,
        ..Manner::default()
    };
    gw_a(&mut w, dead);
    call(&mut w, "1");
    call(&mut w, "2");
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
    let expected = [
        (vec![408, 200], SECOND.to_owned()),
        (vec![200], SECOND.to_owned()),
    ];
    assert_eq!(tried(&w), expected);
}

/// A refusal that speaks of the call is an answer: the target stays where it is.
#[test]
fn target_that_refuses_a_call_does_not_rest() {
    let mut w = two_targets();
    gw_a(&mut w, refuses(486));
    call(&mut w, "1");
    call(&mut w, "2");
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
    let expected = [(vec![486], FIRST.to_owned()), (vec![200], FIRST.to_owned())];
    assert_eq!(tried(&w), expected);
}

/// K6: when all targets rest they are tried nevertheless, and the first answer ends the rest.
#[test]
fn answer_ends_the_rest() {
    let mut w = two_targets();
    w.unsendable.push(FIRST.parse().unwrap());
    w.ua("gw-b").manners.push(refuses(503));
    for number in ["1", "2", "3"] {
        call(&mut w, number);
    }
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
    let expected = [
        (vec![503, 503], SECOND.to_owned()),
        (vec![503, 200], SECOND.to_owned()),
        (vec![200], SECOND.to_owned()),
    ];
    assert_eq!(tried(&w), expected);
}

/// A call works with the list that it found; the next one finds the new one.
#[test]
fn new_answer_of_dns_moves_calls() {
    let mut w = two_targets();
    call(&mut w, "1");
    w.resolve("gw-a", &[(SECOND, 1)]);
    call(&mut w, "2");
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
    let expected = [
        (vec![200], FIRST.to_owned()),
        (vec![200], SECOND.to_owned()),
    ];
    assert_eq!(tried(&w), expected);
}
