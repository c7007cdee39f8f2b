//! `[dns]`: whom to ask for the names of peers, and how long an answer is believed.

use std::net::SocketAddr;
use std::time::Duration;

use super::read::{At, Place, Section, Source};
use super::value::{self, Complaint};
use super::{Built, Fault, Severity};
use crate::resolve::{Dns, Failure, Named, Question};

/// `[dns]`
#[derive(Clone, Debug)]
pub struct DnsEntry {
    /// For the resolver.
    pub dns: Dns,
    /// How long a target that failed is tried last.
    pub rest: Duration,
}

impl Default for DnsEntry {
    fn default() -> Self {
        DnsEntry {
            dns: Dns::default(),
            rest: Duration::from_secs(30),
        }
    }
}

/// A peer's name that DNS is asked for, and where it stands in the file.
#[derive(Clone, Debug)]
pub struct PeerName {
    /// What is asked, and where the answer goes.
    pub named: Named,
    key: String,
    line: usize,
    column: usize,
}

const HOUR_MS: u64 = 3_600_000;

/// Reads the section.
pub fn read(s: Section<'_>, source: &Source<'_>) -> DnsEntry {
    let usual = DnsEntry::default();
    let duration = |key, min_ms: u64, max_ms: u64| s.parsed(key, value::duration(min_ms..=max_ms));
    let or = |at: Option<At<Duration>>, usual: Duration| at.map_or(usual, |at| at.value);
    let servers = s.list("servers", server).unwrap_or_default();
    let timeout = duration("timeout", 50, 30_000);
    let attempts = s.number("attempts", 1..=10);
    let ttl_min = duration("ttl_min", 100, HOUR_MS);
    let ttl_max = duration("ttl_max", 100, 24 * HOUR_MS);
    let dns = Dns {
        servers: servers.into_iter().map(|at| at.value).collect(),
        timeout: timeout.map(|at| at.value),
        attempts: attempts.map(|at| at.value),
        ttl_min: or(ttl_min, usual.dns.ttl_min),
        ttl_max: or(ttl_max.clone(), usual.dns.ttl_max),
        retry_min: or(duration("retry_min", 50, 60_000), usual.dns.retry_min),
        retry_max: or(duration("retry_max", 50, HOUR_MS), usual.dns.retry_max),
        keep_sources: or(
            duration("keep_sources", 0, 24 * HOUR_MS),
            usual.dns.keep_sources,
        ),
    };
    let rest = or(duration("rest", 0, HOUR_MS), usual.rest);
    if dns.ttl_min > dns.ttl_max {
        let place = ttl_max.map_or_else(|| s.place().clone(), |at| at.place);
        source.fault(&place, "is below `ttl_min`", "raise it, or lower `ttl_min`");
    }
    s.finish();
    DnsEntry { dns, rest }
}

/// A server's address, with port 53 unless it has another.
fn server(text: &str) -> Result<SocketAddr, Complaint> {
    if let Ok(ip) = text.parse() {
        return Ok(SocketAddr::new(ip, 53));
    }
    let remedy = "write \"192.0.2.53\" or \"127.0.0.1:5353\"";
    let problem = format!("\"{text}\" is no address of a name server");
    text.parse().map_err(|_| Complaint::new(problem, remedy))
}

impl PeerName {
    pub(super) fn new(source: &Source<'_>, at: At<Named>) -> PeerName {
        let At {
            place: Place { key, offset },
            value: named,
        } = at;
        let (line, column) = source.line_and_column(offset);
        PeerName {
            named,
            key,
            line,
            column,
        }
    }
}

impl Built {
    /// All names that DNS is asked for.
    pub fn named(&self) -> Vec<Named> {
        self.names.iter().map(|name| name.named.clone()).collect()
    }

    /// What has no answer, in words, each where it stands in the file.
    pub fn unresolved(&self, failed: &[(Question, Failure)]) -> Vec<Fault> {
        let warning = |name: &PeerName| {
            let question = &name.named.question;
            let (_, failure) = failed.iter().find(|(asked, _)| asked == question)?;
            Some(Fault {
                severity: Severity::Warning,
                file: self.path.clone(),
                line: name.line,
                column: name.column,
                key: name.key.clone(),
                problem: format!("\"{}\" {failure}; calls to it fail at once", question.host),
                remedy: "mend the name, or wait for DNS to know it".to_owned(),
            })
        };
        self.names.iter().filter_map(warning).collect()
    }
}
