//! Flows in which the call is answered.

use intertrunk_proto::Event;
use intertrunk_sip::Name;
use sim::{Errand, Final, Manner, Ring, ms, policy};

use super::{Mood, World, call, check, gw_a, world};

/// K12, C1: each side is acknowledged by its own dialog.
#[test]
fn plain_call() {
    let mut w = world();
    call(&mut w, &Errand::to("12065550100"));
    check("plain_call", &mut w);
}

#[test]
fn callee_hangs_up() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            hang_up: Some(ms(500)),
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("12065550100"));
    check("callee_hangs_up", &mut w);
}

/// K8: both BYEs are answered, and it is one end.
#[test]
fn both_hang_up_at_once() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            hang_up: Some(ms(500)),
            ..Manner::default()
        },
    );
    call(
        &mut w,
        &Errand {
            hang_up: Some(ms(501)),
            ..Errand::to("12065550100")
        },
    );
    check("both_hang_up_at_once", &mut w);
}

/// K9: the offer comes in the 200, the answer in the ACK.
#[test]
fn delayed_offer() {
    let mut w = world();
    call(
        &mut w,
        &Errand {
            offer: false,
            ..Errand::to("12065550100")
        },
    );
    check("delayed_offer", &mut w);
}

/// C2, M1: early media.
#[test]
fn early_media() {
    let mut w = world();
    let ring = Some(Ring {
        after: ms(20),
        code: 183,
    });
    gw_a(
        &mut w,
        Manner {
            ring,
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("12065550100"));
    check("early_media", &mut w);
}

/// K3, C2: the first 2xx wins, the other fork is acknowledged and ended.
#[test]
fn forked_answers() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            forks: 2,
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("12065550100"));
    check("forked_answers", &mut w);
}

/// K12: the ACK to the callee is lost; its 2xx again gets the same ACK again.
#[test]
fn lost_ack() {
    let mut w = world();
    w.lose("ACK sip:127.0.0.21:5080");
    call(&mut w, &Errand::to("12065550100"));
    check("lost_ack", &mut w);
}

/// K12: a lost 200 is sent again by us, not by the callee.
#[test]
fn lost_answer() {
    let mut w = world();
    call(
        &mut w,
        &Errand {
            hang_up: Some(ms(3_000)),
            ..Errand::to("1")
        },
    );
    w.lose("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.11");
    call(
        &mut w,
        &Errand {
            hang_up: Some(ms(3_000)),
            ..Errand::to("2")
        },
    );
    check("lost_answer", &mut w);
}

/// K12: RFC 3261 §13.3.1.4: resent for 32 seconds, then ended on both legs.
#[test]
fn answer_that_nobody_acknowledges() {
    let mut w = world();
    call(
        &mut w,
        &Errand {
            no_ack: true,
            hang_up: None,
            ..Errand::to("12065550100")
        },
    );
    check("answer_that_nobody_acknowledges", &mut w);
}

/// K13: a re-INVITE crosses, with its own CSeq on each leg.
#[test]
fn reinvite() {
    let mut w = world();
    call(
        &mut w,
        &Errand {
            reinvite: Some(ms(300)),
            ..Errand::to("12065550100")
        },
    );
    check("reinvite", &mut w);
}

/// K13: the callee renegotiates as the caller does.
#[test]
fn reinvite_of_the_callee() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            reinvite: Some(ms(300)),
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("12065550100"));
    check("reinvite_of_the_callee", &mut w);
}

/// K7: both sides at once; each hears 491 and the call goes on.
#[test]
fn glare() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            reinvite: Some(ms(300)),
            ..Manner::default()
        },
    );
    call(
        &mut w,
        &Errand {
            reinvite: Some(ms(301)),
            ..Errand::to("12065550100")
        },
    );
    check("glare", &mut w);
}

/// K19: INFO within a dialog crosses.
#[test]
fn info_crosses() {
    let mut w = world();
    call(
        &mut w,
        &Errand {
            info: Some(ms(300)),
            ..Errand::to("12065550100")
        },
    );
    check("info_crosses", &mut w);
}

/// C16: longest duration.
#[test]
fn longest_duration() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a"]);
        plan.max_duration_s = Some(2);
        intertrunk_proto::ask::Verdict::Connect(plan)
    });
    let mut w = World::new(1, sim::Weather::default(), mood);
    call(
        &mut w,
        &Errand {
            hang_up: None,
            ..Errand::to("12065550100")
        },
    );
    check("longest_duration", &mut w);
}

/// A call that could have lasted for a hundred years and lasts for seconds: its deadline does not
/// stay behind.
#[test]
fn a_far_deadline_does_not_outlive_its_call() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a"]);
        plan.max_duration_s = Some(u32::MAX);
        intertrunk_proto::ask::Verdict::Connect(plan)
    });
    let mut w = World::new(1, sim::Weather::default(), mood);
    call(&mut w, &Errand::to("12065550100"));
    w.run(ms(600_000));
    assert_eq!(w.b2bua.poll_timeout(), None);
    call(
        &mut w,
        &Errand {
            hang_up: None,
            ..Errand::to("12065550100")
        },
    );
    w.run(ms(600_000));
    assert_eq!(w.calls().len(), 1, "waking up ends nothing");
}

