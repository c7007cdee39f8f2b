//! Who is calling, and who must not know (RFC 3323, RFC 3325, RFC 5379).
//!
//! A trusted trunk gets the identity together with the wish for privacy, and is believed to keep
//! it. Towards any other trunk the host fulfils the wish itself: From becomes anonymous,
//! P-Asserted-Identity and what else names the caller stays behind, and what was fulfilled is taken
//! off the Privacy header. Media is not hidden: it does not pass through the host.

use std::fmt::Write as _;

use intertrunk_sip::{Builder, Line, Message, Name, NameAddr, Scheme};

use super::attempt::name_addr;
use super::passing::Crossing;
use crate::trunk::Trunk;

/// Wishes of one Privacy header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wishes(u8);

const ID: u8 = 1;
const USER: u8 = 2;
const HEADER: u8 = 4;
const SESSION: u8 = 8;
const HISTORY: u8 = 16;
const NONE: u8 = 32;
const CRITICAL: u8 = 64;

const WORDS: [(&str, u8); 8] = [
    ("id", ID),
    ("user", USER),
    ("header", HEADER),
    ("session", SESSION),
    ("history", HISTORY),
    ("none", NONE),
    ("critical", CRITICAL),
    // Deviation: no word of RFC 3323; gateways that knew Remote-Party-ID still send it.
    ("full", ID | USER | HEADER),
];

impl Wishes {
    /// What a message asks for; nothing without a Privacy header. Words that nobody knows are
    /// wishes that nobody can fulfil.
    pub(crate) fn of(message: &Message) -> Wishes {
        let mut wishes = 0;
        for value in message.headers(Name::Privacy) {
            for word in value.split(|b| matches!(b, b';' | b',')) {
                let same = |(known, _): &&(&str, u8)| {
                    known.as_bytes().eq_ignore_ascii_case(word.trim_ascii())
                };
                wishes |= WORDS.iter().find(same).map_or(0, |(_, bits)| *bits);
            }
        }
        Wishes(wishes)
    }

    fn asks(self, bits: u8) -> bool {
        // RFC 3323 §4.2: `none` rules out every other wish.
        self.0 & NONE == 0 && self.0 & bits != 0
    }

    /// The caller's asserted identity must stay within the circle of trust (RFC 3325 §7).
    pub(crate) fn hides_identity(self) -> bool {
        self.asks(ID | HEADER)
    }

    /// Where the call has been must not be shown (RFC 7044 §10.1).
    pub(super) fn hides_history(self) -> bool {
        self.asks(HISTORY | HEADER)
    }

    /// A wish that the call must not go without, and that the host cannot fulfil towards a trunk
    /// that is not trusted (RFC 3323 §5).
    pub(super) fn rules_out(self, egress: &Trunk) -> bool {
        !egress.identity.trusted && self.asks(CRITICAL) && self.asks(SESSION)
    }

    /// What is left to do for those behind a trunk that is not trusted.
    fn left(self) -> Wishes {
        match self.0 & (SESSION | NONE) {
            NONE => Wishes(NONE),
            0 => Wishes(0),
            left => Wishes(left | self.0 & CRITICAL),
        }
    }

    /// Writes the Privacy header, if there is anything to ask for.
    fn put(self, b: &mut Builder) {
        let mut text = String::new();
        for (word, bit) in WORDS.iter().filter(|(_, bits)| bits.count_ones() == 1) {
            if self.0 & bit != 0 {
                // Writing to a String cannot fail.
                let _ = write!(text, "{}{word}", if text.is_empty() { "" } else { ";" });
            }
        }
        if !text.is_empty() {
            b.header(Name::Privacy, text);
        }
    }
}

/// Writes what a message asks for in Privacy on its way to another trunk. `withheld` asks for
/// `id` in the policy's name.
pub(super) fn put_privacy(b: &mut Builder, message: &Message, egress: &Trunk, withheld: bool) {
    if !withheld && message.header(Name::Privacy).is_none() {
        return;
    }
    let asked = Wishes::of(message);
    if egress.identity.trusted {
        let withheld = if withheld {
            Wishes((asked.0 & !NONE) | ID)
        } else {
            asked
        };
        return withheld.put(b);
    }
    asked.left().put(b);
}

/// Whether a line speaks of the caller to those who must not know who it is (RFC 3323 §5.3).
pub(super) fn names_the_caller(line: &Line<'_>) -> bool {
    matches!(
        line.name,
        Name::Subject | Name::CallInfo | Name::Organization | Name::ReplyTo
    )
}

/// Identities in one message: a SIP and a telephone URI (RFC 3325 §9.1).
const IDENTITIES_MAX: usize = 2;

/// Writes the P-Asserted-Identity of an answer, or of a request within a dialog, under our host: if
/// its sender is believed and the other side may know.
pub(super) fn put_asserted(b: &mut Builder, message: &Message, crossing: &Crossing<'_>) {
    put_privacy(b, message, crossing.to, false);
    let (from, to) = (crossing.from.identity, crossing.to.identity);
    if message.header(Name::PAssertedIdentity).is_none() || !from.trusted || !to.forward_pai {
        return;
    }
    if !to.trusted && Wishes::of(message).hides_identity() {
        return;
    }
    let values = message.values(Name::PAssertedIdentity);
    let addresses = values.filter_map(|v| NameAddr::parse(v).ok());
    for address in addresses.take(IDENTITIES_MAX) {
        let Ok(uri) = address.uri() else { continue };
        let ours = match (uri.scheme, uri.user) {
            (Scheme::Tel, Some(number)) => format!("tel:{number}"),
            (Scheme::Sip | Scheme::Sips, Some(user)) => format!("sip:{user}@{}", crossing.our_host),
            _ => continue,
        };
        b.header(
            Name::PAssertedIdentity,
            name_addr(address.display.as_deref(), &ours),
        );
    }
}

