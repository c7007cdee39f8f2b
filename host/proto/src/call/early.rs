//! Early dialogs (RFC 3261 §12.1): each To tag of a called side is one, with what its requests need.
//!
//! ```text
//!   caller: one tag of ours, and another one each time that it has settled a session with a called
//!           side and hears of a different one
//!   attempt: beginning --first request in it--> one dialog for each To tag --2xx--> the leg's dialog
//! ```
//! The caller's requests go to the early dialog that spoke last. Until a request needs it, an early
//! dialog is no more than the answer that made it.

use bytes::Bytes;
use intertrunk_sip::{Message, Method, Token};

use super::attempt::{Attempt, AttemptId};
use super::leg::Described;
use super::{Call, LegId, Phase};
use crate::core::Core;
use crate::dialog::Dialog;
use crate::dialog::reliable::Received;

/// An early dialog of an attempt.
#[derive(Debug)]
pub(super) struct EarlyDialog {
    tag: Box<[u8]>,
    /// The answer that made it.
    pub(super) said: Bytes,
    /// Its state, once a request needed it; absent while the leg speaks in it.
    dialog: Option<Box<Dialog>>,
    pub(super) received: Received,
    /// The reliable answer that described the session last: its 2xx need not do so again.
    pub(super) session: Option<Bytes>,
    /// Offer and answer have been exchanged reliably.
    pub(super) settled: bool,
    /// 199 came.
    pub(super) over: bool,
}

/// The early dialogs of one attempt. The leg's dialog is the one that `speaking` names, or what
/// they all begin from.
#[derive(Debug, Default)]
pub(super) struct EarlyDialogs {
    all: Vec<EarlyDialog>,
    speaking: Option<u8>,
    beginning: Option<Box<Dialog>>,
    /// Highest CSeq that a dialog had when it went.
    used: u32,
}

/// Our side of one of the caller's early dialogs, while another one is spoken in.
#[derive(Clone, Copy, Debug)]
pub(super) struct OurSide {
    /// Our tag there.
    tag: Token,
    /// How far our descriptions have come there.
    described: Described,
    /// RSeq of our latest reliable answer there.
    rseq: u32,
}

/// The caller's early dialogs, once one does not do for all.
#[derive(Debug, Default)]
pub(super) struct OurSides {
    /// With whom it has settled a session, each in a dialog of its own.
    settled: Vec<((AttemptId, u8), OurSide)>,
    /// The one for all others.
    others: Option<OurSide>,
}

impl EarlyDialogs {
    /// The place of the dialog with this tag, made if there is room; `None` if not.
    pub(super) fn place(&mut self, tag: &[u8], answer: &Message, most: usize) -> Option<u8> {
        if let Some(place) = self.all.iter().position(|e| *e.tag == *tag) {
            return u8::try_from(place).ok();
        }
        let place = u8::try_from(self.all.len()).ok()?;
        (self.all.len() < most).then(|| {
            self.all.push(EarlyDialog {
                tag: tag.into(),
                said: answer.bytes().clone(),
                dialog: None,
                received: Received::default(),
                session: None,
                settled: false,
                over: false,
            });
            place
        })
    }

    pub(super) fn get(&self, place: u8) -> Option<&EarlyDialog> {
        self.all.get(usize::from(place))
    }

    pub(super) fn get_mut(&mut self, place: u8) -> Option<&mut EarlyDialog> {
        self.all.get_mut(usize::from(place))
    }

    fn place_of(&self, tag: Option<&[u8]>) -> Option<u8> {
        let place = self.all.iter().position(|e| Some(&*e.tag) == tag);
        place.and_then(|place| u8::try_from(place).ok())
    }

    /// The place of the dialog with this tag, if it is not over.
    fn with_tag(&self, tag: Option<&[u8]>) -> Option<u8> {
        let place = self.place_of(tag);
        place.filter(|p| self.get(*p).is_some_and(|e| !e.over))
    }
}

