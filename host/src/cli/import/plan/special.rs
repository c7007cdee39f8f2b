//! Network sites, unassigned numbers, blocked callers, emergency numbers.

use super::super::dotnet::{self, Pattern, Refused};
use super::super::kind::Kind as From;
use super::super::report::{About, Level, Report};
use super::super::source::{Export, Item};
use super::{Blocked, Emergency, Plan, Reach, Site, Unassigned};

/// Location-based routing.
pub fn sites(plan: &mut Plan, export: &Export, report: &mut Report) {
    let switch = export.of(From::RoutingConfiguration).find_map(|item| {
        let on = item.object.flag("EnableLocationBasedRouting")?;
        Some((About::of(item, "EnableLocationBasedRouting"), on))
    });
    if let Some((about, false)) = &switch {
        let why = "location-based routing is off, so nothing is kept to its site";
        report.add(Level::NotApplicable, about, why, "");
        for trunk in &mut plan.trunks {
            trunk.restricted = false;
        }
        for scope in &mut plan.scopes {
            scope.restricted = false;
        }
    }
    let off = matches!(switch, Some((_, false)));
    for item in export.of(From::NetworkSite) {
        let object = &item.object;
        let name = object
            .text("NetworkSiteID")
            .unwrap_or_else(|| object.text("Identity").unwrap_or_default());
        for (property, why) in [
            (
                "BWPolicyProfileID",
                "bandwidth is not booked here; `max_calls` of the trunks bounds calls",
            ),
            ("BypassID", "media flows between the parties, always"),
            ("NetworkRegionID", "regions are about bandwidth and bypass"),
        ] {
            if object.text(property).is_some() {
                report.add(Level::NotApplicable, &About::of(item, property), why, "");
            }
        }
        let on = object.flag("EnableLocationBasedRouting") == Some(true);
        if !on || off {
            continue;
        }
        let about = About::of(item, "EnableLocationBasedRouting");
        let same = |site: &Option<String>| {
            site.as_deref()
                .is_some_and(|it| it.eq_ignore_ascii_case(name))
        };
        let Some(own) = plan.trunks.iter().find(|trunk| same(&trunk.site)) else {
            let why = "no trunk is of this site, so there is nothing to keep to it";
            report.add(Level::NotApplicable, &about, why, "");
            continue;
        };
        let name = own.site.clone().unwrap_or_default();
        let policy = object
            .text("VoiceRoutingPolicy")
            .or_else(|| object.text("OnlineVoiceRoutingPolicy"));
        let routing_usages = policy.map(|policy| routing_usages(export, item, policy, report));
        plan.sites.push(Site {
            name,
            location_routing: true,
            routing_usages: routing_usages.unwrap_or_default(),
        });
        report.add(
            Level::Note,
            &about,
            "is `location_routing` of a [[site]]",
            "",
        );
    }
}

fn routing_usages(export: &Export, site: &Item, policy: &str, report: &mut Report) -> Vec<String> {
    let short = |name: &str| {
        let lower = name.to_ascii_lowercase();
        lower
            .strip_prefix("tag:")
            .map_or(lower.clone(), str::to_owned)
    };
    let mut policies = export.of(From::VoicePolicy);
    match policies.find(|item| short(&item.identity()) == short(policy)) {
        Some(item) => ["PstnUsages", "OnlinePstnUsages"]
            .map(|name| item.object.texts(name))
            .concat(),
        None => {
            let about = About::of(site, "VoiceRoutingPolicy");
            let why = format!("the policy {policy:?} is not in the export");
            report.add(
                Level::Warning,
                &about,
                &why,
                "export Get-CsVoiceRoutingPolicy, or write `routing_usages`",
            );
            Vec::new()
        }
    }
}

/// `tel:+14255550100;ext=7` without its scheme.
fn telephone(text: &str) -> Option<String> {
    let text = text.trim();
    let number = text.strip_prefix("tel:").unwrap_or(text);
    let (digits, ext) = number.split_once(";ext=").unwrap_or((number, "0"));
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let all_digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    (all_digits(digits) && all_digits(ext)).then(|| number.to_owned())
}

