//! A party of an answered call changes: it is transferred (RFC 3515, RFC 5589), or another dialog
//! takes its place (RFC 3891). What is common to both, and how far a change has come.
//!
//! ```text
//!   leaves --REFER--> Asking --verdict--> Dialling --2xx--.
//!                        |                   |             v
//!                        +--- refused -------+--------> Joining --2xx--> the newcomer has the
//!                        |    NOTIFY code                  |             place of `leaves`, which
//!                        v                                 |             gets NOTIFY 200 and BYE
//!                 the old call goes on <---- refused ------+
//!                                                          ^
//!   newcomer --INVITE with Replaces------------------------'
//! ```
//! In Joining the party that stays is asked with a re-INVITE to take the newcomer's session (RFC
//! 3725 §4.1: the newcomer's INVITE carried what the party that stays had said last). The bridge
//! is as it was until then. Whoever of the bridge hangs up meanwhile ends the change, but for the
//! one that leaves: its BYE is only early.
//!
//! - `replaces`: INVITE with Replaces
//! - `refer`: REFER, and what is asked and dialled for it
//! - `referral`: REFER that the other side carries out, which changes nothing here
//! - `notify`: what the transferor learns
//! - `join`: the re-INVITE, and the end of a change

use std::sync::Arc;

use intertrunk_sip::{Message, Replaces};

use super::attempt::AttemptState;
use super::notify::Subscription;
use super::reason::Because;
use super::{Call, LegId, Phase};
use crate::ask::{Query, Tag};
use crate::core::Core;
use crate::io::{AskId, Flow};
use crate::time::Instant;
use crate::transaction::ServerKey;
use crate::trunk::Trunk;

/// A change under way.
#[derive(Debug)]
pub(super) struct Change {
    /// Whose place is taken.
    pub(super) leaves: LegId,
    /// Who gets another party.
    pub(super) stays: LegId,
    pub(super) step: Step,
    /// What is dialled for it, as if the party that stays had called.
    pub(super) invite: Arc<Message>,
    /// What is asked for it.
    pub(super) query: Box<Query>,
    /// What the transferor learns.
    pub(super) subscription: Subscription,
    /// The INVITE of the newcomer, if that came in by itself.
    pub(super) incoming: Option<Incoming>,
    /// The dialog of another call whose other side is to be the newcomer.
    pub(super) replaces: Option<Replaces>,
    /// Attempts of the call before it.
    pub(super) attempts_before: usize,
    /// Tags of the plans before it.
    pub(super) tags_before: Vec<Tag>,
}

/// Where the answer to a newcomer's INVITE goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    pub(super) server: ServerKey,
    pub(super) flow: Flow,
}

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The policy is asked where the newcomer is.
    Asking { ask: AskId, until: Instant },
    /// The newcomer is called.
    Dialling,
    /// The newcomer has answered; the party that stays is asked to take its session.
    Joining { newcomer: LegId },
}

impl Call {
    /// The question that is open, of the call itself or of a transfer, and its deadline.
    pub(super) fn asking(&self) -> Option<(AskId, Instant)> {
        let of_change = self.change.as_ref().map(|c| c.step);
        match (self.phase, of_change) {
            (Phase::Asking { ask, until }, _)
            | (Phase::Talking(_), Some(Step::Asking { ask, until })) => Some((ask, until)),
            (Phase::Dialling | Phase::Ended | Phase::Talking(_), _) => None,
        }
    }

    /// Whether candidates are being tried, for the call itself or for a transfer.
    pub(super) fn is_dialling(&self) -> bool {
        let of_change = self.change.as_ref().map(|c| c.step);
        match self.phase {
            Phase::Dialling => true,
            Phase::Talking(_) => of_change == Some(Step::Dialling),
            Phase::Asking { .. } | Phase::Ended => false,
        }
    }

    pub(super) fn now_asking(&mut self, ask: AskId, until: Instant) {
        match &mut self.change {
            Some(change) => change.step = Step::Asking { ask, until },
            None => self.phase = Phase::Asking { ask, until },
        }
    }

    pub(super) fn now_dialling(&mut self) {
        match &mut self.change {
            Some(change) => change.step = Step::Dialling,
            None => self.phase = Phase::Dialling,
        }
    }

