//! Prints what the worst messages of 64 KB cost, beside an ordinary INVITE: reading and answering
//! one, letting the machine take it from a trunk, and looking at every value in it, which nobody does.
//!
//! ```text
//! cargo run --release -p intertrunk-fuzz --example hostile_cost
//! ```
//! The messages: every header name with every filler that has ever made a parser slow, floods of
//! lines, and the corpus of the fuzzers blown up to full size. Aim: neither reading nor the machine
//! takes more than 1 ms.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use intertrunk_proto::{B2bua, Fallback, Flow, Input, ListenerId};
use intertrunk_sip::{
    Framer, Limits, MESSAGE_BYTES_MAX, Message, Name, NameAddr, Read, peek_call_id, read, reply,
};
use sim::world::{KEY, SHARDS, TRUNKS, seed_bytes, snapshot};

const AIM: Duration = Duration::from_millis(1);
/// Four of these and what an INVITE needs are 64 KB; a line over 16 KB is refused by its length.
const LINE_BYTES: usize = (MESSAGE_BYTES_MAX - 700) / 4;
const SHOWN: usize = 12;

const HEAD: &str = "INVITE sip:+12065550100@127.0.0.1 SIP/2.0\r\n";
/// What an INVITE needs, one line each.
const NEEDED: [(&str, &str); 8] = [
    (
        "Via",
        "SIP/2.0/UDP 127.0.0.11:5070;branch=z9hG4bK776asdhds;rport",
    ),
    ("Max-Forwards", "70"),
    (
        "From",
        "\"Alice\" <sip:1001@pbx.example.com>;tag=1928301774",
    ),
    ("To", "<sip:+12065550100@gw.example.com>"),
    ("Call-ID", "a84b4c76e66710@pbx.example.com"),
    ("CSeq", "1 INVITE"),
    ("Contact", "<sip:1001@127.0.0.11:5070>"),
    ("Supported", "timer, replaces"),
];
const NAMES: [&str; 26] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Route",
    "Record-Route",
    "Require",
    "Supported",
    "Allow",
    "Reason",
    "P-Asserted-Identity",
    "Privacy",
    "Diversion",
    "History-Info",
    "Refer-To",
    "Replaces",
    "Session-Expires",
    "Content-Type",
    "Content-Length",
    "Max-Forwards",
    "Remote-Party-ID",
    "Warning",
    "X-Other",
    "c",
];
const FILLERS: [&str; 22] = [
    "x",
    " ",
    "\r\n ",
    ",",
    ";",
    "\"",
    "\\",
    "<",
    ">",
    "=",
    ":",
    "%",
    "%41",
    ";a",
    ";a=\"\"",
    "\"\",",
    "<sip:a>,",
    "<sip:a>;b,",
    "a,",
    "SIP/2.0/UDP a,",
    "@",
    "[",
];

fn main() {
    let ordinary = message(&NEEDED, "");
    let mut rows: Vec<Row> = hostile().into_iter().map(Row::measure).collect();
    let plain = Row::measure(("an ordinary INVITE".to_owned(), ordinary.into()));
    println!(
        "{:<44}{:>8}{:>12}{:>12}{:>12}{:>17}",
        "", "bytes", "read", "machine", "all values", "ns to read a byte"
    );
    plain.print(&plain);
    println!();
    rows.sort_by_key(|row| std::cmp::Reverse(row.read.max(row.machine)));
    for row in &rows[..SHOWN] {
        row.print(&plain);
    }
    let slow = rows
        .iter()
        .filter(|row| row.read.max(row.machine) > AIM)
        .count();
    println!("\n{} messages, {slow} of them over {AIM:?}", rows.len());
}

/// One message and what it costs.
struct Row {
    name: String,
    bytes: usize,
    read: Duration,
    values: Duration,
    machine: Duration,
}

impl Row {
    fn measure((name, bytes): (String, Bytes)) -> Row {
        Row {
            name,
            bytes: bytes.len(),
            read: best(|| take(&bytes)),
            values: best(|| look(&bytes)),
            machine: machine(&bytes),
        }
    }

    fn print(&self, plain: &Row) {
        let per_byte = |row: &Row| row.read.as_nanos() as f64 / row.bytes as f64;
        let micros = |time: Duration| format!("{:.1} µs", time.as_nanos() as f64 / 1_000.0);
        println!(
            "{:<44}{:>8}{:>12}{:>12}{:>12}{:>9.2} ({:.1} ×)",
            self.name,
            self.bytes,
            micros(self.read),
            micros(self.machine),
            micros(self.values),
            per_byte(self),
            per_byte(self) / per_byte(plain),
        );
    }
}

