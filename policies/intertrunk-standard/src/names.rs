//! Names of trunks in a dial plan.

use intertrunk_sdk::OneOrMany;
use serde::Deserialize;
use toml::Spanned;

/// What stands for every trunk.
pub(crate) const ANY: &str = "*";

/// Names of trunks, and where they are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Trunks(Spanned<OneOrMany<Box<str>>>);

impl Trunks {
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.0.get_ref().0
    }

    /// Whether every trunk is meant.
    pub(crate) fn is_any(&self) -> bool {
        self.names().iter().any(|name| **name == *ANY)
    }

    /// Whether this trunk is meant.
    pub(crate) fn include(&self, trunk: &str) -> bool {
        self.names()
            .iter()
            .any(|name| **name == *ANY || **name == *trunk)
    }

    /// Where the names begin, in bytes of the dial plan.
    pub(crate) fn offset(&self) -> usize {
        self.0.span().start
    }
}

impl Default for Trunks {
    /// Every trunk: what a key that is left out means.
    fn default() -> Self {
        Trunks(Spanned::new(0..0, OneOrMany(vec![ANY.into()])))
    }
}
