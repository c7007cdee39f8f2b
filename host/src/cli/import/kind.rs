//! Which cmdlet an object is from: told by its type, and where an export has no types by the
//! properties that only such objects have.

use super::value::Object;

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// `Get-CsTrunkConfiguration`.
    TrunkConfiguration,
    /// `Get-CsTrunk`, `Get-CsPstnGateway`, `Get-CsService -PstnGateway`.
    Gateway,
    /// `Get-CsVoiceRoute`, `Get-CsOnlineVoiceRoute`.
    VoiceRoute,
    /// `Get-CsPstnUsage`, `Get-CsOnlinePstnUsage`.
    PstnUsage,
    /// `Get-CsDialPlan`, `Get-CsTenantDialPlan`.
    DialPlan,
    /// `Get-CsVoiceNormalizationRule`.
    NormalizationRule,
    /// `Get-CsOutboundTranslationRule`.
    CalledRule,
    /// `Get-CsOutboundCallingNumberTranslationRule`.
    CallingRule,
    /// `Get-CsSipResponseCodeTranslationRule`.
    ResponseRule,
    /// `Get-CsUnassignedNumber`.
    Unassigned,
    /// `Get-CsNetworkSite`, `Get-CsTenantNetworkSite`.
    NetworkSite,
    /// `Get-CsRoutingConfiguration`.
    RoutingConfiguration,
    /// `Get-CsLocationPolicy`, `Get-CsTeamsEmergencyCallRoutingPolicy`.
    LocationPolicy,
    /// `Get-CsEmergencyNumber`.
    EmergencyNumber,
    /// `Get-CsStaticRoutingConfiguration`.
    StaticRouting,
    /// `Get-CsVoiceTestConfiguration`.
    VoiceTest,
    /// `Get-CsVoicePolicy`, `Get-CsVoiceRoutingPolicy`, `Get-CsOnlineVoiceRoutingPolicy`.
    VoicePolicy,
    /// `Get-CsOnlinePSTNGateway`.
    OnlineGateway,
    /// `Get-CsTeamsTranslationRule`.
    TeamsRule,
    /// `Get-CsInboundBlockedNumberPattern`.
    Blocked,
    /// `Get-CsInboundExemptNumberPattern`.
    Exempt,
    /// `Get-CsTeamsUnassignedNumberTreatment`.
    TeamsUnassigned,
}

/// Last part of the type's name, where it alone decides.
const TYPES: [(&str, Kind); 27] = [
    ("TrunkConfiguration", Kind::TrunkConfiguration),
    ("PstnGateway", Kind::Gateway),
    ("DisplayPstnGateway", Kind::Gateway),
    ("Trunk", Kind::Gateway),
    ("DisplayTrunk", Kind::Gateway),
    ("Route", Kind::VoiceRoute),
    ("OnlineRoute", Kind::VoiceRoute),
    ("PstnUsages", Kind::PstnUsage),
    ("OnlinePstnUsages", Kind::PstnUsage),
    ("LocationProfile", Kind::DialPlan),
    ("TenantDialPlan", Kind::DialPlan),
    ("NormalizationRule", Kind::NormalizationRule),
    ("OutboundTranslationRule", Kind::CalledRule),
    ("OutboundCallingNumberTranslationRule", Kind::CallingRule),
    ("SipResponseCodeTranslationRule", Kind::ResponseRule),
    ("UnassignedNumber", Kind::Unassigned),
    ("RoutingConfiguration", Kind::RoutingConfiguration),
    ("LocationPolicy", Kind::LocationPolicy),
    ("EmergencyNumber", Kind::EmergencyNumber),
    ("VoiceTestConfiguration", Kind::VoiceTest),
    ("VoiceRoutingPolicy", Kind::VoicePolicy),
    ("OnlineVoiceRoutingPolicy", Kind::VoicePolicy),
    ("TrunkConfig", Kind::OnlineGateway),
    ("PstnTranslationRule", Kind::TeamsRule),
    ("InboundBlockedNumberPattern", Kind::Blocked),
    ("InboundExemptNumberPattern", Kind::Exempt),
    ("UnassignedNumberTreatment", Kind::TeamsUnassigned),
];