impl Crossing<'_> {
    /// Who transferred the call, as a message says (RFC 3892), under our host; only if both sides are
    /// trusted. Its parameters name a body of the other side, which stays behind.
    pub(super) fn referred_by(&self, message: &Message) -> Option<String> {
        if !self.from.identity.trusted || !self.to.identity.trusted {
            return None;
        }
        let address = NameAddr::parse(message.header(Name::ReferredBy)?).ok()?;
        let uri = address.uri().ok()?;
        let ours = match (uri.scheme, uri.user) {
            (Scheme::Tel, Some(number)) => format!("tel:{number}"),
            (Scheme::Sip | Scheme::Sips, Some(user)) => format!("sip:{user}@{}", self.our_host),
            (Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Other, _) => return None,
        };
        Some(name_addr(address.display.as_deref(), &ours))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use intertrunk_sip::{Builder, Message};

    use super::{Crossing, Wishes, put_asserted, put_privacy};
    use crate::trunk::Trunk;
    use crate::trunk::tests::trunk;

    fn message(lines: &str) -> Message {
        let text = format!(
            "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
             From: <sip:2@x>;tag=a\r\nTo: <sip:1@x>;tag=b\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{lines}\r\n"
        );
        Message::parse(Bytes::from(text)).expect("a legal answer")
    }

    fn lines(put: impl FnOnce(&mut Builder)) -> Vec<String> {
        let mut b = Builder::response(200, "OK");
        put(&mut b);
        let bytes = b.finish(None);
        let text = String::from_utf8_lossy(&bytes);
        let lines = text
            .lines()
            .skip(1)
            .take_while(|l| !l.starts_with("Content-Length"));
        lines.map(str::to_owned).collect()
    }

    fn trusted(yes: bool) -> Trunk {
        let mut trunk = trunk(1, "to", Vec::new());
        trunk.identity.trusted = yes;
        trunk
    }

    fn privacy(line: &str, trust: bool, withheld: bool) -> String {
        let put = |b: &mut Builder| put_privacy(b, &message(line), &trusted(trust), withheld);
        lines(put).join("|")
    }

    /// RFC 3323 §5: what was fulfilled is not asked for again.
    #[test]
    fn a_wish_goes_on_to_those_who_have_to_fulfil_it() {
        let table = [
            ("", "", ""),
            ("Privacy: id\r\n", "Privacy: id", ""),
            (
                "Privacy: user;id;critical\r\n",
                "Privacy: id;user;critical",
                "",
            ),
            (
                "Privacy: ID ; Session\r\n",
                "Privacy: id;session",
                "Privacy: session",
            ),
            (
                "Privacy: session;critical;id\r\n",
                "Privacy: id;session;critical",
                "Privacy: session;critical",
            ),
            ("Privacy: none\r\n", "Privacy: none", "Privacy: none"),
            ("Privacy: full\r\n", "Privacy: id;user;header", ""),
            (
                "Privacy: history\r\nPrivacy: id\r\n",
                "Privacy: id;history",
                "",
            ),
            ("Privacy: hush\r\n", "", ""),
        ];
        for (asked, to_friends, to_others) in table {
            assert_eq!(privacy(asked, true, false), to_friends, "{asked}");
            assert_eq!(privacy(asked, false, false), to_others, "{asked}");
        }
        assert_eq!(privacy("", true, true), "Privacy: id");
        assert_eq!(privacy("Privacy: none\r\n", true, true), "Privacy: id");
        assert_eq!(
            privacy("Privacy: session\r\n", true, true),
            "Privacy: id;session"
        );
        assert_eq!(privacy("", false, true), "");
    }

    #[test]
    fn a_wish_that_cannot_be_fulfilled_rules_the_trunk_out() {
        let ruled_out = |line: &str, trust| Wishes::of(&message(line)).rules_out(&trusted(trust));
        assert!(ruled_out("Privacy: session;critical\r\n", false));
        assert!(
            !ruled_out("Privacy: session;critical\r\n", true),
            "others may fulfil it"
        );
        assert!(
            !ruled_out("Privacy: session\r\n", false),
            "it may go without"
        );
        assert!(
            !ruled_out("Privacy: id;critical\r\n", false),
            "it is fulfilled"
        );
        assert!(!ruled_out("Privacy: none;session;critical\r\n", false));
    }

    #[test]
    fn whoever_answers_is_named_under_our_host_to_those_who_may_know() {
        let asserted = |more: &str, from: bool, to: bool, forward: bool| {
            let pai = "P-Asserted-Identity: \"B\" <sip:+1206@inside.example:5070;x=y>, \
                       <tel:+1206;phone-context=z>\r\nP-Asserted-Identity: <sip:third@x>\r\n";
            let mut towards = trusted(to);
            towards.identity.forward_pai = forward;
            let crossing = Crossing {
                from: &trusted(from),
                to: &towards,
                our_host: "sbc.example.com:5060",
            };
            lines(|b| put_asserted(b, &message(&format!("{more}{pai}")), &crossing))
        };
        let both = [
            "P-Asserted-Identity: \"B\" <sip:+1206@sbc.example.com:5060>",
            "P-Asserted-Identity: <tel:+1206>",
        ];
        assert_eq!(asserted("", true, true, true), both);
        assert_eq!(asserted("", true, false, true), both);
        assert_eq!(
            asserted("", false, true, true),
            [""; 0],
            "nobody vouches for it"
        );
        assert_eq!(asserted("", true, true, false), [""; 0]);
        assert_eq!(asserted("Privacy: id\r\n", true, false, true), [""; 0]);
        assert_eq!(asserted("Privacy: id\r\n", true, true, true).len(), 3);
    }
}
