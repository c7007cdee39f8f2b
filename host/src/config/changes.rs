//! Trunks that the admin API has set or removed: kept in a file of their own (`admin.trunks`), and
//! laid over the configuration whenever that is read.
//!
//! The lines of the configuration stay where they are, so that faults are told at the right place:
//! what is replaced or removed is blanked out, what is set follows at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, Document, DocumentMut, InlineTable, Item, Table, Value};

use super::fault::Fault;

/// What the API has changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    set: BTreeMap<String, Table>,
    removed: BTreeSet<String>,
}

/// A configuration with changes laid over it.
pub struct Overlaid {
    /// What is read.
    pub text: String,
    /// Lines of it before the first change.
    before: usize,
    /// Lines of the file of changes before its first trunk.
    before_there: usize,
    /// That file, if there is one.
    changes: Option<PathBuf>,
}

impl Changes {
    /// The file that `text`, a configuration at `path`, names for them.
    pub fn file(path: &Path, text: &str) -> Option<PathBuf> {
        let document = Document::parse(text).ok()?;
        let name = document
            .get("admin")?
            .as_table_like()?
            .get("trunks")?
            .as_str()?;
        Some(path.parent().unwrap_or(Path::new("")).join(name))
    }

    /// Reads them. A file that is not there holds none.
    pub fn read(file: &Path) -> io::Result<Changes> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Changes::default()),
            text => text?,
        };
        let unreadable = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let document: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| unreadable(error.message().to_owned()))?;
        let mut changes = Changes::default();
        let trunks = document.get("trunk").and_then(Item::as_array_of_tables);
        for table in trunks.into_iter().flatten() {
            let name =
                name_of(table).ok_or_else(|| unreadable("a trunk has no name".to_owned()))?;
            let mut table = table.clone();
            // So that what is written again looks as it did.
            table.decor_mut().clear();
            changes.set.insert(name, table);
        }
        let removed = document.get("removed").and_then(Item::as_array);
        let removed = removed.into_iter().flatten().filter_map(Value::as_str);
        changes.removed = removed.map(str::to_owned).collect();
        Ok(changes)
    }

    /// Writes them: the file is the old one or the new one, never half of either.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let next = file.with_extension("next");
        fs::write(&next, self.to_toml())?;
        fs::rename(next, file)
    }

    /// A trunk with these keys, in place of any other of its name. Fails on a value that TOML has not.
    pub fn set(&mut self, name: &str, keys: &Map<String, Json>) -> Result<(), String> {
        let mut table = Table::new();
        table.insert("name", Item::from(name));
        for (key, value) in keys.iter().filter(|(key, _)| *key != "name") {
            table.insert(key, Item::Value(toml(key, value)?));
        }
        self.removed.remove(name);
        self.set.insert(name.to_owned(), table);
        Ok(())
    }

    /// No trunk of this name.
    pub fn remove(&mut self, name: &str) {
        self.set.remove(name);
        self.removed.insert(name.to_owned());
    }

    /// Lays them over a configuration.
    pub fn over(&self, text: String, file: Option<PathBuf>) -> Overlaid {
        let is_gone = |name: &str| self.set.contains_key(name) || self.removed.contains(name);
        let mut text = blanked(text, is_gone);
        text.push('\n');
        let before = text.lines().count();
        let trunks = self.trunks();
        text.push_str(&trunks);
        Overlaid {
            text,
            before: before + lines_before_trunks(&trunks),
            before_there: lines_before_trunks(&self.to_toml()),
            changes: file,
        }
    }

    fn trunks(&self) -> String {
        let mut tables = ArrayOfTables::new();
        self.set
            .values()
            .for_each(|table| tables.push(table.clone()));
        let mut document = DocumentMut::new();
        document.insert("trunk", Item::ArrayOfTables(tables));
        match self.set.is_empty() {
            true => String::new(),
            false => document.to_string(),
        }
    }

    fn to_toml(&self) -> String {
        let mut document = DocumentMut::new();
        let removed: Array = self.removed.iter().map(String::as_str).collect();
        document.insert("removed", Item::Value(Value::Array(removed)));
        let head = "# Trunks set and removed by the admin API; laid over the configuration.\n";
        format!("{head}{document}\n{}", self.trunks())
    }
}

impl Overlaid {
    /// Says of a fault in a change that it is in their file.
    pub fn place(&self, fault: &mut Fault, path: &Path) {
        if let Some(file) = &self.changes
            && fault.file == path
            && fault.line > self.before
        {
            fault.file.clone_from(file);
            fault.line = fault.line - self.before + self.before_there;
        }
    }
}

