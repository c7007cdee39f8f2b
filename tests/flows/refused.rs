//! Flows in which the call comes to nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use intertrunk_proto::ask::{Party, PolicyFault, Rejection, Verdict};
use intertrunk_proto::{Event, Fallback, Input, PolicyId, TrunkId};
use sim::{Decision, Errand, Final, Manner, Weather, ms, policy};

use super::{Mood, World, call, check, gw_a, world};

fn deciding(mood: Mood) -> World {
    World::new(1, Weather::default(), mood)
}

/// R17: refused by the policy.
#[test]
fn refused_by_the_policy() {
    let rejection = || Rejection {
        code: 403,
        phrase: Some("Not Today".to_owned()),
        q850: Some(21),
        retry_after_s: Some(60),
    };
    let mut w = deciding(Mood::verdict(move || Verdict::Reject(rejection())));
    call(&mut w, &Errand::to("1900"));
    check("refused_by_the_policy", &mut w);
}

/// R18: redirected by the policy.
#[test]
fn redirected_by_the_policy() {
    let party = || Party {
        user: "0200".into(),
        host: "pbx.example.com".into(),
        ..Party::default()
    };
    let mut w = deciding(Mood::verdict(move || Verdict::Redirect(vec![party()])));
    call(&mut w, &Errand::to("0100"));
    check("redirected_by_the_policy", &mut w);
}

/// K1: a CANCEL while the decision is pending dials nobody; the verdict changes nothing.
#[test]
fn cancel_while_asking() {
    let late = || {
        let plan = Verdict::Connect(policy::plan_to(&["gw-a"]));
        Decision::After(ms(200), Box::new(Ok(plan)))
    };
    let mut w = deciding(Mood::Always(std::sync::Arc::new(late)));
    call(
        &mut w,
        &Errand {
            cancel: Some(ms(50)),
            ..Errand::to("1")
        },
    );
    assert!(w.events.iter().any(|(_, e)| matches!(e, Event::LateAnswer)));
    assert!(
        !w.events
            .iter()
            .any(|(_, e)| matches!(e, Event::AttemptStarted { .. }))
    );
    check("cancel_while_asking", &mut w);
}

#[test]
fn cancel_while_ringing() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            last: Final::Rings,
            ..Manner::default()
        },
    );
    call(
        &mut w,
        &Errand {
            cancel: Some(ms(500)),
            ..Errand::to("1")
        },
    );
    check("cancel_while_ringing", &mut w);
}

/// K2: the callee answers as the CANCEL comes: ACK, then BYE.
#[test]
fn cancel_crosses_answer() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            last: Final::AnswersCancel,
            ..Manner::default()
        },
    );
    call(
        &mut w,
        &Errand {
            cancel: Some(ms(500)),
            ..Errand::to("1")
        },
    );
    check("cancel_crosses_answer", &mut w);
}

#[test]
fn bye_before_the_answer() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            last: Final::Rings,
            ..Manner::default()
        },
    );
    call(
        &mut w,
        &Errand {
            early_bye: Some(ms(100)),
            ..Errand::to("1")
        },
    );
    check("bye_before_the_answer", &mut w);
}

/// R26: trap falls back to a code.
#[test]
fn trap_falls_back_to_a_code() {
    let mut w = deciding(Mood::fault(PolicyFault::Trap("unreachable".into())));
    call(&mut w, &Errand::to("1"));
    assert_eq!(
        w.records()[0].fallback,
        Some(PolicyFault::Trap("unreachable".into()))
    );
    check("trap_falls_back_to_a_code", &mut w);
}

/// R26: trap falls back to a route.
#[test]
fn trap_falls_back_to_a_route() {
    let mut w = deciding(Mood::fault(PolicyFault::Memory));
    w.fall_back_to(Fallback::Route(vec![TrunkId(3), TrunkId(2)]));
    call(&mut w, &Errand::to("1"));
    check("trap_falls_back_to_a_route", &mut w);
}

/// The machine's own deadline: a policy that never answers costs a quarter of a second.
#[test]
fn policy_that_never_answers() {
    let mut w = deciding(Mood::Always(std::sync::Arc::new(|| Decision::Never)));
    w.fall_back_to(Fallback::Route(vec![TrunkId(2)]));
    call(&mut w, &Errand::to("1"));
    assert_eq!(w.records()[0].fallback, Some(PolicyFault::Timeout));
    check("policy_that_never_answers", &mut w);
}

