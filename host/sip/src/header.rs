//! Names of header fields (RFC 3261 §20 and extensions): case-insensitive, some with a compact form
//! (§7.3.3). Knows which fields may stand only once; never looks at a value.

use std::fmt;

macro_rules! names {
    ($($variant:ident $text:literal $(/ $compact:literal)? $($once:ident)?;)*) => {
        /// A well-known header field, or `Other` for all the rest.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is the header field that it is named after")]
        pub enum Name {
            $($variant,)*
            /// A field that has no name here; its bytes tell.
            Other,
        }

        const ALL: &[Name] = &[$(Name::$variant),*];
        const TEXT: &[&str] = &[$($text),*];
        const ONCE: u128 = 0 $($(| { stringify!($once); Name::$variant.bit() })?)*;

        const fn compact(letter: u8) -> Name {
            match letter {
                $($($compact => Name::$variant,)?)*
                _ => Name::Other,
            }
        }
    };
}

// `once`: a repetition makes the message ambiguous, and it is refused. Fields that only inform
// (User-Agent, Server, Subject, Date) may be repeated by careless peers without harm.
names! {
    Via "Via" / b'v';
    From "From" / b'f' once;
    To "To" / b't' once;
    CallId "Call-ID" / b'i' once;
    CSeq "CSeq" once;
    Contact "Contact" / b'm';
    MaxForwards "Max-Forwards" once;
    Route "Route";
    RecordRoute "Record-Route";
    ContentLength "Content-Length" / b'l' once;
    ContentType "Content-Type" / b'c' once;
    ContentEncoding "Content-Encoding" / b'e';
    ContentDisposition "Content-Disposition" once;
    ContentLanguage "Content-Language";
    Require "Require";
    ProxyRequire "Proxy-Require";
    Supported "Supported" / b'k';
    Unsupported "Unsupported";
    Allow "Allow";
    Accept "Accept";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    Expires "Expires" once;
    MinExpires "Min-Expires" once;
    UserAgent "User-Agent";
    Server "Server";
    Subject "Subject" / b's';
    Date "Date";
    Warning "Warning";
    RetryAfter "Retry-After" once;
    Reason "Reason";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    PEarlyMedia "P-Early-Media";
    PChargingVector "P-Charging-Vector";
    RemotePartyId "Remote-Party-ID";
    Privacy "Privacy";
    Diversion "Diversion";
    HistoryInfo "History-Info";
    ReferTo "Refer-To" / b'r' once;
    ReferredBy "Referred-By" / b'b' once;
    Replaces "Replaces" once;
    SessionExpires "Session-Expires" / b'x' once;
    MinSe "Min-SE" once;
    RSeq "RSeq" once;
    RAck "RAck" once;
    Event "Event" / b'o' once;
    SubscriptionState "Subscription-State" once;
    AllowEvents "Allow-Events" / b'u';
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    WwwAuthenticate "WWW-Authenticate";
    ProxyAuthenticate "Proxy-Authenticate";
    AuthenticationInfo "Authentication-Info";
    Path "Path";
    ServiceRoute "Service-Route";
    Identity "Identity" / b'y';
    Organization "Organization" once;
    Priority "Priority" once;
    AlertInfo "Alert-Info";
    CallInfo "Call-Info";
    ErrorInfo "Error-Info";
    InReplyTo "In-Reply-To";
    ReplyTo "Reply-To" once;
    Timestamp "Timestamp" once;
    MimeVersion "MIME-Version" once;
    UserToUser "User-to-User";
    AcceptContact "Accept-Contact" / b'a';
    RejectContact "Reject-Contact" / b'j';
    RequestDisposition "Request-Disposition" / b'd';
    HopMark "X-Hop-Mark";
}

const SLOTS: usize = 256;

/// The known names by hash, a taken slot passing to the next. `Other` is a free slot.
static BY_HASH: [Name; SLOTS] = {
    let mut table = [Name::Other; SLOTS];
    let mut i = 0;
    while i < ALL.len() {
        let mut slot = hash(TEXT[i].as_bytes());
        while !matches!(table[slot], Name::Other) {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = ALL[i];
        i += 1;
    }
    table
};

/// Length, first and last letter tell nearly all names apart; case does not count.
const fn hash(name: &[u8]) -> usize {
    match name {
        [first, .., last] => {
            let (first, last) = (*first | 0x20, *last | 0x20);
            (name.len() * 37 + first as usize * 11 + last as usize * 3) % SLOTS
        }
        _ => 0,
    }
}

impl Name {
    /// The field that these bytes name, in any case, long or compact.
    pub fn of(name: &[u8]) -> Name {
        if let [letter] = name {
            return compact(letter.to_ascii_lowercase());
        }
        let mut slot = hash(name);
        while BY_HASH[slot] != Name::Other {
            let known = BY_HASH[slot];
            let text = known.as_str().as_bytes();
            // Nearly everybody writes the canonical form, and equality is the cheaper question.
            if text == name || text.eq_ignore_ascii_case(name) {
                return known;
            }
            slot = (slot + 1) % SLOTS;
        }
        Name::Other
    }

    /// All fields that have a name here.
    pub fn all() -> impl Iterator<Item = Name> {
        ALL.iter().copied()
    }

    /// The canonical long name; empty for `Other`.
    pub fn as_str(self) -> &'static str {
        TEXT.get(self as usize).copied().unwrap_or("")
    }

    /// Whether RFC 3261 §7.3.1 forbids the field to stand twice.
    pub(crate) fn is_single(self) -> bool {
        ONCE & self.bit() != 0
    }

    /// The name as a one-element set.
    pub(crate) const fn bit(self) -> u128 {
        1 << self as u8
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, Name};

    #[test]
    fn every_name_is_found_in_any_case() {
        for name in ALL {
            assert_eq!(Name::of(name.as_str().as_bytes()), *name);
            assert_eq!(
                Name::of(name.as_str().to_ascii_uppercase().as_bytes()),
                *name
            );
            assert_eq!(
                Name::of(name.as_str().to_ascii_lowercase().as_bytes()),
                *name
            );
        }
        for other in [
            &b""[..],
            b"C%6Fntact",
            b"Vi",
            b"X-Anything",
            b"z",
            &[b'v'; 70_000],
        ] {
            assert_eq!(Name::of(other), Name::Other);
        }
    }

    #[test]
    fn compact_names_are_the_registered_ones() {
        let pairs = [
            ("a", Name::AcceptContact),
            ("b", Name::ReferredBy),
            ("c", Name::ContentType),
            ("d", Name::RequestDisposition),
            ("e", Name::ContentEncoding),
            ("f", Name::From),
            ("i", Name::CallId),
            ("j", Name::RejectContact),
            ("k", Name::Supported),
            ("l", Name::ContentLength),
            ("m", Name::Contact),
            ("o", Name::Event),
            ("r", Name::ReferTo),
            ("s", Name::Subject),
            ("t", Name::To),
            ("u", Name::AllowEvents),
            ("v", Name::Via),
            ("x", Name::SessionExpires),
            ("y", Name::Identity),
        ];
        for (letter, name) in pairs {
            assert_eq!(Name::of(letter.as_bytes()), name);
            assert_eq!(Name::of(letter.to_ascii_uppercase().as_bytes()), name);
        }
    }

    #[test]
    fn lists_may_repeat_and_single_values_may_not() {
        assert!(
            Name::CSeq.is_single() && Name::From.is_single() && Name::ContentLength.is_single()
        );
        assert!(!Name::Via.is_single() && !Name::Contact.is_single() && !Name::Other.is_single());
    }
}
