//! Number rules: dial plans for what comes in, translations for what goes out.

use super::super::dotnet::{Pattern, Refused};
use super::super::kind::Kind as From;
use super::super::mistakes;
use super::super::report::{About, Level, Report};
use super::super::source::{Export, Item, identity};
use super::super::value::Object;
use super::trunks::closest;
use super::{Block, Line, Plan, Reach, Rule};

/// The rules of a list of this object, in their order: those that lie in it, else those of the
/// export that are of its scope.
pub fn listed(
    export: &Export,
    object: &Object,
    property: &str,
    kind: From,
    reach: &Reach,
) -> Vec<Object> {
    let nested = object.objects(property);
    let mut rules: Vec<Object> = nested
        .into_iter()
        .filter(|rule| rule.has("Pattern") || rule.has("TranslatedResponseCode"))
        .collect();
    if rules.is_empty() {
        let of_scope = |item: &&Item| Reach::of(&item.identity()) == *reach;
        rules = export
            .of(kind)
            .filter(of_scope)
            .map(|item| item.object.clone())
            .collect();
    }
    rules.sort_by_key(|rule| rule.number("Priority").unwrap_or(i64::MAX));
    rules
}

/// Carries rules over, in their order.
pub fn lines(rules: Vec<Object>, about: &About<'_>, report: &mut Report) -> Vec<Line> {
    let count = rules.len();
    let mut lines = Vec::with_capacity(count);
    for (place, object) in (1..).zip(rules) {
        let name = object
            .text("Name")
            .unwrap_or_else(|| identity(&object))
            .to_owned();
        let about = about.part(&name);
        let pattern = object.text("Pattern").unwrap_or_default();
        let translation = object.text("Translation").unwrap_or_default();
        if pattern.is_empty() {
            report.add(
                Level::LeftOut,
                &about,
                "it has no pattern",
                "see what it was for",
            );
            continue;
        }
        match rule(&name, pattern, translation, place == count) {
            Ok((rules, odd)) => {
                for oddity in odd {
                    report.add(
                        Level::Warning,
                        &about,
                        &oddity,
                        "correct the rule if it is not meant",
                    );
                }
                let last = rules.last().expect("a rule is one or two");
                for mistake in mistakes::of(&object, last) {
                    report.add(
                        Level::Warning,
                        &about,
                        &mistake,
                        "it is carried over as it is",
                    );
                }
                lines.extend(rules.into_iter().map(Line::Rule));
            }
            Err(Refused { why, remedy }) => {
                report.add(
                    Level::LeftOut,
                    &about,
                    &format!("{pattern}: {why}"),
                    &remedy,
                );
                lines.push(Line::LeftOut(format!(
                    "{name}: '{pattern}' to '{translation}': {why}"
                )));
            }
        }
    }
    lines
}

/// One rule; two where numbers must be kept from it. What is odd about it comes along.
fn rule(
    name: &str,
    pattern: &str,
    to: &str,
    is_last: bool,
) -> Result<(Vec<Rule>, Vec<String>), Refused> {
    let pattern = Pattern::read(pattern)?;
    let (to, mut odd) = pattern.groups.replacement(to)?;
    if !pattern.is_anchored() {
        odd.push(
            "its pattern is not anchored with ^ and $, so the rest of the number is kept, and only the \
             first place that matches is replaced"
                .to_owned(),
        );
    }
    let mut rules = Vec::new();
    if !pattern.except.is_empty() {
        if !is_last {
            let why = "`(?!` looks ahead (look-around), and the numbers that it excludes are for the rules after it";
            let remedy = "put the rules for those numbers before it, and write it without";
            return Err(Refused {
                why: why.to_owned(),
                remedy: remedy.to_owned(),
            });
        }
        // A last rule that is not about a number leaves it as it is, and so does this one.
        let escaped = |text: &String| text.replace('+', "\\+");
        let texts: Vec<String> = pattern.except.iter().map(escaped).collect();
        let kept = Pattern::read(&format!("^(?:{})", texts.join("|")))?;
        rules.push(Rule {
            name: format!("{name}: not these"),
            pattern: kept,
            to: "$0".to_owned(),
        });
    }
    rules.push(Rule {
        name: name.to_owned(),
        pattern: Pattern {
            except: Vec::new(),
            ..pattern
        },
        to,
    });
    Ok((rules, odd))
}

