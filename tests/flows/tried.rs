//! Flows in which an attempt fails, and what follows.

use intertrunk_proto::ask::{Verdict, WhenExhausted};
use intertrunk_proto::trunk::{Balance, Health, Peer, Trunk};
use sim::{Errand, Final, Manner, Weather, ms, policy};

use super::{Mood, World, call, check, gw_a, world};

fn refuses(code: u16) -> Manner {
    Manner {
        ring: None,
        last: Final::Refuse(ms(10), code),
        ..Manner::default()
    }
}

/// F6: failover on 503.
#[test]
fn failover_on_503() {
    let mut w = world();
    gw_a(&mut w, refuses(503));
    call(&mut w, &Errand::to("1"));
    check("failover_on_503", &mut w);
}

/// F8: 100 but no 18x for ten seconds: cancelled, and the next one rings.
#[test]
fn failover_on_no_progress() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            ring: None,
            last: Final::Rings,
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("1"));
    check("failover_on_no_progress", &mut w);
}

/// A peer that does not answer at all cannot be cancelled; it is left to its timers.
#[test]
fn failover_on_silence() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            last: Final::Dead,
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("1"));
    check("failover_on_silence", &mut w);
}

/// K6, F11: a transport error goes on at once.
#[test]
fn failover_on_transport_error() {
    let mut w = world();
    w.unsendable.push("127.0.0.21:5080".parse().unwrap());
    call(&mut w, &Errand::to("1"));
    check("failover_on_transport_error", &mut w);
}

/// K5: busy is an answer, even where the trunk's list has its code.
#[test]
fn busy_is_final() {
    let mut w = World::with_trunks(
        1,
        Weather::default(),
        Mood::connect(&["gw-a", "gw-b"]),
        |trunk| trunk.failover_codes.push(486),
    );
    gw_a(&mut w, refuses(486));
    call(&mut w, &Errand::to("1"));
    check("busy_is_final", &mut w);
}

/// K5: the candidate itself may say otherwise.
#[test]
fn busy_goes_on_where_the_candidate_says_so() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a", "gw-b"]);
        plan.candidates[0].failover = Some(vec![486]);
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    gw_a(&mut w, refuses(486));
    call(&mut w, &Errand::to("1"));
    check("busy_goes_on_where_the_candidate_says_so", &mut w);
}

/// K5, F9: once it has rung, a failure is final: nobody rings twice.
#[test]
fn failure_after_ringing_is_final() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            last: Final::Refuse(ms(500), 503),
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("1"));
    check("failure_after_ringing_is_final", &mut w);
}

/// C16: the candidate's own ring timer says that the next one may ring.
#[test]
fn rings_too_long() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a", "gw-b"]);
        plan.candidates[0].ring_ms = Some(2_000);
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    gw_a(
        &mut w,
        Manner {
            last: Final::Rings,
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("1"));
    check("rings_too_long", &mut w);
}

#[test]
fn nobody_answers() {
    let mut w = world();
    gw_a(&mut w, refuses(503));
    w.ua("gw-b").manners.push(refuses(500));
    call(&mut w, &Errand::to("1"));
    check("nobody_answers", &mut w);
}

/// F10: the policy is asked again, and knows what became of its candidates.
#[test]
fn asked_again_when_exhausted() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a"]);
        plan.when_exhausted = WhenExhausted::AskAgain;
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    gw_a(&mut w, refuses(503));
    call(&mut w, &Errand::to("1"));
    check("asked_again_when_exhausted", &mut w);
}

/// C7: code for the caller.
#[test]
fn code_for_the_caller() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a"]);
        plan.code_maps.push(intertrunk_proto::ask::CodeMap {
            from_code: 404,
            q850: None,
            to_code: 484,
        });
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    gw_a(&mut w, refuses(404));
    call(&mut w, &Errand::to("1"));
    check("code_for_the_caller", &mut w);
}

/// F19, F15: a full trunk means the next candidate, not a rejection.
#[test]
fn full_trunk() {
    let mut w = World::with_trunks(
        1,
        Weather::default(),
        Mood::connect(&["gw-a", "gw-b"]),
        |trunk| trunk.calls_max = (&*trunk.name == "gw-a").then_some(1),
    );
    for callee in ["1", "2"] {
        let now = w.now;
        w.ua("pbx-a").place(
            &Errand {
                hang_up: Some(ms(3_000)),
                ..Errand::to(callee)
            },
            now,
        );
        w.run(ms(500));
    }
    assert_eq!(
        (w.state("gw-a").outgoing(), w.state("gw-b").outgoing()),
        (1, 1)
    );
    assert_eq!(w.state("pbx-a").incoming(), 2);
    check("full_trunk", &mut w);
}

#[test]
fn trunk_that_is_down() {
    let mut w = world();
    w.state("gw-a").set_health(Health::Down);
    call(&mut w, &Errand::to("1"));
    check("trunk_that_is_down", &mut w);
}

/// A failed attempt gives its place back at once, not when the call ends.
#[test]
fn failed_attempt_keeps_no_place() {
    let mut w = world();
    gw_a(&mut w, refuses(503));
    let now = w.now;
    w.ua("pbx-a").place(&Errand::to("1"), now);
    w.run(ms(500));
    let busy = ["pbx-a", "gw-a", "gw-b"].map(|t| w.state(t).active());
    assert_eq!(busy, [1, 0, 1]);
}

