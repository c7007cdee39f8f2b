//! Log lines: one for each fact, always with the call's id.
//!
//! Levels: a message is TRACE, a call DEBUG, an operator's change INFO, and WARN is for what
//! somebody should look at. Telephone numbers appear at DEBUG and below only.

use std::io::{self, IsTerminal, Write};

use intertrunk_proto::ask::PolicyFault;
use intertrunk_proto::trunk::Registered;
use intertrunk_proto::{Event, Snapshot, TrunkId};
use tracing::{debug, info, trace, warn};
use tracing_subscriber::EnvFilter;

use super::stderr::Lines;

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Logging, until this is dropped; then the last lines are out.
#[derive(Debug)]
pub struct Log(Lines);

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.0.flush();
    }
}

/// Starts logging to standard error. `filter` is in the syntax of `RUST_LOG`, which is used when
/// there is none; without either, INFO and above are shown. Fails on a filter that cannot be read.
pub fn start(format: LogFormat, filter: Option<&str>) -> anyhow::Result<Log> {
    let from_env = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = EnvFilter::try_new(filter.or(from_env.as_deref()).unwrap_or("info"))?;
    let lines = Lines::start(io::stderr())?;
    let log = Log(lines.clone());
    let layout = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(move || lines.clone());
    let started = match format {
        LogFormat::Text => layout.with_target(false).try_init(),
        LogFormat::Json => layout.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    Ok(log)
}

/// The line for one fact.
pub fn line(event: &Event, snapshot: &Snapshot) {
    let name = |id: &TrunkId| snapshot.trunk(*id).map_or("", |t| &*t.name);
    match event {
        Event::CallStarted { call, ingress } => {
            debug!(%call, trunk = name(ingress), "call started");
        }
        // Warned of once, when the generation was set aside; not again for each call.
        Event::Decided {
            call,
            generation,
            fault: Some(PolicyFault::Quarantined),
            ..
        } => debug!(%call, generation, "fallback decided: the policy is quarantined"),
        Event::Decided {
            call,
            generation,
            fault: Some(fault),
            refused,
        } => {
            warn!(%call, generation, kind = fault.kind(), ?refused, "fallback decided: {fault}");
        }
        Event::Decided {
            call,
            generation,
            fault: None,
            refused,
        } => debug!(%call, generation, ?refused, "decided"),
        Event::AttemptStarted { call, trunk, peer } => {
            debug!(%call, trunk = name(trunk), %peer, "attempt started");
        }
        Event::AttemptFailed { call, trunk, code } => {
            debug!(%call, trunk = name(trunk), code, "attempt failed");
        }
        Event::CallAnswered { call, .. } => debug!(%call, "call answered"),
        Event::CallTransferred { call, .. } => debug!(%call, "call transferred"),
        Event::Planned { .. } => {}
        Event::CallEnded(record) => debug!(
            call = %record.call,
            sip_call_id = record.sip_call_id,
            from = &*record.ingress_trunk,
            to = record.egress_trunk.as_deref(),
            caller = record.caller_in,
            callee = record.callee_in,
            code = record.final_code,
            ended_by = record.ended_by.as_str(),
            "call ended"
        ),
        Event::Shed {
            load,
            since_told: Some(calls),
        } => warn!(calls, load = load.as_str(), "overload: new calls refused"),
        Event::Shed {
            since_told: None, ..
        } => {}
        Event::TrunkHealth {
            trunk,
            health,
            why: Some(why),
        } => warn!(
            trunk = name(trunk),
            health = health.as_str(),
            "trunk is not well: {why}"
        ),
        Event::TrunkHealth {
            trunk,
            health,
            why: None,
        } => info!(
            trunk = name(trunk),
            health = health.as_str(),
            "trunk is well"
        ),
        Event::Registration {
            trunk,
            how: Registered::Failed,
            code,
        } => warn!(trunk = name(trunk), code, "not registered"),
        // Each refresh is one more: only that we leave is an operator's doing.
        Event::Registration {
            trunk,
            how: Registered::No,
            ..
        } => info!(trunk = name(trunk), "unregistered"),
        Event::Registration { trunk, code, .. } => {
            debug!(trunk = name(trunk), code, "registered");
        }
        Event::TrunkNearLimit { trunk, near: true } => {
            warn!(trunk = name(trunk), "trunk takes more than 90 % of a limit");
        }
        Event::TrunkNearLimit { trunk, near: false } => {
            info!(
                trunk = name(trunk),
                "trunk takes less than 80 % of its limits again"
            );
        }
        Event::Refused { flow, code } => debug!(remote = %flow.remote, code, "request refused"),
        Event::Dropped {
            flow,
            cause,
            detail,
        } => {
            debug!(remote = %flow.remote, ?cause, "dropped: {detail}");
        }
        Event::Challenged { flow } => debug!(remote = %flow.remote, "request challenged"),
        Event::WrongCredentials { flow, trunk, .. } => {
            let trunk = trunk.as_ref().map(name);
            debug!(remote = %flow.remote, trunk, "wrong credentials");
        }
        Event::LateAnswer => debug!("a policy's answer came too late"),
        Event::Retransmitted { flow } => trace!(remote = %flow.remote, "retransmission absorbed"),
    }
}
