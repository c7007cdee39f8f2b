//! Which headers cross from one leg to the other.
//!
//! A B2BUA ends every header that speaks of a hop, a dialog, or of the peer itself, and passes what
//! speaks of the call: `headers` has the table. Unknown headers pass: they are between the two ends;
//! a trunk with a list (`pass_headers`) takes only those of its list.
//!
//! Headers that cross in words of our own are written elsewhere: identity by `privacy`, the history
//! of the call by `history`, the mark of hops by `crate::hops`.

use std::borrow::Cow;

use intertrunk_sip::{Builder, Line, Message, Method, Name};

use super::headers::{Rule, rule};
use super::privacy::put_asserted;
use crate::trunk::Trunk;

/// Methods that we take within a dialog or outside of one.
const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, MESSAGE, NOTIFY, REFER";

/// Extensions that we know with every trunk: session timers, and dialogs that take another's place.
pub(super) const SUPPORTED: &str = "timer, replaces";

/// Methods that we take from the peers of a trunk, within a call or outside of one.
pub(crate) fn allow(trunk: &Trunk, within: bool) -> Cow<'static, [u8]> {
    let taken = |word: &&str| {
        let method = Method::parse(word.as_bytes());
        method.is_some_and(|method| trunk.takes(&method, within))
    };
    match trunk.methods.is_none() && trunk.transfers.may_refer {
        true => Cow::Borrowed(ALLOW.as_bytes()),
        false => {
            let words: Vec<&str> = ALLOW.split(", ").filter(taken).collect();
            Cow::Owned(words.join(", ").into_bytes())
        }
    }
}

/// Whether a line of a caller's INVITE is about the caller, whomever it is connected to.
pub(crate) fn is_about_caller(name: Name) -> bool {
    matches!(
        name,
        Name::PAssertedIdentity | Name::Privacy | Name::Priority | Name::HopMark | Name::Other
    )
}

/// From which trunk to which a message crosses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossing<'a> {
    pub(super) from: &'a Trunk,
    pub(super) to: &'a Trunk,
    /// Host and port by which the receiving side knows us.
    pub(super) our_host: &'a str,
}

