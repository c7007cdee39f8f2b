//! Every parameter of `Set-CsTrunkConfiguration`, and of `Set-CsOnlinePSTNGateway`: what it becomes,
//! or why it becomes nothing.

use super::super::report::{About, Level, Report};
use super::super::source::Item;
use super::super::value::Object;

/// What becomes of a parameter.
enum Then {
    /// This, of the host or of the dial plan.
    Is(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
    /// Look at it if it has this value.
    Look(&'static str, &'static str, &'static str),
}

use Then::{Is, Look, Nothing};

const TRUNK: [(&str, Then); 28] = [
    ("PstnUsages", Is("`usages` of the scope in dialplan.toml")),
    (
        "OutboundTranslationRulesList",
        Is("`called` of a [[translate]]"),
    ),
    (
        "OutboundCallingNumberTranslationRulesList",
        Is("`calling` of a [[translate]]"),
    ),
    (
        "SipResponseCodeTranslationRulesList",
        Is("`codes` of the scope"),
    ),
    ("RemovePlusFromUri", Is("`strip_plus` of a [[translate]]")),
    (
        "SRTPMode",
        Look(
            "Required",
            "media is neither encrypted nor decrypted here: what one party offers, the other must take",
            "see that the parties of this trunk agree about SRTP, and give it a TLS listener",
        ),
    ),
    (
        "MaxEarlyDialogs",
        Nothing(
            "an INVITE of ours may have 20 early dialogs, the default there; further ones are ignored",
        ),
    ),
    (
        "EnableBypass",
        Is("`media = \"direct\"`: media flows between the parties, always"),
    ),
    (
        "ConcentratedTopology",
        Nothing("media flows where SDP says, whether or not that is where signalling ends"),
    ),
    ("EnableReferSupport", Is("`takes_refer` of the trunk")),
    (
        "Enable3pccRefer",
        Nothing(
            "the host carries out transfers itself by third-party call control, wherever the peer does not take REFER",
        ),
    ),
    (
        "EnableSessionTimer",
        Is("`session_timer` of the trunk; the peer's own timer is always answered"),
    ),
    (
        "EnableFastFailoverTimer",
        Is("`no_progress` of the trunk: 10 s, or 3 min, the longest there is"),
    ),
    (
        "ForwardCallHistory",
        Is("`identity.forward_history` of the trunk"),
    ),
    (
        "ForwardPAI",
        Is("`identity.forward_pai` and `identity.trusted` of the trunk"),
    ),
    (
        "ForwardAnonymousCallGatewayPAI",
        Nothing("between trunks that are trusted an anonymous call keeps its P-Asserted-Identity"),
    ),
    (
        "AcceptGatewayPAIForOutboundCalls",
        Nothing("the identity of a trusted trunk is believed, whichever trunk the call goes to"),
    ),
    (
        "EnablePIDFLOSupport",
        Nothing("bodies pass as they are, PIDF-LO included"),
    ),
    (
        "RTCPActiveCalls",
        Nothing(
            "media does not come by here, so nobody listens for RTCP; a session timer finds calls that have died",
        ),
    ),
    (
        "RTCPCallsOnHold",
        Nothing(
            "media does not come by here, so nobody listens for RTCP; a session timer finds calls that have died",
        ),
    ),
    (
        "EnableRTPLatching",
        Nothing("media does not come by here; the parties reach each other"),
    ),
    (
        "EnableSignalBoost",
        Nothing("media does not come by here, so nobody changes its volume"),
    ),
    (
        "EnableOnlineVoice",
        Nothing("it is about users with hosted voicemail, and there are no users here"),
    ),
    (
        "EnableMobileTrunkSupport",
        Is("the tag `mobile` of the trunk"),
    ),
    (
        "EnableLocationRestriction",
        Is("`location_restricted` of the trunk"),
    ),
    ("NetworkSiteID", Is("`site` of the trunk")),
    ("Description", Is("a comment")),
    (
        "EnablePAIPAssthrough",
        Nothing("between trunks that are trusted an anonymous call keeps its P-Asserted-Identity"),
    ),
];

const SBC: [(&str, Then); 26] = [
    ("Fqdn", Is("`peers` of the trunk")),
    ("SipSignalingPort", Is("the port of `peers`")),
    ("SipSignallingPort", Is("the port of `peers`")),
    ("Enabled", Is("whether there is a trunk")),
    ("FailoverTimeSeconds", Is("`no_progress` of the trunk")),
    ("FailoverResponseCodes", Is("`failover_codes` of the trunk")),
    (
        "ForwardCallHistory",
        Is("`identity.forward_history` of the trunk"),
    ),
    (
        "ForwardPai",
        Is("`identity.forward_pai` and `identity.trusted` of the trunk"),
    ),
    ("SendSipOptions", Is("`options` of the trunk")),
    ("MaxConcurrentSessions", Is("`max_calls` of the trunk")),
    (
        "MediaBypass",
        Is("`media = \"direct\"`: media flows between the parties, always"),
    ),
    (
        "BypassMode",
        Nothing("media flows between the parties, always"),
    ),
    (
        "MediaRelayRoutingLocationOverride",
        Nothing("media flows between the parties, always"),
    ),
    (
        "GenerateRingingWhileLocatingUser",
        Nothing("ringing is what the called party says"),
    ),
    (
        "PidfLoSupported",
        Nothing("bodies pass as they are, PIDF-LO included"),
    ),
    ("GatewaySiteId", Is("`site` of the trunk")),
    (
        "GatewaySiteLbrEnabled",
        Is("`location_restricted` of the trunk"),
    ),
    (
        "GatewayLbrEnabledUserOverride",
        Nothing("it is about users, and there are no users here"),
    ),
    (
        "ProxySbc",
        Nothing("calls go to the peer itself; name the proxy in `peers` if they must pass it"),
    ),
    (
        "IPAddressVersion",
        Nothing("the family of the listener decides"),
    ),
    ("Description", Is("nothing; write a comment")),
    (
        "InboundTeamsNumberTranslationRules",
        Is("`called` of a [[normalize]]"),
    ),
    (
        "InboundPstnNumberTranslationRules",
        Is("`calling` of a [[normalize]]"),
    ),
    (
        "OutboundPstnNumberTranslationRules",
        Is("`called` of a [[translate]]"),
    ),
    (
        "OutboundTeamsNumberTranslationRules",
        Is("`calling` of a [[translate]]"),
    ),
    (
        "GatewayRegion",
        Nothing("it is about regions of Microsoft's network"),
    ),
];

/// Properties that every object has.
const COMMON: [&str; 14] = [
    "Identity",
    "Name",
    "Anchor",
    "Element",
    "ScopeClass",
    "TypedIdentity",
    "Priority",
    "XsAnyElements",
    "XsAnyAttributes",
    "PSComputerName",
    "RunspaceId",
    "PSShowComputerName",
    "Key",
    "ConfigId",
];

/// Says of every parameter of a trunk configuration what became of it.
pub fn report(item: &Item, report: &mut Report) {
    say(item, &TRUNK, report);
}

pub fn report_sbc(item: &Item, report: &mut Report) {
    say(item, &SBC, report);
}

fn say(item: &Item, parameters: &'static [(&'static str, Then)], report: &mut Report) {
    for (name, value) in &item.object.properties {
        let known = parameters
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name));
        let Some((name, then)) = known else {
            let alias = name.strip_suffix("List").unwrap_or(name);
            let is_alias = parameters
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(alias));
            let common = COMMON.iter().any(|own| own.eq_ignore_ascii_case(name));
            if !is_alias && !common && *value != super::super::value::Value::Nothing {
                let about = About::of(item, "");
                let why = format!("its parameter {name} is not known here");
                report.add(Level::Question, &about, &why, "see what it was for");
            }
            continue;
        };
        let about = About::of(item, name);
        match then {
            Is(what) => report.add(Level::Note, &about, &format!("is {what}"), ""),
            Nothing(why) => report.add(Level::NotApplicable, &about, why, ""),
            Look(when, why, remedy) => {
                // A number where the export has no names of enumerations; the first is 0.
                let text = item.object.text(name).unwrap_or_default();
                if text.eq_ignore_ascii_case(when) || text == "0" {
                    report.add(Level::Warning, &about, why, remedy);
                } else {
                    report.add(Level::NotApplicable, &about, why, "");
                }
            }
        }
    }
}

