//! Intertrunk's standard policy: routes and number translations from a dial plan in TOML.
//!
//! For each call, in this order: the called and the calling number are normalised as the trunk that
//! the call came in on says; the first route that matches names the trunks to try, or a code to
//! refuse with; both numbers are translated as each of those trunks says. The README describes the
//! dial plan. This policy asks the host nothing while it decides, so a decision costs one crossing
//! of the boundary.

mod decide;
mod dial_plan;
mod names;
mod numbers;
mod routes;

use intertrunk_sdk::{Fault, Policy, Query, Verdict, policy};

use numbers::Numbers;
use routes::Routes;

/// The standard policy, configured.
#[derive(Default)]
pub struct Standard {
    /// Normalisation by ingress trunk.
    normalize: Numbers,
    routes: Routes,
    /// Translation by egress trunk.
    translate: Numbers,
}

impl Policy for Standard {
    fn configure(text: &str) -> Result<Self, Vec<Fault>> {
        dial_plan::read(text)
    }

    fn decide(&self, query: &Query) -> Verdict {
        self.verdict(query)
    }
}

policy!(Standard);
