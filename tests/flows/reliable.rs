//! Flows before the answer: reliable provisional answers (RFC 3262), early dialogs and what is sent
//! within them.

use intertrunk_proto::trunk::Trunk;
use intertrunk_sip::{Message, Method, Name};
use sim::{Errand, Final, Manner, Mood, Renegotiation, Ring, Weather, World, ms};

use super::{call, check, gw_a, world};

/// A caller whose INVITE lists 100rel in this header.
fn knows(header: &str) -> Errand {
    Errand {
        headers: vec![(header.to_owned(), "100rel".to_owned())],
        ..Errand::to("1")
    }
}

/// A callee that describes its session before it answers.
fn describes(reliable: bool) -> Manner {
    Manner {
        ring: Some(Ring {
            after: ms(20),
            code: 183,
        }),
        reliable,
        ..Manner::default()
    }
}

/// One call of a caller with a callee, to its golden file.
fn flow(name: &str, errand: &Errand, manner: Manner) -> World {
    let mut w = world();
    gw_a(&mut w, manner);
    call(&mut w, errand);
    check(name, &mut w);
    w
}

/// What the host has said in this header of messages of this method and code (0: requests).
fn said(world: &World, method: &Method, code: u16, name: Name) -> Vec<String> {
    let messages = world
        .sent
        .iter()
        .map(|(_, b)| Message::parse(b.clone()).unwrap());
    messages
        .filter(|m| m.method() == method && m.status() == code)
        .map(|m| String::from_utf8_lossy(m.header(name).unwrap_or_default()).into_owned())
        .collect()
}

/// K10, C1: each leg counts for itself: the called side's PRACK has its RSeq, the caller's ours, and it
/// waits for the caller's.
#[test]
fn both_sides_reliable() {
    let w = flow("both_sides_reliable", &knows("Supported"), describes(true));
    let to_caller = said(&w, &Method::Invite, 183, Name::RSeq);
    assert_eq!(to_caller.len(), 1);
    let rack = said(&w, &Method::Prack, 0, Name::RAck);
    assert_eq!(rack, ["101 1 INVITE"]);
    assert_ne!(to_caller[0], "101", "a number of our own");
}

/// K10: the host acknowledges by itself for a caller that does not know how.
#[test]
fn callee_reliable() {
    let w = flow("callee_reliable", &Errand::to("1"), describes(true));
    assert_eq!(said(&w, &Method::Invite, 183, Name::Require), [""]);
}

/// K10: a session that comes unreliably is made reliable for a caller that can have it so; a 180 of
/// no consequence is not.
#[test]
fn caller_reliable() {
    let w = flow("caller_reliable", &knows("Supported"), describes(false));
    assert_eq!(said(&w, &Method::Invite, 183, Name::Require), ["100rel"]);
    let w = flow(
        "caller_may_be_reliable",
        &knows("Supported"),
        Manner::default(),
    );
    assert_eq!(said(&w, &Method::Invite, 180, Name::Require), [""]);
}

/// K10: a caller that requires reliable answers gets no others.
#[test]
fn caller_requires_it() {
    let w = flow("caller_requires_it", &knows("Require"), Manner::default());
    assert_eq!(said(&w, &Method::Invite, 180, Name::Require), ["100rel"]);
}

/// K10: a trunk may do without, in both directions.
#[test]
fn a_trunk_without_it() {
    let without = |trunk: &mut Trunk| trunk.extensions.prack = false;
    let mood = || Mood::connect(&["gw-a", "gw-b"]);
    let mut w = World::with_trunks(1, Weather::default(), mood(), without);
    gw_a(&mut w, describes(true));
    call(&mut w, &knows("Supported"));
    assert_eq!(
        said(&w, &Method::Invite, 0, Name::Supported),
        ["timer, replaces"]
    );
    assert_eq!(said(&w, &Method::Invite, 183, Name::Require), [""]);
    let mut w = World::with_trunks(1, Weather::default(), mood(), without);
    call(&mut w, &knows("Require"));
    assert_eq!(
        said(&w, &Method::Invite, 420, Name::Unsupported),
        ["100rel"]
    );
}

/// K9, K10: the offer comes in the callee's 183, the answer in the caller's PRACK.
#[test]
fn delayed_offer_settled_early() {
    let errand = Errand {
        offer: false,
        ..knows("Supported")
    };
    flow("delayed_offer_settled_early", &errand, describes(true));
}

/// K9, K10: without an offer and with a caller that does not know PRACK, an offer in a 183 could not
/// be answered: the callee is not told that 183 may be reliable.
#[test]
fn delayed_offer_of_a_caller_without_it() {
    let errand = Errand {
        offer: false,
        ..Errand::to("1")
    };
    let ring = Manner {
        ring: Manner::default().ring,
        ..describes(true)
    };
    let w = flow("delayed_offer_of_a_caller_without_it", &errand, ring);
    assert_eq!(
        said(&w, &Method::Invite, 0, Name::Supported),
        ["timer, replaces"]
    );
}

/// K10: a lost 183 is sent again by us, a lost PRACK by the caller; the callee hears one PRACK.
#[test]
fn lost_183_and_prack() {
    let mut w = world();
    w.lose("SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP 127.0.0.11");
    w.lose("PRACK sip:127.0.0.1:5060");
    gw_a(&mut w, describes(true));
    call(&mut w, &knows("Supported"));
    check("lost_183_and_prack", &mut w);
}

