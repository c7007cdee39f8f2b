//! Calls between ordinary telephones: three baresips, each the peer of a trunk of its own.
//!
//! Nothing here writes SIP. The telephones are told what a person would do, and must tell in turn
//! that it happened: who rings, whose sound arrives, why a call ended.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::phone::{self, Line, Phone};
use super::records::{Expected, Records};
use super::service::Service;
use super::{Group, HOST, Listed, Outcome, World, certs};

/// Telephones on the same table.
pub const GROUP: Group = Group {
    name: "baresip",
    list: || SCENES.iter().map(Scene::listed).collect(),
    run,
};

const ALICE: &str = "+15550001";
const BOB: &str = "+15550002";
const CAROL: &str = "+15550003";
/// The only one who speaks TLS, and nothing else.
const DAVE: &str = "+15550004";

/// What the telephones do, and what the record says of it.
struct Scene {
    name: &'static str,
    rules: &'static str,
    /// What is dialled, by nobody else, to reach Bob; Carol's number is the one after it.
    dialled: &'static str,
    /// What that becomes on the called side.
    sent: &'static str,
    /// Whose trunk the call comes from.
    ingress: &'static str,
    act: fn(&mut Phones, &Scene) -> Result<()>,
    /// Trunk and code of each attempt.
    attempts: &'static [(&'static str, u64)],
    final_code: u64,
    ended_by: &'static str,
}

impl Scene {
    fn listed(&self) -> Listed {
        Listed {
            name: self.name,
            rules: self.rules,
            peers: "baresip, baresip",
        }
    }
}

const SCENES: &[Scene] = &[
    Scene {
        name: "phone-call",
        rules: "",
        dialled: "+15551012",
        sent: BOB,
        ingress: "alice",
        act: plain_call,
        attempts: &[("bob", 200)],
        final_code: 200,
        ended_by: "callee",
    },
    Scene {
        name: "phone-early-media",
        rules: "",
        dialled: "+15551022",
        sent: BOB,
        ingress: "alice",
        act: early_media,
        attempts: &[("bob", 200)],
        final_code: 200,
        ended_by: "caller",
    },
    Scene {
        name: "phone-hold-resume",
        rules: "K13",
        dialled: "+15551032",
        sent: BOB,
        ingress: "alice",
        act: hold_and_resume,
        attempts: &[("bob", 200)],
        final_code: 200,
        ended_by: "caller",
    },
    Scene {
        name: "phone-rejected",
        rules: "K5",
        dialled: "+15551042",
        sent: BOB,
        ingress: "alice",
        act: rejected,
        attempts: &[("bob", 486)],
        final_code: 486,
        ended_by: "callee",
    },
    Scene {
        name: "phone-given-up",
        rules: "",
        dialled: "+15551052",
        sent: BOB,
        ingress: "alice",
        act: given_up,
        attempts: &[("bob", 487)],
        final_code: 487,
        ended_by: "caller",
    },
    Scene {
        name: "phone-attended-transfer",
        rules: "K14",
        dialled: "+15551092",
        sent: BOB,
        ingress: "alice",
        act: attended_transfer,
        attempts: &[("bob", 200), ("transfer", 200)],
        final_code: 200,
        ended_by: "callee",
    },
    Scene {
        name: "phone-blind-transfer",
        rules: "K14",
        dialled: "+15551062",
        sent: BOB,
        ingress: "alice",
        act: blind_transfer,
        attempts: &[("bob", 200), ("carol", 200)],
        final_code: 200,
        ended_by: "caller",
    },
    Scene {
        name: "phone-tls-calls",
        rules: "",
        dialled: "+15551072",
        sent: BOB,
        ingress: "dave",
        act: secure_caller,
        attempts: &[("bob", 200)],
        final_code: 200,
        ended_by: "callee",
    },
    Scene {
        name: "phone-tls-is-called",
        rules: "",
        dialled: "+15551084",
        sent: DAVE,
        ingress: "alice",
        act: secure_callee,
        attempts: &[("dave", 200)],
        final_code: 200,
        ended_by: "caller",
    },
];

/// Everybody's telephone.
struct Phones {
    alice: Phone,
    bob: Phone,
    carol: Phone,
    dave: Phone,
}

