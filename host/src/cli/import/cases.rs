//! Cases that show the result: one for each route and trunk, one for each number rule, and those of
//! `CsVoiceTestConfiguration`.
//!
//! What a case expects is worked out here from the export, by the rules of Skype for Business and
//! apart from the policy, so that a case which fails shows where the two differ. Of the trunks that a
//! call may go to all but one are down: which of several comes first is chance.

use super::kind::Kind as From;
use super::plan::{Block, Kind, Line, Plan, Route, Rule};
use super::report::{About, Level, Report};
use super::sample;
use super::source::{Export, Item};

/// Cases of one file.
const CASES_MAX: usize = 2_000;
/// A caller where none is said.
const CALLER: &str = "+12065550123";

/// A question, and what the export makes us expect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    pub name: String,
    pub from: String,
    pub to: String,
    pub caller: Option<String>,
    pub down: Vec<String>,
    pub route: Option<String>,
    pub usage: Option<String>,
    /// Where it goes; none if it is refused.
    pub trunk: Option<String>,
    pub callee: String,
    /// The caller as the trunk sees it, where that is known.
    pub shown: Option<String>,
}

/// A route with a usage that leads there.
struct Way<'p> {
    usage: &'p str,
    route: &'p Route,
}

struct Model<'p> {
    plan: &'p Plan,
}

/// One case for each route and each of its trunks.
pub fn of_routes(plan: &Plan, report: &mut Report) -> Vec<Case> {
    let model = Model { plan };
    let mut cases = Vec::new();
    for route in &plan.routes {
        let Some(pattern) = route.pattern.as_ref().filter(|_| route.left_out.is_none()) else {
            continue;
        };
        let mut shown = 0;
        if let Some(number) = sample::number(pattern) {
            for trunk in &route.trunks {
                let name = format!("{} reaches {trunk}", route.name);
                let from = model.ingresses(route, trunk);
                let case = from
                    .iter()
                    .find_map(|from| model.case(&name, from, &number, Some(CALLER), trunk));
                shown += usize::from(case.is_some());
                cases.extend(case);
            }
        }
        if shown == 0 {
            let about = About::everything(&format!("route {:?}", route.name));
            let why = "no case shows it: no trunk that may take it, or no number that only it is about, was found";
            report.add(Level::Note, &about, why, "write one into cases/");
        }
    }
    cases.truncate(CASES_MAX);
    cases
}

/// One case for each number rule.
pub fn of_rules(plan: &Plan, report: &mut Report) -> Vec<Case> {
    let model = Model { plan };
    let mut cases = Vec::new();
    let mut silent = |rule: &Rule| {
        let about = About::everything(&format!("rule {:?}", rule.name));
        let why = "no case shows it: no call between trunks was found that it is about";
        report.add(Level::Note, &about, why, "write one into cases/");
    };
    for block in &plan.normalize {
        for rule in rules(&block.called) {
            match model.normalizing(block, rule) {
                Some(case) => cases.push(case),
                None => silent(rule),
            }
        }
    }
    for block in &plan.translate {
        for (lines, is_called) in [(&block.called, true), (&block.calling, false)] {
            for rule in rules(lines) {
                match model.translating(block, rule, is_called) {
                    Some(case) => cases.push(case),
                    None => silent(rule),
                }
            }
        }
    }
    cases.truncate(CASES_MAX);
    cases
}

fn rules(lines: &[Line]) -> impl Iterator<Item = &Rule> {
    lines.iter().filter_map(|line| match line {
        Line::Rule(rule) => Some(rule),
        Line::LeftOut(_) => None,
    })
}

