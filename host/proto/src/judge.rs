//! The host has the last word: what of a verdict is done.
//!
//! A candidate that breaks a rule is left out with a note; a verdict with nothing left, or one that
//! breaks a rule as a whole, is a policy fault and the fallback decides.

use std::net::SocketAddr;
use std::sync::Arc;

use intertrunk_sip::Name;

use crate::ask::{Candidate, Inquiry, Party, Plan, PolicyFault, Redirection, Rejection, Verdict};
use crate::limits::Limits;
use crate::snapshot::{Policy, Snapshot};
use crate::target::{Resolved, Targets};
use crate::trunk::{Peer, Trunk, TrunkKind};

/// A candidate that may be tried.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// What the policy said.
    pub candidate: Candidate,
    /// Its trunk.
    pub trunk: Arc<Trunk>,
    /// The one peer that it named, if it did.
    pub peer: Option<Peer>,
}

/// What is left of a verdict.
#[derive(Clone, Debug)]
pub enum Judged {
    /// Try these; never empty.
    Connect {
        /// In the order of their groups.
        accepted: Vec<Accepted>,
        /// The plan's other parts; its candidates have moved out.
        plan: Plan,
    },
    /// Refuse the call.
    Reject(Rejection),
    /// Send the caller elsewhere.
    Redirect(Redirection),
    /// Look these up and ask again.
    Inquire(Inquiry),
    /// Nothing usable: the fallback decides.
    Fault(PolicyFault),
}

/// Judges a verdict on a call from `ingress`. `policy` is absent for the host's own fallback
/// routes, which need no grant. Also returns a note for each candidate left out.
pub fn judge(
    verdict: Verdict,
    ingress: &Trunk,
    snapshot: &Snapshot,
    policy: Option<&Policy>,
) -> (Judged, Vec<String>) {
    let fault = |why: &str| Judged::Fault(PolicyFault::Verdict(why.to_owned()));
    match verdict {
        Verdict::Connect(plan) => connect(plan, ingress, snapshot, policy),
        Verdict::Reject(r) if !(400..=699).contains(&r.code) => (
            fault(&format!(
                "rejects with code {}; 400 to 699 are legal",
                r.code
            )),
            Vec::new(),
        ),
        Verdict::Reject(r) if r.phrase.as_deref().is_some_and(|p| !is_short_line(p)) => (
            fault("reason phrase that is too long or not printable"),
            Vec::new(),
        ),
        Verdict::Reject(rejection) => (Judged::Reject(rejection), Vec::new()),
        Verdict::Redirect(parties) if parties.is_empty() => {
            (fault("redirects to nobody"), Vec::new())
        }
        Verdict::Redirect(parties) if parties.len() > snapshot.limits.candidates_max => {
            let most = snapshot.limits.candidates_max;
            (
                fault(&format!("redirects to more than {most} parties")),
                Vec::new(),
            )
        }
        Verdict::Redirect(parties) if parties.iter().any(is_endless) => {
            (fault("redirects to a party that is too long"), Vec::new())
        }
        Verdict::Redirect(parties) => match Redirection::of(&parties) {
            Some(redirection) => (Judged::Redirect(redirection), Vec::new()),
            None => (fault("redirects to a party that makes no URI"), Vec::new()),
        },
        Verdict::Inquire(inquiry) => {
            let judged = match check_inquiry(&inquiry, &snapshot.limits, policy) {
                Ok(()) => Judged::Inquire(inquiry),
                Err(why) => fault(&why),
            };
            (judged, Vec::new())
        }
        Verdict::Pass => (fault("passes, but no policy follows it"), Vec::new()),
    }
}

fn check_inquiry(
    inquiry: &Inquiry,
    limits: &Limits,
    policy: Option<&Policy>,
) -> Result<(), String> {
    if policy.is_none_or(|policy| policy.sources.is_empty()) {
        return Err("inquires, but it was granted no outside source".to_owned());
    }
    let most = limits.look_ups_max;
    if !(1..=most).contains(&inquiry.look_ups.len()) {
        let count = inquiry.look_ups.len();
        return Err(format!(
            "inquires {count} times at once; 1 to {most} is legal"
        ));
    }
    let strings = inquiry
        .look_ups
        .iter()
        .map(|it| it.source.len() + it.key.len());
    if strings.sum::<usize>() + inquiry.cookie.len() > limits.plan_bytes_max {
        let most = limits.plan_bytes_max;
        return Err(format!("its inquiry is larger than {most} bytes"));
    }
    Ok(())
}

