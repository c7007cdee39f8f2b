//! Why a call ends, as Q.850 causes and as Reason headers (RFC 3326, RFC 6432).
//!
//! What one side said of it is told to the other side; where nothing was said, the host says what it
//! knows. Owns the mapping of SIP codes to causes, and no state.

use std::fmt;

use intertrunk_sip::{Builder, Message, Name};

/// Why the host ends a leg, or gives up an attempt: what its BYE or CANCEL says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Because {
    /// Nothing is known.
    #[default]
    Unsaid,
    /// Another attempt of the same call was answered (RFC 3326 §3.1): no missed call.
    Elsewhere,
    /// The call failed with this SIP code.
    Code(u16),
    /// Q.850 cause.
    Cause(u16),
    /// The Reason values of the side that gave up.
    Said(Box<[Box<[u8]>]>),
}

/// Reason values of one message that are passed on; the rest is not.
const VALUES_MAX: usize = 4;

impl Because {
    /// What a CANCEL or BYE says of its reason, if it says anything.
    pub(super) fn said_in(message: &Message) -> Option<Because> {
        message.header(Name::Reason)?;
        let values = message.values(Name::Reason).take(VALUES_MAX);
        Some(Because::Said(values.map(Into::into).collect()))
    }

    /// The same, for a BYE, which always says something.
    pub(super) fn or_normal(&self) -> Because {
        match self {
            Because::Unsaid => Because::Cause(16),
            known => known.clone(),
        }
    }

    /// Writes the Reason header.
    pub(super) fn put(&self, b: &mut Builder) {
        match self {
            Because::Unsaid => {}
            Because::Elsewhere => {
                b.header(
                    Name::Reason,
                    "SIP;cause=200;text=\"Call completed elsewhere\"",
                );
            }
            Because::Code(code) => {
                let text = intertrunk_sip::reason_phrase(*code);
                b.header_fmt(
                    Name::Reason,
                    format_args!("SIP;cause={code};text=\"{text}\""),
                );
            }
            Because::Cause(cause) => {
                b.header_fmt(Name::Reason, format_args!("{}", Q850(*cause)));
            }
            Because::Said(values) => {
                for value in values {
                    b.header(Name::Reason, value);
                }
            }
        }
    }
}

/// A cause as a Reason value, with its usual words.
pub(crate) struct Q850(pub(crate) u16);

impl fmt::Display for Q850 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Q.850;cause={}", self.0)?;
        match text_of(self.0) {
            "" => Ok(()),
            text => write!(f, ";text=\"{text}\""),
        }
    }
}

/// The name of a cause (ITU-T Q.850 §2.2.7); empty for those that hardly anybody sends.
fn text_of(cause: u16) -> &'static str {
    match cause {
        1 => "Unallocated number",
        2 | 3 => "No route to destination",
        16 => "Normal call clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "No answer from user",
        20 => "Subscriber absent",
        21 => "Call rejected",
        22 => "Number changed",
        25 => "Exchange routing error",
        27 => "Destination out of order",
        28 => "Invalid number format",
        31 => "Normal, unspecified",
        34 => "No circuit available",
        38 => "Network out of order",
        41 => "Temporary failure",
        42 => "Switching equipment congestion",
        47 => "Resource unavailable",
        63 => "Service or option not available",
        79 => "Service or option not implemented",
        88 => "Incompatible destination",
        102 => "Recovery on timer expiry",
        111 => "Protocol error",
        127 => "Interworking, unspecified",
        _ => "",
    }
}

/// The Q.850 cause that stands for a SIP code (RFC 3398 §8.2.6.1).
pub(crate) fn q850_of(code: u16) -> u16 {
    match code {
        200..=299 => 16,
        404 | 485 | 604 => 1,
        486 | 600 => 17,
        480 => 18,
        401 | 402 | 403 | 407 | 603 => 21,
        410 => 22,
        484 => 28,
        487 => 16,
        408 | 504 => 102,
        400 | 481 | 500 | 503 => 41,
        502 => 38,
        482 | 483 => 25,
        405 => 63,
        406 | 415 | 488 | 501 | 606 => 79,
        _ => 127,
    }
}