impl<'p> Model<'p> {
    /// Trunks whose calls may take this route to this trunk; PBXes first.
    fn ingresses(&self, route: &Route, to: &str) -> Vec<&'p str> {
        let plan = self.plan;
        let may = |name: &str| {
            plan.usages_of(name)
                .iter()
                .any(|it| route.usages.contains(it))
        };
        let mut from: Vec<_> = plan
            .trunks
            .iter()
            .filter(|trunk| trunk.name != to && may(&trunk.name))
            .collect();
        from.sort_by_key(|trunk| trunk.kind == Kind::Pstn);
        from.into_iter().map(|trunk| &*trunk.name).collect()
    }

    /// The block that holds for a trunk.
    fn block(blocks: &'p [Block], trunk: &str) -> Option<&'p Block> {
        let own = |block: &&Block| block.trunks.iter().any(|name| name == trunk);
        let all = |block: &&Block| block.trunks.is_empty();
        blocks.iter().find(own).or(blocks.iter().find(all))
    }

    fn rewritten(lines: &[Line], number: &str) -> String {
        let about = rules(lines).find(|rule| rule.pattern.regex.is_match(number.as_bytes()));
        about
            .and_then(|rule| sample::replaced(&rule.pattern, number, &rule.to))
            .unwrap_or_else(|| number.to_owned())
    }

    fn normalized(&self, from: &str, number: &str, is_called: bool) -> String {
        match Self::block(&self.plan.normalize, from) {
            Some(block) => Self::rewritten(
                if is_called {
                    &block.called
                } else {
                    &block.calling
                },
                number,
            ),
            None => number.to_owned(),
        }
    }

    fn translated(&self, to: &str, number: &str, is_called: bool) -> String {
        let Some(block) = Self::block(&self.plan.translate, to) else {
            return number.to_owned();
        };
        let number = Self::rewritten(
            if is_called {
                &block.called
            } else {
                &block.calling
            },
            number,
        );
        match number.strip_prefix('+') {
            Some(rest) if block.strip_plus => rest.to_owned(),
            _ => number,
        }
    }

    /// The routes that a call takes, in the order of its usages and their priority.
    fn ways(&self, from: &str, called: &str) -> Vec<Way<'p>> {
        let mut ways: Vec<Way<'p>> = Vec::new();
        let plan = self.plan;
        for usage in plan.usages_of(from) {
            let about = |route: &&Route| {
                route.left_out.is_none()
                    && route.usages.contains(usage)
                    && route.pattern.as_ref().is_some_and(|it| it.matches(called))
            };
            let mut routes: Vec<&Route> = plan.routes.iter().filter(about).collect();
            routes.sort_by_key(|route| route.priority);
            for route in routes {
                if !ways.iter().any(|way| way.route.name == route.name) {
                    ways.push(Way { usage, route });
                }
            }
        }
        ways
    }

    /// Whether rules beside routes and numbers decide about such a call.
    fn is_plain(&self, from: &str, called: &str, dialled: &str) -> bool {
        let plan = self.plan;
        let emergency = plan.emergencies.iter().any(|it| {
            it.number == called
                || it.number == dialled
                || it
                    .masks
                    .iter()
                    .any(|mask| mask == called || mask == dialled)
        });
        let unassigned = plan
            .unassigned
            .iter()
            .any(|it| it.start.len() == called.len() && (&*it.start..=&*it.end).contains(&called));
        let prefixed =
            Self::block(&plan.normalize, from).is_some_and(|it| it.external_prefix.is_some());
        !emergency && !unassigned && !prefixed
    }

    /// Whether location decides between these.
    fn is_located(&self, from: &str, to: &str) -> bool {
        let plan = self.plan;
        let (Some(from), Some(to)) = (plan.trunk(from), plan.trunk(to)) else {
            return false;
        };
        let routed = |site: &Option<String>| {
            plan.sites
                .iter()
                .any(|it| it.location_routing && Some(&it.name) == site.as_ref())
        };
        from.restricted || to.restricted || routed(&from.site) || routed(&to.site)
    }

    /// A call that must reach this trunk when the others are down.
    fn case(
        &self,
        name: &str,
        from: &str,
        dialled: &str,
        caller: Option<&str>,
        to: &str,
    ) -> Option<Case> {
        let called = self.normalized(from, dialled, true);
        if !self.is_plain(from, &called, dialled) || self.is_located(from, to) {
            return None;
        }
        if caller.is_some_and(|it| {
            self.plan
                .blocked
                .iter()
                .any(|block| block.pattern.matches(it))
        }) {
            return None;
        }
        let ways = self.ways(from, &called);
        let first = ways.first()?;
        let own = ways
            .iter()
            .find(|way| way.route.trunks.iter().any(|it| it == to))?;
        let mut down: Vec<String> = ways
            .iter()
            .flat_map(|way| way.route.trunks.clone())
            .collect();
        down.sort();
        down.dedup();
        down.retain(|trunk| trunk != to);
        let shown = caller.map(|caller| match &own.route.caller_id {
            Some(number) => number.clone(),
            None => self.translated(to, &self.normalized(from, caller, false), false),
        });
        Some(Case {
            name: name.to_owned(),
            from: from.to_owned(),
            to: dialled.to_owned(),
            caller: caller.map(str::to_owned),
            down,
            route: Some(first.route.name.clone()),
            usage: Some(first.usage.to_owned()),
            trunk: Some(to.to_owned()),
            callee: self.translated(to, &called, true),
            shown,
        })
    }

    fn normalizing(&self, block: &Block, rule: &Rule) -> Option<Case> {
        let plan = self.plan;
        let dialled = sample::number(&rule.pattern)?;
        let all: Vec<&str> = plan.trunks.iter().map(|trunk| &*trunk.name).collect();
        let own = all.iter().filter(|name| {
            Self::block(&plan.normalize, name).is_some_and(|it| std::ptr::eq(it, block))
        });
        let own: Vec<&str> = own.copied().collect();
        let name = format!("dialled {}", rule.name);
        // An earlier rule of the list may be about it, too; then it is that one which is shown.
        let decides =
            rules(&block.called).find(|it| it.pattern.regex.is_match(dialled.as_bytes()))?;
        if !std::ptr::eq(decides, rule) {
            return None;
        }
        own.iter().find_map(|from| {
            let called = self.normalized(from, &dialled, true);
            let ways = self.ways(from, &called);
            let mut to = ways.iter().flat_map(|way| &way.route.trunks);
            let to = to.find(|to| to != from)?;
            self.case(&name, from, &dialled, None, to)
        })
    }

    fn translating(&self, block: &Block, rule: &Rule, is_called: bool) -> Option<Case> {
        let plan = self.plan;
        let number = sample::number(&rule.pattern)?;
        let lines = if is_called {
            &block.called
        } else {
            &block.calling
        };
        let decides = rules(lines).find(|it| it.pattern.regex.is_match(number.as_bytes()))?;
        if !std::ptr::eq(decides, rule) {
            return None;
        }
        let name = format!("{} {}", if is_called { "sent" } else { "shown" }, rule.name);
        let trunks = plan.trunks.iter().filter(|trunk| {
            Self::block(&plan.translate, &trunk.name).is_some_and(|it| std::ptr::eq(it, block))
        });
        for to in trunks {
            for route in plan.routes.iter().filter(|it| it.trunks.contains(&to.name)) {
                for from in self.ingresses(route, &to.name) {
                    let case = if is_called {
                        let kept = self.normalized(from, &number, true) == number;
                        kept.then(|| self.case(&name, from, &number, None, &to.name))
                            .flatten()
                    } else {
                        let kept = self.normalized(from, &number, false) == number;
                        let called = route.pattern.as_ref().and_then(sample::number);
                        let case = called.and_then(|called| {
                            self.case(&name, from, &called, Some(&number), &to.name)
                        });
                        let replaced = |case: &Case| {
                            case.shown == Some(self.translated(&to.name, &number, false))
                        };
                        case.filter(|case| kept && replaced(case))
                    };
                    if case.is_some() {
                        return case;
                    }
                }
            }
        }
        None
    }
}

