//! The host's call records, held against what the callers did.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Outcome;
use super::service::Service;

/// What each record of a stream of calls must say.
pub struct Expected {
    /// How the dialled numbers of this stream begin, and of no other.
    pub dialled: String,
    /// What that beginning becomes on the called side; unheeded when nobody was tried.
    pub sent: String,
    /// The trunk that the calls came from, where all came from one.
    pub ingress: Option<&'static str>,
    /// Trunk and code of each attempt.
    pub attempts: Vec<(String, u64)>,
    /// The attempt that the caller was left with.
    pub kept: usize,
    /// What the caller was answered.
    pub final_code: u64,
    /// Which side ended the call.
    pub ended_by: &'static str,
}

impl Expected {
    /// Calls that were answered in the end.
    pub fn answered(
        dialled: &str,
        sent: &str,
        attempts: &[(&str, u64)],
        ended_by: &'static str,
    ) -> Expected {
        Expected {
            dialled: dialled.to_owned(),
            sent: sent.to_owned(),
            ingress: None,
            attempts: attempts
                .iter()
                .map(|(trunk, code)| ((*trunk).to_owned(), *code))
                .collect(),
            kept: attempts.len().saturating_sub(1),
            final_code: 200,
            ended_by,
        }
    }
}

/// What the records of a phase add up to.
pub struct Told {
    pub generations: usize,
    pub modules: usize,
}

/// All records of a run.
pub struct Records(Vec<Value>);

impl Records {
    /// All records of a host whose calls are over: drains it first. What is wrong with that end is
    /// laid to the last scenario.
    pub fn at_the_end_of(
        service: Service,
        dir: &Path,
        outcomes: &mut [Outcome],
    ) -> Result<Records> {
        let ends = [service.wait_until_idle(), service.drain()];
        if let Some(last) = outcomes.last_mut() {
            let whys = ends.into_iter().filter_map(Result::err);
            last.faults.extend(whys.map(|why| format!("{why:#}")));
        }
        Records::read(&dir.join("cdr"))
    }

    /// Reads every file of the directory.
    pub fn read(dir: &Path) -> Result<Records> {
        let mut records = Vec::new();
        let entries =
            fs::read_dir(dir).with_context(|| format!("no records in {}", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            for (i, line) in fs::read_to_string(&path)?.lines().enumerate() {
                let place = || format!("{}:{}: not JSON", path.display(), i + 1);
                records.push(serde_json::from_str(line).with_context(place)?);
            }
        }
        Ok(Records(records))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds to `faults` where the records differ from what was placed.
    pub fn compare(&self, expected: &Expected, calls: u32, faults: &mut Vec<String>) -> Told {
        let mine: Vec<&Value> = self
            .0
            .iter()
            .filter(|r| text(r, "callee_in").starts_with(&expected.dialled))
            .collect();
        if mine.len() != calls as usize {
            let n = mine.len();
            faults.push(format!(
                "{n} records of numbers {}…, {calls} calls",
                expected.dialled
            ));
        }
        let odd: Vec<_> = mine
            .iter()
            .filter_map(|r| Some((r, odd(r, expected)?)))
            .collect();
        if let Some((record, why)) = odd.first() {
            faults.push(format!(
                "{} records differ, the first in {why}: {record}",
                odd.len()
            ));
        }
        let distinct = |key: &str| {
            mine.iter()
                .map(|r| r[key].to_string())
                .collect::<BTreeSet<_>>()
        };
        Told {
            generations: distinct("generation").len(),
            modules: distinct("policy_sha256").len(),
        }
    }

    /// Adds to `faults` unless just so many records are as expected; others may tell of something else.
    pub fn count(&self, expected: &Expected, calls: u32, faults: &mut Vec<String>) {
        let same = self.0.iter().filter(|r| {
            let mine = text(r, "callee_in").starts_with(&expected.dialled);
            mine && odd(r, expected).is_none()
        });
        let same = same.count();
        if same != calls as usize {
            let Expected {
                dialled, attempts, ..
            } = expected;
            faults.push(format!(
                "{same} records of numbers {dialled}… with attempts {attempts:?}, not {calls}"
            ));
        }
    }
}

/// The first field of a record that is not as expected.
fn odd(record: &Value, expected: &Expected) -> Option<&'static str> {
    let rest = text(record, "callee_in").strip_prefix(&expected.dialled)?;
    let kept = expected.attempts.get(expected.kept);
    let egress = kept.map(|(trunk, _)| trunk.as_str());
    let attempts = record["attempts"].as_array().map_or(&[][..], Vec::as_slice);
    let as_told = attempts.len() == expected.attempts.len()
        && attempts
            .iter()
            .zip(&expected.attempts)
            .all(|(a, (trunk, code))| text(a, "trunk") == trunk && a["code"] == *code);
    let checks = [
        (
            "callee_out",
            egress.is_none() || text(record, "callee_out") == format!("{}{rest}", expected.sent),
        ),
        (
            "ingress_trunk",
            expected
                .ingress
                .is_none_or(|trunk| text(record, "ingress_trunk") == trunk),
        ),
        ("final_code", record["final_code"] == expected.final_code),
        ("egress_trunk", record["egress_trunk"].as_str() == egress),
        ("attempts", as_told),
        ("ended_by", text(record, "ended_by") == expected.ended_by),
        (
            "answered_at",
            record["answered_at"].is_string() == (expected.final_code == 200),
        ),
        (
            "fallback",
            record["fallback"].is_null() || record["fallback"] == false,
        ),
    ];
    checks
        .into_iter()
        .find_map(|(field, good)| (!good).then_some(field))
}

fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Expected, odd};
    use serde_json::json;

    #[test]
    fn a_record_that_tells_another_story_is_named_by_its_field() {
        let attempts = [("gw-a", 503), ("gw-b", 200)];
        let mut expected = Expected::answered("9206555", "+1206555", &attempts, "caller");
        expected.ingress = Some("pbx-a");
        let good = json!({
            "ingress_trunk": "pbx-a",
            "callee_in": "92065550123", "callee_out": "+12065550123", "final_code": 200,
            "egress_trunk": "gw-b", "ended_by": "caller", "answered_at": "2026-01-01T00:00:00.000Z",
            "fallback": null,
            "attempts": [{"trunk": "gw-a", "code": 503}, {"trunk": "gw-b", "code": 200}],
        });
        assert_eq!(odd(&good, &expected), None);
        for (field, value) in [
            ("callee_out", json!("+12065550124")),
            ("ingress_trunk", json!("pbx-b")),
            ("final_code", json!(503)),
            ("egress_trunk", json!("gw-a")),
            ("attempts", json!([{"trunk": "gw-b", "code": 200}])),
            ("ended_by", json!("host")),
            ("answered_at", json!(null)),
            ("fallback", json!("timeout")),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert_eq!(odd(&bad, &expected), Some(field));
        }
    }
}
