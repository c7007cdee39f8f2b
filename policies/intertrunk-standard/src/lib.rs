//! Intertrunk's standard policy: usages, routes and number translations from a dial plan in TOML.
//!
//! `docs/dial-plan.md` describes the dial plan, and what happens to a call in which order. `dial_plan`
//! reads it; `decide` goes through the steps of a decision, of which `walk` finds the routes and
//! `plan` makes candidates of their trunks. A dial plan that says nothing of sites, tables and loads
//! asks the host nothing while it decides, so a decision costs one crossing of the boundary.

mod barred;
mod call;
mod conditions;
mod decide;
mod dial_plan;
mod egress;
mod limit;
mod location;
mod lookup;
mod names;
mod numbers;
mod pattern_keys;
mod place;
mod plan;
mod route;
mod scopes;
mod values;
mod walk;

use intertrunk_sdk::calendar::Calendar;
use intertrunk_sdk::{Fault, Manifest, Policy, Query, Verdict, policy};

use barred::{Block, Emergency, Unassigned};
use limit::Limit;
use lookup::Lookup;
use numbers::Numbers;
use route::Routes;
use scopes::Scopes;

/// The standard policy, configured.
#[derive(Default)]
pub struct Standard {
    /// Whether the site of a trunk makes a difference anywhere: only the host knows it.
    asks_for_sites: bool,
    /// Headers that routes look at.
    headers: Vec<String>,
    calendars: Vec<Calendar>,
    scopes: Scopes,
    /// By ingress trunk.
    normalize: Numbers,
    emergencies: Vec<Emergency>,
    blocks: Vec<Block>,
    unassigned: Vec<Unassigned>,
    /// Whether numbers that were ported are routed by where they are now.
    portability: bool,
    lookups: Vec<Lookup>,
    limits: Vec<Limit>,
    /// Whether a limit asks for what calls cost.
    tells_prices: bool,
    routes: Routes,
    /// By egress trunk.
    translate: Numbers,
}

impl Policy for Standard {
    fn describe() -> Manifest {
        Manifest::default().table("*")
    }

    fn configure(text: &str) -> Result<Self, Vec<Fault>> {
        dial_plan::read(text)
    }

    fn headers(&self) -> Vec<String> {
        self.headers.clone()
    }

    fn decide(&self, query: &Query) -> Verdict {
        self.verdict(query)
    }
}

policy!(Standard);