/// C9: what the policy says of numbers and headers is what the callee sees.
#[test]
fn numbers_and_headers_as_the_policy_says() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a"]);
        let c = &mut plan.candidates[0];
        c.callee = Some("+12065550199".to_owned());
        let identity = intertrunk_proto::ask::Identity {
            user: "+14255550100".to_owned(),
            display: Some("Front \"desk\"".to_owned()),
        };
        c.caller = Some(identity);
        c.set_headers = vec![intertrunk_proto::ask::HeaderField {
            name: "X-Account".to_owned(),
            value: "42".to_owned(),
        }];
        c.remove_headers = vec!["Subject".to_owned()];
        intertrunk_proto::ask::Verdict::Connect(plan)
    });
    let mut w = World::new(1, sim::Weather::default(), mood);
    let header = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    let headers = vec![
        header("Subject", "secret"),
        header("X-Other", "kept"),
        header("X-Account", "0"),
        header("User-Agent", "phone"),
    ];
    call(
        &mut w,
        &Errand {
            headers,
            ..Errand::to("9206")
        },
    );
    let side = w.ua("gw-a").sides.values().next().unwrap();
    let invite = side.invite().unwrap();
    assert_eq!(invite.request_uri(), "sip:+12065550199@127.0.0.21:5080");
    let text = |name| String::from_utf8_lossy(invite.header(name).unwrap_or_default()).into_owned();
    assert!(text(Name::From).starts_with(r#""Front \"desk\"" <sip:+14255550100@127.0.0.1:5060>"#));
    assert_eq!(text(Name::To), "<sip:+12065550199@127.0.0.21:5080>");
    assert_eq!(text(Name::Subject), "");
    let values = |n| {
        invite
            .header_named(n)
            .map(|v| v.to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(values("X-Account"), [b"42"]);
    assert_eq!(values("X-Other"), [b"kept"]);
    assert_eq!(invite.max_forwards(), Some(69));
    assert_eq!(values("User-Agent").len(), 0);
}

/// N14: a header that the policy sets is there once, also where the host would have printed its own.
#[test]
fn identity_as_the_policy_says() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a"]);
        let header = |name: &str, value: &str| intertrunk_proto::ask::HeaderField {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        plan.candidates[0].set_headers = vec![
            header("P-Asserted-Identity", "<sip:7@x>"),
            header("Privacy", "user"),
        ];
        plan.candidates[0].withhold_caller = true;
        intertrunk_proto::ask::Verdict::Connect(plan)
    });
    let mut w = World::new(1, sim::Weather::default(), mood);
    let asserted = (
        "P-Asserted-Identity".to_owned(),
        "<sip:0100@pbx>".to_owned(),
    );
    call(
        &mut w,
        &Errand {
            headers: vec![asserted],
            ..Errand::to("1")
        },
    );
    let side = w.ua("gw-a").sides.values().next().unwrap();
    let values = |n| {
        side.invite()
            .unwrap()
            .header_named(n)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    assert_eq!(values("P-Asserted-Identity"), [b"<sip:7@x>"]);
    assert_eq!(values("Privacy"), [b"user"]);
}

/// N10: withheld caller.
#[test]
fn withheld_caller() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a"]);
        plan.candidates[0].withhold_caller = true;
        intertrunk_proto::ask::Verdict::Connect(plan)
    });
    let mut w = World::new(1, sim::Weather::default(), mood);
    call(&mut w, &Errand::to("12065550100"));
    let side = w.ua("gw-a").sides.values().next().unwrap();
    let invite = side.invite().unwrap();
    assert!(
        invite
            .header(Name::From)
            .unwrap()
            .starts_with(b"\"Anonymous\" <sip:anonymous@")
    );
    assert_eq!(invite.header(Name::Privacy), Some(b"id".as_slice()));
    assert!(
        !String::from_utf8_lossy(invite.bytes()).contains("sip:0100@"),
        "the number is gone"
    );
}

/// B5: a call that is up keeps its trunk and generation across a reload and a swap.
#[test]
fn swap_and_reload_meanwhile() {
    let mut w = world();
    let now = w.now;
    w.ua("pbx-a").place(
        &Errand {
            hang_up: Some(ms(5_000)),
            ..Errand::to("1")
        },
        now,
    );
    w.run(ms(1_000));
    w.generation = 2;
    w.reload();
    let now = w.now;
    w.ua("pbx-a").place(&Errand::to("2"), now);
    w.run(ms(20_000));
    let mut seen: Vec<_> = w
        .records()
        .iter()
        .map(|r| (r.callee_in.clone(), r.generation))
        .collect();
    seen.sort();
    assert_eq!(seen, [("1".to_owned(), 1), ("2".to_owned(), 2)]);
    check("swap_and_reload_meanwhile", &mut w);
}

#[test]
fn operator_ends_a_call() {
    let mut w = world();
    let now = w.now;
    w.ua("pbx-a").place(
        &Errand {
            hang_up: None,
            ..Errand::to("1")
        },
        now,
    );
    w.run(ms(1_000));
    let id = w.calls()[0];
    w.input(intertrunk_proto::Input::EndCall(id));
    w.run(ms(1_000));
    assert!(
        w.events
            .iter()
            .any(|(_, e)| matches!(e, Event::CallEnded(_)))
    );
    check("operator_ends_a_call", &mut w);
}

/// K3, R15: candidates of one group ring together; who answers last hears CANCEL.
#[test]
fn parallel_ring() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a", "gw-b"]);
        plan.candidates[1].group = 0;
        intertrunk_proto::ask::Verdict::Connect(plan)
    });
    let mut w = World::new(1, sim::Weather::default(), mood);
    gw_a(
        &mut w,
        Manner {
            last: Final::Rings,
            ..Manner::default()
        },
    );
    call(&mut w, &Errand::to("12065550100"));
    check("parallel_ring", &mut w);
}