pub fn unassigned(plan: &mut Plan, export: &Export, report: &mut Report) {
    for item in export.of(From::Unassigned) {
        let object = &item.object;
        let about = About::of(item, "NumberRangeStart");
        let end = |name: &str| object.text(name).and_then(telephone);
        let (Some(start), Some(end)) = (end("NumberRangeStart"), end("NumberRangeEnd")) else {
            report.add(
                Level::LeftOut,
                &about,
                "its range is not of numbers",
                "write it by hand",
            );
            continue;
        };
        range(
            plan,
            item,
            start,
            end,
            object.number("Priority").unwrap_or(0),
            report,
        );
    }
    for item in export.of(From::TeamsUnassigned) {
        let about = About::of(item, "Pattern");
        let text = item.object.text("Pattern").unwrap_or_default();
        let pattern = Pattern::read(text);
        let range_of = |pattern: &Pattern| {
            let anchored = pattern.is_anchored() && pattern.except.is_empty();
            anchored.then(|| dotnet::range(&pattern.hir))?
        };
        match pattern.as_ref().ok().and_then(range_of) {
            Some((start, end)) => {
                let priority = item.object.number("TreatmentPriority").unwrap_or(0);
                range(plan, item, start, end, priority, report);
            }
            None => {
                let why = format!("{text} is not one range of numbers");
                report.add(
                    Level::LeftOut,
                    &about,
                    &why,
                    "write its ranges as [[unassigned]]",
                );
            }
        }
    }
}

fn range(
    plan: &mut Plan,
    item: &Item,
    start: String,
    end: String,
    priority: i64,
    report: &mut Report,
) {
    let about = About::of(item, "NumberRangeStart");
    if start.len() != end.len() || start > end {
        let why = format!(
            "{start} to {end} is no range: both ends have the same length, and the first is lower"
        );
        report.add(
            Level::LeftOut,
            &about,
            &why,
            "split it into ranges of one length",
        );
        return;
    }
    let object = &item.object;
    let target = ["AnnouncementName", "ExUmAutoAttendantPhoneNumber", "Target"];
    let target = target
        .iter()
        .find_map(|name| object.text(name))
        .unwrap_or("an announcement");
    let why = format!(
        "{target:?} answers these numbers there; nothing here plays it, so they are refused with 404"
    );
    let remedy = "write `to` with the trunk that has it, and `called` with its number";
    report.add(
        Level::Question,
        &About::of(item, "AnnouncementName"),
        &why,
        remedy,
    );
    let why =
        "numbers of users in this range are not in the export, so all of it counts as unassigned";
    let remedy = "write those that are assigned into `except`";
    report.add(Level::Question, &about, why, remedy);
    plan.unassigned.push(Unassigned {
        name: item.identity(),
        start,
        end,
        priority,
        comment: target.to_owned(),
    });
}

pub fn blocked(plan: &mut Plan, export: &Export, report: &mut Report) {
    for kind in [From::Blocked, From::Exempt] {
        for item in export.of(kind) {
            let about = About::of(item, "Pattern");
            if item.object.flag("Enabled") == Some(false) {
                report.add(
                    Level::NotApplicable,
                    &about.property("Enabled"),
                    "it is switched off",
                    "",
                );
                continue;
            }
            let text = item.object.text("Pattern").unwrap_or_default();
            match Pattern::read(text) {
                Ok(_) if text.is_empty() => {
                    report.add(
                        Level::LeftOut,
                        &about,
                        "it has no pattern",
                        "see what it was for",
                    );
                }
                Ok(pattern) if kind == From::Exempt && !pattern.except.is_empty() => {
                    let why = "`(?!` looks ahead (look-around) in an exemption";
                    report.add(Level::LeftOut, &about, why, "write `exempt` by hand");
                }
                Ok(pattern) if kind == From::Exempt => plan.exempt.push(pattern),
                Ok(pattern) => plan.blocked.push(Blocked {
                    name: item.identity(),
                    pattern,
                }),
                Err(Refused { why, remedy }) => {
                    report.add(Level::LeftOut, &about, &format!("{text}: {why}"), &remedy);
                }
            }
        }
    }
    if plan.blocked.is_empty() && !plan.exempt.is_empty() {
        let about = About::everything("exempt callers");
        report.add(
            Level::NotApplicable,
            &about,
            "nobody is blocked, so there is nobody to exempt",
            "",
        );
        plan.exempt.clear();
    }
}