/// RFC 3262 §3: a caller that never acknowledges is refused after 64·T1, and the callee cancelled.
#[test]
fn caller_that_never_acknowledges() {
    let mut w = world();
    for _ in 0..40 {
        w.lose("SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP 127.0.0.11");
    }
    let manner = Manner {
        last: Final::Rings,
        ..describes(false)
    };
    gw_a(&mut w, manner);
    call(&mut w, &knows("Supported"));
    check("caller_that_never_acknowledges", &mut w);
}

/// RFC 3262 §3: no 2xx while a session waits for its PRACK. The callee repeats its own meanwhile.
#[test]
fn answer_waits_for_the_prack() {
    let mut w = world();
    w.lose("SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP 127.0.0.11");
    w.lose("SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP 127.0.0.11");
    gw_a(&mut w, describes(false));
    call(&mut w, &knows("Supported"));
    check("answer_waits_for_the_prack", &mut w);
}

/// K2: the caller gives up while the callee's 2xx waits for the PRACK: ACK, then BYE.
#[test]
fn cancel_while_the_answer_waits() {
    let mut w = world();
    for _ in 0..3 {
        w.lose("SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP 127.0.0.11");
    }
    gw_a(&mut w, describes(false));
    let errand = Errand {
        cancel: Some(ms(300)),
        ..knows("Supported")
    };
    call(&mut w, &errand);
    check("cancel_while_the_answer_waits", &mut w);
}

/// K3: two forks each describe a session reliably; one after the other reaches the caller, under a To
/// tag of its own, for a dialog takes one answer to its offer. The one that answers first wins.
#[test]
fn forks_that_are_reliable() {
    let manner = Manner {
        forks: 2,
        ..describes(true)
    };
    flow("forks_that_are_reliable", &knows("Supported"), manner);
}

/// K3, K9: the caller has settled its session with one called side when another one answers: that
/// one's offer comes to it in a dialog of its own, and its answer goes there.
#[test]
fn settled_with_one_and_answered_by_another() {
    let mood = Mood::verdict(|| {
        let mut plan = sim::policy::plan_to(&["gw-a", "gw-b"]);
        plan.candidates[0].ring_ms = Some(1_000);
        intertrunk_proto::ask::Verdict::Connect(plan)
    });
    for offer in [true, false] {
        let mut w = World::new(1, Weather::default(), mood.clone());
        let rings = Manner {
            last: Final::Rings,
            ..describes(true)
        };
        gw_a(&mut w, rings);
        let errand = Errand {
            offer,
            ..knows("Supported")
        };
        call(&mut w, &errand);
        let tag = |code| said(&w, &Method::Invite, code, Name::To)[0].clone();
        assert_ne!(tag(183), tag(200), "another dialog");
        let name = if offer { "offered" } else { "not_offered" };
        check(
            &format!("settled_with_one_and_answered_by_another_{name}"),
            &mut w,
        );
    }
}

/// K7: before the answer an UPDATE crosses once both exchanges are over, from either side.
#[test]
fn update_before_the_answer() {
    let late = Manner {
        last: Final::Answer(ms(500)),
        ..describes(true)
    };
    let errand = Errand {
        early_update: Some(ms(100)),
        ..knows("Supported")
    };
    flow("update_before_the_answer", &errand, late);
    let manner = Manner {
        early_update: Some(ms(100)),
        ..late
    };
    flow(
        "update_of_the_callee_before_the_answer",
        &knows("Supported"),
        manner,
    );
    let both = Errand {
        early_update: Some(ms(102)),
        ..knows("Supported")
    };
    flow("glare_before_the_answer", &both, manner);
}

/// RFC 3311 §5.2: the caller's exchange is not over: the callee's UPDATE has to wait.
#[test]
fn update_that_the_caller_cannot_take() {
    let manner = Manner {
        last: Final::Answer(ms(500)),
        early_update: Some(ms(100)),
        ..describes(true)
    };
    flow(
        "update_that_the_caller_cannot_take",
        &Errand::to("1"),
        manner,
    );
}

/// K19: INFO before the answer goes to the early dialog that the caller hears.
#[test]
fn info_before_the_answer() {
    let errand = Errand {
        early_info: Some(ms(20)),
        ..Errand::to("1")
    };
    flow("info_before_the_answer", &errand, Manner::default());
}

/// Before the answer a called side that knows nothing of an early dialog is not the whole call.
#[test]
fn info_before_the_answer_refused() {
    let errand = Errand {
        early_info: Some(ms(20)),
        ..Errand::to("1")
    };
    let manner = Manner {
        renegotiation: Renegotiation::Refuses(481),
        ..Manner::default()
    };
    flow("info_before_the_answer_refused", &errand, manner);
}

/// RFC 6228: 199 ends an early dialog, and no caller hears of it.
#[test]
fn early_dialog_that_ends() {
    let manner = Manner {
        ring: Some(Ring {
            after: ms(20),
            code: 199,
        }),
        reliable: true,
        ..Manner::default()
    };
    flow("early_dialog_that_ends", &Errand::to("1"), manner);
}
