//! `[emergency]`: which calls are for help, and where they go when nobody decides.

use intertrunk_proto::Emergency;

use super::build::Names;
use super::read::{At, Section};
use super::value::{self, Complaint};

/// As written.
#[derive(Debug, Default)]
pub struct EmergencyEntry {
    numbers: Vec<String>,
    route: Vec<At<String>>,
}

/// Reads the section.
pub fn read(s: Section<'_>) -> EmergencyEntry {
    let numbers = s.list("numbers", number).unwrap_or_default();
    let entry = EmergencyEntry {
        numbers: numbers.into_iter().map(|at| at.value).collect(),
        route: s.list("route", value::name).unwrap_or_default(),
    };
    s.finish();
    entry
}

/// What is dialled: digits, perhaps behind a `+`.
fn number(text: &str) -> Result<String, Complaint> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let legal = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#');
    if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(legal) {
        let problem = format!("\"{text}\" is no number");
        return Err(Complaint::new(problem, "write \"112\" or \"911\""));
    }
    Ok(text.to_owned())
}

/// The same with its trunks found.
pub fn resolve(entry: &EmergencyEntry, names: &Names<'_>) -> Emergency {
    Emergency {
        numbers: entry.numbers.clone(),
        route: entry
            .route
            .iter()
            .filter_map(|at| names.trunk(at))
            .collect(),
    }
}