/// The cases of `CsVoiceTestConfiguration`. They test what a user may call; a trunk whose calls have
/// the usage that is expected stands in for the user.
pub fn of_tests(plan: &Plan, export: &Export, report: &mut Report) -> Vec<Case> {
    let model = Model { plan };
    let mut cases = Vec::new();
    for item in export.of(From::VoiceTest) {
        let about = About::of(item, "DialedNumber");
        match of_test(&model, item) {
            Ok(case) => cases.push(case),
            Err((why, remedy)) => report.add(Level::LeftOut, &about, &why, remedy),
        }
    }
    cases
}

fn of_test(model: &Model<'_>, item: &Item) -> Result<Case, (String, &'static str)> {
    let object = &item.object;
    let dialled = object.text("DialedNumber").unwrap_or_default();
    let expected = object.text("ExpectedTranslatedNumber");
    let usage = object.text("ExpectedUsage");
    let route = object.text("ExpectedRoute");
    let remedy = "write the case by hand, from the trunk that it is about";
    if dialled.is_empty() {
        return Err(("it has no number".to_owned(), remedy));
    }
    let mut reasons = Vec::new();
    for trunk in &model.plan.trunks {
        let from = &trunk.name;
        let called = model.normalized(from, dialled, true);
        if expected.is_some_and(|expected| expected != called) {
            reasons.push(format!("{from} makes it {called}"));
            continue;
        }
        let ways = model.ways(from, &called);
        let Some(first) = ways.first() else {
            reasons.push(format!("{from} has no route for {called}"));
            continue;
        };
        let differs = |expected: Option<&str>, got: &str| {
            expected.is_some_and(|expected| !expected.eq_ignore_ascii_case(got))
        };
        if differs(usage, first.usage) || differs(route, &first.route.name) {
            reasons.push(format!(
                "{from} takes {:?} of {:?}",
                first.route.name, first.usage
            ));
            continue;
        }
        let to = ways
            .iter()
            .flat_map(|way| &way.route.trunks)
            .find(|to| *to != from);
        let case = to.and_then(|to| model.case(&item.identity(), from, dialled, None, to));
        if let Some(case) = case {
            return Ok(case);
        }
        reasons.push(format!("from {from} more than routes decides"));
    }
    reasons.truncate(3);
    let why = format!(
        "it tests what a user may call, and no trunk stands in for that user: {}",
        reasons.join("; ")
    );
    Err((why, remedy))
}
