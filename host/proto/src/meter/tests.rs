//! Windows that move, talk that goes on, keys that come and go.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::{Meter, MeterRules, Price, Reading};
use crate::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);
/// A call that has not talked.
const SILENT: Option<Price> = None;

fn meter(keys_max: usize) -> Meter {
    Meter::new(MeterRules {
        window: HOUR,
        keys_max,
    })
}

/// So many seconds after the start.
fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn price(text: &str) -> Price {
    Price::read(text).unwrap()
}

#[test]
fn a_call_counts_for_the_window_and_a_step_longer_at_most() {
    let mut meter = meter(10);
    for second in [90, 91, 1000] {
        assert!(meter.begins("a", at(second)));
        meter.ends("a", SILENT, at(second + 5));
    }
    let calls = |meter: &mut Meter, second| meter.read("a", at(second)).calls;
    assert_eq!(calls(&mut meter, 1001), 3);
    assert_eq!(calls(&mut meter, 91 + 3600), 3, "the whole window");
    assert_eq!(calls(&mut meter, 120 + 3600), 1, "the step is over");
    assert_eq!(calls(&mut meter, 1000 + 3600), 1);
    assert_eq!(meter.read("a", at(1020 + 3600)), Reading::default());
}

#[test]
fn calls_that_are_up_count_whenever_they_began() {
    let mut meter = meter(10);
    assert!(meter.begins("a", at(0)));
    assert!(meter.begins("a", at(10)));
    let day = 24 * 3600;
    let reading = meter.read("a", at(day));
    assert_eq!((reading.calls, reading.active), (0, 2));
    meter.ends("a", SILENT, at(day));
    assert_eq!(meter.read("a", at(day)).active, 1);
    meter.ends("a", SILENT, at(day));
    assert_eq!(meter.read("a", at(day)), Reading::default());
}

#[test]
fn talk_counts_while_it_goes_on_and_leaves_the_window_step_by_step() {
    let mut meter = meter(10);
    assert!(meter.begins("a", at(0)));
    meter.talks("a", SILENT, price("0.60"), at(60));
    let reading = meter.read("a", at(90));
    assert_eq!((reading.millis, reading.spend), (30_000, 300_000));
    // Whether somebody looks in between makes no difference.
    let half = meter.read("a", at(1860));
    assert_eq!((half.millis, half.spend), (1_800_000, 18_000_000));
    meter.ends("a", Some(price("0.60")), at(2460));
    let text = "calls=1 active=0 seconds=2400 spend=24.000000";
    assert_eq!(meter.read("a", at(2460)).to_string(), text);
    // An hour after its middle, half of the talk is left.
    assert_eq!(meter.read("a", at(1260 + 3600)).millis, 1_200_000);
    assert_eq!(meter.read("a", at(2460 + 3600)).millis, 0);
}

#[test]
fn of_a_call_that_never_ends_a_window_counts() {
    let mut meter = meter(10);
    assert!(meter.begins("a", at(0)));
    meter.talks("a", SILENT, price("1"), at(0));
    let day = meter.read("a", at(24 * 3600));
    assert!((3_600_000..=3_660_000).contains(&day.millis), "{day}");
    assert!((60_000_000..=61_000_000).contains(&day.spend), "{day}");
}

#[test]
fn a_transfer_is_one_more_call_at_another_price() {
    let mut meter = meter(10);
    assert!(meter.begins("a", at(0)));
    meter.talks("a", SILENT, price("0.1"), at(0));
    meter.begins_again("a", at(60));
    meter.talks("a", Some(price("0.1")), price("0.5"), at(60));
    meter.ends("a", Some(price("0.5")), at(120));
    let text = "calls=2 active=0 seconds=120 spend=0.600000";
    assert_eq!(meter.read("a", at(120)).to_string(), text);
}