impl Crossing<'_> {
    /// Copies the headers of an answer, or of a request within a dialog, and says who is there if
    /// the sender asserts it; see [`Crossing::put_lines`].
    pub(super) fn put(&self, b: &mut Builder, message: &Message, skip: impl Fn(&Line<'_>) -> bool) {
        self.put_lines(b, message, skip);
        put_asserted(b, message, self);
    }

    /// Copies to `b` the headers that cross. `skip` says which of those stay behind all the same.
    pub(super) fn put_lines(
        &self,
        b: &mut Builder,
        message: &Message,
        skip: impl Fn(&Line<'_>) -> bool,
    ) {
        let list = self.to.pass_headers.as_deref();
        for line in message.lines() {
            if crosses(&line, list) && !skip(&line) {
                b.raw_line(line.raw);
            }
        }
    }
}

fn crosses(line: &Line<'_>, list: Option<&[String]>) -> bool {
    let listed = || list.is_some_and(|names| names.iter().any(|name| is_named(line, name)));
    match rule(line) {
        Rule::Ends | Rule::Anew => false,
        Rule::Stays => true,
        Rule::Crosses => list.is_none() || listed(),
        Rule::Hostless => (list.is_none() && !names_a_host(line.value)) || listed(),
        Rule::Listed => listed(),
    }
}

/// Whether a line is of the field with this name, long or compact, in any case.
pub(super) fn is_named(line: &Line<'_>, name: &str) -> bool {
    match line.name {
        Name::Other => line.name_bytes.eq_ignore_ascii_case(name.as_bytes()),
        known => Name::of(name.as_bytes()) == known,
    }
}

/// Whether a value has a URI that leads to a host: anything but `urn:` and `data:`.
fn names_a_host(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = memchr_lt(rest) {
        rest = &rest[at + 1..];
        let harmless = [&b"urn:"[..], b"data:"];
        let starts = |s: &&[u8]| {
            rest.get(..s.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(s))
        };
        if !harmless.iter().any(starts) {
            return true;
        }
    }
    // Every URI of these headers stands in brackets; one that does not is not trusted either.
    value.contains(&b'@') || value.windows(3).any(|w| w == b"://")
}

fn memchr_lt(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'<')
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use intertrunk_sip::{Builder, Message};

    use super::super::headers::TABLE;
    use super::{Crossing, Rule};
    use crate::trunk::tests::trunk;

    /// Those that a message has already, or that cannot have any value.
    const ESSENTIAL: [&str; 7] = [
        "CSeq",
        "Call-ID",
        "Contact",
        "Content-Length",
        "From",
        "To",
        "Via",
    ];

    /// The names of the lines that cross to a trunk with this list.
    fn crossed(lines: &str, list: Option<&[&str]>) -> String {
        let text = format!(
            "INFO sip:1@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
             From: <sip:2@x>;tag=a\r\nTo: <sip:1@x>;tag=b\r\nCall-ID: 1\r\nCSeq: 1 INFO\r\n{lines}\r\n"
        );
        let message = Message::parse(Bytes::from(text)).expect("a legal INFO");
        let mut to = trunk(1, "to", Vec::new());
        to.pass_headers = list.map(|names| names.iter().map(|n| (*n).to_owned()).collect());
        let crossing = Crossing {
            from: &trunk(0, "from", Vec::new()),
            to: &to,
            our_host: "sbc.example.com",
        };
        let mut b = Builder::response(200, "OK");
        crossing.put_lines(&mut b, &message, |_| false);
        let bytes = b.finish(None);
        let text = String::from_utf8_lossy(&bytes);
        let names = text.lines().skip(1).filter_map(|l| l.split_once(": "));
        let names: Vec<_> = names.map(|(name, _)| name).collect();
        names
            .join(" ")
            .replace(" Content-Length", "")
            .replace("Content-Length", "")
    }

    #[test]
    fn each_line_of_the_table_is_obeyed() {
        for (name, rule, reason) in TABLE {
            assert!(!reason.is_empty(), "{name}");
            if ESSENTIAL.contains(name) {
                assert_eq!(*rule, Rule::Ends, "{name}");
                continue;
            }
            let line = format!("{}: 1\r\n", name.to_ascii_uppercase());
            let upper = name.to_ascii_uppercase();
            let (free, listed, unlisted) = (
                crossed(&line, None),
                crossed(&line, Some(&[name])),
                crossed(&line, Some(&["X-Y"])),
            );
            let when = |yes| if yes { &*upper } else { "" };
            let expected = match rule {
                Rule::Ends | Rule::Anew => [false; 3],
                Rule::Stays => [true; 3],
                Rule::Crosses | Rule::Hostless => [true, true, false],
                Rule::Listed => [false, true, false],
            };
            assert_eq!([&*free, &*listed, &*unlisted], expected.map(when), "{name}");
        }
    }

    #[test]
    fn unknown_headers_cross_where_no_list_is() {
        let lines = "X-Account: 1\r\nSubject: s\r\nx-other: 2\r\nContent-Type: a/b\r\ns: t\r\n";
        let all = "X-Account Subject x-other Content-Type s";
        assert_eq!(crossed(lines, None), all);
        let some = crossed(lines, Some(&["x-ACCOUNT", "s"]));
        assert_eq!(some, "X-Account Subject Content-Type s");
        assert_eq!(crossed(lines, Some(&[])), "Content-Type");
    }

    #[test]
    fn a_way_to_ring_crosses_unless_it_names_a_host() {
        for harmless in [
            "<urn:alert:service:normal>",
            "<URN:x>;y, <data:,x>",
            "info=alert-internal",
        ] {
            assert_eq!(
                crossed(&format!("Alert-Info: {harmless}\r\n"), None),
                "Alert-Info"
            );
        }
        for host in [
            "<http://www.example.com/sound.wav>",
            "<urn:x>, <https://10.0.0.1/a>",
            "<sip:moh@inside.example>",
            "http://inside/x",
            "sip:moh@inside",
        ] {
            let line = format!("Alert-Info: {host}\r\n");
            assert_eq!(crossed(&line, None), "");
            assert_eq!(crossed(&line, Some(&["alert-info"])), "Alert-Info");
        }
    }
}
