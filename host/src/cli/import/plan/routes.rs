//! Voice routes by number, static routes by domain.

use super::super::dotnet::{Pattern, Refused};
use super::super::kind::Kind as From;
use super::super::report::{About, Level, Report};
use super::super::source::{Export, Item};
use super::super::value::{Object, Value};
use super::{Kind, Plan, Route, Trunk, gateway_of};

/// The usages that there are, in their order.
pub fn usages(plan: &mut Plan, export: &Export) {
    let mut all = Vec::new();
    for item in export.of(From::PstnUsage) {
        all.extend(item.object.texts("Usage"));
    }
    let named = [
        (From::TrunkConfiguration, "PstnUsages"),
        (From::VoiceRoute, "PstnUsages"),
        (From::VoiceRoute, "OnlinePstnUsages"),
        (From::VoicePolicy, "PstnUsages"),
        (From::VoicePolicy, "OnlinePstnUsages"),
        (From::LocationPolicy, "PstnUsage"),
    ];
    for (kind, property) in named {
        for item in export.of(kind) {
            all.extend(item.object.texts(property));
        }
    }
    for usage in all {
        if !plan.usages.contains(&usage) {
            plan.usages.push(usage);
        }
    }
}

/// Voice routes, and those of a routing configuration.
pub fn voice(plan: &mut Plan, export: &Export, report: &mut Report) {
    let nested = export.of(From::RoutingConfiguration).flat_map(|item| {
        let routes = item.object.objects("Route").into_iter();
        routes
            .filter(|it| it.has("NumberPattern"))
            .map(|object| Item {
                file: item.file.clone(),
                kind: From::VoiceRoute,
                object,
            })
    });
    let items: Vec<Item> = export.of(From::VoiceRoute).cloned().chain(nested).collect();
    for item in items {
        let name = item.identity();
        if plan.routes.iter().any(|route| route.name == name) {
            continue;
        }
        let route = route(plan, &item, report);
        plan.routes.push(route);
    }
}

fn route(plan: &Plan, item: &Item, report: &mut Report) -> Route {
    let object = &item.object;
    let either = |names: [&str; 2]| {
        let found = names.map(|name| object.texts(name));
        found
            .into_iter()
            .find(|it| !it.is_empty())
            .unwrap_or_default()
    };
    let mut route = Route {
        name: item.identity(),
        comment: object.text("Description").unwrap_or_default().to_owned(),
        pattern: None,
        domain: None,
        phone_only: false,
        usages: either(["PstnUsages", "OnlinePstnUsages"]),
        trunks: Vec::new(),
        priority: object.number("Priority").unwrap_or(0),
        caller_id: caller_id(item, report),
        left_out: None,
    };
    for gateway in either(["PstnGatewayList", "OnlinePstnGatewayList"]) {
        match plan.trunk_of(&gateway) {
            Some(trunk) if route.trunks.contains(&trunk.name) => {}
            Some(trunk) => route.trunks.push(trunk.name.clone()),
            None => {
                let about = About::of(item, "PstnGatewayList");
                let why = format!("there is no trunk for {:?}", gateway_of(&gateway));
                report.add(
                    Level::Warning,
                    &about,
                    &why,
                    "the route has the others only",
                );
            }
        }
    }
    let text = object.text("NumberPattern").unwrap_or("[0-9]{10}");
    let about = About::of(item, "NumberPattern");
    let leave_out =
        |route: &mut Route, about: &About<'_>, why: &str, remedy: &str, report: &mut Report| {
            report.add(Level::LeftOut, about, why, remedy);
            route.left_out = Some(format!("'{text}' to {:?}: {why}", route.trunks));
        };
    match Pattern::read(text) {
        Ok(pattern) => {
            if !text.contains(['^', '$']) {
                let why = format!(
                    "{text} is not anchored, so it is about every number with this anywhere in it; it is \
                     carried over so"
                );
                report.add(
                    Level::Warning,
                    &about,
                    &why,
                    "write ^ and $ if only whole numbers are meant",
                );
            }
            route.pattern = Some(pattern);
        }
        Err(Refused { why, remedy }) => leave_out(&mut route, &about, &why, &remedy, report),
    }
    if route.usages.is_empty() {
        let about = about.property("PstnUsages");
        let why = "it has no usage, so no call takes it";
        leave_out(
            &mut route,
            &about,
            why,
            "give it `usages` if it is wanted",
            report,
        );
    } else if route.trunks.is_empty() {
        let about = about.property("PstnGatewayList");
        leave_out(
            &mut route,
            &about,
            "it leads to no trunk",
            "write its `to`",
            report,
        );
    }
    if object.text("BridgeSourcePhoneNumber").is_some() {
        let about = About::of(item, "BridgeSourcePhoneNumber");
        let why = "it is about conference bridges";
        report.add(Level::NotApplicable, &about, why, "");
    }
    route
}

