//! Look-up tables of the configuration, as policies read them. Immutable once loaded.
//!
//! A table is its rows in the order of their keys, without a pointer into it: a million rows of a
//! rate sheet take some 50 MB, and none of them is touched by another's look-up. Each row knows the
//! row of its longest proper prefix, so one binary search finds all prefixes of a key: the last key
//! that is not after it begins with the longest of them.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use intertrunk_policy::Row;

/// The tables of one moment, by name.
#[derive(Clone, Debug, Default)]
pub struct Tables(pub HashMap<String, Arc<Table>>);

impl Tables {
    /// The table with this name.
    pub fn named(&self, name: &str) -> Option<&Table> {
        self.0.get(name).map(|table| &**table)
    }

    /// The host's tables behind what a generation holds.
    pub fn of(tables: &dyn intertrunk_policy::Tables) -> Option<&Tables> {
        (tables as &dyn Any).downcast_ref()
    }

    /// Whether all tables that `granted` names, `*` for every one, are the same in both.
    pub fn agree(&self, other: &Tables, granted: &[String]) -> bool {
        let all = granted.iter().any(|name| name == "*");
        let is_granted = |name: &&String| all || granted.contains(name);
        let mut names = self.0.keys().chain(other.0.keys()).filter(is_granted);
        names.all(|name| match (self.0.get(name), other.0.get(name)) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (a, b) => a.is_none() && b.is_none(),
        })
    }

    /// The same, with the tables that `known` has already in place of their equals: they are large,
    /// and generations hold them for long.
    pub fn shared_with(mut self, known: &Tables) -> Tables {
        for (name, table) in &mut self.0 {
            if let Some(same) = known.0.get(name).filter(|it| *it == table) {
                *table = Arc::clone(same);
            }
        }
        self
    }
}

impl intertrunk_policy::Tables for Tables {
    fn exact(&self, table: &str, key: &str) -> Option<Row> {
        self.named(table)?.exact(key)
    }

    fn longest_prefix(&self, table: &str, key: &str) -> Option<Row> {
        self.named(table)?.prefixes(key).next()
    }

    fn prefixes(&self, table: &str, key: &str) -> Vec<Row> {
        let table = self.named(table);
        table.map_or_else(Vec::new, |table| table.prefixes(key).collect())
    }
}

/// The first bytes of a key, in an order that is the key's: most keys are no longer.
type Head = u128;
/// Rows that one entry of the index stands for: a few lines of the cache.
const BLOCK: usize = 32;
/// Not a row.
const NONE: u32 = u32::MAX;

/// One table: rows by their key.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// The head of each row's key.
    heads: Box<[Head]>,
    /// Every [`BLOCK`]th of them: small enough to stay in the processor's cache.
    index: Box<[Head]>,
    /// The row of each row's longest proper prefix; empty for a table of exact matches.
    prefixes: Box<[u32]>,
    /// Fields of each row, the key among them.
    width: usize,
    /// Where each field ends in `text`, row by row, the key first.
    ends: Box<[u32]>,
    text: Box<str>,
}

impl Table {
    /// A table that answers exact look-ups only. Rows have all the same columns, all together less
    /// than 4 GiB; of rows with one key the first counts.
    pub fn exact_only(mut rows: Vec<Row>) -> Table {
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.dedup_by(|later, first| later.key == first.key);
        let heads: Box<[Head]> = rows.iter().map(|row| head(&row.key)).collect();
        let (mut ends, mut text) = (Vec::new(), String::new());
        for row in &rows {
            for field in std::iter::once(&row.key).chain(&row.columns) {
                text += field;
                ends.push(u32::try_from(text.len()).expect("the loader refuses files of 4 GiB"));
            }
        }
        Table {
            index: heads.iter().step_by(BLOCK).copied().collect(),
            heads,
            prefixes: Box::default(),
            width: rows.first().map_or(1, |row| 1 + row.columns.len()),
            ends: ends.into(),
            text: text.into(),
        }
    }

    /// A table that also answers by prefix.
    pub fn by_prefix(rows: Vec<Row>) -> Table {
        let mut table = Table::exact_only(rows);
        // Keys are in order, so what a key begins with has come just before it.
        let (mut nested, mut prefixes) = (Vec::new(), Vec::with_capacity(table.heads.len()));
        for row in 0..table.heads.len() {
            while nested
                .pop_if(|it| !table.key(row).starts_with(table.key(*it)))
                .is_some()
            {}
            let prefix = nested.last().map(|&it: &usize| u32::try_from(it));
            let prefix = prefix.map(|it| it.expect("the loader refuses files of 4 GiB"));
            prefixes.push(prefix.unwrap_or(NONE));
            nested.push(row);
        }
        table.prefixes = prefixes.into();
        table
    }

    /// The row whose key is `key`.
    pub fn exact(&self, key: &str) -> Option<Row> {
        let row = self.last_not_after(key)?;
        (self.key(row) == key).then(|| self.row(row))
    }

