//! Tests of the machine that blocks sources.

use std::net::IpAddr;
use std::time::Duration;

use super::{BlockRules, Offence, Offenders, source_of};
use crate::rng::Rng;
use crate::time::Instant;

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("a literal")
}

/// Ten points in a minute; a minute, two, four, at most five; three sources.
fn rules() -> BlockRules {
    BlockRules {
        threshold: Some(10),
        decay: Duration::from_secs(60),
        first: Duration::from_secs(60),
        longest: Duration::from_secs(300),
        sources_max: 3,
    }
}

/// A scanner at this second: one offence that fills the measure. For how many seconds it is blocked.
fn scan(offenders: &mut Offenders, source: &str, second: u64) -> Option<u64> {
    let block = offenders.note(ip(source), Offence::Scanner, &rules(), at(second))?;
    Some(block.until.since(at(second)).as_secs())
}

/// S3: many small offences in a short time fill the measure; spread out, they do not.
#[test]
fn a_score_drains_away() {
    let mut offenders = Offenders::default();
    let mut note = |source, ms: u64| {
        let now = Instant::from_micros(ms * 1000);
        offenders.note(ip(source), Offence::UnknownSource, &rules(), now)
    };
    for n in 0..9 {
        assert_eq!(note("192.0.2.1", n), None);
    }
    let block = note("192.0.2.1", 9).expect("the tenth fills it");
    assert_eq!((block.source, block.times), (ip("192.0.2.1"), 1));
    assert_eq!(block.until, Instant::from_micros(60_009_000));
    for n in 0..1000 {
        // One point drains in six seconds.
        assert_eq!(note("192.0.2.2", n * 6000), None, "{n}");
    }
    let faster = (0..1000).find(|n| note("192.0.2.3", n * 5000).is_some());
    assert_eq!(faster, Some(54), "a sixth of a point each time");
}

/// S3: who comes back is blocked for twice as long, up to a bound; who behaves is forgiven by and by.
#[test]
fn blocks_double_and_are_forgotten() {
    let mut offenders = Offenders::default();
    let mut scan = |second| scan(&mut offenders, "192.0.2.1", second);
    assert_eq!(scan(0), Some(60));
    assert_eq!(scan(30), None, "it is blocked already");
    assert_eq!(scan(60), Some(120));
    assert_eq!(scan(180), Some(240));
    assert_eq!(scan(420), Some(300), "the longest");
    assert_eq!(scan(720), Some(300));
    // 1020 is the end of the fifth block; after twice as long as that was, two are forgotten.
    assert_eq!(scan(1020 + 600), Some(300));
    assert_eq!(scan(1920 + 600), Some(240), "of four, two are left");
    assert_eq!(scan(100_000), Some(60), "long ago");
}

/// S3: wrong passwords weigh more than a stray request, a scanner's word at once.
#[test]
fn offences_have_weights() {
    for (offence, count) in [
        (Offence::UnknownSource, 10),
        (Offence::Malformed, 10),
        (Offence::WrongCredentials, 5),
        (Offence::Scanner, 1),
    ] {
        let mut offenders = Offenders::default();
        let mut note = || offenders.note(ip("192.0.2.1"), offence, &rules(), at(1));
        let needed = (1..).find(|_| note().is_some());
        assert_eq!(needed, Some(count), "{}", offence.as_str());
    }
    let never = BlockRules {
        threshold: None,
        ..rules()
    };
    let mut offenders = Offenders::default();
    assert_eq!(
        offenders.note(ip("192.0.2.1"), Offence::Scanner, &never, at(1)),
        None
    );
    assert!(offenders.is_empty());
}

/// S3: one subscriber has a /64 of IPv6 and cannot hide in it.
#[test]
fn a_source_is_an_address_or_a_network_of_ipv6() {
    assert_eq!(source_of(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    assert_eq!(source_of(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
    let mut offenders = Offenders::default();
    for n in 0..9 {
        let address = ip(&format!("2001:db8:1:2::{n}"));
        assert_eq!(
            offenders.note(address, Offence::Malformed, &rules(), at(1)),
            None
        );
    }
    let last = offenders.note(
        ip("2001:db8:1:2:ffff::"),
        Offence::Malformed,
        &rules(),
        at(1),
    );
    assert!(last.is_some());
    assert_eq!(offenders.len(), 1);
}

/// S3: the table is bounded; a flood of new sources does not free those that are blocked.
#[test]
fn a_flood_frees_nobody() {
    let mut offenders = Offenders::default();
    assert!(scan(&mut offenders, "192.0.2.1", 1).is_some());
    for n in 0..1000_u32 {
        let source = IpAddr::from(n.to_be_bytes());
        assert_eq!(
            offenders.note(source, Offence::Malformed, &rules(), at(2)),
            None
        );
        assert!(offenders.len() <= 3);
    }
    assert_eq!(offenders.blocks(at(3)).len(), 1);
    for n in 0..10_u32 {
        let source = IpAddr::from((0x0a00_0000 | n).to_be_bytes());
        offenders.note(source, Offence::Scanner, &rules(), at(10 + u64::from(n)));
        assert!(offenders.len() <= 3, "not even of blocked ones");
    }
    let left: Vec<IpAddr> = offenders.blocks(at(20)).iter().map(|b| b.source).collect();
    assert_eq!(left, [ip("10.0.0.7"), ip("10.0.0.8"), ip("10.0.0.9")]);
}

/// S3: an operator's word ends a block, and all that led to it.
#[test]
fn a_pardon_is_whole() {
    let mut offenders = Offenders::default();
    assert!(!offenders.pardon(ip("192.0.2.1"), at(1)));
    scan(&mut offenders, "192.0.2.1", 1);
    assert!(offenders.pardon(ip("192.0.2.1"), at(2)));
    assert_eq!((offenders.len(), offenders.blocks(at(2)).len()), (0, 0));
    assert_eq!(scan(&mut offenders, "192.0.2.1", 3), Some(60), "as if new");
    assert!(
        !offenders.pardon(ip("192.0.2.1"), at(63)),
        "it had ended by itself"
    );
}

/// S3: whatever happens, the two indexes agree, the bound holds, and blocks end.
#[test]
fn random_floods_keep_the_table_whole() {
    for seed in 0..50 {
        let mut rng = Rng::new([seed; 32]);
        let mut offenders = Offenders::default();
        let mut now = 0;
        for _ in 0..500 {
            now += rng.next_u64() % 40;
            let source = IpAddr::from(((rng.next_u64() % 8) as u32).to_be_bytes());
            let offence = match rng.next_u64() % 4 {
                0 => Offence::Scanner,
                1 => Offence::WrongCredentials,
                2 => Offence::Malformed,
                _ => Offence::UnknownSource,
            };
            match rng.next_u64() % 8 {
                0 => drop(offenders.pardon(source, at(now))),
                _ => drop(offenders.note(source, offence, &rules(), at(now))),
            }
            assert_eq!(offenders.order.len(), offenders.records.len());
            assert!(offenders.len() <= 3);
            let ends = |b: &super::Block| b.until <= at(now) + rules().longest && b.until > at(now);
            assert!(offenders.blocks(at(now)).iter().all(ends));
        }
        assert!(offenders.blocks(at(now + 301)).is_empty());
    }
}