fn connect(
    mut plan: Plan,
    ingress: &Trunk,
    snapshot: &Snapshot,
    policy: Option<&Policy>,
) -> (Judged, Vec<String>) {
    let limits = &snapshot.limits;
    let fault = |why: String, notes| (Judged::Fault(PolicyFault::Verdict(why)), notes);
    if let Err(why) = check_plan(&plan, limits) {
        return fault(why, Vec::new());
    }
    let mut notes = Vec::new();
    let mut accepted = Vec::new();
    for (i, candidate) in std::mem::take(&mut plan.candidates).into_iter().enumerate() {
        let checked = if i < limits.candidates_max {
            check_candidate(&candidate, ingress, snapshot, policy)
        } else {
            Err(format!(
                "is past the limit of {} candidates",
                limits.candidates_max
            ))
        };
        match checked {
            Ok((trunk, peer)) => accepted.push(Accepted {
                candidate,
                trunk,
                peer,
            }),
            // One line for all that are past the limit.
            Err(_) if i > limits.candidates_max => {}
            Err(why) => notes.push(format!("candidate {} ({}) {why}", i + 1, shown(&candidate))),
        }
    }
    if accepted.is_empty() {
        let why = match notes.first() {
            Some(first) => format!("no candidate may be tried: {first}"),
            None => "connects to nobody".to_owned(),
        };
        return fault(why, notes);
    }
    accepted.sort_by_key(|a| a.candidate.group);
    (Judged::Connect { accepted, plan }, notes)
}

fn check_plan(plan: &Plan, limits: &Limits) -> Result<(), String> {
    let bytes: usize = plan.candidates.iter().map(candidate_bytes).sum::<usize>()
        + plan
            .tags
            .iter()
            .map(|t| t.name.len() + t.value.len())
            .sum::<usize>()
        + plan.cookie.len();
    if bytes > limits.plan_bytes_max {
        return Err(format!(
            "plan of {bytes} bytes; the limit is {}",
            limits.plan_bytes_max
        ));
    }
    let bad_code = plan
        .code_maps
        .iter()
        .find(|m| !(400..=699).contains(&m.to_code));
    if let Some(map) = bad_code {
        return Err(format!(
            "maps a code to {}; 400 to 699 are legal",
            map.to_code
        ));
    }
    if let crate::ask::WhenExhausted::Reply(code) = plan.when_exhausted
        && !(400..=699).contains(&code)
    {
        return Err(format!(
            "replies {code} when exhausted; 400 to 699 are legal"
        ));
    }
    Ok(())
}

fn candidate_bytes(c: &Candidate) -> usize {
    let text = |s: &Option<String>| s.as_ref().map_or(0, String::len);
    let identity = c
        .caller
        .as_ref()
        .map_or(0, |i| i.user.len() + text(&i.display));
    let set: usize = c
        .set_headers
        .iter()
        .map(|h| h.name.len() + h.value.len())
        .sum();
    let removed: usize = c.remove_headers.iter().map(String::len).sum();
    c.trunk.len() + text(&c.peer) + text(&c.callee) + identity + set + removed
}

/// Why a candidate may not be tried, as the end of a sentence that names it.
fn check_candidate(
    c: &Candidate,
    ingress: &Trunk,
    snapshot: &Snapshot,
    policy: Option<&Policy>,
) -> Result<(Arc<Trunk>, Option<Peer>), String> {
    let Some(trunk) = snapshot.trunk_named(&c.trunk) else {
        return Err("names a trunk that there is not".to_owned());
    };
    if let Some(policy) = policy
        && !policy.may_use(&c.trunk)
    {
        return Err(format!(
            "uses a trunk that policy {} was not granted",
            policy.name
        ));
    }
    if trunk.id == ingress.id || shares_peer(trunk, ingress) {
        return Err("leads back to where the call came from".to_owned());
    }
    if is_toll(ingress, trunk) {
        return Err(format!(
            "goes from PSTN to PSTN, which trunk {} does not allow (allow_pstn_to)",
            ingress.name
        ));
    }
    check_numbers(c)?;
    check_headers(c, &snapshot.limits)?;
    if c.failover
        .iter()
        .flatten()
        .any(|code| !(300..=699).contains(code))
    {
        return Err("has a failover code that is no failure".to_owned());
    }
    if c.price().is_none() {
        return Err("has a price that is none, such as 0.012".to_owned());
    }
    let named = c
        .peer
        .as_ref()
        .map(|name| find_peer(trunk, name))
        .transpose()?;
    Ok((Arc::clone(trunk), named))
}