    /// The INVITE that is being asked and dialled for.
    pub(super) fn wanted(&self) -> Option<Arc<Message>> {
        match &self.change {
            Some(change) => Some(Arc::clone(&change.invite)),
            None => self.invite.clone(),
        }
    }

    /// The facts that are being asked and dialled for.
    pub(super) fn question(&self) -> Option<&Query> {
        match &self.change {
            Some(change) => Some(&change.query),
            None => self.query.as_deref(),
        }
    }

    pub(super) fn question_mut(&mut self) -> Option<&mut Query> {
        match &mut self.change {
            Some(change) => Some(&mut change.query),
            None => self.query.as_deref_mut(),
        }
    }

    /// Where the call that is being dialled for comes from: the trunk by which its guards judge.
    /// In a transfer, that of the party that stays, be it in another call.
    pub(super) fn ingress(&self) -> Arc<Trunk> {
        let stays = self.change.as_ref().and_then(|c| self.leg(c.stays));
        Arc::clone(stays.unwrap_or(&self.a).party())
    }

    /// A transfer found nobody: the transferor learns the code, and the old call goes on, if there
    /// still are two.
    pub(super) fn change_refused(&mut self, code: u16, core: &mut Core) {
        self.queue.clear();
        self.give_up_all(&Because::Code(code), core);
        self.notify(code, true, core);
        self.change_failed(code, core);
    }

    /// The change is over and changed nothing. Whoever was left alone by it is hung up.
    pub(super) fn change_failed(&mut self, code: u16, core: &mut Core) {
        let Some(change) = self.change.take() else {
            return;
        };
        self.dismiss_newcomer(&change, code, core);
        let left = self.leg(change.leaves).is_some_and(|l| l.over);
        if let (true, Phase::Talking(bridge)) = (left, self.phase) {
            self.hang_up(change.stays, core);
            self.end(bridge.part_of(change.leaves), 200, 16, core);
        }
    }

    /// The call ends, and with it a change that is under way and all that was passed on.
    pub(super) fn drop_change(&mut self, core: &mut Core) {
        self.end_referrals(None, core);
        self.notify(487, true, core);
        if let Some(change) = self.change.take() {
            if let Step::Asking { ask, .. } = change.step {
                self.unask(ask, core);
            }
            self.dismiss_newcomer(&change, 487, core);
        }
    }

    /// Whether a party is changing, or somebody is still asked for a change that was given up.
    pub(super) fn is_changing(&self) -> bool {
        self.change.is_some() || self.own_offer.is_some()
    }

    /// Whether this leg is a newcomer that the party that stays is asked to take.
    pub(super) fn joins(&self, leg: LegId) -> bool {
        let step = self.change.as_ref().map(|c| c.step);
        matches!(step, Some(Step::Joining { newcomer }) if newcomer == leg)
    }

    /// The newcomer whose INVITE, which came in by itself, is this one.
    pub(super) fn newcomer_of(&self, server: ServerKey) -> Option<LegId> {
        let change = self.change.as_ref()?;
        let incoming = change.incoming.filter(|i| i.server == server);
        match change.step {
            Step::Joining { newcomer } => incoming.map(|_| newcomer),
            Step::Asking { .. } | Step::Dialling => None,
        }
    }

    /// The newcomer stays out: its INVITE gets this code, or it has answered ours and gets a BYE.
    fn dismiss_newcomer(&mut self, change: &Change, code: u16, core: &mut Core) {
        let Step::Joining { newcomer } = change.step else {
            return;
        };
        match change.incoming {
            Some(_) => self.refuse_newcomer(newcomer, change, code, core),
            None => self.hang_up(newcomer, core),
        }
        self.leave(newcomer);
    }

    /// A leg has no part in the bridge any more; its place on the trunk is free.
    pub(super) fn leave(&mut self, leg: LegId) {
        if let LegId::B(id) = leg
            && let Some(attempt) = self.attempt_mut(id)
        {
            attempt.state = AttemptState::Left;
        }
        if let Some(leg) = self.leg_mut(leg) {
            leg.seat = None;
            leg.stop_timer();
        }
    }
}
