//! Reliable provisional answers of a model user agent (RFC 3262), as either side, and what they
//! allow before the answer.

use std::time::Duration;

use bytes::Bytes;
use intertrunk_proto::Instant;
use intertrunk_sip::{Message, Method, Name};

use super::{Deed, Dialog, Side, T1, Ua, Unacked};

/// What one dialog knows of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reliable {
    /// RSeq of the latest one.
    rseq: u32,
    /// The one that waits for its PRACK.
    waiting: Option<Unacked>,
    /// Offer and answer have been exchanged.
    pub(super) settled: bool,
}

impl Dialog {
    /// The one that waits for its PRACK.
    pub(super) fn unacknowledged(&mut self) -> Option<&mut Unacked> {
        self.reliable.waiting.as_mut()
    }

    /// RSeq of an answer with this code that is just being made.
    pub(super) fn rseq_of(&self, code: u16) -> Option<u32> {
        let r = &self.reliable;
        ((101..200).contains(&code) && r.rseq > 0).then_some(r.rseq)
    }

    /// When that is sent again.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.reliable.waiting.as_ref().map(|w| w.at)
    }
}

impl Side {
    /// RSeq of the next 18x of this dialog, if it is reliable.
    pub(super) fn next_rseq(&mut self, dialog: usize, code: u16) -> Option<u32> {
        let invite = self.invite.as_ref()?;
        let wanted = lists(invite, Name::Require);
        let may = self.manner.reliable && (wanted || lists(invite, Name::Supported));
        ((101..200).contains(&code) && may).then(|| {
            let r = &mut self.dialogs[dialog].reliable;
            r.rseq = r.rseq.max(100) + 1;
            r.rseq
        })
    }

    /// Whether the answer has to wait for a PRACK.
    pub(super) fn waits_for_prack(&self) -> bool {
        self.dialogs.iter().any(|d| d.reliable.waiting.is_some())
    }

    /// Whether an INVITE asks once more, after a refusal, in the same dialog.
    pub(super) fn is_asked_again(&self, request: &Message) -> bool {
        let refused = !self.caller && self.code.is_some_and(|c| c >= 300);
        let is_new = |i: &Message| i.cseq() < request.cseq();
        *request.method() == Method::Invite
            && request.to_tag().is_none()
            && refused
            && self.invite.as_ref().is_some_and(is_new)
    }

    /// Whether its session is settled, but not answered.
    pub(super) fn can_update_early(&self) -> bool {
        self.code.is_none() && self.dialogs[0].reliable.settled
    }

    /// The INVITE has a final answer.
    pub(super) fn forget_reliable(&mut self) {
        for d in &mut self.dialogs {
            d.reliable.waiting = None;
        }
    }
}

impl Ua {
    /// A reliable 18x has been sent.
    pub(super) fn sent_reliably(
        &mut self,
        side: &mut Side,
        dialog: usize,
        bytes: &Bytes,
        now: Instant,
    ) {
        let cseq = side.invite.as_ref().map_or(0, Message::cseq);
        side.dialogs[dialog].reliable.waiting = Some(Unacked {
            cseq,
            bytes: bytes.clone(),
            at: now + T1,
            interval: T1,
            give_up: now + T1 * 64,
        });
    }

    /// A PRACK came. Gives the code of its answer.
    pub(super) fn pracked(
        &mut self,
        side: &mut Side,
        dialog: usize,
        prack: &Message,
        now: Instant,
    ) -> u16 {
        let r = &mut side.dialogs[dialog].reliable;
        let rack = prack.header(Name::RAck).unwrap_or_default();
        let rack = String::from_utf8_lossy(rack).into_owned();
        let cseq = side.invite.as_ref().map_or(0, Message::cseq);
        if rack != format!("{} {cseq} INVITE", r.rseq) {
            self.complain(&format!("a PRACK of {rack}"));
            return 481;
        }
        let Some(waiting) = r.waiting.take() else {
            // It was answered in the meantime.
            return 200;
        };
        let offered = waiting.bytes.ends_with(b"offer");
        r.settled |= offered || waiting.bytes.ends_with(b"answer");
        if offered && !prack.body().ends_with(b"answer") {
            self.complain("an offer in our 18x, but no answer in the PRACK");
        }
        let update = side.manner.early_update.filter(|_| r.settled);
        side.deeds
            .extend(update.map(|d| (now + d, Deed::EarlyUpdate)));
        200
    }

    /// A 18x came for a caller: acknowledged if it is reliable. False if it came before.
    pub(super) fn rang(&mut self, side: &mut Side, answer: &Message, now: Instant) -> bool {
        let invite = Message::parse(side.clients[0].bytes.clone()).expect("ours");
        let required = lists(&invite, Name::Require);
        if !lists(answer, Name::Require) {
            if required {
                self.complain("a 18x that is not reliable");
            }
            return true;
        }
        if !required && !lists(&invite, Name::Supported) {
            self.complain("a reliable 18x that I do not know");
        }
        let rseq = answer.u32_header(Name::RSeq).unwrap_or_default();
        let r = &mut side.dialogs[0].reliable;
        if r.rseq != 0 && rseq != r.rseq + 1 {
            if rseq > r.rseq {
                self.complain("a gap between reliable answers");
            }
            return false;
        }
        r.rseq = rseq;
        let offered = answer.body().ends_with(b"offer");
        r.settled |= answer.has_body();
        let update = side.errand.as_ref().and_then(|e| e.early_update);
        let update = update.filter(|_| r.settled);
        side.deeds
            .extend(update.map(|d| (now + d, Deed::EarlyUpdate)));
        self.learn(side, answer);
        let rack = format!("{rseq} {} INVITE", invite.cseq());
        let body = offered.then_some("answer");
        self.request_with(side, 0, &Method::Prack, &[(Name::RAck, rack)], body, now);
        true
    }

    /// An answer to the INVITE with another To tag is another dialog: what was settled in the last
    /// one is not settled there.
    pub(super) fn hear(&mut self, side: &mut Side, place: usize, answer: &Message) {
        let tag = answer.to_tag().map(<[u8]>::to_vec);
        let first = side.caller && place == 0 && side.code.is_none();
        let Some(tag) = tag.filter(|_| first) else {
            return;
        };
        let known = side.forks.remove(&tag).unwrap_or_default();
        let before = std::mem::replace(&mut side.dialogs[0].reliable, known);
        let before_tag = std::mem::replace(&mut side.hears, tag);
        if before_tag == side.hears {
            side.dialogs[0].reliable = before;
        } else {
            side.forks.insert(before_tag, before);
        }
    }

    /// Sends what waits for its PRACK again.
    pub(super) fn repeat_reliable(&mut self, side: &mut Side, now: Instant) {
        let mut given_up = false;
        for d in &mut side.dialogs {
            let Some(w) = d.unacknowledged().filter(|w| w.at <= now) else {
                continue;
            };
            if w.give_up <= now {
                given_up = true;
                continue;
            }
            w.interval *= 2;
            w.at = now + w.interval.min(Duration::from_secs(32));
            self.out.push(w.bytes.clone());
        }
        if given_up {
            side.forget_reliable();
            side.deeds.insert((now, Deed::Refuse(504)));
        }
    }
}

fn lists(message: &Message, name: Name) -> bool {
    message.values(name).any(|tag| tag == b"100rel")
}
