//! `intertrunk run`: a node from its configuration file, the admin API and the signals, until it
//! has drained.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Node, NodeOptions, Unresponsive};
use crate::admin::command::Command;
use crate::admin::http;
use crate::audit::{Deed, Who};
use crate::config::{self, Admin, Interner};
use crate::drain::Drain;
use crate::observe::log::{self, LogFormat};
use crate::shard::Pulse;
use crate::signals::{self, Signal, Signals};

/// Exit code of a configuration that cannot be used.
const EXIT_FAULTS: u8 = 1;
/// Exit code of unreadable input.
const EXIT_UNREADABLE: u8 = 2;
/// Exit code of a bug.
const EXIT_BUG: u8 = 70;

/// How often shards are looked at while draining, and otherwise unless a watchdog wants it oftener.
const LOOK_DRAINING: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_secs(5);

/// Arguments of `intertrunk run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// What to log, such as `info`, `debug` or `intertrunk=trace`; otherwise RUST_LOG, otherwise
    /// `info`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// Runs the service. Returns when it has drained or was stopped.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let _log = log::start(args.log_format, args.log.as_deref())?;
    let mut interner = Interner::default();
    let built = match config::load(&args.config, &mut interner) {
        Ok(built) => built,
        Err(faults) => {
            eprintln!("{faults}");
            let code = if faults.unreadable {
                EXIT_UNREADABLE
            } else {
                EXIT_FAULTS
            };
            return Ok(ExitCode::from(code));
        }
    };
    for warning in &built.warnings {
        tracing::warn!("{warning}");
    }
    let admin = built.admin.clone();
    let started = Deed {
        sha256: Some(built.sha256.clone()),
        ..Deed::new("start")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        // First, so that a signal during a long load is not lost.
        let signals = Signals::listen().context("signals cannot be received")?;
        let admin = match admin {
            Some(admin) => Some(open_admin(admin).await?),
            None => None,
        };
        let node = Arc::new(Node::start(
            built,
            NodeOptions {
                interner,
                seed: None,
            },
        )?);
        node.audit().note(&Who::Host, &started, Ok(()));
        announce(&node);
        if let Some((listener, token)) = admin {
            let app = http::router(Arc::clone(&node), token);
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, app).await });
        }
        signals::ready();
        let code = serve(&node, signals).await;
        node.stop();
        node.audit().note(&Who::Host, &Deed::new("stop"), Ok(()));
        anyhow::Ok(code)
    })?;
    // Requests and compilations that are under way have nobody left to serve.
    runtime.shutdown_background();
    tracing::info!("stopped");
    Ok(code)
}

async fn open_admin(admin: Admin) -> anyhow::Result<(TcpListener, Option<String>)> {
    let address = admin.listen;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("the admin API cannot listen on {address}; change `admin.listen`, or free the port")
    })?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "admin API listens");
    Ok((listener, admin.token))
}

fn announce(node: &Node) {
    for (listener, address) in node.addresses() {
        tracing::info!(%listener, %address, "listening");
    }
    for slot in node.slots() {
        let generation = slot.live().map_or(0, |live| live.info().generation);
        tracing::info!(policy = %slot.name(), generation, "policy live");
    }
    tracing::info!(node = %node.running().snapshot.node, shards = node.shards(), "ready for calls");
}

/// Obeys signals and watches over the shards until it is time to leave.
async fn serve(node: &Arc<Node>, mut signals: Signals) -> ExitCode {
    let watchdog = signals::watchdog();
    let mut drain: Option<Drain> = None;
    loop {
        let look = if drain.is_some() {
            LOOK_DRAINING
        } else {
            watchdog.unwrap_or(LOOK).min(LOOK)
        };
        tokio::select! {
            signal = signals.next() => match (signal, &drain) {
                // Not waited for: signals and the admin API go on meanwhile.
                (Signal::Reload, _) => drop(order(node, Command::Reload, "SIGHUP")),
                (Signal::Stop(name), None) => {
                    signals::stopping();
                    let _panicked = order(node, Command::Drain, name).await;
                    tracing::info!("a second signal stops at once");
                    drain = Some(Drain::default());
                }
                (Signal::Stop(_), Some(_)) => {
                    tracing::warn!("stopped before all calls had ended");
                    return ExitCode::SUCCESS;
                }
            },
            () = tokio::time::sleep(look) => match pulse(node).await {
                Ok(shards) => {
                    signals::alive();
                    if drain.as_mut().is_some_and(|d| d.is_over(&shards, node.clock().now())) {
                        return ExitCode::SUCCESS;
                    }
                }
                Err(_) if node.has_lost_a_shard() => {
                    tracing::error!("a shard ended by a bug; the service ends with it");
                    return ExitCode::from(EXIT_BUG);
                }
                // Left to the watchdog: it is not told that all is well.
                Err(stuck) => tracing::error!("{stuck}"),
            },
        }
    }
}

async fn pulse(node: &Arc<Node>) -> Result<Vec<Pulse>, Unresponsive> {
    let node = Arc::clone(node);
    tokio::task::spawn_blocking(move || node.pulse())
        .await
        .unwrap_or(Err(Unresponsive))
}

/// Obeys a signal on a thread of its own.
fn order(node: &Arc<Node>, command: Command, signal: &'static str) -> JoinHandle<()> {
    let node = Arc::clone(node);
    tokio::task::spawn_blocking(move || {
        let reloads = command == Command::Reload;
        match command.run(&node, &Who::Signal { signal }) {
            Err(fault) if reloads => {
                tracing::error!(
                    "the configuration was not reloaded; nothing has changed:\n{fault}"
                );
            }
            Err(fault) => tracing::error!("{fault}"),
            Ok(_) => {}
        }
    })
}
