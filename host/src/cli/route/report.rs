//! The answer of `intertrunk route` as data; `print` shows it to people, serde to programs.

use std::time::Duration;

use intertrunk_proto::ask::{
    Answer, Answered, Candidate, CodeMap, Media, Plan, PolicyFault, Query, Rejection, WhenExhausted,
};
use intertrunk_proto::judge::Accepted;
use intertrunk_proto::trunk::Peer;
use intertrunk_proto::{Dialled, LookedUp, Snapshot};
use serde::Serialize;

use super::RouteArgs;
use super::plan::Walk;

/// What would become of a call.
#[derive(Serialize)]
pub struct Report {
    pub from: String,
    pub to: String,
    pub caller: String,
    pub policy: Option<String>,
    pub generation: Option<u64>,
    pub policy_sha256: Option<String>,
    /// Of all questions together.
    pub decision_us: u32,
    #[serde(flatten)]
    pub ending: Ending,
    /// What failed before the policy was asked again.
    pub before: Vec<String>,
    /// Why a fallback decided, one line for each policy that had to be given up.
    pub fallback: Vec<String>,
    /// Candidates that the host would not try, and why.
    pub refused: Vec<String>,
    pub because: Vec<String>,
    /// What the policy asked the host, and what it was told.
    pub look_ups: Vec<LookedUp>,
}

#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Ending {
    Connect(Dialling),
    Reject {
        code: u16,
        phrase: String,
        q850: Option<u16>,
        retry_after_s: Option<u32>,
    },
    Redirect {
        contacts: Vec<String>,
    },
}

/// Candidates in order, and what holds for all of them.
#[derive(Serialize)]
pub struct Dialling {
    pub candidates: Vec<Step>,
    /// The code that the caller gets, if the assumptions leave nobody to be tried.
    pub ends_with: Option<u16>,
    pub when_exhausted: String,
    pub max_duration_s: Option<u32>,
    pub code_maps: Vec<String>,
    pub tags: Vec<String>,
}

/// One candidate as it would be tried.
#[derive(Serialize)]
pub struct Step {
    pub trunk: String,
    pub peers: Vec<String>,
    /// Candidates of one group ring together.
    pub group: u8,
    pub request_uri: String,
    pub callee: String,
    pub caller: String,
    pub from: String,
    pub asserted: Option<String>,
    pub set_headers: Vec<String>,
    pub remove_headers: Vec<String>,
    pub no_progress_ms: u64,
    pub ring_ms: u64,
    pub failover: Vec<u16>,
    pub media: &'static str,
    /// Why it would be passed over, if it would.
    pub skipped: Option<String>,
}

impl Report {
    /// Nothing asked yet.
    pub fn new(args: &RouteArgs, query: &Query) -> Report {
        Report {
            from: args.from.clone(),
            to: args.to.clone(),
            caller: query.call.caller.user.clone(),
            policy: None,
            generation: None,
            policy_sha256: None,
            decision_us: 0,
            ending: Ending::from(rejection(503)),
            before: Vec::new(),
            fallback: Vec::new(),
            refused: Vec::new(),
            because: Vec::new(),
            look_ups: Vec::new(),
        }
    }

    /// Takes down a step on the way.
    pub fn note(&mut self, line: String) {
        self.because.push(line);
    }

    /// Takes down what a source said.
    pub fn inquired(&mut self, answer: &Answered) {
        self.look_ups.push(answer.into());
    }

    /// Takes down who answered and how it explains itself.
    pub fn asked(&mut self, answer: &Answer) {
        if let Ending::Connect(dialling) = &mut self.ending {
            let failed = dialling.candidates.drain(..);
            let lines =
                failed.map(|step| format!("{}: {}", step.trunk, step.skipped.unwrap_or_default()));
            self.before.extend(lines);
        }
        self.decision_us = self.decision_us.saturating_add(answer.decision_us);
        self.because.extend(answer.because.iter().cloned());
        self.look_ups.extend(answer.looked_up.iter().cloned());
        if let Some(pin) = &answer.pin {
            self.policy = Some(pin.policy.to_string());
            self.generation = Some(pin.generation);
            self.policy_sha256 = Some(pin.sha256.to_string());
        }
    }

    /// A policy gave no usable verdict.
    pub fn fell_back(&mut self, policy: &str, fault: &PolicyFault) {
        self.fallback.push(format!("policy {policy}: {fault}"));
    }

    /// The call would be refused.
    pub fn reject(&mut self, rejection: Rejection) {
        self.ending = Ending::from(rejection);
    }

