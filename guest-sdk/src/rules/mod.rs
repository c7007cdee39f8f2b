//! Dial plans as data: patterns of numbers, translations, ordered routes by usage.
//!
//! Everything here can be made in code, and read from [`settings`](fn@crate::settings), where each
//! mistake is a fault with its path and line. Needs the feature `rules`, which brings the crate
//! `regex` along: 450 KB of module, for matching that costs a tenth of a microsecond.

mod expr;
mod lengths;
mod pattern;
mod routes;
mod rule;
mod steps;
mod template;

pub use expr::Expr;
pub use lengths::Lengths;
pub use pattern::{Pattern, PatternKeys};
pub use routes::{Found, Route, Routes};
pub use rule::{Cut, Rule, Rules};
