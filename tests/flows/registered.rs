//! Flows with registrations (RFC 3261 §10.2): a model registrar that grants, challenges, wants more time,
//! fails or says nothing.

use std::sync::Arc;

use intertrunk_proto::auth::{Login, Register, Secret};
use intertrunk_proto::trunk::{Health, Peer, Registered, Trunk};
use intertrunk_proto::{Event, Input, TrunkId};
use intertrunk_sip::Message;
use sim::ua::asks::{PASSWORD, REALM, USER};
use sim::ua::registrar::Grants;
use sim::{Errand, Mood, Weather, World, ms};

use super::call;

const SECOND: u64 = 1_000;

/// gw-a wants us to register for an hour.
fn registers(trunk: &mut Trunk) {
    if *trunk.name != *"gw-a" {
        return;
    }
    // Of the shard that is watched.
    trunk.id = TrunkId(trunk.id.0 * 3 + 1);
    trunk.register = Some(Arc::new(Register {
        aor: "sip:4711@carrier.example".into(),
        registrar: Peer::at("127.0.0.21:5080".parse().unwrap()),
        contact_user: "edge".into(),
        expires_s: 3600,
        required: true,
    }));
    trunk.login = Some(Arc::new(Login {
        user: USER.into(),
        password: Secret::new(PASSWORD),
        realm: Some(REALM.into()),
    }));
}

fn world(grants: Grants) -> World {
    let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), registers);
    w.ua("gw-a").grants = Some(grants);
    w
}

fn registers_sent(w: &World) -> Vec<Message> {
    w.sent_to("gw-a", "REGISTER ")
}

fn expires(m: &Message) -> u32 {
    m.u32_header(intertrunk_sip::Name::Expires).unwrap()
}

fn how(w: &World) -> Registered {
    w.state("gw-a").registered.how()
}

/// T11: we register when we start, refresh before the time is up, with one Call-ID and rising CSeq; and the
/// trunk is up from then on.
#[test]
fn a_registration_is_kept() {
    let mut w = world(Grants::default());
    assert_eq!(
        w.state("gw-a").health(),
        Health::Down,
        "it must be registered"
    );
    w.run(ms(2 * SECOND));
    assert_eq!(
        (how(&w), w.state("gw-a").health()),
        (Registered::Yes, Health::Up)
    );
    let first = &registers_sent(&w)[0];
    assert_eq!(first.request_uri(), "sip:127.0.0.21:5080");
    let text = |name| String::from_utf8_lossy(first.header(name).unwrap()).into_owned();
    assert!(text(intertrunk_sip::Name::To).contains("<sip:4711@carrier.example>"));
    assert!(text(intertrunk_sip::Name::Contact).starts_with("<sip:edge@127.0.0.1:5060>"));
    assert_eq!(expires(first), 3600);
    w.run(ms(3530 * SECOND));
    assert_eq!(registers_sent(&w).len(), 1);
    w.run(ms(4 * 3600 * SECOND));
    let all = registers_sent(&w);
    assert_eq!(all.len(), 6, "a minute before each hour is over");
    let same = |m: &Message| m.call_id() == all[0].call_id() && m.from_tag() == all[0].from_tag();
    assert!(all.iter().all(same));
    let numbers: Vec<u32> = all.iter().map(Message::cseq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(how(&w), Registered::Yes);
}

/// T11, S14: a challenge is met; a registrar that wants longer intervals gets them; its own time counts.
#[test]
fn a_registrar_has_its_wishes() {
    let mut w = world(Grants {
        least: 7200,
        gives: Some(600),
        ..Grants::default()
    });
    w.ua("gw-a").asks.all = true;
    w.run(ms(3 * SECOND));
    let asked: Vec<u32> = registers_sent(&w).iter().map(expires).collect();
    assert_eq!(
        asked,
        [3600, 3600, 7200, 7200],
        "challenged twice, 423 between"
    );
    assert_eq!(how(&w), Registered::Yes);
    w.run(ms(545 * SECOND));
    assert_eq!(registers_sent(&w).len(), 6, "ten minutes were granted");
}

/// T11: a failure is tried again, later each time, and calls go elsewhere meanwhile; an answer ends that.
#[test]
fn a_refused_registration_is_tried_again() {
    let mut w = world(Grants {
        refuses: Some(503),
        ..Grants::default()
    });
    w.run(ms(2 * SECOND));
    assert_eq!(
        (how(&w), w.state("gw-a").registered.code()),
        (Registered::Failed, 503)
    );
    call(&mut w, &Errand::to("1"));
    assert!(w.sent_to("gw-a", "INVITE ").is_empty());
    w.run(ms(3 * 3600 * SECOND));
    let tries = registers_sent(&w).len();
    assert!(
        (10..=20).contains(&tries),
        "{tries}: half a minute, a minute, … half an hour"
    );
    w.ua("gw-a").grants = Some(Grants::default());
    w.run(ms(1800 * SECOND));
    assert_eq!(how(&w), Registered::Yes);
    call(&mut w, &Errand::to("1"));
    assert_eq!(w.sent_to("gw-a", "INVITE ").len(), 1);
}

/// T11: a registration lasts for as long as it was granted, though nobody refreshes it.
#[test]
fn a_silent_registrar_loses_us_when_the_time_is_up() {
    let mut w = world(Grants {
        gives: Some(600),
        ..Grants::default()
    });
    w.run(ms(2 * SECOND));
    w.ua("gw-a").grants = Some(Grants {
        silent: true,
        ..Grants::default()
    });
    w.run(ms(590 * SECOND));
    assert_eq!(
        (how(&w), w.state("gw-a").health()),
        (Registered::Yes, Health::Up)
    );
    w.run(ms(20 * SECOND));
    assert_eq!(
        (how(&w), w.state("gw-a").health()),
        (Registered::Failed, Health::Down)
    );
}

/// T11: a drain takes the registration back, and is over only then; a resume registers again.
#[test]
fn a_drain_unregisters() {
    let mut w = world(Grants::default());
    w.run(ms(2 * SECOND));
    w.input(Input::Drain);
    assert!(!w.b2bua.is_idle(), "the registrar has not answered");
    w.run(ms(SECOND));
    assert!(w.b2bua.is_idle());
    let last = registers_sent(&w).pop().unwrap();
    assert_eq!(expires(&last), 0);
    assert_eq!(how(&w), Registered::No);
    w.run(ms(7200 * SECOND));
    assert_eq!(registers_sent(&w).len(), 2);
    w.input(Input::Resume);
    w.run(ms(2 * SECOND));
    assert_eq!((how(&w), registers_sent(&w).len()), (Registered::Yes, 3));
}

/// T11: a trunk that leaves the configuration is unregistered, and each change is told once.
#[test]
fn a_trunk_that_is_gone_is_unregistered() {
    let mut w = world(Grants::default());
    w.run(ms(2 * SECOND));
    w.without = Some("gw-a");
    w.reload();
    w.run(ms(SECOND));
    let sent: Vec<u32> = registers_sent(&w).iter().map(expires).collect();
    assert_eq!(sent, [3600, 0]);
    let told = w.events.iter().filter_map(|(_, e)| match e {
        Event::Registration { how, .. } => Some(*how),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [Registered::Yes, Registered::No]);
    w.without = None;
    w.reload();
    w.run(ms(2 * SECOND));
    assert_eq!(how(&w), Registered::Yes);
}