/// Properties of which an object of this kind has all; the first that fits is it.
const SIGNS: [(&[&str], Kind); 21] = [
    (&["MaxEarlyDialogs", "SRTPMode"], Kind::TrunkConfiguration),
    (&["Fqdn", "SipSignalingPort"], Kind::OnlineGateway),
    (&["Fqdn", "SipSignallingPort"], Kind::OnlineGateway),
    (&["NumberPattern", "PstnGatewayList"], Kind::VoiceRoute),
    (
        &["NumberPattern", "OnlinePstnGatewayList"],
        Kind::VoiceRoute,
    ),
    (&["NormalizationRules", "SimpleName"], Kind::DialPlan),
    (
        &["Pattern", "Translation", "IsInternalExtension"],
        Kind::NormalizationRule,
    ),
    (
        &["ReceivedResponseCode", "TranslatedResponseCode"],
        Kind::ResponseRule,
    ),
    (&["NumberRangeStart", "NumberRangeEnd"], Kind::Unassigned),
    (&["Pattern", "TargetType", "Target"], Kind::TeamsUnassigned),
    (&["NetworkSiteID", "NetworkRegionID"], Kind::NetworkSite),
    (
        &["EnableLocationBasedRouting", "Route"],
        Kind::RoutingConfiguration,
    ),
    (&["CallViaWorkCallerId"], Kind::RoutingConfiguration),
    (&["EmergencyDialString", "PstnUsage"], Kind::LocationPolicy),
    (&["DialString", "DialMask"], Kind::EmergencyNumber),
    (
        &["DialedNumber", "ExpectedTranslatedNumber"],
        Kind::VoiceTest,
    ),
    (&["OnlinePstnUsages"], Kind::VoicePolicy),
    (&["PstnUsages"], Kind::VoicePolicy),
    (&["MediationServer", "Routable"], Kind::Gateway),
    (&["SiteId", "PoolFqdn"], Kind::Gateway),
    (&["GatewaySipClientTcpPort"], Kind::Gateway),
];

impl Kind {
    /// What this object is. The name of its file is asked only where two kinds have the very same
    /// properties and the export has no types.
    pub fn of(object: &Object, file: &str) -> Option<Kind> {
        if let Some((_, kind)) = TYPES.iter().find(|(name, _)| object.is_a(name)) {
            return Some(*kind);
        }
        let has_all = |names: &[&str]| names.iter().all(|name| object.has(name));
        if let Some((_, kind)) = SIGNS.iter().find(|(names, _)| has_all(names)) {
            return Some(*kind);
        }
        if object.has("Route") && object.is_a("RoutingSettings")
            || object.objects("Route").iter().any(|it| it.has("MatchUri"))
        {
            return Some(Kind::StaticRouting);
        }
        let single = object.properties.len() <= 6;
        if object.has("Usage") && object.has("Identity") && single {
            return Some(Kind::PstnUsage);
        }
        let file = file.to_ascii_lowercase();
        if has_all(&["Pattern", "Translation"]) {
            let scoped = object.has("Priority");
            return Some(match (scoped, file.contains("calling")) {
                (false, _) => Kind::TeamsRule,
                (true, true) => Kind::CallingRule,
                (true, false) => Kind::CalledRule,
            });
        }
        if has_all(&["Pattern", "Enabled"]) {
            let exempt = file.contains("exempt");
            return Some(if exempt { Kind::Exempt } else { Kind::Blocked });
        }
        None
    }

    /// What it is called, for people: the cmdlet without its verb.
    pub fn noun(self) -> &'static str {
        let cmdlet = self.cmdlet();
        cmdlet.strip_prefix("Get-").unwrap_or(cmdlet)
    }

    /// The cmdlet, for people.
    pub fn cmdlet(self) -> &'static str {
        match self {
            Kind::TrunkConfiguration => "Get-CsTrunkConfiguration",
            Kind::Gateway => "Get-CsTrunk",
            Kind::VoiceRoute => "Get-CsVoiceRoute",
            Kind::PstnUsage => "Get-CsPstnUsage",
            Kind::DialPlan => "Get-CsDialPlan",
            Kind::NormalizationRule => "Get-CsVoiceNormalizationRule",
            Kind::CalledRule => "Get-CsOutboundTranslationRule",
            Kind::CallingRule => "Get-CsOutboundCallingNumberTranslationRule",
            Kind::ResponseRule => "Get-CsSipResponseCodeTranslationRule",
            Kind::Unassigned => "Get-CsUnassignedNumber",
            Kind::NetworkSite => "Get-CsNetworkSite",
            Kind::RoutingConfiguration => "Get-CsRoutingConfiguration",
            Kind::LocationPolicy => "Get-CsLocationPolicy",
            Kind::EmergencyNumber => "Get-CsEmergencyNumber",
            Kind::StaticRouting => "Get-CsStaticRoutingConfiguration",
            Kind::VoiceTest => "Get-CsVoiceTestConfiguration",
            Kind::VoicePolicy => "Get-CsVoiceRoutingPolicy",
            Kind::OnlineGateway => "Get-CsOnlinePSTNGateway",
            Kind::TeamsRule => "Get-CsTeamsTranslationRule",
            Kind::Blocked => "Get-CsInboundBlockedNumberPattern",
            Kind::Exempt => "Get-CsInboundExemptNumberPattern",
            Kind::TeamsUnassigned => "Get-CsTeamsUnassignedNumberTreatment",
        }
    }
}
