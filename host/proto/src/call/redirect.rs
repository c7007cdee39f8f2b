//! A called side that sends the call elsewhere: 3xx (RFC 3261 §21.3), by the rule of its trunk.
//!
//! The policy is asked what to make of it, or the places named are tried where they are peers of
//! configured trunks, or a trusted caller is told, or the redirection is a failure like any other.
//! A redirection after ringing is obeyed too: the called side itself says where it went on.

use intertrunk_sip::{Message, Name, NameAddr};

use super::attempt::AttemptId;
use super::outcome::Ending;
use super::{Call, Refusal};
use crate::ask::{Candidate, Cause, Party, Plan, Redirection, Verdict};
use crate::core::Core;
use crate::event::EndedBy;
use crate::judge::{Judged, judge};
use crate::query;
use crate::snapshot::Snapshot;
use crate::trunk::Redirects;

/// Places that one redirection may name; more are not looked at.
const CONTACTS_MAX: usize = 8;

/// The places that a 3xx names, the one that its sender likes best first (RFC 3261 §8.1.3.4).
pub(super) fn places_in(response: &Message) -> Vec<Party> {
    let contacts = response.values(Name::Contact).take(CONTACTS_MAX);
    let parsed = contacts.filter_map(|value| NameAddr::parse(value).ok());
    let mut places: Vec<(f32, Party)> = parsed
        .map(|contact| {
            let q = contact.params.get("q").flatten();
            let q = q.and_then(|q| q.trim().parse().ok()).unwrap_or(1.0);
            (q, query::party(&contact))
        })
        .collect();
    places.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    places.into_iter().map(|(_, party)| party).collect()
}

impl Call {
    /// Does what the rule says about a redirection. False if nothing is to be done: it is a failure
    /// then.
    pub(super) fn redirected(&mut self, id: AttemptId, failure: &Ending, core: &mut Core) -> bool {
        let Some(attempt) = self.attempts.get(usize::from(id.0)) else {
            return false;
        };
        let by_plan = attempt.candidate.extra.iter();
        let by_plan = by_plan.filter(|p| p.name == "redirects");
        let by_plan = by_plan
            .filter_map(|p| Redirects::named(p.value.as_deref()?))
            .next();
        let rule = by_plan.unwrap_or(attempt.leg.trunk.redirects);
        let places = &failure.places;
        if places.is_empty() || self.redirects >= core.snapshot.limits.redirects_max {
            return false;
        }
        match rule {
            Redirects::Refuse => false,
            Redirects::Policy => {
                self.redirects += 1;
                self.ask(Cause::Redirected(places.clone()), core);
                true
            }
            Redirects::Follow => self.follow(places, core),
            Redirects::Pass => self.pass_redirection(failure, core),
        }
    }

    /// Tries the places that are peers of trunks, in their order; the guards hold as for a fallback.
    fn follow(&mut self, places: &[Party], core: &mut Core) -> bool {
        let known = places.iter().filter_map(|p| peer_at(p, &core.snapshot));
        let candidates: Vec<Candidate> = known
            .zip(0..)
            .map(|(candidate, group)| Candidate { group, ..candidate })
            .collect();
        if candidates.is_empty() {
            return false;
        }
        let plan = Plan {
            candidates,
            ..self.plan.clone()
        };
        let verdict = Verdict::Connect(plan);
        let (judged, notes) = judge(verdict, &self.ingress(), &core.snapshot, None);
        self.story.refused.extend(notes);
        if matches!(judged, Judged::Fault(_)) {
            return false;
        }
        self.redirects += 1;
        self.carry_out(judged, core);
        true
    }

    /// Tells a trusted caller where to go.
    fn pass_redirection(&mut self, failure: &Ending, core: &mut Core) -> bool {
        let trusted = self.change.is_none() && self.a.trunk.identity.trusted;
        let Some(to) = Redirection::of(&failure.places).filter(|_| trusted) else {
            return false;
        };
        let refusal = Refusal {
            contacts: &to.contacts,
            ..Refusal::of(failure.code)
        };
        self.refuse(&refusal, EndedBy::Callee, core);
        true
    }
}

/// The candidate that a place stands for, if it is a peer of a trunk.
fn peer_at(place: &Party, snapshot: &Snapshot) -> Option<Candidate> {
    let bare = place.host.strip_suffix(":5060").unwrap_or(&place.host);
    let same = |host: &str| {
        let host = host.strip_suffix(":5060").unwrap_or(host);
        host.eq_ignore_ascii_case(bare)
    };
    let (trunk, peer) = snapshot.trunks.iter().find_map(|trunk| {
        let peer = trunk.peers.iter().find(|p| same(&p.host_port))?;
        Some((trunk, peer))
    })?;
    Some(Candidate {
        trunk: trunk.name.to_string(),
        peer: Some(peer.uri.to_string()),
        callee: (!place.user.is_empty()).then(|| place.user.clone()),
        ..Candidate::default()
    })
}