fn lines_before_trunks(text: &str) -> usize {
    text.lines()
        .take_while(|line| !line.starts_with("[["))
        .count()
}

/// The text with the tables of these trunks turned into blank lines.
fn blanked(text: String, is_gone: impl Fn(&str) -> bool) -> String {
    let Ok(document) = Document::parse(text.as_str()) else {
        return text;
    };
    let trunks = document.get("trunk").and_then(Item::as_array_of_tables);
    let trunks = trunks.into_iter().flatten();
    let gone = trunks.filter(|table| name_of(table).is_some_and(|name| is_gone(&name)));
    let starts: Vec<usize> = gone
        .filter_map(|table| table.span().map(|s| s.start))
        .collect();
    let mut bytes = text.clone().into_bytes();
    for start in starts {
        for byte in &mut bytes[start..end_of_table(&text, start)] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(bytes).unwrap_or(text)
}

/// Where the trunk's table that begins at `start` ends: before the next header that is no part of it.
fn end_of_table(text: &str, start: usize) -> usize {
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        let header = line.trim_start();
        if at > start && header.starts_with('[') && !header.starts_with("[trunk.") {
            return at;
        }
        at += line.len();
    }
    text.len()
}

fn name_of(table: &Table) -> Option<String> {
    table.get("name")?.as_str().map(str::to_owned)
}

fn toml(key: &str, value: &Json) -> Result<Value, String> {
    Ok(match value {
        Json::Null => return Err(format!("`{key}` is null; leave it out")),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::from(number),
            None => return Err(format!("`{key}` is no whole number of 64 bits")),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => {
            let items = items.iter().map(|item| toml(key, item));
            Value::Array(items.collect::<Result<Array, _>>()?)
        }
        Json::Object(map) => {
            let mut table = InlineTable::new();
            for (name, value) in map {
                table.insert(name, toml(name, value)?);
            }
            Value::InlineTable(table)
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "[[trunk]]\nname = \"a\"\npeers = [\n  \"sip:h\",\n]\n[trunk.options]\n\n\
                        [[trunk]]\nname = \"b\"\n[admin]\ntrunks = \"t.toml\"\n";

    fn keys(json: &str) -> Map<String, Json> {
        serde_json::from_str(json).unwrap()
    }

    /// T13: what is set takes the place of what the file says, and no line of the file moves.
    #[test]
    fn changes_are_laid_over_a_file() {
        let file = Changes::file(Path::new("/etc/i.toml"), TEXT).unwrap();
        assert_eq!(file, Path::new("/etc/t.toml"));
        let mut changes = Changes::default();
        let same = changes.over(TEXT.to_owned(), None).text;
        assert_eq!(same.trim_end(), TEXT.trim_end());
        let json = r#"{"peers": ["sip:x", {"uri": "sip:y", "weight": 2}], "may_refer": false}"#;
        changes.set("a", &keys(json)).unwrap();
        changes.remove("b");
        let text = changes.over(TEXT.to_owned(), None).text;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let expected = [
            "[admin]",
            "trunks = \"t.toml\"",
            "[[trunk]]",
            "name = \"a\"",
            "may_refer = false",
            "peers = [\"sip:x\", { uri = \"sip:y\", weight = 2 }]",
        ];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
        assert_eq!(text.lines().position(|line| line == "[admin]"), Some(9));
        changes.remove("a");
        changes.set("b", &keys("{}")).unwrap();
        assert!(changes.set("b", &keys(r#"{"site": null}"#)).is_err());
        assert!(!changes.over(TEXT.to_owned(), None).text.contains("\"a\""));
    }

    /// T13: what was changed is there after a restart.
    #[test]
    fn changes_are_kept() {
        let mut changes = Changes::default();
        changes.set("c", &keys(r#"{"max_calls": 5}"#)).unwrap();
        changes.remove("d");
        let folder =
            std::env::temp_dir().join(format!("intertrunk-changes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("t.toml");
        assert!(Changes::read(&file).unwrap().set.is_empty(), "none yet");
        changes.write(&file).unwrap();
        let read = Changes::read(&file).unwrap();
        assert_eq!(read.to_toml(), changes.to_toml());
        assert!(read.removed.contains("d") && read.set.contains_key("c"));
        fs::write(&file, "[[trunk").unwrap();
        assert!(Changes::read(&file).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
