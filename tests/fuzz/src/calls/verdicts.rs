//! Verdicts of every kind: good ones, and what a policy with bad code or bad intent could say.

use intertrunk_proto::ask::{
    Candidate, CodeMap, HeaderField, Identity, Inquiry, LookUp, Party, Plan, Rejection, Scheme,
    Tag, Verdict, WhenExhausted,
};

use crate::take::Take;

const TRUNKS: [&str; 8] = [
    "gw-a", "gw-b", "pbx-b", "pbx-a", "gw-a", "nowhere", "", "gw-a\r\n",
];
const TEXTS: [&str; 8] = [
    "+12065550100",
    "100",
    "",
    "a\r\nVia: SIP/2.0/UDP evil",
    "sip:x@y",
    "\u{fc}\0\"<>;,",
    "100;ext=5",
    "anonymous",
];
const HEADERS: [&str; 8] = [
    "X-Note",
    "Via",
    "i",
    "Call-ID",
    "Contact",
    "Route",
    "X Note",
    "Diversion",
];

/// A verdict.
pub(super) fn verdict(take: &mut Take<'_>) -> Verdict {
    match take.byte() % 16 {
        0 => Verdict::Reject(Rejection {
            code: take.of(&[403, 404, 486, 603, 503, 99, 200, 700]),
            phrase: text(take).map(str::to_owned),
            q850: take.of(&[None, Some(17), Some(65_535)]),
            retry_after_s: take.of(&[None, Some(30), Some(u32::MAX)]),
        }),
        1 => Verdict::Redirect((0..take.byte() % 4).map(|_| party(take)).collect()),
        2 => Verdict::Pass,
        3 => Verdict::Inquire(Inquiry {
            look_ups: vec![LookUp::default(); usize::from(take.byte() % 4)],
            cookie: Vec::new(),
        }),
        4 => Verdict::Connect(Plan {
            candidates: vec![candidate(take); usize::from(take.byte()) * 8],
            ..Plan::default()
        }),
        5..=7 => Verdict::Connect(plan(take)),
        _ => {
            let trunk = take.of(&TRUNKS).to_owned();
            Verdict::Connect(Plan {
                candidates: vec![Candidate {
                    trunk,
                    ..Candidate::default()
                }],
                ..Plan::default()
            })
        }
    }
}

fn text(take: &mut Take<'_>) -> Option<&'static str> {
    let byte = take.byte();
    (byte % 2 == 1).then(|| TEXTS[usize::from(byte / 2) % TEXTS.len()])
}

fn party(take: &mut Take<'_>) -> Party {
    Party {
        display: text(take).map(str::to_owned),
        scheme: take.of(&[Scheme::Sip, Scheme::Sips, Scheme::Tel, Scheme::Other]),
        user: text(take).unwrap_or("200").to_owned(),
        host: take
            .of(&["203.0.113.9", "x.example:5080", "", "a b", "[::1]"])
            .to_owned(),
        params: Vec::new(),
    }
}

fn plan(take: &mut Take<'_>) -> Plan {
    let count = 1 + take.byte() % 4;
    Plan {
        candidates: (0..count).map(|_| candidate(take)).collect(),
        when_exhausted: take.of(&[
            WhenExhausted::RelayLast,
            WhenExhausted::AskAgain,
            WhenExhausted::Reply(404),
            WhenExhausted::Reply(200),
        ]),
        code_maps: vec![
            CodeMap {
                from_code: 503,
                q850: None,
                to_code: take.of(&[486, 603, 200, 100, 999]),
            };
            usize::from(take.byte() % 2)
        ],
        max_duration_s: take.of(&[None, None, Some(3), Some(0), Some(u32::MAX)]),
        tags: vec![Tag::default(); usize::from(take.byte() % 3)],
        cookie: vec![7; usize::from(take.byte())],
        extra: Vec::new(),
    }
}

fn candidate(take: &mut Take<'_>) -> Candidate {
    let flags = take.byte();
    let has = |bit: u8| flags >> bit & 1 == 1;
    Candidate {
        trunk: take.of(&TRUNKS).to_owned(),
        peer: has(0).then(|| {
            take.of(&["sip:127.0.0.21:5080", "sip:127.0.0.66"])
                .to_owned()
        }),
        callee: has(1).then(|| text(take).unwrap_or("12").to_owned()),
        caller: has(2).then(|| Identity {
            user: text(take).unwrap_or("0100").to_owned(),
            display: text(take).map(str::to_owned),
        }),
        withhold_caller: has(3),
        set_headers: match has(4) {
            false => Vec::new(),
            true => vec![HeaderField {
                name: take.of(&HEADERS).to_owned(),
                value: text(take).unwrap_or("v").to_owned(),
            }],
        },
        remove_headers: match has(5) {
            false => Vec::new(),
            true => vec![take.of(&HEADERS).to_owned()],
        },
        no_progress_ms: has(6).then(|| u32::from(take.word())),
        ring_ms: has(6).then(|| u32::from(take.word())),
        failover: has(7).then(|| vec![take.of(&[486, 200, 100, 603, 487])]),
        group: take.byte() % 3,
        ..Candidate::default()
    }
}
