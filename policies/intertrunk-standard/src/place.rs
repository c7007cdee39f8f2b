//! Trunks of a route, and the order in which they are tried.

use std::borrow::Cow;
use std::fmt;

use intertrunk_sdk::{Query, Row, checked, trunk};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::egress::{Egress, keys_with_egress};

/// Calls that a trunk without a limit counts as free.
const FREE_WITHOUT_LIMIT: u32 = 1000;

/// An entry of `to`: a trunk's name, or a table.
pub(crate) struct Place {
    pub(crate) trunk: Box<str>,
    details: Option<Box<Details>>,
}

struct Details {
    peer: Option<Box<str>>,
    weight: u32,
    cost: Option<f64>,
    egress: Option<Box<Egress>>,
}

impl Place {
    pub(crate) fn peer(&self) -> Option<&str> {
        self.details.as_ref()?.peer.as_deref()
    }

    pub(crate) fn egress(&self) -> Option<&Egress> {
        self.details.as_ref()?.egress.as_deref()
    }
}

keys_with_egress! {
    struct PlaceKeys {
        trunk: Box<str>,
        #[serde(default)]
        peer: Option<Box<str>>,
        #[serde(default)]
        weight: Option<u32>,
        #[serde(default)]
        cost: Option<f64>,
    }
}

impl TryFrom<PlaceKeys> for Place {
    type Error = String;

    fn try_from(mut keys: PlaceKeys) -> Result<Self, String> {
        let details = Details {
            egress: keys.egress()?,
            peer: keys.peer,
            weight: keys.weight.unwrap_or(1),
            cost: keys.cost.map(read_cost).transpose()?,
        };
        Ok(Place {
            trunk: keys.trunk,
            details: Some(Box::new(details)),
        })
    }
}

fn read_cost(cost: f64) -> Result<f64, String> {
    match cost.is_finite() && cost >= 0.0 {
        true => Ok(cost),
        false => Err(format!("{cost} is no price; write a `cost` of 0 or more")),
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlaceVisitor;

        impl<'de> Visitor<'de> for PlaceVisitor {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a trunk, or a table with `trunk`")
            }

            fn visit_str<E: Error>(self, trunk: &str) -> Result<Place, E> {
                Ok(Place {
                    trunk: trunk.into(),
                    details: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Place, A::Error> {
                checked::<PlaceKeys, _, _>(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(PlaceVisitor)
    }
}

/// In which order the trunks of a route are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    #[default]
    Listed,
    RoundRobin,
    Random,
    Weighted,
    LeastCost,
    LeastCalls,
    Proportional,
}

/// As an explanation says it.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::Listed => "as listed",
            Order::RoundRobin => "round robin",
            Order::Random => "at random",
            Order::Weighted => "by weight",
            Order::LeastCost => "by cost",
            Order::LeastCalls => "fewest calls first",
            Order::Proportional => "by the calls that each may still take",
        })
    }
}

/// A trunk to try.
pub(crate) struct Choice<'a> {
    pub(crate) trunk: Cow<'a, str>,
    pub(crate) place: Option<&'a Place>,
    pub(crate) cost: Option<f64>,
}

/// The trunks of a route, in the order that it asks for: those of a row of its table first.
pub(crate) fn in_order<'a>(
    places: &'a [Place],
    row: Option<Row>,
    order: Order,
    query: &Query,
) -> Vec<Choice<'a>> {
    let cells = row.into_iter().flat_map(|row| row.columns);
    let mut choices: Vec<Choice<'a>> = cells.filter_map(|cell| of_cell(&cell)).collect();
    choices.extend(places.iter().map(|place| Choice {
        trunk: Cow::Borrowed(&place.trunk),
        place: Some(place),
        cost: place.details.as_ref().and_then(|it| it.cost),
    }));
    match order {
        Order::Listed => choices,
        Order::RoundRobin => {
            let begin = query.pick((0..choices.len()).map(|at| (at, 1)));
            choices.rotate_left(begin.unwrap_or(0));
            choices
        }
        Order::Random => query.shuffle(choices.into_iter().map(|it| (it, 1))),
        Order::Weighted => query.shuffle(choices.into_iter().map(|it| {
            let details = it.place.and_then(|place| place.details.as_ref());
            let weight = details.map_or(1, |it| it.weight);
            (it, weight)
        })),
        Order::LeastCost => {
            let cost = |it: &Choice<'_>| it.cost.unwrap_or(f64::INFINITY);
            choices.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
            choices
        }
        Order::LeastCalls => {
            choices.sort_by_cached_key(|it| trunk(&it.trunk).facts().map_or(0, |it| it.active));
            choices
        }
        Order::Proportional => query.shuffle(choices.into_iter().map(|it| {
            let free = trunk(&it.trunk)
                .facts()
                .map_or(0, |facts| match facts.limit {
                    Some(limit) => limit.saturating_sub(facts.active),
                    None => FREE_WITHOUT_LIMIT,
                });
            (it, free)
        })),
    }
}

/// `gw-a`, or `gw-a:0.012` with its price; nothing if the cell is empty.
fn of_cell<'a>(cell: &str) -> Option<Choice<'a>> {
    let priced = cell.rsplit_once(':').and_then(|(trunk, cost)| {
        Some((trunk.trim().to_owned(), cost.trim().parse::<f64>().ok()?))
    });
    let (trunk, cost) = match priced {
        Some((trunk, cost)) => (trunk, Some(cost)),
        None => (cell.trim().to_owned(), None),
    };
    (!trunk.is_empty()).then_some(Choice {
        trunk: Cow::Owned(trunk),
        place: None,
        cost,
    })
}
