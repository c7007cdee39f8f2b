//! Outside sources: what policies inquire of and no table holds.
//!
//! One thread asks them all. A shard hands over an inquiry and goes on; the answers come back by its
//! mailbox. Everything is bounded: inquiries under way, the time and the size of an answer, what is
//! remembered. When a call is over, its inquiry is dropped, and with it the connection.
//!
//! Meters are sources that nobody waits for: a shard reads them itself, when all others have answered.

mod meter;
mod source;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;

use intertrunk_proto::ask::{Answered, LookUp, NoAnswer};
use intertrunk_proto::{AskId, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::mailbox::{Mailbox, Order};
use crate::resolve::Dns;
use source::Known;

pub use meter::{Counting, Meters};
pub use source::{Kind, Source};

/// Inquiries of all shards that may be under way.
const INQUIRIES_MAX: usize = 1024;

/// The way to the thread. It ends when the last of these is gone.
#[derive(Clone, Debug)]
pub struct Outside {
    messages: mpsc::Sender<Message>,
    listed: watch::Sender<Listed>,
    meters: Meters,
}

/// What the configuration says of sources.
type Listed = (Arc<[Source]>, Dns);

/// Look-ups of one call.
pub struct Inquiry {
    /// Names the answers.
    pub ask: AskId,
    /// What to look up, and whether the policy may.
    pub look_ups: Vec<(LookUp, bool)>,
    /// Whose call it is.
    pub shard: u16,
    /// Where the answers go.
    pub to: Mailbox,
}

enum Message {
    Ask(Inquiry),
    Forget(u16, AskId),
}

impl Outside {
    /// Starts the thread; it knows of no source yet.
    pub fn start() -> io::Result<Outside> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (messages, taken) = mpsc::channel(INQUIRIES_MAX);
        let (listed, list) = watch::channel((Arc::default(), Dns::default()));
        let thread = thread::Builder::new().name("sources".to_owned());
        thread.spawn(move || runtime.block_on(serve(taken, list)))?;
        Ok(Outside {
            messages,
            listed,
            meters: Meters::default(),
        })
    }

    /// Asks these from now on. Inquiries under way go on with what they began with.
    pub fn know(&self, sources: &Arc<[Source]>, dns: &Dns) {
        self.meters.adopt(sources);
        self.listed.send_replace((Arc::clone(sources), dns.clone()));
    }

    /// What counts here.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Hands over an inquiry, or gives the answers at once: there are too many, or only meters are
    /// asked.
    pub fn ask(&self, inquiry: Inquiry, now: Instant) -> Option<Vec<Answered>> {
        let mut answers = match self.meters.are_all(&inquiry.look_ups) {
            true => failed(inquiry.look_ups),
            false => match self.messages.try_send(Message::Ask(inquiry)) {
                Ok(()) => return None,
                Err(refused) => match refused.into_inner() {
                    Message::Ask(inquiry) => failed(inquiry.look_ups),
                    Message::Forget(..) => unreachable!("it was an inquiry"),
                },
            },
        };
        self.meters.answer(&mut answers, now);
        Some(answers)
    }

    /// Nobody waits for this one any more.
    pub fn forget(&self, shard: u16, ask: AskId) {
        // If there is no room, the answers come too late instead.
        let _ = self.messages.try_send(Message::Forget(shard, ask));
    }
}

fn failed(look_ups: Vec<(LookUp, bool)>) -> Vec<Answered> {
    let failed = |(look_up, is_granted)| {
        let why = match is_granted {
            true => NoAnswer::Failed,
            false => NoAnswer::Denied,
        };
        answered(look_up, Err(why))
    };
    look_ups.into_iter().map(failed).collect()
}

fn answered(look_up: LookUp, outcome: Result<String, NoAnswer>) -> Answered {
    Answered {
        source: look_up.source,
        key: look_up.key,
        outcome,
    }
}

async fn serve(mut messages: mpsc::Receiver<Message>, mut list: watch::Receiver<Listed>) {
    let mut sources: Arc<HashMap<String, Known>> = Arc::default();
    let mut under_way: HashMap<(u16, AskId), AbortHandle> = HashMap::new();
    while let Some(message) = messages.recv().await {
        if list.has_changed().unwrap_or(false) {
            let (list, dns) = list.borrow_and_update().clone();
            let known = list
                .iter()
                .map(|it| (it.name.clone(), Known::new(it, &dns)));
            sources = Arc::new(known.collect());
        }
        match message {
            Message::Ask(inquiry) => {
                under_way.retain(|_, task| !task.is_finished());
                let name = (inquiry.shard, inquiry.ask);
                if under_way.len() >= INQUIRIES_MAX {
                    let Inquiry { ask, to, .. } = inquiry;
                    give(&to, ask, failed(inquiry.look_ups));
                    continue;
                }
                let task = tokio::spawn(look_up_all(inquiry, Arc::clone(&sources)));
                under_way.insert(name, task.abort_handle());
            }
            Message::Forget(shard, ask) => {
                if let Some(task) = under_way.remove(&(shard, ask)) {
                    task.abort();
                }
            }
        }
    }
}

async fn look_up_all(inquiry: Inquiry, sources: Arc<HashMap<String, Known>>) {
    let Inquiry {
        ask, look_ups, to, ..
    } = inquiry;
    let mut tasks = tokio::task::JoinSet::new();
    let mut answers: Vec<_> = look_ups.iter().map(|_| Err(NoAnswer::Failed)).collect();
    for (place, (look_up, is_granted)) in look_ups.iter().enumerate() {
        let (look_up, is_granted) = (look_up.clone(), *is_granted);
        let sources = Arc::clone(&sources);
        tasks.spawn(async move {
            let outcome = match sources.get(&look_up.source) {
                _ if !is_granted => Err(NoAnswer::Denied),
                None => Err(NoAnswer::UnknownSource),
                Some(source) => source.look_up(&look_up.key, look_up.timeout()).await,
            };
            (place, outcome)
        });
    }
    while let Some(done) = tasks.join_next().await {
        if let Ok((place, outcome)) = done {
            answers[place] = outcome;
        }
    }
    let look_ups = look_ups.into_iter().map(|(look_up, _)| look_up);
    let answers = look_ups
        .zip(answers)
        .map(|(l, outcome)| answered(l, outcome));
    give(&to, ask, answers.collect());
}

/// A shard that cannot be told goes by its own clock.
fn give(to: &Mailbox, ask: AskId, answers: Vec<Answered>) {
    if to.order(Order::Inquired(ask, answers)).is_err() {
        tracing::warn!("a shard does not take the answers of outside sources");
    }
}
