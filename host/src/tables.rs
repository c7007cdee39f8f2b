//! Look-up tables of the configuration, as policies read them. Immutable once loaded.

use std::collections::HashMap;

use intertrunk_policy::Row;

/// All tables by name.
#[derive(Debug, Default)]
pub struct Tables(pub HashMap<String, Table>);

impl Tables {
    /// The table with this name.
    pub fn named(&self, name: &str) -> Option<&Table> {
        self.0.get(name)
    }
}

/// One table: rows by their key.
#[derive(Debug, Default)]
pub struct Table {
    rows: HashMap<Box<str>, Row>,
    /// Lengths of the keys that there are, longest first; empty for a table of exact matches.
    lengths: Vec<usize>,
}

impl Table {
    /// A table that answers exact look-ups only.
    pub fn exact_only(rows: Vec<Row>) -> Table {
        let rows = rows
            .into_iter()
            .map(|row| (row.key.as_str().into(), row))
            .collect();
        Table {
            rows,
            lengths: Vec::new(),
        }
    }

    /// A table that also answers by prefix.
    pub fn by_prefix(rows: Vec<Row>) -> Table {
        let mut lengths: Vec<usize> = rows.iter().map(|row| row.key.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Table {
            lengths,
            ..Table::exact_only(rows)
        }
    }

    /// The row whose key is `key`.
    pub fn exact(&self, key: &str) -> Option<&Row> {
        self.rows.get(key)
    }

    /// Every row whose key is a prefix of `key`, longest first. One hash look-up for each length
    /// of key that the table has, however many rows there are.
    pub fn prefixes<'t>(&'t self, key: &'t str) -> impl Iterator<Item = &'t Row> {
        let heads = self.lengths.iter().filter_map(|&length| key.get(..length));
        heads.filter_map(|head| self.rows.get(head))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rows(keys: &[&str]) -> Vec<Row> {
        keys.iter()
            .map(|k| Row {
                key: (*k).to_owned(),
                columns: vec![],
            })
            .collect()
    }

    #[test]
    fn the_longest_prefix_comes_first() {
        let table = Table::by_prefix(rows(&["+1", "+1425", "+44", "+1425555"]));
        let found: Vec<&str> = table
            .prefixes("+14255550100")
            .map(|r| r.key.as_str())
            .collect();
        assert_eq!(found, ["+1425555", "+1425", "+1"]);
        assert_eq!(table.prefixes("+33").count(), 0);
        assert_eq!(table.exact("+44").unwrap().key, "+44");
    }

    #[test]
    fn a_key_cut_inside_a_character_is_no_prefix() {
        let table = Table::by_prefix(rows(&["a", "ab"]));
        assert_eq!(table.prefixes("é").count(), 0);
    }

    #[test]
    fn an_exact_table_knows_no_prefixes() {
        let table = Table::exact_only(rows(&["+1"]));
        assert_eq!(table.prefixes("+14").count(), 0);
    }
}
