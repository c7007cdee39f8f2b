//! WORDS: SIP bytes to messages and back, without loss (RFC 3261 §7, §19, §20, §25).
//!
//! This crate owns grammar and nothing else: what a datagram is, where its header lines lie, what
//! they say, and how a message is printed. It never asks the time, never does IO, and never
//! remembers an earlier message; the one exception in kind, [`Framer`], holds the unfinished tail
//! of a byte stream.
//!
//! The way in is [`read()`]: every datagram becomes a [`Message`], a [`Refusal`] that can be
//! answered, a keep-alive, or a counted drop. The way out is [`Builder`] for new messages,
//! [`Overlay`] for edited ones and [`reply()`] for answers. Everything between is a typed view
//! ([`Uri`], [`NameAddr`], [`Via`], [`CSeq`], [`Params`]) decoded from the bytes when asked for.

pub mod auth;
mod cseq;
mod fault;
mod frame;
mod grammar;
mod header;
mod message;
mod method;
mod name_addr;
mod overlay;
mod param;
mod peek;
mod print;
mod read;
mod replaces;
mod reply;
pub mod rsip;
pub mod sdp;
mod token;
mod uri;
mod via;
mod wire;

pub use cseq::CSeq;
pub use fault::Fault;
pub use frame::{FrameFault, Framed, Framer};
pub use grammar::{is_safe_value, is_token, unfold, unquote};
pub use header::Name;
pub use message::{Line, Message};
pub use method::Method;
pub use name_addr::NameAddr;
pub use overlay::{Overlay, Value};
pub use param::Params;
pub use peek::peek_call_id;
pub use print::Builder;
pub use read::{DropReason, KeepAlive, Limits, Read, Refusal, read, unsupported_scheme};
pub use replaces::Replaces;
pub use reply::{reason_phrase, reply};
pub use token::{BRANCH_COOKIE, Token};
pub use uri::{Scheme, Uri, escape_user};
pub use via::{Via, reconnect_address, response_address};

/// The largest message in bytes: what a UDP datagram's length field can say, and what the 16-bit
/// spans of the header table can address.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
