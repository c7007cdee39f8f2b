//! From the neutral form of case files to the types of the contract, and back. Maps fields, decides
//! nothing.

use intertrunk_cases::{self as cases, Facts, Outcome, OutcomeCandidate};

use crate::{
    Answer, Attempt, Call, Candidate, Cause, Header, Health, NoAnswer, Param, Party, Plan, Privacy,
    Query, Row, Scheme, Transfer, TrunkFacts, TrunkKind, Verdict,
};

/// A new call from trunk `from` to `to`: a number, an address, or a SIP or tel URI. The caller is
/// anonymous; set `call.caller` for another.
///
/// ```
/// let query = intertrunk_sdk::test::query("pbx-a", "+14255550100");
/// assert_eq!(query.ingress(), "pbx-a");
/// assert_eq!(query.callee().user, "+14255550100");
/// ```
pub fn query(from: &str, to: &str) -> Query {
    query_of(Facts::new(from, to))
}

/// A party of a call, from a number, an address, or a SIP or tel URI.
pub fn party(text: &str) -> Party {
    party_of(cases::Party::read(text))
}

pub(super) fn query_of(facts: Facts) -> Query {
    let header = |(name, value)| Header { name, value };
    Query {
        call: Call {
            id: facts.call_id,
            ingress: facts.ingress,
            request_uri: party_of(facts.request_uri),
            caller: party_of(facts.caller),
            callee: party_of(facts.callee),
            asserted: facts.asserted.into_iter().map(party_of).collect(),
            diverted: facts.diverted.into_iter().map(party_of).collect(),
            privacy: match facts.privacy {
                cases::Privacy::None => Privacy::None,
                cases::Privacy::User => Privacy::User,
                cases::Privacy::Full => Privacy::Full,
            },
            source: facts.source,
            emergency: facts.emergency,
            hops_left: facts.hops_left,
            headers: facts.headers.into_iter().map(header).collect(),
            extra: Vec::new(),
        },
        cause: cause_of(facts.cause),
        cookie: facts.cookie,
        unix_ms: facts.unix_ms,
        seed: facts.seed,
        explain: true,
    }
}

fn cause_of(cause: cases::Cause) -> Cause {
    let attempt = |it: cases::Attempt| Attempt {
        trunk: it.trunk,
        peer: it.peer,
        code: it.code,
        q850: None,
        progressed: it.progressed,
        elapsed_ms: it.elapsed_ms,
    };
    let answer = |it: cases::Answered| Answer {
        source: it.source,
        key: it.key,
        outcome: it.answer.ok_or(NoAnswer::Failed),
    };
    match cause {
        cases::Cause::NewCall => Cause::NewCall,
        cases::Cause::Exhausted(attempts) => {
            Cause::Exhausted(attempts.into_iter().map(attempt).collect())
        }
        cases::Cause::Redirected(targets) => {
            Cause::Redirected(targets.into_iter().map(party_of).collect())
        }
        cases::Cause::Transferred {
            by,
            target,
            replaces,
        } => Cause::Transferred(Transfer {
            by,
            target: party_of(target),
            replaces,
        }),
        cases::Cause::Answered(answers) => {
            Cause::Answered(answers.into_iter().map(answer).collect())
        }
    }
}

fn party_of(party: cases::Party) -> Party {
    let param = |it: cases::Param| Param {
        name: it.name,
        value: it.value,
    };
    Party {
        display: party.display,
        scheme: match party.scheme {
            cases::Scheme::Sip => Scheme::Sip,
            cases::Scheme::Sips => Scheme::Sips,
            cases::Scheme::Tel => Scheme::Tel,
            cases::Scheme::Other => Scheme::Other,
        },
        user: party.user,
        host: party.host,
        params: party.params.into_iter().map(param).collect(),
    }
}

pub(super) fn trunk_facts(trunk: &cases::TrunkFixture) -> TrunkFacts {
    TrunkFacts {
        name: trunk.name.clone(),
        kind: match trunk.kind {
            cases::TrunkKind::Pbx => TrunkKind::Pbx,
            cases::TrunkKind::Pstn => TrunkKind::Pstn,
            cases::TrunkKind::Sbc => TrunkKind::Sbc,
        },
        site: trunk.site.clone(),
        tags: trunk.tags.clone(),
        health: match trunk.health {
            cases::Health::Up => Health::Up,
            cases::Health::Degraded => Health::Degraded,
            cases::Health::Down => Health::Down,
            cases::Health::Disabled => Health::Disabled,
        },
        active: trunk.active,
        limit: trunk.limit,
        answered_permille: trunk.answered_permille,
        pdd_ms: trunk.pdd_ms,
    }
}

pub(super) fn row(row: cases::Row) -> Row {
    Row {
        key: row.key,
        columns: row.columns,
    }
}

pub(super) fn outcome_of(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Connect(Plan {
            candidates, tags, ..
        }) => Outcome::Connect {
            candidates: candidates.into_iter().map(candidate_of).collect(),
            tags: tags.into_iter().map(|tag| (tag.name, tag.value)).collect(),
        },
        Verdict::Reject(rejection) => Outcome::Reject(rejection.code),
        Verdict::Redirect(targets) => Outcome::Redirect(targets.into_iter().map(uri).collect()),
        Verdict::Inquire(inquiry) => {
            let look_up = |it: crate::LookUp| cases::LookUp {
                source: it.source,
                key: it.key,
            };
            Outcome::Inquire(inquiry.look_ups.into_iter().map(look_up).collect())
        }
        Verdict::Pass => Outcome::Pass,
    }
}

/// As the neutral form writes it.
fn uri(party: Party) -> String {
    let param = |it: Param| cases::Param {
        name: it.name,
        value: it.value,
    };
    let scheme = match party.scheme {
        Scheme::Sip => cases::Scheme::Sip,
        Scheme::Sips => cases::Scheme::Sips,
        Scheme::Tel => cases::Scheme::Tel,
        Scheme::Other => cases::Scheme::Other,
    };
    let params = party.params.into_iter().map(param).collect();
    cases::Party {
        display: None,
        scheme,
        user: party.user,
        host: party.host,
        params,
    }
    .to_string()
}

fn candidate_of(candidate: Candidate) -> OutcomeCandidate {
    let (caller, caller_name) = candidate
        .caller
        .map_or((None, None), |it| (Some(it.user), it.display));
    let mut extra = candidate.extra.into_iter();
    OutcomeCandidate {
        price: extra.find(|it| it.name == "price").and_then(|it| it.value),
        trunk: candidate.trunk,
        callee: candidate.callee,
        caller,
        caller_name,
        withhold: candidate.withhold_caller,
        headers: candidate
            .set_headers
            .into_iter()
            .map(|it| (it.name, it.value))
            .collect(),
        removed: candidate.remove_headers,
        group: candidate.group,
    }
}