/// OPTIONS as the Mediation Server sends them: each minute, down after five misses, up at once.
const OPTIONS: &str = "{ interval = \"60s\", timeout = \"10s\", down_after = 5, up_after = 1 }";

/// Keys of a trunk of the host.
pub fn of_trunk(object: &Object) -> Vec<(&'static str, String)> {
    let on = |name: &str, default: bool| object.flag(name).unwrap_or(default);
    let fast = on("EnableFastFailoverTimer", true);
    let timer = on("EnableSessionTimer", false);
    vec![
        ("options", OPTIONS.to_owned()),
        ("no_progress", quoted(if fast { "10s" } else { "3m" })),
        ("session_timer", quoted(if timer { "1800s" } else { "off" })),
        ("takes_refer", on("EnableReferSupport", true).to_string()),
        (
            "identity",
            identity(on("ForwardPAI", false), on("ForwardCallHistory", false)),
        ),
    ]
}

/// The same for a Session Border Controller of Teams.
pub fn of_sbc(object: &Object) -> Vec<(&'static str, String)> {
    let on = |name: &str, default: bool| object.flag(name).unwrap_or(default);
    let seconds = object
        .number("FailoverTimeSeconds")
        .filter(|it| (1..=180).contains(it));
    let mut keys = vec![
        (
            "no_progress",
            quoted(&format!("{}s", seconds.unwrap_or(10))),
        ),
        (
            "identity",
            identity(on("ForwardPai", false), on("ForwardCallHistory", false)),
        ),
    ];
    if on("SendSipOptions", true) {
        keys.push(("options", OPTIONS.to_owned()));
    }
    if let Some(calls) = object
        .number("MaxConcurrentSessions")
        .filter(|calls| *calls > 0)
    {
        keys.push(("max_calls", calls.to_string()));
    }
    let codes: Vec<u16> = object
        .texts("FailoverResponseCodes")
        .iter()
        .flat_map(|text| text.split([',', ' ']))
        .filter_map(|code| code.trim().parse().ok())
        .filter(|code| (400..700).contains(code))
        .collect();
    if !codes.is_empty() {
        keys.push(("failover_codes", format!("{codes:?}")));
    }
    keys
}

fn identity(pai: bool, history: bool) -> String {
    format!("{{ forward_pai = {pai}, forward_history = {history}, trusted = {pai} }}")
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
