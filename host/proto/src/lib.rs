//! MACHINES: SIP transactions, dialogs and bridged calls.
//!
//! This room remembers and takes time as an argument. It never does IO, never asks a clock, never
//! spawns, never locks. One contract for the whole room, [`B2bua`]:
//! `handle_input(input, now)`, then drain `poll_output()`, then sleep until `poll_timeout()`.

pub mod ask;
pub mod auth;
mod b2bua;
pub mod blocking;
mod call;
mod certificate;
mod core;
mod dialog;
mod emergency;
mod event;
mod hops;
mod io;
pub mod judge;
mod limits;
mod listener;
mod looked_up;
pub mod meter;
mod overload;
mod oversize;
pub mod query;
mod rng;
mod security;
mod snapshot;
pub mod target;
mod time;
mod timer;
mod transaction;
pub mod trunk;
mod view;
mod within;

pub use b2bua::B2bua;
pub use call::Dialled;
pub use emergency::Emergency;
pub use event::{AttemptRecord, DropCause, EndedBy, Event, LadderStep, LadderWhat, Record};
pub use io::{
    AskId, CallId, Connection, Flow, Input, ListenerId, Output, PolicyId, TransmitId, TrunkId,
};
pub use limits::{CALL_BYTES, Limits, MESSAGE_BYTES, TRANSACTION_BYTES};
pub use listener::{Listener, Listeners, Transport};
pub use looked_up::{By, LookedUp};
pub use overload::{Load, Overload};
pub use rng::{Rng, owner_shard};
pub use security::Security;
pub use snapshot::{Fallback, Policy, Snapshot, SnapshotFault, Timers};
pub use time::Instant;
pub use view::{CallView, LegView};
