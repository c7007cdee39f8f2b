//! Which trunks and tables a policy sees: what its manifest asks for, of what it was granted.

use crate::fault::LoadFault;
use crate::options::Options;
use crate::program::Manifest;

/// Stands for all names.
const ALL: &str = "*";

/// What one policy sees.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// Trunks.
    pub trunks: Names,
    /// Tables.
    pub tables: Names,
}

impl Access {
    /// What `manifest` asks for and `options` grants; a fault that lists all names that are asked
    /// for and not granted.
    pub fn of(manifest: &Manifest, options: &Options) -> Result<Access, LoadFault> {
        let trunks = Names::granted(&manifest.trunks, &options.trunks);
        let tables = Names::granted(&manifest.tables, &options.tables);
        match (trunks, tables) {
            (Ok(trunks), Ok(tables)) => Ok(Access { trunks, tables }),
            (trunks, tables) => Err(LoadFault::Ungranted {
                trunks: trunks.err().unwrap_or_default(),
                tables: tables.err().unwrap_or_default(),
            }),
        }
    }
}

/// A set of names.
#[derive(Debug)]
pub(crate) enum Names {
    /// All there are.
    All,
    /// Just these.
    Only(Vec<String>),
}

impl Names {
    /// The names asked for, or those that were not granted.
    fn granted(asked: &[String], granted: &[String]) -> Result<Names, Vec<String>> {
        let holds_all = |names: &[String]| names.iter().any(|name| name == ALL);
        let granted = if holds_all(granted) {
            Names::All
        } else {
            Names::Only(granted.to_vec())
        };
        let is_refused = |name: &&String| *name != ALL && !granted.allow(name);
        let refused: Vec<String> = asked.iter().filter(is_refused).cloned().collect();
        match refused.is_empty() {
            true if holds_all(asked) => Ok(granted),
            true => Ok(Names::Only(asked.to_vec())),
            false => Err(refused),
        }
    }

    /// Whether `name` is among them.
    pub fn allow(&self, name: &str) -> bool {
        match self {
            Names::All => true,
            Names::Only(names) => names.iter().any(|it| it == name),
        }
    }
}

/// None.
impl Default for Names {
    fn default() -> Self {
        Names::Only(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_star_asks_for_what_was_granted() {
        let seen = Names::granted(&names(&["*"]), &names(&["gw-a"])).expect("nothing is refused");
        assert!(seen.allow("gw-a") && !seen.allow("gw-b"));
    }

    #[test]
    fn a_policy_sees_no_more_than_it_asked_for() {
        let seen = Names::granted(&names(&["gw-a"]), &names(&["*"])).expect("nothing is refused");
        assert!(seen.allow("gw-a") && !seen.allow("gw-b"));
    }

    #[test]
    fn every_name_that_was_not_granted_is_told() {
        let refused = Names::granted(&names(&["a", "b", "c"]), &names(&["b"])).err();
        assert_eq!(refused, Some(names(&["a", "c"])));
    }
}
