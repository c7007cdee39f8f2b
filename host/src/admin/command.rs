//! Every question and order of an operator, and its answer.
//!
//! A command runs to its end on the thread that calls [`Command::run`]; staging a policy takes as
//! long as compiling it. Whatever carries commands (HTTP today) only translates.

use std::fmt::Write;
use std::net::IpAddr;

use intertrunk_policy::{CanaryRules, GenerationInfo};
use intertrunk_proto::CallId;
use intertrunk_proto::trunk::{Registered, Sums, Switch, Trunk};
use serde::Serialize;
use serde_json::{Map, Value};

use super::view::{
    BlockView, CallLine, DiffView, EndedCall, HeldView, ListenerView, LiveCall, PolicyView,
    StatusView, Time, TrunkView, Why, alarms,
};
use crate::audit::{Deed, Who};
use crate::node::{ChangeFault, Node, Reloaded, Unresponsive};
use crate::observe::metrics;

/// What an operator wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Does every shard turn?
    Health,
    /// Will a new call be taken?
    Ready,
    /// Counters and gauges for Prometheus.
    Metrics,
    /// The node as a whole.
    Status,
    /// All trunks.
    Trunks,
    /// Let this trunk take new calls, or not. Calls that are up go on.
    Trunk(String, Switch),
    /// A trunk with these keys of the configuration, new or in place of the one of its name.
    SetTrunk(String, Map<String, Value>),
    /// No trunk of this name.
    RemoveTrunk(String),
    /// All calls that are up.
    Calls,
    /// One call, up or ended lately.
    Call(CallId),
    /// Why it went where it went.
    Why(CallId),
    /// End it.
    EndCall(CallId),
    /// All policies and their generations.
    Policies,
    /// Compile and check this module for this policy.
    Stage(String, Vec<u8>),
    /// Let its staged generation decide in the shadow.
    Shadow(String),
    /// Let its staged generation decide for a share of the calls.
    Canary(String, CanaryRules),
    /// How its staged generation differs from the live one so far.
    Diff(String),
    /// Put its staged generation live; if there is a hash, only that one.
    Promote(String, Option<String>),
    /// Put the generation before back.
    Rollback(String),
    /// Sources that nobody listens to.
    Blocked,
    /// Listen to this one again.
    Unblock(IpAddr),
    /// Say what reading the configuration again would change.
    Review,
    /// Read the configuration again.
    Reload,
    /// Refuse new calls.
    Drain,
    /// Take new calls again.
    Resume,
}

/// A good answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// JSON.
    Json(Vec<u8>),
    /// Plain text.
    Text(String),
}

