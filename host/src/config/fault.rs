//! What is wrong with a configuration: where, which key, why, and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Whether a fault keeps the configuration from being used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but somebody should know.
    Warning,
}

/// One thing wrong, as `file:line:column: key: problem; remedy`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fault {
    /// Whether it matters.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Path of the key, such as `trunk[1].peers[0]`.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// All that is wrong with a configuration, in the order of the file; at least one is an error.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", lines(.faults))]
pub struct Faults {
    /// Errors and warnings.
    pub faults: Vec<Fault>,
    /// Whether the file itself could not be read, so that nothing was checked.
    pub unreadable: bool,
}

impl Faults {
    /// The file itself cannot be read.
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Faults {
        let fault = Fault {
            severity: Severity::Error,
            file: path.to_owned(),
            line: 1,
            column: 1,
            key: String::new(),
            problem: format!("cannot be read: {error}"),
            remedy: "name a readable configuration file with -c".to_owned(),
        };
        Faults {
            faults: vec![fault],
            unreadable: true,
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
