//! Gateways become trunks, trunk configurations their settings.

use std::collections::BTreeSet;

use super::super::kind::Kind as From;
use super::super::report::{About, Level, Report};
use super::super::source::{Export, Item};
use super::super::value::Object;
use super::numbers;
use super::parameters;
use super::{Block, Code, Kind, Plan, Reach, Scope, Trunk, Wishes, gateway_of};

/// Ports of a gateway (Set-CsPstnGateway).
const TCP: u16 = 5066;
const TLS: u16 = 5067;
/// Port of a Session Border Controller of Teams where the export does not say.
const SBC: u16 = 5061;

/// Every gateway that anything names.
pub fn gateways(plan: &mut Plan, export: &Export, report: &mut Report) {
    for item in export.of(From::Gateway) {
        gateway(plan, item, report);
    }
    for item in export.of(From::OnlineGateway) {
        sbc(plan, export, item, report);
    }
    let described = plan.trunks.len();
    let mut named: Vec<String> = Vec::new();
    for item in export.of(From::TrunkConfiguration) {
        if let Reach::Gateway(gateway) = Reach::of(&item.identity()) {
            named.push(gateway);
        }
    }
    for item in export.of(From::VoiceRoute) {
        for list in ["PstnGatewayList", "OnlinePstnGatewayList"] {
            named.extend(item.object.texts(list));
        }
    }
    for gateway in named {
        if plan.trunk_of(&gateway).is_none() && !is_switched_off(export, &gateway) {
            let host = gateway_of(&gateway);
            push(plan, &gateway, &host, TCP, false);
        }
    }
    for trunk in &plan.trunks[described..] {
        let about = About::everything(&format!("trunk {:?}", trunk.name));
        let why = format!(
            "only its name is in the export; sip:{}:{TCP} over TCP is assumed",
            trunk.host
        );
        let remedy = "export Get-CsTrunk and Get-CsService -PstnGateway, or correct `peers`";
        report.add(Level::Question, &about, &why, remedy);
    }
}

fn is_switched_off(export: &Export, gateway: &str) -> bool {
    let gateway = gateway_of(gateway);
    export.of(From::OnlineGateway).any(|item| {
        item.object.flag("Enabled") == Some(false) && gateway_of(&item.identity()) == gateway
    })
}

fn push<'p>(plan: &'p mut Plan, gateway: &str, host: &str, port: u16, tls: bool) -> &'p mut Trunk {
    let gateway = gateway_of(gateway);
    let name = name_for(plan, &gateway);
    plan.trunks.push(Trunk {
        name,
        gateway,
        topology_site: None,
        host: host.to_owned(),
        port,
        tls,
        kind: Kind::Pstn,
        site: None,
        restricted: false,
        tags: Vec::new(),
        keys: Vec::new(),
        comment: String::new(),
    });
    plan.trunks.last_mut().expect("it was pushed just now")
}

/// A name that a trunk may have: letters, digits, `-`, `_`, `.`; at most 64, and its own.
pub fn name_for(plan: &Plan, gateway: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = gateway
        .chars()
        .map(|c| if legal(c) { c } else { '-' })
        .take(60)
        .collect();
    let name = if name.is_empty() {
        "trunk".to_owned()
    } else {
        name
    };
    let taken = |name: &str| plan.trunks.iter().any(|trunk| trunk.name == name);
    if !taken(&name) {
        return name;
    }
    let mut numbered = (2..).map(|number| format!("{name}-{number}"));
    numbered
        .find(|name| !taken(name))
        .expect("numbers do not end")
}