/// A command that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No such call.
    #[error("there is no call {0}; it is not up, and not among those that ended lately")]
    UnknownCall(CallId),
    /// No such trunk.
    #[error("there is no trunk `{0}`")]
    UnknownTrunk(String),
    /// No such block.
    #[error("{0} is not blocked")]
    NotBlocked(IpAddr),
    /// New calls are refused.
    #[error("draining")]
    Draining,
    /// A policy without a live generation.
    #[error("policy `{0}` has no live generation")]
    NotReady(String),
    /// A change that was not made.
    #[error(transparent)]
    Change(#[from] ChangeFault),
    /// A shard.
    #[error(transparent)]
    Unresponsive(#[from] Unresponsive),
}

impl Command {
    /// Carries it out for somebody. A change is in the audit log before this returns.
    pub fn run(self, node: &Node, who: &Who) -> Result<Reply, Refusal> {
        let Some(mut deed) = self.deed() else {
            return self.carry_out(node).map(|done| done.reply);
        };
        match self.carry_out(node) {
            Ok(Done { reply, sha256 }) => {
                deed.sha256 = sha256;
                node.audit().note(who, &deed, Ok(()));
                Ok(reply)
            }
            Err(refusal) => {
                node.audit().note(who, &deed, Err(&refusal));
                Err(refusal)
            }
        }
    }

    /// What it changes, if it is no mere question.
    fn deed(&self) -> Option<Deed> {
        Some(match self {
            Command::Health
            | Command::Ready
            | Command::Metrics
            | Command::Status
            | Command::Trunks
            | Command::Calls
            | Command::Call(_)
            | Command::Why(_)
            | Command::Policies
            | Command::Diff(_)
            | Command::Review
            | Command::Blocked => return None,
            Command::Trunk(name, switch) => match switch {
                Switch::Enabled => Deed::of("trunk-enable", name),
                Switch::Draining => Deed::of("trunk-drain", name),
                Switch::Disabled => Deed::of("trunk-disable", name),
            },
            Command::SetTrunk(name, _) => Deed::of("trunk-set", name),
            Command::RemoveTrunk(name) => Deed::of("trunk-remove", name),
            Command::EndCall(call) => Deed::of("end-call", call.to_string()),
            Command::Stage(policy, _) => Deed::of("stage", policy),
            Command::Shadow(policy) => Deed::of("shadow", policy),
            Command::Canary(policy, rules) => Deed {
                detail: Some(format!("{} %", rules.percent)),
                ..Deed::of("canary", policy)
            },
            Command::Promote(policy, _) => Deed::of("promote", policy),
            Command::Rollback(policy) => Deed::of("rollback", policy),
            Command::Unblock(source) => Deed::of("unblock", source.to_string()),
            Command::Reload => Deed::new("reload"),
            Command::Drain => Deed::new("drain"),
            Command::Resume => Deed::new("resume"),
        })
    }

    fn carry_out(self, node: &Node) -> Result<Done, Refusal> {
        let reply = match self {
            Command::Stage(policy, wasm) => return Ok(Done::of(&node.stage(&policy, &wasm)?)),
            Command::Shadow(policy) => return Ok(Done::of(&node.shadow(&policy)?)),
            Command::Canary(policy, rules) => return Ok(Done::of(&node.canary(&policy, rules)?)),
            Command::Promote(policy, sha256) => {
                return Ok(Done::of(&node.promote(&policy, sha256.as_deref())?));
            }
            Command::Rollback(policy) => return Ok(Done::of(&node.rollback(&policy)?)),
            Command::Reload => return Ok(Done::reloaded(node.reload()?)),
            Command::SetTrunk(name, keys) => {
                return Ok(Done::reloaded(node.set_trunk(&name, &keys)?));
            }
            Command::RemoveTrunk(name) => return Ok(Done::reloaded(node.remove_trunk(&name)?)),
            Command::Health => node
                .pulse()
                .map(|_| Reply::Text("ok\n".to_owned()))
                .map_err(Into::into),
            Command::Ready => ready(node),
            Command::Metrics => metrics(node),
            Command::Status => status(node),
            Command::Trunks => Ok(trunks(node)),
            Command::Trunk(name, switch) => trunk(node, &name, switch),
            Command::Calls => calls(node),
            Command::Call(call) => one_call(node, call),
            Command::Why(call) => why(node, call),
            Command::EndCall(call) => end_call(node, call),
            Command::Policies => Ok(policies(node)),
            Command::Blocked => Ok(blocked(node)),
            Command::Unblock(source) => unblock(node, source),
            Command::Diff(policy) => Ok(json(&DiffView::new(node.policy(&policy)?))),
            Command::Review => Ok(json(&node.review()?)),
            Command::Drain => {
                node.drain()?;
                tracing::info!("draining: new calls are refused");
                Ok(json(&State { state: state(node) }))
            }
            Command::Resume => {
                node.resume()?;
                tracing::info!("resumed: new calls are taken");
                Ok(json(&State { state: state(node) }))
            }
        };
        reply.map(|reply| Done {
            reply,
            sha256: None,
        })
    }
}

/// What was done.
struct Done {
    reply: Reply,
    /// Hash of the module or of the file that it is about.
    sha256: Option<String>,
}

impl Done {
    fn of(generation: &GenerationInfo) -> Done {
        Done {
            reply: json(generation),
            sha256: Some(generation.sha256.clone()),
        }
    }

    fn reloaded(reloaded: Reloaded) -> Done {
        Done {
            reply: json(&reloaded),
            sha256: Some(reloaded.sha256),
        }
    }
}

#[derive(Serialize)]
struct State {
    state: &'static str,
}

fn state(node: &Node) -> &'static str {
    if node.is_draining() {
        "draining"
    } else {
        "running"
    }
}

fn json(value: &impl Serialize) -> Reply {
    Reply::Json(serde_json::to_vec(value).expect("views have string keys and no failing parts"))
}

fn ready(node: &Node) -> Result<Reply, Refusal> {
    if node.is_draining() {
        return Err(Refusal::Draining);
    }
    match node.slots().iter().find(|slot| slot.live().is_none()) {
        Some(slot) => Err(Refusal::NotReady(slot.name().to_string())),
        None => Ok(Reply::Text("ready\n".to_owned())),
    }
}

