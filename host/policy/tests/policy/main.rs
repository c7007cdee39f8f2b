//! Real guests in the real engine: built from `policies/`, loaded, asked, swapped, and misbehaving.

#![allow(clippy::unwrap_used)]

mod bounds;
mod cache;
mod decide;
mod evidence;
mod fresh;
mod guests;
mod load;
mod memory;
mod quarantine;
mod swap;
mod tables;