/// Whether a way from one trunk to another is PSTN to PSTN and not allowed.
pub(crate) fn is_toll(ingress: &Trunk, egress: &Trunk) -> bool {
    let both_pstn = egress.kind == TrunkKind::Pstn && ingress.kind == TrunkKind::Pstn;
    both_pstn && !ingress.pstn_to.contains(&egress.id)
}

fn shares_peer(egress: &Trunk, ingress: &Trunk) -> bool {
    egress
        .peers
        .iter()
        .any(|e| ingress.peers.iter().any(|i| i.targets.overlaps(&e.targets)))
}

fn find_peer(trunk: &Trunk, name: &str) -> Result<Peer, String> {
    let named = |p: &&Peer| *p.uri == *name || *p.host_port == *name;
    let found = trunk.peers.iter().find(named).cloned();
    found
        .or_else(|| at_address(trunk, name))
        .ok_or_else(|| format!("names a peer that trunk {} does not have", trunk.name))
}

/// The peer with this address, and with no other of its targets.
fn at_address(trunk: &Trunk, address: &str) -> Option<Peer> {
    let address: SocketAddr = address.parse().ok()?;
    trunk.peers.iter().find_map(|peer| {
        let resolved = peer.targets.now();
        let target = resolved.targets.iter().find(|t| t.address == address)?;
        let targets = Targets::default();
        targets.replace(Resolved {
            targets: vec![target.clone()],
            left: Vec::new(),
        });
        Some(Peer {
            targets: Arc::new(targets),
            ..peer.clone()
        })
    })
}

fn check_numbers(c: &Candidate) -> Result<(), String> {
    let legal = |s: &str| !s.is_empty() && is_short_line(s);
    if c.callee.as_deref().is_some_and(|n| !legal(n)) {
        return Err("has a called number that is empty, too long or not printable".to_owned());
    }
    if c.caller.as_ref().is_some_and(|i| !legal(&i.user)) {
        return Err("has a caller that is empty, too long or not printable".to_owned());
    }
    let display = c.caller.as_ref().and_then(|i| i.display.as_deref());
    if display.is_some_and(|d| !is_short_line(d)) {
        return Err("has a display name that is too long or not printable".to_owned());
    }
    Ok(())
}

fn check_headers(c: &Candidate, limits: &Limits) -> Result<(), String> {
    if c.set_headers.len() + c.remove_headers.len() > limits.headers_max {
        return Err(format!("edits more than {} headers", limits.headers_max));
    }
    let names = c
        .set_headers
        .iter()
        .map(|h| &h.name)
        .chain(&c.remove_headers);
    for name in names {
        if !intertrunk_sip::is_token(name.as_bytes()) {
            return Err(format!("has an illegal header name {name:?}"));
        }
        if is_hosts_own(name) {
            return Err(format!("touches {name}, which is the host's"));
        }
    }
    match c.set_headers.iter().find(|h| !is_one_line(&h.value)) {
        Some(h) => Err(format!(
            "sets {} to a value with control characters",
            h.name
        )),
        None => Ok(()),
    }
}

/// Headers that make the dialog, the transaction, the framing or our own mark, long or compact, in any
/// case (K16).
fn is_hosts_own(name: &str) -> bool {
    const UNNAMED: [&str; 2] = ["Join", "Target-Dialog"];
    let same = |other: &&str| other.eq_ignore_ascii_case(name);
    UNNAMED.iter().any(same)
        || matches!(
            Name::of(name.as_bytes()),
            Name::Via
                | Name::From
                | Name::To
                | Name::CallId
                | Name::CSeq
                | Name::Contact
                | Name::MaxForwards
                | Name::HopMark
                | Name::Route
                | Name::RecordRoute
                | Name::Path
                | Name::ServiceRoute
                | Name::ContentLength
                | Name::ContentType
                | Name::ContentEncoding
                | Name::ContentDisposition
                | Name::MimeVersion
                | Name::Require
                | Name::ProxyRequire
                | Name::Supported
                | Name::Unsupported
                | Name::Replaces
                | Name::ReferTo
                | Name::SessionExpires
                | Name::MinSe
                | Name::RSeq
                | Name::RAck
                | Name::Timestamp
                | Name::Event
                | Name::SubscriptionState
        )
}

/// Bytes of one number, name, host or phrase.
const TEXT_BYTES_MAX: usize = 256;

fn is_endless(party: &Party) -> bool {
    party.user.len().max(party.host.len()) > TEXT_BYTES_MAX
}

fn is_short_line(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && is_one_line(text)
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}

fn shown(c: &Candidate) -> String {
    c.trunk
        .chars()
        .filter(|ch| !ch.is_control())
        .take(64)
        .collect()
}

#[cfg(test)]
mod tests;
