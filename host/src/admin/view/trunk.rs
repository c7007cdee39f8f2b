//! How trunks are shown: their health, their calls, and where their peers are.

use intertrunk_proto::target::Target;
use intertrunk_proto::trunk::{Health, Peer, Sums, Trunk, TrunkKind};
use intertrunk_proto::{Instant, Snapshot};
use serde::Serialize;

use super::RegistrationView;

/// A trunk with what is true of it at this moment.
#[derive(Debug, Serialize)]
pub struct TrunkView<'t> {
    name: &'t str,
    kind: &'static str,
    site: Option<&'t str>,
    tags: &'t [String],
    /// `up`, `degraded`, `down`, or `disabled` where an operator has switched it off.
    health: &'static str,
    /// What an operator wants: `enabled`, `draining`, `disabled`.
    state: &'static str,
    calls: u32,
    calls_in: u32,
    calls_out: u32,
    max_calls: Option<u32>,
    max_calls_in: Option<u32>,
    max_calls_out: Option<u32>,
    /// How calls to it have ended lately.
    lately: LatelyView,
    listen: &'t str,
    peers: Vec<&'t str>,
    targets: Vec<TargetView>,
    policy: &'t str,
    /// Our registration there, if one is wanted.
    registration: Option<RegistrationView>,
}

impl<'t> TrunkView<'t> {
    /// Shows a trunk of `snapshot`.
    pub fn new(trunk: &'t Trunk, snapshot: &'t Snapshot, now: Instant) -> TrunkView<'t> {
        TrunkView {
            name: &trunk.name,
            kind: match trunk.kind {
                TrunkKind::Pbx => "pbx",
                TrunkKind::Pstn => "pstn",
                TrunkKind::Sbc => "sbc",
            },
            site: trunk.site.as_deref(),
            tags: &trunk.tags,
            health: trunk.state.health().as_str(),
            state: trunk.state.switch().as_str(),
            calls: trunk.state.active(),
            calls_in: trunk.state.incoming(),
            calls_out: trunk.state.outgoing(),
            max_calls: trunk.calls_max,
            max_calls_in: trunk.calls_in_max,
            max_calls_out: trunk.calls_out_max,
            lately: LatelyView::new(&trunk.sums(now)),
            listen: snapshot.listener(trunk.listen).map_or("", |l| &*l.name),
            peers: trunk.peers.iter().map(|p| &*p.uri).collect(),
            targets: trunk.peers.iter().flat_map(|p| targets(p, now)).collect(),
            policy: snapshot.policy(trunk.policy).map_or("", |p| &*p.name),
            registration: RegistrationView::new(trunk, now),
        }
    }
}

/// How calls to a trunk have ended lately. Shares are of a thousand, and of 1000 before there were any.
#[derive(Debug, Serialize)]
pub struct LatelyView {
    attempts: u32,
    asr_permille: u16,
    ner_permille: u16,
    pdd_ms: u32,
    acd_ms: Option<u32>,
}

impl LatelyView {
    fn new(sums: &Sums) -> LatelyView {
        LatelyView {
            attempts: sums.attempts,
            asr_permille: sums.asr_permille(),
            ner_permille: sums.ner_permille(),
            pdd_ms: sums.pdd_mean_ms(),
            acd_ms: sums.acd_ms(),
        }
    }
}

/// Something that somebody should look at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct AlarmView {
    trunk: String,
    /// `down`, `degraded`, or `limit` when 90 % of one are taken.
    alarm: &'static str,
}

/// All alarms of all trunks. What an operator has switched off is none.
pub fn alarms(snapshot: &Snapshot) -> Vec<AlarmView> {
    let of = |trunk: &Trunk| {
        let health = match trunk.state.health() {
            health @ (Health::Down | Health::Degraded) => Some(health.as_str()),
            Health::Up | Health::Disabled => None,
        };
        let near = trunk.load_percent().is_some_and(|load| load >= 90);
        let alarms = health.into_iter().chain(near.then_some("limit"));
        let trunk = trunk.name.to_string();
        alarms.map(move |alarm| AlarmView {
            trunk: trunk.clone(),
            alarm,
        })
    };
    snapshot.trunks.iter().flat_map(|trunk| of(trunk)).collect()
}

/// One address that a peer stands for; a peer whose name has none is there once, without.
#[derive(Debug, Serialize)]
pub struct TargetView {
    peer: String,
    host: Option<String>,
    address: Option<std::net::SocketAddr>,
    priority: Option<u16>,
    weight: Option<u16>,
    /// How long it is tried last yet, because it failed.
    rests_ms: Option<u64>,
    /// Not tried: it does not answer OPTIONS, or calls to it failed.
    down: Option<bool>,
    /// Calls that are up to it.
    calls: Option<u32>,
}

fn targets(peer: &Peer, now: Instant) -> Vec<TargetView> {
    let resolved = peer.targets.now();
    let view = |target: Option<&Target>| TargetView {
        peer: peer.uri.to_string(),
        host: target.map(|t| t.host.to_string()),
        address: target.map(|t| t.address),
        priority: target.map(|t| t.priority),
        weight: target.map(|t| t.weight),
        rests_ms: target
            .filter(|t| t.is_failing(now))
            .and_then(|t| t.mark.until())
            .map(|until| u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX)),
        down: target.map(|t| t.mark.is_down(now)),
        calls: target.map(|t| t.mark.calls()),
    };
    match resolved.targets.as_slice() {
        [] => vec![view(None)],
        targets => targets.iter().map(|t| view(Some(t))).collect(),
    }
}
