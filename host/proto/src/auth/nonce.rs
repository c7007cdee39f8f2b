//! Our word in a challenge, and which uses of it were seen (RFC 7616 §5.4).
//!
//! A nonce is a moment, the shard that said it, and a keyed hash of both with the realm and the address
//! that it was said to. So a challenge costs no memory, nobody makes a nonce up, and whoever shows one has
//! been reached at its address. It is good for [`LIFETIME`], and at the shard that said it only: there all
//! its uses are counted, so that none comes twice.

use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::time::Instant;

/// How long a nonce is good.
const LIFETIME: Duration = Duration::from_secs(300);
/// How many nonces are remembered to have been used. Each has one place; who comes there later takes it.
const REMEMBERED: usize = 4 * 1024;
/// How far behind the highest count of a nonce a use may come: requests overtake each other.
const BEHIND_MAX: u32 = 64;

/// Whom a nonce is said to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) realm: &'a str,
    pub(crate) source: IpAddr,
    pub(crate) shard: u16,
    pub(crate) key: (u64, u64),
}

/// What a nonce that somebody shows is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nonce {
    /// Ours, said to this address lately, by this shard.
    Good(u64),
    /// Ours, said to this address, but too long ago or by another shard.
    Stale,
    /// Not ours, or said to somebody else.
    Strange,
}

/// A new nonce.
pub(crate) fn mint(scope: Scope<'_>, now: Instant) -> String {
    let (at, shard) = (now.as_micros(), scope.shard);
    format!("{at:016x}{shard:04x}{:032x}", mac(scope, at, shard))
}

/// Looks at one.
pub(crate) fn look_at(text: &str, scope: Scope<'_>, now: Instant) -> Nonce {
    const LENGTH: usize = 16 + 4 + 32;
    let digits = text.len() == LENGTH && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits {
        return Nonce::Strange;
    }
    let (at, rest) = text.split_at(16);
    let (shard, said) = rest.split_at(4);
    let parts = (
        u64::from_str_radix(at, 16),
        u16::from_str_radix(shard, 16),
        u128::from_str_radix(said, 16),
    );
    let (Ok(at), Ok(shard), Ok(said)) = parts else {
        return Nonce::Strange;
    };
    if mac(scope, at, shard) != said {
        return Nonce::Strange;
    }
    let age = now.since(Instant::from_micros(at));
    match age <= LIFETIME && shard == scope.shard {
        true => Nonce::Good(said as u64),
        false => Nonce::Stale,
    }
}

fn mac(scope: Scope<'_>, at: u64, shard: u16) -> u128 {
    let mut hasher = SipHasher24::new_with_keys(!scope.key.0, scope.key.1);
    hasher.write(b"nonce");
    hasher.write_u64(at);
    hasher.write_u16(shard);
    match scope.source.to_canonical() {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    hasher.write(scope.realm.as_bytes());
    hasher.finish128().as_u128()
}

/// One nonce that was used.
#[derive(Clone, Copy, Debug)]
struct Use {
    nonce: u64,
    at: Instant,
    highest: u32,
    /// The counts below the highest that were seen, the nearest in the lowest bit.
    seen: u64,
}

/// The uses of nonces that proved a password; nobody else takes a place here.
#[derive(Debug, Default)]
pub(crate) struct Uses(Vec<Option<Use>>);

impl Uses {
    /// Takes note of one; false if it was seen before, or may have been.
    pub(crate) fn is_first(&mut self, nonce: u64, count: u32, now: Instant) -> bool {
        if self.0.is_empty() {
            self.0 = vec![None; REMEMBERED];
        }
        let place = usize::try_from(nonce % REMEMBERED as u64);
        let place = &mut self.0[place.expect("a remainder below a usize fits one")];
        let known = place.filter(|it| it.nonce == nonce && now.since(it.at) <= LIFETIME);
        let Some(mut known) = known else {
            *place = Some(Use {
                nonce,
                at: now,
                highest: count,
                seen: 0,
            });
            return true;
        };
        if count > known.highest {
            let ahead = count - known.highest;
            // The one that was highest is seen, too.
            let seen = (known.seen << 1) | 1;
            known.seen = seen.checked_shl(ahead - 1).unwrap_or(0);
            known.highest = count;
            *place = Some(known);
            return true;
        }
        let behind = known.highest - count;
        if behind == 0 || behind > BEHIND_MAX {
            return false;
        }
        let bit = 1 << (behind - 1);
        let first = known.seen & bit == 0;
        known.seen |= bit;
        *place = Some(known);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFETIME, Nonce, REMEMBERED, Scope, Uses, look_at, mint};
    use crate::time::Instant;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn scope(source: &str) -> Scope<'_> {
        Scope {
            realm: "here",
            source: source.parse().expect("a literal"),
            shard: 1,
            key: (3, 4),
        }
    }

    /// S14: a nonce is good for a while, for whom it was said to, where it was said.
    #[test]
    fn a_nonce_needs_no_memory() {
        let home = scope("192.0.2.1");
        let nonce = mint(home, at(5));
        assert!(matches!(look_at(&nonce, home, at(5)), Nonce::Good(_)));
        assert!(matches!(
            look_at(&nonce, home, at(5) + LIFETIME),
            Nonce::Good(_)
        ));
        assert_eq!(look_at(&nonce, home, at(6) + LIFETIME), Nonce::Stale);
        let mapped = scope("::ffff:192.0.2.1");
        assert!(matches!(look_at(&nonce, mapped, at(5)), Nonce::Good(_)));
        let other_shard = Scope { shard: 2, ..home };
        assert_eq!(look_at(&nonce, other_shard, at(5)), Nonce::Stale);
        for stranger in [
            scope("192.0.2.2"),
            Scope {
                realm: "there",
                ..home
            },
            Scope {
                key: (3, 5),
                ..home
            },
        ] {
            assert_eq!(look_at(&nonce, stranger, at(5)), Nonce::Strange);
        }
        let later = nonce.replacen('0', "1", 1);
        for forged in [&later, &nonce[1..], "", "é"] {
            assert_eq!(look_at(forged, home, at(5)), Nonce::Strange, "{forged}");
        }
    }

    /// S14: each count of a nonce is good once, in any order that a network makes of it.
    #[test]
    fn no_use_comes_twice() {
        let mut uses = Uses::default();
        let mut first = |count| uses.is_first(7, count, at(1));
        for count in [1, 2, 5, 3, 70, 6, 69] {
            assert!(first(count), "{count}");
        }
        for count in [1, 2, 3, 5, 6, 69, 70, 4] {
            assert!(!first(count), "{count} again, or too late to know");
        }
        assert!(first(7) && first(u32::MAX) && !first(70));
        let mut uses = Uses::default();
        assert!(uses.is_first(7, 1, at(1)));
        let place = 7 + REMEMBERED as u64;
        assert!(uses.is_first(place, 1, at(1)), "another in its place");
        assert!(!uses.is_first(place, 1, at(2)));
        assert!(
            uses.is_first(place, 1, at(2) + LIFETIME),
            "forgotten in time"
        );
    }
}
