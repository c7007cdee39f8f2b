//! What a route of the dial plan says.

use intertrunk_sdk::rules::{self, Expr, Pattern, PatternKeys};
use intertrunk_sdk::{OneOrMany, checked};
use serde::{Deserialize, Deserializer};

use crate::names::{ANY, Trunks};

/// A `[[route]]` of the dial plan.
pub(crate) struct Route {
    pub(crate) name: Box<str>,
    pub(crate) from: Trunks,
    called: Pattern,
    calling: Option<Pattern>,
    pub(crate) action: Action,
}

/// What a route does with a call.
pub(crate) enum Action {
    /// Tries these trunks, in order.
    To(Trunks),
    /// Refuses it with this code.
    Reject(u16),
}

/// What becomes of the calls of a route.
pub(crate) struct Decision {
    pub(crate) name: Box<str>,
    pub(crate) action: Action,
}

/// The routes of a dial plan. The trunks that a call may come in on are their usages.
pub(crate) type Routes = rules::Routes<Decision>;

impl From<Route> for rules::Route<Decision> {
    fn from(route: Route) -> Self {
        let usages = match route.from.is_any() {
            true => Vec::new(),
            false => route
                .from
                .names()
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        };
        rules::Route {
            called: route.called,
            calling: route.calling,
            usages,
            then: Decision {
                name: route.name,
                action: route.action,
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteKeys {
    name: Box<str>,
    #[serde(default)]
    from: Trunks,
    #[serde(default)]
    prefix: OneOrMany<Box<str>>,
    #[serde(default, rename = "match")]
    expr: Option<Expr>,
    #[serde(default)]
    except: OneOrMany<Box<str>>,
    #[serde(default)]
    calling: Option<Pattern>,
    #[serde(default)]
    to: Option<Trunks>,
    #[serde(default)]
    reject: Option<u16>,
}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<RouteKeys, _, _>(deserializer)
    }
}

impl TryFrom<RouteKeys> for Route {
    type Error = String;

    fn try_from(keys: RouteKeys) -> Result<Self, String> {
        let action = match (keys.to, keys.reject) {
            (Some(to), None) if to.names().is_empty() || to.is_any() => {
                return Err(format!("`to` names no trunk; list them, {ANY:?} is none"));
            }
            (Some(to), None) => Action::To(to),
            (None, Some(code)) if (400..700).contains(&code) => Action::Reject(code),
            (None, Some(code)) => {
                return Err(format!(
                    "{code} refuses no call; use a code from 400 to 699"
                ));
            }
            (Some(_), Some(_)) => {
                return Err("there is both a `to` and a `reject`; leave one out".to_owned());
            }
            (None, None) => {
                return Err("this route leads nowhere; add `to` or `reject`".to_owned());
            }
        };
        let pattern = PatternKeys {
            prefix: keys.prefix,
            expr: keys.expr,
            except: keys.except,
        };
        Ok(Route {
            name: keys.name,
            from: keys.from,
            called: pattern.try_into()?,
            calling: keys.calling,
            action,
        })
    }
}
