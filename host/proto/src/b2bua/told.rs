//! What transactions tell, brought to the part of the call that it is about.

use super::B2bua;
use crate::call::Call;
use crate::core::Core;
use crate::transaction::{Challenged, Owner, Told};

impl B2bua {
    /// Tells everybody what came of their transactions.
    pub(super) fn tell_owners(&mut self) {
        while let Some(told) = self.core.table.next_told() {
            let owner = match &told {
                Told::Response { owner, .. }
                | Told::TimedOut { owner }
                | Told::Unsendable { owner }
                | Told::ClientOver { owner } => *owner,
                Told::Challenged(challenged) => challenged.owner,
                Told::ServerOver { call } => Owner::Call(*call),
            };
            if let Owner::Trunk(trunk, number) = owner {
                self.watch_told(trunk, number, &told);
                continue;
            }
            if let Owner::Registration(trunk) = owner {
                self.register_told(trunk, told);
                continue;
            }
            let Some(key) = owner.call() else { continue };
            if let Some(call) = self.calls.get_mut(key) {
                tell(call, told, &mut self.core);
                if call.is_gone() {
                    self.remove(key);
                }
            }
        }
    }
}

/// Tells a call what came of one of its transactions.
fn tell(call: &mut Call, told: Told, core: &mut Core) {
    match told {
        Told::Response {
            owner: Owner::Attempt(_, id),
            response,
        } => {
            call.attempt_answered(id, &response, core);
        }
        Told::Response {
            owner: Owner::Relay(_, id),
            response,
        } => {
            call.relay_answered(id, &response, core);
        }
        Told::TimedOut {
            owner: Owner::Attempt(_, id),
        } => call.attempt_silent(id, true, core),
        Told::Unsendable {
            owner: Owner::Attempt(_, id),
        } => {
            call.attempt_silent(id, false, core);
        }
        Told::TimedOut {
            owner: Owner::Relay(_, id),
        } => call.relay_silent(id, true, core),
        Told::Unsendable {
            owner: Owner::Relay(_, id),
        } => call.relay_silent(id, false, core),
        Told::Response {
            owner: Owner::Own(_, leg, _),
            response,
        } => call.own_answered(leg, &response, core),
        Told::TimedOut {
            owner: Owner::Own(_, leg, _),
        }
        | Told::Unsendable {
            owner: Owner::Own(_, leg, _),
        } => call.own_silent(leg, core),
        Told::Response {
            owner: Owner::Refresh(_, leg),
            response,
        } => call.refresh_answered(leg, &response, core),
        Told::TimedOut {
            owner: Owner::Refresh(_, leg),
        }
        | Told::Unsendable {
            owner: Owner::Refresh(_, leg),
        } => call.refresh_silent(leg, core),
        // The call has ended already; that its BYE or CANCEL is over is told below. What is asked of
        // a trunk is no call's.
        Told::Response {
            owner: Owner::Call(_) | Owner::Trunk(..) | Owner::Registration(_),
            ..
        }
        | Told::TimedOut {
            owner: Owner::Call(_) | Owner::Trunk(..) | Owner::Registration(_),
        }
        | Told::Unsendable {
            owner: Owner::Call(_) | Owner::Trunk(..) | Owner::Registration(_),
        }
        | Told::ClientOver {
            owner: Owner::Trunk(..) | Owner::Registration(_),
        } => {}
        Told::Challenged(challenged) => {
            let Some(refused) = call.challenged(*challenged, core) else {
                return;
            };
            let Challenged {
                owner, response, ..
            } = refused;
            tell(call, Told::Response { owner, response }, core);
            over(call, owner);
        }
        Told::ClientOver { owner } => {
            over(call, owner);
            call.transaction_over();
        }
        Told::ServerOver { .. } => call.transaction_over(),
    }
}

/// A transaction has nothing more to say to its owner.
fn over(call: &mut Call, owner: Owner) {
    match owner {
        Owner::Attempt(_, id) => call.attempt_over(id),
        Owner::Relay(_, id) => call.relay_over(id),
        Owner::Own(_, leg, cseq) => call.own_over(leg, cseq),
        Owner::Refresh(_, leg) => call.refresh_over(leg),
        Owner::Call(_) | Owner::Trunk(..) | Owner::Registration(_) => {}
    }
}
