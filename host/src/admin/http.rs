//! Commands by HTTP. Translates paths to commands and answers to JSON; decides who may in.
//!
//! With a token, each request must carry it. Without one, only requests to an address literal or
//! `localhost` are taken: a web page in an operator's browser can send requests to this machine,
//! but it cannot hide the name that it sent them to, nor where it came from.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};
use intertrunk_policy::CanaryRules;
use intertrunk_proto::CallId;
use intertrunk_proto::trunk::Switch;
use serde::Deserialize;
use serde_json::json;

use super::command::{Command, Refusal, Reply};
use crate::audit::Who;
use crate::node::{ChangeFault, Node};

/// The largest module that can be staged.
const MODULE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the one token is called in the audit log.
const TOKEN_NAME: &str = "admin";

/// All endpoints for `node`. Requests must carry `token` if there is one.
pub fn router(node: Arc<Node>, token: Option<String>) -> Router {
    Router::new()
        .route("/healthz", get(plain(Command::Health)))
        .route("/readyz", get(plain(Command::Ready)))
        .route("/metrics", get(plain(Command::Metrics)))
        .route("/v1/status", get(plain(Command::Status)))
        .route("/v1/trunks", get(plain(Command::Trunks)))
        .route(
            "/v1/trunks/{name}",
            put(set_trunk).delete(named(Command::RemoveTrunk)),
        )
        .route(
            "/v1/trunks/{name}/enable",
            post(named(|name| Command::Trunk(name, Switch::Enabled))),
        )
        .route(
            "/v1/trunks/{name}/disable",
            post(named(|n| Command::Trunk(n, Switch::Disabled))),
        )
        .route(
            "/v1/trunks/{name}/drain",
            post(named(|n| Command::Trunk(n, Switch::Draining))),
        )
        .route("/v1/calls", get(plain(Command::Calls)))
        .route(
            "/v1/calls/{id}",
            get(of_call(Command::Call)).delete(of_call(Command::EndCall)),
        )
        .route("/v1/calls/{id}/why", get(of_call(Command::Why)))
        .route("/v1/policies", get(plain(Command::Policies)))
        .route("/v1/policies/{name}/stage", post(stage))
        .route("/v1/policies/{name}/shadow", post(named(Command::Shadow)))
        .route("/v1/policies/{name}/canary", post(canary))
        .route("/v1/policies/{name}/diff", get(named(Command::Diff)))
        .route("/v1/policies/{name}/promote", post(promote))
        .route(
            "/v1/policies/{name}/rollback",
            post(named(Command::Rollback)),
        )
        .route("/v1/blocked", get(plain(Command::Blocked)))
        .route("/v1/blocked/{source}", delete(unblock))
        .route("/v1/review", get(plain(Command::Review)))
        .route("/v1/reload", post(plain(Command::Reload)))
        .route("/v1/drain", post(plain(Command::Drain)))
        .route("/v1/resume", post(plain(Command::Resume)))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "there is no such endpoint") })
        .layer(DefaultBodyLimit::max(MODULE_BYTES_MAX))
        .layer(from_fn_with_state(token.map(Arc::from), let_in))
        .with_state(node)
}

/// Whose request it is, as [`let_in`] has found out.
type From = Extension<Who>;
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

fn plain(command: Command) -> impl Fn(State<Arc<Node>>, From) -> Answering + Clone + Send + Sync {
    move |State(node), Extension(who)| Box::pin(answer(node, who, command.clone()))
}

fn named<C>(
    command: C,
) -> impl Fn(State<Arc<Node>>, From, Path<String>) -> Answering + Clone + Send + Sync
where
    C: Fn(String) -> Command + Clone + Send + Sync,
{
    move |State(node), Extension(who), Path(name)| Box::pin(answer(node, who, command(name)))
}

fn of_call<C>(
    command: C,
) -> impl Fn(State<Arc<Node>>, From, Path<String>) -> Answering + Clone + Send + Sync
where
    C: Fn(CallId) -> Command + Clone + Send + Sync,
{
    move |State(node), Extension(who), Path(id)| match id.parse() {
        Ok(call) => Box::pin(answer(node, who, command(call))),
        Err(_) => Box::pin(async {
            error(
                StatusCode::BAD_REQUEST,
                "a call id is 16 hexadecimal digits",
            )
        }),
    }
}

/// The keys of the trunk in the body, as JSON.
async fn set_trunk(
    State(node): State<Arc<Node>>,
    Extension(who): From,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    match serde_json::from_slice(&body) {
        Ok(keys) => answer(node, who, Command::SetTrunk(name, keys)).await,
        Err(fault) => {
            let remedy = r#"write {"peers": ["sip:192.0.2.1"], "policy": "main"}"#;
            error(StatusCode::BAD_REQUEST, &format!("{fault}; {remedy}"))
        }
    }
}

async fn stage(
    State(node): State<Arc<Node>>,
    Extension(who): From,
    Path(policy): Path<String>,
    wasm: Bytes,
) -> Response {
    answer(node, who, Command::Stage(policy, wasm.into())).await
}

