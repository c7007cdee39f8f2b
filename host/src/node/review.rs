//! What a reload would change, without changing anything: the review before the commit.
//!
//! Reads and checks the files as a reload does, compiling every policy and running its cases beside
//! those that are live. What an operator has staged stays staged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use intertrunk_policy::World;
use serde::Serialize;
use similar::TextDiff;

use super::change::{ChangeFault, refuse_other_listeners, until_restart};
use super::{Node, with_listeners};
use crate::config;
use crate::staging;
use crate::world::Live;

/// What a reload would do.
#[derive(Clone, Debug, Serialize)]
pub struct Review {
    /// Files whose text is not the running one.
    pub changes: Vec<Change>,
    /// Policies that would get a new generation.
    pub policies: Vec<String>,
    /// Cases that passed, of all policies.
    pub cases_passed: usize,
    /// What the file says that has no effect, or not before a restart.
    pub warnings: Vec<String>,
}

/// How one file differs.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The file.
    pub file: PathBuf,
    /// From the running text to that of the file, as a unified diff.
    pub diff: String,
}

impl Change {
    fn of(file: &Path, running: &str, now: &str) -> Option<Change> {
        if running == now {
            return None;
        }
        let name = file.display().to_string();
        let diff = TextDiff::from_lines(running, now);
        let diff = diff
            .unified_diff()
            .header(&format!("{name} (running)"), &name)
            .to_string();
        Some(Change {
            file: file.to_owned(),
            diff,
        })
    }
}

impl Node {
    /// Says what [`Node::reload`] would change, or why it would be refused.
    ///
    /// # Errors
    /// Those of a reload.
    pub fn review(&self) -> Result<Review, ChangeFault> {
        let mut state = self.change();
        let path = state.path.clone();
        let built = config::load(&path, &mut state.interner).map_err(ChangeFault::Config)?;
        refuse_other_listeners(&state.listeners, &built.snapshot.listeners)?;
        let snapshot = with_listeners(&built.snapshot, &self.listeners);
        let live = Live::new(snapshot, Arc::clone(&built.tables), self.clock);
        let world: Arc<dyn World> = Arc::new(live);
        let engine = self.engine.aside();
        let staged = staging::stage_all(&engine, &built, &world).map_err(ChangeFault::Config)?;
        let mut changes = Vec::from_iter(Change::of(&path, &state.text, &built.text));
        let mut policies = Vec::new();
        for source in &built.policies {
            let before = state.policies.iter().find(|it| it.id == source.id);
            let same = before.is_some_and(|it| {
                it.wasm == source.wasm && it.config == source.config && it.options == source.options
            });
            if !same {
                policies.push(source.name.to_string());
            }
            if let Some(file) = &source.config_path {
                let running = before.map_or("", |it| &it.config);
                changes.extend(Change::of(file, running, &source.config));
            }
        }
        let mut warnings: Vec<String> = built.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(until_restart(&state, &built).map(str::to_owned));
        Ok(Review {
            changes,
            policies,
            cases_passed: staged.iter().map(|it| it.generation.cases_passed).sum(),
            warnings,
        })
    }
}