fn run(world: &World) -> Result<Vec<Outcome>> {
    let dir = &world.dir;
    phone::ensure_installed()?;
    certs::make(
        dir,
        &[
            ("host", &["127.0.0.1"]),
            ("dave", &["dave.interop.example", "127.0.0.64"]),
        ],
    )?;
    let service = Service::start(&world.intertrunk, dir, "phones.toml")?;
    let mut phones = Phones {
        alice: start(dir, ALICE, "127.0.0.61")?,
        bob: start(dir, BOB, "127.0.0.62")?,
        carol: start(dir, CAROL, "127.0.0.63")?,
        dave: start_secure(dir)?,
    };
    let scenes = SCENES.iter().filter(|scene| world.wants(scene.name));
    let scenes: Vec<&Scene> = scenes.collect();
    let mut outcomes = Vec::new();
    for scene in &scenes {
        eprintln!("one call: {}", scene.name);
        let began = Instant::now();
        let came = play(scene, &mut phones);
        outcomes.push(Outcome {
            listed: scene.listed(),
            calls: 1,
            took: began.elapsed(),
            faults: came.err().iter().map(|why| format!("{why:#}")).collect(),
        });
    }
    let records = Records::at_the_end_of(service, dir, &mut outcomes)?;
    for (outcome, scene) in outcomes.iter_mut().zip(scenes) {
        let attempts = scene.attempts.iter();
        let expected = Expected {
            dialled: scene.dialled.to_owned(),
            sent: scene.sent.to_owned(),
            ingress: Some(scene.ingress),
            attempts: attempts.map(|(t, code)| ((*t).to_owned(), *code)).collect(),
            // Bob stays, whoever Alice is replaced with.
            kept: 0,
            final_code: scene.final_code,
            ended_by: scene.ended_by,
        };
        records.compare(&expected, 1, &mut outcome.faults);
    }
    Ok(outcomes)
}

fn start(dir: &Path, number: &'static str, ip: &'static str) -> Result<Phone> {
    let line = Line {
        number,
        ip,
        outbound: "sip:127.0.0.1:15060",
        params: "",
        config: String::new(),
    };
    Phone::start(dir, &line)
}

fn start_secure(dir: &Path) -> Result<Phone> {
    // It wants the certificate and its key in one file.
    let both = [
        fs::read_to_string(dir.join("dave.pem"))?,
        fs::read_to_string(dir.join("dave.key"))?,
    ];
    fs::write(dir.join("dave-both.pem"), both.concat())?;
    let line = Line {
        number: DAVE,
        ip: "127.0.0.64",
        outbound: "sip:127.0.0.1:15061;transport=tls",
        params: ";transport=tls",
        config: format!(
            "sip_certificate {0}/dave-both.pem\nsip_cafile {0}/ca.pem\n",
            dir.display()
        ),
    };
    Phone::start(dir, &line)
}

/// One scene; whatever it leaves behind does not spoil the next.
fn play(scene: &Scene, phones: &mut Phones) -> Result<()> {
    for phone in phones.all() {
        phone.forget()?;
        phone.does("answermode", "manual")?;
    }
    let came = (scene.act)(phones, scene);
    if came.is_err() {
        for phone in phones.all() {
            // Has no call to end, most of the time.
            let _ = phone.does("hangup", "");
        }
    }
    came
}

impl Phones {
    fn all(&mut self) -> [&mut Phone; 4] {
        [
            &mut self.alice,
            &mut self.bob,
            &mut self.carol,
            &mut self.dave,
        ]
    }

    /// Alice dials Bob, and it rings.
    fn ring(&mut self, scene: &Scene) -> Result<()> {
        self.alice.does("dial", &uri(scene.dialled))?;
        let incoming = self.bob.sees("CALL_INCOMING")?;
        let from = incoming["peeruri"].as_str().unwrap_or_default();
        // The caller's number, at the host's address.
        ensure!(from == uri(ALICE), "Bob is called by {from}");
        Ok(())
    }

    /// Both talk to each other.
    fn talk(&mut self, scene: &Scene) -> Result<()> {
        self.ring(scene)?;
        self.alice.sees("CALL_RINGING")?;
        self.bob.does("accept", "")?;
        self.bob.talks()?;
        self.alice.talks()
    }
}

fn uri(number: &str) -> String {
    format!("sip:{number}@{HOST}")
}

fn plain_call(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.talk(scene)?;
    phones.bob.does("hangup", "")?;
    phones.alice.sees_the_end("reset by peer")
}

/// Bob is put through by a 183 with SDP before he takes the call.
fn early_media(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.bob.does("answermode", "early")?;
    // Nobody is asked then: the call is in progress at once.
    phones.alice.does("dial", &uri(scene.dialled))?;
    phones.alice.sees("CALL_PROGRESS")?;
    // This baresip listens before it answers, and does not speak.
    phones.bob.sees("CALL_RTPESTAB").context("early sound")?;
    phones.bob.does("accept", "")?;
    phones.alice.sees("CALL_ESTABLISHED")?;
    phones.alice.does("hangup", "")?;
    phones.bob.sees_the_end("reset by peer")
}

