//! By what a trunk is judged: `options`, `breaker`, `quality` and `soak`.

use std::ops::RangeInclusive;
use std::time::Duration;

use intertrunk_proto::trunk::{Breaker, HealthRules, Options, Quality, Soak};

use super::read::Section;
use super::value::{self, Complaint};

/// Milliseconds of a second, an hour and a day.
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const PERCENT: RangeInclusive<i64> = 1..=100;

/// Reads all rules of a trunk.
pub fn read(s: &Section<'_>) -> HealthRules {
    let rules = HealthRules {
        options: s.section("options").map(options),
        breaker: s.section("breaker").map(breaker),
        quality: s.section("quality").map(quality),
        soak: s.section("soak").map(soak),
    };
    if rules.options.is_none() && rules.breaker.is_none() {
        s.has_effect_with("soak", "`options` or `breaker`");
    }
    rules
}

fn duration(s: &Section<'_>, key: &'static str, ms: RangeInclusive<u64>) -> Option<Duration> {
    s.parsed(key, value::duration(ms)).map(|at| at.value)
}

fn options(s: Section<'_>) -> Options {
    let usual = Options::default();
    let off_or = |text: &str| -> Result<Option<Duration>, Complaint> {
        match text {
            "off" => Ok(None),
            _ => value::duration(SECOND..=DAY)(text).map(Some),
        }
    };
    let interval = s.parsed("interval", off_or);
    let interval = interval.map_or(usual.interval, |at| at.value);
    let down_interval = duration(&s, "down_interval", SECOND..=DAY);
    let count = |key| s.number(key, 1..=1_000).map(|at| at.value);
    let options = Options {
        interval,
        down_interval: down_interval.or(interval).unwrap_or(usual.down_interval),
        timeout: duration(&s, "timeout", 100..=32_000).unwrap_or(usual.timeout),
        down_after: count("down_after").unwrap_or(usual.down_after),
        up_after: count("up_after").unwrap_or(usual.up_after),
        down_codes: s
            .numbers("down_codes", &(300..=699))
            .unwrap_or(usual.down_codes),
        expect: duration(&s, "expect", SECOND..=DAY),
    };
    if interval.is_none() && options.expect.is_none() {
        let remedy = "write how often the peer sends OPTIONS, such as expect = \"2m\"";
        s.wrong(
            "interval",
            "asks nobody, and nobody is expected to ask",
            remedy,
        );
    }
    let shortest = interval.map(|interval| interval.min(options.down_interval));
    if shortest.is_some_and(|shortest| options.timeout > shortest) {
        let remedy = "write a timeout that is no longer than the intervals";
        s.wrong(
            "timeout",
            "is longer than the time to the next question",
            remedy,
        );
    }
    s.finish();
    options
}

fn breaker(s: Section<'_>) -> Breaker {
    let failures = s.number("failures", 1..=100_000).map_or(5, |at| at.value);
    let retry = duration(&s, "retry", SECOND..=HOUR).unwrap_or(Duration::from_secs(30));
    s.finish();
    Breaker { failures, retry }
}

fn quality(s: Section<'_>) -> Quality {
    let percent = |key| s.number(key, PERCENT).map(|at| at.value);
    let quality = Quality {
        window: duration(&s, "window", 10 * SECOND..=DAY).unwrap_or(Duration::from_secs(300)),
        calls_min: s
            .number("min_calls", 1..=1_000_000)
            .map_or(20, |at| at.value),
        asr_min: percent("asr"),
        ner_min: percent("ner"),
        pdd_max: duration(&s, "pdd", 100..=300 * SECOND),
        acd_min: duration(&s, "acd", 100..=HOUR),
    };
    if !["asr", "ner", "pdd", "acd"]
        .into_iter()
        .any(|key| s.has(key))
    {
        let remedy = "add `asr`, `ner`, `pdd` or `acd`";
        s.wrong_itself("has no bound", remedy);
    }
    s.finish();
    quality
}

fn soak(s: Section<'_>) -> Soak {
    let soak = Soak {
        share: s.number("share", PERCENT).map_or(10, |at| at.value),
        good: s.number("good", 1..=1_000_000).map_or(20, |at| at.value),
        time: duration(&s, "time", SECOND..=HOUR).unwrap_or(Duration::from_secs(60)),
    };
    s.finish();
    soak
}
