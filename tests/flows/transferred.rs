//! Flows in which one side of an answered call sends the other one elsewhere (RFC 3515, RFC 5589).

use intertrunk_proto::ask::{Cause, Query, Verdict};
use intertrunk_proto::{EndedBy, Input};
use sim::policy::plan_to;
use sim::{Final, Manner, Mood, Renegotiation, Ring, Weather, World, ms};

use super::{check, talk};

/// New calls go to gw-a, transferred ones to `target`.
fn routes(query: &Query, target: &'static str) -> Verdict {
    let trunk = match query.cause {
        Cause::Transferred(_) => target,
        _ => "gw-a",
    };
    Verdict::Connect(plan_to(&[trunk]))
}

/// pbx-a talks to gw-a; transfers go to `target`.
fn talking(target: &'static str) -> World {
    let mood = Mood::asked(move |query| routes(query, target));
    let mut w = World::new(1, Weather::default(), mood);
    talk(&mut w, "pbx-a", "1");
    w
}

/// A UA sends a REFER, and some time passes.
fn refer(w: &mut World, who: &str, more: &[(&str, &str)], time: u64) {
    let now = w.now;
    w.ua(who).refer("<sip:200@127.0.0.1>", more, now);
    w.run(ms(time));
}

fn hang_up(w: &mut World, who: &str) {
    let now = w.now;
    w.ua(who).hang_up(now);
    w.run(ms(5_000));
}

/// What the next call to a UA is answered with.
fn next(w: &mut World, who: &str, last: Final) {
    let manner = Manner {
        last,
        ..Manner::default()
    };
    w.ua(who).manners.push(manner);
}

fn told(w: &mut World, who: &str) -> Vec<String> {
    w.ua(who).told()
}

/// K14, R19, C4, C18: the host carries out a blind transfer of the callee, and tells it how far it has come; the
/// target hears the caller's session, the caller the target's.
#[test]
fn blind_transfer_by_the_callee() {
    let mut w = talking("pbx-b");
    refer(&mut w, "gw-a", &[], 2_000);
    let expected = [
        "SIP/2.0 100 Trying",
        "SIP/2.0 180 Ringing",
        "SIP/2.0 200 OK",
    ];
    assert_eq!(told(&mut w, "gw-a"), expected);
    let side = w.ua("pbx-b").sides.values().next().unwrap().clone();
    let body = side.invite().unwrap().body();
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(
        body.contains("c=IN IP4 10.0.0.11"),
        "the caller's media: {body}"
    );
    assert_eq!(
        w.state("gw-a").active(),
        0,
        "the transferor's place is free"
    );
    let view = &w.b2bua.calls()[0];
    let (a, b) = (&view.a_leg, view.b_leg.as_ref().unwrap());
    assert_eq!((&*a.trunk, &*b.trunk), ("pbx-a", "pbx-b"));
    hang_up(&mut w, "pbx-b");
    check("blind_transfer_by_the_callee", &mut w);
    let record = w.records()[0];
    assert_eq!(record.egress_trunk.as_deref(), Some("pbx-b"));
    assert_eq!(record.ended_by, EndedBy::Callee);
}

/// K14: the caller transfers too; the target has its part in the record.
#[test]
fn blind_transfer_by_the_caller() {
    let mut w = talking("pbx-b");
    refer(&mut w, "pbx-a", &[], 2_000);
    hang_up(&mut w, "gw-a");
    check("blind_transfer_by_the_caller", &mut w);
    let record = w.records()[0];
    assert_eq!(record.egress_trunk.as_deref(), Some("gw-a"));
    assert_eq!(record.ended_by, EndedBy::Callee);
}

/// K14: a target that refuses changes nothing but what the transferor knows.
#[test]
fn transfer_to_a_busy_target() {
    let mut w = talking("pbx-b");
    next(&mut w, "pbx-b", Final::Refuse(ms(50), 486));
    refer(&mut w, "gw-a", &[], 2_000);
    assert_eq!(
        told(&mut w, "gw-a").last().unwrap(),
        "SIP/2.0 486 Busy Here"
    );
    assert_eq!(w.calls().len(), 1);
    hang_up(&mut w, "pbx-a");
    check("transfer_to_a_busy_target", &mut w);
}

