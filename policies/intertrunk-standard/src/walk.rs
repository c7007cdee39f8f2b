//! Which routes are about a call, and which trunks they lead to, in order.

use std::borrow::Cow;

use intertrunk_sdk::rules::Found;
use intertrunk_sdk::{Row, TrunkFacts, TrunkKind, because, explaining, table, trunk};

use crate::Standard;
use crate::call::Call;
use crate::conditions::Objection;
use crate::location::{forbidden, is_pstn, is_routed};
use crate::place::{Place, in_order};
use crate::route::{Action, Decision, To};

/// Most trunks that are kept: the host tries no more candidates.
const PICKS_MAX: usize = 32;
/// As many as most routes have.
const PICKS_USUAL: usize = 4;

/// A trunk to try, and why.
pub(crate) struct Pick<'a> {
    pub(crate) trunk: Cow<'a, str>,
    pub(crate) place: Option<&'a Place>,
    pub(crate) cost: Option<f64>,
    pub(crate) route: Option<&'a Decision>,
    /// What is sent there, whatever its translations say.
    pub(crate) callee: Option<&'a str>,
    /// Who is shown there.
    pub(crate) caller_id: Option<&'a str>,
    pub(crate) group: u8,
}

/// What became of the routes.
#[derive(Default)]
pub(crate) struct Walk<'a> {
    pub(crate) picks: Vec<Pick<'a>>,
    /// The first route that was about the call, and its usage.
    pub(crate) first: Option<(&'a Decision, Option<&'a str>)>,
    /// The route that ended the walk.
    pub(crate) end: Option<&'a Decision>,
}

impl<'a> Walk<'a> {
    /// Trunks that no route names.
    pub(crate) fn to(names: &'a [Box<str>]) -> Walk<'a> {
        let mut walk = Walk::default();
        for name in names {
            let group = walk.next_group();
            walk.picks.push(Pick {
                trunk: Cow::Borrowed(name),
                place: None,
                cost: None,
                route: None,
                callee: None,
                caller_id: None,
                group,
            });
        }
        walk
    }

    fn next_group(&self) -> u8 {
        self.picks
            .last()
            .map_or(0, |last| last.group.saturating_add(1))
    }

    fn add(&mut self, decision: &'a Decision, to: &'a To, row: Option<Row>, call: &Call<'_>) {
        let choices = in_order(&to.places, row, to.order, call.query);
        let mut group = self.next_group();
        for choice in choices {
            let peer = choice.place.and_then(Place::peer);
            let is_there = |pick: &Pick<'_>| {
                pick.trunk == choice.trunk && pick.place.and_then(Place::peer) == peer
            };
            if self.picks.len() == PICKS_MAX || self.picks.iter().any(is_there) {
                continue;
            }
            self.picks.push(Pick {
                trunk: choice.trunk,
                place: choice.place,
                cost: choice.cost,
                route: Some(decision),
                callee: None,
                caller_id: None,
                group,
            });
            if !to.parallel {
                group = group.saturating_add(1);
            }
        }
    }
}

impl Standard {
    /// Walks the usages in order, and in each the routes that are about the call; without `backup` as
    /// far as the first.
    pub(crate) fn walk<'a>(
        &'a self,
        call: &Call<'_>,
        usages: &'a [Box<str>],
        backup: bool,
    ) -> Walk<'a> {
        let mut walk = Walk {
            picks: Vec::with_capacity(PICKS_USUAL),
            ..Walk::default()
        };
        for Found { usage, route } in self.routes.found(usages, call.routed()) {
            let usage = usage.map(|at| &*usages[at]);
            let decision = &route.then;
            let objection = match &decision.conditions {
                _ if !route.called.matches(call.routed()) => Some(Objection::Called),
                Some(conditions) => conditions.objection(call),
                None => None,
            };
            let (row, objection) = match (objection, &decision.action) {
                (None, Action::To(to)) => of_table(to, call),
                (objection, _) => (None, objection),
            };
            let name = &decision.name;
            if let Some(objection) = objection {
                because!(
                    "{}route {name:?} is passed over: {objection}",
                    of_usage(usage)
                );
                continue;
            }
            if explaining() {
                let also = match decision
                    .conditions
                    .as_ref()
                    .and_then(|it| it.calling.as_ref())
                {
                    Some(calling) => format!(", calling {calling}"),
                    None => String::new(),
                };
                let of = of_usage(usage);
                because!(
                    "{of}route {name:?} ({}{also}) for {}",
                    route.called,
                    call.routed()
                );
            }
            walk.first.get_or_insert((decision, usage));
            match &decision.action {
                Action::To(to) => walk.add(decision, to, row, call),
                Action::Reject(_) | Action::Redirect(_) | Action::Pass => {
                    walk.end = Some(decision);
                    break;
                }
            }
            if !backup {
                break;
            }
        }
        walk
    }

    /// Leaves out what the rules of the sites forbid.
    pub(crate) fn keep_local<'a>(&'a self, call: &Call<'_>, walk: &mut Walk<'a>) {
        let Some(from) = &call.ends.ingress else {
            return;
        };
        let site = from.site.as_deref();
        let routing = self
            .scopes
            .get(&from.name, site, |scope| scope.routing_usages.as_ref());
        if let Some(usages) = routing.filter(|_| !is_pstn(from) && is_routed(&self.scopes, from)) {
            let before = walk.picks.len();
            walk.picks.retain(|pick| !is_pstn(&facts(&pick.trunk)));
            if walk.picks.len() < before {
                because!(
                    "{} may call this number; its site says by which gateway",
                    call.origin
                );
                let by_site = self.walk(call, &usages.get_ref().0, true);
                let mut group = walk.next_group();
                for pick in by_site.picks {
                    if is_pstn(&facts(&pick.trunk)) {
                        walk.picks.push(Pick { group, ..pick });
                        group = group.saturating_add(1);
                    }
                }
            }
        }
        walk.picks.retain(|pick| {
            let to = facts(&pick.trunk);
            let forbidden = forbidden(&self.scopes, from, &to);
            if let Some(why) = &forbidden {
                because!("{} is left out: {why}", pick.trunk);
            }
            forbidden.is_none()
        });
    }
}

/// The row that a route's table has for the number; an objection if it has none.
fn of_table<'a>(to: &'a To, call: &Call<'_>) -> (Option<Row>, Option<Objection<'a>>) {
    let Some(name) = &to.table else {
        return (None, None);
    };
    match table(name).longest_prefix(call.routed()) {
        Some(row) => {
            because!("table {name} has {} for {}", row.key, call.routed());
            (Some(row), None)
        }
        None => (None, Some(Objection::NoRow(name))),
    }
}

/// How a line about a route of this usage begins.
fn of_usage(usage: Option<&str>) -> String {
    usage
        .map(|usage| format!("usage {usage:?}: "))
        .unwrap_or_default()
}

/// What the host says of a trunk; a PBX of no site if it knows none.
fn facts(name: &str) -> TrunkFacts {
    trunk(name).facts().unwrap_or_else(|| TrunkFacts {
        name: name.to_owned(),
        kind: TrunkKind::Pbx,
        site: None,
        tags: Vec::new(),
        health: intertrunk_sdk::Health::Down,
        active: 0,
        limit: None,
        answered_permille: 1000,
        pdd_ms: 0,
    })
}
