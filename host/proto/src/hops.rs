//! The mark of hops: how a call that comes back is known (RFC 3261 §16.3, in a B2BUA's way).
//!
//! Max-Forwards bounds a loop, and a B2BUA beyond that starts it anew ends the bound. So each INVITE
//! that we send carries a mark for each time that the call has passed through us: a keyed hash of the
//! trunk that it came in on and the number that it asked for. Others neither read nor forge it, and
//! pass it on as they pass any header that they do not know; marks of other nodes pass through us.
//!
//! A call with the same trunk and number is a loop. With another it is a spiral (a call to one's own
//! number by way of the public network, say): legal, but not for ever.

use std::fmt::Write as _;
use std::hash::Hasher;

use intertrunk_sip::{Builder, Message, Name};
use siphasher::sip::SipHasher13;

/// Marks of other nodes that are passed on; a call that passed through more is refused.
const MARKS_MAX: usize = 16;

/// One passage: a hash, and a hash of that by which we know it as ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark(u32, u32);

impl Mark {
    fn of(ingress: &str, number: &str, key: (u64, u64)) -> Mark {
        let place = hash(&[ingress.as_bytes(), number.as_bytes()], key);
        Mark(place, proof(place, key))
    }

    fn parse(text: &[u8]) -> Option<Mark> {
        let text = std::str::from_utf8(text).ok().filter(|t| t.len() == 16)?;
        let half = |text: &str| u32::from_str_radix(text, 16).ok();
        Some(Mark(half(text.get(..8)?)?, half(text.get(8..)?)?))
    }

    fn is_ours(self, key: (u64, u64)) -> bool {
        self.1 == proof(self.0, key)
    }
}

fn proof(place: u32, key: (u64, u64)) -> u32 {
    hash(&[b"mark", &place.to_le_bytes()], key)
}

fn hash(parts: &[&[u8]], key: (u64, u64)) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key.0, !key.1);
    for part in parts {
        hasher.write_u64(part.len() as u64);
        hasher.write(part);
    }
    hasher.finish() as u32
}

/// Whether an INVITE from `ingress` for `number` has gone round in a circle, or through us more than
/// `spirals_max` times.
pub(crate) fn is_loop(
    invite: &Message,
    ingress: &str,
    number: &str,
    key: (u64, u64),
    spirals_max: usize,
) -> bool {
    if invite.header(Name::HopMark).is_none() {
        return false;
    }
    let here = Mark::of(ingress, number, key);
    let marks = || invite.values(Name::HopMark).filter_map(Mark::parse);
    let ours = marks().filter(|m| m.is_ours(key)).count();
    ours > spirals_max || marks().any(|m| m == here) || marks().count() >= MARKS_MAX
}

/// Writes the marks that `invite` came with, and ours.
pub(crate) fn put(b: &mut Builder, invite: &Message, ingress: &str, number: &str, key: (u64, u64)) {
    let Mark(place, proof) = Mark::of(ingress, number, key);
    if invite.header(Name::HopMark).is_none() {
        b.header_fmt(Name::HopMark, format_args!("{place:08x}{proof:08x}"));
        return;
    }
    let mut text = String::new();
    for mark in invite
        .values(Name::HopMark)
        .filter_map(Mark::parse)
        .take(MARKS_MAX)
    {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:08x}{:08x},", mark.0, mark.1);
    }
    let _ = write!(text, "{place:08x}{proof:08x}");
    b.header(Name::HopMark, text);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use intertrunk_sip::{Builder, Message, Name};

    use super::{Mark, is_loop, put};

    const KEY: (u64, u64) = (1, 2);

    fn invite(marks: &str) -> Message {
        let text = format!(
            "INVITE sip:1@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
             From: <sip:2@x>;tag=a\r\nTo: <sip:1@x>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{marks}\r\n"
        );
        Message::parse(Bytes::from(text)).expect("a legal INVITE")
    }

    /// The same INVITE after it has passed through a node with this key.
    fn passed(before: &Message, ingress: &str, number: &str, key: (u64, u64)) -> Message {
        let mut b = Builder::response(200, "OK");
        put(&mut b, before, ingress, number, key);
        let bytes = b.finish(None);
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().nth(1).expect("a header line");
        invite(&format!("{line}\r\n"))
    }

    /// K18: the same number by the same trunk is a loop, whatever lies between.
    #[test]
    fn a_call_that_comes_back_as_it_was_is_a_loop() {
        let first = invite("");
        assert!(!is_loop(&first, "pbx", "1", KEY, 4));
        let back = passed(&first, "pbx", "1", KEY);
        assert!(is_loop(&back, "pbx", "1", KEY, 4));
        let other_node = passed(&back, "pbx", "1", (3, 4));
        assert!(
            is_loop(&other_node, "pbx", "1", KEY, 4),
            "through another node"
        );
        assert!(!is_loop(&back, "pbx", "1", (3, 4), 4), "for whom it is new");
    }

    /// K18: RFC 3261 §16.3: a spiral is legal, and ends all the same.
    #[test]
    fn a_spiral_is_legal_for_a_while() {
        let mut call = invite("");
        for n in 0..=4 {
            let number = n.to_string();
            assert!(!is_loop(&call, "pbx", &number, KEY, 4), "{n}");
            assert!(!is_loop(&call, "gw", &number, KEY, 4), "{n}");
            call = passed(&call, "pbx", &number, KEY);
        }
        assert!(is_loop(&call, "pbx", "5", KEY, 4));
        let mut strange = invite("");
        for n in 0..super::MARKS_MAX {
            assert!(!is_loop(&strange, "pbx", "1", KEY, 4), "{n}");
            strange = passed(&strange, "pbx", "1", (9, n as u64));
        }
        assert!(is_loop(&strange, "pbx", "1", KEY, 4), "too many nodes");
    }

    #[test]
    fn marks_tell_nothing_and_nonsense_is_dropped() {
        let one = passed(
            &invite("X-Hop-Mark: x, 12, zzzzzzzzzzzzzzzz\r\n"),
            "pbx",
            "1",
            KEY,
        );
        let value = one.header(Name::HopMark).expect("a mark");
        assert_eq!(value.len(), 16, "{value:?}");
        let (a, b) = (Mark::of("pbx", "1", KEY), Mark::of("pbx", "2", KEY));
        assert!(a.0 != b.0 && a.1 != b.1 && a != Mark::of("pbx", "1", (1, 3)));
        assert_ne!(a, Mark::of("pb", "x1", KEY));
        assert!(a.is_ours(KEY) && !a.is_ours((1, 3)));
    }
}
