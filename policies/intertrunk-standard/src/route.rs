//! What a route of the dial plan says.

use std::collections::BTreeMap;

use intertrunk_sdk::rules::{self, Pattern};
use intertrunk_sdk::{OneOrMany, checked};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::conditions::{CauseKey, Conditions, Field};
use crate::egress::{Egress, keys_with_egress};
use crate::names::{ANY, Trunks};
use crate::pattern_keys::keys_with_pattern;
use crate::place::{Order, Place};
use crate::values::{Duration, Names, Refusal, refusing};

/// A `[[route]]` of the dial plan, with what is checked against the rest of it.
pub(crate) struct Route {
    pub(crate) usages: Option<Spanned<Names>>,
    pub(crate) when: Option<Spanned<Names>>,
    pub(crate) unless: Option<Spanned<Names>>,
    /// Where its trunks are written.
    pub(crate) to_at: usize,
    priority: i32,
    called: Pattern,
    pub(crate) decision: Decision,
}

/// What becomes of the calls of a route.
pub(crate) struct Decision {
    pub(crate) name: Box<str>,
    pub(crate) action: Action,
    pub(crate) conditions: Option<Box<Conditions>>,
    pub(crate) egress: Option<Box<Egress>>,
    pub(crate) more: Option<Box<More>>,
}

/// What a route does with a call.
pub(crate) enum Action {
    /// Tries these trunks.
    To(To),
    Reject(Box<Refusal>),
    /// Sends the caller to these URIs.
    Redirect(Box<[Box<str>]>),
    /// The next policy decides.
    Pass,
}

/// Trunks of a route.
pub(crate) struct To {
    pub(crate) places: Box<[Place]>,
    /// A table of the host that says which trunks, before these.
    pub(crate) table: Option<Box<str>>,
    pub(crate) order: Order,
    pub(crate) parallel: bool,
}

/// What few routes say.
#[derive(Default)]
pub(crate) struct More {
    pub(crate) attempts: Option<u8>,
    pub(crate) exhausted: Option<u16>,
    pub(crate) max_duration_s: Option<u32>,
    pub(crate) tags: Vec<(Box<str>, Box<str>)>,
}

/// The routes of a dial plan.
pub(crate) type Routes = rules::Routes<Decision>;

impl From<Route> for rules::Route<Decision> {
    fn from(route: Route) -> Self {
        rules::Route {
            called: route.called,
            calling: None,
            usages: route.usages.map(|it| it.into_inner().0).unwrap_or_default(),
            priority: route.priority,
            then: route.decision,
        }
    }
}

keys_with_pattern! {
    keys_with_egress => struct RouteKeys {
        name: Box<str>,
        #[serde(default)]
        usages: Option<Spanned<Names>>,
        #[serde(default)]
        priority: i32,
        #[serde(default)]
        calling: Option<Pattern>,
        #[serde(default)]
        from: Option<Trunks>,
        #[serde(default)]
        site: Names,
        #[serde(default)]
        header: OneOrMany<Field>,
        #[serde(default)]
        param: OneOrMany<Field>,
        #[serde(default)]
        domain: Names,
        #[serde(default)]
        phone_only: bool,
        #[serde(default)]
        cause: OneOrMany<CauseKey>,
        #[serde(default)]
        when: Option<Spanned<Names>>,
        #[serde(default)]
        unless: Option<Spanned<Names>>,
        #[serde(default)]
        to: Option<Spanned<OneOrMany<Place>>>,
        #[serde(default)]
        table: Option<Box<str>>,
        #[serde(default)]
        order: Option<Order>,
        #[serde(default)]
        parallel: bool,
        #[serde(default)]
        reject: Option<Refusal>,
        #[serde(default)]
        redirect: Option<Names>,
        #[serde(default)]
        pass: bool,
        #[serde(default)]
        attempts: Option<u8>,
        #[serde(default)]
        exhausted: Option<u16>,
        #[serde(default)]
        max_duration: Option<Duration>,
        #[serde(default)]
        tags: BTreeMap<Box<str>, Box<str>>,
    }
}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<RouteKeys, _, _>(deserializer)
    }
}

