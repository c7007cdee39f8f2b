//! The running service from outside: the real binary, real sockets on loopback, its admin API, its
//! signals and its records.
#![allow(clippy::unwrap_used)]

mod admin;
mod audit;
mod calls;
mod certificates;
mod host;
mod hostile;
mod kept;
mod life;
mod line;
mod meters;
mod misdeeds;
mod name_server;
mod names;
mod outside;
mod overload;
mod phone;
mod reload;
mod signing;
mod stop;
mod strangers;
mod streams;
mod tables;
mod tls;
mod trunks;
