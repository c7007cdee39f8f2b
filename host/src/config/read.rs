//! TOML into typed values, each with the place where it stands.
//!
//! A [`Section`] hands out values by key. It remembers which keys were asked for, so that
//! [`Section::finish`] can name every other key as unknown; there is no second list of keys to keep
//! true. A wrong value is reported and read as absent: the reader always goes on.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml_edit::{Document, Item, TableLike, Value};

use super::fault::{Fault, Severity};
use super::value::Complaint;

/// Where a value stands: its key's path and its offset in the text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Such as `trunk[1].peers[0]`.
    pub key: String,
    /// Bytes from the start of the file.
    pub offset: usize,
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct At<T> {
    /// Where.
    pub place: Place,
    /// What.
    pub value: T,
}

/// The file being read, and what is wrong with it so far.
#[derive(Debug)]
pub struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Source<'a> {
    /// Nothing wrong yet.
    pub fn new(path: &'a Path, text: &'a str) -> Source<'a> {
        Source {
            path,
            text,
            faults: RefCell::default(),
        }
    }

    /// The document, or `None` after reporting that it is not TOML.
    pub fn document(&self) -> Option<Document<&'a str>> {
        let error = match Document::parse(self.text) {
            Ok(document) => return Some(document),
            Err(error) => error,
        };
        let offset = error.span().map_or(0, |span| span.start);
        let place = Place {
            key: String::new(),
            offset,
        };
        let problem = format!("not TOML: {}", error.message().replace('\n', ", "));
        self.fault(
            &place,
            problem,
            "mend this line; the rest is read after that",
        );
        None
    }

    /// Reports an error.
    pub fn fault(&self, place: &Place, problem: impl Display, remedy: impl Display) {
        self.report(Severity::Error, place, &problem, &remedy);
    }

    /// Reports that a key is missing, unless it is there and was reported as wrong.
    pub fn missing(&self, place: &Place, problem: impl Display, remedy: impl Display) {
        if self
            .faults
            .borrow()
            .iter()
            .all(|fault| fault.key != place.key)
        {
            self.fault(place, problem, remedy);
        }
    }

    /// Reports something that somebody should know.
    pub fn warn(&self, place: &Place, problem: impl Display, remedy: impl Display) {
        self.report(Severity::Warning, place, &problem, &remedy);
    }

    /// Reports an error at a line and column of another file, which `place` names.
    pub fn fault_in(
        &self,
        file: PathBuf,
        (line, column): (usize, usize),
        place: &Place,
        problem: impl Display,
    ) {
        self.faults.borrow_mut().push(Fault {
            severity: Severity::Error,
            file,
            line,
            column,
            key: place.key.clone(),
            problem: problem.to_string(),
            remedy: "mend this line".to_owned(),
        });
    }

    fn report(
        &self,
        severity: Severity,
        place: &Place,
        problem: &dyn Display,
        remedy: &dyn Display,
    ) {
        let (line, column) = self.line_and_column(place.offset);
        self.faults.borrow_mut().push(Fault {
            severity,
            file: self.path.to_owned(),
            line,
            column,
            key: place.key.clone(),
            problem: problem.to_string(),
            remedy: remedy.to_string(),
        });
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.faults
            .borrow()
            .iter()
            .any(|fault| fault.severity == Severity::Error)
    }

    /// Everything reported, in the order of the file, other files last.
    pub fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| (fault.file != self.path, fault.line, fault.column));
        faults
    }

    /// A path of the file, which starts at the file's own folder.
    pub fn beside(&self, relative: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(relative)
    }

    /// SHA-256 of the file, hex.
    pub fn sha256(&self) -> String {
        let digest = Sha256::digest(self.text);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The file's text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The file's own path.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// Line and column of an offset, both counted from 1.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// One table of the file while it is being read.
pub struct Section<'s> {
    source: &'s Source<'s>,
    place: Place,
    table: &'s dyn TableLike,
    asked: RefCell<Vec<&'static str>>,
}