pub fn emergencies(plan: &mut Plan, export: &Export, report: &mut Report) {
    for item in export.of(From::LocationPolicy) {
        let object = &item.object;
        for (property, why) in [
            (
                "NotificationUri",
                "nobody is told of an emergency call; its record has the tag `emergency`",
            ),
            ("ConferenceUri", "nobody is joined to an emergency call"),
            ("ConferenceMode", "nobody is joined to an emergency call"),
            ("LocationRequired", "it is about clients"),
            ("LocationRefreshInterval", "it is about clients"),
            ("EnhancedEmergencyServiceDisclaimer", "it is about clients"),
            ("UseLocationForE911Only", "it is about clients"),
        ] {
            if object.text(property).is_some() {
                report.add(Level::NotApplicable, &About::of(item, property), why, "");
            }
        }
        let about = About::of(item, "EmergencyDialString");
        if object.flag("EnhancedEmergencyServicesEnabled") == Some(false) {
            let why = "EnhancedEmergencyServicesEnabled is off, so it does nothing; emergency numbers are routed as others";
            report.add(
                Level::NotApplicable,
                &about,
                why,
                "write an [[emergency]] so that they pass limits",
            );
            continue;
        }
        let Some(usage) = object.text("PstnUsage") else {
            let why = "it has no usage, so its emergency calls have no route";
            report.add(
                Level::LeftOut,
                &about.property("PstnUsage"),
                why,
                "write an [[emergency]] with `to`",
            );
            continue;
        };
        let Some((from, site)) = where_it_holds(plan, export, item, report) else {
            continue;
        };
        let masks = |text: Option<&str>| -> Vec<String> {
            let parts = text.unwrap_or_default().split([';', ',']).map(str::trim);
            parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let mut numbers: Vec<(String, Vec<String>)> = Vec::new();
        if let Some(number) = object.text("EmergencyDialString") {
            numbers.push((number.to_owned(), masks(object.text("EmergencyDialMask"))));
        }
        for number in object.objects("EmergencyNumbers") {
            if let Some(dialled) = number.text("DialString") {
                numbers.push((dialled.to_owned(), masks(number.text("DialMask"))));
            }
        }
        for (number, masks) in numbers {
            let same = |it: &Emergency| it.number == number && it.from == from && it.site == site;
            if plan.emergencies.iter().any(same) {
                continue;
            }
            if !number.chars().all(|c| c.is_ascii_digit() || c == '+') {
                report.add(
                    Level::LeftOut,
                    &about,
                    &format!("{number:?} is no number"),
                    "write it by hand",
                );
                continue;
            }
            let leads = |route: &super::Route| {
                route.left_out.is_none() && route.usages.iter().any(|it| it == usage)
            };
            if !plan.routes.iter().any(leads) {
                let why = format!(
                    "no route has its usage {usage:?}, so emergency calls would be refused"
                );
                report.add(
                    Level::Warning,
                    &about.property("PstnUsage"),
                    &why,
                    "give a route this usage, or write `to`",
                );
            }
            plan.emergencies.push(Emergency {
                number,
                masks,
                from: from.clone(),
                site: site.clone(),
                usage: usage.to_owned(),
                comment: item.identity(),
            });
        }
    }
    let loose: Vec<&Item> = export.of(From::EmergencyNumber).collect();
    if plan.emergencies.is_empty() && !loose.is_empty() {
        for item in loose {
            let about = About::of(item, "DialString");
            let why = "the location policy that it belongs to is not in the export";
            report.add(Level::LeftOut, &about, why, "export Get-CsLocationPolicy");
        }
    }
}

/// The ingress trunks and network sites of a location policy; `None` if there are none.
fn where_it_holds(
    plan: &Plan,
    export: &Export,
    item: &Item,
    report: &mut Report,
) -> Option<(Vec<String>, Vec<String>)> {
    let about = About::of(item, "Identity");
    match Reach::of(&item.identity()) {
        Reach::Global => Some((Vec::new(), Vec::new())),
        Reach::Site(site) => {
            let own = plan
                .trunks
                .iter()
                .filter(|trunk| trunk.topology_site.as_ref() == Some(&site));
            let own: Vec<String> = own.map(|trunk| trunk.name.clone()).collect();
            if own.is_empty() {
                report.add(Level::NotApplicable, &about, "no trunk is of this site", "");
                return None;
            }
            Some((own, Vec::new()))
        }
        Reach::Gateway(_) | Reach::Other(_) => {
            let name = item.identity();
            let short = name.split_once(':').map_or(&*name, |(_, name)| name);
            let sites = export.of(From::NetworkSite).filter(|site| {
                let policy = site.object.text("LocationPolicy").unwrap_or_default();
                let policy = policy.split_once(':').map_or(policy, |(_, name)| name);
                policy.eq_ignore_ascii_case(short)
            });
            let sites = sites.map(|site| {
                site.object
                    .text("NetworkSiteID")
                    .unwrap_or_default()
                    .to_owned()
            });
            let known = |site: &String| {
                plan.trunks
                    .iter()
                    .any(|trunk| trunk.site.as_ref() == Some(site))
            };
            let sites: Vec<String> = sites.filter(known).collect();
            if sites.is_empty() {
                let why = "it is a policy of users, or of sites without trunks";
                report.add(Level::NotApplicable, &about, why, "");
                return None;
            }
            Some((Vec::new(), sites))
        }
    }
}