fn status(node: &Node) -> Result<Reply, Refusal> {
    let calendar = node.clock().calendar();
    let addresses = node.addresses().into_iter();
    let pulses = node.pulse()?;
    Ok(json(&StatusView {
        node: &node.running().snapshot.node,
        version: env!("CARGO_PKG_VERSION"),
        state: state(node),
        started_at: Time::of(intertrunk_proto::Instant::default(), &calendar),
        uptime_s: calendar.uptime().as_secs(),
        shards: node.shards(),
        calls: pulses.iter().map(|pulse| pulse.calls).sum(),
        held: HeldView::new(&pulses),
        memory: node.running().memory,
        listeners: addresses
            .map(|(n, address)| ListenerView {
                name: n.to_string(),
                address,
            })
            .collect(),
        policies: node
            .slots()
            .iter()
            .map(|slot| PolicyView::new(slot))
            .collect(),
        alarms: alarms(&node.running().snapshot),
        counters: metrics::totals(node.counters()).into_iter().collect(),
    }))
}

fn trunks(node: &Node) -> Reply {
    let (snapshot, now) = (&node.running().snapshot, node.clock().now());
    let trunks: Vec<_> = snapshot
        .trunks
        .iter()
        .map(|t| TrunkView::new(t, snapshot, now))
        .collect();
    json(&trunks)
}

fn trunk(node: &Node, name: &str, switch: Switch) -> Result<Reply, Refusal> {
    let snapshot = &node.running().snapshot;
    let trunk = snapshot.trunk_named(name);
    let trunk = trunk.ok_or_else(|| Refusal::UnknownTrunk(name.to_owned()))?;
    trunk.state.set_switch(switch);
    tracing::info!(
        trunk = name,
        now = switch.as_str(),
        "trunk switched by an operator"
    );
    Ok(json(&TrunkView::new(trunk, snapshot, node.clock().now())))
}

fn calls(node: &Node) -> Result<Reply, Refusal> {
    let (calls, calendar) = (node.calls()?, node.clock().calendar());
    let lines: Vec<_> = calls
        .iter()
        .map(|call| CallLine::new(call, &calendar))
        .collect();
    Ok(json(&lines))
}

fn one_call(node: &Node, call: CallId) -> Result<Reply, Refusal> {
    let calendar = node.clock().calendar();
    if let Some(live) = node.call(call)? {
        return Ok(json(&LiveCall::new(&live, &calendar)));
    }
    let record = node.recent(call).ok_or(Refusal::UnknownCall(call))?;
    Ok(json(&EndedCall::new(&record, &calendar)))
}

fn why(node: &Node, call: CallId) -> Result<Reply, Refusal> {
    let calendar = node.clock().calendar();
    if let Some(live) = node.call(call)? {
        return Ok(json(&Why::live(&live, &calendar)));
    }
    let record = node.recent(call).ok_or(Refusal::UnknownCall(call))?;
    Ok(json(&Why::ended(&record, &calendar)))
}

fn end_call(node: &Node, call: CallId) -> Result<Reply, Refusal> {
    let live = node.call(call)?.ok_or(Refusal::UnknownCall(call))?;
    node.end_call(call)?;
    tracing::info!(%call, "call ended by an operator");
    Ok(json(&CallLine::new(&live, &node.clock().calendar())))
}

fn policies(node: &Node) -> Reply {
    let slots: Vec<_> = node.slots().iter().map(|slot| slot.status()).collect();
    json(&slots)
}

fn blocked(node: &Node) -> Reply {
    let (now, calendar) = (node.clock().now(), node.clock().calendar());
    let blocks = node.blocklist().list(now);
    let view = |(block, dropped): &_| BlockView::new(block, *dropped, &calendar);
    json(&blocks.iter().map(view).collect::<Vec<_>>())
}

fn unblock(node: &Node, source: IpAddr) -> Result<Reply, Refusal> {
    if !node.blocklist().pardon(source, node.clock().now()) {
        return Err(Refusal::NotBlocked(source));
    }
    tracing::info!(%source, "source unblocked by an operator");
    Ok(json(&Unblocked { source }))
}

#[derive(Serialize)]
struct Unblocked {
    source: IpAddr,
}

