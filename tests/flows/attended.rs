//! Flows in which one dialog takes the place of another (RFC 3891): an INVITE with Replaces from a
//! peer, and attended transfers, in which a REFER names a dialog of another call.

use intertrunk_proto::EndedBy;
use intertrunk_proto::ask::Verdict;
use sim::policy::plan_to;
use sim::{Errand, Mood, Renegotiation, Weather, World, ms, rules};

use super::{check, talk};

/// Who calls 1 is connected to gw-a, who calls 2 to pbx-b.
fn routed() -> World {
    let mood = Mood::asked(|query| {
        let trunk = match query.call.callee.user.as_str() {
            "2" => "pbx-b",
            _ => "gw-a",
        };
        Verdict::Connect(plan_to(&[trunk]))
    });
    World::new(1, Weather::default(), mood)
}

/// A Replaces value as it stands in a URI.
fn escaped(replaces: &str) -> String {
    replaces.replace(';', "%3B").replace('=', "%3D")
}

/// pbx-a, in its first call, sends its peer to the peer of its second call.
fn transfer(w: &mut World, first: &str, replaces: &str, time: u64) {
    let now = w.now;
    let refer_to = format!("<sip:2@127.0.0.1?Replaces={}>", escaped(replaces));
    w.ua("pbx-a").refer_in(first, &refer_to, &[], now);
    w.run(ms(time));
}

fn hang_up(w: &mut World, who: &str) {
    let now = w.now;
    w.ua(who).hang_up(now);
    w.run(ms(5_000));
}

/// An INVITE from a UA that wants the place of a dialog.
fn call_replacing(w: &mut World, who: &str, replaces: &str) {
    let now = w.now;
    let errand = Errand {
        hang_up: None,
        headers: vec![("Replaces".to_owned(), replaces.to_owned())],
        ..Errand::to("9")
    };
    w.ua(who).place(&errand, now);
    w.run(ms(1_000));
}

/// K14: an attended transfer joins the other sides of two calls of one transferor, which is told
/// and hung up twice. Each call has one record.
#[test]
fn attended_transfer() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "1");
    let second = talk(&mut w, "pbx-a", "2");
    let replaces = w.ua("pbx-a").replaces(&second).unwrap();
    transfer(&mut w, &first, &replaces, 2_000);
    assert_eq!(
        w.ua("pbx-a").told(),
        ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    );
    assert_eq!(
        w.state("pbx-a").active(),
        0,
        "the transferor is out of both"
    );
    assert_eq!(
        (w.state("gw-a").active(), w.state("pbx-b").active()),
        (1, 1)
    );
    hang_up(&mut w, "gw-a");
    check("attended_transfer", &mut w);
    assert_eq!(w.records().len(), 2);
}

/// K14: the same, and the one that was asked last hangs up.
#[test]
fn attended_transfer_ended_by_the_other() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "1");
    let second = talk(&mut w, "pbx-a", "2");
    let replaces = w.ua("pbx-a").replaces(&second).unwrap();
    transfer(&mut w, &first, &replaces, 2_000);
    hang_up(&mut w, "pbx-b");
    assert!(w.calls().is_empty());
    check("attended_transfer_ended_by_the_other", &mut w);
    assert!(w.records().iter().all(|r| r.ended_by != EndedBy::Host));
}

/// K13, K14: joined parties renegotiate through both calls.
#[test]
fn attended_transfer_then_hold() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "1");
    let second = talk(&mut w, "pbx-a", "2");
    let replaces = w.ua("pbx-a").replaces(&second).unwrap();
    transfer(&mut w, &first, &replaces, 2_000);
    let now = w.now;
    w.ua("gw-a").reinvite(now);
    w.run(ms(2_000));
    hang_up(&mut w, "gw-a");
    check("attended_transfer_then_hold", &mut w);
}

