//! Flows with digest authentication (RFC 3261 §22): peers that want our credentials, and trunks that want
//! theirs.

use std::sync::Arc;

use bytes::Bytes;
use intertrunk_proto::auth::{Door, Login, Secret};
use intertrunk_proto::trunk::{Options, Trunk};
use intertrunk_proto::{DropCause, Event, TrunkId};
use intertrunk_sip::auth::{Algorithm, Challenge};
use intertrunk_sip::{Message, Method, Name};
use sim::ua::asks::{PASSWORD, REALM, USER};
use sim::{Errand, Final, Manner, Mood, Renegotiation, Weather, World, ms};

use super::{call, check, gw_a};

/// gw-a's realm has our credentials.
fn with_login(trunk: &mut Trunk) {
    trunk.login = (*trunk.name == *"gw-a").then(|| {
        Arc::new(Login {
            user: USER.into(),
            password: Secret::new(PASSWORD),
            realm: Some(REALM.into()),
        })
    });
}

/// A world in which gw-a challenges everything that it is asked.
fn asked_world(edit: fn(&mut Trunk)) -> World {
    let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), edit);
    w.ua("gw-a").asks.all = true;
    w
}

/// Codes that the caller has heard, without 100.
fn heard(w: &World, code: &str) -> usize {
    let line = |l: &&String| l.contains("pbx-a  <-- ") && l.contains(code);
    w.ladder.iter().filter(line).count()
}

/// No challenge and no credentials of one side are seen by the other.
fn assert_hidden(w: &World) {
    for (to, bytes) in w.sent.iter().filter(|(to, _)| *to != "gw-a") {
        let text = String::from_utf8_lossy(bytes);
        for word in ["uthenticate", "uthorization", REALM, USER, PASSWORD] {
            assert!(!text.contains(word), "{to} saw {word} in\n{text}");
        }
    }
}

/// S14, T11: each of our requests is challenged, and sent again with credentials: same Call-ID, CSeq one
/// higher; the caller notices nothing.
#[test]
fn everything_is_challenged() {
    let mut w = asked_world(with_login);
    let errand = Errand {
        reinvite: Some(ms(300)),
        info: Some(ms(200)),
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    let invites = w.sent_to("gw-a", "INVITE ");
    let numbers: Vec<_> = invites.iter().map(Message::cseq).collect();
    assert_eq!(numbers, [1, 2, 5, 6]);
    assert!(invites.iter().all(|i| i.call_id() == invites[0].call_id()));
    assert_eq!(w.sent_to("gw-a", "BYE ").len(), 2);
    assert_hidden(&w);
    check("everything_is_challenged", &mut w);
    assert_eq!(w.records()[0].final_code, 200);
}

/// S14, T11: a nonce that was too old is taken once more, and no oftener.
#[test]
fn a_stale_nonce_is_taken_once_more() {
    for (stale, code, invites) in [(1, 200, 3), (2, 403, 3)] {
        let mut w = asked_world(with_login);
        w.ua("gw-a").asks.stale = stale;
        w.ua("gw-a").asks.as_proxy = true;
        call(&mut w, &Errand::to("1"));
        assert_eq!(w.records()[0].final_code, code, "{:#?}", w.ladder);
        assert_eq!(w.sent_to("gw-a", "INVITE ").len(), invites);
        assert_hidden(&w);
    }
}

/// S14, T11: without credentials, or for a realm that ours are not for, a challenge is a refusal; the other
/// side does not see it.
#[test]
fn who_has_no_credentials_is_refused() {
    let elsewhere = |trunk: &mut Trunk| {
        with_login(trunk);
        if let Some(login) = &mut trunk.login {
            Arc::make_mut(login).realm = Some("elsewhere".into());
        }
    };
    let edits: [fn(&mut Trunk); 2] = [|_| {}, elsewhere];
    for edit in edits {
        let mut w = asked_world(edit);
        call(&mut w, &Errand::to("1"));
        assert_eq!(heard(&w, "403 "), 1, "{:#?}", w.ladder);
        assert_eq!(w.sent_to("gw-a", "INVITE ").len(), 1);
        assert_hidden(&w);
        check("who_has_no_credentials", &mut w);
    }
}

/// S14: a challenge to a re-INVITE that we have nothing for reaches nobody as such.
#[test]
fn a_challenged_reinvite_is_refused() {
    let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), |_| {});
    let manner = Manner {
        renegotiation: Renegotiation::Refuses(401),
        ..Manner::default()
    };
    gw_a(&mut w, manner);
    let errand = Errand {
        reinvite: Some(ms(300)),
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    assert_eq!(
        (heard(&w, "401 "), heard(&w, "403 ")),
        (0, 1),
        "{:#?}",
        w.ladder
    );
}

