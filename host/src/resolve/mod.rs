//! Names of peers: asked of DNS at load and again when an answer has had its time (RFC 3263).
//!
//! Owns a thread of its own, which replaces lists of targets; calls only read them. An answer that
//! fails changes nothing: the last good list serves until there is a better one. A configuration
//! whose peers are all written as addresses needs no thread.

mod follow;
mod lookup;
mod number;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use intertrunk_proto::Transport;
use intertrunk_proto::target::Targets;
use tokio::sync::mpsc;

pub use lookup::Failure;
pub use number::Enum;

/// `[dns]` of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dns {
    /// Whom to ask; those of the system if empty.
    pub servers: Vec<SocketAddr>,
    /// For one question to one server; the system's if absent.
    pub timeout: Option<Duration>,
    /// How often a server is asked; the system's if absent.
    pub attempts: Option<usize>,
    /// An answer is believed at least this long.
    pub ttl_min: Duration,
    /// And at most this long.
    pub ttl_max: Duration,
    /// Time until a question that failed is put again; doubles each time, up to `retry_max`.
    pub retry_min: Duration,
    /// The longest such time.
    pub retry_max: Duration,
    /// How long an address that left the answers is still believed as a source.
    pub keep_sources: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Dns {
            servers: Vec::new(),
            timeout: None,
            attempts: None,
            ttl_min: Duration::from_secs(5),
            ttl_max: Duration::from_secs(3600),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            keep_sources: Duration::from_secs(600),
        }
    }
}

/// What is asked for: all peers that ask the same share one list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Question {
    /// The host of the peer's URI.
    pub host: String,
    /// The port, if the URI has one.
    pub port: Option<u16>,
    /// How bytes travel to it.
    pub service: Service,
    /// Whether its addresses are IPv4, as those of the listener; IPv6 otherwise.
    pub ipv4: bool,
}

/// What DNS calls a transport.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Service {
    /// SIP over UDP.
    Udp,
    /// SIP over TCP.
    Tcp,
    /// SIP over TLS.
    Tls,
}

impl From<Transport> for Service {
    fn from(transport: Transport) -> Service {
        match transport {
            Transport::Udp => Service::Udp,
            Transport::Tcp => Service::Tcp,
            Transport::Tls => Service::Tls,
        }
    }
}

impl Service {
    /// Its name in NAPTR (RFC 3263 §4.1).
    fn naptr(self) -> &'static str {
        match self {
            Service::Udp => "SIP+D2U",
            Service::Tcp => "SIP+D2T",
            Service::Tls => "SIPS+D2T",
        }
    }

    /// The owner of its SRV records, below the domain (RFC 3263 §4.2).
    fn owner(self) -> Name {
        let labels = match self {
            Service::Udp => ["_sip", "_udp"],
            Service::Tcp => ["_sip", "_tcp"],
            Service::Tls => ["_sips", "_tcp"],
        };
        Name::from_labels(labels).expect("both labels are short and of ASCII")
    }

    /// The port where neither URI nor SRV name one (RFC 3261 §19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Service::Udp | Service::Tcp => 5060,
            Service::Tls => 5061,
        }
    }
}

/// A question, and the list that its answers go to.
#[derive(Clone, Debug)]
pub struct Named {
    /// What is asked for.
    pub question: Question,
    /// What calls read.
    pub targets: Arc<Targets>,
}

/// Puts all questions once and fills their lists. Returns those that had no answer.
pub fn once(dns: &Dns, names: &[Named]) -> io::Result<Vec<(Question, Failure)>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(follow::once(dns, names)))
}

/// Keeps lists up to date until it is dropped.
#[derive(Debug)]
pub struct Resolver {
    changes: Option<mpsc::Sender<Change>>,
    thread: Option<JoinHandle<()>>,
}

/// What the configuration asks for from now on.
#[derive(Debug)]
struct Change {
    dns: Dns,
    names: Vec<Named>,
    /// Told when every new question has had its first answer, or none.
    asked: std_mpsc::SyncSender<()>,
}

impl Resolver {
    /// Starts the thread; it has nothing to ask yet.
    pub fn start() -> io::Result<Resolver> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (changes, changed) = mpsc::channel(1);
        let thread = thread::Builder::new().name("dns".to_owned());
        let thread = thread.spawn(move || runtime.block_on(follow::all(changed)))?;
        Ok(Resolver {
            changes: Some(changes),
            thread: Some(thread),
        })
    }

    /// Follows these names and no others. Returns when each new one has been asked for, or after
    /// `patience`: an answer that is late is used when it comes. Not for use on a runtime's thread
    /// that has other work to do meanwhile.
    pub fn follow(&self, dns: &Dns, names: &[Named], patience: Duration) {
        let (asked, all_asked) = std_mpsc::sync_channel(1);
        let change = Change {
            dns: dns.clone(),
            names: names.to_vec(),
            asked,
        };
        let changes = self.changes.as_ref().expect("it is taken when dropped");
        if changes.try_send(change).is_err() || all_asked.recv_timeout(patience).is_err() {
            tracing::warn!("names of peers are still being resolved");
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the resolver ended with a panic");
        }
    }
}
