//! Flows in which one side of an answered call asks again, and the other is slow, stubborn or gone.

use intertrunk_proto::Input;
use intertrunk_sip::Method;
use sim::{Errand, Manner, Renegotiation, ms};

use super::{World, call, check, gw_a, talk, world};

fn answers(renegotiation: Renegotiation) -> Manner {
    Manner {
        renegotiation,
        ..Manner::default()
    }
}

/// A call whose caller asks again after 300 ms; gw-a answers that so.
fn asks_again(renegotiation: Renegotiation, errand: &Errand) -> World {
    let mut w = world();
    gw_a(&mut w, answers(renegotiation));
    let reinvite = errand.reinvite.or(Some(ms(300)));
    call(
        &mut w,
        &Errand {
            reinvite,
            ..errand.clone()
        },
    );
    w
}

/// K13, C10: hold and resume pass, direction unchanged.
#[test]
fn hold_and_resume() {
    let mut w = asks_again(Renegotiation::AcceptsAfter(ms(200)), &Errand::to("1"));
    check("hold_and_resume", &mut w);
}

/// K13: a 488 passes, and the call goes on as it was.
#[test]
fn reinvite_refused() {
    let mut w = asks_again(Renegotiation::Refuses(488), &Errand::to("1"));
    check("reinvite_refused", &mut w);
}

/// K8: RFC 3261 §15.1.2: whoever hangs up ends what is not answered yet.
#[test]
fn bye_while_a_reinvite_is_pending() {
    let errand = Errand {
        hang_up: Some(ms(500)),
        ..Errand::to("1")
    };
    let mut w = asks_again(Renegotiation::AcceptsAfter(ms(5_000)), &errand);
    check("bye_while_a_reinvite_is_pending", &mut w);
}

/// K8: the call is over, but the callee never answers the re-INVITE: it is forgotten, not kept.
#[test]
fn bye_while_a_reinvite_is_stuck() {
    let errand = Errand {
        hang_up: Some(ms(500)),
        ..Errand::to("1")
    };
    let mut w = asks_again(Renegotiation::Stuck, &errand);
    check("bye_while_a_reinvite_is_stuck", &mut w);
}

/// K13: a re-INVITE that is never answered ends at the ringing time; the call goes on as it was.
#[test]
fn reinvite_is_stuck() {
    let errand = Errand {
        hang_up: Some(ms(300_000)),
        ..Errand::to("1")
    };
    let mut w = asks_again(Renegotiation::Stuck, &errand);
    check("reinvite_is_stuck", &mut w);
}

#[test]
fn cancelled_reinvite() {
    let errand = Errand {
        cancel_reinvite: Some(ms(100)),
        ..Errand::to("1")
    };
    let mut w = asks_again(Renegotiation::AcceptsAfter(ms(5_000)), &errand);
    check("cancelled_reinvite", &mut w);
}

/// RFC 3261 §9.1: CANCEL waits until the other side has said anything at all.
#[test]
fn cancelled_reinvite_that_nobody_has_heard() {
    let mut w = world();
    gw_a(&mut w, answers(Renegotiation::AcceptsAfter(ms(5_000))));
    let errand = Errand {
        reinvite: Some(ms(300)),
        cancel_reinvite: Some(ms(10)),
        hang_up: Some(ms(3_000)),
        ..Errand::to("1")
    };
    let now = w.now;
    w.ua("pbx-a").place(&errand, now);
    w.run(ms(350));
    w.lose("INVITE sip:127.0.0.21:5080");
    w.run(ms(30_000));
    check("cancelled_reinvite_that_nobody_has_heard", &mut w);
}

/// K12: the ACK of the first 2xx may be forgotten after 64·T1; that of a later one may not.
#[test]
fn lost_ack_of_a_late_reinvite() {
    let mut w = world();
    let errand = Errand {
        reinvite: Some(ms(31_950)),
        hang_up: Some(ms(70_000)),
        ..Errand::to("1")
    };
    let now = w.now;
    w.ua("pbx-a").place(&errand, now);
    w.run(ms(1_000));
    w.lose("ACK sip:127.0.0.21:5080");
    w.run(ms(100_000));
    check("lost_ack_of_a_late_reinvite", &mut w);
}

