//! Look-up tables of the configuration, as policies read them. Immutable once loaded.
//!
//! A table is its rows in the order of their keys, without a pointer into it: a million rows of a
//! rate sheet take some 53 MB, and none of them is touched by another's look-up. The last row whose
//! key is not after the sought one is it, or begins with the longest prefix of it that there is.
//!
//! What a look-up costs is reads of memory that wait for one another. So keys are compared by their
//! heads, four bits a digit; sixteen rows have their heads together, and beside them what tells which
//! row is the prefix; and then one more place is read, the text of that row.

use std::any::Any;
use std::collections::HashMap;
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

/// Rows of a block, and heads that one of the level above stands for.
const BLOCK: usize = 16;
/// Prefixes of its first row that a block knows.
const OUTER: usize = 6;
/// A length that may be more.
const LONG: u8 = u8::MAX;
/// Not a row.
const NONE: u32 = u32::MAX;

/// One table: rows by their key.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Table {
    coding: Coding,
    /// The first head of each block, then the first of each sixteen of those, and so on until sixteen are
    /// left: all this stays in the processor's cache.
    levels: Vec<Box<[[Head; BLOCK]]>>,
    blocks: Box<[Block]>,
    rows: usize,
    is_by_prefix: bool,
    /// Fields of each row, the key first.
    width: usize,
    /// Row by row: how many bytes before it the row of its longest proper prefix begins, 0 if there is none;
    /// then each field after its length.
    text: Box<str>,
}

/// Sixteen rows, in four lines of the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(256))]
struct Block {
    /// What their keys begin with; more than any after the last row.
    heads: [Head; BLOCK],
    /// The rows whose keys the key of the first begins with, the longest first: where they begin in the text,
    /// or [`NONE`]. Of all prefixes of a key of this block, those that lie before the block are among them.
    outer_starts: [u32; OUTER],
    /// Bytes of their keys, up to [`LONG`].
    outer_lengths: [u8; OUTER],
    /// Bytes of each row's key, up to [`LONG`].
    lengths: [u8; BLOCK],
    /// The row of each one's longest proper prefix, or [`BLOCK`] if it is not in the block.
    inner: [u8; BLOCK],
    /// Where each row begins in the text.
    starts: [u32; BLOCK],
}

impl Block {
    const EMPTY: Block = Block {
        heads: [Head::MAX; BLOCK],
        outer_starts: [NONE; OUTER],
        outer_lengths: [0; OUTER],
        lengths: [0; BLOCK],
        inner: [BLOCK as u8; BLOCK],
        starts: [NONE; BLOCK],
    };
}

impl Table {
    /// A table that answers exact look-ups only; nothing if the rows need more than 4 GB. They have all the
    /// same columns; of rows with one key the first counts.
    pub fn exact_only(rows: Vec<Row>) -> Option<Table> {
        Table::of(rows, false)
    }

    /// A table that also answers by prefix.
    pub fn by_prefix(rows: Vec<Row>) -> Option<Table> {
        Table::of(rows, true)
    }

