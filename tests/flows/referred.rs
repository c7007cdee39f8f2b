//! Flows in which the other side carries a REFER out by itself, because its trunk takes REFER (RFC
//! 3515, RFC 5589): it is sent to the host again, and sees nothing of the side that sent it.

use intertrunk_proto::ask::Verdict;
use intertrunk_proto::trunk::Trunk;
use intertrunk_sip::{Message, Name};
use sim::policy::plan_to;
use sim::{Errand, Final, Manner, Mood, Weather, World, ms};

use super::{check, talk};

fn gateways_take_it(trunk: &mut Trunk) {
    trunk.transfers.takes_refer = trunk.name.starts_with("gw");
}

/// Who calls 1 is connected to gw-a, who calls 2 to pbx-b, who calls 3 to gw-b.
fn world(edit: fn(&mut Trunk)) -> World {
    let mood = Mood::asked(|query| {
        let trunk = match query.call.callee.user.as_str() {
            "2" => "pbx-b",
            "3" => "gw-b",
            _ => "gw-a",
        };
        Verdict::Connect(plan_to(&[trunk]))
    });
    World::with_trunks(1, Weather::default(), mood, edit)
}

/// A UA sends a REFER in this call, and two seconds pass.
fn refer(w: &mut World, who: &str, call_id: &str, refer_to: &str, more: &[(&str, &str)]) {
    let now = w.now;
    w.ua(who).refer_in(call_id, refer_to, more, now);
    w.run(ms(2_000));
}

fn hang_up(w: &mut World, who: &str) {
    let now = w.now;
    w.ua(who).hang_up(now);
    w.run(ms(5_000));
}

fn told(w: &mut World, who: &str) -> Vec<String> {
    w.ua(who).told()
}

/// The Refer-To that asks to replace a dialog of a UA.
fn attended(w: &mut World, who: &str, call_id: &str) -> String {
    let replaces = w.ua(who).replaces(call_id).unwrap();
    let replaces = replaces.replace(';', "%3B").replace('=', "%3D");
    format!("<sip:2@127.0.0.1?Replaces={replaces}>")
}

fn line(message: &Message, name: Name) -> String {
    String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned()
}

/// K14, C3: a REFER goes to a peer that takes it, under our name; its call comes back to us and is decided
/// like any other, and what it tells goes to the transferor, without what it says of the target.
#[test]
fn blind_transfer_by_the_other_side() {
    let mut w = world(gateways_take_it);
    let call = talk(&mut w, "pbx-a", "1");
    refer(&mut w, "pbx-a", &call, "<sip:2@10.0.0.9;user=phone>", &[]);
    let expected = [
        "<sip:2@127.0.0.1:5060;user=phone>",
        "<sip:0100@127.0.0.1:5060>",
    ];
    assert_eq!(w.ua("gw-a").referred.heard, [expected]);
    let expected = [
        "SIP/2.0 100 Trying",
        "SIP/2.0 180 Ringing",
        "SIP/2.0 200 OK",
    ];
    assert_eq!(told(&mut w, "pbx-a"), expected);
    let ids: Vec<_> = w
        .sent_to("pbx-a", "NOTIFY")
        .iter()
        .map(|n| line(n, Name::Event))
        .collect();
    assert_eq!(ids, ["refer;id=2"; 3], "as the transferor numbers it");
    let invite = w.sent_to("pbx-b", "INVITE").remove(0);
    assert_eq!(line(&invite, Name::ReferredBy), "<sip:0100@127.0.0.1:5060>");
    hang_up(&mut w, "pbx-a");
    hang_up(&mut w, "pbx-b");
    check("blind_transfer_by_the_other_side", &mut w);
}

/// K14: the callee transfers, too.
#[test]
fn callee_transfers_a_caller_that_takes_it() {
    let mut w = world(|trunk| trunk.transfers.takes_refer = &*trunk.name == "pbx-a");
    talk(&mut w, "pbx-a", "1");
    let call = w.ua("gw-a").latest().unwrap();
    refer(&mut w, "gw-a", &call, "<tel:2>", &[]);
    let [place, _] = &w.ua("pbx-a").referred.heard[0];
    assert_eq!(place, "<sip:2@127.0.0.1:5060;user=phone>");
    hang_up(&mut w, "gw-a");
    hang_up(&mut w, "pbx-a");
    check("callee_transfers_a_caller_that_takes_it", &mut w);
}

