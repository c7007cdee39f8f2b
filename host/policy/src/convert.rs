//! The one place where the contract's generated types and ours meet. Maps fields, decides nothing.

use intertrunk_proto::ask;
use intertrunk_proto::trunk::{Health, TrunkKind};

use crate::bindings::exports::intertrunk::policy::policy_api;
use crate::bindings::intertrunk::policy::{tables, trunks, types as wit};
use crate::fault::ConfigureFault;
use crate::program::Manifest;
use crate::world::{Row, TrunkFacts};

/// Lends `query` to `ask` in the contract's form. Strings are borrowed; only lists of structures
/// are laid out anew, and empty ones cost nothing.
pub(crate) fn lend<R>(query: &ask::Query, ask: impl FnOnce(wit::Query<'_>) -> R) -> R {
    let call = &query.call;
    let params: Vec<_> = parties(query)
        .flat_map(|it| &it.params)
        .map(param)
        .collect();
    let mut params = Params(&params);
    let request_uri = params.party(&call.request_uri);
    let caller = params.party(&call.caller);
    let callee = params.party(&call.callee);
    let asserted: Vec<_> = call.asserted.iter().map(|it| params.party(it)).collect();
    let diverted: Vec<_> = call.diverted.iter().map(|it| params.party(it)).collect();
    let targets: Vec<_> = targets(&query.cause)
        .iter()
        .map(|it| params.party(it))
        .collect();
    let headers: Vec<_> = call.headers.iter().map(header).collect();
    let extra: Vec<_> = call.extra.iter().map(param).collect();
    let (attempts, answers);
    let cause = match &query.cause {
        ask::Cause::NewCall => wit::Cause::NewCall,
        ask::Cause::Exhausted(failed) => {
            attempts = failed.iter().map(attempt).collect::<Vec<_>>();
            wit::Cause::Exhausted(&attempts)
        }
        ask::Cause::Redirected(_) => wit::Cause::Redirected(&targets),
        ask::Cause::Transferred(transfer) => wit::Cause::Transferred(wit::Transfer {
            by: &transfer.by,
            target: targets[0].clone(),
            replaces: transfer.replaces,
        }),
        ask::Cause::Answered(given) => {
            answers = given.iter().map(answer).collect::<Vec<_>>();
            wit::Cause::Answered(&answers)
        }
    };
    ask(wit::Query {
        call: wit::Call {
            id: &call.id,
            ingress: &call.ingress,
            request_uri,
            caller,
            callee,
            asserted: &asserted,
            diverted: &diverted,
            privacy: match call.privacy {
                ask::Privacy::None => wit::Privacy::None,
                ask::Privacy::User => wit::Privacy::User,
                ask::Privacy::Full => wit::Privacy::Full,
            },
            source: &call.source,
            emergency: call.emergency,
            hops_left: call.hops_left,
            headers: &headers,
            extra: &extra,
        },
        cause,
        cookie: &query.cookie,
        unix_ms: query.unix_ms,
        seed: query.seed,
        explain: query.explain,
    })
}

/// All parties of a query, in the order in which [`lend`] lays them out.
fn parties(query: &ask::Query) -> impl Iterator<Item = &ask::Party> {
    let call = &query.call;
    let of_call = [&call.request_uri, &call.caller, &call.callee].into_iter();
    of_call
        .chain(&call.asserted)
        .chain(&call.diverted)
        .chain(targets(&query.cause))
}

/// The parties that a cause names.
fn targets(cause: &ask::Cause) -> &[ask::Party] {
    match cause {
        ask::Cause::Redirected(targets) => targets,
        ask::Cause::Transferred(transfer) => std::slice::from_ref(&transfer.target),
        ask::Cause::NewCall | ask::Cause::Exhausted(_) | ask::Cause::Answered(_) => &[],
    }
}

/// The parameters of the parties still to be laid out.
struct Params<'a>(&'a [wit::ParamParam<'a>]);

impl<'a> Params<'a> {
    fn party(&mut self, party: &'a ask::Party) -> wit::PartyParam<'a> {
        let (params, rest) = self.0.split_at(party.params.len());
        self.0 = rest;
        wit::PartyParam {
            display: party.display.as_deref(),
            scheme: match party.scheme {
                ask::Scheme::Sip => wit::Scheme::Sip,
                ask::Scheme::Sips => wit::Scheme::Sips,
                ask::Scheme::Tel => wit::Scheme::Tel,
                ask::Scheme::Other => wit::Scheme::Other,
            },
            user: &party.user,
            host: &party.host,
            params,
        }
    }
}

fn param(param: &ask::Param) -> wit::ParamParam<'_> {
    wit::ParamParam {
        name: &param.name,
        value: param.value.as_deref(),
    }
}

fn header(header: &ask::HeaderField) -> wit::HeaderParam<'_> {
    wit::HeaderParam {
        name: &header.name,
        value: &header.value,
    }
}

fn attempt(attempt: &ask::AttemptFacts) -> wit::Attempt<'_> {
    wit::Attempt {
        trunk: &attempt.trunk,
        peer: &attempt.peer,
        code: attempt.code,
        q850: attempt.q850,
        progressed: attempt.progressed,
        elapsed_ms: attempt.elapsed_ms,
    }
}

fn answer(answer: &ask::Answered) -> wit::Answer<'_> {
    wit::Answer {
        source: &answer.source,
        key: &answer.key,
        outcome: answer.outcome.as_deref().map_err(|why| match why {
            ask::NoAnswer::UnknownSource => wit::NoAnswer::UnknownSource,
            ask::NoAnswer::Denied => wit::NoAnswer::Denied,
            ask::NoAnswer::Timeout => wit::NoAnswer::Timeout,
            ask::NoAnswer::Failed => wit::NoAnswer::Failed,
        }),
    }
}

