//! The running configuration as the machines see it: resolved, checked, immutable.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::certificate::shared_certificate;
use crate::emergency::Emergency;
use crate::io::{Flow, ListenerId, PolicyId, TrunkId};
use crate::limits::Limits;
use crate::listener::{Listener, Listeners};
use crate::overload::Overload;
use crate::security::Security;
use crate::trunk::{Claim, Trunk};

/// What happens to a call whose policy gave no usable verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fallback {
    /// Refuse it with this code.
    Reject(u16),
    /// Try these trunks in order, numbers unchanged.
    Route(Vec<TrunkId>),
    /// Ask this policy instead.
    Policy(PolicyId),
}

/// One policy slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Stable across reloads.
    pub id: PolicyId,
    /// As configured.
    pub name: Arc<str>,
    /// Wall time for one decision.
    pub deadline: Duration,
    /// When there is no usable verdict.
    pub fallback: Fallback,
    /// Names of trunks that it may send calls to; `*` for all.
    pub trunks: Vec<String>,
    /// Names of outside sources that it may inquire of; `*` for all.
    pub sources: Vec<String>,
}

impl Policy {
    /// Whether the configuration lets this policy send calls to `trunk`.
    pub fn may_use(&self, trunk: &str) -> bool {
        grants(&self.trunks, trunk)
    }

    /// Whether the configuration lets this policy inquire of `source`.
    pub fn may_ask(&self, source: &str) -> bool {
        grants(&self.sources, source)
    }
}

/// Whether a list of the configuration holds `name`, or `*` for all names.
fn grants(list: &[String], name: &str) -> bool {
    list.iter().any(|it| it == "*" || it == name)
}

/// Timer values of RFC 3261 §17 and of the call itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// Round-trip estimate, 500 ms.
    pub t1: Duration,
    /// Longest retransmission interval, 4 s.
    pub t2: Duration,
    /// Longest time that a message stays in the network, 5 s.
    pub t4: Duration,
    /// Longest time from INVITE to a final answer for one attempt (Timer C, RFC 3261 §16.6).
    pub ring: Duration,
    /// Added to a policy's deadline before the machine gives up on it.
    pub ask_grace: Duration,
    /// How long a target that failed is tried last (RFC 3263 §4.3).
    pub target_rest: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            ring: Duration::from_secs(180),
            ask_grace: Duration::from_millis(250),
            target_rest: Duration::from_secs(30),
        }
    }
}

/// What is wrong with a configuration as a whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SnapshotFault {
    /// Two trunks claim the same source.
    #[error("trunks {0} and {1} both match the source {2}")]
    SourceTwice(String, String, String),
}

/// The running configuration.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Name of the node.
    pub node: Arc<str>,
    /// Our sockets.
    pub listeners: Listeners,
    /// All trunks.
    pub trunks: Vec<Arc<Trunk>>,
    /// All policies.
    pub policies: Vec<Arc<Policy>>,
    /// Bounds.
    pub limits: Limits,
    /// When new calls are refused.
    pub overload: Overload,
    /// Calls for help.
    pub emergency: Emergency,
    /// Strangers, and messages that nobody honest sends.
    pub security: Security,
    /// Names of the meters: what counts calls by the tags of this name.
    pub meters: Vec<String>,
    /// Timer values.
    pub timers: Timers,
    /// Whether explanations are kept for live calls.
    pub explain: bool,
    by_id: HashMap<TrunkId, usize>,
    by_name: HashMap<Arc<str>, usize>,
}

impl Snapshot {
    /// Puts a configuration together and indexes it. Refuses two trunks with one source.
    pub fn new(
        node: &str,
        listeners: Vec<Listener>,
        trunks: Vec<Trunk>,
        policies: Vec<Policy>,
    ) -> Result<Snapshot, SnapshotFault> {
        refuse_same_source(&trunks)?;
        let trunks: Vec<Arc<Trunk>> = trunks.into_iter().map(Arc::new).collect();
        Ok(Snapshot {
            node: node.into(),
            listeners: listeners.into_iter().map(Arc::new).collect(),
            by_id: trunks.iter().enumerate().map(|(i, t)| (t.id, i)).collect(),
            by_name: trunks
                .iter()
                .enumerate()
                .map(|(i, t)| (Arc::clone(&t.name), i))
                .collect(),
            trunks,
            policies: policies.into_iter().map(Arc::new).collect(),
            limits: Limits::default(),
            overload: Overload::default(),
            emergency: Emergency::default(),
            security: Security::default(),
            meters: Vec::new(),
            timers: Timers::default(),
            explain: true,
        })
    }