    fn of(mut rows: Vec<Row>, is_by_prefix: bool) -> Option<Table> {
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.dedup_by(|later, first| later.key == first.key);
        let coding = Coding::of(&rows);
        let mut blocks = vec![Block::EMPTY; rows.len().div_ceil(BLOCK)];
        let mut text = String::new();
        let length = |row: usize| u8::try_from(rows[row].key.len()).unwrap_or(LONG);
        // The prefixes of a row with their starts. Keys are in order, so they have come just before it.
        let mut nested: Vec<(usize, u32)> = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let start = u32::try_from(text.len()).ok().filter(|it| *it != NONE)?;
            while nested
                .pop_if(|it| !row.key.starts_with(&rows[it.0].key))
                .is_some()
            {}
            let first = number - number % BLOCK;
            let (block, at) = (&mut blocks[number / BLOCK], number - first);
            if at == 0 {
                for (place, it) in nested.iter().rev().take(OUTER).enumerate() {
                    block.outer_starts[place] = it.1;
                    block.outer_lengths[place] = length(it.0);
                }
            }
            block.heads[at] = coding.head(&row.key);
            block.lengths[at] = length(number);
            block.starts[at] = start;
            let mut distance = 0;
            if let Some(&(prefix, its_start)) = nested.last() {
                distance = start - its_start;
                if let Some(inner) = prefix.checked_sub(first) {
                    block.inner[at] = inner as u8;
                }
            }
            push_number(&mut text, distance as usize);
            for field in std::iter::once(&row.key).chain(&row.columns) {
                push_number(&mut text, field.len());
                text += field;
            }
            if is_by_prefix {
                nested.push((number, start));
            }
        }
        Some(Table {
            coding,
            levels: levels(&blocks),
            blocks: blocks.into(),
            rows: rows.len(),
            is_by_prefix,
            width: rows.first().map_or(1, |row| 1 + row.columns.len()),
            text: text.into(),
        })
    }

    /// The row whose key is `key`.
    pub fn exact(&self, key: &str) -> Option<Row> {
        let (block, at) = self.last_not_after(key, self.coding.head(key))?;
        let start = self.blocks[block].starts[at];
        (self.key(start) == key).then(|| self.row(start))
    }

    /// Every row whose key is a prefix of `key`, longest first.
    pub fn prefixes(&self, key: &str) -> impl Iterator<Item = Row> {
        let longest = match self.is_by_prefix {
            true => self.longest_prefix(key),
            false => None,
        };
        self.with_prefixes(longest).map(|start| self.row(start))
    }

    /// Where the row of the longest prefix begins in the text.
    fn longest_prefix(&self, key: &str) -> Option<u32> {
        let sought = self.coding.head(key);
        let (block, at) = self.last_not_after(key, sought)?;
        let block = &self.blocks[block];
        // What a row begins with is a prefix of the key, too, if it is no longer than what both begin with.
        let shared = |at: usize| {
            let by_heads = self.coding.shared(block.heads[at], sought);
            by_heads.unwrap_or_else(|| shared(self.key(block.starts[at]), key))
        };
        let fits = |length: &u8, shared: usize| usize::from(*length) <= shared;
        // Looked at in any case, as this does not wait for what comes out as `at`.
        let by_first = shared(0);
        let outer = block.outer_lengths.iter().position(|it| fits(it, by_first));
        let outer = block.outer_starts[outer.unwrap_or(OUTER - 1)];

        let by_this = shared(at);
        let mut inner = at;
        while inner < BLOCK && !fits(&block.lengths[inner], by_this) {
            inner = block.inner[inner].into();
        }
        let (start, shared) = match block.starts.get(inner) {
            Some(start) => (*start, by_this),
            None => (outer, by_first),
        };
        // Mostly the first; not if a key is long, or more prefixes lie before the block than it knows.
        self.with_prefixes(Some(start).filter(|it| *it != NONE))
            .find(|start| self.key(*start).len() <= shared)
    }

    /// The block of the last row whose key is `key` or comes before it, and which of its rows that is.
    fn last_not_after(&self, key: &str, sought: Head) -> Option<(usize, usize)> {
        let lesser = |heads| lesser(heads, sought);
        // The last with a head that is less.
        let mut block = 0;
        for level in self.levels.iter().rev() {
            block = block * BLOCK + lesser(&level[block]).saturating_sub(1);
        }
        let at = lesser(&self.blocks.get(block)?.heads);
        let next = match at {
            BLOCK => self.levels.first().map_or(Head::MAX, |level| {
                let next = block + 1;
                let heads = level.get(next / BLOCK);
                heads.map_or(Head::MAX, |heads| heads[next % BLOCK])
            }),
            _ => self.blocks[block].heads[at],
        };
        if next == sought {
            return self.last_alike(key, sought, block * BLOCK + at);
        }
        Some((block, at.checked_sub(1)?))
    }

    /// The same, if `first` is the first row with the head of the key: these are compared whole.
    #[cold]
    fn last_alike(&self, key: &str, sought: Head, first: usize) -> Option<(usize, usize)> {
        let place = |row: usize| (&self.blocks[row / BLOCK], row % BLOCK);
        let is_alike = |row: usize| {
            let (block, at) = place(row);
            block.heads[at] == sought
        };
        let is_not_after = |row: usize| {
            let (block, at) = place(row);
            is_alike(row) && self.key(block.starts[at]) <= key
        };
        // Mostly it is the only one.
        let (mut low, mut high, mut step) = (first, first + 1, 1);
        while high < self.rows && is_alike(high) {
            high += step;
            step *= 2;
        }
        high = high.min(self.rows);
        while low < high {
            let middle = low.midpoint(high);
            if is_not_after(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let row = low.checked_sub(1)?;
        Some((row / BLOCK, row % BLOCK))
    }

    /// A row, then those of its proper prefixes, longest first: where they begin in the text.
    fn with_prefixes(&self, start: Option<u32>) -> impl Iterator<Item = u32> {
        std::iter::successors(start, |start| {
            let (distance, _) = split_number(&self.text[*start as usize..]);
            (distance > 0).then(|| start - distance as u32)
        })
    }

    fn key(&self, start: u32) -> &str {
        self.fields(start).next().expect("every row has a key")
    }

    fn row(&self, start: u32) -> Row {
        let mut fields = self.fields(start).map(str::to_owned);
        Row {
            key: fields.next().expect("every row has a key"),
            columns: fields.collect(),
        }
    }

    fn fields(&self, start: u32) -> impl ExactSizeIterator<Item = &str> {
        let (_, mut rest) = split_number(&self.text[start as usize..]);
        (0..self.width).map(move |_| {
            let (length, after) = split_number(rest);
            let field;
            (field, rest) = after.split_at(length);
            field
        })
    }
}

/// How many of these heads, in their order, are less than `sought`. In two steps, without a branch that
/// could be guessed wrong, and both lines of the cache are asked for at once.
fn lesser(heads: &[Head; BLOCK], sought: Head) -> usize {
    let is = |at: usize| usize::from(heads[at] < sought);
    let four = 4 * (is(3) + is(7) + is(11));
    four + is(four) + is(four + 1) + is(four + 2) + is(four + 3)
}

/// The levels above these blocks.
fn levels(blocks: &[Block]) -> Vec<Box<[[Head; BLOCK]]>> {
    let mut levels = Vec::new();
    let mut firsts: Vec<Head> = blocks.iter().map(|block| block.heads[0]).collect();
    while firsts.len() > 1 {
        let level: Box<[[Head; BLOCK]]> = firsts
            .chunks(BLOCK)
            .map(|chunk| {
                let mut heads = [Head::MAX; BLOCK];
                heads[..chunk.len()].copy_from_slice(chunk);
                heads
            })
            .collect();
        firsts = level.iter().map(|heads| heads[0]).collect();
        levels.push(level);
    }
    levels
}

/// Six bits a character, the lowest first; all but the last have a seventh.
fn push_number(text: &mut String, mut number: usize) {
    while number >= 64 {
        text.push(char::from(64 | (number & 63) as u8));
        number >>= 6;
    }
    text.push(char::from(number as u8));
}

/// The number that `text` begins with, and what follows it.
fn split_number(text: &str) -> (usize, &str) {
    let (mut number, mut shift) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        number |= usize::from(byte & 63) << shift;
        if byte < 64 {
            return (number, &text[at + 1..]);
        }
        shift += 6;
    }
    (0, "")
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
        let most = (Head::BITS / self.bits()) as usize;
        let bytes = key.as_bytes().iter().take(most);
        let left = Head::BITS - self.bits() * bytes.len() as u32;
        let head = bytes.fold(0, |head, byte| head << self.bits() | self.code(*byte));
        // (Nothing to move, and nothing moves, if the key is empty.)
        head.checked_shl(left).unwrap_or(0)
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
        let table = Table::by_prefix(rows(&["+1", "+1425", "+44", "+1425555", "+1426"])).unwrap();
        assert_eq!(found(&table, "+14255550100"), ["+1425555", "+1425", "+1"]);
        assert_eq!(found(&table, "+1427"), ["+1"]);
        assert_eq!(found(&table, "+33"), [""; 0]);
        assert_eq!(table.exact("+44").unwrap().columns, ["of +44", ""]);
        assert_eq!(table.exact("+4"), None);
    }

    #[test]
    fn a_key_cut_inside_a_character_is_no_prefix() {
        let table = Table::by_prefix(rows(&["a", "ab"])).unwrap();
        assert_eq!(found(&table, "é"), [""; 0]);
    }

    #[test]
    fn an_empty_table_has_nothing() {
        for table in [Table::default(), Table::by_prefix(Vec::new()).unwrap()] {
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
        let table = Table::by_prefix(all.clone()).unwrap();
        for row in all {
            assert_eq!(table.exact(&row.key), Some(row.clone()));
            let longest = table.prefixes(&format!("{}+", row.key)).next();
            assert_eq!(longest, Some(row));
        }
    }

    #[test]
    fn an_exact_table_knows_no_prefixes() {
        let table = Table::exact_only(rows(&["+1"])).unwrap();
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
        let table = table.unwrap();
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