fn gateway(plan: &mut Plan, item: &Item, report: &mut Report) {
    let object = &item.object;
    if !item
        .identity()
        .to_ascii_lowercase()
        .contains("pstngateway:")
        && plan.trunk_of(&item.identity()).is_none()
        && object.text("MediationServer").is_none()
    {
        // A service of another role, as Get-CsService prints them all.
        return;
    }
    if plan.trunk_of(&item.identity()).is_some() {
        return;
    }
    let host = [
        "GatewayFqdn",
        "Fqdn",
        "PoolFqdn",
        "Address",
        "GatewayAddress",
    ];
    let host = host.iter().find_map(|name| object.text(name));
    let host = host.map_or_else(
        || gateway_of(&item.identity()),
        |host| host.to_ascii_lowercase(),
    );
    let port = |names: [&str; 3]| {
        let number = names.iter().find_map(|name| object.number(name));
        number
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
    };
    let tcp = port(["GatewaySipClientTcpPort", "SipServerTcpPort", "TcpPort"]);
    let tls = port(["GatewaySipClientTlsPort", "SipServerTlsPort", "TlsPort"]);
    let (port, is_tls) = match (tcp, tls) {
        (Some(port), _) => (port, false),
        (None, Some(port)) => (port, true),
        (None, None) => (TCP, false),
    };
    let about = About::of(item, "GatewaySipClientTcpPort");
    if tcp.is_none() && tls.is_none() {
        let why = format!("the export has no port; {TCP} over TCP is assumed (TLS has {TLS})");
        report.add(Level::Question, &about, &why, "correct `peers`");
    }
    let site = object.text("SiteId").map(|site| match Reach::of(site) {
        Reach::Site(site) => site,
        _ => site.to_ascii_lowercase(),
    });
    let media = object.text("RepresentativeMediaIP");
    let trunk = push(plan, &item.identity(), &host, port, is_tls);
    trunk.topology_site = site;
    for (property, why) in [
        (
            "Default",
            "no gateway is chosen by default; routes name their trunks",
        ),
        (
            "AlternateByPassId",
            "media flows between the parties; there is no bypass to choose",
        ),
    ] {
        if object.text(property).is_some() {
            report.add(Level::NotApplicable, &About::of(item, property), why, "");
        }
    }
    if media.is_some() {
        let why =
            "media flows where the gateway's SDP says, so it may end elsewhere than signalling";
        report.add(
            Level::NotApplicable,
            &About::of(item, "RepresentativeMediaIP"),
            why,
            "",
        );
    }
    if object.flag("Routable") == Some(false) {
        let about = About::of(item, "Routable");
        let why = "its address is not routable from everywhere; nothing is bypassed here anyway";
        report.add(Level::NotApplicable, &about, why, "");
    }
}

/// A Session Border Controller of Teams Direct Routing.
fn sbc(plan: &mut Plan, export: &Export, item: &Item, report: &mut Report) {
    let object = &item.object;
    if object.flag("Enabled") == Some(false) {
        let about = About::of(item, "Enabled");
        let why = "switched off there, so there is no trunk for it";
        report.add(
            Level::LeftOut,
            &about,
            why,
            "add the trunk when it is to take calls",
        );
        return;
    }
    let host = object.text("Fqdn").unwrap_or_default().to_ascii_lowercase();
    let host = if host.is_empty() {
        gateway_of(&item.identity())
    } else {
        host
    };
    let port = ["SipSignalingPort", "SipSignallingPort"];
    let port = port.iter().find_map(|name| object.number(name));
    let port = port
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0);
    let site = object.text("GatewaySiteId").map(str::to_owned);
    let restricted = object.flag("GatewaySiteLbrEnabled") == Some(true);
    let trunk = push(plan, &item.identity(), &host, port.unwrap_or(SBC), true);
    trunk.site = site;
    trunk.restricted = restricted;
    trunk.keys = parameters::of_sbc(object);
    let name = trunk.name.clone();
    parameters::report_sbc(item, report);
    let mut list = |property: &'static str| {
        let about = About::of(item, property);
        let rules = sbc_rules(export, item, &about, report);
        numbers::lines(rules, &about, report)
    };
    // Named from the side of Teams: its users are called inbound, and call outbound.
    let normalize = Block {
        comment: format!("{}, inbound", item.identity()),
        trunks: vec![name.clone()],
        called: list("InboundTeamsNumberTranslationRules"),
        calling: list("InboundPstnNumberTranslationRules"),
        ..Block::default()
    };
    let translate = Block {
        comment: format!("{}, outbound", item.identity()),
        trunks: vec![name],
        called: list("OutboundPstnNumberTranslationRules"),
        calling: list("OutboundTeamsNumberTranslationRules"),
        ..Block::default()
    };
    plan.normalize.push(normalize);
    plan.translate.push(translate);
}

/// The rules that an SBC lists: as objects, or as names of those that are exported beside it.
fn sbc_rules(export: &Export, item: &Item, about: &About<'_>, report: &mut Report) -> Vec<Object> {
    let alias = format!("{}List", about.property);
    let listed = [about.property, &alias]
        .into_iter()
        .find(|name| item.object.get(name).is_some());
    let Some(listed) = listed else {
        return Vec::new();
    };
    let objects = item.object.objects(listed);
    let objects: Vec<Object> = objects.into_iter().filter(|it| it.has("Pattern")).collect();
    if !objects.is_empty() {
        return objects;
    }
    let mut found = Vec::new();
    for name in item.object.texts(listed) {
        let mut rules = export.of(From::TeamsRule);
        match rules.find(|rule| rule.identity().eq_ignore_ascii_case(&name)) {
            Some(rule) => found.push(rule.object.clone()),
            None => {
                let why = "this rule is not in the export";
                report.add(
                    Level::LeftOut,
                    &about.part(&name),
                    why,
                    "export Get-CsTeamsTranslationRule",
                );
            }
        }
    }
    found
}

