//! The decision, step by step.

use intertrunk_sdk::{Answer, Cause, Inquiry, LookUp, Party, Query, Scheme, Verdict, because};

use crate::Standard;
use crate::barred::{Emergency, emergency};
use crate::call::{Call, Ends};
use crate::limit::{self, Applied};
use crate::lookup::{self, Lookup};
use crate::plan::emergency_mark;
use crate::route::{Action, Decision};
use crate::values::Refusal;
use crate::walk::Walk;

/// What a call gets that the rules of the sites leave no trunk.
const NOT_FROM_HERE: Refusal = Refusal::with(403, Some(21));

impl Standard {
    pub(crate) fn verdict(&self, query: &Query) -> Verdict {
        let answers = match &query.cause {
            Cause::Answered(answers) => &answers[..],
            _ => &[],
        };
        // The answers have taken the place of why it was asked.
        match query.recalled() {
            Some(cause) => {
                let query = Query {
                    cause,
                    ..query.clone()
                };
                self.decision(&query, answers)
            }
            None => self.decision(query, answers),
        }
    }

    fn decision(&self, query: &Query, answers: &[Answer]) -> Verdict {
        let ends = match self.asks_for_sites {
            true => Ends::of(query),
            false => Ends::default(),
        };
        // Of the places that a redirection names, the first one with a route.
        let mut destinations = query.destinations().iter();
        if let Some(verdict) = destinations.find_map(|it| self.about(query, answers, it, &ends)) {
            return verdict;
        }
        let (origin, to) = (query.origin(), query.destinations()[0].dialed());
        because!("no route from {origin} to {to}");
        Verdict::not_found()
    }

    /// What becomes of a call to this destination, if anything is said of it.
    fn about(
        &self,
        query: &Query,
        answers: &[Answer],
        target: &Party,
        ends: &Ends,
    ) -> Option<Verdict> {
        let origin = query.origin();
        let normalize = self.normalize.of(origin, ends.origin_site());
        let by_ingress = match origin == query.ingress() {
            true => normalize,
            false => self.normalize.of(query.ingress(), ends.ingress_site()),
        };
        let dialed = normalize.dialed(target);
        let inside = normalize.inside(&dialed);
        let caller = by_ingress.dialed(query.caller());
        let calling = by_ingress.calling(&caller);
        let help = self.help(query, [&dialed, inside], ends);
        let called = match help {
            Some(help) => (&*help.number).into(),
            None => normalize.called(inside),
        };
        let mut call = Call {
            query,
            answers,
            target,
            origin,
            ends,
            calendars: &self.calendars,
            ported: None,
            called,
            calling,
            keeps_ext: normalize.keeps_ext(),
        };
        if let Some(help) = help {
            return self.bring_help(help, &call);
        }
        if let Some(verdict) = self.barred(&call) {
            return Some(verdict);
        }
        let ported = self
            .portability
            .then(|| target.number_param("rn"))
            .flatten();
        if let Some(rn) = ported {
            because!("{} was ported, and is routed as {rn}", call.called);
            call.ported = Some(normalize.called(rn));
        }
        let (lookups, limits) = (self.lookups_of(&call), self.limits_of(&call));
        if let Some(inquiry) = inquiry(&lookups, &limits, &call) {
            return Some(inquiry.into());
        }
        if let Some(verdict) = limit::refusal(&limits, &call) {
            return Some(verdict);
        }
        lookup::take_in(&lookups, &mut call);
        match self.route(&call)? {
            Verdict::Connect(plan) => Some(limit::counted(plan, &limits).into()),
            verdict => Some(verdict),
        }
    }

    /// The call for help that this is, if it is one.
    fn help(&self, query: &Query, dialed: [&str; 2], ends: &Ends) -> Option<&Emergency> {
        if self.emergencies.is_empty() {
            return None;
        }
        let is_sos = query.call.emergency;
        let (origin, site) = (query.origin(), ends.origin_site());
        emergency(&self.emergencies, dialed, is_sos, origin, site)
    }

    /// No block, limit or rule of the sites stands in its way.
    fn bring_help(&self, help: &Emergency, call: &Call<'_>) -> Option<Verdict> {
        because!(
            "a call for help: {} goes out as {}",
            call.target.dialed(),
            help.number
        );
        let mut walk = match (&help.to, &help.usages) {
            (Some(to), _) => Walk::to(to.names()),
            (None, Some(usages)) => self.walk(call, &usages.get_ref().0, true),
            (None, None) => Walk::default(),
        };
        if walk.picks.is_empty() {
            return walk.end.map(|end| self.ending(end, call));
        }
        for pick in &mut walk.picks {
            pick.callee = Some(&help.number);
            pick.caller_id = help.caller_id.as_deref();
        }
        let mut plan = self.plan(call, &walk, Some(u8::MAX));
        plan.extra.push(emergency_mark());
        Some(plan.tag("emergency", &*help.number).into())
    }

