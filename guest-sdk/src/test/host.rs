//! A host for one thread: trunks and tables to ask, and what the policy told it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use intertrunk_cases::{Health, Table, TrunkFixture};

thread_local! {
    static HOST: RefCell<Option<Rc<Host>>> = const { RefCell::new(None) };
}

/// What the policies of this thread may ask, once it is installed.
///
/// ```
/// use intertrunk_sdk::test::Host;
/// use intertrunk_sdk::{because, trunk};
///
/// let host = Host::new().trunk("gw-a").trunk_down("gw-b").install();
/// assert!(trunk("gw-a").is_usable());
/// assert!(!trunk("gw-b").is_usable());
/// because("gw-b is down");
/// assert_eq!(host.because(), ["gw-b is down"]);
/// ```
#[derive(Debug, Default)]
pub struct Host {
    trunks: Vec<TrunkFixture>,
    tables: BTreeMap<String, Table>,
    because: RefCell<Vec<String>>,
    logged: RefCell<Vec<String>>,
}

impl Host {
    /// Without trunks and tables.
    pub fn new() -> Self {
        Host::default()
    }

    /// A PBX trunk that is up.
    pub fn trunk(self, name: &str) -> Self {
        self.trunks([TrunkFixture::new(name)])
    }

    /// A PBX trunk that is down.
    pub fn trunk_down(self, name: &str) -> Self {
        self.trunks([TrunkFixture {
            health: Health::Down,
            ..TrunkFixture::new(name)
        }])
    }

    /// Trunks with all their facts.
    pub fn trunks(mut self, trunks: impl IntoIterator<Item = TrunkFixture>) -> Self {
        self.trunks.extend(trunks);
        self
    }

    /// A table: key and columns of each row.
    pub fn table<K, C, R>(mut self, name: &str, rows: impl IntoIterator<Item = (K, R)>) -> Self
    where
        K: Into<String>,
        C: Into<String>,
        R: IntoIterator<Item = C>,
    {
        self.tables
            .insert(name.to_owned(), rows.into_iter().collect());
        self
    }

    /// Tables as a case file states them.
    pub(super) fn tables(mut self, tables: &BTreeMap<String, Table>) -> Self {
        self.tables.extend(tables.clone());
        self
    }

    /// Answers the policies of this thread until the returned value is dropped.
    pub fn install(self) -> Installed {
        let host = Rc::new(self);
        let before = HOST.replace(Some(Rc::clone(&host)));
        Installed { host, before }
    }

    /// Asks the installed host; without one, there are no trunks and no tables.
    fn ask<T: Default>(question: impl FnOnce(&Host) -> T) -> T {
        HOST.with_borrow(|host| host.as_deref().map(question).unwrap_or_default())
    }
}

/// A host at work on this thread.
#[derive(Debug)]
pub struct Installed {
    host: Rc<Host>,
    before: Option<Rc<Host>>,
}

impl Installed {
    /// The explanation so far.
    pub fn because(&self) -> Vec<String> {
        self.host.because.borrow().clone()
    }

    /// The lines logged so far, each after its level: `"warn: …"`.
    pub fn logged(&self) -> Vec<String> {
        self.host.logged.borrow().clone()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        HOST.set(self.before.take());
    }
}

/// The native twins of the functions that a Wasm guest imports.
pub(crate) mod imports {
    pub(crate) mod trunks {
        use crate::TrunkFacts;
        use crate::test::convert::trunk_facts;
        use crate::test::host::Host;

        pub(crate) fn get(name: &str) -> Option<TrunkFacts> {
            Host::ask(|host| {
                host.trunks
                    .iter()
                    .find(|trunk| trunk.name == name)
                    .map(trunk_facts)
            })
        }

        pub(crate) fn all() -> Vec<TrunkFacts> {
            Host::ask(|host| host.trunks.iter().map(trunk_facts).collect())
        }
    }

    pub(crate) mod tables {
        use crate::Row;
        use crate::test::convert::row;
        use crate::test::host::Host;

        pub(crate) fn exact(table: &str, key: &str) -> Option<Row> {
            Host::ask(|host| host.tables.get(table)?.exact(key).map(row))
        }

        pub(crate) fn longest_prefix(table: &str, key: &str) -> Option<Row> {
            Host::ask(|host| host.tables.get(table)?.longest_prefix(key).map(row))
        }

        pub(crate) fn prefixes(table: &str, key: &str) -> Vec<Row> {
            Host::ask(|host| {
                let rows = host.tables.get(table).map(|table| table.prefixes(key));
                rows.unwrap_or_default().into_iter().map(row).collect()
            })
        }
    }

    pub(crate) mod notes {
        pub(crate) use crate::bindings::intertrunk::policy::notes::Level;
        use crate::test::host::Host;

        pub(crate) fn because(text: &str) {
            Host::ask(|host| host.because.borrow_mut().push(text.to_owned()));
        }

        pub(crate) fn log(level: Level, text: &str) {
            let level = match level {
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warn => "warn",
            };
            Host::ask(|host| host.logged.borrow_mut().push(format!("{level}: {text}")));
        }
    }
}
