//! How trunks are found to be well or not, and what calls make of it.

use std::time::Duration;

use intertrunk_proto::trunk::{Breaker, Health, Options, Quality, Soak, Trunk};
use intertrunk_proto::{Event, Input, TrunkId};
use sim::{Errand, Final, Manner, Mood, Weather, World, ms, rules};

use super::gw_a;

/// Each trunk is the watched world's own shard's, asked every ten seconds.
fn watched(trunk: &mut Trunk) {
    trunk.id = TrunkId(trunk.id.0 * 3 + 1);
    trunk.health.options = Some(Options {
        interval: Some(ms(10_000)),
        down_interval: ms(4_000),
        timeout: ms(1_000),
        ..Options::default()
    });
}

fn world_of(edit: fn(&mut Trunk)) -> World {
    let mood = Mood::connect(&["gw-a", "gw-b"]);
    World::with_trunks(1, Weather::default(), mood, edit)
}

/// One call from pbx-a, and its two seconds. The trunks that it was tried on, and how that ended.
fn call(w: &mut World) -> Vec<String> {
    let before = w.records().len();
    let now = w.now;
    w.ua("pbx-a").place(&Errand::to("1"), now);
    w.run(ms(2_000));
    let records = w.records();
    let record = records.get(before).expect("the call has ended");
    let attempts = record.attempts.iter();
    attempts
        .map(|a| format!("{} {}", a.trunk, a.code))
        .collect()
}

/// Every change of a trunk that was told: which, what it is now, and why.
fn told(w: &World) -> Vec<String> {
    let name = |id: TrunkId| ["pbx-a", "pbx-b", "gw-a", "gw-b"][id.0 as usize / 3];
    let events = w.events.iter().filter_map(|(_, event)| match event {
        Event::TrunkHealth { trunk, health, why } => {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            Some(format!("{} {}{why}", name(*trunk), health.as_str()))
        }
        _ => None,
    });
    events.collect()
}

/// OPTIONS that a trunk was sent so far.
fn asked(w: &World, trunk: &str) -> usize {
    w.sent_to(trunk, "OPTIONS").len()
}

/// Nobody is watched any more, and nothing is left.
fn settle(w: &mut World) {
    assert_eq!(rules::settle(w), Vec::<String>::new());
}

fn refuses(code: u16) -> Manner {
    Manner {
        ring: None,
        last: Final::Refuse(ms(10), code),
        ..Manner::default()
    }
}

/// F1: each target is asked at its interval, outside of any dialog, with a Call-ID of this shard and a
/// branch of its own; answers leave nothing behind.
#[test]
fn options_keep_asking() {
    let mut w = world_of(watched);
    w.run(ms(61_000));
    for trunk in ["pbx-a", "pbx-b", "gw-a", "gw-b"] {
        assert!((6..=7).contains(&asked(&w, trunk)), "{}", asked(&w, trunk));
    }
    let sent = w.sent_to("gw-a", "OPTIONS sip:127.0.0.21:5080 SIP/2.0");
    let ids: std::collections::BTreeSet<_> = sent.iter().map(|m| m.call_id().to_vec()).collect();
    assert_eq!(ids.len(), sent.len(), "each is a request of its own");
    assert!(
        sent.iter()
            .all(|m| m.to_tag().is_none() && m.contact().is_some())
    );
    assert_eq!(told(&w), Vec::<String>::new(), "all is well");
    settle(&mut w);
}

/// F3, F5: silent to three in a row: down, told of, and no longer tried; two answers in a row, asked
/// more often meanwhile: up again.
#[test]
fn silent_trunk_goes_down_and_comes_back() {
    let mut w = world_of(watched);
    w.run(ms(5_000));
    w.ua("gw-a").options = None;
    w.run(ms(18_000));
    assert_eq!(w.state("gw-a").health(), Health::Up, "two misses");
    w.run(ms(11_000));
    assert_eq!(told(&w), ["gw-a down: no target is up"]);
    assert_eq!(call(&mut w), ["gw-a 503", "gw-b 200"]);
    assert_eq!(w.ua("gw-a").sides.len(), 0, "it was not dialled");
    let before = asked(&w, "gw-a");
    w.run(ms(41_000));
    let requests = asked(&w, "gw-a") - before;
    // Sent once, and again after 500 ms, until the second is over.
    assert!(
        (20..=22).contains(&requests),
        "every four seconds: {requests}"
    );
    w.ua("gw-a").options = Some(200);
    w.run(ms(9_000));
    assert_eq!(told(&w)[1..], ["gw-a up"]);
    assert_eq!(call(&mut w), ["gw-a 200"]);
    settle(&mut w);
}

