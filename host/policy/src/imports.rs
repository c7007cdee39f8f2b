//! The host's side of a running guest: what it is told about trunks and tables, what it notes, and
//! how far its memory may grow.
//!
//! Nothing here blocks or does IO, since no deadline could interrupt it; and everything that a
//! guest can make the host keep or print is bounded.

use std::sync::Arc;
use std::time::Instant;

use intertrunk_proto::{By, LookedUp};
use wasmtime::ResourceLimiter;

use crate::access::Access;
use crate::bindings::intertrunk::policy::notes::{self, Level};
use crate::bindings::intertrunk::policy::tables;
use crate::bindings::intertrunk::policy::trunks::{self, Trunk};
use crate::bindings::intertrunk::policy::types;
use crate::decision::Reply;
use crate::world::{Row, Tables, World};

/// Lines of explanation kept for one decision.
const BECAUSE_LINES_MAX: usize = 64;
/// Bytes of one line of explanation.
const BECAUSE_BYTES_MAX: usize = 256;
/// Look-ups of one decision that are kept for its explanation.
const LOOK_UPS_MAX: usize = 64;
/// Bytes of each part of one.
const LOOK_UP_BYTES_MAX: usize = 128;
/// Rows of one.
const LOOK_UP_ROWS_MAX: usize = 16;
/// Lines that one decision may log.
const LOG_LINES_MAX: u32 = 64;
/// Bytes of one logged line.
const LOG_BYTES_MAX: usize = 4 << 10;
/// Answers of the host that are recorded of one decision.
const REPLIES_MAX: usize = 1024;
/// About how many bytes they may have together.
const REPLIES_BYTES_MAX: usize = 256 << 10;
/// Entries of a guest's function tables; real policies have some hundred.
const TABLE_ELEMENTS_MAX: usize = 20_000;

/// What the host keeps beside one guest instance.
pub(crate) struct Guest {
    /// What it may ask about.
    pub access: Arc<Access>,
    /// Whom it asks about trunks: the host as it is now.
    pub world: Arc<dyn World>,
    /// What its tables say.
    pub rows: Arc<dyn Tables>,
    /// What it said.
    pub notes: Notes,
    /// How large it may grow.
    pub memory: Memory,
    /// What it was told, if somebody wants to decide again.
    pub replies: Option<Replies>,
    /// When its time is over.
    pub until: Instant,
    /// How often the ticker has met it at work since then was set.
    pub ticks: u32,
}

/// What a guest was told during one call of it; bounded, as it may ask without end.
#[derive(Default)]
pub(crate) struct Replies {
    told: Vec<Reply>,
    bytes: usize,
}

impl Replies {
    fn note(&mut self, reply: impl FnOnce() -> Reply, bytes: usize) {
        if self.told.len() < REPLIES_MAX && self.bytes < REPLIES_BYTES_MAX {
            self.bytes += bytes;
            self.told.push(reply());
        }
    }

    /// All of it.
    pub fn into_inner(self) -> Vec<Reply> {
        self.told
    }
}

/// What a guest said during one call of it.
#[derive(Default)]
pub(crate) struct Notes {
    /// The call being decided, for the log.
    pub call: String,
    /// Whether explanations are kept.
    pub explain: bool,
    /// The explanation.
    pub because: Vec<String>,
    /// What was looked up, if explanations are kept.
    pub looked_up: Vec<LookedUp>,
    /// The last warning, which is a panic's message if a trap follows it.
    pub warned: String,
    logged: u32,
}

impl Notes {
    /// Forgets what was said before.
    pub fn begin(&mut self, call: &str, explain: bool) {
        self.call.clear();
        self.call.push_str(call);
        self.explain = explain;
        self.because.clear();
        self.looked_up.clear();
        self.warned.clear();
        self.logged = 0;
    }
}

/// The bound on a guest's memory.
pub(crate) struct Memory {
    /// Bytes of linear memory.
    pub bytes_max: usize,
    /// Whether it asked for more: a guest that is refused an allocation usually aborts, which looks
    /// like any other trap.
    pub refused: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = desired <= self.bytes_max;
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = desired <= TABLE_ELEMENTS_MAX;
        self.refused |= !granted;
        Ok(granted)
    }
}

impl types::Host for Guest {}

impl Notes {
    /// Keeps a look-up for the explanation, if that is wanted.
    fn look_up(&mut self, look_up: impl FnOnce() -> LookedUp) {
        if self.explain && self.looked_up.len() < LOOK_UPS_MAX {
            self.looked_up.push(look_up());
        }
    }

