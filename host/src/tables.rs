//! Look-up tables of the configuration, as policies read them. Immutable once loaded.
//!
//! A table is its rows in the order of their keys, without a pointer into it: a million rows of a
//! rate sheet take some 60 MB, and none of them is touched by another's look-up. Each row knows the
//! row of its longest proper prefix, so one binary search finds all prefixes of a key: the last key
//! that is not after it begins with the longest of them.
//!
//! What a look-up costs is lines of memory that are not in the processor's cache. So numbers are
//! compared by their heads, four bits a digit; which prefix of a row is one of the sought key, too,
//! is seen by its length alone; and the text is read of the row that was found.

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

/// Heads that one of the next level stands for: two lines of the cache.
const BLOCK: usize = 16;
/// A length that may be more.
const LONG: u8 = u8::MAX;
/// Not a row.
const NONE: u32 = u32::MAX;

/// One table: rows by their key.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Table {
    coding: Coding,
    /// The head of each row's key, then every [`BLOCK`]th of those, and so on: but for the first all fit into
    /// the processor's cache.
    levels: Vec<Box<[Head]>>,
    places: Box<[Place]>,
    is_by_prefix: bool,
    /// Fields of each row, the key first.
    width: usize,
    /// Row by row, each field after its length.
    text: Box<str>,
}

/// Where a row is, and what it begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    /// The row of its longest proper prefix, or [`NONE`].
    prefix: u32,
    /// Where it begins in the text.
    start: u32,
    /// Bytes of its key, up to [`LONG`].
    length: u8,
}

impl Table {
    /// A table that answers exact look-ups only. Rows have all the same columns, all together no more than
    /// 4 GB; of rows with one key the first counts.
    pub fn exact_only(mut rows: Vec<Row>) -> Table {
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.dedup_by(|later, first| later.key == first.key);
        let coding = Coding::of(&rows);
        let (mut places, mut text) = (Vec::with_capacity(rows.len()), String::new());
        for row in &rows {
            places.push(Place {
                prefix: NONE,
                start: u32::try_from(text.len()).expect("the loader refuses larger files"),
                length: u8::try_from(row.key.len()).unwrap_or(LONG),
            });
            for field in std::iter::once(&row.key).chain(&row.columns) {
                push_length(&mut text, field.len());
                text += field;
            }
        }
        let mut levels: Vec<Box<[Head]>> =
            vec![rows.iter().map(|row| coding.head(&row.key)).collect()];
        while let Some(last) = levels.last().filter(|last| last.len() > BLOCK) {
            levels.push(last.iter().step_by(BLOCK).copied().collect());
        }
        Table {
            coding,
            levels,
            places: places.into(),
            is_by_prefix: false,
            width: rows.first().map_or(1, |row| 1 + row.columns.len()),
            text: text.into(),
        }
    }

    /// A table that also answers by prefix.
    pub fn by_prefix(rows: Vec<Row>) -> Table {
        let mut table = Table::exact_only(rows);
        // Keys are in order, so what a key begins with has come just before it.
        let mut nested: Vec<usize> = Vec::new();
        for row in 0..table.places.len() {
            while nested
                .pop_if(|it| !table.key(row).starts_with(table.key(*it)))
                .is_some()
            {}
            if let Some(&prefix) = nested.last() {
                let prefix = u32::try_from(prefix).expect("the loader refuses larger files");
                table.places[row].prefix = prefix;
            }
            nested.push(row);
        }
        table.is_by_prefix = true;
        table
    }

    /// The row whose key is `key`.
    pub fn exact(&self, key: &str) -> Option<Row> {
        let row = self.last_not_after(key, self.coding.head(key))?;
        (self.key(row) == key).then(|| self.row(row))
    }

    /// Every row whose key is a prefix of `key`, longest first.
    pub fn prefixes(&self, key: &str) -> impl Iterator<Item = Row> {
        let sought = self.coding.head(key);
        let last = match self.is_by_prefix {
            true => self.last_not_after(key, sought),
            false => None,
        };
        // What a row begins with is a prefix of the key, too, if it is no longer than what both begin with.
        let shared = last.map_or(0, |row| {
            let by_heads = self.coding.shared(self.heads()[row], sought);
            by_heads.unwrap_or_else(|| shared(self.key(row), key))
        });
        let longer = std::iter::successors(last, |&row| {
            let prefix = self.places[row].prefix;
            (prefix != NONE).then_some(prefix as usize)
        });
        longer
            .skip_while(move |&row| self.length(row) > shared)
            .map(|row| self.row(row))
    }

    /// The last row whose key is `key` or comes before it.
    fn last_not_after(&self, key: &str, sought: Head) -> Option<usize> {
        let mut lesser = 0;
        for (depth, level) in self.levels.iter().enumerate().rev() {
            // Those of the block before the first above that is not lesser.
            let block = match depth + 1 == self.levels.len() {
                true => 0..level.len(),
                false => {
                    let end = (lesser * BLOCK).min(level.len());
                    lesser.saturating_sub(1) * BLOCK..end
                }
            };
            lesser = block.start + level[block].partition_point(|it| *it < sought);
        }
        let (heads, mut after) = (self.heads(), lesser);
        // Keys with the same head are compared whole; mostly there are none.
        if heads.get(after) == Some(&sought) {
            let same = heads[after..].partition_point(|it| *it == sought);
            after += partition_point(after..after + same, |row| self.key(row) <= key);
        }
        after.checked_sub(1)
    }

    /// The head of each row's key.
    fn heads(&self) -> &[Head] {
        self.levels.first().map_or(&[], |heads| heads)
    }

