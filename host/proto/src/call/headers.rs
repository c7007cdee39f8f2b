//! What is done with each header field of the IANA registry where it would cross from one leg to the
//! other: one line and one reason each. Fields that are not here cross.

use std::sync::LazyLock;

use intertrunk_sip::{Line, Name};

use self::Rule::{Anew, Crosses, Ends, Hostless, Listed, Stays};

/// What is done with a header where it would cross.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// It never crosses.
    Ends,
    /// It always crosses.
    Stays,
    /// It crosses, but not to a trunk whose list is without it.
    Crosses,
    /// It crosses if it names no host, or if the trunk's list has it.
    Hostless,
    /// It crosses only to a trunk whose list has it.
    Listed,
    /// It is written anew.
    Anew,
}

/// The rule for a line's field.
pub(super) fn rule(line: &Line<'_>) -> Rule {
    if line.name != Name::Other {
        return KNOWN[line.name as usize];
    }
    let find = |(name, ..): &(&str, Rule, &str)| {
        let name = name.bytes().map(|b| b.to_ascii_lowercase());
        name.cmp(line.name_bytes.iter().map(u8::to_ascii_lowercase))
    };
    match OTHERS.binary_search_by(find) {
        Ok(place) => OTHERS[place].1,
        Err(_) => Crosses,
    }
}

/// The rules of the headers that have a [`Name`], by its number.
static KNOWN: LazyLock<[Rule; 128]> = LazyLock::new(|| {
    let mut rules = [Crosses; 128];
    for (name, rule, _) in TABLE {
        match Name::of(name.as_bytes()) {
            Name::Other => {}
            known => rules[known as usize] = *rule,
        }
    }
    rules
});

/// The lines of the table without a [`Name`], in order of the alphabet.
static OTHERS: LazyLock<Vec<(&str, Rule, &str)>> = LazyLock::new(|| {
    let unknown = |line: &&(&str, Rule, &str)| Name::of(line.0.as_bytes()) == Name::Other;
    let mut lines: Vec<_> = TABLE.iter().filter(unknown).copied().collect();
    lines.sort_by_key(|(name, ..)| name.to_ascii_lowercase());
    lines
});