    /// Every row whose key is a prefix of `key`, longest first.
    pub fn prefixes(&self, key: &str) -> impl Iterator<Item = Row> {
        let last = (!self.prefixes.is_empty()).then(|| self.last_not_after(key));
        let longer = std::iter::successors(last.flatten(), |&row| {
            let prefix = self.prefixes[row];
            (prefix != NONE).then_some(prefix as usize)
        });
        longer
            .filter(move |&row| key.starts_with(self.key(row)))
            .map(|row| self.row(row))
    }

    /// The last row whose key is `key` or comes before it.
    fn last_not_after(&self, key: &str) -> Option<usize> {
        let sought = head(key);
        let of_block = |block: usize| (block * BLOCK).min(self.heads.len());
        let block = self.index.partition_point(|it| *it < sought);
        let start = of_block(block.saturating_sub(1));
        let lesser = self.heads[start..of_block(block)].partition_point(|it| *it < sought);
        let mut after = start + lesser;
        // Keys with the same first bytes are compared whole; mostly there are none.
        if self.heads.get(after) == Some(&sought) {
            let same = self.heads[after..].partition_point(|it| *it == sought);
            after += partition_point(after..after + same, |row| self.key(row) <= key);
        }
        after.checked_sub(1)
    }

    fn key(&self, row: usize) -> &str {
        self.field(row * self.width)
    }

    fn row(&self, row: usize) -> Row {
        let fields = row * self.width..(row + 1) * self.width;
        let mut fields = fields.map(|field| self.field(field).to_owned());
        Row {
            key: fields.next().expect("every row has a key"),
            columns: fields.collect(),
        }
    }

    fn field(&self, field: usize) -> &str {
        let start = field.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[field] as usize]
    }
}

/// How many of `rows`, in their order, are such that `is` holds.
fn partition_point(rows: Range<usize>, is: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (rows.start, rows.end);
    while low < high {
        let middle = low.midpoint(high);
        if is(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low - rows.start
}

/// The first 16 bytes of `key`, as a number that is larger for keys that come later.
fn head(key: &str) -> Head {
    let mut bytes = [0; size_of::<Head>()];
    let length = key.len().min(bytes.len());
    bytes[..length].copy_from_slice(&key.as_bytes()[..length]);
    Head::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rows(keys: &[&str]) -> Vec<Row> {
        let row = |key: &&str| Row {
            key: (*key).to_owned(),
            columns: vec![format!("of {key}"), String::new()],
        };
        keys.iter().map(row).collect()
    }

    fn found(table: &Table, key: &str) -> Vec<String> {
        table.prefixes(key).map(|row| row.key).collect()
    }

    #[test]
    fn the_longest_prefix_comes_first() {
        let table = Table::by_prefix(rows(&["+1", "+1425", "+44", "+1425555", "+1426"]));
        assert_eq!(found(&table, "+14255550100"), ["+1425555", "+1425", "+1"]);
        assert_eq!(found(&table, "+1427"), ["+1"]);
        assert_eq!(found(&table, "+33"), [""; 0]);
        assert_eq!(table.exact("+44").unwrap().columns, ["of +44", ""]);
        assert_eq!(table.exact("+4"), None);
    }

    #[test]
    fn a_key_cut_inside_a_character_is_no_prefix() {
        let table = Table::by_prefix(rows(&["a", "ab"]));
        assert_eq!(found(&table, "é"), [""; 0]);
    }

    #[test]
    fn an_exact_table_knows_no_prefixes() {
        let table = Table::exact_only(rows(&["+1"]));
        assert_eq!(found(&table, "+14"), [""; 0]);
    }

    /// R6: whatever the keys, what is found is what a look at every row finds.
    #[test]
    fn every_prefix_of_every_key_is_found() {
        // Keys that nest, that share their first sixteen bytes, and that end in a zero byte.
        let mut keys = vec![String::new(), "1\0".to_owned(), "1".to_owned()];
        for n in 0..3_000_u32 {
            let n = n.wrapping_mul(2_654_435_761) >> 12;
            keys.push(format!("{:b}", n % 4_000));
            keys.push(format!("+4420712345678901{:b}", n % 500));
        }
        keys.sort();
        keys.dedup();
        let table = Table::by_prefix(rows(&keys.iter().map(String::as_str).collect::<Vec<_>>()));
        let mut sought: Vec<String> = keys.iter().map(|key| format!("{key}01")).collect();
        sought.extend(keys.iter().cloned());
        for key in &sought {
            let mut all: Vec<_> = keys.iter().filter(|it| key.starts_with(*it)).collect();
            all.sort_by_key(|it| std::cmp::Reverse(it.len()));
            assert_eq!(found(&table, key).iter().collect::<Vec<_>>(), all, "{key}");
            assert_eq!(table.exact(key).is_some(), keys.contains(key), "{key}");
        }
    }
}