/// K14, S2: a transfer obeys the guards of the trunk of the party that stays: PSTN to PSTN only where
/// that pair is allowed.
#[test]
fn transfer_from_pstn_to_pstn() {
    let mut w = talking("gw-b");
    refer(&mut w, "pbx-a", &[], 2_000);
    assert_eq!(
        told(&mut w, "pbx-a").last().unwrap(),
        "SIP/2.0 503 Service Unavailable"
    );
    hang_up(&mut w, "pbx-a");
    check("transfer_from_pstn_to_pstn", &mut w);
    assert!(w.records()[0].refused[0].contains("from PSTN to PSTN"));
    assert!(w.ua("gw-b").sides.is_empty());
}

/// K14: the transferor's BYE is early, not the end: the transfer goes on, and it hears the result.
#[test]
fn transferor_hangs_up_at_once() {
    let mut w = talking("pbx-b");
    next(&mut w, "pbx-b", Final::Answer(ms(3_000)));
    refer(&mut w, "gw-a", &[], 500);
    hang_up(&mut w, "gw-a");
    assert_eq!(w.calls().len(), 1);
    hang_up(&mut w, "pbx-a");
    check("transferor_hangs_up_at_once", &mut w);
}

/// K14: a transferor that hung up and a target that does not answer leave nobody to talk to.
#[test]
fn transferor_hangs_up_and_the_target_refuses() {
    let mut w = talking("pbx-b");
    next(&mut w, "pbx-b", Final::Refuse(ms(3_000), 480));
    refer(&mut w, "gw-a", &[], 500);
    hang_up(&mut w, "gw-a");
    assert!(w.calls().is_empty());
    check("transferor_hangs_up_and_the_target_refuses", &mut w);
    assert_eq!(w.records()[0].ended_by, EndedBy::Callee);
}

/// K14: the party that stays hangs up while the target rings: the target is cancelled, the
/// transferor told.
#[test]
fn stays_hangs_up_while_the_target_rings() {
    let mut w = talking("pbx-b");
    next(&mut w, "pbx-b", Final::Rings);
    refer(&mut w, "gw-a", &[], 500);
    hang_up(&mut w, "pbx-a");
    check("stays_hangs_up_while_the_target_rings", &mut w);
}

/// K2, K14: the same, but the target answers in that very moment: ACK, then BYE.
#[test]
fn target_answers_as_the_other_hangs_up() {
    let mut w = talking("pbx-b");
    next(&mut w, "pbx-b", Final::AnswersCancel);
    refer(&mut w, "gw-a", &[], 500);
    hang_up(&mut w, "pbx-a");
    check("target_answers_as_the_other_hangs_up", &mut w);
}

/// K14: the party that stays hangs up while it is asked to take the target's session.
#[test]
fn stays_hangs_up_while_joining() {
    let mut w = talking("pbx-b");
    w.lose("INVITE sip:127.0.0.11:5070 SIP/2.0");
    refer(&mut w, "gw-a", &[], 350);
    hang_up(&mut w, "pbx-a");
    check("stays_hangs_up_while_joining", &mut w);
}

/// K14: the target hangs up in the moment that it is connected: nobody is left behind.
#[test]
fn target_hangs_up_while_joining() {
    let mut w = talking("pbx-b");
    w.lose("INVITE sip:127.0.0.11:5070 SIP/2.0");
    refer(&mut w, "gw-a", &[], 350);
    hang_up(&mut w, "pbx-b");
    assert!(w.calls().is_empty());
    check("target_hangs_up_while_joining", &mut w);
}

