//! The `intertrunk` binary: WORLD, the room of sockets, threads, clocks and files.
//!
//! Everything that SIP means is decided in `intertrunk-proto`; everything that Wasm means, in
//! `intertrunk-policy`. This room feeds them and does what they say.

mod admin;
mod audit;
mod blocklist;
mod builtin;
mod cli;
mod clock;
mod config;
mod demo;
mod drain;
mod kept;
mod mailbox;
mod memory;
mod node;
mod observe;
mod outside;
mod resolve;
mod shard;
mod signals;
mod staging;
mod tables;
mod transport;
mod world;

use std::process::ExitCode;

/// A call is some hundred short-lived pieces of memory; glibc's allocator took a tenth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
