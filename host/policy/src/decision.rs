//! One decision as it was made: the question, what the host answered meanwhile, and the verdict.
//!
//! A policy is a pure function of these, so that they are all it takes to decide again: later with
//! another module ([`crate::replay`]), or at once beside the live one ([`crate::shadow`]).

use std::sync::{Arc, Mutex, PoisonError};

use intertrunk_proto::ask::{PolicyFault, Query, Verdict};
use intertrunk_proto::trunk::Health;
use serde::{Deserialize, Serialize};

use crate::world::{Nowhere, Row, Tables, TrunkFacts, World};

/// One decision of one policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Name of the policy.
    pub policy: String,
    /// Its generation in that host, counted from 1; 0 if none could be asked.
    pub generation: u64,
    /// The question, with the headers that the manifest asks for.
    pub query: Query,
    /// What the host answered, in the order of the questions.
    pub replies: Vec<Reply>,
    /// What came of it, before the host judged it.
    pub outcome: Result<Verdict, PolicyFault>,
    /// Time that it took, microseconds.
    pub decision_us: u32,
}

/// A question of a policy to the host, and the answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// `trunks.get`
    Trunk(String, Option<TrunkFacts>),
    /// `trunks.all`
    Trunks(Vec<TrunkFacts>),
    /// `tables.exact`: table, key, row.
    Exact(String, String, Option<Row>),
    /// `tables.longest-prefix`: table, key, row.
    LongestPrefix(String, String, Option<Row>),
    /// `tables.prefixes`: table, key, rows.
    Prefixes(String, String, Vec<Row>),
}

/// A world that knows what was answered then, and remembers what it was asked beyond that.
pub(crate) struct Played {
    replies: Vec<Reply>,
    /// Trunks that are down, whatever they were.
    down: Arc<[String]>,
    unknown: Mutex<Option<String>>,
}

impl Played {
    /// Answers as `replies` say.
    pub fn new(replies: Vec<Reply>) -> Played {
        Played {
            replies,
            down: Arc::default(),
            unknown: Mutex::default(),
        }
    }

    /// The same with these trunks down.
    pub fn with_down(self, down: &Arc<[String]>) -> Played {
        Played {
            down: Arc::clone(down),
            ..self
        }
    }

    /// A trunk as it was, unless it is one of those that are down.
    fn told(&self, trunk: &TrunkFacts) -> TrunkFacts {
        let mut trunk = trunk.clone();
        if self.down.contains(&trunk.name) {
            trunk.health = Health::Down;
        }
        trunk
    }

    /// The first question that nobody asked then.
    pub fn unknown(&self) -> Option<String> {
        let unknown = self.unknown.lock();
        unknown.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find<T>(
        &self,
        mut answer: impl FnMut(&Reply) -> Option<T>,
        question: impl FnOnce() -> String,
    ) -> Option<T> {
        let found = self.replies.iter().find_map(&mut answer);
        if found.is_none() {
            let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
            unknown.get_or_insert_with(question);
        }
        found
    }
}

impl World for Played {
    fn trunk(&self, name: &str) -> Option<TrunkFacts> {
        let answer = |reply: &Reply| match reply {
            Reply::Trunk(asked, trunk) if asked == name => {
                Some(trunk.as_ref().map(|it| self.told(it)))
            }
            // Who was told of all trunks was told of this one.
            Reply::Trunks(all) => {
                let named = all.iter().find(|trunk| trunk.name == name);
                Some(named.map(|it| self.told(it)))
            }
            _ => None,
        };
        self.find(answer, || format!("trunk {name}")).flatten()
    }

    fn trunks(&self) -> Vec<TrunkFacts> {
        let answer = |reply: &Reply| match reply {
            Reply::Trunks(all) => Some(all.iter().map(|it| self.told(it)).collect()),
            _ => None,
        };
        self.find(answer, || "all trunks".to_owned())
            .unwrap_or_default()
    }

    fn tables(&self) -> Arc<dyn Tables> {
        Arc::new(Nowhere)
    }
}

impl Tables for Played {
    fn exact(&self, table: &str, key: &str) -> Option<Row> {
        let answer = |reply: &Reply| match reply {
            Reply::Exact(t, k, row) if t == table && k == key => Some(row.clone()),
            _ => None,
        };
        self.find(answer, || format!("{key} in table {table}"))
            .flatten()
    }

    fn longest_prefix(&self, table: &str, key: &str) -> Option<Row> {
        let answer = |reply: &Reply| match reply {
            Reply::LongestPrefix(t, k, row) if t == table && k == key => Some(row.clone()),
            Reply::Prefixes(t, k, rows) if t == table && k == key => Some(rows.first().cloned()),
            _ => None,
        };
        self.find(answer, || format!("longest prefix of {key} in {table}"))
            .flatten()
    }

    fn prefixes(&self, table: &str, key: &str) -> Vec<Row> {
        let answer = |reply: &Reply| match reply {
            Reply::Prefixes(t, k, rows) if t == table && k == key => Some(rows.clone()),
            _ => None,
        };
        self.find(answer, || format!("prefixes of {key} in {table}"))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use intertrunk_proto::trunk::TrunkKind;

    use super::*;

    #[test]
    fn what_was_answered_then_is_answered_again_and_the_rest_is_told() {
        let row = Row {
            key: "+44".to_owned(),
            columns: Vec::new(),
        };
        let of = |text: &str| text.to_owned();
        let world = Played::new(vec![
            Reply::Trunk(of("gw-a"), None),
            Reply::Prefixes(of("lcr"), of("+4420"), vec![row.clone()]),
            Reply::Exact(of("lcr"), of("+1"), None),
        ]);
        assert_eq!(world.trunk("gw-a"), None);
        assert_eq!(world.prefixes("lcr", "+4420"), std::slice::from_ref(&row));
        assert_eq!(world.longest_prefix("lcr", "+4420"), Some(row));
        assert_eq!(world.exact("lcr", "+1"), None);
        assert_eq!(world.unknown(), None, "all of this was asked then");

        assert_eq!(world.exact("lcr", "+2"), None);
        assert!(world.trunks().is_empty());
        assert_eq!(world.unknown().as_deref(), Some("+2 in table lcr"));
    }

    #[test]
    fn a_trunk_that_is_down_is_told_so_and_another_as_it_was() {
        let trunk = |name: &str| TrunkFacts {
            name: name.to_owned(),
            kind: TrunkKind::Pstn,
            site: None,
            tags: Vec::new(),
            health: Health::Degraded,
            active: 7,
            limit: None,
            answered_permille: 900,
            pdd_ms: 300,
        };
        let down = TrunkFacts {
            health: Health::Down,
            ..trunk("gw-a")
        };
        let all = vec![trunk("gw-a"), trunk("gw-b")];
        let one = Reply::Trunk("gw-a".to_owned(), Some(trunk("gw-a")));
        for replies in [vec![Reply::Trunks(all)], vec![one]] {
            let knows_all = matches!(replies[0], Reply::Trunks(_));
            let world = Played::new(replies).with_down(&["gw-a".to_owned()].into());
            assert_eq!(world.trunk("gw-a"), Some(down.clone()));
            if knows_all {
                assert_eq!(world.trunks(), [down.clone(), trunk("gw-b")]);
                assert_eq!(world.trunk("gw-b"), Some(trunk("gw-b")));
            }
        }
    }

    #[test]
    fn who_knew_all_trunks_knew_each() {
        let world = Played::new(vec![Reply::Trunks(Vec::new())]);
        assert_eq!(world.trunk("gw-a"), None);
        assert_eq!(world.unknown(), None);
    }
}