/// K8, K12: a BYE that overtakes a lost 200: the caller's INVITE gets its answer all the same.
#[test]
fn bye_crosses_a_lost_answer() {
    let mut w = world();
    w.lose("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.11");
    let errand = Errand {
        early_bye: Some(ms(80)),
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    check("bye_crosses_a_lost_answer", &mut w);
}

/// K8, K12: without an ACK the 2xx goes on for 64·T1, whoever has hung up.
#[test]
fn bye_instead_of_ack() {
    let mut w = world();
    let errand = Errand {
        no_ack: true,
        hang_up: Some(ms(100)),
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    check("bye_instead_of_ack", &mut w);
}

/// K8, K12: RFC 3261 §15: the callee hangs up before the caller has acknowledged; our BYE waits for
/// the ACK.
#[test]
fn callee_hangs_up_before_the_callers_ack() {
    let mut w = world();
    let hang_up = Some(ms(5));
    gw_a(
        &mut w,
        Manner {
            hang_up,
            ..Manner::default()
        },
    );
    let now = w.now;
    w.ua("pbx-a").place(&Errand::to("1"), now);
    w.run(ms(50));
    w.lose("ACK sip:127.0.0.1:5060");
    w.run(ms(10_000));
    check("callee_hangs_up_before_the_callers_ack", &mut w);
}

/// K7, C1: an UPDATE with an offer crosses as a re-INVITE does, without ACK.
#[test]
fn update_crosses() {
    let mut w = world();
    let update = Some(ms(300));
    call(
        &mut w,
        &Errand {
            update,
            ..Errand::to("1")
        },
    );
    check("update_crosses", &mut w);
}

/// K7: a re-INVITE of one side meets an UPDATE of the other: 491 to whoever came second here, and
/// to whoever hears of the other's offer while its own is out. Nobody asks again by itself.
#[test]
fn reinvite_meets_update() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            update: Some(ms(299)),
            ..Manner::default()
        },
    );
    let errand = Errand {
        reinvite: Some(ms(299)),
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    check("reinvite_meets_update", &mut w);
}

/// K7: RFC 3311 §5.1: UPDATE moves the target of later requests, as a re-INVITE does; headers of
/// the new Contact have no place in a request line.
#[test]
fn update_moves_the_target() {
    let mut w = world();
    talk(&mut w, "pbx-a", "1");
    let side = w.ua("gw-a").sides.values().next().unwrap().clone();
    let theirs = side.invite().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let update = format!(
        "UPDATE sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.21:5080;branch=z9hG4bKu\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1@x>;tag={}\r\nTo: <sip:2@y>;tag={}\r\nCall-ID: {}\r\n\
         CSeq: 7 UPDATE\r\nContact: <sip:127.0.0.21:5999?Subject=x>\r\nContent-Length: 0\r\n\r\n",
        side.dialogs[0].tag,
        text(theirs.from_tag().unwrap()),
        text(theirs.call_id()),
    );
    w.inject("127.0.0.21:5080", update);
    w.run(ms(1_000));
    let id = w.calls()[0];
    w.input(Input::EndCall(id));
    let ladder = w.ladder.join("\n");
    assert!(ladder.contains("gw-a   <-- 200 OK (UPDATE)"), "{ladder}");
    assert!(ladder.ends_with("BYE sip:127.0.0.21:5999"), "{ladder}");
}

/// K12: the first 2xx comes again after the re-INVITE has had its own: it gets its own ACK again.
#[test]
fn first_answer_again_after_a_reinvite() {
    let mut w = world();
    let errand = Errand {
        reinvite: Some(ms(300)),
        hang_up: Some(ms(5_000)),
        ..Errand::to("1")
    };
    let now = w.now;
    w.ua("pbx-a").place(&errand, now);
    w.run(ms(1_000));
    let answer = |bytes: &&bytes::Bytes| bytes.starts_with(b"SIP/2.0 200");
    let answer = w.said.iter().find(answer).unwrap().clone();
    w.inject("127.0.0.21:5080", answer);
    w.run(ms(10_000));
    check("first_answer_again_after_a_reinvite", &mut w);
}

/// K19: digits come as INFO, faster than those that have their answer are forgotten.
#[test]
fn many_requests_one_after_the_other() {
    let mut w = world();
    talk(&mut w, "pbx-a", "1");
    for _ in 0..20 {
        let now = w.now;
        w.ua("pbx-a").inform(now);
        w.run(ms(100));
    }
    let answers = w.sent_to("pbx-a", "SIP/2.0 200");
    assert_eq!(
        answers
            .iter()
            .filter(|a| *a.method() == Method::Info)
            .count(),
        20
    );
}
