//! Flows in which somebody takes a call that rings elsewhere: an INVITE with Replaces that names the
//! dialog of a called side that has not answered (RFC 3891 §3).

use intertrunk_proto::ask::Verdict;
use intertrunk_sip::Message;
use sim::policy::plan_to;
use sim::{Errand, Final, Manner, Mood, Renegotiation, Ring, Weather, World, ms};

use super::check;

/// pbx-a's call rings at a telephone of pbx-b, which does not answer.
fn ringing(errand: &Errand) -> World {
    let mood = Mood::asked(|query| {
        let trunk = if query.call.callee.user == "2" {
            "gw-a"
        } else {
            "pbx-b"
        };
        Verdict::Connect(plan_to(&[trunk]))
    });
    let mut w = World::new(1, Weather::default(), mood);
    let manner = Manner {
        last: Final::Rings,
        ..Manner::default()
    };
    w.ua("pbx-b").manners.push(manner);
    let now = w.now;
    w.ua("pbx-a").place(errand, now);
    w.run(ms(1_000));
    w
}

fn talks() -> Errand {
    Errand {
        hang_up: None,
        ..Errand::to("1")
    }
}

/// The Replaces that names the dialog that rings.
fn named(w: &mut World) -> String {
    let ua = w.ua("pbx-b");
    let call_id = ua.sides.keys().next().unwrap().clone();
    ua.replaces(&call_id).unwrap()
}

/// Another telephone of a trunk wants the call that rings.
fn pick_up(w: &mut World, who: &str, replaces: String, errand: Errand, time: u64) {
    let errand = Errand {
        headers: vec![("Replaces".to_owned(), replaces)],
        ..errand
    };
    let now = w.now;
    w.ua(who).place(&errand, now);
    w.run(ms(time));
}

