//! Writes the inputs that fuzzing starts from into the corpus: the torture messages of RFC 4475,
//! what the user agents of the simulation say, and scripts of ordinary calls.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use intertrunk_sip::Message;
use sim::{Errand, Mood, Weather, World, ms};

fn main() {
    let messages = [torture(), spoken()].concat();
    let mut values = BTreeSet::new();
    for (name, bytes) in &messages {
        write("bytes", name, bytes);
        let Ok(message) = Message::parse(bytes.clone().into()) else {
            continue;
        };
        for line in message.lines().filter(|l| l.value.len() < 200) {
            values.insert(line.value.to_vec());
        }
        values.insert(message.request_uri().as_bytes().to_vec());
    }
    let whole: Vec<&[u8]> = messages.iter().map(|(_, bytes)| &bytes[..]).collect();
    for (n, three) in whole.chunks(3).enumerate() {
        let stream = [&[0, 3, 40, 200, 3], &three.join(&b"\r\n\r\n"[..])[..]].concat();
        write("stream", &format!("three-{n}"), &stream);
    }
    for (n, value) in values.iter().enumerate() {
        for kind in 0..10 {
            if n % 10 == usize::from(kind) {
                write(
                    "values",
                    &format!("{kind}-{n}"),
                    &[&[kind], &value[..]].concat(),
                );
            }
        }
    }
    for (name, script) in SCRIPTS {
        write("calls", name, &script.concat());
    }
}

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = corpus().join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("seed-{name}")), bytes).unwrap();
}

fn torture() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../host/sip/tests/rfc4475");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "dat") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// One message of each start line and status that is said in one busy call.
fn spoken() -> Vec<(String, Vec<u8>)> {
    let mut world = World::new(1, Weather::default(), Mood::connect(&["gw-a"]));
    let errand = Errand {
        reinvite: Some(ms(800)),
        info: Some(ms(1_200)),
        ..Errand::to("12065550100")
    };
    let now = world.now;
    world.ua("pbx-a").place(&errand, now);
    world.run(ms(60_000));
    let mut kinds = BTreeSet::new();
    let mut found = Vec::new();
    for bytes in &world.said {
        let message = Message::parse(bytes.clone()).unwrap();
        let kind = format!("{}-{}", message.method(), message.status());
        if kinds.insert(kind.clone()) {
            found.push((kind.to_lowercase(), bytes.to_vec()));
        }
    }
    found
}

// The first byte of an operation says which; see `src/calls`. References of 0 are the newest.

/// An INVITE of pbx-a with an offer.
const INVITE: &[u8] = &[0, 0, 0, 1, 0, 0];
/// The policy sends it to gw-a.
const CONNECT: &[u8] = &[10, 0, 2, 15, 0];
/// The policy sends it to gw-a and gw-b, together.
const BOTH: &[u8] = &[
    10, 0, 2, 5, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
const RINGING: &[u8] = &[2, 0, 1, 0, 0, 0];
const RELIABLY: &[u8] = &[2, 0, 2, 0, 0x21, 0, 7, 0];
const OK: &[u8] = &[2, 0, 4, 0, 1, 0, 0];
const OK_BARE: &[u8] = &[2, 0, 4, 0, 0, 0];
const BUSY: &[u8] = &[2, 0, 23, 0, 0, 0];
const UNAVAILABLE: &[u8] = &[2, 0, 28, 0, 0, 0];
const ACK: &[u8] = &[19, 0, 0, 0];
const CANCEL: &[u8] = &[9, 0];
const MINUTE: &[u8] = &[15, 60];
const MOMENT: &[u8] = &[14, 20, 0];

/// A request of this method on the dialog of the newest message.
const fn request(method: u8) -> [u8; 6] {
    [6, 0, method, 1, 0, 0]
}

const BYE: &[u8] = &request(0);
const REINVITE: &[u8] = &[6, 0, 1, 1, 1, 0, 0];
const UPDATE: &[u8] = &[6, 0, 2, 1, 1, 0, 0];
const PRACK: &[u8] = &request(3);
const INFO: &[u8] = &request(4);
const NOTIFY: &[u8] = &[6, 0, 6, 1, 0, 0, 0];
const REFER: &[u8] = &[6, 0, 7, 1, 0, 0, 0];

const SCRIPTS: &[(&str, &[&[u8]])] = &[
    (
        "plain",
        &[INVITE, CONNECT, RINGING, OK, ACK, BYE, OK_BARE, MINUTE],
    ),
    (
        "cancelled",
        &[INVITE, CONNECT, RINGING, CANCEL, OK_BARE, MINUTE],
    ),
    ("cancelled-while-asking", &[INVITE, CANCEL, CONNECT, MINUTE]),
    ("busy", &[INVITE, CONNECT, RINGING, BUSY, MINUTE]),
    (
        "failover",
        &[INVITE, BOTH, UNAVAILABLE, RINGING, OK, ACK, MINUTE],
    ),
    ("parallel", &[INVITE, BOTH, RINGING, OK, ACK, OK, MINUTE]),
    (
        "reliable",
        &[
            INVITE, CONNECT, RELIABLY, PRACK, OK_BARE, OK, ACK, BYE, OK_BARE,
        ],
    ),
    (
        "reinvite",
        &[INVITE, CONNECT, OK, ACK, REINVITE, OK, ACK, BYE, OK_BARE],
    ),
    (
        "glare",
        &[
            INVITE, CONNECT, OK, ACK, REINVITE, REINVITE, OK, ACK, MINUTE,
        ],
    ),
    (
        "update",
        &[
            INVITE, CONNECT, RINGING, UPDATE, OK, OK, ACK, UPDATE, OK, BYE, OK_BARE,
        ],
    ),
    (
        "info",
        &[
            INVITE, CONNECT, OK, ACK, INFO, OK_BARE, INFO, OK_BARE, BYE, OK_BARE,
        ],
    ),
    (
        "refer",
        &[
            INVITE, CONNECT, OK, ACK, REFER, OK_BARE, NOTIFY, OK_BARE, MINUTE,
        ],
    ),
    (
        "forked",
        &[
            INVITE,
            CONNECT,
            RINGING,
            OK,
            &[2, 1, 4, 2, 1, 0, 0],
            ACK,
            MINUTE,
        ],
    ),
    (
        "silence",
        &[INVITE, CONNECT, MINUTE, MINUTE, MINUTE, MINUTE],
    ),
    ("no-ack", &[INVITE, CONNECT, RINGING, OK, MINUTE]),
    (
        "repeated",
        &[
            INVITE,
            &[12, 0, 0],
            CONNECT,
            &[12, 0, 0],
            OK,
            ACK,
            &[12, 0, 0],
            MINUTE,
        ],
    ),
    (
        "drained",
        &[INVITE, &[18, 0], CONNECT, OK, INVITE, ACK, &[18, 1], MINUTE],
    ),
    ("ended", &[INVITE, CONNECT, OK, ACK, &[18, 3, 0], MINUTE]),
    (
        "reloaded",
        &[
            INVITE,
            &[18, 5, 1, 1, 1],
            CONNECT,
            MOMENT,
            &[18, 5, 2, 2, 7],
            OK,
            ACK,
        ],
    ),
    ("unsendable", &[INVITE, CONNECT, &[17, 0], MINUTE]),
    (
        "mangled",
        &[INVITE, &[13, 0, 40, 0, 2, 3, 1, 2, 3], CONNECT, MINUTE],
    ),
    ("falls-back", &[INVITE, &[10, 0, 0], MINUTE]),
];
