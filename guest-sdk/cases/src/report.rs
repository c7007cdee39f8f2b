//! How a case ended, for people and for programs.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// How one case ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CaseReport {
    /// The case file.
    pub suite: PathBuf,
    /// Line of the case in it, counted from 1.
    pub line: usize,
    /// Name of the case.
    pub name: String,
    /// What differs from what was expected; `None` if nothing does.
    pub diff: Option<String>,
    /// The policy's explanation.
    pub because: Vec<String>,
}

impl CaseReport {
    /// Whether the policy decided as expected.
    pub fn passed(&self) -> bool {
        self.diff.is_none()
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(diff) = &self.diff else {
            return write!(f, "ok      {}", self.name);
        };
        write!(
            f,
            "DIFFERS {} ({}:{})",
            self.name,
            self.suite.display(),
            self.line
        )?;
        for line in diff.lines() {
            write!(f, "\n          {line}")?;
        }
        for line in &self.because {
            write!(f, "\n          because {line}")?;
        }
        Ok(())
    }
}
