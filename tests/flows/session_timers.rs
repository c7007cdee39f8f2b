//! Flows with session timers (RFC 4028): each leg has its own, and the host is an end of both.

use intertrunk_proto::Transport;
use intertrunk_proto::trunk::Trunk;
use intertrunk_sip::{Message, Method, Name};
use sim::streams::TCP;
use sim::{Errand, Final, Manner, Mood, Renegotiation, Weather, World, ms};

use super::{call, check, gw_a, world};

const SECOND: u64 = 1_000;

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A caller that wants its session refreshed every `expires`, and takes UPDATE.
fn wants(expires: &str) -> Errand {
    Errand {
        headers: vec![
            header("Supported", "timer"),
            header("Session-Expires", expires),
            header("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE"),
        ],
        hang_up: Some(ms(400 * SECOND)),
        ..Errand::to("1")
    }
}

/// A world whose trunks ask for a session of ten minutes.
fn asking_world() -> World {
    let ask = |trunk: &mut Trunk| trunk.extensions.session_timer_s = Some(600);
    World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a", "gw-b"]), ask)
}

/// What the host has said in messages of this method and code (0: requests).
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

/// K11: who asks is answered though the trunk's timer is off, and is held to its word: without a
/// refresh the call ends on both legs, a little before the time.
#[test]
fn caller_that_never_refreshes() {
    let mut w = world();
    let errand = Errand {
        hang_up: None,
        ..wants("90;refresher=uac")
    };
    call(&mut w, &errand);
    let expires = said(&w, &Method::Invite, 200, Name::SessionExpires);
    assert_eq!(expires, ["90;refresher=uac"]);
    assert_eq!(said(&w, &Method::Invite, 200, Name::Require), ["timer"]);
    let to_gw = said(&w, &Method::Invite, 0, Name::SessionExpires);
    assert_eq!(
        to_gw,
        [""],
        "each leg has its own timer, and that one is off"
    );
    check("caller_that_never_refreshes", &mut w);
}

/// K11, C6: a refresh without a body is answered by the host, and does not cross.
#[test]
fn caller_that_refreshes() {
    let mut w = world();
    let errand = Errand {
        hang_up: Some(ms(100 * SECOND)),
        refresh: Some(ms(45 * SECOND)),
        ..wants("90;refresher=uac")
    };
    call(&mut w, &errand);
    w.run(ms(200 * SECOND));
    let expires = said(&w, &Method::Update, 200, Name::SessionExpires);
    assert_eq!(expires, ["90;refresher=uac"]);
    check("caller_that_refreshes", &mut w);
}

/// K11, C6: the caller leaves the refresh to us: UPDATE at half the interval.
#[test]
fn refresh_by_update() {
    let mut w = world();
    call(&mut w, &wants("600;refresher=uas"));
    w.run(ms(400 * SECOND));
    let expires = said(&w, &Method::Update, 0, Name::SessionExpires);
    assert_eq!(expires, ["600;refresher=uac"]);
    check("refresh_by_update", &mut w);
}

/// K11: a called side that does not take UPDATE gets a re-INVITE that repeats the session.
#[test]
fn refresh_by_reinvite() {
    let mut w = asking_world();
    let errand = Errand {
        hang_up: Some(ms(350 * SECOND)),
        headers: vec![header("Allow", "UPDATE")],
        ..Errand::to("1")
    };
    gw_a(
        &mut w,
        Manner {
            lines: &[("Session-Expires", "600;refresher=uac")],
            ..Manner::default()
        },
    );
    call(&mut w, &errand);
    w.run(ms(400 * SECOND));
    let to_gw = w
        .sent
        .iter()
        .map(|(_, b)| Message::parse(b.clone()).unwrap());
    let invites: Vec<Message> = to_gw
        .filter(|m| m.is_request() && *m.method() == Method::Invite)
        .collect();
    assert_eq!(invites.len(), 2);
    assert_eq!(invites[1].body(), invites[0].body(), "the same session");
    assert_eq!(
        invites[1].header(Name::SessionExpires).unwrap(),
        b"600;refresher=uac"
    );
    check("refresh_by_reinvite", &mut w);
}

/// K11: a refresh that nobody answers ends the call on both legs.
#[test]
fn refresh_that_nobody_answers() {
    let mut w = asking_world();
    gw_a(
        &mut w,
        Manner {
            lines: &[
                ("Session-Expires", "600;refresher=uac"),
                ("Allow", "UPDATE"),
            ],
            renegotiation: Renegotiation::Silent,
            ..Manner::default()
        },
    );
    let errand = Errand {
        hang_up: None,
        headers: vec![header("Allow", "UPDATE")],
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    w.run(ms(500 * SECOND));
    check("refresh_that_nobody_answers", &mut w);
}

/// K11: the same with 481 at once.
#[test]
fn refresh_answered_481() {
    let mut w = asking_world();
    gw_a(
        &mut w,
        Manner {
            lines: &[("Session-Expires", "600;refresher=uac")],
            renegotiation: Renegotiation::Refuses(481),
            ..Manner::default()
        },
    );
    let errand = Errand {
        hang_up: None,
        headers: vec![header("Allow", "UPDATE")],
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    w.run(ms(500 * SECOND));
    check("refresh_answered_481", &mut w);
}

/// K11: another failure leaves the call up until the session's time is over.
#[test]
fn refresh_refused() {
    let mut w = asking_world();
    gw_a(
        &mut w,
        Manner {
            lines: &[("Session-Expires", "600;refresher=uac")],
            renegotiation: Renegotiation::Refuses(488),
            ..Manner::default()
        },
    );
    let errand = Errand {
        hang_up: Some(ms(325 * SECOND)),
        headers: vec![header("Allow", "UPDATE")],
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    w.run(ms(500 * SECOND));
    check("refresh_refused", &mut w);
}

/// RFC 4028 §6: less than we put up with is refused before anybody is asked.
#[test]
fn interval_too_small() {
    let mut w = world();
    call(&mut w, &wants("60"));
    assert_eq!(said(&w, &Method::Invite, 422, Name::MinSe), ["90"]);
    check("interval_too_small", &mut w);
}

/// RFC 4028 §7.3: the called side wants longer sessions: the same attempt asks once more.
#[test]
fn interval_too_small_for_the_callee() {
    let mut w = asking_world();
    let refuse = Final::Refuse(ms(10), 422);
    let refusing = Manner {
        ring: None,
        last: refuse,
        lines: &[("Min-SE", "1800")],
        ..Manner::default()
    };
    gw_a(&mut w, refusing);
    call(&mut w, &Errand::to("1"));
    let asked = said(&w, &Method::Invite, 0, Name::SessionExpires);
    assert_eq!(asked, ["600", "1800"]);
    check("interval_too_small_for_the_callee", &mut w);
}

/// RFC 4028 §7.3, over a connection, where a transaction is gone with its answer.
#[test]
fn interval_too_small_for_the_callee_over_tcp() {
    let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), |trunk| {
        if &*trunk.name == "gw-a" {
            trunk.extensions.session_timer_s = Some(600);
            trunk.peers[0].transport = Transport::Tcp;
            trunk.also_listen.push(TCP);
        }
    });
    let refusing = Manner {
        ring: None,
        last: Final::Refuse(ms(10), 422),
        lines: &[("Min-SE", "1800")],
        ..Manner::default()
    };
    gw_a(&mut w, refusing);
    call(&mut w, &Errand::to("1"));
    let asked = said(&w, &Method::Invite, 0, Name::SessionExpires);
    assert_eq!(asked, ["600", "1800"]);
    check("interval_too_small_for_the_callee_over_tcp", &mut w);
}