impl TryFrom<RouteKeys> for Route {
    type Error = String;

    fn try_from(mut keys: RouteKeys) -> Result<Self, String> {
        let egress = keys.egress()?;
        let (to_at, action) = action(&mut keys)?;
        let pattern = keys.pattern();
        let conditions = Conditions {
            calling: keys.calling,
            from: keys.from,
            site: keys.site,
            header: keys.header.0,
            param: keys.param.0,
            domain: keys.domain,
            phone_only: keys.phone_only,
            cause: keys.cause.0,
            when: Vec::new(),
            unless: Vec::new(),
        };
        let more = More {
            attempts: keys.attempts,
            exhausted: keys.exhausted.map(refusing).transpose()?,
            max_duration_s: keys.max_duration.map(Duration::seconds),
            tags: keys.tags.into_iter().collect(),
        };
        if more.attempts == Some(0) || more.max_duration_s == Some(0) {
            return Err(
                "no call fits into nothing; write `attempts` or `max_duration` above 0".to_owned(),
            );
        }
        let says_more = more.attempts.is_some()
            || more.exhausted.is_some()
            || more.max_duration_s.is_some()
            || !more.tags.is_empty();
        let has_conditions = !conditions.is_empty() || keys.when.is_some() || keys.unless.is_some();
        Ok(Route {
            usages: keys.usages,
            when: keys.when,
            unless: keys.unless,
            to_at,
            priority: keys.priority,
            called: pattern.try_into()?,
            decision: Decision {
                name: keys.name,
                action,
                conditions: has_conditions.then(|| Box::new(conditions)),
                egress,
                more: says_more.then(|| Box::new(more)),
            },
        })
    }
}

/// The one thing that a route does, and where its trunks are written.
fn action(keys: &mut RouteKeys) -> Result<(usize, Action), String> {
    let to = keys.to.take();
    let to_at = to.as_ref().map_or(0, |it| it.span().start);
    let places = to.map(|it| it.into_inner().0);
    let table = keys.table.take();
    if places.iter().flatten().any(|place| *place.trunk == *ANY) {
        return Err(format!("`to` names no trunk; list them, {ANY:?} is none"));
    }
    let said = [
        (places.is_some() || table.is_some(), "`to`"),
        (keys.reject.is_some(), "`reject`"),
        (keys.redirect.is_some(), "`redirect`"),
        (keys.pass, "`pass`"),
    ];
    let mut said = said
        .into_iter()
        .filter_map(|(is_said, key)| is_said.then_some(key));
    match (said.next(), said.next()) {
        (Some(first), Some(second)) => {
            return Err(format!(
                "there is both a {first} and a {second}; leave one out"
            ));
        }
        (None, _) => {
            return Err("this route leads nowhere; add `to` or `reject`".to_owned());
        }
        (Some(_), None) => {}
    }
    let action = if let Some(refusal) = keys.reject.take() {
        Action::Reject(Box::new(refusal))
    } else if let Some(uris) = keys.redirect.take() {
        Action::Redirect(redirections(uris)?)
    } else if keys.pass {
        Action::Pass
    } else {
        Action::To(To {
            places: places.unwrap_or_default().into(),
            table,
            order: keys.order.unwrap_or_default(),
            parallel: keys.parallel,
        })
    };
    let is_to = matches!(action, Action::To(_));
    if !is_to && (keys.order.is_some() || keys.parallel) {
        return Err(
            "there are no trunks to put in order; leave `order` and `parallel` out".to_owned(),
        );
    }
    Ok((to_at, action))
}

fn redirections(uris: Names) -> Result<Box<[Box<str>]>, String> {
    let is_uri = |uri: &str| {
        ["sip:", "sips:", "tel:"]
            .iter()
            .any(|it| uri.starts_with(it))
    };
    match uris.0.iter().find(|uri| !is_uri(uri)) {
        Some(uri) => Err(format!("{uri:?} is no URI; begin with sip:, sips: or tel:")),
        None if uris.0.is_empty() => Err("`redirect` names nobody; write a URI".to_owned()),
        None => Ok(uris.0.into()),
    }
}