/// K14: attended: the peer gets a ticket for the dialog of the transferor's second call, and takes its
/// place there; nothing of the transferor's is in it.
#[test]
fn attended_transfer_by_the_other_side() {
    let mut w = world(gateways_take_it);
    let first = talk(&mut w, "pbx-a", "1");
    let second = talk(&mut w, "pbx-a", "2");
    let refer_to = attended(&mut w, "pbx-a", &second);
    refer(&mut w, "pbx-a", &first, &refer_to, &[]);
    assert_eq!(
        told(&mut w, "pbx-a"),
        ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    );
    hang_up(&mut w, "pbx-a");
    assert_eq!(w.state("pbx-a").active(), 0);
    let up = ["gw-a", "pbx-b"].map(|name| w.state(name).active());
    assert_eq!(up, [1, 1]);
    hang_up(&mut w, "pbx-b");
    check("attended_transfer_by_the_other_side", &mut w);
}

/// K14: a ticket is for the trunk that it was given to, and PSTN is not joined with PSTN by one.
#[test]
fn tickets_that_are_refused() {
    let mut w = world(gateways_take_it);
    w.ua("gw-a").referred.refuses = Some(603);
    let first = talk(&mut w, "pbx-a", "1");
    for (callee, who, code) in [("2", "gw-b", "481 "), ("3", "gw-a", "403 ")] {
        let second = talk(&mut w, "pbx-a", callee);
        let refer_to = attended(&mut w, "pbx-a", &second);
        refer(&mut w, "pbx-a", &first, &refer_to, &[]);
        let [place, _] = w.ua("gw-a").referred.heard.last().unwrap().clone();
        let ticket = place
            .split("Replaces=")
            .nth(1)
            .unwrap()
            .trim_end_matches('>');
        let ticket = ticket.replace("%3B", ";").replace("%3D", "=");
        let errand = Errand {
            headers: vec![("Replaces".to_owned(), ticket)],
            ..Errand::to("9")
        };
        let (now, before) = (w.now, w.ladder.len());
        w.ua(who).place(&errand, now);
        w.run(ms(1_000));
        let answered = |l: &String| l.contains("<--") && l.contains(code);
        assert!(
            w.ladder[before..].iter().any(answered),
            "{:?}",
            &w.ladder[before..]
        );
        assert_eq!(w.calls().len(), 2);
        hang_up(&mut w, "pbx-a");
    }
}

/// K14: a peer that refuses is heard, and tells nobody anything; the call goes on.
#[test]
fn other_side_refuses_to_be_transferred() {
    let mut w = world(gateways_take_it);
    w.ua("gw-a").referred.refuses = Some(603);
    let call = talk(&mut w, "pbx-a", "1");
    refer(&mut w, "pbx-a", &call, "<sip:2@127.0.0.1>", &[]);
    assert!(w.ladder.last().unwrap().contains("603 Decline (REFER)"));
    let lines = [("Event", "refer"), ("Expires", "60")];
    let now = w.now;
    w.ua("pbx-a").subscribe(&lines, now);
    w.run(ms(500));
    assert!(w.ladder.last().unwrap().contains("489 Bad Event"));
    hang_up(&mut w, "gw-a");
    check("other_side_refuses_to_be_transferred", &mut w);
}

/// K14: a call that ends before its transfer does: the transferor hears that it hears no more.
#[test]
fn other_side_never_tells() {
    let mut w = world(gateways_take_it);
    w.ua("gw-a").referred.is_silent = true;
    let call = talk(&mut w, "pbx-a", "1");
    refer(&mut w, "pbx-a", &call, "<sip:2@127.0.0.1>", &[]);
    assert!(told(&mut w, "pbx-a").is_empty());
    let id = w
        .b2bua
        .calls()
        .iter()
        .find(|c| &*c.a_leg.trunk == "pbx-a")
        .unwrap()
        .call;
    w.input(intertrunk_proto::Input::EndCall(id));
    w.run(ms(1_000));
    assert_eq!(told(&mut w, "pbx-a"), ["SIP/2.0 487 Request Terminated"]);
    hang_up(&mut w, "pbx-b");
    check("other_side_never_tells", &mut w);
}