/// Gives each trunk the settings of the configuration that holds for it.
pub fn configure(plan: &mut Plan, export: &Export, report: &mut Report) {
    let items: Vec<&Item> = export.of(From::TrunkConfiguration).collect();
    for item in &items {
        parameters::report(item, report);
    }
    let sites: BTreeSet<_> = plan
        .trunks
        .iter()
        .filter_map(|it| it.topology_site.clone())
        .collect();
    for item in items {
        let reach = Reach::of(&item.identity());
        let about = About::of(item, "Identity");
        match &reach {
            Reach::Site(site) if !sites.contains(site) => {
                let why = format!("no trunk is known to be of site {site:?}");
                let remedy =
                    "export Get-CsTrunk, which has the sites, or move the settings by hand";
                report.add(Level::LeftOut, &about, &why, remedy);
                continue;
            }
            Reach::Other(scope) => {
                let why = format!("{scope:?} is no scope of trunks");
                report.add(Level::LeftOut, &about, &why, "see what it was for");
                continue;
            }
            _ => {}
        }
        apply(plan, export, item, &reach, report);
    }
    if plan.scopes.is_empty() && export.of(From::TrunkConfiguration).next().is_none() {
        let about = About::everything("trunk configuration");
        let why =
            "none is in the export, so no trunk has usages, and no call between trunks a route";
        let remedy =
            "export Get-CsTrunkConfiguration, or write `usages` of the trunks in dialplan.toml";
        report.add(Level::Question, &about, why, remedy);
    }
}

/// Whose configuration this is: the trunks that no other one is closer to.
fn trunks_of(plan: &Plan, export: &Export, reach: &Reach) -> Vec<usize> {
    let reaches: Vec<Reach> = export
        .of(From::TrunkConfiguration)
        .map(|item| Reach::of(&item.identity()))
        .collect();
    let trunks = plan.trunks.iter().enumerate();
    let meant = trunks.filter(|(_, trunk)| closest(trunk, &reaches).as_ref() == Some(reach));
    meant.map(|(place, _)| place).collect()
}

/// The most specific of these that holds for a trunk.
pub fn closest(trunk: &Trunk, reaches: &[Reach]) -> Option<Reach> {
    let own = Reach::Gateway(trunk.gateway.clone());
    let site = trunk.topology_site.clone().map(Reach::Site);
    let wanted = [Some(own), site, Some(Reach::Global)];
    wanted
        .into_iter()
        .flatten()
        .find(|reach| reaches.contains(reach))
}

fn apply(plan: &mut Plan, export: &Export, item: &Item, reach: &Reach, report: &mut Report) {
    let object = &item.object;
    let places = trunks_of(plan, export, reach);
    for place in &places {
        let trunk = &mut plan.trunks[*place];
        if trunk.keys.is_empty() {
            trunk.keys = parameters::of_trunk(object);
        }
        trunk.site = object
            .text("NetworkSiteID")
            .map(str::to_owned)
            .or(trunk.site.take());
        trunk.restricted |= object.flag("EnableLocationRestriction") == Some(true);
        if object.flag("EnableMobileTrunkSupport") == Some(true) {
            trunk.tags.push("mobile".to_owned());
        }
        trunk.comment = object.text("Description").unwrap_or_default().to_owned();
    }
    let names: Vec<String> = places
        .iter()
        .map(|place| plan.trunks[*place].name.clone())
        .collect();
    let is_global = *reach == Reach::Global;
    if names.is_empty() && !is_global {
        return;
    }
    let trunks = if is_global { Vec::new() } else { names };
    let about = About::of(item, "");
    plan.scopes.push(Scope {
        comment: item.identity(),
        trunks: trunks.clone(),
        usages: object.texts("PstnUsages"),
        codes: codes(export, item, reach, report),
        restricted: object.flag("EnableLocationRestriction") == Some(true),
    });
    let list = |property: &str, kind: From| numbers::listed(export, object, property, kind, reach);
    let called = list("OutboundTranslationRulesList", From::CalledRule);
    let calling = list(
        "OutboundCallingNumberTranslationRulesList",
        From::CallingRule,
    );
    plan.translate.push(Block {
        comment: item.identity(),
        trunks,
        called: numbers::lines(
            called,
            &about.property("OutboundTranslationRulesList"),
            report,
        ),
        calling: numbers::lines(
            calling,
            &about.property("OutboundCallingNumberTranslationRulesList"),
            report,
        ),
        strip_plus: object.flag("RemovePlusFromUri") == Some(true),
        external_prefix: None,
    });
}