    /// The trunk with this id.
    pub fn trunk(&self, id: TrunkId) -> Option<&Arc<Trunk>> {
        self.by_id.get(&id).map(|&i| &self.trunks[i])
    }

    /// The trunk with this name.
    pub fn trunk_named(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.by_name.get(name).map(|&i| &self.trunks[i])
    }

    /// The policy in this slot.
    pub fn policy(&self, id: PolicyId) -> Option<&Arc<Policy>> {
        self.policies.iter().find(|p| p.id == id)
    }

    /// Whether something from this address may be some trunk's.
    pub fn is_of_a_trunk(&self, ip: IpAddr) -> bool {
        self.trunks.iter().any(|t| t.may_be_at(ip))
    }

    /// Our socket with this id.
    pub fn listener(&self, id: ListenerId) -> Option<&Arc<Listener>> {
        self.listeners.get(id)
    }

    /// The trunk that a message of this flow belongs to: the one that the connection's certificate
    /// speaks for, else the most specific source match among the trunks of that listener.
    ///
    /// What the configuration says beats what DNS says of the same address. Where two trunks' names
    /// stand for one address and port, it is the first one's; one address with any port belongs to
    /// a trunk only while no other trunk has a part of it.
    pub fn identify(&self, flow: Flow) -> Option<&Arc<Trunk>> {
        if let Some(trunk) = flow.connection.and_then(|c| c.trunk) {
            return self.trunk(trunk);
        }
        let of_listener = || {
            let all = self.trunks.iter();
            all.filter(|t| t.listens_on(flow.listener))
        };
        let mut best: Option<(Claim, &Arc<Trunk>)> = None;
        for trunk in of_listener() {
            if let Some(claim) = trunk.claim(flow.remote)
                && best.is_none_or(|(b, _)| claim > b)
            {
                best = Some((claim, trunk));
            }
        }
        let (claim, trunk) = best?;
        let ip = flow.remote.ip().to_canonical();
        let alone = || of_listener().filter(|t| t.has_part_of(ip)).count() == 1;
        (!claim.is_any_port_of_a_name() || alone()).then_some(trunk)
    }
}

