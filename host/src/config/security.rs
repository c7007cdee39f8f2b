//! `[security]`: strangers, scanners, messages out of all measure, and blocks.

use std::time::Duration;

use intertrunk_proto::Security;
use intertrunk_proto::blocking::BlockRules;

use super::read::{At, Section};
use super::value::{self, Complaint};

/// `[security]`
#[derive(Clone, Debug, Default)]
pub struct SecurityEntry {
    pub security: Security,
    pub blocking: BlockRules,
}

/// Reads the section.
pub fn read(s: Section<'_>) -> SecurityEntry {
    let usual = SecurityEntry::default();
    let mut security = usual.security;
    if let Some(at) = s.parsed("unknown", unknown) {
        security.unknown = at.value;
    }
    if let Some(list) = s.list("scanners", value::text) {
        let kept = list
            .into_iter()
            .map(|at| at.value)
            .filter(|it| !it.is_empty());
        security.scanners = kept.collect();
    }
    let bytes = s.parsed("max_message", value::size(1024..=65_535));
    if let Some(At { value, .. }) = bytes {
        security.message.message_bytes_max = value;
    }
    if let Some(At { value, .. }) = s.number("max_headers", 16..=1024) {
        security.message.header_lines_max = value;
    }
    let blocking = s.section("block").map_or(usual.blocking, block);
    s.finish();
    SecurityEntry { security, blocking }
}

fn block(s: Section<'_>) -> BlockRules {
    let usual = BlockRules::default();
    let duration = |key, usual| {
        let read = s.parsed(key, value::duration(1_000..=31_536_000_000));
        read.map_or(usual, |at: At<Duration>| at.value)
    };
    let enabled = s.flag("enabled").unwrap_or(true);
    let threshold = s.number("threshold", 1..=1_000_000);
    let rules = BlockRules {
        threshold: threshold
            .map_or(usual.threshold, |at| Some(at.value))
            .filter(|_| enabled),
        decay: duration("decay", usual.decay),
        first: duration("time", usual.first),
        longest: duration("max_time", usual.longest),
        sources_max: s
            .number("sources", 1..=10_000_000)
            .map_or(usual.sources_max, |at| at.value),
    };
    if rules.first > rules.longest {
        s.fault(
            s.place(),
            "`time` is longer than `max_time`",
            "raise `max_time`",
        );
    }
    s.finish();
    rules
}

/// `"silent"`, or a code in a string.
fn unknown(text: &str) -> Result<Option<u16>, Complaint> {
    let code = text.parse().ok().filter(|code| (400..=699).contains(code));
    match (text, code) {
        ("silent", _) => Ok(None),
        (_, Some(code)) => Ok(Some(code)),
        _ => {
            let problem = format!("\"{text}\" is no answer to strangers");
            Err(Complaint::new(
                problem,
                "write \"silent\", or a code from \"400\" to \"699\"",
            ))
        }
    }
}
