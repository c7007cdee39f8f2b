//! The world that a case is decided in: trunks and tables.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a trunk leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrunkKind {
    /// An IP-PBX.
    #[default]
    Pbx,
    /// The public telephone network.
    Pstn,
    /// Another session border controller or proxy.
    Sbc,
}

/// Whether a trunk may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// In use.
    #[default]
    Up,
    /// Tried last.
    Degraded,
    /// Not tried.
    Down,
    /// Switched off by an operator.
    Disabled,
}

/// One trunk as the policy sees it: a `[[trunk]]` of the case file.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkFixture {
    /// Name.
    pub name: String,
    /// What it leads to; a PBX unless said.
    #[serde(default)]
    pub kind: TrunkKind,
    /// Network site.
    #[serde(default)]
    pub site: Option<String>,
    /// Free words for policies.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether it may be used; up unless said.
    #[serde(default)]
    pub health: Health,
    /// Calls up.
    #[serde(default)]
    pub active: u32,
    /// Most calls up at once.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Answered calls of a thousand, lately; all of them unless said.
    #[serde(default = "all_answered")]
    pub answered_permille: u16,
    /// Post-dial delay lately, milliseconds.
    #[serde(default)]
    pub pdd_ms: u32,
}

impl TrunkFixture {
    /// A PBX trunk, up and empty.
    pub fn new(name: &str) -> Self {
        TrunkFixture {
            name: name.to_owned(),
            kind: TrunkKind::default(),
            site: None,
            tags: Vec::new(),
            health: Health::default(),
            active: 0,
            limit: None,
            answered_permille: all_answered(),
            pdd_ms: 0,
        }
    }

    /// Whether the host would send a call there.
    pub(crate) fn is_usable(&self) -> bool {
        let full = self.limit.is_some_and(|limit| self.active >= limit);
        matches!(self.health, Health::Up | Health::Degraded) && !full
    }

    /// Puts as many calls on it as it takes: one, if it has no limit.
    pub(crate) fn fill(&mut self) {
        self.active = *self.limit.get_or_insert(1);
    }
}

fn all_answered() -> u16 {
    1000
}

/// One row of a table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// Key.
    pub key: String,
    /// The columns after the key.
    pub columns: Vec<String>,
}

/// A table: columns by key. Looks up as the host does.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Table(BTreeMap<String, Vec<String>>);

impl Table {
    /// The row of this very key.
    pub fn exact(&self, key: &str) -> Option<Row> {
        let columns = self.0.get(key)?;
        Some(Row {
            key: key.to_owned(),
            columns: columns.clone(),
        })
    }

    /// The row of the longest prefix of `key`.
    pub fn longest_prefix(&self, key: &str) -> Option<Row> {
        self.by_prefix(key).next()
    }

    /// The rows of all prefixes of `key`, longest first.
    pub fn prefixes(&self, key: &str) -> Vec<Row> {
        self.by_prefix(key).collect()
    }

    fn by_prefix<'a>(&'a self, key: &'a str) -> impl Iterator<Item = Row> + 'a {
        let ends = (0..=key.len())
            .rev()
            .filter(|end| key.is_char_boundary(*end));
        ends.filter_map(|end| self.exact(&key[..end]))
    }
}

impl<K: Into<String>, C: Into<String>, R: IntoIterator<Item = C>> FromIterator<(K, R)> for Table {
    fn from_iter<I: IntoIterator<Item = (K, R)>>(rows: I) -> Self {
        let rows = rows.into_iter();
        Table(
            rows.map(|(key, columns)| (key.into(), columns.into_iter().map(Into::into).collect()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_longest_first() {
        let table: Table = [("+44", ["uk"]), ("+4420", ["london"]), ("+1", ["us"])]
            .into_iter()
            .collect();
        let found: Vec<_> = table
            .prefixes("+442071234567")
            .into_iter()
            .map(|row| row.key)
            .collect();
        assert_eq!(found, ["+4420", "+44"]);
        assert_eq!(
            table.longest_prefix("+15").map(|row| row.columns),
            Some(vec!["us".to_owned()])
        );
        assert_eq!(table.exact("+4"), None);
    }
}