/// K13, K14: the party that stays refuses the target's session: the old call goes on.
#[test]
fn stays_refuses_the_target() {
    let mut w = talking("pbx-b");
    w.ua("pbx-a").renegotiate(Renegotiation::Refuses(488));
    refer(&mut w, "gw-a", &[], 2_000);
    assert_eq!(
        told(&mut w, "gw-a").last().unwrap(),
        "SIP/2.0 488 Not Acceptable Here"
    );
    hang_up(&mut w, "gw-a");
    check("stays_refuses_the_target", &mut w);
}

/// K7, K14: glare with the party that stays: it is asked again.
#[test]
fn joining_meets_glare() {
    let mut w = talking("pbx-b");
    refer(&mut w, "gw-a", &[], 103);
    let now = w.now;
    w.ua("pbx-a").reinvite(now);
    w.run(ms(10_000));
    hang_up(&mut w, "pbx-a");
    check("joining_meets_glare", &mut w);
}

/// K14: one transfer at a time.
#[test]
fn second_transfer_while_one_is_pending() {
    let mut w = talking("pbx-b");
    next(&mut w, "pbx-b", Final::Rings);
    refer(&mut w, "gw-a", &[], 500);
    refer(&mut w, "pbx-a", &[], 500);
    hang_up(&mut w, "gw-a");
    hang_up(&mut w, "pbx-a");
    check("second_transfer_while_one_is_pending", &mut w);
}

/// K14: a call that is transferred round and round stops.
#[test]
fn transfers_are_limited() {
    let mood = Mood::asked(|query| {
        let Cause::Transferred(transfer) = &query.cause else {
            return Verdict::Connect(plan_to(&["gw-a"]));
        };
        // Back and forth between the callees.
        let to = if transfer.by == "pbx-b" {
            "gw-a"
        } else {
            "pbx-b"
        };
        Verdict::Connect(plan_to(&[to]))
    });
    let mut w = World::new(1, Weather::default(), mood);
    talk(&mut w, "pbx-a", "1");
    for who in ["gw-a", "pbx-b", "gw-a", "pbx-b", "gw-a"] {
        refer(&mut w, who, &[], 2_000);
    }
    assert!(w.ladder.iter().any(|l| l.contains("603 Decline (REFER)")));
    hang_up(&mut w, "pbx-a");
    check("transfers_are_limited", &mut w);
}

/// K18: each transfer costs a hop.
#[test]
fn a_transfer_takes_a_hop() {
    let mut w = talking("pbx-b");
    refer(&mut w, "gw-a", &[], 2_000);
    let hops = |w: &mut World, who: &str| {
        let side = w.ua(who).sides.values().next().unwrap().clone();
        side.invite().unwrap().max_forwards()
    };
    assert_eq!(
        (hops(&mut w, "gw-a"), hops(&mut w, "pbx-b")),
        (Some(69), Some(68))
    );
}

/// RFC 4488: who wants no NOTIFY gets none, and is told so.
#[test]
fn transfer_without_a_subscription() {
    let mut w = talking("pbx-b");
    refer(&mut w, "gw-a", &[("Refer-Sub", "false")], 2_000);
    assert!(told(&mut w, "gw-a").is_empty());
    hang_up(&mut w, "pbx-a");
    check("transfer_without_a_subscription", &mut w);
}

/// K14: the policy that is asked faults, and its fallback refuses: the old call goes on.
#[test]
fn transfer_that_the_policy_refuses() {
    let mood = Mood::asked(|query| match query.cause {
        Cause::Transferred(_) => Verdict::Pass,
        _ => Verdict::Connect(plan_to(&["gw-a"])),
    });
    let mut w = World::new(1, Weather::default(), mood);
    talk(&mut w, "pbx-a", "1");
    refer(&mut w, "gw-a", &[], 2_000);
    hang_up(&mut w, "pbx-a");
    check("transfer_that_the_policy_refuses", &mut w);
}