fn all<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(U::from).collect()
}

impl From<wit::Verdict> for ask::Verdict {
    fn from(verdict: wit::Verdict) -> Self {
        match verdict {
            wit::Verdict::Connect(plan) => ask::Verdict::Connect(plan.into()),
            wit::Verdict::Reject(it) => ask::Verdict::Reject(ask::Rejection {
                code: it.code,
                phrase: it.phrase,
                q850: it.q850,
                retry_after_s: it.retry_after_s,
            }),
            wit::Verdict::Redirect(targets) => ask::Verdict::Redirect(all(targets)),
            wit::Verdict::Inquire(it) => ask::Verdict::Inquire(ask::Inquiry {
                look_ups: all(it.look_ups),
                cookie: it.cookie,
            }),
            wit::Verdict::Pass => ask::Verdict::Pass,
        }
    }
}

impl From<wit::Plan> for ask::Plan {
    fn from(plan: wit::Plan) -> Self {
        ask::Plan {
            candidates: all(plan.candidates),
            when_exhausted: match plan.when_exhausted {
                wit::ExhaustedAction::RelayLast => ask::WhenExhausted::RelayLast,
                wit::ExhaustedAction::AskAgain => ask::WhenExhausted::AskAgain,
                wit::ExhaustedAction::Reply(code) => ask::WhenExhausted::Reply(code),
            },
            code_maps: all(plan.code_maps),
            max_duration_s: plan.max_duration_s,
            tags: all(plan.tags),
            cookie: plan.cookie,
            extra: all(plan.extra),
        }
    }
}

impl From<wit::Candidate> for ask::Candidate {
    fn from(candidate: wit::Candidate) -> Self {
        ask::Candidate {
            trunk: candidate.trunk,
            peer: candidate.peer,
            callee: candidate.callee,
            caller: candidate.caller.map(|it| ask::Identity {
                user: it.user,
                display: it.display,
            }),
            withhold_caller: candidate.withhold_caller,
            set_headers: all(candidate.set_headers),
            remove_headers: candidate.remove_headers,
            no_progress_ms: candidate.no_progress_ms,
            ring_ms: candidate.ring_ms,
            failover: candidate.failover,
            media: match candidate.media {
                wit::Media::TrunkDefault => ask::Media::TrunkDefault,
                wit::Media::Direct => ask::Media::Direct,
                wit::Media::Relay => ask::Media::Relay,
            },
            group: candidate.group,
            extra: all(candidate.extra),
        }
    }
}

impl From<wit::PartyResult> for ask::Party {
    fn from(party: wit::PartyResult) -> Self {
        ask::Party {
            display: party.display,
            scheme: match party.scheme {
                wit::Scheme::Sip => ask::Scheme::Sip,
                wit::Scheme::Sips => ask::Scheme::Sips,
                wit::Scheme::Tel => ask::Scheme::Tel,
                wit::Scheme::Other => ask::Scheme::Other,
            },
            user: party.user,
            host: party.host,
            params: all(party.params),
        }
    }
}

impl From<wit::ParamResult> for ask::Param {
    fn from(param: wit::ParamResult) -> Self {
        ask::Param {
            name: param.name,
            value: param.value,
        }
    }
}

impl From<wit::HeaderResult> for ask::HeaderField {
    fn from(header: wit::HeaderResult) -> Self {
        ask::HeaderField {
            name: header.name,
            value: header.value,
        }
    }
}

impl From<wit::CodeMap> for ask::CodeMap {
    fn from(map: wit::CodeMap) -> Self {
        ask::CodeMap {
            from_code: map.from_code,
            q850: map.q850,
            to_code: map.to_code,
        }
    }
}

impl From<wit::Tag> for ask::Tag {
    fn from(tag: wit::Tag) -> Self {
        ask::Tag {
            name: tag.name,
            value: tag.value,
        }
    }
}

impl From<wit::LookUp> for ask::LookUp {
    fn from(it: wit::LookUp) -> Self {
        ask::LookUp {
            source: it.source,
            key: it.key,
            timeout_ms: it.timeout_ms,
        }
    }
}

impl From<TrunkFacts> for trunks::Trunk {
    fn from(facts: TrunkFacts) -> Self {
        trunks::Trunk {
            name: facts.name,
            kind: match facts.kind {
                TrunkKind::Pbx => trunks::Kind::Pbx,
                TrunkKind::Pstn => trunks::Kind::Pstn,
                TrunkKind::Sbc => trunks::Kind::Sbc,
            },
            site: facts.site,
            tags: facts.tags,
            health: match facts.health {
                Health::Up => trunks::Health::Up,
                Health::Degraded => trunks::Health::Degraded,
                Health::Down => trunks::Health::Down,
                Health::Disabled => trunks::Health::Disabled,
            },
            active: facts.active,
            limit: facts.limit,
            answered_permille: facts.answered_permille,
            pdd_ms: facts.pdd_ms,
        }
    }
}

impl From<Row> for tables::Row {
    fn from(row: Row) -> Self {
        tables::Row {
            key: row.key,
            columns: row.columns,
        }
    }
}

impl From<policy_api::Manifest> for Manifest {
    fn from(manifest: policy_api::Manifest) -> Self {
        Manifest {
            name: manifest.name,
            version: manifest.version,
            headers: manifest.headers,
            trunks: manifest.trunks,
            tables: manifest.tables,
        }
    }
}

impl From<policy_api::Fault> for ConfigureFault {
    fn from(fault: policy_api::Fault) -> Self {
        ConfigureFault {
            path: fault.path,
            line: fault.line,
            problem: fault.problem,
            remedy: fault.remedy,
        }
    }
}