impl Attempt {
    /// Makes the leg speak in this early dialog; in none, and as if there were none, with `None`.
    pub(super) fn speak_in(&mut self, place: Option<u8>) {
        let early = &mut self.early;
        if early.speaking == place {
            return;
        }
        let next = match place {
            None => early.beginning.take(),
            Some(place) => {
                let base = early.beginning.as_deref().unwrap_or(&self.leg.dialog);
                early.all.get_mut(usize::from(place)).and_then(|e| {
                    let parked = e.dialog.take();
                    parked.or_else(|| {
                        let said = Message::parse(e.said.clone()).ok()?;
                        Some(Box::new(base.answered(&said)))
                    })
                })
            }
        };
        let Some(next) = next else { return };
        let before = Box::new(std::mem::replace(&mut self.leg.dialog, *next));
        match early
            .speaking
            .and_then(|n| early.all.get_mut(usize::from(n)))
        {
            Some(parked) => parked.dialog = Some(before),
            None => early.beginning = Some(before),
        }
        early.speaking = place;
    }

    /// The dialog that a 2xx confirms: the early one with its tag, or a new one. The others go.
    pub(super) fn confirm(&mut self, response: &Message) {
        let place = self.early.place_of(response.to_tag());
        // An early dialog that never spoke is no different from a new one.
        let spoke = place.filter(|p| {
            let parked = |e: &EarlyDialog| e.dialog.is_some();
            self.early.speaking == Some(*p) || self.early.get(*p).is_some_and(parked)
        });
        self.speak_in(spoke);
        match spoke {
            Some(_) => self.leg.dialog.confirm(response),
            None => self.leg.dialog = self.leg.dialog.answered(response),
        }
        self.early = EarlyDialogs {
            used: self.highest_cseq(),
            ..EarlyDialogs::default()
        };
    }

    /// The highest CSeq of all dialogs of this attempt: a number above it is new to each.
    pub(super) fn highest_cseq(&self) -> u32 {
        let parked = self.early.all.iter().filter_map(|e| e.dialog.as_deref());
        let dialogs = parked.chain(self.early.beginning.as_deref());
        let numbers = dialogs.chain([&self.leg.dialog]).map(Dialog::last_cseq);
        numbers.fold(self.early.used, u32::max)
    }

    /// All dialogs of this attempt go on above this number.
    pub(super) fn skip_cseq(&mut self, used: u32) {
        let parked = self
            .early
            .all
            .iter_mut()
            .filter_map(|e| e.dialog.as_deref_mut());
        let dialogs = parked.chain(self.early.beginning.as_deref_mut());
        for dialog in dialogs.chain([&mut self.leg.dialog]) {
            dialog.skip_cseq(used);
        }
    }

    /// Whether this tag of the peer is an early dialog of ours.
    pub(super) fn has_early(&self, tag: Option<&[u8]>) -> bool {
        self.is_live() && self.early.with_tag(tag).is_some()
    }

    /// The place of the early dialog with this tag.
    pub(super) fn early_place(&self, tag: Option<&[u8]>) -> Option<u8> {
        self.early.place_of(tag)
    }

    /// The session of the dialog with this tag, if it was described before its 2xx.
    pub(super) fn session_of(&self, tag: Option<&[u8]>) -> Option<Message> {
        let early = self.early.get(self.early.place_of(tag)?)?;
        Message::parse(early.session.clone()?).ok()
    }

    /// Whether the called side's offer was answered before its 2xx, which then has none.
    pub(super) fn is_settled(&self, tag: Option<&[u8]>) -> bool {
        let place = self.early.with_tag(tag);
        place.is_some_and(|p| self.early.get(p).is_some_and(|e| e.settled))
    }
}

impl Call {
    /// The leg beyond this one before the answer: the early dialog that spoke last, or the caller.
    pub(super) fn early_other(&mut self, leg: LegId) -> Option<LegId> {
        if self.phase != Phase::Dialling || self.pickup.is_some() {
            return None;
        }
        match leg {
            LegId::A => {
                let (id, place) = self.speaks?;
                let attempt = self.attempt_mut(id).filter(|a| a.is_live())?;
                attempt.speak_in(Some(place));
                Some(LegId::B(id))
            }
            LegId::B(id) => self.attempt_mut(id)?.is_live().then_some(LegId::A),
        }
    }