/// `SuppressCallerId` replaces the caller; it cannot withhold.
fn caller_id(item: &Item, report: &mut Report) -> Option<String> {
    let about = About::of(item, "AlternateCallerId");
    let alternate = item.object.text("AlternateCallerId");
    if item.object.flag("SuppressCallerId") != Some(true) {
        if alternate.is_some() {
            report.add(
                Level::NotApplicable,
                &about,
                "SuppressCallerId is off, so it was not used",
                "",
            );
        }
        return None;
    }
    let Some(number) = alternate else {
        let why = "SuppressCallerId is on, and there is no number to show instead";
        let remedy = "write `caller_id`, or `withhold = true` if the caller is to be hidden";
        report.add(Level::Warning, &about, why, remedy);
        return None;
    };
    let (digits, ext) = number.split_once(";ext=").unwrap_or((number, "0"));
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let all_digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !all_digits(digits) || !all_digits(ext) {
        let why = format!("{number:?} is no number");
        report.add(Level::LeftOut, &about, &why, "write `caller_id` by hand");
        return None;
    }
    let why =
        "is `caller_id`: it replaces the caller, as there; to hide one, write `withhold = true`";
    report.add(Level::Note, &about.property("SuppressCallerId"), why, "");
    Some(number.to_owned())
}

/// Static routes lead to a domain's proxy.
pub fn by_domain(plan: &mut Plan, export: &Export, report: &mut Report) {
    for item in export.of(From::StaticRouting) {
        for object in item.object.objects("Route") {
            let about = About::of(item, "Route");
            one_by_domain(plan, item, &object, &about, report);
        }
    }
}

fn one_by_domain(
    plan: &mut Plan,
    item: &Item,
    object: &Object,
    about: &About<'_>,
    report: &mut Report,
) {
    let Some(domain) = object.text("MatchUri") else {
        return;
    };
    let about = about.part(domain);
    if object.flag("Enabled") == Some(false) {
        report.add(Level::NotApplicable, &about, "it is switched off", "");
        return;
    }
    let Some((host, port, tls)) = next_hop(object) else {
        let remedy = "export it with -Depth 5, or write the trunk and its route by hand";
        report.add(
            Level::LeftOut,
            &about,
            "the export does not say where it leads",
            remedy,
        );
        return;
    };
    let known = plan.trunks.iter().position(|trunk| trunk.host == host);
    let trunk = match known {
        Some(place) => &plan.trunks[place],
        None => {
            plan.trunks.push(Trunk {
                name: super::trunks::name_for(plan, &host),
                gateway: host.clone(),
                topology_site: None,
                host,
                port,
                tls,
                kind: Kind::Pbx,
                site: None,
                restricted: false,
                tags: vec!["static-route".to_owned()],
                keys: Vec::new(),
                comment: format!("static route {domain} of {}", item.identity()),
            });
            plan.trunks.last().expect("it was pushed just now")
        }
    };
    if object.flag("ReplaceHostInRequestUri") == Some(false) {
        let about = about.property("ReplaceHostInRequestUri");
        let why = "the Request-URI that is sent names the peer of the trunk, not the domain that was called";
        report.add(
            Level::Warning,
            &about,
            why,
            "see that the next hop takes it",
        );
    }
    plan.routes.push(Route {
        name: format!("static {domain}"),
        comment: item.identity(),
        pattern: None,
        domain: Some(domain.to_owned()),
        phone_only: object.flag("MatchOnlyPhoneUri") == Some(true),
        usages: Vec::new(),
        trunks: vec![trunk.name.clone()],
        priority: 0,
        caller_id: None,
        left_out: None,
    });
}

