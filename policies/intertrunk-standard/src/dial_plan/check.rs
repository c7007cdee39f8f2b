//! What the tables of a dial plan say of each other: names of calendars, usages and trunks.

use std::collections::BTreeSet;

use intertrunk_sdk::Fault;
use toml::Spanned;

use super::DialPlan;
use crate::names::{ANY, Trunks};
use crate::route::{Action, Route};
use crate::values::Names;

/// Look-ups that the host makes for one call.
const LOOK_UPS_MAX: usize = 16;

/// Puts places among the calendars in the place of their names; a fault for each name that there is
/// not.
pub(super) fn calendars(text: &str, plan: &mut DialPlan) -> Vec<Fault> {
    let known: Vec<&str> = plan.calendar.keys().map(|name| &**name).collect();
    let mut faults = Vec::new();
    let mut places = |names: &Option<Spanned<Names>>| -> Vec<usize> {
        let mut places = Vec::new();
        for name in names.iter().flat_map(|names| &names.get_ref().0) {
            match known.iter().position(|it| **it == **name) {
                Some(place) => places.push(place),
                None => {
                    let problem = format!("there is no calendar {name:?}");
                    let remedy = format!("write [calendar.{name}]");
                    let at = names.as_ref().map_or(0, |it| it.span().start);
                    faults.push(Fault::at(text, at, problem).remedy(remedy));
                }
            }
        }
        places
    };
    for route in &mut plan.route {
        if let Some(conditions) = &mut route.decision.conditions {
            conditions.when = places(&route.when);
            conditions.unless = places(&route.unless);
        }
    }
    faults
}

/// A fault for each usage that is neither a route's nor declared; if usages are declared, also for each
/// of a route that is not.
pub(super) fn usages(text: &str, plan: &DialPlan) -> Vec<Fault> {
    let declared: Option<BTreeSet<&str>> = plan
        .usages
        .as_ref()
        .map(|names| names.0.iter().map(|name| &**name).collect());
    let of_routes = || plan.route.iter().filter_map(|route| route.usages.as_ref());
    let mut known = declared.clone().unwrap_or_default();
    known.extend(
        of_routes()
            .flat_map(|names| &names.get_ref().0)
            .map(|name| &**name),
    );

    let globals = plan.global.iter().map(|it| &it.0);
    let sites = plan.site.iter().map(|it| &it.1);
    let scopes = globals
        .chain(sites)
        .chain(plan.trunk.iter().map(|it| &it.1));
    let of_scopes = scopes.flat_map(|scope| [&scope.usages, &scope.routing_usages]);
    let of_help = plan.emergency.iter().map(|it| &it.usages);
    let mut faults = Vec::new();
    let mut compare = |names: &Spanned<Names>, known: &BTreeSet<&str>, what: &str, remedy: &str| {
        let unknown = names
            .get_ref()
            .0
            .iter()
            .filter(|name| !known.contains(&***name));
        faults.extend(unknown.map(|name| {
            let problem = format!("{what} {name:?}");
            Fault::at(text, names.span().start, problem).remedy(remedy)
        }));
    };
    for names in of_scopes.chain(of_help).flatten() {
        let remedy = "give it to a [[route]], or declare it in `usages` at the top";
        compare(names, &known, "no route has the usage", remedy);
    }
    if let Some(declared) = &declared {
        for names in of_routes() {
            let remedy = "add it to `usages` at the top";
            compare(names, declared, "there is no usage", remedy);
        }
    }
    faults
}

/// A fault for each route whose list of trunks is empty. Not said while the route is read: a list is empty
/// there if its only entry is wrong, which has a fault of its own.
pub(super) fn empty_lists(text: &str, plan: &DialPlan) -> Vec<Fault> {
    let is_empty = |route: &&Route| match &route.decision.action {
        Action::To(to) => to.places.is_empty() && to.table.is_none(),
        Action::Reject(_) | Action::Redirect(_) | Action::Pass => false,
    };
    let fault = |route: &Route| {
        Fault::at(text, route.to_at, "this names no trunk").remedy("list the trunks to try")
    };
    plan.route.iter().filter(is_empty).map(fault).collect()
}

