//! Look-up tables from CSV files with a header row.

use std::collections::HashMap;
use std::path::Path;

use intertrunk_policy::Row;

use super::file::TableEntry;
use super::read::Source;
use crate::tables::Table;

/// The table with its name; `None` after reporting what is wrong with its file.
pub fn load(source: &Source<'_>, entry: &TableEntry) -> Option<(String, Table)> {
    let at = entry.source.as_ref()?;
    let path = source.beside(&at.value);
    let rows = match std::fs::read(&path) {
        Ok(bytes) => rows(source, entry, &path, &bytes)?,
        Err(error) => {
            let problem = format!("{} cannot be read: {error}", path.display());
            source.fault(
                &at.place,
                problem,
                "name a readable CSV file with a header row",
            );
            return None;
        }
    };
    let table = if entry.by_prefix {
        Table::by_prefix(rows)
    } else {
        Table::exact_only(rows)
    };
    Some((entry.name.value.clone(), table))
}

/// Rows of the file: the key column is the key, all others are columns in the order of the file.
fn rows(source: &Source<'_>, entry: &TableEntry, path: &Path, bytes: &[u8]) -> Option<Vec<Row>> {
    let at = entry.source.as_ref()?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let key_column = key_column(source, entry, &mut reader)?;
    let mut rows = Vec::new();
    let mut lines: HashMap<String, u64> = HashMap::new();
    let mut right = true;
    let mut wrong = |line: u64, problem: String| {
        right = false;
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        source.fault_in(path.to_owned(), (line, 1), &at.place, problem);
    };
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                wrong(
                    error.position().map_or(1, csv::Position::line),
                    csv_problem(&error),
                );
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
    right.then_some(rows)
}

fn key_column(
    source: &Source<'_>,
    entry: &TableEntry,
    reader: &mut csv::Reader<&[u8]>,
) -> Option<usize> {
    let header = match reader.headers() {
        Ok(header) => header,
        Err(error) => {
            source.fault(
                &entry.source.as_ref()?.place,
                csv_problem(&error),
                "mend the header row",
            );
            return None;
        }
    };
    let Some(key) = &entry.key else {
        return Some(0);
    };
    let column = header.iter().position(|name| name == key.value);
    if column.is_none() {
        let columns = header.iter().collect::<Vec<_>>().join(", ");
        let problem = format!("no column \"{}\"", key.value);
        source.fault(&key.place, problem, format!("the columns are: {columns}"));
    }
    column
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