    fn look_up_rows(&mut self, table: &str, key: &str, by: By, rows: &[Row]) {
        let cut = |text: &str| cut(text.to_owned(), LOOK_UP_BYTES_MAX);
        self.look_up(|| LookedUp::Table {
            table: cut(table),
            key: cut(key),
            by,
            answer: rows.iter().take(LOOK_UP_ROWS_MAX).map(shown).collect(),
        });
    }
}

/// A row for people.
fn shown(row: &Row) -> String {
    let mut text = row.key.clone();
    for column in &row.columns {
        text.push_str(" | ");
        text.push_str(column);
    }
    cut(text, LOOK_UP_BYTES_MAX)
}

impl Guest {
    /// Notes what the guest is told, if that is wanted; `bytes` is about its size.
    fn note(&mut self, bytes: usize, reply: impl FnOnce() -> Reply) {
        if let Some(replies) = &mut self.replies {
            replies.note(reply, bytes);
        }
    }
}

/// About what a trunk or a row takes of a record.
const ITEM_BYTES: usize = 128;

impl trunks::Host for Guest {
    fn get(&mut self, name: String) -> Option<Trunk> {
        let allowed = self.access.trunks.allow(&name);
        let trunk = allowed.then(|| self.world.trunk(&name)).flatten();
        self.notes.look_up(|| LookedUp::Trunk {
            key: cut(name.clone(), LOOK_UP_BYTES_MAX),
            answer: trunk.as_ref().map(|trunk| trunk.health),
        });
        self.note(ITEM_BYTES, || Reply::Trunk(name, trunk.clone()));
        trunk.map(Trunk::from)
    }

    fn all(&mut self) -> Vec<Trunk> {
        let mut all = self.world.trunks();
        all.retain(|trunk| self.access.trunks.allow(&trunk.name));
        self.notes
            .look_up(|| LookedUp::Trunks { answer: all.len() });
        self.note(all.len() * ITEM_BYTES, || Reply::Trunks(all.clone()));
        all.into_iter().map(Trunk::from).collect()
    }
}

impl tables::Host for Guest {
    fn exact(&mut self, table: String, key: String) -> Option<tables::Row> {
        let allowed = self.access.tables.allow(&table);
        let row = allowed.then(|| self.rows.exact(&table, &key)).flatten();
        self.notes
            .look_up_rows(&table, &key, By::Exact, row.as_slice());
        self.note(ITEM_BYTES, || Reply::Exact(table, key, row.clone()));
        row.map(tables::Row::from)
    }

    fn longest_prefix(&mut self, table: String, key: String) -> Option<tables::Row> {
        let allowed = self.access.tables.allow(&table);
        let row = allowed.then(|| self.rows.longest_prefix(&table, &key));
        let row = row.flatten();
        self.notes
            .look_up_rows(&table, &key, By::LongestPrefix, row.as_slice());
        self.note(ITEM_BYTES, || Reply::LongestPrefix(table, key, row.clone()));
        row.map(tables::Row::from)
    }

    fn prefixes(&mut self, table: String, key: String) -> Vec<tables::Row> {
        let allowed = self.access.tables.allow(&table);
        let rows = allowed.then(|| self.rows.prefixes(&table, &key));
        let rows = rows.unwrap_or_default();
        self.notes.look_up_rows(&table, &key, By::Prefixes, &rows);
        let bytes = (1 + rows.len()) * ITEM_BYTES;
        self.note(bytes, || Reply::Prefixes(table, key, rows.clone()));
        rows.into_iter().map(tables::Row::from).collect()
    }
}

impl notes::Host for Guest {
    fn because(&mut self, text: String) {
        let notes = &mut self.notes;
        if notes.explain && notes.because.len() < BECAUSE_LINES_MAX {
            notes.because.push(cut(text, BECAUSE_BYTES_MAX));
        }
    }

    fn log(&mut self, level: Level, text: String) {
        let notes = &mut self.notes;
        if notes.logged == LOG_LINES_MAX {
            return;
        }
        notes.logged += 1;
        let (call, text) = (notes.call.as_str(), cut(text, LOG_BYTES_MAX));
        match level {
            Level::Debug => tracing::debug!(call, "{text}"),
            Level::Info => tracing::info!(call, "{text}"),
            Level::Warn => {
                tracing::warn!(call, "{text}");
                notes.warned = text;
            }
        }
    }
}

/// The first line of at most `bytes_max` bytes that `text` begins with; control characters would
/// let a guest write lines of its own into a log or a terminal.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, " ");
    }
    text
}