/// K14: one side of a joined pair sends itself to the other side, which is itself: the two calls would
/// be joined with each other twice, and with nobody else. It learns so, and the pair goes on.
#[test]
fn joined_pair_is_not_joined_with_itself() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "2");
    let one_end = w.ua("pbx-b").latest().unwrap();
    let second = talk(&mut w, "pbx-a", "2");
    let other_end = w.ua("pbx-b").latest().unwrap();
    let replaces = w.ua("pbx-a").replaces(&second).unwrap();
    transfer(&mut w, &first, &replaces, 2_000);
    let replaces = w.ua("pbx-b").replaces(&other_end).unwrap();
    let refer_to = format!("<sip:2@127.0.0.1?Replaces={}>", escaped(&replaces));
    let now = w.now;
    w.ua("pbx-b").refer_in(&one_end, &refer_to, &[], now);
    w.run(ms(2_000));
    assert_eq!(
        w.ua("pbx-b").told(),
        ["SIP/2.0 100 Trying", "SIP/2.0 482 Loop Detected"]
    );
    assert_eq!(w.state("pbx-b").active(), 2);
    hang_up(&mut w, "pbx-b");
    assert!(w.calls().is_empty());
    check("joined_pair_is_not_joined_with_itself", &mut w);
}

/// K14: a dialog that there is not: the transferor is told, and both calls go on.
#[test]
fn attended_transfer_to_nobody() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "1");
    let second = talk(&mut w, "pbx-a", "2");
    let replaces = w.ua("pbx-a").replaces(&second).unwrap();
    let wrong = replaces.replace("from-tag=", "from-tag=x");
    transfer(&mut w, &first, &wrong, 2_000);
    let told = w.ua("pbx-a").told();
    assert_eq!(
        told.last().unwrap(),
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
    assert_eq!(w.calls().len(), 2);
    hang_up(&mut w, "pbx-a");
    hang_up(&mut w, "pbx-a");
    check("attended_transfer_to_nobody", &mut w);
}

/// K13, K14: the second party refuses the first one's session: both calls go on.
#[test]
fn attended_transfer_refused() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "1");
    let second = talk(&mut w, "pbx-a", "2");
    w.ua("pbx-b").renegotiate(Renegotiation::Refuses(488));
    let replaces = w.ua("pbx-a").replaces(&second).unwrap();
    transfer(&mut w, &first, &replaces, 2_000);
    let told = w.ua("pbx-a").told();
    assert_eq!(told.last().unwrap(), "SIP/2.0 488 Not Acceptable Here");
    assert_eq!(w.calls().len(), 2);
    hang_up(&mut w, "gw-a");
    hang_up(&mut w, "pbx-b");
    check("attended_transfer_refused", &mut w);
}

/// C5: RFC 3891 §3: a peer's new dialog takes the place of its old one.
#[test]
fn replaced_by_its_own_trunk() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "1");
    let replaces = w.ua("pbx-a").replaces(&first).unwrap();
    call_replacing(&mut w, "pbx-a", &replaces);
    let active = |name| w.state(name).active();
    assert_eq!((active("pbx-a"), active("gw-a")), (1, 1));
    hang_up(&mut w, "pbx-a");
    check("replaced_by_its_own_trunk", &mut w);
}

/// RFC 3891 §3: whichever shard owns the newcomer's Call-ID, its INVITE finds the dialog that it
/// names.
#[test]
fn replaced_on_any_shard() {
    let mut w = routed();
    talk(&mut w, "pbx-a", "1");
    for _ in 0..5 {
        let call_id = w.ua("pbx-a").latest().unwrap();
        let replaces = w.ua("pbx-a").replaces(&call_id).unwrap();
        call_replacing(&mut w, "pbx-a", &replaces);
        assert_ne!(w.ua("pbx-a").latest().unwrap(), call_id);
        assert_eq!(w.state("pbx-a").active(), 1);
    }
    hang_up(&mut w, "pbx-a");
    assert!(w.calls().is_empty());
    assert!(rules::settle(&mut w).is_empty(), "{:?}", w.ladder);
    assert!(w.records().len() > 1, "some came by another shard");
}

