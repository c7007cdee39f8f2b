//! What user agents are told to do: a caller's errand, a callee's manner.

use std::time::Duration;

use intertrunk_proto::Rng;

use crate::ms;

/// What a caller does.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Whom it calls.
    pub callee: String,
    /// Whether the INVITE has an offer; without, the ACK brings the answer.
    pub offer: bool,
    /// CANCEL so long after the INVITE.
    pub cancel: Option<Duration>,
    /// BYE so long after the first 18x, answered or not.
    pub early_bye: Option<Duration>,
    /// BYE so long after the answer.
    pub hang_up: Option<Duration>,
    /// re-INVITE so long after the answer.
    pub reinvite: Option<Duration>,
    /// INFO so long after the first 18x.
    pub early_info: Option<Duration>,
    /// UPDATE with an offer so long after the session was settled before the answer.
    pub early_update: Option<Duration>,
    /// INFO so long after the answer.
    pub info: Option<Duration>,
    /// UPDATE with an offer so long after the answer.
    pub update: Option<Duration>,
    /// CANCEL so long after that re-INVITE.
    pub cancel_reinvite: Option<Duration>,
    /// UPDATE without a body so long after the answer: a refresh (RFC 4028).
    pub refresh: Option<Duration>,
    /// What it says to a re-INVITE.
    pub renegotiation: Renegotiation,
    /// Never sends ACK for a 2xx.
    pub no_ack: bool,
    /// REFER so long after the answer: to another call of its own, or blind.
    pub refer: Option<Duration>,
    /// Asks again, once, after 491 to its re-INVITE.
    pub again: bool,
    /// More header lines of the INVITE.
    pub headers: Vec<(String, String)>,
    /// More header lines of its CANCEL and BYE.
    pub parting: Vec<(String, String)>,
}

impl Errand {
    /// Calls `callee`, hangs up a second after the answer.
    pub fn to(callee: &str) -> Errand {
        Errand {
            callee: callee.to_owned(),
            offer: true,
            cancel: None,
            early_bye: None,
            hang_up: Some(ms(1_000)),
            reinvite: None,
            info: None,
            early_info: None,
            early_update: None,
            update: None,
            refresh: None,
            cancel_reinvite: None,
            renegotiation: Renegotiation::Accepts,
            no_ack: false,
            refer: None,
            again: false,
            headers: Vec::new(),
            parting: Vec::new(),
        }
    }
}

/// A provisional answer.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// So long after the INVITE.
    pub after: Duration,
    /// 180 or 183.
    pub code: u16,
}

/// How a callee ends its INVITE transaction.
#[derive(Clone, Copy, Debug)]
pub enum Final {
    /// 200 so long after the INVITE.
    Answer(Duration),
    /// This code so long after the INVITE.
    Refuse(Duration, u16),
    /// 200 or this code, whichever has its turn first, so long after the INVITE.
    Either(Duration, u16),
    /// Never, until it is cancelled.
    Rings,
    /// 200 in the very moment that a CANCEL comes.
    AnswersCancel,
    /// Does not even say 100.
    Dead,
}

/// What a user agent says to a re-INVITE, and to an UPDATE.
#[derive(Clone, Copy, Debug)]
pub enum Renegotiation {
    /// 200 at once.
    Accepts,
    /// 100, and 200 so much later.
    AcceptsAfter(Duration),
    /// This code.
    Refuses(u16),
    /// 100, and never anything else, whatever comes.
    Stuck,
    /// Nothing at all, to no request of the dialog but BYE.
    Silent,
}

/// What a callee does with one call.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// 18x, if any.
    pub ring: Option<Ring>,
    /// The final answer.
    pub last: Final,
    /// Contact of a 3xx.
    pub places: Option<&'static str>,
    /// Dialogs that it answers with: more than one is a fork beyond it.
    pub forks: u8,
    /// BYE so long after the ACK.
    pub hang_up: Option<Duration>,
    /// re-INVITE so long after the ACK.
    pub reinvite: Option<Duration>,
    /// UPDATE with an offer so long after the ACK.
    pub update: Option<Duration>,
    /// REFER so long after the ACK: to another call of its own, or blind.
    pub refer: Option<Duration>,
    /// What it says to a re-INVITE.
    pub renegotiation: Renegotiation,
    /// More header lines of its answers to the INVITE, and of its BYE.
    pub lines: &'static [(&'static str, &'static str)],
    /// Its 18x are reliable, if the caller knows how; 183 settles the session.
    pub reliable: bool,
    /// UPDATE with an offer so long after the PRACK that settled the session.
    pub early_update: Option<Duration>,
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            ring: Some(Ring {
                after: ms(20),
                code: 180,
            }),
            last: Final::Answer(ms(100)),
            places: None,
            forks: 1,
            hang_up: None,
            reinvite: None,
            update: None,
            refer: None,
            renegotiation: Renegotiation::Accepts,
            lines: &[],
            reliable: false,
            early_update: None,
        }
    }
}

/// Where a 302 sends calls: to one trunk or two, back, and to nobody.
const PLACES: [&str; 4] = [
    "<sip:9@127.0.0.22:5080>",
    "<sip:9@127.0.0.12:5070>;q=0.3, <sip:8@127.0.0.21:5080>;q=0.5",
    "<sip:7@127.0.0.11:5070>, <sip:+1425@127.0.0.22:5080>",
    "<sip:7@192.0.2.9>",
];

/// Any manner at all.
pub fn random_manner(rng: &mut Rng) -> Manner {
    let pick = |rng: &mut Rng, n: u64| rng.next_u64() % n;
    let after = ms(pick(rng, 3_000));
    let last = match pick(rng, 20) {
        0..11 => Final::Answer(after),
        11..15 => {
            let codes = [404, 486, 503, 603, 500, 408, 302, 302];
            Final::Refuse(after, codes[pick(rng, 8) as usize])
        }
        15..17 => Final::Rings,
        17..19 => Final::AnswersCancel,
        _ => Final::Dead,
    };
    let code = if pick(rng, 3) == 0 { 183 } else { 180 };
    let ring = (pick(rng, 4) > 0).then(|| Ring {
        after: ms(pick(rng, 1_000)),
        code,
    });
    Manner {
        ring,
        last,
        places: Some(PLACES[pick(rng, 4) as usize]),
        forks: if pick(rng, 6) == 0 { 2 } else { 1 },
        hang_up: (pick(rng, 3) == 0).then(|| ms(pick(rng, 3_000))),
        reinvite: (pick(rng, 4) == 0).then(|| ms(pick(rng, 2_000))),
        update: None,
        refer: None,
        renegotiation: random_renegotiation(rng.next_u64()),
        lines: &[],
        reliable: pick(rng, 3) == 0,
        early_update: (pick(rng, 3) == 0).then(|| ms(pick(rng, 500))),
    }
}

/// What this dice says to a re-INVITE.
pub fn random_renegotiation(dice: u64) -> Renegotiation {
    match dice % 10 {
        0 => Renegotiation::Stuck,
        1 => Renegotiation::Refuses(488),
        2..=4 => Renegotiation::AcceptsAfter(ms(dice / 10 % 3_000)),
        _ => Renegotiation::Accepts,
    }
}
