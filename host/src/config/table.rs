//! Look-up tables from CSV files with a header row.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use intertrunk_policy::Row;

use super::file::TableEntry;
use super::read::Source;
use crate::tables::Table;

/// Most bytes of a file. A table says with 32 bits where a row begins, and keeps about as much as the file.
const BYTES_MAX: u64 = 4_000_000_000;

/// Where a table comes from. It is read with the configuration, and again when a policy that may
/// read it is staged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableFile {
    /// As configured.
    pub name: String,
    path: PathBuf,
    /// The column that is looked up; the first one if absent.
    key: Option<String>,
    by_prefix: bool,
}

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableFault {
    /// The file, or its header row.
    #[error("{0}")]
    File(String, &'static str),
    /// The key column is not there.
    #[error("no column \"{0}\"; the columns are: {1}")]
    Key(String, String),
    /// Rows, each with its line.
    #[error("{}", lines(.0, .1))]
    Rows(PathBuf, Vec<(usize, String)>),
}

fn lines(path: &Path, wrong: &[(usize, String)]) -> String {
    let line =
        |(line, problem): &(usize, String)| format!("{}:{line}:1: {problem}", path.display());
    wrong.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The table with its name, and its file; `None` after reporting what is wrong with it.
pub fn load(source: &Source<'_>, entry: &TableEntry) -> Option<(TableFile, Arc<Table>)> {
    let at = entry.source.as_ref()?;
    let file = TableFile {
        name: entry.name.value.clone(),
        path: source.beside(&at.value),
        key: entry.key.as_ref().map(|key| key.value.clone()),
        by_prefix: entry.by_prefix,
    };
    match file.read() {
        Ok(table) => return Some((file, Arc::new(table))),
        Err(TableFault::File(problem, remedy)) => source.fault(&at.place, problem, remedy),
        Err(TableFault::Key(column, columns)) => {
            let place = entry.key.as_ref().map_or(&at.place, |key| &key.place);
            let problem = format!("no column \"{column}\"");
            source.fault(place, problem, format!("the columns are: {columns}"));
        }
        Err(TableFault::Rows(path, wrong)) => {
            for (line, problem) in wrong {
                source.fault_in(path.clone(), (line, 1), &at.place, problem);
            }
        }
    }
    None
}

impl TableFile {
    /// The table as its file has it now.
    pub fn read(&self) -> Result<Table, TableFault> {
        let path = self.path.display();
        let bytes = std::fs::read(&self.path).map_err(|error| {
            let remedy = "name a readable CSV file with a header row";
            TableFault::File(format!("{path} cannot be read: {error}"), remedy)
        })?;
        let too_large = || {
            let remedy = "split it into tables of less";
            TableFault::File(format!("{path} has over 4 GB"), remedy)
        };
        if bytes.len() as u64 > BYTES_MAX {
            return Err(too_large());
        }
        let rows = self.rows(&bytes)?;
        let table = match self.by_prefix {
            true => Table::by_prefix(rows),
            false => Table::exact_only(rows),
        };
        table.ok_or_else(too_large)
    }

    /// Rows of the file: the key column is the key, all others are columns in the order of the file.
    fn rows(&self, bytes: &[u8]) -> Result<Vec<Row>, TableFault> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let key_column = self.key_column(&mut reader)?;
        let mut rows = Vec::new();
        let mut lines: HashMap<String, u64> = HashMap::new();
        let mut all_wrong = Vec::new();
        let mut wrong = |line: u64, problem: String| {
            all_wrong.push((usize::try_from(line).unwrap_or(usize::MAX), problem));
        };
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let line = error.position().map_or(1, csv::Position::line);
                    wrong(line, csv_problem(&error));
                    continue;
                }
            };
            let line = record.position().map_or(1, csv::Position::line);
            let key = record.get(key_column).unwrap_or_default().to_owned();
            if let Some(first) = lines.insert(key.clone(), line) {
                wrong(line, format!("key \"{key}\" is on line {first} already"));
            }
            let others = record.iter().enumerate().filter(|(i, _)| *i != key_column);
            rows.push(Row {
                key,
                columns: others.map(|(_, cell)| cell.to_owned()).collect(),
            });
        }
        if all_wrong.is_empty() {
            Ok(rows)
        } else {
            Err(TableFault::Rows(self.path.clone(), all_wrong))
        }
    }

    fn key_column(&self, reader: &mut csv::Reader<&[u8]>) -> Result<usize, TableFault> {
        let header = reader.headers();
        let header =
            header.map_err(|error| TableFault::File(csv_problem(&error), "mend the header row"))?;
        let Some(key) = &self.key else {
            return Ok(0);
        };
        let column = header.iter().position(|name| name == key);
        column.ok_or_else(|| {
            let columns = header.iter().collect::<Vec<_>>().join(", ");
            TableFault::Key(key.clone(), columns)
        })
    }
}

impl fmt::Display for TableFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} ({})", self.name, self.path.display())
    }
}

fn csv_problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("has {len} cells but the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}
