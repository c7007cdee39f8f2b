//! Reading the dial plan: everything that is wrong with it, or the policy that it describes.

use intertrunk_sdk::{Fault, settings, trunks};
use serde::Deserialize;

use crate::Standard;
use crate::names::{ANY, Trunks};
use crate::numbers::{Block, Numbers};
use crate::routes::{Action, Route};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DialPlan {
    #[serde(default)]
    normalize: Vec<Block>,
    #[serde(default)]
    route: Vec<Route>,
    #[serde(default)]
    translate: Vec<Block>,
}

/// Reads the text of a dial plan.
pub(crate) fn read(text: &str) -> Result<Standard, Vec<Fault>> {
    let plan: DialPlan = settings(text)?;
    if plan.route.is_empty() {
        let remedy = "add a [[route]], in the file that `config` of this policy names";
        return Err(vec![
            Fault::new("route", "the dial plan has no route").remedy(remedy),
        ]);
    }
    let faults = unknown_trunks(text, &plan);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Standard {
        normalize: Numbers::new(plan.normalize),
        routes: plan.route.into_iter().map(Into::into).collect(),
        translate: Numbers::new(plan.translate),
    })
}

/// A fault for each trunk that the host does not know. A host that knows no trunk is only checking
/// the dial plan.
fn unknown_trunks(text: &str, plan: &DialPlan) -> Vec<Fault> {
    let known: Vec<String> = trunks().into_iter().map(|trunk| trunk.name).collect();
    if known.is_empty() {
        return Vec::new();
    }
    let fault = |(offset, name): (usize, &String)| {
        let remedy = format!(
            "use one of {}, or add it to the configuration",
            known.join(", ")
        );
        Fault::at(text, offset, format!("there is no trunk named {name:?}")).remedy(remedy)
    };
    let is_unknown = |(_, name): &(usize, &String)| *name != ANY && !known.contains(name);
    trunks_of(plan)
        .flat_map(|trunks| trunks.names().iter().map(|name| (trunks.offset(), name)))
        .filter(is_unknown)
        .map(fault)
        .collect()
}

fn trunks_of(plan: &DialPlan) -> impl Iterator<Item = &Trunks> {
    let blocks = plan
        .normalize
        .iter()
        .chain(&plan.translate)
        .map(|block| &block.trunk);
    let routes = plan.route.iter().flat_map(|route| {
        let to = match &route.action {
            Action::To(trunks) => Some(trunks),
            Action::Reject(_) => None,
        };
        [Some(&route.from), to].into_iter().flatten()
    });
    blocks.chain(routes)
}
