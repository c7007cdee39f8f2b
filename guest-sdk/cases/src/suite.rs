//! A case file with the world that its cases are decided in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use toml::Spanned;

use crate::case::Case;
use crate::expect::Outcome;
use crate::fault::{CaseFault, line_of};
use crate::fixture::{Health, Table, TrunkFixture};
use crate::report::CaseReport;

/// One case file.
#[derive(Clone, PartialEq, Debug)]
pub struct Suite {
    /// The file.
    pub path: PathBuf,
    /// Text of the settings that the file names with `config`.
    pub config: Option<String>,
    /// The `[[trunk]]`s of the file: what a policy sees while it is configured. Without any, it
    /// sees none then, and decides among those that the cases name (see [`Suite::trunks_of`]).
    pub trunks: Vec<TrunkFixture>,
    /// Tables by name.
    pub tables: BTreeMap<String, Table>,
    /// Its cases, in order; at least one.
    pub cases: Vec<Case>,
}

/// Reads one case file, or all `*.toml` of a folder, sorted by name. A file that another of the
/// folder names as its `config` is no case file.
pub fn load(dir_or_file: &Path) -> Result<Vec<Suite>, CaseFault> {
    let is_folder = dir_or_file.is_dir();
    let paths = if is_folder {
        toml_files(dir_or_file)?
    } else {
        vec![dir_or_file.to_owned()]
    };
    let drafts = paths
        .into_iter()
        .map(Draft::read)
        .collect::<Result<Vec<_>, _>>()?;
    let configs: BTreeSet<PathBuf> = drafts.iter().filter_map(Draft::config_path).collect();
    let suites = drafts
        .into_iter()
        .filter(|draft| !configs.contains(&draft.path))
        .map(Draft::finish)
        .collect::<Result<Vec<_>, _>>()?;
    if suites.is_empty() {
        let missing = "there is no case file (*.toml) in this folder";
        return Err(CaseFault::Empty {
            path: dir_or_file.to_owned(),
            missing,
        });
    }
    Ok(suites)
}

impl Suite {
    /// The trunks as they are when `case` is decided: those of the file, or else all that its cases
    /// name; up, save for what the case says.
    pub fn trunks_of(&self, case: &Case) -> Vec<TrunkFixture> {
        let as_in_case = |trunk: &TrunkFixture| {
            let mut trunk = trunk.clone();
            if case.full.contains(&trunk.name) {
                trunk.fill();
            }
            if case.down.contains(&trunk.name) {
                trunk.health = Health::Down;
            }
            trunk
        };
        if self.trunks.is_empty() {
            trunks_named_by(&self.cases)
                .iter()
                .map(as_in_case)
                .collect()
        } else {
            self.trunks.iter().map(as_in_case).collect()
        }
    }

    /// Compares what was decided about `case` with what was expected.
    ///
    /// A case states what happens, so the plan is compared as the host carries it out: trunks that
    /// are down, disabled or full are left out, degraded ones come last, and a number that the
    /// policy left alone is sent as it was received.
    pub fn report(&self, case: &Case, decided: Outcome, because: Vec<String>) -> CaseReport {
        let got = decided.carried_out(&self.trunks_of(case), &case.facts());
        CaseReport {
            suite: self.path.clone(),
            line: case.line,
            name: case.name.clone(),
            diff: case.diff(&got),
            because,
        }
    }
}

/// The `*.toml` of a folder, sorted by name.
fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, CaseFault> {
    let mut files = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(|source| CaseFault::Unreadable {
            path: folder.to_owned(),
            source,
        })?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    Ok(files)
}

fn read_text(path: &Path) -> Result<String, CaseFault> {
    fs::read_to_string(path).map_err(|source| CaseFault::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// The keys of a case file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    config: Option<PathBuf>,
    #[serde(default)]
    trunk: Vec<TrunkFixture>,
    #[serde(default)]
    table: BTreeMap<String, Table>,
    #[serde(default)]
    case: Vec<Spanned<Case>>,
}

/// A file that was read, and parsed as well as it could be.
struct Draft {
    path: PathBuf,
    text: String,
    keys: Result<Keys, toml::de::Error>,
}

impl Draft {
    fn read(path: PathBuf) -> Result<Draft, CaseFault> {
        let text = read_text(&path)?;
        let keys = toml::from_str(&text);
        Ok(Draft { path, text, keys })
    }

    /// The settings file beside this one, if it names one there.
    fn config_path(&self) -> Option<PathBuf> {
        Some(
            self.path
                .with_file_name(self.keys.as_ref().ok()?.config.as_ref()?),
        )
    }

    fn finish(self) -> Result<Suite, CaseFault> {
        let config_path = self.config_path();
        let Draft { path, text, keys } = self;
        let keys = keys.map_err(|error| CaseFault::from_toml(&path, &text, &error))?;
        let spanned = keys.case;
        if spanned.is_empty() {
            return Err(CaseFault::Empty {
                path,
                missing: "there is no [[case]] in this file",
            });
        }
        let mut cases: Vec<Case> = Vec::with_capacity(spanned.len());
        for case in spanned {
            let start = case.span().start;
            let case = Case {
                line: line_of(&text, start),
                ..case.into_inner()
            };
            if let Some(problem) = mistake(&case, &cases, &keys.trunk) {
                return Err(CaseFault::at(&path, &text, start, problem));
            }
            cases.push(case);
        }
        let config = config_path.map(|path| read_text(&path)).transpose()?;
        Ok(Suite {
            path,
            config,
            trunks: keys.trunk,
            tables: keys.table,
            cases,
        })
    }
}

/// What the keys of a case cannot show one by one.
fn mistake(case: &Case, earlier: &[Case], trunks: &[TrunkFixture]) -> Option<String> {
    if let Some(same) = earlier.iter().find(|earlier| earlier.name == case.name) {
        return Some(format!(
            "line {} has a case of the same name, {:?}",
            same.line, case.name
        ));
    }
    if case.causes() > 1 {
        let causes = "`failed`, `redirected`, `transferred` and `answered`";
        return Some(format!("a case states at most one of {causes}"));
    }
    let known = |name: &&str| trunks.iter().any(|trunk| trunk.name == *name);
    let unknown = case
        .trunks()
        .find(|name| !trunks.is_empty() && !known(name))?;
    Some(format!(
        "there is no [[trunk]] named {unknown:?} in this file"
    ))
}

fn trunks_named_by(cases: &[Case]) -> Vec<TrunkFixture> {
    let names: BTreeSet<&str> = cases.iter().flat_map(Case::trunks).collect();
    names.into_iter().map(TrunkFixture::new).collect()
}