fn codes(export: &Export, item: &Item, reach: &Reach, report: &mut Report) -> Vec<Code> {
    let property = "SipResponseCodeTranslationRulesList";
    let rules = numbers::listed(export, &item.object, property, From::ResponseRule, reach);
    let about = About::of(item, property);
    let mut codes = Vec::new();
    for rule in rules {
        let about = about.part(
            rule.text("Name")
                .unwrap_or_else(|| super::super::source::identity(&rule)),
        );
        let code = |name: &str| rule.number(name).and_then(|code| u16::try_from(code).ok());
        let received = code("ReceivedResponseCode").unwrap_or(0);
        let to = code("TranslatedResponseCode").unwrap_or(0);
        let cause = code("ReceivedISUPCauseValue").filter(|cause| *cause <= 127);
        if !(400..700).contains(&to) || received != 0 && !(400..700).contains(&received) {
            let why = format!("{received} to {to} is no translation of failures (400 to 699)");
            report.add(
                Level::LeftOut,
                &about,
                &why,
                "write it into `codes` by hand",
            );
            continue;
        }
        if cause.is_some() && matches!(to, 408 | 500 | 502..=504) {
            let why = format!(
                "the cause {} of a {received} made it {to}, with which Skype for Business tried the \
                 next route; here a cause changes the caller's code only",
                cause.unwrap_or_default()
            );
            let remedy = format!(
                "write `failover = [{received}, 408, 500, 502, 503, 504]` if any {received} may go on"
            );
            report.add(Level::Warning, &about, &why, &remedy);
        }
        codes.push(Code {
            from: (received != 0).then_some(received),
            cause,
            to,
        });
    }
    codes
}

/// Words in the name of a gateway that say what it leads to.
const PSTN_WORDS: [&str; 14] = [
    "pstn", "gw", "gateway", "carrier", "itsp", "provider", "sbc", "isdn", "pri", "e1", "t1",
    "siptrunk", "telco", "mobile",
];
const PBX_WORDS: [&str; 11] = [
    "pbx",
    "cucm",
    "callmanager",
    "ccm",
    "avaya",
    "nortel",
    "mitel",
    "asterisk",
    "siemens",
    "legacy",
    "ipt",
];

/// Nothing in the data says whether a trunk leads to a PBX or to the public network.
pub fn infer_kinds(plan: &mut Plan, wishes: &Wishes, report: &mut Report) {
    let usages: Vec<Vec<String>> = plan
        .trunks
        .iter()
        .map(|trunk| plan.usages_of(&trunk.name).to_vec())
        .collect();
    for (trunk, usages) in plan.trunks.iter_mut().zip(usages) {
        let wished = wishes.kinds.iter().find(|(name, _)| {
            name.eq_ignore_ascii_case(&trunk.name) || gateway_of(name) == trunk.gateway
        });
        if let Some((_, kind)) = wished {
            trunk.kind = *kind;
            continue;
        }
        let words: Vec<&str> = trunk
            .gateway
            .split(|c: char| !c.is_ascii_alphanumeric())
            .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
            .collect();
        let has = |known: &[&str]| {
            let begins = |word: &&str| {
                known
                    .iter()
                    .any(|it| word == it || it.len() > 3 && word.starts_with(it))
            };
            words.iter().any(begins)
        };
        let (kind, because) = if trunk.tags.iter().any(|tag| tag == "static-route") {
            (Kind::Pbx, "it is the next hop of a static route")
        } else if has(&PBX_WORDS) {
            (Kind::Pbx, "its name says so")
        } else if has(&PSTN_WORDS) {
            (Kind::Pstn, "its name says so")
        } else if usages.is_empty() {
            (
                Kind::Pstn,
                "its calls have no usages, as those of a PSTN trunk should",
            )
        } else {
            (
                Kind::Pbx,
                "its calls have usages, which a PSTN trunk should not have",
            )
        };
        trunk.kind = kind;
        let (word, other) = match kind {
            Kind::Pbx => ("pbx", "pstn"),
            Kind::Pstn => ("pstn", "pbx"),
        };
        let about = About::everything(&format!("trunk {:?}", trunk.name)).property("kind");
        let why = format!("{word} is assumed, since {because}");
        let remedy = format!(
            "import again with --kind {}={other} if it is not",
            trunk.name
        );
        report.add(Level::Question, &about, &why, &remedy);
    }
    for (wished, _) in &wishes.kinds {
        let known = |trunk: &Trunk| {
            wished.eq_ignore_ascii_case(&trunk.name) || gateway_of(wished) == trunk.gateway
        };
        if !plan.trunks.iter().any(known) {
            let about = About::everything(&format!("--kind {wished}"));
            report.add(
                Level::Warning,
                &about,
                "there is no such trunk",
                "see the names in intertrunk.toml",
            );
        }
    }
}
