//! What the failures of attempts mean for those that come after them (K5, RFC 3261 §16.7).

use intertrunk_proto::Instant;
use intertrunk_proto::ask::Candidate;
use intertrunk_sip::{Message, Name};

use super::attempt::Attempt;
use crate::world::TRUNKS;

/// The trunks that a 3xx names by the addresses of their peers, the best first.
pub(super) fn places_in(response: &Message) -> Option<Vec<Candidate>> {
    let mut places: Vec<(f32, &str)> = Vec::new();
    let contacts: Vec<String> = (response.values(Name::Contact))
        .map(|c| String::from_utf8_lossy(c).into_owned())
        .collect();
    for contact in &contacts {
        let q = contact.split_once(";q=").and_then(|(_, q)| q.parse().ok());
        let trunk = TRUNKS.iter().find(|t| contact.contains(t.2));
        places.extend(trunk.map(|t| (q.unwrap_or(1.0), t.0)));
    }
    places.sort_by(|a, b| b.0.total_cmp(&a.0));
    let candidates = places
        .into_iter()
        .zip(0..)
        .map(|((_, trunk), group)| Candidate {
            trunk: trunk.to_owned(),
            group,
            ..Candidate::default()
        });
    (!contacts.is_empty()).then(|| candidates.collect())
}

/// The class by which the failures of those that rang together are compared (RFC 3261 §16.7): a global
/// one first; who was silent has timed out, who could not be sent to is out of service.
pub(super) fn class_of(attempt: &Attempt) -> u16 {
    match attempt.code {
        Some(600..=699) => 0,
        Some(code) => code / 100,
        None if attempt.unsendable => 5,
        None => 4,
    }
}

pub(super) fn best_class(all: &[Attempt], turn: (u8, bool, u8)) -> u16 {
    let together = all.iter().filter(|a| a.turn == turn);
    together.map(class_of).min().unwrap_or_default()
}

/// Why after this attempt no other may be tried yet, or ever. Of those that rang together, the best
/// says whether it goes on.
pub(super) fn why_not_on(before: &Attempt, all: &[Attempt], now: Instant) -> Option<String> {
    let name = TRUNKS.get(before.trunk).map_or("?", |t| t.0);
    let best = class_of(before) == best_class(all, before.turn);
    // Who redirects a call says itself where it went on.
    if best_class(all, before.turn) == 3 {
        return None;
    }
    match before.code {
        Some(code) if before.rang => Some(format!("{name} rang, then said {code}")),
        Some(code) if best && ![408, 500, 502, 503, 504].contains(&code) => {
            Some(format!("{name} said {code}"))
        }
        Some(_) => None,
        None if before.is_live(now) => Some(format!("{name} may still answer")),
        None => None,
    }
}
