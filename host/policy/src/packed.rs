//! Questions and answers in bytes, for policies that export `packed` ([decision 98]).
//!
//! Our types mirror those of the contract, field by field and case by case in the same order, so that
//! serde packs them as the contract says.
//!
//! [decision 98]: ../../../docs/decisions/0098-packed-questions.md

use intertrunk_proto::ask::{Query, Verdict};
use wasmtime::component::TypedFunc;
use wasmtime::{Error, Store};

use crate::imports::Guest;

/// Enough for most queries.
const QUERY_BYTES: usize = 512;
/// Most bytes of a verdict. The host takes up to thirty times as much for what they say.
const VERDICT_BYTES_MAX: usize = 128 << 10;

/// The export: a query, its verdict.
pub(crate) type Packed = TypedFunc<(Vec<u8>,), (Vec<u8>,)>;

/// Asks in bytes.
pub(crate) fn decide(
    packed: &Packed,
    store: &mut Store<Guest>,
    query: &Query,
) -> wasmtime::Result<Verdict> {
    let query = postcard::to_extend(query, Vec::with_capacity(QUERY_BYTES))?;
    let (verdict,) = packed.call(store, (query,))?;
    unpacked(&verdict)
}

fn unpacked(verdict: &[u8]) -> wasmtime::Result<Verdict> {
    if verdict.len() > VERDICT_BYTES_MAX {
        return Err(Error::msg("too much data in its packed verdict"));
    }
    match postcard::take_from_bytes(verdict) {
        Ok((verdict, [])) => Ok(verdict),
        Ok(_) => Err(Error::msg("more bytes than its packed verdict has")),
        Err(error) => Err(Error::msg(format!("no packed verdict: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use intertrunk_proto::ask::{
        Answered, AttemptFacts, CallFacts, Candidate, Cause, HeaderField, NoAnswer, Param, Party,
        Plan, Privacy, Scheme, Transfer,
    };

    use super::*;
    use crate::engine::Engine;
    use crate::instance::{Instance, Surroundings};
    use crate::options::Options;
    use crate::program::{Code, Program};
    use crate::world::{Nowhere, World};

    fn party(user: &str, scheme: Scheme) -> Party {
        let param = |value: Option<&str>| Param {
            name: format!("of-{user}"),
            value: value.map(str::to_owned),
        };
        Party {
            display: (scheme == Scheme::Sips).then(|| "Zoë".to_owned()),
            scheme,
            user: user.to_owned(),
            host: "pbx.example".to_owned(),
            params: vec![param(None), param(Some("1"))],
        }
    }

    /// A query with something in each field.
    fn query(callee: &str, cause: Cause) -> Query {
        Query {
            call: CallFacts {
                id: "c-1".to_owned(),
                ingress: "pbx-a".to_owned(),
                request_uri: party("+12065550123;ext=7", Scheme::Tel),
                caller: party("alice", Scheme::Sips),
                callee: party(callee, Scheme::Sip),
                asserted: vec![party("+14255550100", Scheme::Other)],
                diverted: vec![party("first", Scheme::Sip), party("", Scheme::Tel)],
                privacy: Privacy::Full,
                source: "127.0.0.2:5060".to_owned(),
                emergency: true,
                hops_left: 200,
                headers: vec![HeaderField {
                    name: "X-Site".to_owned(),
                    value: "köln".to_owned(),
                }],
                extra: party("extra", Scheme::Sip).params,
            },
            cause,
            cookie: vec![0, 127, 128, 255],
            unix_ms: 1_750_000_000_000,
            seed: u64::MAX,
            explain: true,
        }
    }

    fn causes() -> Vec<Cause> {
        let attempt = AttemptFacts {
            trunk: "gw-a".to_owned(),
            peer: "127.0.0.3:5060".to_owned(),
            code: 503,
            q850: Some(34),
            progressed: true,
            elapsed_ms: 70_000,
        };
        let answered = |outcome| Answered {
            source: "lnp".to_owned(),
            key: "+1".to_owned(),
            outcome,
        };
        vec![
            Cause::NewCall,
            Cause::Exhausted(vec![AttemptFacts::default(), attempt]),
            Cause::Redirected(vec![party("bob", Scheme::Sips)]),
            Cause::Transferred(Transfer {
                by: "pbx-b".to_owned(),
                target: party("carol", Scheme::Sip),
                replaces: true,
            }),
            Cause::Answered(vec![
                answered(Ok("+2".to_owned())),
                answered(Err(NoAnswer::UnknownSource)),
                answered(Err(NoAnswer::Denied)),
                answered(Err(NoAnswer::Timeout)),
                answered(Err(NoAnswer::Failed)),
            ]),
        ]
    }

    /// A policy is told, and says, the same in bytes as in the contract's types.
    #[test]
    fn packed_and_typed_questions_and_answers_are_the_same() {
        let engine = Engine::new().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/hostile");
        let module = crate::build::build(&folder, None).unwrap().bytes;
        let options = Options {
            tables: vec!["*".to_owned()],
            ..Options::default()
        };
        let code = Program::load(&engine, &module, &options).unwrap().code;
        assert!(code.packed.is_some());
        let typed = Code {
            imports: code.imports.clone(),
            exports: code.exports.clone(),
            pre: code.pre.clone(),
            indices: code.indices.clone(),
            packed: None,
            ticker: Arc::clone(&code.ticker),
        };
        let world: Arc<dyn World> = Arc::new(Nowhere);
        let with = Surroundings {
            access: &Arc::default(),
            memory_bytes_max: 32 << 20,
            world: &world,
            tables: &world.tables(),
            time: Duration::from_secs(60),
        };
        let open = |code| Instance::new(code, &with).unwrap();
        for (code, misdeed) in [
            (&*code, "boast"),
            (&*code, "crowd"),
            (&typed, "boast"),
            (&typed, "crowd"),
        ] {
            let query = query(misdeed, Cause::NewCall);
            let fault = open(code).decide(&query, &world).unwrap_err();
            assert!(
                fault.to_string().contains("too much data"),
                "{misdeed}: {fault}"
            );
        }
        let (mut packed, mut typed) = (open(&code), open(&typed));
        let mut told = std::collections::BTreeSet::new();
        for callee in [
            "echo",
            "echo-bare",
            "echo-reject",
            "echo-redirect",
            "echo-inquire",
            "echo-pass",
        ] {
            // A guest may read a query into the one before it: nothing is left of that.
            let mut bare = Query::default();
            bare.call.callee.user = callee.to_owned();
            let full = causes().into_iter().map(|cause| query(callee, cause));
            for query in full.chain([bare]) {
                let verdict = packed.decide(&query, &world).unwrap();
                assert_eq!(verdict, typed.decide(&query, &world).unwrap(), "{query:?}");
                told.insert(format!("{verdict:?}"));
            }
        }
        // Those that repeat the query differ by its cause, and one that repeats the caller by that.
        assert_eq!(told.len(), 3 * 6 + 4, "{told:#?}");
    }

    #[test]
    fn what_is_no_verdict_is_an_error() {
        let plan = Plan {
            candidates: vec![Candidate {
                trunk: "gw-ä".to_owned(),
                failover: Some(vec![503]),
                ..Candidate::default()
            }],
            ..Plan::default()
        };
        let verdict = Verdict::Connect(plan);
        let bytes = postcard::to_extend(&verdict, Vec::new()).unwrap();
        assert_eq!(unpacked(&bytes).unwrap(), verdict);
        for length in 0..bytes.len() {
            assert!(unpacked(&bytes[..length]).is_err(), "{length}");
        }
        let more = [&bytes[..], &[0]].concat();
        let error = |bytes: &[u8]| unpacked(bytes).unwrap_err().to_string();
        assert_eq!(error(&more), "more bytes than its packed verdict has");
        // No such case, a text that is not UTF-8, and a list that says it has more than fits into memory.
        assert!(error(&[5]).starts_with("no packed verdict"));
        let place = bytes.iter().position(|byte| *byte == b'g').unwrap();
        let mut broken = bytes;
        broken[place] = 0xFF;
        assert!(error(&broken).starts_with("no packed verdict"));
        let endless = [0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        assert!(error(&endless).starts_with("no packed verdict"));
        let long = vec![0; VERDICT_BYTES_MAX + 1];
        assert_eq!(error(&long), "too much data in its packed verdict");
    }
}