#[cfg(test)]
mod tests {
    use intertrunk_proto::trunk::{Health, TrunkKind};

    use super::*;
    use crate::access::Names;
    use crate::world::TrunkFacts;

    /// Knows every trunk and every row.
    struct Everything;

    impl World for Everything {
        fn trunk(&self, name: &str) -> Option<TrunkFacts> {
            Some(TrunkFacts {
                name: name.to_owned(),
                kind: TrunkKind::Pstn,
                site: None,
                tags: Vec::new(),
                health: Health::Up,
                active: 0,
                limit: None,
                answered_permille: 1000,
                pdd_ms: 0,
            })
        }

        fn trunks(&self) -> Vec<TrunkFacts> {
            ["gw-a", "gw-b"]
                .iter()
                .filter_map(|name| self.trunk(name))
                .collect()
        }

        fn tables(&self) -> Arc<dyn Tables> {
            Arc::new(Everything)
        }
    }

    impl Tables for Everything {
        fn exact(&self, _: &str, key: &str) -> Option<Row> {
            Some(Row {
                key: key.to_owned(),
                columns: Vec::new(),
            })
        }

        fn longest_prefix(&self, table: &str, key: &str) -> Option<Row> {
            self.exact(table, key)
        }

        fn prefixes(&self, table: &str, key: &str) -> Vec<Row> {
            self.exact(table, key).into_iter().collect()
        }
    }

    /// A guest that may see the trunk `gw-a` and the table `lcr`.
    fn guest() -> Guest {
        let only = |name: &str| Names::Only(vec![name.to_owned()]);
        Guest {
            access: Arc::new(Access {
                trunks: only("gw-a"),
                tables: only("lcr"),
            }),
            world: Arc::new(Everything),
            rows: Arc::new(Everything),
            notes: Notes::default(),
            memory: Memory {
                bytes_max: 1 << 16,
                refused: false,
            },
            replies: None,
            until: Instant::now(),
            ticks: 0,
        }
    }

    #[test]
    fn a_guest_sees_the_trunks_that_it_was_granted() {
        use trunks::Host;
        let mut guest = guest();
        assert!(guest.get("gw-a".to_owned()).is_some());
        assert!(guest.get("gw-b".to_owned()).is_none());
        assert_eq!(
            guest
                .all()
                .iter()
                .map(|it| it.name.as_str())
                .collect::<Vec<_>>(),
            ["gw-a"]
        );
    }

    #[test]
    fn a_guest_reads_the_tables_that_it_was_granted() {
        use tables::Host;
        let mut guest = guest();
        for (table, is_granted) in [("lcr", true), ("blocked", false)] {
            let (table, key) = (|| table.to_owned(), || "+44".to_owned());
            assert_eq!(guest.exact(table(), key()).is_some(), is_granted);
            assert_eq!(guest.longest_prefix(table(), key()).is_some(), is_granted);
            assert_eq!(
                guest.prefixes(table(), key()).len(),
                usize::from(is_granted)
            );
        }
    }

    #[test]
    fn what_a_guest_says_is_bounded() {
        use notes::Host;
        let mut guest = guest();
        guest.notes.begin("call", true);
        for _ in 0..1000 {
            guest.because("x".repeat(1000));
            guest.log(Level::Debug, "x".repeat(10_000));
        }
        assert_eq!(guest.notes.because.len(), BECAUSE_LINES_MAX);
        assert!(
            guest
                .notes
                .because
                .iter()
                .all(|line| line.len() == BECAUSE_BYTES_MAX)
        );
        assert_eq!(guest.notes.logged, LOG_LINES_MAX);
        guest.notes.begin("next", false);
        guest.because("nobody asked".to_owned());
        assert!(guest.notes.because.is_empty());
    }

    #[test]
    fn a_refused_growth_is_remembered() {
        let mut memory = guest().memory;
        assert!(
            memory
                .memory_growing(0, 1 << 16, None)
                .expect("it never traps")
        );
        assert!(!memory.refused);
        assert!(
            !memory
                .memory_growing(1 << 16, 2 << 16, None)
                .expect("it never traps")
        );
        assert!(memory.refused);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(cut("aé".to_owned(), 2), "a");
        assert_eq!(cut("aé".to_owned(), 3), "aé");
    }

    #[test]
    fn a_guest_cannot_forge_a_line() {
        assert_eq!(cut("a\nERROR b\u{1b}[31m".to_owned(), 99), "a ERROR b [31m");
    }
}