    fn length(&self, row: usize) -> usize {
        match self.places[row].length {
            LONG => self.key(row).len(),
            length => usize::from(length),
        }
    }

    fn key(&self, row: usize) -> &str {
        self.fields(row).next().expect("every row has a key")
    }

    fn row(&self, row: usize) -> Row {
        let mut fields = self.fields(row).map(str::to_owned);
        Row {
            key: fields.next().expect("every row has a key"),
            columns: fields.collect(),
        }
    }

    fn fields(&self, row: usize) -> impl ExactSizeIterator<Item = &str> {
        let mut rest = &self.text[self.places[row].start as usize..];
        (0..self.width).map(move |_| {
            let (length, after) = split_length(rest);
            let field;
            (field, rest) = after.split_at(length);
            field
        })
    }
}

/// Six bits a character, the lowest first; all but the last have a seventh.
fn push_length(text: &mut String, mut length: usize) {
    while length >= 64 {
        text.push(char::from(64 | (length & 63) as u8));
        length >>= 6;
    }
    text.push(char::from(length as u8));
}

/// The length that `text` begins with, and what follows it.
fn split_length(text: &str) -> (usize, &str) {
    let (mut length, mut shift) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        length |= usize::from(byte & 63) << shift;
        if byte < 64 {
            return (length, &text[at + 1..]);
        }
        shift += 6;
    }
    (0, "")
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

/// Bytes that two texts begin with.
fn shared(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b);
    same.count()
}

/// What a key begins with, as a number that is not smaller for keys that come later.
type Head = u64;

/// How heads are made of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Coding {
    /// Sixteen characters of telephone numbers, four bits each.
    #[default]
    Digits,
    /// Eight bytes.
    Bytes,
}

impl Coding {
    /// The one by which these keys differ sooner.
    fn of(rows: &[Row]) -> Coding {
        let is_of_number = |byte: u8| byte == b'+' || byte.is_ascii_digit();
        match rows.iter().all(|row| row.key.bytes().all(is_of_number)) {
            true => Coding::Digits,
            false => Coding::Bytes,
        }
    }

    /// Bits of a head that stand for one byte.
    fn bits(self) -> u32 {
        match self {
            Coding::Digits => 4,
            Coding::Bytes => 8,
        }
    }

    fn head(self, key: &str) -> Head {
        let codes = key.bytes().map(|byte| self.code(byte));
        let places = (0..Head::BITS).step_by(self.bits() as usize);
        let head = codes.zip(places.map(|it| Head::BITS - self.bits() - it));
        head.fold(0, |head, (code, left)| head | code << left)
    }

    /// What stands for a byte, in the order of bytes: of a byte of one of the table's keys, for this byte
    /// alone. 0 is the end of a key. That it is also the byte 0 does no harm: of two keys that begin alike the
    /// one that ends comes first, and so is the row.
    fn code(self, byte: u8) -> Head {
        match (self, byte) {
            (Coding::Bytes, _) => byte.into(),
            (Coding::Digits, b'+') => 2,
            (Coding::Digits, b'0'..=b'9') => 4 + Head::from(byte - b'0'),
            (Coding::Digits, ..b'+') => 1,
            (Coding::Digits, ..b'0') => 3,
            (Coding::Digits, _) => 14,
        }
    }

    /// Bytes that a row's key and a later one of these heads both begin with; nothing if the heads do not
    /// tell.
    fn shared(self, a: Head, b: Head) -> Option<usize> {
        (a != b).then(|| ((a ^ b).leading_zeros() / self.bits()) as usize)
    }
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
    fn an_empty_table_has_nothing() {
        for table in [Table::default(), Table::by_prefix(Vec::new())] {
            assert_eq!(table.exact("+1"), None);
            assert_eq!(found(&table, "+1"), [""; 0]);
        }
    }

    #[test]
    fn fields_may_be_long() {
        let long = |bytes: usize| "é".repeat(bytes / 2) + &"x".repeat(bytes % 2);
        let of = |bytes: usize| Row {
            key: long(bytes),
            columns: vec![long(bytes / 2), long(bytes + 1)],
        };
        let all: Vec<Row> = [0, 1, 63, 64, 254, 255, 256, 5000, 70_000].map(of).into();
        let table = Table::by_prefix(all.clone());
        for row in all {
            assert_eq!(table.exact(&row.key), Some(row.clone()));
            let longest = table.prefixes(&format!("{}+", row.key)).next();
            assert_eq!(longest, Some(row));
        }
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
        let names =
            (0..2_000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761) >> (n % 24)));
        for keys in [keys.clone(), names.collect()] {
            assert_all_found(keys);
        }
        keys.retain(|key| key.bytes().all(|byte| byte != 0));
        assert_all_found(keys);
    }

    fn assert_all_found(mut keys: Vec<String>) {
        keys.sort();
        keys.dedup();
        let table = Table::by_prefix(rows(&keys.iter().map(String::as_str).collect::<Vec<_>>()));
        let mut sought: Vec<String> = keys.iter().map(|key| format!("{key}01")).collect();
        sought.extend(keys.iter().cloned());
        sought.extend(
            ["alice", "+44*1", "#1", "1\0\0", "é", "+4420712345678901x"].map(str::to_owned),
        );
        for key in &sought {
            let mut all: Vec<_> = keys.iter().filter(|it| key.starts_with(*it)).collect();
            all.sort_by_key(|it| std::cmp::Reverse(it.len()));
            assert_eq!(found(&table, key).iter().collect::<Vec<_>>(), all, "{key}");
            assert_eq!(table.exact(key).is_some(), keys.contains(key), "{key}");
        }
    }
}