/// S14, F1: OPTIONS are answered for, too.
#[test]
fn options_show_credentials() {
    let mut w = asked_world(|trunk| {
        with_login(trunk);
        // Of the shard that is watched.
        trunk.id = TrunkId(trunk.id.0 * 3 + 1);
        trunk.health.options = Some(Options::default());
    });
    w.run(ms(2_000));
    let asked = w.sent_to("gw-a", "OPTIONS ");
    let shown: Vec<bool> = asked
        .iter()
        .map(|m| m.header(Name::Authorization).is_some())
        .collect();
    assert_eq!(shown, [false, true]);
    assert_hidden(&w);
}

/// S14, K1: who gives up meanwhile is not called again, and the CANCEL goes with the second INVITE.
#[test]
fn a_call_is_given_up_between_two_invites() {
    let mut w = asked_world(with_login);
    let rings = Manner {
        last: Final::Rings,
        ..Manner::default()
    };
    gw_a(&mut w, rings);
    let errand = Errand {
        cancel: Some(ms(500)),
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    let cancels = w.sent_to("gw-a", "CANCEL ");
    assert_eq!((cancels.len(), cancels[0].cseq()), (1, 2));
    assert_hidden(&w);
    check("cancelled_after_a_challenge", &mut w);
}

// ---- what a trunk's peers have to show ----

/// pbx-a has to show credentials.
fn with_door(trunk: &mut Trunk) {
    trunk.door = (*trunk.name == *"pbx-a").then(|| Arc::new(door()));
}

fn door() -> Door {
    Door {
        realm: "here".into(),
        user: "pbx".into(),
        password: Secret::new("secret"),
        code: 401,
        algorithms: [Algorithm::Sha256, Algorithm::Md5].into(),
        anywhere: false,
    }
}

const PBX: &str = "127.0.0.11:5070";

fn request(method: &str, from: &str, n: u32, more: &str) -> String {
    format!(
        "{method} sip:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{method}{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:1@d>\r\nCall-ID: door-{n}\r\n\
         CSeq: {n} {method}\r\nContact: <sip:a@{from}>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// Sends a request and gives the last thing that the host has said then.
fn answer_to(w: &mut World, from: &str, request: &str) -> Message {
    let before = w.sent.len();
    w.inject(from, request.to_owned());
    w.run(ms(5));
    let said = w.sent[before..].iter().map(|(_, b)| b.clone());
    let last = said.last().unwrap_or_else(Bytes::new);
    Message::parse(last).unwrap()
}

/// What meets the `n`-th challenge of a response.
fn met(response: &Message, n: usize, user: &str, password: &str, method: &str) -> String {
    let challenge = Challenge::all(response).nth(n).unwrap();
    let uri = "sip:1@127.0.0.1";
    let value = challenge.met_by(user, password, method, uri, "c");
    format!("Authorization: {value}\r\n")
}

fn door_world() -> World {
    World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), with_door)
}

/// S14: a trunk with `auth` is challenged for INVITE and all that begins something, by both algorithms, and
/// comes in with either; a challenge holds nothing.
#[test]
fn a_trunk_has_to_show_credentials() {
    for n in 0..2 {
        let mut w = door_world();
        let challenge = answer_to(&mut w, PBX, &request("INVITE", PBX, 1, ""));
        assert_eq!(challenge.status(), 401);
        let offered: Vec<_> = Challenge::all(&challenge).map(|c| c.algorithm).collect();
        assert_eq!(offered, [Algorithm::Sha256, Algorithm::Md5]);
        assert_eq!(w.b2bua.holdings(), [0; 4]);
        let options = answer_to(&mut w, PBX, &request("OPTIONS", PBX, 2, ""));
        assert_eq!(options.status(), 401);
        let credentials = met(&challenge, n, "pbx", "secret", "INVITE");
        w.inject(PBX, request("INVITE", PBX, 3, &credentials));
        w.run(ms(50));
        assert_eq!(w.calls().len(), 1, "{:#?}", w.ladder);
        let invite = &w.sent_to("gw-a", "INVITE ")[0];
        assert!(invite.header(Name::Authorization).is_none());
    }
}

/// S14: wrong passwords, other numbers' proofs and proofs seen before come in never; an old nonce is stale.
#[test]
fn what_is_shown_has_to_be_right() {
    let mut w = door_world();
    let challenge = answer_to(&mut w, PBX, &request("INVITE", PBX, 1, ""));
    let right = met(&challenge, 0, "pbx", "secret", "INVITE");
    let wrongs = [
        met(&challenge, 0, "pbx", "Secret", "INVITE"),
        met(&challenge, 0, "pbz", "secret", "INVITE"),
        met(&challenge, 0, "pbx", "secret", "OPTIONS"),
        right.replace("uri=\"sip:1@", "uri=\"sip:2@"),
        right.replace("nc=00000001", "nc=00000002"),
    ];
    for (wrong, n) in wrongs.iter().zip(10..) {
        let again = answer_to(&mut w, PBX, &request("INVITE", PBX, n, wrong));
        assert_eq!(again.status(), 401);
        assert!(!Challenge::all(&again).any(|c| c.stale), "{wrong}");
    }
    let told = |e: &Event| {
        matches!(
            e,
            Event::WrongCredentials {
                reached: true,
                trunk: Some(_),
                ..
            }
        )
    };
    assert_eq!(
        w.events.iter().filter(|(_, e)| told(e)).count(),
        wrongs.len()
    );
    assert_eq!(w.calls().len(), 0);

    w.inject(PBX, request("INVITE", PBX, 2, &right));
    w.run(ms(50));
    assert_eq!(w.calls().len(), 1);
    let replayed = answer_to(&mut w, PBX, &request("INVITE", PBX, 3, &right));
    assert!(Challenge::all(&replayed).all(|c| c.stale), "seen before");
    let other = "127.0.0.11:5999";
    let moved = answer_to(&mut w, other, &request("OPTIONS", other, 4, ""));
    let fresh = met(&moved, 0, "pbx", "secret", "INVITE");
    w.run(ms(301_000));
    let late = answer_to(&mut w, PBX, &request("INVITE", PBX, 5, &fresh));
    assert!(Challenge::all(&late).all(|c| c.stale), "too old");
}

/// S14: who has shown credentials hangs up without, and others still cannot.
#[test]
fn a_dialog_needs_no_credentials() {
    let mut w = door_world();
    let challenge = answer_to(&mut w, PBX, &request("INVITE", PBX, 1, ""));
    let right = met(&challenge, 0, "pbx", "secret", "INVITE");
    w.inject(PBX, request("INVITE", PBX, 2, &right));
    w.run(ms(50));
    let cancel = request("CANCEL", PBX, 2, "").replace("bKCANCEL2", "bKINVITE2");
    w.inject(PBX, cancel);
    w.run(ms(500));
    assert_eq!(w.records()[0].final_code, 487, "{:#?}", w.ladder);
}

/// S14, T9: a trunk may be known by what it shows alone; who shows nothing is asked, who shows wrong is nobody.
#[test]
fn a_trunk_is_known_by_its_credentials() {
    let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), |trunk| {
        with_door(trunk);
        if let Some(door) = &mut trunk.door {
            Arc::make_mut(door).anywhere = true;
        }
    });
    let home = "198.51.100.9:5060";
    let challenge = answer_to(&mut w, home, &request("INVITE", home, 1, ""));
    assert_eq!(challenge.status(), 401);
    let wrong = met(&challenge, 0, "pbx", "guess", "INVITE");
    assert_eq!(
        answer_to(&mut w, home, &request("INVITE", home, 2, &wrong)).status(),
        401
    );
    let elsewhere = "198.51.100.10:5060";
    let right = met(&challenge, 0, "pbx", "secret", "INVITE");
    let stolen = answer_to(&mut w, elsewhere, &request("INVITE", elsewhere, 3, &right));
    assert!(
        Challenge::all(&stolen).all(|c| c.stale),
        "said to another address"
    );
    assert_eq!(w.calls().len(), 0);
    w.inject(home, request("INVITE", home, 4, &right));
    w.run(ms(50));
    assert_eq!(w.calls().len(), 1, "{:#?}", w.ladder);
    assert_eq!(w.sent_to("gw-a", "INVITE ").len(), 1);
    let cancel = request("CANCEL", home, 4, "").replace("bKCANCEL4", "bKINVITE4");
    w.inject(home, cancel);
    w.run(ms(500));
    assert_eq!(w.records()[0].ingress_trunk.as_ref(), "pbx-a");
}