    /// Takes a request of a called side into the early dialog that it belongs to.
    pub(super) fn turn_to(&mut self, leg: LegId, request: &Message) {
        if let LegId::B(id) = leg
            && let Some(attempt) = self.attempt_mut(id)
            && attempt.is_live()
        {
            let place = attempt.early.with_tag(request.from_tag());
            if place.is_some() {
                attempt.speak_in(place);
            }
        }
    }

    /// Why an offer from this leg has to wait while the INVITE is unanswered (RFC 3311 §5.2): its
    /// own exchange is not over, or that of the other leg is not.
    pub(super) fn early_glare(&self, from: LegId, request: &Message) -> Option<u16> {
        if *request.method() == Method::Invite {
            return Some(if from == LegId::A { 500 } else { 491 });
        }
        let caller = self.caller_is_settled();
        let called = self.speaks.is_some_and(|(id, place)| {
            let attempt = self.attempts.get(usize::from(id.0));
            let early = attempt.and_then(|a| a.early.get(place));
            early.is_some_and(|e| {
                e.settled && (from == LegId::A || Some(&*e.tag) == request.from_tag())
            })
        });
        match (from, caller, called) {
            (_, true, true) => None,
            (LegId::B(_), _, false) => Some(491),
            (LegId::B(_) | LegId::A, _, _) => Some(500),
        }
    }

    /// Makes our side of the caller's dialog the one for this early dialog of a called side. One
    /// does for all, until the caller has settled a session in it: it would take no other answer to
    /// its offer there, so that the others need another one (RFC 3261 §12.1.1).
    pub(super) fn speak_as(&mut self, id: AttemptId, place: Option<u8>, core: &mut Core) {
        let most = core.snapshot.limits.early_dialogs_max;
        let tag = self.a.dialog.local_tag;
        let Some(early) = &mut self.early else { return };
        // While a session waits for its PRACK, nothing that matters comes of anybody else.
        if early.sides.settled.is_empty() || early.sent.holds_success() {
            return;
        }
        let left = OurSide {
            tag,
            described: self.a.described(),
            rseq: early.sent.rseq(),
        };
        let sides = &mut early.sides;
        match sides.settled.iter_mut().find(|(_, side)| side.tag == tag) {
            Some((_, side)) => *side = left,
            None => sides.others = Some(left),
        }
        let source = place.map(|place| (id, place));
        let mut settled = sides.settled.iter().filter(|(s, _)| Some(*s) == source);
        let next = settled.next().map(|(_, side)| *side);
        early.settled = next.is_some();
        let next = match next.or(sides.others) {
            Some(next) => next,
            None if self.more_tags.len() >= most => return,
            None => OurSide {
                tag: core.rng.token(),
                described: Described::default(),
                rseq: left.rseq,
            },
        };
        if next.tag == tag {
            return;
        }
        // An offer of the dialog that the caller hears no more would be answered as of another one.
        self.answer_offers_of(LegId::A, core);
        let Some(early) = &mut self.early else { return };
        early.sent.go_on_from(next.rseq);
        self.a.describe_as(next.described);
        let cseq = self.invite.as_ref().map_or(0, |i| i.cseq());
        self.more_tags.push(tag);
        self.a.dialog.answer_as(next.tag, cseq);
        core.legs.insert(next.tag, (self.key, LegId::A));
    }

    /// The caller has settled a session with this early dialog of a called side.
    pub(super) fn settle(&mut self, source: (AttemptId, u8)) {
        let (tag, described) = (self.a.dialog.local_tag, self.a.described());
        let Some(early) = &mut self.early else { return };
        early.settled = true;
        let sides = &mut early.sides;
        sides.others = sides.others.filter(|side| side.tag != tag);
        if sides.settled.iter().all(|(s, _)| *s != source) {
            let rseq = early.sent.rseq();
            let side = OurSide {
                tag,
                described,
                rseq,
            };
            sides.settled.push((source, side));
        }
    }

    /// Whether a request of the caller is of an early dialog that it hears no more.
    pub(super) fn is_past(&self, request: &Message) -> bool {
        if self.more_tags.is_empty() || *request.method() == Method::Prack {
            return false;
        }
        let tag = request.to_tag().and_then(Token::parse);
        tag != Some(self.a.dialog.local_tag)
    }
}