    /// What is said of the caller or the number before any route.
    fn barred(&self, call: &Call<'_>) -> Option<Verdict> {
        if let Some(block) = self.blocks.iter().find(|block| block.is_about(call)) {
            because!(
                "block {:?} refuses {} with {}",
                block.name,
                call.calling,
                block.reject
            );
            return Some(block.reject.verdict());
        }
        let nobodys = self.unassigned.iter().find(|it| it.holds(&call.called))?;
        let name = &nobodys.name;
        let Some(to) = &nobodys.to else {
            because!("nobody has {} ({name}): {}", call.called, nobodys.reject);
            return Some(nobodys.reject.verdict());
        };
        because!("nobody has {} ({name})", call.called);
        let mut walk = Walk::to(to.names());
        for pick in &mut walk.picks {
            pick.callee = nobodys.called.as_deref();
        }
        let plan = self.plan(call, &walk, None);
        Some(plan.tag("unassigned", &**name).into())
    }

    fn route(&self, call: &Call<'_>) -> Option<Verdict> {
        let (origin, site) = (call.origin, call.origin_site());
        let usages = self.scopes.get(origin, site, |scope| scope.usages.as_ref());
        let usages = usages.map_or(&[][..], |usages| &usages.get_ref().0);
        let backup = self.scopes.get(origin, site, |scope| scope.backup);
        if !usages.is_empty() {
            because!("{origin} has the usages {}", usages.join(", "));
        }
        let mut walk = self.walk(call, usages, backup.unwrap_or(!usages.is_empty()));
        if walk.picks.is_empty() {
            return walk.end.map(|end| self.ending(end, call));
        }
        if self.scopes.has_location() {
            self.keep_local(call, &mut walk);
        }
        if walk.picks.is_empty() {
            because!("no trunk is left that may be used from here");
            return Some(NOT_FROM_HERE.verdict());
        }
        let attempts = self.scopes.get(origin, site, |scope| scope.attempts);
        Some(self.plan(call, &walk, attempts).into())
    }

    /// What a route that leads to no trunk does.
    fn ending(&self, decision: &Decision, call: &Call<'_>) -> Verdict {
        match &decision.action {
            Action::Reject(refusal) => refusal.verdict(),
            Action::Redirect(uris) => {
                let parties = uris.iter().map(|uri| party(uri, &call.called));
                Verdict::Redirect(parties.collect())
            }
            Action::Pass => Verdict::Pass,
            // With trunks it does not end a walk.
            Action::To(_) => Verdict::not_found(),
        }
    }
}

/// What has to be asked of outside sources, all at once; nothing if all of it has been.
fn inquiry(lookups: &[&Lookup], limits: &[Applied<'_>], call: &Call<'_>) -> Option<Inquiry> {
    let lookups = lookups.iter().map(|it| it.look_up(&call.called));
    let look_ups: Vec<LookUp> = lookups.chain(limits.iter().map(Applied::look_up)).collect();
    let is_known = |it: &LookUp| call.answer(&it.source, &it.key).is_some();
    if look_ups.iter().all(is_known) {
        return None;
    }
    for LookUp { source, key, .. } in &look_ups {
        because!("{source} is asked about {key} first");
    }
    let inquiry = Inquiry {
        look_ups,
        cookie: Vec::new(),
    };
    Some(inquiry.recall(call.query))
}

/// A party of a URI in which `{called}` stands for a number.
fn party(uri: &str, called: &str) -> Party {
    let uri = uri.replace("{called}", called);
    let (scheme, rest) = uri.split_once(':').unwrap_or(("sip", &uri));
    let scheme = match scheme {
        "tel" => Scheme::Tel,
        "sips" => Scheme::Sips,
        _ => Scheme::Sip,
    };
    let (user, host) = match scheme {
        Scheme::Tel => (rest, ""),
        Scheme::Sip | Scheme::Sips | Scheme::Other => rest.split_once('@').unwrap_or(("", rest)),
    };
    let (host, params) = host.split_once(';').unwrap_or((host, ""));
    let param = |text: &str| {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        intertrunk_sdk::Param {
            name: name.to_owned(),
            value,
        }
    };
    Party {
        display: None,
        scheme,
        user: user.to_owned(),
        host: host.to_owned(),
        params: params
            .split(';')
            .filter(|it| !it.is_empty())
            .map(param)
            .collect(),
    }
}
