//! The decision, step by step.

use intertrunk_sdk::{Candidate, Identity, Plan, Query, Verdict, because};

use crate::Standard;
use crate::routes::Action;

impl Standard {
    pub(crate) fn verdict(&self, query: &Query) -> Verdict {
        let origin = query.origin();
        let normalize = self.normalize.of(origin);
        let caller = query.caller().dialed();
        let calling = normalize.calling(&caller);
        // Of the places that a redirection names, the first one with a route.
        for destination in query.destinations() {
            let number = destination.dialed();
            let called = normalize.called(&number);
            let Some(route) = self.routes.first(&[origin], &called, &calling) else {
                continue;
            };
            let name = &route.then.name;
            because!("route {name:?} ({route}) for {called}");
            return match &route.then.action {
                Action::Reject(code) => Verdict::reject(*code),
                Action::To(trunks) => {
                    let numbers = Numbers {
                        called: &called,
                        calling: &calling,
                    };
                    let to = trunks.names().iter();
                    let plan: Plan = to.map(|it| self.candidate(query, it, numbers)).collect();
                    plan.tag("route", &**name).into()
                }
            };
        }
        because!(
            "no route from {origin} to {}",
            query.destinations()[0].dialed()
        );
        Verdict::not_found()
    }

    /// One trunk to try. Numbers that arrive as they leave are not sent back to the host.
    fn candidate(&self, query: &Query, trunk: &str, numbers: Numbers<'_>) -> Candidate {
        let mut candidate = Candidate::on(trunk);
        let translate = self.translate.of(trunk);
        let called = translate.called(numbers.called);
        if called != query.callee().dialed() {
            candidate.callee = Some(called.into_owned());
        }
        let calling = translate.calling(numbers.calling);
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