fn hang_up(w: &mut World, who: &str) {
    let now = w.now;
    w.ua(who).hang_up(now);
    w.run(ms(5_000));
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

/// K3, K20: who rang is told that the call was answered elsewhere; the newcomer hears the caller's
/// session, the caller the newcomer's.
#[test]
fn picked_up_by_another_telephone() {
    let mut w = ringing(&talks());
    let replaces = named(&mut w);
    pick_up(&mut w, "pbx-b", replaces, talks(), 1_000);
    let cancel = w.sent_to("pbx-b", "CANCEL").remove(0);
    assert!(
        cancel
            .header(intertrunk_sip::Name::Reason)
            .unwrap()
            .ends_with(b"elsewhere\"")
    );
    let first = w.sent_to("pbx-b", "SIP/2.0 200").remove(0);
    assert!(text(&first).contains("c=IN IP4 0.0.0.0") && text(&first).contains("a=inactive"));
    let invites = w.sent_to("pbx-b", "INVITE");
    assert!(
        text(&invites[1]).contains("c=IN IP4 10.0.0.11"),
        "the caller's media"
    );
    let answer = w.sent_to("pbx-a", "SIP/2.0 200").remove(0);
    assert!(
        text(&answer).contains("c=IN IP4 10.0.0.12"),
        "the newcomer's"
    );
    let active = ["pbx-a", "pbx-b"].map(|name| w.state(name).active());
    assert_eq!(active, [1, 1]);
    hang_up(&mut w, "pbx-a");
    check("picked_up_by_another_telephone", &mut w);
    assert_eq!(w.records()[0].egress_trunk.as_deref(), Some("pbx-b"));
}

/// RFC 3891 §3: `early-only` is for this.
#[test]
fn picked_up_only_while_it_rings() {
    let mut w = ringing(&talks());
    let replaces = named(&mut w) + ";early-only";
    pick_up(&mut w, "pbx-b", replaces, talks(), 1_000);
    assert_eq!(w.state("pbx-b").active(), 1);
    hang_up(&mut w, "pbx-b");
    check("picked_up_only_while_it_rings", &mut w);
}

/// K14: a telephone in another call gives the one that rings to its party there: the host picks it up
/// in that party's name, from one call to another.
#[test]
fn ringing_call_is_given_to_another() {
    let mut w = ringing(&talks());
    let replaces = named(&mut w).replace(';', "%3B").replace('=', "%3D");
    let now = w.now;
    let talking = w.ua("pbx-b").place(
        &Errand {
            callee: "2".to_owned(),
            ..talks()
        },
        now,
    );
    w.run(ms(1_000));
    let refer_to = format!("<sip:1@127.0.0.1?Replaces={replaces}>");
    let now = w.now;
    w.ua("pbx-b").refer_in(&talking, &refer_to, &[], now);
    w.run(ms(2_000));
    let told = w.ua("pbx-b").told();
    assert_eq!(told.last().unwrap(), "SIP/2.0 200 OK");
    let active = ["pbx-a", "pbx-b", "gw-a"].map(|name| w.state(name).active());
    assert_eq!(active, [1, 0, 1]);
    hang_up(&mut w, "pbx-a");
    check("ringing_call_is_given_to_another", &mut w);
}

/// K9: a caller without an offer gets the newcomer's, and answers it.
#[test]
fn picked_up_from_a_caller_without_an_offer() {
    let errand = Errand {
        offer: false,
        ..talks()
    };
    let mut w = ringing(&errand);
    let replaces = named(&mut w);
    pick_up(&mut w, "pbx-b", replaces, talks(), 1_000);
    hang_up(&mut w, "pbx-a");
    check("picked_up_from_a_caller_without_an_offer", &mut w);
}

/// K9: a newcomer without an offer gets the caller's.
#[test]
fn picked_up_by_a_newcomer_without_an_offer() {
    let errand = Errand {
        offer: false,
        ..talks()
    };
    let mut w = ringing(&talks());
    let replaces = named(&mut w);
    pick_up(&mut w, "pbx-b", replaces, errand, 1_000);
    hang_up(&mut w, "pbx-a");
    check("picked_up_by_a_newcomer_without_an_offer", &mut w);
}

/// A newcomer that does not come to terms with the caller's session: nobody else rings any more, and
/// the caller is told.
#[test]
fn newcomer_refuses_the_caller() {
    let errand = Errand {
        renegotiation: Renegotiation::Refuses(488),
        ..talks()
    };
    let mut w = ringing(&talks());
    let replaces = named(&mut w);
    pick_up(&mut w, "pbx-b", replaces, errand, 1_000);
    check("newcomer_refuses_the_caller", &mut w);
    assert_eq!(w.records()[0].final_code, 480);
}

/// K1: the caller gives up while the newcomer is being connected.
#[test]
fn caller_gives_up_while_picked_up() {
    let errand = Errand {
        cancel: Some(ms(1_100)),
        ..talks()
    };
    let mut w = ringing(&errand);
    let replaces = named(&mut w);
    let slow = Errand {
        renegotiation: Renegotiation::AcceptsAfter(ms(500)),
        ..talks()
    };
    pick_up(&mut w, "pbx-b", replaces, slow, 3_000);
    check("caller_gives_up_while_picked_up", &mut w);
    assert_eq!(w.records()[0].final_code, 487);
}

/// K8: the newcomer hangs up while it is being connected.
#[test]
fn newcomer_hangs_up_while_it_picks_up() {
    let mut w = ringing(&talks());
    let replaces = named(&mut w);
    let slow = Errand {
        renegotiation: Renegotiation::AcceptsAfter(ms(500)),
        hang_up: Some(ms(100)),
        ..talks()
    };
    pick_up(&mut w, "pbx-b", replaces, slow, 3_000);
    check("newcomer_hangs_up_while_it_picks_up", &mut w);
}

/// A newcomer that never acknowledges leaves nobody waiting.
#[test]
fn newcomer_never_acknowledges() {
    let mut w = ringing(&talks());
    let replaces = named(&mut w);
    let deaf = Errand {
        no_ack: true,
        ..talks()
    };
    pick_up(&mut w, "pbx-b", replaces, deaf, 40_000);
    check("newcomer_never_acknowledges", &mut w);
    assert_eq!(w.records()[0].final_code, 480);
}

/// K2: who rings answers in the very moment that the call is picked up: ACK, then BYE.
#[test]
fn answered_as_it_is_picked_up() {
    let mut w = World::new(1, Weather::default(), Mood::connect(&["pbx-b"]));
    let manner = Manner {
        ring: Some(Ring {
            after: ms(20),
            code: 180,
        }),
        last: Final::AnswersCancel,
        ..Manner::default()
    };
    w.ua("pbx-b").manners.push(manner);
    let now = w.now;
    w.ua("pbx-a").place(&talks(), now);
    w.run(ms(1_000));
    let replaces = named(&mut w);
    pick_up(&mut w, "pbx-b", replaces, talks(), 1_000);
    hang_up(&mut w, "pbx-a");
    check("answered_as_it_is_picked_up", &mut w);
}

/// RFC 3891 §3: 403 to another trunk, 481 for what does not ring, or was begun by its own side.
#[test]
fn pickups_that_are_refused() {
    let mut w = ringing(&talks());
    let right = named(&mut w);
    let of_caller = {
        let ua = w.ua("pbx-a");
        let call_id = ua.sides.keys().next().unwrap().clone();
        // The caller knows our tag from the 180.
        let said = w.sent_to("pbx-a", "SIP/2.0 180").remove(0);
        let ours = String::from_utf8_lossy(said.to_tag().unwrap()).into_owned();
        let theirs = String::from_utf8_lossy(said.from_tag().unwrap()).into_owned();
        format!("{call_id};to-tag={ours};from-tag={theirs}")
    };
    let wrong = right.replace("from-tag=", "from-tag=x");
    for (who, replaces, code) in [
        ("gw-a", right, "403 "),
        ("pbx-b", wrong, "481 "),
        ("pbx-a", of_caller, "481 "),
    ] {
        let before = w.ladder.len();
        pick_up(&mut w, who, replaces, talks(), 500);
        let answered = |l: &String| l.contains("<--") && l.contains(code);
        assert!(
            w.ladder[before..].iter().any(answered),
            "{code}: {:?}",
            w.ladder
        );
        assert_eq!(w.calls().len(), 1);
    }
}
