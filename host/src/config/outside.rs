//! `[source.NAME]`: what policies may inquire of outside this node.

use std::time::Duration;

use intertrunk_proto::meter::MeterRules;

use super::read::{At, Section};
use super::value::{self, Complaint};
use crate::outside::{Kind, Source};

/// `[source.NAME]`
pub struct SourceEntry {
    pub name: At<String>,
    pub kind: Option<Kind>,
    pub timeout: Duration,
    pub cache: Duration,
    pub cache_max: usize,
}

#[derive(Clone, Copy)]
enum Word {
    Http,
    Enum,
    Meter,
}

/// Reads the section.
pub fn read(name: At<String>, s: Section<'_>) -> SourceEntry {
    const URL: &str = "write url = \"http://127.0.0.1:8080/lookup/{key}\"";
    let words = [
        ("http", Word::Http),
        ("enum", Word::Enum),
        ("meter", Word::Meter),
    ];
    let word = s.required("kind", "write kind = \"http\"", s.choice("kind", &words));
    let duration = |key, usual, min, max| {
        let read = s.parsed(key, value::duration(min..=max));
        read.map_or(usual, |at: At<Duration>| at.value)
    };
    let kind = match word.map(|at| at.value) {
        Some(Word::Http) => s
            .required("url", URL, s.parsed("url", url))
            .map(|at| Kind::Http { url: at.value }),
        Some(Word::Enum) => Some(Kind::Enum {
            zone: s
                .parsed("zone", value::text)
                .map_or_else(|| "e164.arpa".to_owned(), |at| at.value),
        }),
        Some(Word::Meter) => Some(Kind::Meter(MeterRules {
            window: duration("window", Duration::from_secs(3600), 10_000, 86_400_000),
            keys_max: s
                .number("keys_max", 1..=10_000_000)
                .map_or(10_000, |at| at.value),
        })),
        None => None,
    };
    let mut entry = SourceEntry {
        timeout: Duration::from_secs(1),
        cache: Duration::ZERO,
        cache_max: 10_000,
        name,
        kind,
    };
    // A meter answers at once, and from what it knows now.
    if !matches!(entry.kind, Some(Kind::Meter(_))) {
        entry.timeout = duration("timeout", entry.timeout, 10, 5_000);
        entry.cache = duration("cache", entry.cache, 0, 86_400_000);
        entry.cache_max = s
            .number("cache_max", 1..=10_000_000)
            .map_or(entry.cache_max, |at| at.value);
    }
    s.finish();
    entry
}

/// The source; `None` after what is wrong with it was reported.
pub fn source(entry: &SourceEntry) -> Option<Source> {
    Some(Source {
        name: entry.name.value.clone(),
        kind: entry.kind.clone()?,
        timeout: entry.timeout,
        cache: entry.cache,
        cache_max: entry.cache_max,
    })
}

fn url(text: &str) -> Result<String, Complaint> {
    let remedy = "write \"http://127.0.0.1:8080/lookup/{key}\"";
    if !text.contains("{key}") {
        return Err(Complaint::new(
            format!("\"{text}\" has no place for the key"),
            remedy,
        ));
    }
    let parsed = reqwest::Url::parse(&text.replace("{key}", "1"));
    let is_http = parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_http {
        return Err(Complaint::new(
            format!("\"{text}\" is no URL of http or https"),
            remedy,
        ));
    }
    Ok(text.to_owned())
}