fn hold_and_resume(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.talk(scene)?;
    phones.offers("hold", "a=sendonly")?;
    phones.offers("resume", "a=sendrecv")?;
    phones.alice.does("hangup", "")?;
    phones.bob.sees_the_end("reset by peer")
}

impl Phones {
    /// What Alice does offers this direction to Bob, and his answer comes back.
    fn offers(&mut self, command: &str, direction: &str) -> Result<()> {
        self.alice.forget()?;
        self.bob.forget()?;
        self.alice.does(command, "")?;
        self.bob.sees("CALL_REMOTE_SDP")?;
        self.alice.sees("CALL_REMOTE_SDP")?;
        let trace = self.bob.trace()?;
        let offer = trace.rsplit("\nINVITE ").next().unwrap_or_default();
        let (offer, _) = offer.split_once("SIP/2.0 200").unwrap_or((offer, ""));
        ensure!(
            offer.contains(direction),
            "Bob was not offered {direction}: {offer}"
        );
        Ok(())
    }
}

fn rejected(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.ring(scene)?;
    phones.bob.does("hangup", "")?;
    phones.alice.sees_the_end("486")
}

fn given_up(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.ring(scene)?;
    phones.alice.sees("CALL_RINGING")?;
    phones.alice.does("hangup", "")?;
    phones.bob.sees_the_end("reset by peer")
}

/// Alice asks Carol first, then joins the two: Bob is told to take her place in that call.
fn attended_transfer(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.talk(scene)?;
    let carol = carols(scene)?;
    phones.alice.does("dial", &uri(&carol))?;
    phones.carol.sees("CALL_INCOMING")?;
    phones.carol.does("accept", "")?;
    phones.carol.talks()?;
    phones.alice.sees("CALL_ESTABLISHED")?;
    // This baresip knows no attended transfer by itself, but sends what it is given.
    let dialog = phones.alice.latest_dialog()?;
    phones.alice.does("line", "1")?;
    phones.bob.forget()?;
    let target = format!("<{}?Replaces={dialog}>", uri(&carol));
    phones.alice.does("transfer", &target)?;
    phones.bob.sees("CALL_REMOTE_SDP")?;
    phones.alice.sees("CALL_CLOSED")?;
    phones.alice.sees("CALL_CLOSED")?;
    phones.bob.does("hangup", "")?;
    phones.carol.sees_the_end("reset by peer")
}

/// Carol's number in this scene.
fn carols(scene: &Scene) -> Result<String> {
    let digits = scene.dialled.strip_suffix('2');
    Ok(format!("{}3", digits.context("Bob's numbers end in 2")?))
}

/// Alice transfers Bob to Carol, who then has Alice's part in the call.
fn blind_transfer(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.talk(scene)?;
    let carol = carols(scene)?;
    phones.alice.does("transfer", &uri(&carol))?;
    let incoming = phones.carol.sees("CALL_INCOMING")?;
    let from = incoming["peeruri"].as_str().unwrap_or_default();
    // The call to her is a call of the one who stays.
    ensure!(from == uri(BOB), "Carol is called by {from}");
    phones.carol.does("accept", "")?;
    phones.carol.talks()?;
    phones.alice.sees("CALL_CLOSED")?;
    phones.carol.does("hangup", "")?;
    phones.bob.sees_the_end("reset by peer")
}

/// Dave, who speaks TLS, calls Bob, who does not.
fn secure_caller(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.dave.does("dial", &uri(scene.dialled))?;
    phones.bob.sees("CALL_INCOMING")?;
    phones.bob.does("accept", "")?;
    phones.bob.talks()?;
    phones.dave.talks()?;
    phones.bob.does("hangup", "")?;
    phones.dave.sees_the_end("reset by peer")
}

/// Alice calls Dave; the host connects to him.
fn secure_callee(phones: &mut Phones, scene: &Scene) -> Result<()> {
    phones.alice.does("dial", &uri(scene.dialled))?;
    phones.dave.sees("CALL_INCOMING")?;
    phones.dave.does("accept", "")?;
    phones.dave.talks()?;
    phones.alice.talks()?;
    phones.alice.does("hangup", "")?;
    phones.dave.sees_the_end("reset by peer")
}