impl<'s> Section<'s> {
    /// The whole file.
    pub fn root(source: &'s Source<'s>, document: &'s Document<&str>) -> Section<'s> {
        Section::new(source, Place::default(), document.as_table())
    }

    fn new(source: &'s Source<'s>, place: Place, table: &'s dyn TableLike) -> Section<'s> {
        Section {
            source,
            place,
            table,
            asked: RefCell::default(),
        }
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, item) in self.table.iter() {
            if asked.contains(&key) {
                continue;
            }
            let place = below(&self.place, key, key_offset(self.table, key, item));
            let remedy = match nearest(key, asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", asked.join(", ")),
            };
            self.source.fault(&place, "unknown key", remedy);
        }
    }

    /// Whether a key is there, be its value right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Passes `got` on, after reporting the key as missing if it is.
    pub fn required<T>(&self, key: &str, remedy: &str, got: Option<T>) -> Option<T> {
        if got.is_none() {
            self.source.missing(
                &below(&self.place, key, self.place.offset),
                "missing",
                remedy,
            );
        }
        got
    }

    /// A string, read by `parse`.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Complaint>,
    ) -> Option<At<T>> {
        let (place, item) = self.item(key)?;
        match item.as_str() {
            Some(text) => self.accept(place, parse(text)),
            None => {
                // What would be said of an empty string tells what to write.
                let remedy = parse("")
                    .err()
                    .map_or("write a string".to_owned(), |c| c.remedy);
                self.source
                    .fault(&place, format!("is of type {}", item.type_name()), remedy);
                None
            }
        }
    }