    /// The call would be refused with this code.
    pub fn reject_with(&mut self, code: u16) {
        self.reject(rejection(code));
    }

    /// The caller would be told where to go.
    pub fn redirect(&mut self, contacts: Vec<String>) {
        self.ending = Ending::Redirect { contacts };
    }

    /// These would be tried.
    pub fn connect(&mut self, accepted: &[Accepted], plan: &Plan, walk: &Walk, asked: &Asked<'_>) {
        let steps = accepted.iter().zip(&walk.passed_over);
        let code_map = |map: &CodeMap| {
            let cause = map
                .q850
                .map(|cause| format!(" with cause {cause}"))
                .unwrap_or_default();
            format!("{}{cause} becomes {}", map.from_code, map.to_code)
        };
        self.ending = Ending::Connect(Dialling {
            candidates: steps
                .map(|(one, skipped)| step(one, skipped, asked))
                .collect(),
            ends_with: walk.ends_with,
            when_exhausted: match plan.when_exhausted {
                WhenExhausted::RelayLast => "the caller gets the last code".to_owned(),
                WhenExhausted::AskAgain => "the policy is asked again".to_owned(),
                WhenExhausted::Reply(code) => format!("the caller gets {code}"),
            },
            max_duration_s: plan.max_duration_s,
            code_maps: plan.code_maps.iter().map(code_map).collect(),
            tags: plan
                .tags
                .iter()
                .map(|tag| format!("{}={}", tag.name, tag.value))
                .collect(),
        });
    }

    /// Whether anybody would be dialled, or the caller told where to go.
    pub fn goes_on(&self) -> bool {
        match &self.ending {
            Ending::Connect(dialling) => dialling.ends_with.is_none(),
            Ending::Redirect { .. } => true,
            Ending::Reject { .. } => false,
        }
    }
}

/// What the numbers and timers of a candidate are taken from where it says nothing.
pub struct Asked<'a> {
    /// The call.
    pub query: &'a Query,
    /// The configuration.
    pub snapshot: &'a Snapshot,
}

/// The addresses of a peer in the order of their priority; its name while it has none.
fn addresses(peer: &Peer) -> Vec<String> {
    let resolved = peer.targets.now();
    if resolved.targets.is_empty() {
        return vec![format!("{} (no address)", peer.host_port)];
    }
    let addresses = resolved.targets.iter().map(|t| t.address.to_string());
    addresses.collect()
}

fn step(accepted: &Accepted, skipped: &Option<String>, asked: &Asked<'_>) -> Step {
    let Accepted {
        candidate,
        trunk,
        peer,
    } = accepted;
    let peers = peer
        .as_ref()
        .map_or(trunk.peers.as_slice(), std::slice::from_ref);
    let listener = trunk.listener_by(peers[0].transport, &asked.snapshot.listeners);
    let our_host = listener.map_or("", |listener| &listener.advertise);
    let dialled = Dialled::of(candidate, asked.query, trunk, &peers[0], our_host);
    let chosen = candidate.failover.clone();
    Step {
        trunk: trunk.name.to_string(),
        peers: peers.iter().flat_map(addresses).collect(),
        group: candidate.group,
        request_uri: dialled.request_uri,
        callee: dialled.callee,
        caller: dialled.caller,
        from: dialled.from,
        asserted: dialled.asserted,
        set_headers: set_headers(candidate),
        remove_headers: candidate.remove_headers.clone(),
        no_progress_ms: candidate
            .no_progress_ms
            .map_or_else(|| ms(trunk.no_progress), u64::from),
        ring_ms: candidate
            .ring_ms
            .map_or_else(|| ms(asked.snapshot.timers.ring), u64::from),
        failover: chosen.unwrap_or_else(|| trunk.failover_codes.clone()),
        media: match candidate.media {
            Media::TrunkDefault | Media::Direct => "direct",
            Media::Relay => "relay",
        },
        skipped: skipped.clone(),
    }
}

fn set_headers(candidate: &Candidate) -> Vec<String> {
    candidate
        .set_headers
        .iter()
        .map(|h| format!("{}: {}", h.name, h.value))
        .collect()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn rejection(code: u16) -> Rejection {
    Rejection {
        code,
        ..Rejection::default()
    }
}

impl From<Rejection> for Ending {
    fn from(rejection: Rejection) -> Ending {
        let Rejection {
            code,
            phrase,
            q850,
            retry_after_s,
        } = rejection;
        let usual = || intertrunk_sip::reason_phrase(code).to_owned();
        Ending::Reject {
            code,
            phrase: phrase.unwrap_or_else(usual),
            q850,
            retry_after_s,
        }
    }
}