/// Name, rule, reason. Headers that are not here cross.
pub(super) const TABLE: &[(&str, Rule, &str)] = &[
    ("Accept", Crosses, "the body's types are between the ends"),
    ("Accept-Contact", Crosses, "a wish about the called side"),
    ("Accept-Encoding", Crosses, "as Accept"),
    ("Accept-Language", Crosses, "as Accept"),
    ("Accept-Resource-Priority", Crosses, "about the call"),
    (
        "Additional-Identity",
        Listed,
        "an identity that nobody vouches for here",
    ),
    (
        "Alert-Info",
        Hostless,
        "how to ring; a URL names a host of the other side",
    ),
    ("Allow", Ends, "what the peer itself can do"),
    ("Allow-Events", Ends, "what the peer itself can do"),
    ("Answer-Mode", Crosses, "about the call"),
    (
        "Attestation-Info",
        Listed,
        "a claim within one operator's network",
    ),
    ("Authentication-Info", Ends, "between the peer and us"),
    ("Authorization", Ends, "the peer's credentials"),
    ("CSeq", Ends, "of the dialog"),
    ("Call-ID", Ends, "of the dialog"),
    (
        "Call-Info",
        Hostless,
        "pages and pictures at the other side's hosts",
    ),
    (
        "Cellular-Network-Info",
        Listed,
        "where in a network the caller is",
    ),
    ("Contact", Ends, "where the peer is"),
    ("Content-Disposition", Stays, "of the body"),
    ("Content-Encoding", Stays, "of the body"),
    ("Content-ID", Stays, "of the body"),
    ("Content-Language", Stays, "of the body"),
    ("Content-Length", Ends, "the framing of one message"),
    ("Content-Type", Stays, "of the body"),
    ("Date", Crosses, "about the call"),
    ("Diversion", Anew, "names hosts of the other side"),
    ("Encryption", Ends, "of the hop; deprecated"),
    (
        "Error-Info",
        Hostless,
        "announcements at the other side's hosts",
    ),
    ("Event", Stays, "what a NOTIFY is about"),
    ("Expires", Crosses, "about the call"),
    ("Feature-Caps", Ends, "what elements of the path can do"),
    ("Flow-Timer", Ends, "of the hop"),
    (
        "From",
        Ends,
        "of the dialog; written by the rules of identity",
    ),
    (
        "Geolocation",
        Stays,
        "where the caller is: for the called side alone",
    ),
    ("Geolocation-Error", Stays, "the answer to Geolocation"),
    ("Geolocation-Routing", Stays, "with Geolocation"),
    ("Hide", Ends, "of the hop; deprecated"),
    ("History-Info", Anew, "names hosts of the other side"),
    (
        "Identity",
        Listed,
        "signs From, To and Date, which are not the same any more",
    ),
    ("Identity-Info", Listed, "with Identity; deprecated"),
    ("In-Reply-To", Ends, "Call-IDs of the other side"),
    ("Info-Package", Stays, "what an INFO is about"),
    ("Intertrunk-Joins", Ends, "between two calls of ours"),
    ("Intertrunk-Party", Ends, "between two calls of ours"),
    ("Join", Ends, "a dialog of the other side"),
    ("MIME-Version", Stays, "of the body"),
    ("Max-Breadth", Ends, "of the hop"),
    ("Max-Forwards", Ends, "counted down by us"),
    ("Min-Expires", Ends, "of a registration"),
    ("Min-SE", Ends, "each leg has its own session timer"),
    ("Organization", Listed, "who the other side is"),
    (
        "Origination-Id",
        Listed,
        "a claim within one operator's network",
    ),
    (
        "P-Access-Network-Info",
        Listed,
        "where in a network the caller is",
    ),
    ("P-Answer-State", Crosses, "about the call"),
    ("P-Asserted-Identity", Anew, "passed by the rules of trust"),
    (
        "P-Asserted-Service",
        Listed,
        "a claim within one operator's network",
    ),
    ("P-Associated-URI", Ends, "of a registration"),
    (
        "P-Called-Party-ID",
        Listed,
        "an address within the other side",
    ),
    ("P-Charge-Info", Listed, "whom one operator charges"),
    (
        "P-Charging-Function-Addresses",
        Ends,
        "hosts of one operator (RFC 7315 §5.6)",
    ),
    ("P-Charging-Vector", Listed, "names the host that made it"),
    (
        "P-DCS-Billing-Info",
        Listed,
        "within one operator's network",
    ),
    ("P-DCS-LAES", Ends, "lawful interception of one operator"),
    ("P-DCS-OSPS", Listed, "within one operator's network"),
    (
        "P-DCS-Redirect",
        Ends,
        "lawful interception of one operator",
    ),
    (
        "P-DCS-Trace-Party-ID",
        Listed,
        "within one operator's network",
    ),
    ("P-Early-Media", Crosses, "about the call"),
    ("P-Media-Authorization", Ends, "of the hop"),
    (
        "P-Preferred-Identity",
        Ends,
        "a wish to the first element that vouches: to us",
    ),
    (
        "P-Preferred-Service",
        Ends,
        "a wish to the first element that vouches: to us",
    ),
    (
        "P-Private-Network-Indication",
        Listed,
        "within one operator's network",
    ),
    ("P-Profile-Key", Listed, "within one operator's network"),
    (
        "P-Refused-URI-List",
        Listed,
        "addresses within the other side",
    ),
    ("P-Served-User", Listed, "within one operator's network"),
    ("P-User-Database", Ends, "a host of one operator"),
    (
        "P-Visited-Network-ID",
        Listed,
        "where in a network the caller is",
    ),
    ("Path", Ends, "of a registration"),
    ("Permission-Missing", Ends, "of the hop"),
    ("Policy-Contact", Ends, "a host of the other side"),
    ("Policy-ID", Ends, "with Policy-Contact"),
    ("Priority", Crosses, "about the call"),
    ("Privacy", Anew, "what is left to do for those behind"),
    ("Proxy-Authenticate", Ends, "between the peer and us"),
    ("Proxy-Authorization", Ends, "the peer's credentials"),
    ("Proxy-Require", Ends, "of the hop"),
    ("RAck", Ends, "of the dialog"),
    ("RSeq", Ends, "of the dialog"),
    ("Reason", Crosses, "why"),
    ("Record-Route", Ends, "of the hop"),
    ("Recv-Info", Stays, "which INFO packages the ends know"),
    ("Refer-Events-At", Ends, "a host of the other side"),
    (
        "Refer-Sub",
        Ends,
        "of one transfer, which is carried out leg by leg",
    ),
    ("Refer-To", Ends, "a target as the other side sees it"),
    (
        "Referred-By",
        Anew,
        "who transferred the call, between trusted trunks",
    ),
    ("Reject-Contact", Crosses, "a wish about the called side"),
    ("Relayed-Charge", Listed, "whom one operator charges"),
    (
        "Remote-Party-ID",
        Ends,
        "an identity that nobody vouches for here",
    ),
    ("Replaces", Ends, "a dialog of the other side"),
    (
        "Reply-To",
        Listed,
        "an address within the other side, past us",
    ),
    ("Request-Disposition", Crosses, "a wish about the call"),
    ("Require", Ends, "what the peer itself can do"),
    ("Resource-Priority", Crosses, "about the call"),
    ("Response-Key", Ends, "of the hop; deprecated"),
    ("Response-Source", Listed, "a host of the other side"),
    ("Restoration-Info", Ends, "within one operator's network"),
    ("Retry-After", Stays, "when to ask again"),
    ("Route", Ends, "of the hop"),
    ("SIP-ETag", Ends, "of a publication"),
    ("SIP-If-Match", Ends, "of a publication"),
    ("Security-Client", Ends, "of the hop"),
    ("Security-Server", Ends, "of the hop"),
    ("Security-Verify", Ends, "of the hop"),
    ("Server", Ends, "the peer's software"),
    (
        "Service-Interact-Info",
        Listed,
        "within one operator's network",
    ),
    ("Service-Route", Ends, "of a registration"),
    (
        "Session-Expires",
        Ends,
        "each leg has its own session timer",
    ),
    (
        "Session-ID",
        Crosses,
        "made to cross, and says nothing of either side (RFC 7989)",
    ),
    ("Subject", Crosses, "about the call"),
    ("Subscription-State", Stays, "what a NOTIFY is about"),
    ("Supported", Ends, "what the peer itself can do"),
    ("Suppress-If-Match", Ends, "of a subscription"),
    ("Target-Dialog", Ends, "a dialog of the other side"),
    ("Timestamp", Ends, "of the hop"),
    ("To", Ends, "of the dialog"),
    ("Trigger-Consent", Ends, "of the hop"),
    ("Unsupported", Ends, "what the peer itself can do"),
    ("User-Agent", Ends, "the peer's software"),
    ("User-to-User", Crosses, "between the ends"),
    ("Via", Ends, "of the hop"),
    ("WWW-Authenticate", Ends, "between the peer and us"),
    ("Warning", Ends, "names the host that warns"),
    ("X-Hop-Mark", Anew, "our own mark, with this hop added"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use intertrunk_sip::Name;

    use super::{Rule, TABLE};

    #[test]
    fn the_table_names_each_header_once() {
        let names: BTreeSet<_> = TABLE.iter().map(|(n, ..)| n.to_ascii_lowercase()).collect();
        assert_eq!(names.len(), TABLE.len());
        let known: Vec<_> = Name::all()
            .filter(|n| !names.contains(&n.as_str().to_ascii_lowercase()))
            .collect();
        assert_eq!(known, [], "a header with a name has a reason");
    }

    /// `docs/headers.md` is this table.
    #[test]
    fn the_documentation_has_the_same_table() {
        let mut text = String::new();
        for (name, rule, reason) in TABLE {
            let word = match rule {
                Rule::Ends => "ends",
                Rule::Stays => "crosses always",
                Rule::Crosses => "crosses",
                Rule::Hostless => "crosses if it names no host",
                Rule::Listed => "only if listed",
                Rule::Anew => "written anew",
            };
            writeln!(text, "| {name} | {word} | {reason} |").expect("a String takes every char");
        }
        let page = include_str!("../../../../docs/headers.md");
        let (_, table) = page
            .split_once("|---|---|---|\n")
            .expect("the page has a table");
        assert_eq!(table, text);
    }
}
