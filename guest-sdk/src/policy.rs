//! The one trait that a policy implements, and what it says about itself.

use std::fmt;

use crate::{Fault, Manifest, Query, Verdict};

/// A routing policy.
///
/// One value of it decides many calls, and the host may throw it away and configure another at any
/// time: keep derived data in it if you like, never anything about a call. What a call needs later
/// travels in the plan's cookie.
///
/// ```
/// use intertrunk_sdk::{Fault, Plan, Policy, Query, Verdict, settings};
///
/// #[derive(Default, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct OneTrunk {
///     trunk: String,
/// }
///
/// impl Policy for OneTrunk {
///     fn configure(text: &str) -> Result<Self, Vec<Fault>> {
///         settings(text)
///     }
///
///     fn decide(&self, _: &Query) -> Verdict {
///         Plan::to(&*self.trunk).into()
///     }
/// }
///
/// assert!(OneTrunk::configure("trunk = 'gw-a'").is_ok());
/// assert_eq!(OneTrunk::configure("trnk = 'gw-a'").err().map(|faults| faults[0].line), Some(Some(1)));
/// ```
pub trait Policy: Default + 'static {
    /// Who this is and what it reads. Name and version are the crate's if they are empty.
    fn describe() -> Manifest {
        Manifest::default()
    }

    /// Makes a policy of the text of its settings; empty if the configuration names no file. Report
    /// every fault, not just the first. A policy that does not override this takes no settings.
    fn configure(text: &str) -> Result<Self, Vec<Fault>> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let remedy = "leave `config` out of the configuration of this policy";
        Err(vec![
            Fault::new("", "this policy takes no settings").remedy(remedy),
        ])
    }

    /// Headers that it reads because of its settings, besides those of [`describe`](Self::describe).
    fn headers(&self) -> Vec<String> {
        Vec::new()
    }

    /// Where may this call go?
    fn decide(&self, query: &Query) -> Verdict;
}

impl Default for Manifest {
    /// All trunks, no headers, no tables.
    fn default() -> Self {
        Manifest {
            name: String::new(),
            version: String::new(),
            headers: Vec::new(),
            trunks: vec!["*".to_owned()],
            tables: Vec::new(),
        }
    }
}

impl Manifest {
    /// Asks for a header; others do not reach the policy.
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.headers.push(name.into());
        self
    }

    /// Asks for a table.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.tables.push(name.into());
        self
    }

    /// Asks for these trunks only.
    pub fn only_trunks<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.trunks = names.into_iter().map(Into::into).collect();
        self
    }
}

impl Fault {
    /// A fault of the setting at `path`, such as `route[2].prefix`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Fault {
            path: path.into(),
            line: None,
            problem: problem.into(),
            remedy: None,
        }
    }

    /// Line of the settings, counted from 1.
    pub fn line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }

    /// What to do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}