#[test]
fn a_call_that_has_ended_costs_nothing_more() {
    let mut meter = meter(10);
    for begins in [0, 60] {
        assert!(meter.begins("a", at(begins)));
    }
    meter.talks("a", SILENT, price("0.6"), at(0));
    meter.talks("a", SILENT, price("0"), at(60));
    meter.ends("a", Some(price("0.6")), at(60));
    let text = "calls=2 active=1 seconds=120 spend=0.600000";
    assert_eq!(meter.read("a", at(120)).to_string(), text);
}

#[test]
fn the_key_that_has_had_no_call_for_longest_goes_first() {
    let mut meter = meter(3);
    for (key, second) in [("up", 0), ("old", 1), ("new", 2)] {
        assert!(meter.begins(key, at(second)));
    }
    for (key, second) in [("old", 3), ("new", 4)] {
        meter.ends(key, SILENT, at(second));
    }
    assert!(meter.begins("next", at(5)));
    assert_eq!(meter.read("old", at(5)), Reading::default());
    assert_eq!(meter.read("new", at(5)).calls, 1);
    assert_eq!(meter.read("up", at(5)).active, 1);
    assert!(meter.begins("another", at(6)), "in the place of \"new\"");
    assert!(!meter.begins("one too many", at(7)), "each has a call");
    assert_eq!(meter.keys(at(7)), 3);
    meter.ends("one too many", SILENT, at(8));
    assert_eq!(meter.keys(at(8)), 3);
}

#[test]
fn keys_of_which_nothing_is_left_are_forgotten() {
    let mut meter = meter(1000);
    for n in 0..100 {
        let key = n.to_string();
        assert!(meter.begins(&key, at(n)));
        meter.ends(&key, SILENT, at(n));
    }
    assert!(meter.begins("up", at(100)));
    assert_eq!(meter.keys(at(3600)), 101);
    assert_eq!(meter.keys(at(3800)), 1, "but not the one with a call");
}

#[test]
fn long_keys_are_one_if_they_begin_alike() {
    let mut meter = meter(10);
    let long = |end: &str| "é".repeat(300) + end;
    assert!(meter.begins(&long("a"), at(0)));
    assert!(meter.begins(&long("b"), at(0)));
    assert_eq!(meter.read(&long("c"), at(0)).active, 2);
}

#[test]
fn prices_are_exact() {
    let read = |text| Price::read(text).map(|it| it.0);
    assert_eq!(read("0.012"), Some(12_000));
    assert_eq!(read("7"), Some(7_000_000));
    assert_eq!(read("999999.9999999"), Some(999_999_999_999));
    for wrong in [
        "", ".", "1.", ".5", "-1", "1e3", "1,5", "1000000", " 1", "1.2.3",
    ] {
        assert_eq!(read(wrong), None, "{wrong:?}");
    }
}

/// What a plain list of calls says.
#[test]
fn sums_are_those_of_a_list() {
    let mut meter = meter(10);
    let (mut begun, mut up) = (Vec::new(), Vec::new());
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % below
    };
    for second in (0..20_000).step_by(7) {
        match next(4) {
            0 | 1 => {
                assert!(meter.begins("a", at(second)));
                begun.push(second);
                up.push(SILENT);
            }
            2 if !up.is_empty() => {
                let place = usize::try_from(next(up.len() as u64)).unwrap();
                let price = Price(next(1_000_000));
                meter.talks("a", up[place], price, at(second));
                up[place] = Some(price);
            }
            3 if !up.is_empty() => {
                let place = usize::try_from(next(up.len() as u64)).unwrap();
                meter.ends("a", up.swap_remove(place), at(second));
            }
            _ => {}
        }
        let reading = meter.read("a", at(second));
        let since = (second / 60).saturating_sub(60) * 60;
        let lately = begun.iter().filter(|it| **it >= since).count();
        assert_eq!(reading.calls, lately as u64, "at {second}");
        assert_eq!(reading.active as usize, up.len());
    }
}
