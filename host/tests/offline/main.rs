//! The commands that open no socket, as a user types them: the real binary, real files, its output
//! and its exit codes.
#![allow(clippy::unwrap_used)]

mod certificates;
mod check;
mod command_line;
mod import;
mod policy;
mod route;
mod signing;
mod world;
