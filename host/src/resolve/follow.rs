//! The thread that keeps lists of targets true: one task for each question.
//!
//! ```text
//!   asking ─answer──▶ list replaced ─▶ resting for its TTL, within bounds ─▶ asking
//!      └──failure─▶ list as it was ─▶ resting, twice as long each time ────▶ asking
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use intertrunk_proto::target::{Resolved, Target, Targets};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::lookup::{Answer, Client, Failure};
use super::{Change, Dns, Named, Question};

/// Questions that are put at the same time when all are put.
const AT_ONCE: usize = 16;

/// Puts all questions once.
pub async fn once(dns: &Dns, names: &[Named]) -> Vec<(Question, Failure)> {
    let client = match Client::new(dns) {
        Ok(client) => Arc::new(client),
        Err(failure) => {
            return names
                .iter()
                .map(|n| (n.question.clone(), failure.clone()))
                .collect();
        }
    };
    let mut failed = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let mut asking = JoinSet::new();
        for Named { question, targets } in some.iter().cloned() {
            let client = Arc::clone(&client);
            asking.spawn(async move {
                match client.answer(&question).await {
                    Ok(answer) => List::of(targets).take(&answer, Duration::ZERO),
                    Err(failure) => return Some((question, failure)),
                }
                None
            });
        }
        failed.extend(asking.join_all().await.into_iter().flatten());
    }
    failed
}

/// Follows what the configuration names, change by change, until nobody can change it any more.
pub async fn all(mut changes: mpsc::Receiver<Change>) {
    let mut followers = Followers::default();
    while let Some(Change { dns, names, asked }) = changes.recv().await {
        let first = followers.change(&dns, names);
        tokio::spawn(async move {
            for is_done in first {
                // A task that was aborted has nothing to wait for.
                let _ = is_done.await;
            }
            let _ = asked.try_send(());
        });
    }
}

/// All tasks, by what they ask.
#[derive(Default)]
struct Followers {
    tasks: JoinSet<()>,
    followed: HashMap<Question, AbortHandle>,
    settings: Option<Dns>,
}

impl Followers {
    /// Ends tasks that nobody needs and begins those that are new. Each of these says when it has
    /// asked once.
    fn change(&mut self, dns: &Dns, names: Vec<Named>) -> Vec<oneshot::Receiver<()>> {
        if self.settings.as_ref() != Some(dns) {
            self.tasks.abort_all();
            self.followed.clear();
        }
        self.settings = Some(dns.clone());
        self.followed.retain(|question, task| {
            let kept = names.iter().any(|n| n.question == *question);
            if !kept {
                task.abort();
            }
            kept
        });
        // Tasks end only when aborted; what is left of those is taken away here.
        while self.tasks.try_join_next().is_some() {}
        let client = match Client::new(dns) {
            Ok(client) => Arc::new(client),
            Err(failure) => {
                tracing::warn!("names of peers cannot be resolved: {failure}");
                return Vec::new();
            }
        };
        let mut first = Vec::new();
        for Named { question, targets } in names {
            if let Entry::Vacant(free) = self.followed.entry(question.clone()) {
                let (done, is_done) = oneshot::channel();
                let follower = Follower {
                    client: Arc::clone(&client),
                    dns: dns.clone(),
                    question,
                    list: List::of(targets),
                };
                free.insert(self.tasks.spawn(follower.run(done)));
                first.push(is_done);
            }
        }
        first
    }
}

/// The task of one question.
struct Follower {
    client: Arc<Client>,
    dns: Dns,
    question: Question,
    list: List,
}

impl Follower {
    async fn run(mut self, first: oneshot::Sender<()>) {
        let mut first = Some(first);
        let mut failures: u32 = 0;
        loop {
            let rest = match self.client.answer(&self.question).await {
                Ok(answer) => {
                    if failures > 0 {
                        tracing::info!(host = self.question.host, "name resolved again");
                    }
                    failures = 0;
                    self.list.take(&answer, self.dns.keep_sources);
                    match answer.unknown.is_empty() {
                        true => answer.ttl.clamp(self.dns.ttl_min, self.dns.ttl_max),
                        false => self.dns.retry_min.max(self.dns.ttl_min),
                    }
                }
                Err(failure) => {
                    self.complain(&failure, failures);
                    failures = failures.saturating_add(1);
                    self.patience(failures)
                }
            };
            if let Some(first) = first.take() {
                // Nobody waits for it any more: no harm.
                let _ = first.send(());
            }
            self.list.rest(rest).await;
        }
    }

    /// Said once, not each time.
    fn complain(&self, failure: &Failure, failures: u32) {
        let host = &self.question.host;
        match (failures, self.list.targets.now().targets.is_empty()) {
            (0, true) => tracing::warn!(host, "a peer's name {failure}; calls to it fail at once"),
            (0, false) => tracing::warn!(host, "a peer's name {failure}; its last addresses serve"),
            _ => tracing::debug!(host, "a peer's name still {failure}"),
        }
    }

    /// Doubles with each failure in a row.
    fn patience(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        self.dns
            .retry_min
            .saturating_mul(doubled)
            .min(self.dns.retry_max)
    }
}

/// A list of targets and what left it lately.
struct List {
    targets: Arc<Targets>,
    left: Vec<(SocketAddr, Instant)>,
}

impl List {
    fn of(targets: Arc<Targets>) -> List {
        let left = Vec::new();
        List { targets, left }
    }

    /// Replaces the list. A target that was there keeps its mark; an address that was there and is
    /// no more stays a source for `keep_sources`; a host without an answer this time keeps its
    /// addresses.
    fn take(&mut self, answer: &Answer, keep_sources: Duration) {
        let before = self.targets.now();
        let mut targets = answer.targets.clone();
        let unknown = |t: &&Target| answer.unknown.contains(&t.host);
        targets.extend(before.targets.iter().filter(unknown).cloned());
        for target in &mut targets {
            if let Some(old) = before.targets.iter().find(|t| t.address == target.address) {
                target.mark = Arc::clone(&old.mark);
            }
        }
        let still = |address: SocketAddr| targets.iter().any(|t| t.address == address);
        let until = Instant::now() + keep_sources;
        let gone = before.targets.iter().filter(|t| !still(t.address));
        self.left.extend(gone.map(|t| (t.address, until)));
        self.left.retain(|(address, _)| !still(*address));
        self.publish(targets);
    }

    /// Sleeps, and meanwhile lets sources go whose time is over.
    async fn rest(&mut self, rest: Duration) {
        let wake = Instant::now() + rest;
        loop {
            let next = self.left.iter().map(|(_, until)| *until).min();
            let next = next.map_or(wake, |until| until.min(wake));
            tokio::time::sleep_until(next).await;
            let now = Instant::now();
            let before = self.left.len();
            self.left.retain(|(_, until)| *until > now);
            if self.left.len() != before {
                self.publish(self.targets.now().targets.clone());
            }
            if now >= wake {
                return;
            }
        }
    }

    fn publish(&self, targets: Vec<Target>) {
        let left = self.left.iter().map(|(address, _)| *address).collect();
        self.targets.replace(Resolved { targets, left });
    }
}
