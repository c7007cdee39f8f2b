//! What the host knows, and what it should know: trunks, tables, the explanation and the log.
//!
//! On Wasm these are the host's functions; natively, those of the thread's [`test::Host`].
//!
//! [`test::Host`]: crate::test::Host

use std::cell::Cell;

use crate::{Health, Row, TrunkFacts};

#[cfg(target_arch = "wasm32")]
use crate::bindings::intertrunk::policy as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::test::imports as host;

use host::{notes, tables};

thread_local! {
    /// Whether the query at hand asks for the explanation. A native test always does.
    static EXPLAINING: Cell<bool> = const { Cell::new(cfg!(not(target_arch = "wasm32"))) };
}

/// A trunk of this name, whether the host knows it or not.
///
/// ```
/// # use intertrunk_sdk::trunk;
/// assert!(!trunk("nowhere").is_usable());
/// ```
pub fn trunk(name: &str) -> Trunk<'_> {
    Trunk { name }
}

/// All trunks that the policy was granted. Costs a crossing for each string of each trunk.
pub fn trunks() -> Vec<TrunkFacts> {
    host::trunks::all()
}

/// A trunk, by name. Each question to it is one call of the host.
#[derive(Clone, Copy, Debug)]
pub struct Trunk<'a> {
    name: &'a str,
}

impl Trunk<'_> {
    /// Whether a call may be sent there now: known, granted, up or degraded, and not full.
    pub fn is_usable(self) -> bool {
        self.facts().is_some_and(|facts| facts.is_usable())
    }

    /// All that the host knows of it; `None` if there is no such trunk, or it was not granted.
    pub fn facts(self) -> Option<TrunkFacts> {
        host::trunks::get(self.name)
    }
}

impl TrunkFacts {
    /// Whether a call may be sent there now: up or degraded, and not full.
    pub fn is_usable(&self) -> bool {
        matches!(self.health, Health::Up | Health::Degraded) && !self.is_full()
    }

    /// Whether it carries as many calls as it may.
    pub fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.active >= limit)
    }

    /// Whether the configuration tagged it so.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|it| it == tag)
    }
}

/// A table of this name; the manifest has to ask for it.
///
/// ```
/// # use intertrunk_sdk::table;
/// # use intertrunk_sdk::test::Host;
/// let _host = Host::new().table("lcr", [("+44", ["gw-b", "0.012"])]).install();
/// let row = table("lcr").longest_prefix("+442071234567").expect("there is a row for +44");
/// assert_eq!(row.column(0), Some("gw-b"));
/// ```
pub fn table(name: &str) -> Table<'_> {
    Table { name }
}

/// A table, by name. Each question to it is one call of the host.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    name: &'a str,
}

impl Table<'_> {
    /// The row of this very key.
    pub fn exact(self, key: &str) -> Option<Row> {
        tables::exact(self.name, key)
    }

    /// The row of the longest prefix of `key`.
    pub fn longest_prefix(self, key: &str) -> Option<Row> {
        tables::longest_prefix(self.name, key)
    }

    /// The rows of all prefixes of `key`, longest first.
    pub fn prefixes(self, key: &str) -> Vec<Row> {
        tables::prefixes(self.name, key)
    }
}

impl Row {
    /// A column, counted from 0; the key is none.
    pub fn column(&self, index: usize) -> Option<&str> {
        self.columns.get(index).map(String::as_str)
    }
}

/// Explains the decision: one line, kept if somebody asked why. To format the line only then, use
/// [`because!`](macro@crate::because).
pub fn because(text: &str) {
    if explaining() {
        notes::because(text);
    }
}

/// Whether anybody reads the explanation of this decision.
pub fn explaining() -> bool {
    EXPLAINING.get()
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn set_explaining(explain: bool) {
    EXPLAINING.set(explain);
}

/// Lines in the host's log, with the call's id.
pub mod log {
    use super::notes::{self, Level};

    /// For the author of the policy.
    pub fn debug(text: &str) {
        notes::log(Level::Debug, text);
    }

    /// An operator's change of state.
    pub fn info(text: &str) {
        notes::log(Level::Info, text);
    }

    /// Somebody should look.
    pub fn warn(text: &str) {
        notes::log(Level::Warn, text);
    }
}