fn metrics(node: &Node) -> Result<Reply, Refusal> {
    let mut text = metrics::exposition(node.counters());
    let calls = node.pulse()?.iter().map(|pulse| pulse.calls as u64).sum();
    metrics::head(&mut text, "intertrunk_calls", "gauge", "Calls that are up.");
    metrics::sample(&mut text, "intertrunk_calls", "", calls);

    metrics::head(
        &mut text,
        "intertrunk_trunk_calls",
        "gauge",
        "Places taken on each trunk.",
    );
    for trunk in &node.running().snapshot.trunks {
        let (calls_in, calls_out) = (trunk.state.incoming(), trunk.state.outgoing());
        for (direction, calls) in [("in", calls_in), ("out", calls_out)] {
            let labels = format!(
                "trunk=\"{}\",direction=\"{direction}\"",
                escaped(&trunk.name)
            );
            metrics::sample(&mut text, "intertrunk_trunk_calls", &labels, calls.into());
        }
    }
    trunk_gauges(&mut text, node);
    let blocked = node.blocklist().list(node.clock().now()).len() as u64;
    let help = "Sources that nobody listens to.";
    metrics::head(&mut text, "intertrunk_blocked_sources", "gauge", help);
    metrics::sample(&mut text, "intertrunk_blocked_sources", "", blocked);
    let help = "Keys that a meter remembers.";
    metrics::head(&mut text, "intertrunk_meter_keys", "gauge", help);
    for (source, keys) in node.meters().keys(node.clock().now()) {
        let labels = format!("source=\"{}\"", escaped(&source));
        metrics::sample(&mut text, "intertrunk_meter_keys", &labels, keys as u64);
    }
    metrics::head(
        &mut text,
        "intertrunk_policy_generation",
        "gauge",
        "The live generation.",
    );
    for slot in node.slots() {
        let labels = format!("policy=\"{}\"", escaped(slot.name()));
        let live = slot.live().map_or(0, |live| live.info().generation);
        metrics::sample(&mut text, "intertrunk_policy_generation", &labels, live);
    }
    if let Some(cache) = node.code_cache() {
        const NAME: &str = "intertrunk_policy_code_total";
        metrics::head(
            &mut text,
            NAME,
            "counter",
            "Modules by where their code came from.",
        );
        for (from, count) in [("cache", cache.hits()), ("compiler", cache.misses())] {
            metrics::sample(&mut text, NAME, &format!("from=\"{from}\""), count as u64);
        }
    }
    Ok(Reply::Text(text))
}

/// How each trunk is: 0 up, 1 degraded, 2 down, 3 switched off; and how its calls ended lately.
fn trunk_gauges(text: &mut String, node: &Node) {
    let (running, now) = (node.running(), node.clock().now());
    type Gauge = (&'static str, &'static str, fn(&Trunk, &Sums) -> u64);
    let gauges: [Gauge; 6] = [
        (
            "intertrunk_trunk_registered",
            "1 while we are registered there.",
            |trunk, _| u64::from(trunk.state.registered.how() == Registered::Yes),
        ),
        (
            "intertrunk_trunk_health",
            "0 up, 1 degraded, 2 down, 3 switched off by an operator.",
            |trunk, _| trunk.state.health() as u64,
        ),
        (
            "intertrunk_trunk_load_percent",
            "Hundredths taken of the limit that it is nearest to; 0 without one.",
            |trunk, _| trunk.load_percent().unwrap_or(0),
        ),
        (
            "intertrunk_trunk_answered_permille",
            "Answered calls of a thousand, lately.",
            |_, sums| sums.asr_permille().into(),
        ),
        (
            "intertrunk_trunk_effective_permille",
            "Calls of a thousand that did not fail by the network, lately.",
            |_, sums| sums.ner_permille().into(),
        ),
        (
            "intertrunk_trunk_post_dial_delay_milliseconds",
            "Mean time to the first sign of the called side, lately.",
            |_, sums| sums.pdd_mean_ms().into(),
        ),
    ];
    for (metric, help, read) in gauges {
        metrics::head(text, metric, "gauge", help);
        for trunk in &running.snapshot.trunks {
            let labels = format!("trunk=\"{}\"", escaped(&trunk.name));
            metrics::sample(text, metric, &labels, read(trunk, &trunk.sums(now)));
        }
    }
}

/// As Prometheus wants label values.
fn escaped(label: &str) -> String {
    let mut out = String::with_capacity(label.len());
    for c in label.chars() {
        let _ = match c {
            '\\' | '"' => write!(out, "\\{c}"),
            '\n' => write!(out, "\\n"),
            c => write!(out, "{c}"),
        };
    }
    out
}