async fn unblock(
    State(node): State<Arc<Node>>,
    Extension(who): From,
    Path(source): Path<String>,
) -> Response {
    match source.parse() {
        Ok(source) => answer(node, who, Command::Unblock(source)).await,
        Err(_) => error(
            StatusCode::BAD_REQUEST,
            "a source is an address, such as 192.0.2.1",
        ),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    /// Hash of the module that is meant.
    sha256: Option<String>,
}

async fn promote(
    State(node): State<Arc<Node>>,
    Extension(who): From,
    Path(policy): Path<String>,
    only: Result<Query<Only>, QueryRejection>,
) -> Response {
    match only {
        Ok(Query(only)) => answer(node, who, Command::Promote(policy, only.sha256)).await,
        Err(fault) => error(StatusCode::BAD_REQUEST, &fault.body_text()),
    }
}

/// The rules in the body, as JSON; an empty body is 5 % of the callers.
async fn canary(
    State(node): State<Arc<Node>>,
    Extension(who): From,
    Path(policy): Path<String>,
    body: Bytes,
) -> Response {
    let rules = match &*body {
        [] => Ok(CanaryRules::default()),
        body => serde_json::from_slice(body),
    };
    match rules {
        Ok(rules) if (1..=100).contains(&rules.percent) => {
            answer(node, who, Command::Canary(policy, rules)).await
        }
        Ok(_) => error(StatusCode::BAD_REQUEST, "percent is from 1 to 100"),
        Err(fault) => {
            let remedy = r#"write {"percent": 5, "sticky": "caller"}"#;
            error(StatusCode::BAD_REQUEST, &format!("{fault}; {remedy}"))
        }
    }
}

async fn answer(node: Arc<Node>, who: Who, command: Command) -> Response {
    // Off this thread: a command may wait for shards, or compile.
    let done = tokio::task::spawn_blocking(move || command.run(&node, &who)).await;
    match done {
        Ok(Ok(Reply::Json(body))) => {
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Ok(Ok(Reply::Text(text))) => text.into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a bug: the command panicked",
        ),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::UnknownCall(_) | Refusal::UnknownTrunk(_) | Refusal::NotBlocked(_) => {
            StatusCode::NOT_FOUND
        }
        Refusal::Draining | Refusal::NotReady(_) | Refusal::Unresponsive(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::Change(change) => match change {
            ChangeFault::UnknownPolicy(_) | ChangeFault::UnknownTrunk(_) => StatusCode::NOT_FOUND,
            ChangeFault::Load { .. }
            | ChangeFault::Settings { .. }
            | ChangeFault::Table { .. }
            | ChangeFault::Config(_)
            | ChangeFault::Trunk(..)
            | ChangeFault::Kept { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ChangeFault::Slot { .. } | ChangeFault::Listener(_) | ChangeFault::NotKept => {
                StatusCode::CONFLICT
            }
            ChangeFault::Unresponsive(_) | ChangeFault::Resolver(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        },
    };
    error(status, &refusal.to_string())
}

/// `error` is for people; `faults` is the same, one a line, for programs that show a list.
fn error(status: StatusCode, message: &str) -> Response {
    let faults: Vec<&str> = message.lines().collect();
    let body = json!({ "error": message, "faults": faults }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn let_in(
    State(token): State<Option<Arc<str>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let allowed = match &token {
        Some(token) => carries(request.headers(), token),
        None => is_local(request.headers()),
    };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let who = Who::Admin {
        peer: peer.map(|ConnectInfo(peer)| *peer),
        token: token.as_ref().map(|_| TOKEN_NAME.to_owned()),
    };
    match (allowed, token) {
        (true, _) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        (false, Some(_)) => error(
            StatusCode::UNAUTHORIZED,
            "this needs `Authorization: Bearer` with the admin token",
        ),
        (false, None) => error(
            StatusCode::FORBIDDEN,
            "without `admin.token_file`, use an address or `localhost` in the URL, and no web page",
        ),
    }
}

fn carries(headers: &HeaderMap, token: &str) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.as_bytes().strip_prefix(b"Bearer "));
    // In time that depends on lengths only.
    given.is_some_and(|given| {
        let differing = given
            .iter()
            .zip(token.as_bytes())
            .fold(0, |all, (a, b)| all | (a ^ b));
        given.len() == token.len() && differing == 0
    })
}

fn is_local(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(host) = text(header::HOST) else {
        return false;
    };
    let same_origin = text(header::ORIGIN).is_none_or(|origin| {
        origin
            .strip_prefix("http://")
            .is_some_and(|from| from == host)
    });
    same_origin && is_literal(host)
}

/// Whether `host`, with or without a port, is an address or `localhost`.
fn is_literal(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (n.clone(), HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn only_the_whole_token_opens() {
        let carries = |v| carries(&headers(&[(header::AUTHORIZATION, v)]), "secret");
        assert!(carries("Bearer secret"));
        for wrong in [
            "Bearer secre",
            "Bearer secrets",
            "Bearer ",
            "secret",
            "Basic secret",
        ] {
            assert!(!carries(wrong), "{wrong}");
        }
        assert!(!super::carries(&HeaderMap::new(), "secret"));
    }

    #[test]
    fn a_web_page_does_not_get_in() {
        let host = |host| headers(&[(header::HOST, host)]);
        for good in [
            "127.0.0.1:8060",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8060",
            "[::1]",
        ] {
            assert!(is_local(&host(good)), "{good}");
        }
        assert!(
            !is_local(&host("evil.example:8060")),
            "a name that was rebound to us"
        );
        let from = |origin| headers(&[(header::HOST, "127.0.0.1:8060"), (header::ORIGIN, origin)]);
        assert!(is_local(&from("http://127.0.0.1:8060")));
        assert!(!is_local(&from("https://evil.example")));
        assert!(!is_local(&from("null")));
    }
}