/// The shortest of a few runs: what else the computer does is not the message's fault.
fn best(mut work: impl FnMut()) -> Duration {
    let run = |_| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    (0..25).map(run).min().unwrap()
}

/// Reads a message, answers it, and cuts it out of a stream.
fn take(bytes: &Bytes) {
    let source: SocketAddr = TRUNKS[0].2.parse().unwrap();
    black_box(peek_call_id(bytes));
    match read(black_box(bytes.clone()), &Limits::default()) {
        Read::Message(message) => {
            black_box(reply(&message, 200, "OK", Some("t"), Some(source)).finish(None));
        }
        Read::Refuse(refusal) => drop(black_box(refusal.response("t", source))),
        Read::Drop(_) | Read::KeepAlive(_) => {}
    }
    let mut framer = Framer::new(Limits::default());
    framer.push(bytes);
    let _ = black_box(framer.next());
}

/// Reads every value as an address, were it one or not.
fn look(bytes: &Bytes) {
    let Ok(message) = Message::parse(bytes.clone()) else {
        return;
    };
    let mut seen = Vec::new();
    for name in message.lines().map(|line| line.name) {
        if name != Name::Other && !seen.contains(&name) {
            seen.push(name);
            for value in message.values(name) {
                black_box(NameAddr::parse(value).is_ok());
            }
        }
    }
}

/// What the machine takes for it, a fresh one each time, so that it is always the first.
fn machine(bytes: &Bytes) -> Duration {
    let states: Vec<_> = TRUNKS.iter().map(|_| Arc::default()).collect();
    let config = Arc::new(snapshot(&states, |_| {}, Fallback::Reject(503)));
    let mut least = Duration::MAX;
    for _ in 0..9 {
        let mut host = B2bua::new(
            Arc::clone(&config),
            SHARDS.0,
            SHARDS.1,
            seed_bytes(1, 0),
            KEY,
        );
        let flow = Flow::to(ListenerId(0), TRUNKS[0].2.parse().unwrap());
        let now = intertrunk_proto::Instant::from_micros(1);
        let bytes = bytes.clone();
        let began = Instant::now();
        host.handle_input(Input::Received { flow, bytes }, now);
        while host.poll_output().is_some() {}
        least = least.min(began.elapsed());
    }
    least
}

fn message(lines: &[(&str, &str)], more: &str) -> Vec<u8> {
    let lines: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{HEAD}{lines}{more}Content-Length: 0\r\n\r\n").into_bytes()
}

fn hostile() -> Vec<(String, Bytes)> {
    let mut all = Vec::new();
    for name in NAMES {
        for filler in FILLERS {
            all.push((format!("{name}: {filler:?}…"), flooded(name, filler)));
        }
    }
    for line in [
        "a:b\r\n",
        "v: SIP/2.0/UDP a\r\n",
        "m: <sip:a>\r\n",
        "Route: <sip:a>\r\n",
        "\r\n ",
    ] {
        let count = (MESSAGE_BYTES_MAX - 700) / line.len();
        let text = message(&NEEDED, &line.repeat(count.min(240)));
        all.push((format!("240 lines of {line:?}"), text.into()));
        let text = message(&NEEDED, &line.repeat(count));
        all.push((format!("{count} lines of {line:?}"), text.into()));
    }
    all.extend(grown());
    all
}

/// A good value with 16 KB behind it, and as many lines of the same as there is room for.
fn flooded(name: &str, filler: &str) -> Bytes {
    let good = NEEDED
        .iter()
        .find(|(n, _)| *n == name)
        .map_or("<sip:a@b>", |(_, v)| v);
    let others: Vec<_> = NEEDED.iter().copied().filter(|(n, _)| *n != name).collect();
    let line = format!(
        "{name}: {good}{}\r\n",
        filler.repeat((LINE_BYTES - good.len()) / filler.len())
    );
    let once = [
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Max-Forwards",
        "Content-Length",
        "c",
    ];
    let count = if once.contains(&name) { 1 } else { 4 };
    message(&others, &line.repeat(count)).into()
}

/// What fuzzing has found, each with a piece of it repeated up to full size.
fn grown() -> Vec<(String, Bytes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/bytes");
    let mut all = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        let data = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for (from, to) in [(1, 2), (1, 3), (2, 3), (3, 4)] {
            let (from, to) = (data.len() * from / 4, data.len() * to / 4);
            let piece = &data[from..to.max(from + 1).min(data.len())];
            let room = (LINE_BYTES * 4).saturating_sub(data.len());
            let flood = piece.repeat(room / piece.len().max(1));
            let text = [&data[..from], &flood, &data[from..]].concat();
            all.push((format!("{:.24} grown at {from}", name), text.into()));
        }
    }
    all
}
