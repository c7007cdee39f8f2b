//! The admin API: what operators may ask and order, and how it is written down.
//!
//! [`command`] is every question and order there is, [`view`] what the answers look like, [`http`]
//! the one way in. Nothing here runs on a shard.

pub mod command;
pub mod http;
pub mod view;
