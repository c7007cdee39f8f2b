//! From the trunks that were picked to the plan: both numbers as each trunk wants them, and the settings
//! of the way out.

use std::borrow::Cow;

use intertrunk_sdk::{
    Candidate, CodeMap, ExhaustedAction, Header, Identity, Media, Param, Party, Plan, because,
};

use crate::Standard;
use crate::call::Call;
use crate::egress::{CodeRule, Layers};
use crate::place::Place;
use crate::walk::{Pick, Walk};

/// The highest price that the host counts by.
const PRICE_MAX: f64 = 999_999.0;

/// Both numbers as the call came with them.
struct Received<'a> {
    called: Cow<'a, str>,
    calling: Cow<'a, str>,
}

impl Standard {
    /// The plan of what was picked; of no more than `attempts` trunks.
    pub(crate) fn plan(&self, call: &Call<'_>, walk: &Walk<'_>, attempts: Option<u8>) -> Plan {
        let first = walk.first.map(|(decision, _)| decision);
        let more = first.and_then(|decision| decision.more.as_deref());
        let attempts = more.and_then(|more| more.attempts).or(attempts);
        let most = attempts.map_or(usize::MAX, usize::from);
        let mut plan = Plan::default();
        let mut codes: Vec<&[CodeRule]> = Vec::new();
        plan.candidates = Vec::with_capacity(walk.picks.len().min(most));
        let received = Received {
            called: call.query.callee().dialed(),
            calling: call.query.caller().dialed(),
        };
        for pick in walk.picks.iter().take(most) {
            // Made where it stays: it is large.
            let candidate = Candidate::on(&*pick.trunk);
            plan.candidates
                .push(match pick.cost.filter(|_| self.tells_prices) {
                    Some(cost) => candidate.price(cost.min(PRICE_MAX).to_string()),
                    None => candidate,
                });
            let candidate = plan.candidates.last_mut().expect("it was just put there");
            let rules = self.set_out(candidate, call, &received, pick);
            codes.extend(rules.filter(|rules| !codes.iter().any(|it| std::ptr::eq(*it, *rules))));
        }
        for rule in codes.into_iter().flatten() {
            plan.code_maps
                .extend(rule.from.0.iter().map(|from| CodeMap {
                    from_code: *from,
                    q850: rule.cause,
                    to_code: rule.to,
                }));
        }
        if let Some((decision, usage)) = walk.first {
            plan.tags = Vec::with_capacity(2);
            plan = plan.tag("route", &*decision.name);
            if let Some(usage) = usage {
                plan = plan.tag("usage", usage);
            }
        }
        if let Some(more) = more {
            if let Some(code) = more.exhausted {
                plan.when_exhausted = ExhaustedAction::Reply(code);
            }
            plan.max_duration_s = more.max_duration_s;
            for (name, value) in &more.tags {
                plan = plan.tag(&**name, &**value);
            }
        }
        plan
    }

    /// Says how one trunk is tried; returns what becomes of its codes. Numbers that arrive as they leave
    /// are not sent back to the host.
    fn set_out<'a>(
        &'a self,
        candidate: &mut Candidate,
        call: &Call<'_>,
        received: &Received<'_>,
        pick: &Pick<'a>,
    ) -> Option<&'a [CodeRule]> {
        let trunk = &*pick.trunk;
        let facts = self
            .asks_for_sites
            .then(|| intertrunk_sdk::trunk(trunk).facts())
            .flatten();
        let site = facts.as_ref().and_then(|facts| facts.site.as_deref());
        let mut layers = Layers::default();
        layers.push(pick.place.and_then(Place::egress));
        layers.push(pick.route.and_then(|route| route.egress.as_deref()));
        self.scopes.add_egress(trunk, site, &mut layers);
        candidate.group = pick.group;
        candidate.peer = pick.place.and_then(Place::peer).map(str::to_owned);
        self.set_numbers(candidate, call, received, pick, site, &layers);
        if layers.is_empty() {
            return None;
        }
        set_details(candidate, &layers);
        layers.get(|it| it.codes.as_deref())
    }

    fn set_numbers(
        &self,
        candidate: &mut Candidate,
        call: &Call<'_>,
        received: &Received<'_>,
        pick: &Pick<'_>,
        site: Option<&str>,
        layers: &Layers<'_>,
    ) {
        let trunk = &*pick.trunk;
        let translate = self.translate.of(trunk, site);
        let callee = call.query.callee();
        let called = match pick.callee {
            Some(callee) => callee.into(),
            None => translate.called(&call.called),
        };
        let passed = layers.get(|it| it.pass_params.as_deref());
        let params = passed.map_or_else(String::new, |names| params(call.target, names));
        if !params.is_empty() {
            because!("{trunk}: the called number goes with {params}");
        }
        // What the host sends if it is told nothing is the user part as it was received.
        let is_as_received = match params.is_empty() && !call.keeps_ext {
            true => called == received.called,
            false => callee.user.strip_prefix(&*called) == Some(&params),
        };
        if !is_as_received {
            candidate.callee = Some(called.into_owned() + &params);
        }
        let caller = call.query.caller();
        let shown = pick
            .caller_id
            .or_else(|| layers.get(|it| it.caller_id.as_deref()));
        let calling = match shown {
            Some(shown) => {
                because!("{trunk}: shows {shown} in place of {}", call.calling);
                shown.into()
            }
            None => translate.calling(&call.calling),
        };
        let name = layers.get(|it| it.caller_name.as_deref());
        let is_as_received = match call.keeps_ext {
            false => calling == received.calling,
            true => calling == caller.user,
        };
        if !is_as_received || name.is_some() {
            let display = match name {
                Some(name) => (!name.is_empty()).then(|| name.to_owned()),
                None => caller.display.clone(),
            };
            candidate.caller = Some(Identity {
                user: calling.into_owned(),
                display,
            });
        }
    }
}

/// Timers, codes, headers.
fn set_details(candidate: &mut Candidate, layers: &Layers<'_>) {
    candidate.no_progress_ms = layers.get(|it| it.no_progress_ms);
    candidate.ring_ms = layers.get(|it| it.ring_ms);
    candidate.failover = layers.failover();
    candidate.media = layers.get(|it| it.media).unwrap_or(Media::TrunkDefault);
    candidate.withhold_caller = layers.get(|it| it.withhold) == Some(true);
    if candidate.withhold_caller {
        because!("{}: the caller is not shown", candidate.trunk);
    }
    if let Some(headers) = layers.get(|it| it.set_headers.as_ref()) {
        let header = |(name, value): &(Box<str>, Box<str>)| Header {
            name: name.to_string(),
            value: value.to_string(),
        };
        candidate.set_headers = headers.iter().map(header).collect();
    }
    if let Some(names) = layers.get(|it| it.remove_headers.as_ref()) {
        candidate.remove_headers = names.iter().map(ToString::to_string).collect();
    }
}

/// Parameters of the called number that are sent on, as they stand in a number (RFC 3966).
fn params(target: &Party, names: &[Box<str>]) -> String {
    let mut text = String::new();
    for name in names {
        match target.number_param(name) {
            Some("") => text.extend([";", name]),
            Some(value) => text.extend([";", name, "=", value]),
            None => {}
        }
    }
    text
}

/// The mark of a plan that is to bring help: its calls come before others.
pub(crate) fn emergency_mark() -> Param {
    Param {
        name: "emergency".to_owned(),
        value: None,
    }
}