/// Dial plans become normalization of what comes in.
pub fn dial_plans(plan: &mut Plan, export: &Export, report: &mut Report) {
    let reaches: Vec<Reach> = export
        .of(From::DialPlan)
        .map(|item| Reach::of(&item.identity()))
        .collect();
    for item in export.of(From::DialPlan) {
        let about = About::of(item, "Identity");
        let reach = Reach::of(&item.identity());
        if let Reach::Other(scope) = &reach {
            let why =
                format!("{scope:?} is a dial plan of users or registrars, and there are none here");
            report.add(Level::NotApplicable, &about, &why, "");
            continue;
        }
        let trunks = plan.trunks.iter();
        let own = trunks.filter(|trunk| closest(trunk, &reaches).as_ref() == Some(&reach));
        let names: Vec<String> = own.map(|trunk| trunk.name.clone()).collect();
        let is_global = reach == Reach::Global;
        if names.is_empty() && !is_global {
            report.add(
                Level::LeftOut,
                &about,
                "no trunk is of this scope",
                "export Get-CsTrunk, which has the sites",
            );
            continue;
        }
        let rules = listed(
            export,
            &item.object,
            "NormalizationRules",
            From::NormalizationRule,
            &reach,
        );
        let rules = of_dial_plan(rules, &about.property("NormalizationRules"), report);
        let about = about.property("NormalizationRules");
        let called = lines(rules.clone(), &about, report);
        // Said once already.
        let calling = lines(rules, &about, &mut Report::default());
        plan.normalize.push(Block {
            comment: item.identity(),
            trunks: if is_global { Vec::new() } else { names },
            called,
            calling,
            strip_plus: false,
            external_prefix: external_prefix(item, report),
        });
        for (property, why) in [
            ("DialinConferencingRegion", "it is about conferences"),
            ("CountryCode", "it is about telephones"),
            ("State", "it is about telephones"),
            ("City", "it is about telephones"),
            ("ITUCountryPrefix", "it is about telephones"),
        ] {
            if item.object.text(property).is_some() {
                report.add(Level::NotApplicable, &About::of(item, property), why, "");
            }
        }
    }
}

fn of_dial_plan(rules: Vec<Object>, about: &About<'_>, report: &mut Report) -> Vec<Object> {
    for rule in &rules {
        if rule.flag("IsInternalExtension") == Some(true) {
            let about = about.part(rule.text("Name").unwrap_or_else(|| identity(rule)));
            let why = "IsInternalExtension: here it is a rule as any other";
            report.add(Level::Note, &about, why, "");
        }
    }
    rules
}

/// Skype for Business takes it from a number only where telephones are told to.
fn external_prefix(item: &Item, report: &mut Report) -> Option<String> {
    let prefix = item.object.text("ExternalAccessPrefix")?;
    let about = About::of(item, "ExternalAccessPrefix");
    if item.object.flag("OptimizeDeviceDialing") != Some(true) {
        let why = "OptimizeDeviceDialing is off, so nothing was done with it";
        report.add(Level::NotApplicable, &about, why, "");
        return None;
    }
    if prefix.len() > 4 || !prefix.chars().all(|c| c.is_ascii_digit()) {
        let why = format!("{prefix:?} is no access code of 1 to 4 digits");
        report.add(
            Level::LeftOut,
            &about,
            &why,
            "write `external_prefix` by hand",
        );
        return None;
    }
    report.add(
        Level::Note,
        &about,
        "is `external_prefix` of a [[normalize]]",
        "",
    );
    Some(prefix.to_owned())
}
