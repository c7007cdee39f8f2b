//! Reading the dial plan: everything that is wrong with it, or the policy that it describes.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use intertrunk_sdk::calendar::Calendar;
use intertrunk_sdk::{Fault, settings};
use serde::Deserialize;

use crate::Standard;
use crate::barred::{Block, Emergency, Unassigned};
use crate::limit::Limit;
use crate::lookup::Lookup;
use crate::numbers::{Normalize, Numbers, Translate};
use crate::route::Route;
use crate::scopes::{Global, Scopes, Site, Trunk};
use crate::values::Names;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DialPlan {
    #[serde(default)]
    usages: Option<Names>,
    #[serde(default)]
    global: Option<Global>,
    #[serde(default)]
    site: Vec<Site>,
    #[serde(default)]
    trunk: Vec<Trunk>,
    #[serde(default)]
    normalize: Vec<Normalize>,
    #[serde(default)]
    emergency: Vec<Emergency>,
    #[serde(default)]
    block: Vec<Block>,
    #[serde(default)]
    unassigned: Vec<Unassigned>,
    #[serde(default)]
    calendar: BTreeMap<Box<str>, Calendar>,
    #[serde(default)]
    portability: Portability,
    #[serde(default)]
    lookup: Vec<Lookup>,
    #[serde(default)]
    limit: Vec<Limit>,
    #[serde(default)]
    route: Vec<Route>,
    #[serde(default)]
    translate: Vec<Translate>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Portability {
    #[serde(default)]
    rn: bool,
}

/// Reads the text of a dial plan.
pub(crate) fn read(text: &str) -> Result<Standard, Vec<Fault>> {
    let mut plan: DialPlan = settings(text)?;
    if plan.route.is_empty() {
        let remedy = "add a [[route]], in the file that `config` of this policy names";
        return Err(vec![
            Fault::new("route", "the dial plan has no route").remedy(remedy),
        ]);
    }
    let mut faults = check::calendars(text, &mut plan);
    faults.extend(check::empty_lists(text, &plan));
    faults.extend(check::usages(text, &plan));
    faults.extend(check::limits(text, &plan));
    faults.extend(check::trunks(text, &plan));
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(plan.into())
}

impl From<DialPlan> for Standard {
    fn from(mut plan: DialPlan) -> Self {
        let headers: BTreeSet<String> = plan
            .route
            .iter()
            .filter_map(|route| route.decision.conditions.as_ref())
            .flat_map(|conditions| &conditions.header)
            .map(|field| field.name.to_ascii_lowercase())
            .collect();
        let scopes = Scopes::new(plan.global, plan.site, plan.trunk);
        let normalize = Numbers::new(plan.normalize);
        let translate = Numbers::new(plan.translate);
        plan.unassigned.sort_by_key(|it| it.priority);
        let conditions = plan
            .route
            .iter()
            .filter_map(|it| it.decision.conditions.as_ref());
        let sites = conditions
            .map(|it| &it.site)
            .chain(plan.block.iter().map(|it| &it.site))
            .chain(plan.emergency.iter().map(|it| &it.site))
            .chain(plan.lookup.iter().map(|it| &it.site))
            .chain(plan.limit.iter().map(|it| &it.site));
        let asks_for_sites = sites.into_iter().any(|sites| !sites.0.is_empty())
            || scopes.has_location()
            || scopes.asks_for_sites()
            || normalize.asks_for_sites()
            || translate.asks_for_sites();
        Standard {
            asks_for_sites,
            headers: headers.into_iter().collect(),
            calendars: plan.calendar.into_values().collect(),
            scopes,
            normalize,
            emergencies: plan.emergency,
            blocks: plan.block,
            unassigned: plan.unassigned,
            portability: plan.portability.rn,
            lookups: plan.lookup,
            tells_prices: plan.limit.iter().any(Limit::counts_spend),
            limits: plan.limit,
            routes: plan.route.into_iter().map(Into::into).collect(),
            translate,
        }
    }
}
