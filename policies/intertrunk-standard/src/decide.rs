//! The decision, step by step.

use std::borrow::Cow;

use intertrunk_sdk::{Candidate, Cause, Identity, Plan, Query, Verdict, because};

use crate::Standard;
use crate::routes::Action;

impl Standard {
    pub(crate) fn verdict(&self, query: &Query) -> Verdict {
        let ingress = ingress(query);
        let caller = query.caller().dialed();
        let calling = self.normalize.calling(ingress, &caller);
        // Of the places that a redirection names, the first one with a route.
        let numbers = dialed(query);
        let mut called = numbers.iter().map(|it| self.normalize.called(ingress, it));
        let found = called.find_map(|called| {
            let route = self.routes.find(ingress, &called, &calling)?;
            Some((route, called))
        });
        let Some((route, called)) = found else {
            let number = numbers.first().map_or("", |it| &**it);
            because!("no route from {ingress} to {number}");
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

/// The trunk whose routes apply: a transfer is a new call of who transfers.
fn ingress(query: &Query) -> &str {
    match &query.cause {
        Cause::Transferred(transfer) => &transfer.by,
        Cause::NewCall | Cause::Exhausted(_) | Cause::Redirected(_) | Cause::Answered(_) => {
            query.ingress()
        }
    }
}

/// The numbers to route, best first: those of the new targets, if the call was redirected or
/// transferred.
fn dialed(query: &Query) -> Vec<Cow<'_, str>> {
    match &query.cause {
        Cause::Redirected(targets) if !targets.is_empty() => {
            targets.iter().map(|target| target.dialed()).collect()
        }
        Cause::Transferred(transfer) => vec![transfer.target.dialed()],
        Cause::NewCall | Cause::Redirected(_) | Cause::Exhausted(_) | Cause::Answered(_) => {
            vec![query.callee().dialed()]
        }
    }
}