/// K14: parties on two PSTN trunks are not joined where that pair is not allowed.
#[test]
fn attended_transfer_from_pstn_to_pstn() {
    let mood = Mood::asked(|query| {
        let trunk = match query.call.callee.user.as_str() {
            "2" => "gw-b",
            _ => "gw-a",
        };
        Verdict::Connect(plan_to(&[trunk]))
    });
    let mut w = World::new(1, Weather::default(), mood);
    let first = talk(&mut w, "pbx-a", "1");
    let second = talk(&mut w, "pbx-a", "2");
    let replaces = w.ua("pbx-a").replaces(&second).unwrap();
    transfer(&mut w, &first, &replaces, 2_000);
    assert_eq!(
        w.ua("pbx-a").told().last().unwrap(),
        "SIP/2.0 403 Forbidden"
    );
    assert_eq!(w.calls().len(), 2);
    hang_up(&mut w, "gw-a");
    hang_up(&mut w, "gw-b");
    check("attended_transfer_from_pstn_to_pstn", &mut w);
}

/// RFC 3891 §3: 403 to another trunk, 481 for a dialog that there is not, 486 for one that is
/// up when only an early one was meant, 400 for what names nothing.
#[test]
fn replaces_that_are_refused() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "1");
    let right = w.ua("pbx-a").replaces(&first).unwrap();
    let early = format!("{right};early-only");
    let wrong = right.replace("from-tag=", "from-tag=x");
    for (who, replaces, code) in [
        ("pbx-b", right.as_str(), "403 Forbidden"),
        ("pbx-a", &wrong, "481 "),
        ("pbx-a", &early, "486 "),
        ("pbx-a", &first, "400 "),
    ] {
        let before = w.ladder.len();
        call_replacing(&mut w, who, replaces);
        let answered = |l: &String| l.contains("<--") && l.contains(code);
        assert!(
            w.ladder[before..].iter().any(answered),
            "{code}: {:?}",
            w.ladder
        );
        assert_eq!(w.calls().len(), 1);
    }
    hang_up(&mut w, "pbx-a");
    call_replacing(&mut w, "pbx-a", &right);
    assert!(
        w.ladder.iter().any(|l| l.contains("603 Decline (INVITE)")),
        "the call was over"
    );
}

/// K12: whoever was replaced never acknowledged our 2xx: it is hung up when that is given up, and the two
/// that talk go on.
#[test]
fn replaced_before_it_acknowledged() {
    let mut w = routed();
    let now = w.now;
    let deaf = Errand {
        hang_up: None,
        no_ack: true,
        ..Errand::to("1")
    };
    let first = w.ua("pbx-a").place(&deaf, now);
    w.run(ms(1_000));
    let replaces = w.ua("pbx-a").replaces(&first).unwrap();
    call_replacing(&mut w, "pbx-a", &replaces);
    w.run(ms(40_000));
    assert_eq!((w.calls().len(), w.state("gw-a").active()), (2, 1));
    hang_up(&mut w, "gw-a");
    check("replaced_before_it_acknowledged", &mut w);
}

/// K1, RFC 3891 §3: a newcomer gives up before the party that stays has taken its session: that is asked
/// no more, and the dialog is as it was.
#[test]
fn newcomer_gives_up() {
    let mut w = routed();
    let first = talk(&mut w, "pbx-a", "1");
    w.ua("gw-a")
        .renegotiate(Renegotiation::AcceptsAfter(ms(5_000)));
    let headers = vec![(
        "Replaces".to_owned(),
        w.ua("pbx-a").replaces(&first).unwrap(),
    )];
    let errand = Errand {
        cancel: Some(ms(500)),
        headers,
        ..Errand::to("9")
    };
    let now = w.now;
    w.ua("pbx-a").place(&errand, now);
    w.run(ms(10_000));
    assert_eq!((w.calls().len(), w.state("pbx-a").active()), (1, 1));
    hang_up(&mut w, "gw-a");
    check("newcomer_gives_up", &mut w);
}