/// K14: an operator ends a call whose transfer is under way.
#[test]
fn operator_ends_a_transfer() {
    let mut w = talking("pbx-b");
    next(&mut w, "pbx-b", Final::Rings);
    refer(&mut w, "gw-a", &[], 500);
    let id = w.calls()[0];
    w.input(Input::EndCall(id));
    check("operator_ends_a_transfer", &mut w);
}

/// K5, K14: a transfer has failover like any call.
#[test]
fn transfer_with_failover() {
    let mood = Mood::asked(|query| match query.cause {
        Cause::Transferred(_) => Verdict::Connect(plan_to(&["gw-b", "pbx-b"])),
        _ => Verdict::Connect(plan_to(&["gw-a"])),
    });
    let mut w = World::new(1, Weather::default(), mood);
    talk(&mut w, "pbx-a", "1");
    let manner = Manner {
        ring: None::<Ring>,
        last: Final::Refuse(ms(10), 503),
        ..Manner::default()
    };
    w.ua("gw-b").manners.push(manner);
    refer(&mut w, "gw-a", &[], 2_000);
    hang_up(&mut w, "pbx-a");
    check("transfer_with_failover", &mut w);
}

/// RFC 3515 §2.4.1: what is no transfer of a call is refused.
#[test]
fn refers_that_are_refused() {
    for (refer_to, code) in [
        ("<sip:200@127.0.0.1;method=BYE>", "403 "),
        ("<sips:200@127.0.0.1>", "416 "),
        ("<mailto:a@b>", "416 "),
        ("<sip:>", "400 "),
    ] {
        let mut w = talking("pbx-b");
        let now = w.now;
        w.ua("gw-a").refer(refer_to, &[], now);
        w.run(ms(1_000));
        let line = w.ladder.last().unwrap();
        assert!(line.contains(code) && line.contains("(REFER)"), "{line}");
        assert_eq!(w.calls().len(), 1);
    }
}

/// A trunk that may not transfer is told so.
#[test]
fn trunk_that_may_not_transfer() {
    let mood = Mood::connect(&["gw-a"]);
    let mut w = World::with_trunks(1, Weather::default(), mood, |trunk| {
        trunk.transfers.may_refer = trunk.name.starts_with("pbx");
    });
    talk(&mut w, "pbx-a", "1");
    refer(&mut w, "gw-a", &[], 1_000);
    assert!(
        w.ladder
            .last()
            .unwrap()
            .contains("405 Method Not Allowed (REFER)")
    );
    let allow = |w: &mut World, who: &str| {
        let side = w.ua(who).sides.values().next().unwrap().clone();
        let invite = side.invite().unwrap();
        String::from_utf8_lossy(invite.header(intertrunk_sip::Name::Allow).unwrap()).into_owned()
    };
    assert!(!allow(&mut w, "gw-a").contains("REFER"));
}

/// RFC 3515 §2.4.4, RFC 6665 §4.2.1: a transferor may refresh its subscription and give it up; there is
/// nothing else to subscribe to.
#[test]
fn transferor_subscribes() {
    let mut w = talking("pbx-b");
    next(&mut w, "pbx-b", Final::Answer(ms(3_000)));
    let subscribe = |w: &mut World, event: &str, expires: &str| {
        let now = w.now;
        let lines = [("Event", event), ("Expires", expires)];
        w.ua("gw-a").subscribe(&lines, now);
        w.run(ms(200));
    };
    subscribe(&mut w, "refer", "60");
    assert!(
        w.ladder
            .last()
            .unwrap()
            .contains("489 Bad Event (SUBSCRIBE)")
    );
    refer(&mut w, "gw-a", &[], 500);
    subscribe(&mut w, "presence", "60");
    subscribe(&mut w, "refer", "60");
    subscribe(&mut w, "refer", "0");
    let (trying, ringing) = ("SIP/2.0 100 Trying", "SIP/2.0 180 Ringing");
    w.run(ms(5_000));
    assert_eq!(told(&mut w, "gw-a"), [trying, ringing, ringing, ringing]);
    hang_up(&mut w, "pbx-a");
    check("transferor_subscribes", &mut w);
}