/// Host, port and whether it is TLS, wherever in the transport they are written.
fn next_hop(route: &Object) -> Option<(String, u16, bool)> {
    fn find(value: &Value, names: &[&str], depth: u8) -> Option<String> {
        let Value::Object(object) = value else {
            return None;
        };
        let own = names.iter().find_map(|name| object.text(name));
        own.map(str::to_owned).or_else(|| {
            let mut parts = object.properties.iter();
            (depth < 6).then(|| parts.find_map(|(_, part)| find(part, names, depth + 1)))?
        })
    }
    let whole = Value::Object(route.clone());
    let host = find(
        &whole,
        &["Fqdn", "IPAddress", "Destination", "NextHop", "Address"],
        0,
    )?;
    let port = find(&whole, &["Port"], 0).and_then(|port| port.parse().ok());
    let is_tls = |value: &Value| format!("{value:?}").to_ascii_lowercase().contains("tls");
    let tls = route.get("Transport").is_some_and(is_tls);
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let host = host.trim().to_ascii_lowercase();
    (!host.is_empty() && host.chars().all(legal))
        .then(|| (host, port.unwrap_or(if tls { 5061 } else { 5060 }), tls))
}

/// What holds for all routes together.
pub fn judge(plan: &Plan, export: &Export, report: &mut Report) {
    for trunk in plan.trunks.iter().filter(|trunk| trunk.kind == Kind::Pstn) {
        let usages = plan.usages_of(&trunk.name);
        let mut leads_to: Vec<&str> = Vec::new();
        for route in &plan.routes {
            if route.left_out.is_none() && route.usages.iter().any(|it| usages.contains(it)) {
                leads_to.extend(route.trunks.iter().map(String::as_str).filter(|name| {
                    *name != trunk.name && plan.trunk(name).is_some_and(|it| it.kind == Kind::Pstn)
                }));
            }
        }
        leads_to.sort_unstable();
        leads_to.dedup();
        if !leads_to.is_empty() {
            let about =
                About::everything(&format!("trunk {:?}", trunk.name)).property("PstnUsages");
            let why = format!(
                "they lead from the public network back to it, by {}; the host refuses such calls \
                 (toll fraud)",
                leads_to.join(", ")
            );
            let remedy =
                "take the usage away, or write `allow_pstn_to` in intertrunk.toml if it is meant";
            report.add(Level::Warning, &about, &why, remedy);
        }
    }
    for item in export.of(From::TrunkConfiguration) {
        for usage in item.object.texts("PstnUsages") {
            let used = |route: &Route| route.left_out.is_none() && route.usages.contains(&usage);
            if !plan.routes.iter().any(used) {
                let about = About::of(item, "PstnUsages");
                let why = format!("no route has the usage {usage:?}");
                report.add(
                    Level::Warning,
                    &about,
                    &why,
                    "give a route this usage, or take it away",
                );
            }
        }
    }
    let users = plan.trunks.is_empty() || export.items.is_empty();
    if !users {
        let about = About::everything("users");
        let why = "Skype for Business looks for a user of its own before it routes between trunks; users \
                   are not in the export";
        let remedy = "add routes to the trunk on which the numbers of its users are from now on";
        report.add(Level::Question, &about, why, remedy);
    }
    for item in export.of(From::VoicePolicy) {
        let usages = ["PstnUsages", "OnlinePstnUsages"]
            .map(|name| item.object.texts(name))
            .concat();
        let about = About::of(item, "PstnUsages");
        let why = format!(
            "it is what users may call ({}), and there are no users here",
            usages.join(", ")
        );
        report.add(
            Level::NotApplicable,
            &about,
            &why,
            "give `usages` to the trunk that their calls come from",
        );
    }
}
