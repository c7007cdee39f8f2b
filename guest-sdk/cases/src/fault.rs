//! What can be wrong with a case file, said so that its author can mend it.

use std::io;
use std::path::{Path, PathBuf};

/// Why case files could not be read. The author of the file is at fault, never the policy.
#[derive(Debug, thiserror::Error)]
pub enum CaseFault {
    /// A file or folder that cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder without case files, or a file without cases.
    #[error("{}: {missing}", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
        /// What it should hold.
        missing: &'static str,
    },
    /// A mistake at one place of a file.
    #[error("{}:{line}:{column}: {problem}", path.display())]
    Malformed {
        /// The case file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column in characters, counted from 1.
        column: usize,
        /// What is wrong, and what may have been meant.
        problem: String,
    },
}

impl CaseFault {
    /// A fault at the byte `offset` of `text`.
    pub(crate) fn at(path: &Path, text: &str, offset: usize, problem: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        CaseFault::Malformed {
            path: path.to_owned(),
            line: line_of(text, offset),
            column: before[line_start..].chars().count() + 1,
            problem,
        }
    }

    /// What the TOML reader found wrong with `text`.
    pub(crate) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let mut problem = error.message().to_owned();
        if let Some(meant) = suggestion(error.message()) {
            problem = format!("{problem}; did you mean `{meant}`?");
        }
        Self::at(
            path,
            text,
            error.span().map_or(0, |span| span.start),
            problem,
        )
    }
}

/// Line of the byte `offset`, counted from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

/// The word that a misspelt key or value most resembles. serde names the wrong word first and then
/// the right ones, all in backticks.
fn suggestion(message: &str) -> Option<&str> {
    let mut words = message.split('`').skip(1).step_by(2);
    let wrong = words.next()?;
    words
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min()
        .map(|(_, word)| word)
}