/// A fault for each limit with the name of another, by which its calls would count; and one for too many.
pub(super) fn limits(text: &str, plan: &DialPlan) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for limit in &plan.limit {
        let name = limit.name.get_ref();
        if !seen.insert(name) {
            let problem = format!("there are two limits named {name:?}");
            let at = limit.name.span().start;
            faults.push(Fault::at(text, at, problem).remedy("give each a name of its own"));
        }
    }
    let asked = || {
        let lookups = plan.lookup.iter().map(|it| &it.from);
        lookups.chain(plan.limit.iter().map(|it| &it.from))
    };
    let named: BTreeSet<&str> = asked().flat_map(Trunks::names).map(|it| &**it).collect();
    let about = |trunk: &&str| asked().filter(|from| from.include(trunk)).count();
    if let Some(trunk) = named.into_iter().find(|it| about(it) > LOOK_UPS_MAX) {
        let of = match trunk {
            ANY => "every trunk".to_owned(),
            trunk => format!("trunk {trunk:?}"),
        };
        let count = about(&trunk);
        let problem = format!("{count} limits and look-ups are about calls from {of}");
        let remedy = format!("leave {LOOK_UPS_MAX}: `per` makes one limit of several");
        faults.push(Fault::new("limit", problem).remedy(remedy));
    }
    faults
}

/// A fault for each trunk that the host does not know. A host that knows no trunk is only checking
/// the dial plan.
pub(super) fn trunks(text: &str, plan: &DialPlan) -> Vec<Fault> {
    let facts = intertrunk_sdk::trunks();
    let known: Vec<&str> = facts.iter().map(|trunk| &*trunk.name).collect();
    if known.is_empty() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let mut compare = |offset: usize, name: &str| {
        if name != ANY && !known.contains(&name) {
            let names = known.join(", ");
            let remedy = format!("use one of {names}, or add it to the configuration");
            let problem = format!("there is no trunk named {name:?}");
            faults.push(Fault::at(text, offset, problem).remedy(remedy));
        }
    };
    for trunks in trunks_of(plan) {
        for name in trunks.names() {
            compare(trunks.offset(), name);
        }
    }
    for route in &plan.route {
        for trunks in of_route(route) {
            trunks
                .names()
                .iter()
                .for_each(|name| compare(trunks.offset(), name));
        }
        if let Action::To(to) = &route.decision.action {
            to.places
                .iter()
                .for_each(|place| compare(route.to_at, &place.trunk));
        }
    }
    for trunks in plan.translate.iter().filter_map(|it| it.trunk.as_ref()) {
        trunks
            .names()
            .iter()
            .for_each(|name| compare(trunks.offset(), name));
    }
    faults
}

fn of_route(route: &Route) -> impl Iterator<Item = &Trunks> {
    let conditions = route.decision.conditions.as_ref();
    conditions.and_then(|it| it.from.as_ref()).into_iter()
}

/// Trunks that are named outside routes and translations, which come last in a dial plan.
fn trunks_of(plan: &DialPlan) -> impl Iterator<Item = &Trunks> {
    let scopes = plan.trunk.iter().map(|it| &it.0);
    let normalize = plan.normalize.iter().filter_map(|it| it.trunk.as_ref());
    let help = plan.emergency.iter();
    let help = help.flat_map(|it| [&it.from, &it.to]).flatten();
    let blocks = plan.block.iter().map(|it| &it.from);
    let unassigned = plan.unassigned.iter().filter_map(|it| it.to.as_ref());
    let lookups = plan.lookup.iter().map(|it| &it.from);
    let limits = plan.limit.iter().map(|it| &it.from);
    scopes
        .chain(normalize)
        .chain(help)
        .chain(blocks)
        .chain(unassigned)
        .chain(lookups)
        .chain(limits)
}