fn refuse_same_source(trunks: &[Trunk]) -> Result<(), SnapshotFault> {
    for (i, a) in trunks.iter().enumerate() {
        for b in &trunks[i + 1..] {
            let shared = a
                .sources
                .iter()
                .find(|s| a.shares_listener(b) && b.sources.iter().any(|o| o.is_same_as(s)));
            if let Some(s) = shared {
                let port = s.port.map(|p| format!(":{p}")).unwrap_or_default();
                let source = format!("{}/{}{port}", s.network, s.prefix);
                return Err(SnapshotFault::SourceTwice(
                    a.name.to_string(),
                    b.name.to_string(),
                    source,
                ));
            }
            if let Some(name) = shared_certificate(a, b) {
                let (a, b) = (a.name.to_string(), b.name.to_string());
                return Err(SnapshotFault::SourceTwice(a, b, name));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Fallback, Policy, Snapshot, SnapshotFault};
    use crate::io::{Flow, ListenerId, PolicyId, TrunkId};
    use crate::target::{Resolved, Target};
    use crate::trunk::tests::trunk;
    use crate::trunk::{Peer, SourceMatch, Trunk};

    fn sources(list: &[(&str, u8, Option<u16>)]) -> Vec<SourceMatch> {
        let source = |&(network, prefix, port): &(&str, u8, Option<u16>)| SourceMatch {
            network: network.parse().expect("a literal"),
            prefix,
            port,
        };
        list.iter().map(source).collect()
    }

    fn who(snapshot: &Snapshot, remote: &str) -> Option<Arc<str>> {
        let flow = Flow::to(ListenerId(0), remote.parse().expect("a literal"));
        snapshot.identify(flow).map(|t| Arc::clone(&t.name))
    }

    fn snapshot(trunks: Vec<Trunk>) -> Result<Snapshot, SnapshotFault> {
        Snapshot::new("test", Vec::new(), trunks, Vec::new())
    }

    /// T1: a trunk is known by its best source.
    #[test]
    fn a_trunk_is_known_by_its_best_source() {
        let many = [("192.0.2.0", 24, None), ("2001:db8::7", 128, Some(5060))];
        let few = [("192.0.2.0", 28, None), ("2001:db8::", 32, None)];
        let s = snapshot(vec![
            trunk(0, "many", sources(&many)),
            trunk(1, "few", sources(&few)),
            trunk(2, "port", sources(&[("192.0.0.0", 8, Some(5080))])),
        ])
        .expect("sources differ");
        let is =
            |remote, name: &str| assert_eq!(who(&s, remote).as_deref(), Some(name), "{remote}");
        is("192.0.2.15:5060", "few");
        is("192.0.2.16:5060", "many");
        is("192.0.2.15:5080", "port");
        is("[::ffff:192.0.2.16]:5060", "many");
        is("[2001:db8::7]:5060", "many");
        is("[2001:db8::7]:5061", "few");
        assert_eq!(who(&s, "[2001:db9::7]:5060"), None);
    }

    /// T1: one source on two listeners is two sources.
    #[test]
    fn one_source_on_two_listeners_is_two_sources() {
        let source = sources(&[("192.0.2.7", 32, Some(5060))]);
        let a = trunk(0, "a", source.clone());
        let mut b = trunk(1, "b", source);
        let fault = snapshot(vec![a.clone(), b.clone()]).expect_err("one source");
        let text = "trunks a and b both match the source 192.0.2.7/32:5060";
        assert_eq!(fault.to_string(), text);
        b.listen = ListenerId(1);
        assert!(snapshot(vec![a, b]).is_ok());
    }

    /// A trunk without written sources whose peer's name stands for these addresses.
    fn follower(id: u32, name: &str, addresses: &[&str]) -> Trunk {
        let target = |a: &&str| Target::at(name, a.parse().expect("a literal"));
        let peer = Peer::at("192.0.2.250:5060".parse().expect("a literal"));
        peer.targets.replace(Resolved {
            targets: addresses.iter().map(target).collect(),
            left: Vec::new(),
        });
        Trunk {
            peers: vec![peer],
            follows_peers: true,
            ..trunk(id, name, Vec::new())
        }
    }

    /// T9, S1: a trunk is known by what its names stand for.
    #[test]
    fn a_trunk_is_known_by_what_its_names_stand_for() {
        let written = sources(&[("192.0.2.9", 32, None), ("198.51.100.0", 24, None)]);
        let s = snapshot(vec![
            follower(
                0,
                "a",
                &["192.0.2.7:5060", "192.0.2.8:5060", "192.0.2.9:5060"],
            ),
            follower(
                1,
                "b",
                &["192.0.2.8:5070", "192.0.2.8:5060", "198.51.100.7:5060"],
            ),
            trunk(2, "written", written),
        ])
        .expect("sources differ");
        let is = |remote, name: Option<&str>| {
            assert_eq!(who(&s, remote).as_deref(), name, "{remote}");
        };
        is("192.0.2.7:5060", Some("a"));
        is("192.0.2.7:9999", Some("a"));
        is("192.0.2.8:5070", Some("b"));
        is("192.0.2.8:5060", Some("a")); // both: the first of the file
        is("192.0.2.8:9999", None); // nobody's alone
        is("192.0.2.9:5060", Some("a")); // a port is more than none
        is("192.0.2.9:9999", Some("written"));
        is("198.51.100.7:9999", Some("b")); // an address is more than a network
        is("198.51.100.8:5060", Some("written"));
        is("192.0.2.250:5060", None); // the name stands for it no more
    }

    #[test]
    fn parts_are_found_by_name_and_id() {
        let policy = Policy {
            id: PolicyId(7),
            name: "main".into(),
            deadline: Duration::from_millis(20),
            fallback: Fallback::Reject(503),
            trunks: vec!["gw".to_owned()],
            sources: vec!["cnam".to_owned()],
        };
        assert!(policy.may_use("gw") && !policy.may_use("gw2") && !policy.may_use("*"));
        let all = Policy {
            trunks: vec!["*".to_owned()],
            ..policy.clone()
        };
        assert!(all.may_use("anything"));
        let trunks = vec![trunk(9, "gw", Vec::new()), trunk(4, "pbx", Vec::new())];
        let s = Snapshot::new("n", Vec::new(), trunks, vec![policy]).expect("no sources");
        assert_eq!(s.trunk_named("pbx").map(|t| t.id), Some(TrunkId(4)));
        assert_eq!(s.trunk(TrunkId(9)).map(|t| &*t.name), Some("gw"));
        assert_eq!(s.policy(PolicyId(7)).map(|p| &*p.name), Some("main"));
        assert!(s.trunk_named("PBX").is_none() && s.trunk(TrunkId(0)).is_none());
        assert!(s.policy(PolicyId(0)).is_none() && s.listener(ListenerId(0)).is_none());
    }
}