/// The Q.850 cause in a Reason header (RFC 3326), if there is one.
pub(super) fn q850_in(message: &Message) -> Option<u16> {
    message.values(Name::Reason).find_map(|value| {
        let text = std::str::from_utf8(value).ok()?;
        let (protocol, params) = text.split_once(';')?;
        protocol
            .trim()
            .eq_ignore_ascii_case("Q.850")
            .then_some(())?;
        let cause = params.split(';').filter_map(|p| p.split_once('='));
        cause
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("cause"))
            .find_map(|(_, number)| number.trim().parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use intertrunk_sip::{Builder, Message, Method, Name};

    use super::{Because, Q850, q850_in, q850_of};

    #[test]
    fn causes_stand_for_codes() {
        let table: [(u16, &[u16]); 14] = [
            (1, &[404, 485, 604]),
            (16, &[200, 487]),
            (17, &[486, 600]),
            (18, &[480]),
            (21, &[401, 402, 403, 407, 603]),
            (22, &[410]),
            (25, &[482, 483]),
            (28, &[484]),
            (38, &[502]),
            (41, &[400, 481, 503]),
            (63, &[405]),
            (79, &[406, 415, 501]),
            (102, &[408, 504]),
            (127, &[413, 414, 416, 420, 421, 423, 505, 513, 699]),
        ];
        for (cause, codes) in table {
            for code in codes {
                assert_eq!(q850_of(*code), cause, "{code}");
            }
        }
    }

    #[test]
    fn a_reason_names_a_cause() {
        let cause = |lines: &str| {
            let text = format!(
                "BYE sip:1@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:2@x>;tag=a\r\nTo: <sip:1@x>;tag=b\r\n\
                 Call-ID: 1\r\nCSeq: 1 BYE\r\n{lines}Content-Length: 0\r\n\r\n"
            );
            q850_in(&Message::parse(Bytes::from(text)).expect("a legal BYE"))
        };
        assert_eq!(cause(""), None);
        assert_eq!(cause("Reason: Q.850;cause=17;text=\"a, b\"\r\n"), Some(17));
        assert_eq!(
            cause("Reason: q.850 ; text=\"x\" ; Cause = 34\r\n"),
            Some(34)
        );
        assert_eq!(cause("Reason: SIP;cause=200\r\n"), None, "that is a code");
        let both = "Reason: SIP;cause=200;text=\"Q.850;cause=3\", Q.850;cause=31\r\n";
        assert_eq!(cause(both), Some(31));
        let two = "Reason: SIP;cause=200\r\nReason: Q.850;cause=19\r\n";
        assert_eq!(cause(two), Some(19));
        for nonsense in ["Q.850", "Q.850;text=x", "Q.850;cause=", "Q.850;cause=70000"] {
            assert_eq!(cause(&format!("Reason: {nonsense}\r\n")), None);
        }
    }

    /// The Reason lines that a CANCEL or BYE for this reason has.
    fn lines(because: &Because) -> Vec<String> {
        let mut b = Builder::request(&Method::Bye, "sip:1@x");
        because.put(&mut b);
        let bytes = b.finish(None);
        let text = String::from_utf8_lossy(&bytes);
        let of = |line: &str| line.strip_prefix("Reason: ").map(str::to_owned);
        text.lines().filter_map(of).collect()
    }

    #[test]
    fn what_one_side_said_is_told_to_the_other() {
        let said = |lines: &str| {
            let text = format!(
                "BYE sip:1@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
                 From: <sip:2@x>;tag=a\r\nTo: <sip:1@x>;tag=b\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\n\
                 {lines}\r\n"
            );
            Because::said_in(&Message::parse(Bytes::from(text)).expect("a legal BYE"))
        };
        assert_eq!(said(""), None);
        let both = said("Reason: SIP;cause=200;text=\"a, b\", Q.850 ;\r\n cause=16\r\n");
        assert_eq!(
            both.as_ref().map(lines),
            Some(vec![
                "SIP;cause=200;text=\"a, b\"".to_owned(),
                "Q.850 ;".to_owned()
            ]),
            "the fold of the second one is on the next line"
        );
        let many = said(&"Reason: x\r\n".repeat(9));
        assert_eq!(many.map(|b| lines(&b).len()), Some(super::VALUES_MAX));
    }

    #[test]
    fn the_host_says_what_it_knows() {
        assert_eq!(lines(&Because::Unsaid), [""; 0]);
        let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\"";
        assert_eq!(lines(&Because::Elsewhere), [elsewhere]);
        let busy = "SIP;cause=600;text=\"Busy Everywhere\"";
        assert_eq!(lines(&Because::Code(600)), [busy]);
        let normal = "Q.850;cause=16;text=\"Normal call clearing\"";
        assert_eq!(lines(&Because::Cause(16)), [normal]);
        assert_eq!(Q850(99).to_string(), "Q.850;cause=99");
        for code in 300..700 {
            assert!(!super::text_of(q850_of(code)).is_empty(), "{code}");
        }
        assert_eq!(Name::of(b"reason"), Name::Reason);
    }
}
