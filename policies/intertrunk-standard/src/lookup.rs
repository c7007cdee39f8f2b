//! Outside sources that are asked about a number before it is routed.

use intertrunk_sdk::rules::Pattern;
use intertrunk_sdk::{LookUp, because, checked};
use serde::{Deserialize, Deserializer};

use crate::Standard;
use crate::call::Call;
use crate::names::Trunks;
use crate::pattern_keys::keys_with_pattern;
use crate::values::{Duration, Names, include};

/// A `[[lookup]]` of the dial plan.
pub(crate) struct Lookup {
    source: Box<str>,
    called: Pattern,
    pub(crate) from: Trunks,
    pub(crate) site: Names,
    timeout_ms: Option<u32>,
    becomes: Becomes,
}

/// What an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Becomes {
    #[default]
    RoutingNumber,
    Called,
}

keys_with_pattern! {
    struct LookupKeys {
        source: Box<str>,
        #[serde(default)]
        from: Trunks,
        #[serde(default)]
        site: Names,
        #[serde(default)]
        timeout: Option<Duration>,
        #[serde(default)]
        becomes: Becomes,
    }
}

impl TryFrom<LookupKeys> for Lookup {
    type Error = String;

    fn try_from(mut keys: LookupKeys) -> Result<Self, String> {
        let pattern = keys.pattern();
        let timeout = keys.timeout.map(|it| it.within("10ms", "5s"));
        Ok(Lookup {
            source: keys.source,
            called: pattern.try_into()?,
            from: keys.from,
            site: keys.site,
            timeout_ms: timeout.transpose()?,
            becomes: keys.becomes,
        })
    }
}

impl<'de> Deserialize<'de> for Lookup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<LookupKeys, _, _>(deserializer)
    }
}

impl Lookup {
    fn is_about(&self, call: &Call<'_>) -> bool {
        let is_of_site = |site| include(&self.site.0, site);
        self.from.include(call.origin)
            && (self.site.0.is_empty() || call.origin_site().is_some_and(is_of_site))
            && self.called.matches(&call.called)
    }
}

impl Lookup {
    /// What to ask about this number.
    pub(crate) fn look_up(&self, number: &str) -> LookUp {
        LookUp {
            source: self.source.to_string(),
            key: number.to_owned(),
            timeout_ms: self.timeout_ms,
        }
    }
}

impl Standard {
    /// The look-ups that are about a call.
    pub(crate) fn lookups_of(&self, call: &Call<'_>) -> Vec<&Lookup> {
        self.lookups.iter().filter(|it| it.is_about(call)).collect()
    }
}

/// Takes in what these look-ups have found.
pub(crate) fn take_in(lookups: &[&Lookup], call: &mut Call<'_>) {
    if lookups.is_empty() {
        return;
    }
    let key = call.called.to_string();
    for lookup in lookups {
        let answer = call.answer(&lookup.source, &key);
        let answer = answer.and_then(|it| it.as_deref().ok()).map(str::trim);
        let Some(answer) = answer.filter(|answer| !answer.is_empty()) else {
            because!("{} says nothing of {key}", lookup.source);
            continue;
        };
        let number = user_of(answer).to_owned();
        because!("{} says {answer} of {key}", lookup.source);
        if lookup.becomes == Becomes::Called {
            call.called = number.clone().into();
        }
        call.ported = Some(number.into());
    }
}

/// The user of a SIP URI, the number of a tel URI, or what it is.
fn user_of(answer: &str) -> &str {
    let rest = ["sip:", "sips:", "tel:"]
        .iter()
        .find_map(|it| answer.strip_prefix(it));
    let Some(rest) = rest else {
        return answer;
    };
    rest.split(['@', ';']).next().unwrap_or(rest)
}