    /// An array of strings, each read by `parse`; the wrong ones are left out.
    pub fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Complaint>,
    ) -> Option<Vec<At<T>>> {
        let members = self.members(key, "an array of strings, such as [\"a\", \"b\"]")?;
        let parsed = members.into_iter().filter_map(|(place, value)| {
            let text = self.expect(&place, value.as_str(), value.type_name(), "a string")?;
            self.accept(place, parse(text))
        });
        Some(parsed.collect())
    }

    /// An array of strings, each read by `parse`, and of tables, each read by `table`; the wrong ones
    /// are left out.
    pub fn strings_and_tables<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Complaint>,
        table: impl Fn(Section<'s>) -> Option<T>,
    ) -> Option<Vec<At<T>>> {
        let members = self.members(key, "an array of strings, such as [\"a\", \"b\"]")?;
        let parsed = members.into_iter().filter_map(|(place, value)| {
            if let Some(inline) = value.as_inline_table() {
                let value = table(Section::new(self.source, place.clone(), inline))?;
                return Some(At { place, value });
            }
            let wanted = "a string or a table";
            let text = self.expect(&place, value.as_str(), value.type_name(), wanted)?;
            self.accept(place, parse(text))
        });
        Some(parsed.collect())
    }

    /// A string, or an array of strings, each read by `parse`; the wrong ones are left out.
    pub fn one_or_more<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Complaint>,
    ) -> Option<Vec<At<T>>> {
        match self.table.get(key) {
            Some(item) if item.is_array() => self.list(key, parse),
            Some(_) | None => self.parsed(key, parse).map(|at| vec![at]),
        }
    }

    /// An integer within `range`.
    pub fn number<T: TryFrom<i64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<At<T>> {
        let (place, item) = self.item(key)?;
        let number = self.expect(&place, item.as_integer(), item.type_name(), "an integer")?;
        self.in_range(place, number, &range)
    }

    /// An array of integers within `range`; the wrong ones are left out.
    pub fn numbers<T: TryFrom<i64>>(
        &self,
        key: &'static str,
        range: &RangeInclusive<i64>,
    ) -> Option<Vec<T>> {
        let members = self.members(key, "an array of integers, such as [503, 504]")?;
        let numbers = members.into_iter().filter_map(|(place, value)| {
            let name = value.type_name();
            let number = self.expect(&place, value.as_integer(), name, "an integer")?;
            self.in_range(place, number, range).map(|at| at.value)
        });
        Some(numbers.collect())
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        self.flag_at(key).map(|at| at.value)
    }

    /// The same, and where it stands.
    pub fn flag_at(&self, key: &'static str) -> Option<At<bool>> {
        let (place, item) = self.item(key)?;
        let value = self.expect(&place, item.as_bool(), item.type_name(), "true or false")?;
        Some(At { place, value })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<At<T>> {
        self.parsed(key, |text| {
            match words.iter().find(|(word, _)| *word == text) {
                Some((_, meaning)) => Ok(*meaning),
                None => {
                    let all: Vec<String> = words
                        .iter()
                        .map(|(word, _)| format!("\"{word}\""))
                        .collect();
                    Err(Complaint::new(
                        format!("\"{text}\" is none of its values"),
                        format!("write {}", all.join(" or ")),
                    ))
                }
            }
        })
    }

    /// A table below this one.
    pub fn section(&self, key: &'static str) -> Option<Section<'s>> {
        let (place, item) = self.item(key)?;
        let table = self.expect(&place, item.as_table_like(), item.type_name(), "a table")?;
        Some(Section::new(self.source, place, table))
    }

    /// The tables of an array, `[[key]]`.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'s>> {
        let Some((place, item)) = self.item(key) else {
            return Vec::new();
        };
        let tables: Vec<(usize, &'s dyn TableLike)> = match item {
            Item::ArrayOfTables(array) => array
                .iter()
                .map(|table| (start(table.span()), table as &dyn TableLike))
                .collect(),
            Item::Value(Value::Array(array)) if array.iter().all(Value::is_inline_table) => {
                let tables = array
                    .iter()
                    .filter_map(|value| Some((start(value.span()), value.as_inline_table()?)));
                tables
                    .map(|(offset, table)| (offset, table as &dyn TableLike))
                    .collect()
            }
            other => {
                let header = format!("tables that begin with [[{key}]]");
                self.expect::<()>(&place, None, other.type_name(), &header);
                Vec::new()
            }
        };
        let sections = tables.into_iter().enumerate().map(|(i, (offset, table))| {
            Section::new(
                self.source,
                Place {
                    key: format!("{}[{i}]", place.key),
                    offset,
                },
                table,
            )
        });
        sections.collect()
    }

    /// The tables below a key by their names, `[key.name]`.
    pub fn named_sections(&self, key: &'static str) -> Vec<(At<String>, Section<'s>)> {
        let Some(parent) = self.section(key) else {
            return Vec::new();
        };
        let named = parent.table.iter().filter_map(|(name, item)| {
            let place = below(&parent.place, name, key_offset(parent.table, name, item));
            let table = self.expect(&place, item.as_table_like(), item.type_name(), "a table")?;
            let section = Section::new(self.source, place.clone(), table);
            Some((
                At {
                    place,
                    value: name.to_owned(),
                },
                section,
            ))
        });
        named.collect()
    }

    /// Takes keys that mean something in the product but nothing in this version, and says so.
    pub fn without_effect(&self, keys: &[&'static str]) {
        for key in keys {
            if let Some((place, _)) = self.item(key) {
                self.no_effect(&place);
            }
        }
    }

    /// Says of a key that is there that it has no effect, and what would give it one.
    pub fn has_effect_with(&self, key: &'static str, other: &str) {
        if let Some((place, _)) = self.item(key) {
            let problem = format!("has no effect without {other}");
            self.source
                .warn(&place, problem, "add it, or leave this out");
        }
    }

    /// Reports what is wrong with the value of a key.
    pub fn wrong(&self, key: &'static str, problem: impl Display, remedy: impl Display) {
        if let Some((place, _)) = self.item(key) {
            self.source.fault(&place, problem, remedy);
        }
    }

    /// Reports what is wrong with the table as a whole.
    pub fn wrong_itself(&self, problem: impl Display, remedy: impl Display) {
        self.source.fault(&self.place, problem, remedy);
    }

    /// Says of a value that it has no effect.
    pub fn no_effect(&self, place: &Place) {
        self.source.warn(
            place,
            "has no effect in this version",
            "leave it out, or leave it for later",
        );
    }

    /// Reports what only a look at several keys shows.
    pub fn fault(&self, place: &Place, problem: &str, remedy: &str) {
        self.source.fault(place, problem, remedy);
    }

    /// Reports an empty array where something must be named.
    pub fn not_empty(&self, key: &'static str, remedy: &str) {
        if let Some((place, item)) = self.item(key)
            && item.as_array().is_some_and(|array| array.is_empty())
        {
            self.source.fault(&place, "is empty", remedy);
        }
    }

    /// Reports a table that must have one key and has none or several.
    pub fn exactly_one_key(&self, remedy: &str) {
        let keys = self.table.iter().count();
        if keys != 1 {
            self.source.fault(
                &self.place,
                format!("has {keys} keys but wants one"),
                remedy,
            );
        }
    }

    fn item(&self, key: &'static str) -> Option<(Place, &'s Item)> {
        self.asked.borrow_mut().push(key);
        let item = self.table.get(key)?;
        let offset = item
            .span()
            .map_or_else(|| key_offset(self.table, key, item), |span| span.start);
        Some((below(&self.place, key, offset), item))
    }

    fn members(&self, key: &'static str, wanted: &str) -> Option<Vec<(Place, &'s Value)>> {
        let (place, item) = self.item(key)?;
        let array = self.expect(&place, item.as_array(), item.type_name(), wanted)?;
        let members = array.iter().enumerate().map(|(i, value)| {
            (
                Place {
                    key: format!("{}[{i}]", place.key),
                    offset: start(value.span()),
                },
                value,
            )
        });
        Some(members.collect())
    }

    fn expect<T>(&self, place: &Place, got: Option<T>, found: &str, wanted: &str) -> Option<T> {
        if got.is_none() {
            let problem = format!("is of type {found}");
            self.source.fault(place, problem, format!("write {wanted}"));
        }
        got
    }

    fn in_range<T: TryFrom<i64>>(
        &self,
        place: Place,
        number: i64,
        range: &RangeInclusive<i64>,
    ) -> Option<At<T>> {
        let value = T::try_from(number).ok().filter(|_| range.contains(&number));
        if value.is_none() {
            let remedy = format!("write a number from {} to {}", range.start(), range.end());
            self.source
                .fault(&place, format!("{number} is out of range"), remedy);
        }
        Some(At {
            place,
            value: value?,
        })
    }

    fn accept<T>(&self, place: Place, parsed: Result<T, Complaint>) -> Option<At<T>> {
        match parsed {
            Ok(value) => Some(At { place, value }),
            Err(complaint) => {
                self.source
                    .fault(&place, complaint.problem, complaint.remedy);
                None
            }
        }
    }
}

/// The word of `known` that somebody who wrote `wrong` most likely meant.
pub fn nearest<'w>(wrong: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let scored = known.map(|word| (strsim::damerau_levenshtein(wrong, word), word));
    let near = scored.filter(|(distance, word)| *distance <= 1 + word.len() / 4);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn below(parent: &Place, key: &str, offset: usize) -> Place {
    let key = if parent.key.is_empty() {
        key.to_owned()
    } else {
        format!("{}.{key}", parent.key)
    };
    Place { key, offset }
}

fn key_offset(table: &dyn TableLike, key: &str, item: &Item) -> usize {
    let span = table
        .key(key)
        .and_then(toml_edit::Key::span)
        .or_else(|| item.span());
    start(span)
}

fn start(span: Option<std::ops::Range<usize>>) -> usize {
    span.map_or(0, |span| span.start)
}
