//! The decision, step by step.

use std::borrow::Cow;

use intertrunk_sdk::{Candidate, Cause, Identity, Plan, Query, Verdict, because};

use crate::Standard;
use crate::routes::Action;

impl Standard {
    pub(crate) fn verdict(&self, query: &Query) -> Verdict {
        let ingress = query.ingress();
        let (dialed, caller) = (dialed(query), query.caller().dialed());
        let called = self.normalize.called(ingress, &dialed);
        let calling = self.normalize.calling(ingress, &caller);
        let Some(route) = self.routes.find(ingress, &called, &calling) else {
            because!("no route from {ingress} to {called}");
            return Verdict::not_found();
        };
        because!("{route} for {called}");
        match &route.action {
            Action::Reject(code) => Verdict::reject(*code),
            Action::To(trunks) => {
                let numbers = Numbers {
                    called: &called,
                    calling: &calling,
                };
                let to = trunks
                    .names()
                    .iter()
                    .map(|it| self.candidate(query, it, numbers));
                to.collect::<Plan>().tag("route", &*route.name).into()
            }
        }
    }

    /// One trunk to try. Numbers that arrive as they leave are not sent back to the host.
    fn candidate(&self, query: &Query, trunk: &str, numbers: Numbers<'_>) -> Candidate {
        let mut candidate = Candidate::on(trunk);
        let called = self.translate.called(trunk, numbers.called);
        if called != query.callee().dialed() {
            candidate.callee = Some(called.into_owned());
        }
        let calling = self.translate.calling(trunk, numbers.calling);
        if calling != query.caller().dialed() {
            let display = query.caller().display.clone();
            candidate.caller = Some(Identity {
                user: calling.into_owned(),
                display,
            });
        }
        candidate
    }
}

/// Both numbers after normalisation.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    called: &'a str,
    calling: &'a str,
}

/// The number to route: that of the new target, if the call was redirected or transferred.
fn dialed(query: &Query) -> Cow<'_, str> {
    match &query.cause {
        Cause::Redirected(targets) => targets.first().unwrap_or(query.callee()).dialed(),
        Cause::Transferred(transfer) => transfer.target.dialed(),
        Cause::NewCall | Cause::Exhausted(_) | Cause::Answered(_) => query.callee().dialed(),
    }
}
