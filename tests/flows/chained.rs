//! Flows in which one policy passes to the next, or asks outside sources before it decides.

use std::cell::Cell;

use intertrunk_proto::ask::{Answered, Cause, Inquiry, LookUp, Verdict};
use intertrunk_proto::{Event, Input, PolicyId};
use sim::{Errand, Weather, ms, policy};

use super::{Mood, World, call, check};

/// A world whose second policy follows the first.
fn chained(mood: Mood) -> World {
    let mut w = World::with_trunks(1, Weather::default(), mood, |trunk| {
        trunk.then = vec![PolicyId(1)];
    });
    // It knows of one policy only.
    w.reference = None;
    w
}

/// R14, R28, B12: the first policy has no opinion; the second decides, with its own pin, and is the one recorded.
#[test]
fn a_pass_goes_on_to_the_next_policy() {
    let asked = Cell::new(0);
    let mood = Mood::verdict(move || {
        asked.set(asked.get() + 1);
        match asked.get() {
            1 => Verdict::Pass,
            _ => Verdict::Connect(policy::plan_to(&["gw-a"])),
        }
    });
    let mut w = chained(mood);
    call(&mut w, &Errand::to("1"));
    check("a_pass_goes_on_to_the_next_policy", &mut w);
    let record = w.records()[0];
    assert_eq!((&*record.policy, record.generation), ("last", 1));
    assert!(
        record
            .because
            .iter()
            .any(|line| line == "main passes, last decides")
    );
    assert_eq!(record.fallback, None);
}

/// The last of the chain has nobody to pass to: its fallback decides.
#[test]
fn a_pass_of_the_last_policy_is_a_fault() {
    let mut w = chained(Mood::verdict(|| Verdict::Pass));
    call(&mut w, &Errand::to("1"));
    check("a_pass_of_the_last_policy_is_a_fault", &mut w);
    let record = w.records()[0];
    assert_eq!((&*record.policy, record.final_code), ("last", 500));
    assert!(record.fallback.is_some());
}

/// Asks for a name first, and routes by it.
fn inquiring() -> World {
    let mood = Mood::asked(|query| match &query.cause {
        Cause::Answered(answers) => {
            assert_eq!(
                query.cookie, b"mine",
                "the cookie comes back with the answers"
            );
            match &answers[0].outcome {
                Ok(trunk) if trunk == "gw-b" => Verdict::Connect(policy::plan_to(&["gw-b"])),
                _ => Verdict::Connect(policy::plan_to(&["gw-a"])),
            }
        }
        _ => Verdict::Inquire(Inquiry {
            look_ups: vec![LookUp {
                source: "lcr".to_owned(),
                key: query.call.callee.user.clone(),
                timeout_ms: Some(500),
            }],
            cookie: b"mine".to_vec(),
        }),
    });
    let mut w = World::new(1, Weather::default(), mood);
    w.reference = None;
    w
}

#[test]
fn an_inquiry_is_answered_and_the_policy_asked_again() {
    let mut w = inquiring();
    let now = w.now;
    w.ua("pbx-a").place(&Errand::to("1"), now);
    w.run(ms(100));
    let (ask, look_ups) = w.inquiries.remove(0);
    assert_eq!((&*look_ups[0].source, &*look_ups[0].key), ("lcr", "1"));
    let answers = vec![Answered {
        source: "lcr".to_owned(),
        key: "1".to_owned(),
        outcome: Ok("gw-b".to_owned()),
    }];
    w.input(Input::Inquired { ask, answers });
    check("an_inquiry_is_answered_and_the_policy_asked_again", &mut w);
    let record = w.records()[0];
    assert_eq!(record.egress_trunk.as_deref(), Some("gw-b"));
    assert!(record.because.contains(&"lcr says of 1: gw-b".to_owned()));
    assert_eq!(record.looked_up[0].to_string(), "source lcr, 1: gw-b");
    assert!(w.forgotten.is_empty());
}

/// The caller hangs up: whoever is looking things up is told to stop, and what comes is too late.
#[test]
fn a_cancel_ends_an_inquiry() {
    let mut w = inquiring();
    call(
        &mut w,
        &Errand {
            cancel: Some(ms(50)),
            ..Errand::to("1")
        },
    );
    let (ask, _) = w.inquiries.remove(0);
    assert_eq!(w.forgotten, [ask]);
    let answers = Vec::new();
    w.input(Input::Inquired { ask, answers });
    assert!(matches!(w.events.last(), Some((_, Event::LateAnswer))));
    check("a_cancel_ends_an_inquiry", &mut w);
    assert_eq!(w.records()[0].final_code, 487);
}

/// Nobody answers: after the look-up's time the fallback decides.
#[test]
fn an_inquiry_without_an_answer_ends_in_the_fallback() {
    let mut w = inquiring();
    call(&mut w, &Errand::to("1"));
    assert_eq!(w.forgotten.len(), 1);
    check("an_inquiry_without_an_answer_ends_in_the_fallback", &mut w);
    assert_eq!(w.records()[0].final_code, 503);
}