/// K4: each attempt is a dialog of its own.
#[test]
fn attempts_share_nothing() {
    let mut w = world();
    gw_a(&mut w, refuses(503));
    call(&mut w, &Errand::to("1"));
    let mut seen = Vec::new();
    for gateway in ["gw-a", "gw-b"] {
        let side = w.ua(gateway).sides.values().next().unwrap();
        let invite = side.invite().unwrap();
        let branch = invite.via().unwrap().branch.unwrap().to_vec();
        seen.push((
            invite.call_id().to_vec(),
            invite.from_tag().unwrap().to_vec(),
            branch,
        ));
    }
    assert_ne!(seen[0].0, seen[1].0);
    assert_ne!(seen[0].1, seen[1].1);
    assert_ne!(seen[0].2, seen[1].2);
}

/// F8, F10: each plan rings anew. What rang in the plan before does not end the one after.
#[test]
fn failover_in_the_second_plan() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a", "gw-b"]);
        plan.candidates[0].ring_ms = Some(2_000);
        plan.candidates[1].ring_ms = Some(2_000);
        plan.when_exhausted = WhenExhausted::AskAgain;
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    for gateway in ["gw-a", "gw-b"] {
        let rings = Manner {
            last: Final::Rings,
            ..Manner::default()
        };
        w.ua(gateway).manners.push(rings);
    }
    gw_a(&mut w, refuses(503));
    call(&mut w, &Errand::to("1"));
    check("failover_in_the_second_plan", &mut w);
}

/// K2, K3: an attempt that was given up answers all the same, while the next one rings.
#[test]
fn answer_crosses_failover() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            ring: None,
            last: Final::AnswersCancel,
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("1"));
    check("answer_crosses_failover", &mut w);
}

/// K6, T8: a trunk with two peers: the second is tried when the first is silent.
#[test]
fn second_peer_of_a_trunk() {
    let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), two_peers);
    gw_a(&mut w, refuses(503));
    call(&mut w, &Errand::to("1"));
    check("second_peer_of_a_trunk", &mut w);
}

/// R12: peers in turn.
#[test]
fn peers_in_turn() {
    let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), |trunk| {
        two_peers(trunk);
        trunk.balance = Balance::RoundRobin;
    });
    for _ in 0..4 {
        call(&mut w, &Errand::to("1"));
    }
    let calls = |w: &mut World, name| w.ua(name).sides.len();
    assert_eq!((calls(&mut w, "gw-a"), calls(&mut w, "gw-b")), (2, 2));
}

/// gw-b's address serves gw-a too.
fn two_peers(trunk: &mut Trunk) {
    if &*trunk.name == "gw-a" {
        trunk
            .peers
            .push(Peer::at("127.0.0.22:5080".parse().unwrap()));
    }
}

/// K5: of two that are tried together one rings and fails, the other never says a word: the caller has
/// heard ringing, so nobody else is to ring.
#[test]
fn silence_beside_ringing_is_final() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a", "pbx-b", "gw-b"]);
        plan.candidates[1].group = 0;
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    gw_a(
        &mut w,
        Manner {
            last: Final::Refuse(ms(500), 503),
            ..Manner::default()
        },
    );
    let silent = Manner {
        last: Final::Dead,
        ..Manner::default()
    };
    w.ua("pbx-b").manners.push(silent);
    call(&mut w, &Errand::to("1"));
    check("silence_beside_ringing_is_final", &mut w);
}

/// K5, RFC 3261 §16.7: of those that rang together the best answer decides, not the last one.
#[test]
fn the_best_answer_of_a_group_decides() {
    for (first, then, told, goes_on) in [
        (486, 503, 486, false),
        (503, 486, 486, false),
        (404, 500, 404, false),
        (484, 404, 484, false),
        (404, 484, 484, false),
        (486, 408, 486, false),
        (501, 488, 488, false),
        (503, 500, 500, true),
        (500, 503, 500, true),
    ] {
        let mood = Mood::verdict(move || {
            let mut plan = policy::plan_to(&["gw-a", "gw-b", "pbx-b"]);
            plan.candidates[1].group = 0;
            plan.candidates[2].group = 1;
            Verdict::Connect(plan)
        });
        let mut w = World::new(1, Weather::default(), mood);
        for (who, after, code) in [("gw-a", 10, first), ("gw-b", 50, then), ("pbx-b", 10, 503)] {
            let manner = Manner {
                ring: None,
                last: Final::Refuse(ms(after), code),
                ..Manner::default()
            };
            w.ua(who).manners.push(manner);
        }
        call(&mut w, &Errand::to("1"));
        let went_on = !w.ua("pbx-b").sides.is_empty();
        assert_eq!(went_on, goes_on, "{first}, then {then}");
        let told = if goes_on { 503 } else { told };
        assert_eq!(w.records()[0].final_code, told, "{first}, then {then}");
    }
}

/// K5: who timed out says less than who refused.
#[test]
fn a_refusal_in_a_group_outlives_a_timer() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a", "gw-b", "pbx-b"]);
        plan.candidates[1].group = 0;
        plan.candidates[1].no_progress_ms = Some(500);
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    w.ua("gw-a").manners.push(refuses(486));
    let silent = Manner {
        ring: None,
        last: Final::Rings,
        ..Manner::default()
    };
    w.ua("gw-b").manners.push(silent);
    call(&mut w, &Errand::to("1"));
    check("a_refusal_in_a_group_outlives_a_timer", &mut w);
    assert_eq!(w.records()[0].final_code, 486);
}

/// K5: nobody is asked after somebody who speaks for everybody (RFC 3261 §21.6).
#[test]
fn refusals_for_everybody_are_final() {
    for code in [600, 603, 604] {
        let mut w = world();
        gw_a(&mut w, refuses(code));
        call(&mut w, &Errand::to("1"));
        let [record] = w.records()[..] else {
            panic!("{code}: one call")
        };
        assert_eq!((record.final_code, record.attempts.len()), (code, 1));
    }
}