/// RFC 4488: who wants no NOTIFY gets none, and the other side is told so.
#[test]
fn transfer_by_the_other_side_without_a_subscription() {
    let mut w = world(gateways_take_it);
    let call = talk(&mut w, "pbx-a", "1");
    let more = [("Refer-Sub", "false")];
    refer(&mut w, "pbx-a", &call, "<sip:2@127.0.0.1>", &more);
    assert!(told(&mut w, "pbx-a").is_empty());
    hang_up(&mut w, "pbx-a");
    hang_up(&mut w, "gw-a");
    check("transfer_by_the_other_side_without_a_subscription", &mut w);
}

/// RFC 3515 §2.4.6: each of two transfers of one call is told of by its own id; RFC 6665 §4.1.3: and
/// what is told of no REFER is refused.
#[test]
fn two_transfers_of_one_call() {
    let mut w = world(gateways_take_it);
    let busy = Manner {
        last: Final::Refuse(ms(50), 486),
        ..Manner::default()
    };
    w.ua("pbx-b").manners.push(busy);
    let call = talk(&mut w, "pbx-a", "1");
    // Refused by the host: from here on the two sides number differently.
    refer(&mut w, "pbx-a", &call, "<mailto:a@b>", &[]);
    refer(&mut w, "pbx-a", &call, "<sip:2@127.0.0.1>", &[]);
    refer(&mut w, "pbx-a", &call, "<sip:2@127.0.0.1>", &[]);
    let notes = w.sent_to("pbx-a", "NOTIFY");
    let last = |n: &&Message| line(n, Name::SubscriptionState).starts_with("terminated");
    let last = notes.iter().filter(last);
    let ends: Vec<_> = last
        .map(|n| line(n, Name::Event) + &String::from_utf8_lossy(&n.body()))
        .collect();
    let expected = [
        "refer;id=3SIP/2.0 486 Busy Here\r\n",
        "refer;id=4SIP/2.0 200 OK\r\n",
    ];
    assert_eq!(ends, expected);
    let lines = [("Event", "refer;id=3"), ("Expires", "60")];
    let now = w.now;
    w.ua("pbx-a").subscribe(&lines, now);
    w.run(ms(500));
    assert!(w.ladder.last().unwrap().contains("489 Bad Event"));
    hang_up(&mut w, "pbx-a");
    hang_up(&mut w, "gw-a");
    check("two_transfers_of_one_call", &mut w);
}

/// RFC 3892: who transferred is told between trusted trunks only.
#[test]
fn referrer_is_told_within_the_circle_of_trust() {
    for (edit, expected) in [
        (
            gateways_take_it as fn(&mut Trunk),
            "<sip:0100@127.0.0.1:5060>",
        ),
        (
            |trunk| {
                gateways_take_it(trunk);
                trunk.identity.trusted = &*trunk.name != "gw-a";
            },
            "",
        ),
        (
            |trunk| {
                gateways_take_it(trunk);
                trunk.identity.trusted = &*trunk.name != "pbx-a";
            },
            "",
        ),
    ] {
        let mut w = world(edit);
        let call = talk(&mut w, "pbx-a", "1");
        refer(&mut w, "pbx-a", &call, "<sip:2@127.0.0.1>", &[]);
        let [_, by] = &w.ua("gw-a").referred.heard[0];
        assert_eq!(by, expected);
    }
    // The same where the host carries it out.
    for trusted in [true, false] {
        let edit: fn(&mut Trunk) = match trusted {
            true => |_| {},
            false => |trunk| trunk.identity.trusted = &*trunk.name != "pbx-a",
        };
        let mut w = world(edit);
        let call = talk(&mut w, "pbx-a", "1");
        refer(&mut w, "pbx-a", &call, "<sip:2@127.0.0.1>", &[]);
        let invite = w.sent_to("pbx-b", "INVITE").remove(0);
        assert_eq!(invite.header(Name::ReferredBy).is_some(), trusted);
    }
}

/// K14: a transferor that hangs up at once hears no more, and the other side calls all the same.
#[test]
fn transferor_leaves_the_rest_to_the_other_side() {
    let mut w = world(gateways_take_it);
    let call = talk(&mut w, "pbx-a", "1");
    let now = w.now;
    w.ua("pbx-a").refer_in(&call, "<sip:2@127.0.0.1>", &[], now);
    w.run(ms(10));
    hang_up(&mut w, "pbx-a");
    assert_eq!(told(&mut w, "pbx-a"), ["SIP/2.0 100 Trying"]);
    assert_eq!(w.calls().len(), 1);
    hang_up(&mut w, "gw-a");
    check("transferor_leaves_the_rest_to_the_other_side", &mut w);
}