/// S2: the host refuses PSTN to PSTN, whatever the policy says.
#[test]
fn pstn_to_pstn() {
    let mut w = deciding(Mood::connect(&["gw-b"]));
    let now = w.now;
    w.ua("gw-a").place(&Errand::to("+4420"), now);
    w.run(ms(1_000));
    assert!(
        w.records()[0].refused[0].contains("PSTN to PSTN"),
        "{:?}",
        w.records()[0].refused
    );
    check("pstn_to_pstn", &mut w);
}

#[test]
fn back_to_where_it_came_from() {
    let mut w = deciding(Mood::connect(&["pbx-a", "gw-a"]));
    call(&mut w, &Errand::to("1"));
    assert!(
        w.records()[0].refused[0].contains("leads back"),
        "{:?}",
        w.records()[0].refused
    );
    check("back_to_where_it_came_from", &mut w);
}

#[test]
fn requests_that_make_no_call() {
    let mut w = world();
    let with = |name: &str, value: &str| Errand {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..Errand::to("1")
    };
    call(&mut w, &with("Require", "precondition"));
    call(&mut w, &Errand::to("mailto:somebody@example.com"));
    w.input(Input::Drain);
    call(&mut w, &Errand::to("1"));
    w.input(Input::Resume);
    let options = |to: &str| {
        format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {to};rport;branch=z9hG4bK1\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: o{to}\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
    };
    w.inject("127.0.0.11:5070", options("127.0.0.11:5070"));
    w.inject("127.0.0.99:5070", options("127.0.0.99:5070"));
    w.run(ms(1_000));
    w.ua("pbx-a").complaints.clear();
    assert!(
        !w.ladder.iter().any(|l| l.contains(" ?")),
        "an unknown source hears nothing"
    );
    check("requests_that_make_no_call", &mut w);
}

/// K18: a request whose hops are used up goes no further.
#[test]
fn no_hops_left() {
    let mut w = world();
    let invite = "INVITE sip:1@x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.11:5070;rport;branch=z9hG4bK1\r\n\
        Max-Forwards: 0\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: 1\r\n\
        CSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.11:5070>\r\nContent-Length: 0\r\n\r\n";
    w.inject("127.0.0.11:5070", invite);
    w.run(ms(1));
    assert!(w.ladder[0].contains("483 Too Many Hops"), "{:?}", w.ladder);
}

/// Another policy decides what the first one cannot; its own fallback ends the matter.
#[test]
fn trap_asks_another_policy() {
    let asked = AtomicU32::new(0);
    let first_traps = move || {
        let verdict = match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Err(PolicyFault::Stack),
            _ => Ok(Verdict::Connect(policy::plan_to(&["gw-a"]))),
        };
        Decision::After(ms(0), Box::new(verdict))
    };
    let mut w = deciding(Mood::Always(std::sync::Arc::new(first_traps)));
    w.fall_back_to(Fallback::Policy(PolicyId(1)));
    call(&mut w, &Errand::to("1"));
    assert_eq!(w.records()[0].fallback, Some(PolicyFault::Stack));
    check("trap_asks_another_policy", &mut w);
}

/// Policies that fall back on each other are asked eight times, then it is enough.
#[test]
fn policies_that_fall_back_on_each_other() {
    let mut w = deciding(Mood::fault(PolicyFault::Memory));
    w.fall_back_to(Fallback::Policy(PolicyId(0)));
    call(&mut w, &Errand::to("1"));
    let faults = |e: &&(_, Event)| matches!(e.1, Event::Decided { fault: Some(_), .. });
    assert_eq!(w.events.iter().filter(faults).count(), 8);
    check("policies_that_fall_back_on_each_other", &mut w);
}

/// N6: RFC 3966: a telephone number is dialled as a user of the trunk.
#[test]
fn telephone_number() {
    let mut w = world();
    call(&mut w, &Errand::to("tel:+1-206-555-0100"));
    check("telephone_number", &mut w);
}
