//! Ordered routes: the first that is about a call decides.

use std::collections::HashMap;
use std::fmt;

use intertrunk_sdk::checked;
use serde::{Deserialize, Deserializer};

use crate::index::Trie;
use crate::names::{ANY, OneOrMany, Trunks};
use crate::pattern::{Expr, Pattern, PatternKeys};

/// A `[[route]]` of the dial plan.
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) from: Trunks,
    called: Pattern,
    calling: Option<Pattern>,
    pub(crate) action: Action,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {:?} ({}", self.name, self.called)?;
        match &self.calling {
            Some(calling) => write!(f, ", calling {calling})"),
            None => f.write_str(")"),
        }
    }
}

/// What a route does with a call.
pub(crate) enum Action {
    /// Tries these trunks, in order.
    To(Trunks),
    /// Refuses it with this code.
    Reject(u16),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteKeys {
    name: String,
    #[serde(default)]
    from: Trunks,
    #[serde(default)]
    prefix: OneOrMany<String>,
    #[serde(default, rename = "match")]
    expr: Option<Expr>,
    #[serde(default)]
    except: OneOrMany<String>,
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

/// All routes, and where to find those that may match.
#[derive(Default)]
pub(crate) struct Routes {
    all: Vec<Route>,
    /// Routes of calls from any trunk.
    from_any: Trie,
    /// Routes of calls from one trunk.
    from: HashMap<String, Trie>,
}

impl Routes {
    pub(crate) fn new(all: Vec<Route>) -> Self {
        let mut routes = Routes::default();
        for (route, id) in all.iter().zip(0..) {
            for start in route.called.starts() {
                if route.from.is_any() {
                    routes.from_any.insert(start, id);
                    continue;
                }
                for trunk in route.from.names() {
                    routes
                        .from
                        .entry(trunk.clone())
                        .or_default()
                        .insert(start, id);
                }
            }
        }
        Routes { all, ..routes }
    }

    /// The first route that is about this call.
    pub(crate) fn find(&self, ingress: &str, called: &str, calling: &str) -> Option<&Route> {
        let mut maybe = Vec::with_capacity(16);
        self.from_any.collect(called.as_bytes(), &mut maybe);
        if let Some(trie) = self.from.get(ingress) {
            trie.collect(called.as_bytes(), &mut maybe);
        }
        maybe.sort_unstable();
        maybe
            .into_iter()
            .map(|id| &self.all[id as usize])
            .find(|route| {
                route.called.matches(called)
                    && route.calling.as_ref().is_none_or(|it| it.matches(calling))
            })
    }
}