/// S14: a call for help is not asked for a password.
#[test]
fn help_is_not_asked_for_a_password() {
    let mut w = door_world();
    let sos = request("INVITE", PBX, 1, "").replace("sip:1@127.0.0.1", "urn:service:sos");
    w.inject(PBX, sos);
    w.run(ms(50));
    assert_eq!(w.calls().len(), 1);
}

// ---- strangers ----

/// T10, S5: strangers are answered as the node says, from their bytes alone; scanners never.
#[test]
fn strangers_hear_what_the_node_says() {
    let stranger = "198.51.100.66:5060";
    let mut w = door_world();
    w.inject(stranger, request("INVITE", stranger, 1, ""));
    w.run(ms(5));
    assert!(w.sent.is_empty());
    w.restrain(|snapshot| snapshot.security.unknown = Some(404));
    for method in ["INVITE", "OPTIONS", "REGISTER"] {
        let answer = answer_to(&mut w, stranger, &request(method, stranger, 2, ""));
        assert_eq!((answer.status(), answer.method().as_str()), (404, method));
    }
    let before = w.sent.len();
    w.inject(stranger, request("ACK", stranger, 3, ""));
    let scanner = "User-Agent: Friendly-Scanner v1\r\n";
    for from in [stranger, PBX, "127.0.0.21:5080"] {
        w.inject(from, request("OPTIONS", from, 4, scanner));
    }
    w.run(ms(5));
    assert_eq!(w.sent.len(), before);
    assert_eq!(w.b2bua.holdings(), [0; 4]);
    let scanned = |e: &Event| {
        matches!(
            e,
            Event::Dropped {
                cause: DropCause::Scanner,
                ..
            }
        )
    };
    assert_eq!(w.events.iter().filter(|(_, e)| scanned(e)).count(), 3);
    w.restrain(|snapshot| snapshot.security.scanners = Arc::new([]));
    let from = "127.0.0.21:5080";
    let answer = answer_to(&mut w, from, &request("OPTIONS", from, 5, scanner));
    assert_eq!((answer.status(), answer.method()), (200, &Method::Options));
}

/// S4: messages out of all measure are refused, or dropped.
#[test]
fn messages_have_a_measure() {
    let from = "127.0.0.21:5080";
    let mut w = door_world();
    let many = "X-Any: 1\r\n".repeat(40);
    let fits = answer_to(&mut w, from, &request("OPTIONS", from, 1, &many));
    assert_eq!(fits.status(), 200);
    w.restrain(|snapshot| snapshot.security.message.header_lines_max = 32);
    let refused = answer_to(&mut w, from, &request("OPTIONS", from, 2, &many));
    assert!(refused.status() >= 400, "{}", refused.status());
    w.restrain(|snapshot| snapshot.security.message.message_bytes_max = 500);
    let before = w.sent.len();
    let long = format!("X-Long: {}\r\n", "x".repeat(500));
    w.inject(from, request("OPTIONS", from, 3, &long));
    w.run(ms(5));
    assert_eq!(w.sent.len(), before);
}
