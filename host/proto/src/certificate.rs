//! Who a connection under TLS is with: the names that a peer's certificate proves, against the names
//! that the configuration gives its trunks (RFC 5922 §7).
//!
//! Knows no certificates, only the names that the shell found in a valid one.

use std::net::SocketAddr;

use crate::io::{ListenerId, TrunkId};
use crate::snapshot::Snapshot;
use crate::trunk::Trunk;

impl Snapshot {
    /// The trunk that a certificate with these names speaks for, among those of the listener: the
    /// one that has the most specific of the names, written out before `*.`, longer before shorter.
    pub fn certified(&self, listener: ListenerId, names: &[impl AsRef<str>]) -> Option<TrunkId> {
        let trunks = self.trunks.iter().filter(|t| t.listens_on(listener));
        let matches = trunks.filter_map(|trunk| {
            let all = trunk.certificates.iter();
            let best = all.filter(|wanted| names.iter().any(|n| is_match(wanted, n.as_ref())));
            Some((best.map(|wanted| specificity(wanted)).max()?, trunk.id))
        });
        matches.max().map(|(_, id)| id)
    }

    /// The host, as configured, of the peer that an address of ours leads to: whose certificate
    /// must be shown there. A peer with this very port counts before one with another.
    pub fn host_of(&self, listener: ListenerId, remote: SocketAddr) -> Option<&str> {
        let trunks = self.trunks.iter().filter(|t| t.listens_on(listener));
        let peers = trunks.flat_map(|t| &t.peers);
        let exact = peers
            .clone()
            .find(|p| p.targets.any_source(|a| a == remote));
        let found = exact.or_else(|| {
            let mut peers = peers;
            peers.find(|p| p.targets.any_source(|a| a.ip() == remote.ip()))
        });
        found.map(|peer| host_without_port(&peer.host_port))
    }
}

/// A name that two trunks of one listener both have, with their names.
pub(crate) fn shared_certificate(a: &Trunk, b: &Trunk) -> Option<String> {
    let mut all = a.certificates.iter();
    let shared = all.find(|name| a.shares_listener(b) && b.certificates.contains(name));
    shared.cloned()
}

/// Whether a name of a certificate is the one that is wanted. `*.` stands for one label
/// (RFC 6125 §6.4.3), in the configuration only: SIP knows no such certificates (RFC 5922 §7.2).
fn is_match(wanted: &str, name: &str) -> bool {
    let Some(rest) = wanted.strip_prefix("*.") else {
        return wanted.eq_ignore_ascii_case(name);
    };
    name.split_once('.')
        .is_some_and(|(label, tail)| !label.is_empty() && rest.eq_ignore_ascii_case(tail))
}

fn specificity(wanted: &str) -> (bool, usize) {
    (!wanted.starts_with("*."), wanted.len())
}

fn host_without_port(host_port: &str) -> &str {
    match host_port.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((v6, _)) => v6,
        None => host_port.split(':').next().unwrap_or(host_port),
    }
}

#[cfg(test)]
mod tests {
    use super::host_without_port;
    use crate::io::{ListenerId, TrunkId};
    use crate::snapshot::Snapshot;
    use crate::trunk::tests::{peer, trunk};

    fn snapshot() -> Snapshot {
        let mut trunks = vec![
            trunk(0, "fleet", Vec::new()),
            trunk(1, "one", Vec::new()),
            trunk(2, "other", Vec::new()),
        ];
        trunks[0].certificates = vec!["*.example.com".to_owned()];
        trunks[1].certificates = vec!["pbx.example.com".to_owned(), "*.example.net".to_owned()];
        trunks[2].listen = ListenerId(1);
        trunks[2].certificates = vec!["pbx.example.com".to_owned()];
        trunks[0].peers = vec![peer("gw.example.com:5061", "192.0.2.7:5061")];
        trunks[1].peers = vec![
            peer("[2001:db8::1]", "[2001:db8::1]:5061"),
            peer("b.example.com", "192.0.2.7:5071"),
        ];
        Snapshot::new("t", Vec::new(), trunks, Vec::new()).expect("names differ on each listener")
    }

    #[test]
    fn a_certificate_speaks_for_the_trunk_with_its_most_specific_name() {
        let snapshot = snapshot();
        let who = |listener, names: &[&str]| snapshot.certified(ListenerId(listener), names);
        assert_eq!(who(0, &["sbc.example.com"]), Some(TrunkId(0)));
        assert_eq!(who(0, &["PBX.example.com"]), Some(TrunkId(1)));
        let both = ["sbc.example.com", "x.example.net", "pbx.example.com"];
        assert_eq!(who(0, &both), Some(TrunkId(1)));
        assert_eq!(who(1, &["pbx.example.com"]), Some(TrunkId(2)));
        for stranger in ["example.com", "a.b.example.com", ".example.com", ""] {
            assert_eq!(who(0, &[stranger]), None, "{stranger:?}");
        }
        assert_eq!(who(0, &[]), None);
    }

    #[test]
    fn one_name_is_one_trunk() {
        let mut a = trunk(0, "a", Vec::new());
        a.certificates = vec!["pbx.example.com".to_owned()];
        let mut b = trunk(1, "b", Vec::new());
        b.certificates = a.certificates.clone();
        let fault = Snapshot::new("t", Vec::new(), vec![a, b], Vec::new());
        let text = fault.expect_err("one name").to_string();
        assert_eq!(text, "trunks a and b both match the source pbx.example.com");
    }

    #[test]
    fn an_address_leads_to_the_host_of_a_peer() {
        let snapshot = snapshot();
        let host = |remote: &str| {
            let remote = remote.parse().expect("a literal");
            snapshot.host_of(ListenerId(0), remote)
        };
        assert_eq!(host("192.0.2.7:5061"), Some("gw.example.com"));
        assert_eq!(host("192.0.2.7:5071"), Some("b.example.com"));
        assert_eq!(host("192.0.2.7:9"), Some("gw.example.com"));
        assert_eq!(host("[2001:db8::1]:5061"), Some("2001:db8::1"));
        assert_eq!(host("192.0.2.8:5061"), None);
    }

    #[test]
    fn a_host_is_what_stands_before_its_port() {
        for (text, host) in [
            ("gw", "gw"),
            ("gw:5061", "gw"),
            ("192.0.2.1:5061", "192.0.2.1"),
            ("[2001:db8::1]:5061", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(host_without_port(text), host);
        }
    }
}
