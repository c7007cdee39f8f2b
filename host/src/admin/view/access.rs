//! How it is shown who may come in: sources that are blocked, and where we are registered ourselves.

use intertrunk_proto::Instant;
use intertrunk_proto::blocking::Block;
use intertrunk_proto::trunk::Trunk;
use serde::Serialize;

use super::Time;
use crate::clock::Calendar;

/// Our registration at a trunk.
#[derive(Debug, Serialize)]
pub struct RegistrationView {
    /// `registering`, `registered`, `failed`, `unregistered`.
    state: &'static str,
    aor: String,
    registrar: String,
    /// The registrar's last answer.
    code: Option<u16>,
    /// How long it lasts yet.
    expires_in_ms: Option<u64>,
}

impl RegistrationView {
    pub(super) fn new(trunk: &Trunk, now: Instant) -> Option<RegistrationView> {
        let rules = trunk.register.as_ref()?;
        let registered = &trunk.state.registered;
        let left = registered.until().map(|until| until.since(now).as_millis());
        Some(RegistrationView {
            state: registered.how().as_str(),
            aor: rules.aor.to_string(),
            registrar: rules.registrar.uri.to_string(),
            code: Some(registered.code()).filter(|code| *code > 0),
            expires_in_ms: left.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
        })
    }
}

/// A source that nobody listens to.
#[derive(Debug, Serialize)]
pub struct BlockView {
    source: std::net::IpAddr,
    /// What filled the measure.
    offence: &'static str,
    until: Time,
    /// How often it has been blocked lately.
    times: u8,
    /// What it has sent in vain.
    dropped: u64,
}

impl BlockView {
    /// Shows `block` with the times of `calendar`.
    pub fn new(block: &Block, dropped: u64, calendar: &Calendar) -> BlockView {
        BlockView {
            source: block.source,
            offence: block.offence.as_str(),
            until: Time::of(block.until, calendar),
            times: block.times,
            dropped,
        }
    }
}