/// F4: a code of the list means down, any other final answer that somebody is there.
#[test]
fn codes_that_mean_down() {
    let mut w = world_of(|trunk| {
        watched(trunk);
        if let Some(options) = &mut trunk.health.options {
            options.down_codes = vec![404, 503];
        }
    });
    w.ua("gw-a").options = Some(404);
    w.ua("gw-b").options = Some(501);
    w.ua("pbx-b").options = Some(503);
    w.run(ms(40_000));
    let down = ["gw-a", "gw-b", "pbx-b"].map(|t| w.state(t).health() == Health::Down);
    assert_eq!(down, [true, false, true]);
    settle(&mut w);
}

/// F2: a peer that is to send OPTIONS and has not for so long is down; its next ones bring it back, and
/// nobody asks it.
#[test]
fn peers_own_options() {
    let mut w = world_of(|trunk| {
        watched(trunk);
        if let Some(options) = &mut trunk.health.options {
            (options.interval, options.expect) = (None, Some(ms(30_000)));
        }
    });
    let hello = |w: &mut World, n: u32| {
        let request = format!(
            "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.21:5080;branch=z9hG4bK{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:gw>;tag=f{n}\r\nTo: <sip:host>\r\nCall-ID: o{n}\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        w.inject("127.0.0.21:5080", request);
        w.run(ms(20_000));
    };
    w.ua("gw-a").manner = Some(Manner::default());
    for n in 0..3 {
        hello(&mut w, n);
    }
    let health = |w: &World| ["gw-a", "gw-b"].map(|t| w.state(t).health());
    assert_eq!(health(&w), [Health::Up, Health::Down]);
    w.run(ms(20_000));
    assert_eq!(health(&w), [Health::Down, Health::Down]);
    hello(&mut w, 7);
    assert_eq!(health(&w)[0], Health::Down, "one is not enough");
    hello(&mut w, 8);
    assert_eq!(health(&w)[0], Health::Up);
    assert_eq!(asked(&w, "gw-a"), 0);
    w.ua("gw-a").complaints.clear();
    settle(&mut w);
}

/// F13: calls that fail in a row bring a trunk down at once, without OPTIONS; after a time one call may
/// try it, and one failure more brings it down again.
#[test]
fn failing_calls_break_the_circuit() {
    let mut w = world_of(|trunk| {
        trunk.id = TrunkId(trunk.id.0 * 3 + 1);
        trunk.health.breaker = Some(Breaker {
            failures: 2,
            retry: ms(60_000),
        });
    });
    for _ in 0..3 {
        gw_a(&mut w, refuses(503));
    }
    // A target that failed rests: its next call finds it last, behind nobody.
    assert_eq!(call(&mut w), ["gw-a 503", "gw-b 200"]);
    assert_eq!(w.state("gw-a").health(), Health::Up);
    assert_eq!(call(&mut w), ["gw-a 503", "gw-b 200"]);
    assert_eq!(told(&w), ["gw-a down: no target is up"], "at once");
    assert_eq!(call(&mut w), ["gw-a 503", "gw-b 200"]);
    assert_eq!(w.ua("gw-a").manners.len(), 1, "not dialled meanwhile");
    w.run(ms(60_000));
    assert_eq!(told(&w)[1..], ["gw-a up"]);
    assert_eq!(call(&mut w), ["gw-a 503", "gw-b 200"]);
    assert_eq!(
        told(&w)[2..],
        ["gw-a down: no target is up"],
        "half open: one is enough"
    );
    w.run(ms(60_000));
    assert_eq!(call(&mut w), ["gw-a 200"]);
    settle(&mut w);
}

/// F14: a trunk whose calls are not answered is tried last, until the window has forgotten them.
#[test]
fn few_answers_demote_a_trunk() {
    let mut w = world_of(|trunk| {
        trunk.id = TrunkId(trunk.id.0 * 3 + 1);
        trunk.health.quality = Some(Quality {
            window: Duration::from_secs(120),
            calls_min: 3,
            asr_min: Some(50),
            ner_min: None,
            pdd_max: None,
            acd_min: None,
        });
    });
    for code in [500, 500, 500] {
        gw_a(&mut w, refuses(code));
        assert_eq!(call(&mut w), ["gw-a 500", "gw-b 200"]);
    }
    w.run(ms(1_000));
    assert_eq!(told(&w), ["gw-a degraded: 0 % of calls answered"]);
    assert_eq!(call(&mut w), ["gw-b 200"], "it is tried last");
    w.ua("gw-b").manners.push(refuses(503));
    assert_eq!(call(&mut w), ["gw-b 503", "gw-a 200"], "but it is tried");
    w.run(ms(121_000));
    assert_eq!(told(&w)[1..], ["gw-a up"]);
    assert_eq!(call(&mut w), ["gw-a 200"]);
    settle(&mut w);
}

/// F12: a trunk that comes back gets a share of the calls, until it has answered enough of them.
#[test]
fn soak_before_full_load() {
    let mut w = world_of(|trunk| {
        watched(trunk);
        trunk.health.soak = Some(Soak {
            share: 25,
            good: 5,
            time: Duration::from_secs(3_600),
        });
    });
    w.ua("gw-a").options = None;
    w.run(ms(40_000));
    w.ua("gw-a").options = Some(200);
    w.run(ms(10_000));
    let soaks = "gw-a degraded: its targets were down and are on probation";
    assert_eq!(told(&w), ["gw-a down: no target is up", soaks]);
    let mut firsts = Vec::new();
    while w.state("gw-a").health() == Health::Degraded && firsts.len() < 200 {
        firsts.push(call(&mut w).remove(0) == "gw-a 200");
        w.run(ms(1_000));
    }
    let share = firsts.iter().filter(|first| **first).count();
    assert_eq!(share, 5, "so many good calls end it");
    assert!(
        (10..60).contains(&firsts.len()),
        "a quarter of {}",
        firsts.len()
    );
    assert_eq!(told(&w)[2..], ["gw-a up"]);
    settle(&mut w);
}

/// F21: a node that drains asks nobody, so that nothing keeps it; resumed it asks again. A reload that
/// takes the rules away leaves no trunk down for ever.
#[test]
fn watching_ends_and_begins() {
    let mut w = world_of(watched);
    w.ua("gw-a").options = None;
    w.run(ms(40_500));
    w.input(Input::Drain);
    assert!(w.b2bua.is_idle(), "no question is open");
    assert_eq!(
        w.state("gw-a").health(),
        Health::Down,
        "and nothing is forgotten"
    );
    let before = asked(&w, "gw-a");
    w.run(ms(60_000));
    assert_eq!(asked(&w, "gw-a"), before);
    w.input(Input::Resume);
    w.run(ms(40_000));
    assert!(asked(&w, "gw-a") > before);
    assert_eq!(w.state("gw-a").health(), Health::Down);
    settle(&mut w);
    assert_eq!(w.state("gw-a").health(), Health::Up);
    assert_eq!(told(&w).last().map(String::as_str), Some("gw-a up"));
}

/// T12: a disabled trunk is not asked; one that drains is. Both answer 503 to the OPTIONS of their
/// peer, so that it looks elsewhere.
#[test]
fn switched_trunks_say_so() {
    use intertrunk_proto::trunk::Switch;
    let mut w = world_of(watched);
    w.state("gw-a").set_switch(Switch::Disabled);
    w.state("gw-b").set_switch(Switch::Draining);
    w.run(ms(2_000));
    let before = ["gw-a", "gw-b"].map(|t| asked(&w, t));
    w.run(ms(21_000));
    let [a, b] = ["gw-a", "gw-b"].map(|t| asked(&w, t));
    assert_eq!([a - before[0], b - before[1]], [0, 2]);
    let options = |n: u32, from: &str| {
        format!(
            "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:gw>;tag=f{n}\r\nTo: <sip:host>\r\nCall-ID: o{n}\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for (n, from) in [
        (1, "127.0.0.21:5080"),
        (2, "127.0.0.22:5080"),
        (3, "127.0.0.11:5070"),
    ] {
        w.inject(from, options(n, from));
    }
    w.run(ms(100));
    let codes = ["gw-a", "gw-b", "pbx-a"].map(|t| {
        let answers = w.sent_to(t, "SIP/2.0 ");
        answers.iter().map(|m| m.status()).collect::<Vec<_>>()
    });
    assert_eq!(codes, [vec![503], vec![503], vec![200]]);
    for ua in &mut w.uas {
        ua.complaints.clear();
    }
    settle(&mut w);
}
