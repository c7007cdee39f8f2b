//! Rewriting of numbers by trunk.

use std::borrow::Cow;
use std::collections::BTreeMap;

use intertrunk_sdk::because;
use intertrunk_sdk::rules::Rules;
use serde::Deserialize;

use crate::names::Trunks;

/// A `[[normalize]]` or `[[translate]]` of the dial plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    #[serde(default)]
    pub(crate) trunk: Trunks,
    #[serde(default)]
    called: Rules,
    #[serde(default)]
    calling: Rules,
    #[serde(default)]
    strip_plus: bool,
}

/// What is done to the numbers of each trunk. A trunk has the rules of all blocks that name it or
/// stand for any trunk, in the order of the dial plan; the first rule that is about a number wins.
#[derive(Default)]
pub(crate) struct Numbers {
    blocks: Vec<Block>,
    /// Blocks of each trunk that some block names.
    by_trunk: BTreeMap<Box<str>, Vec<usize>>,
    /// Blocks of all other trunks.
    others: Vec<usize>,
}

impl Numbers {
    pub(crate) fn new(blocks: Vec<Block>) -> Self {
        let of = |is_about: &dyn Fn(&Block) -> bool| {
            (0..blocks.len())
                .filter(|id| is_about(&blocks[*id]))
                .collect::<Vec<_>>()
        };
        let names = blocks.iter().flat_map(|block| block.trunk.names());
        let by_trunk = names
            .map(|name| (name.as_str().into(), of(&|block| block.trunk.include(name))))
            .collect();
        let others = of(&|block| block.trunk.is_any());
        Numbers {
            by_trunk,
            others,
            blocks,
        }
    }

    /// What is done to the numbers of calls from or to `trunk`.
    pub(crate) fn of<'a>(&'a self, trunk: &'a str) -> OfTrunk<'a> {
        let ids = self.by_trunk.get(trunk).unwrap_or(&self.others);
        OfTrunk {
            trunk,
            ids,
            blocks: &self.blocks,
        }
    }
}

/// What is done to the numbers of one trunk.
#[derive(Clone, Copy)]
pub(crate) struct OfTrunk<'a> {
    trunk: &'a str,
    ids: &'a [usize],
    blocks: &'a [Block],
}

impl OfTrunk<'_> {
    /// The called number, rewritten.
    pub(crate) fn called<'n>(&self, number: &'n str) -> Cow<'n, str> {
        self.rewrite("called", number, |block| &block.called)
    }

    /// The calling number, rewritten.
    pub(crate) fn calling<'n>(&self, number: &'n str) -> Cow<'n, str> {
        self.rewrite("calling", number, |block| &block.calling)
    }

    fn rewrite<'n>(
        &self,
        which: &str,
        number: &'n str,
        rules: impl Fn(&Block) -> &Rules,
    ) -> Cow<'n, str> {
        let trunk = self.trunk;
        let blocks = self.ids.iter().map(|id| &self.blocks[*id]);
        let rewritten = match blocks.clone().find_map(|block| rules(block).find(number)) {
            Some((rule, rewritten)) => {
                because!("{trunk}: {which} {number} becomes {rewritten} by {rule}");
                Cow::Owned(rewritten)
            }
            None => Cow::Borrowed(number),
        };
        if !rewritten.starts_with('+') || !blocks.into_iter().any(|block| block.strip_plus) {
            return rewritten;
        }
        because!("{trunk}: {which} {rewritten} loses its plus");
        match rewritten {
            Cow::Borrowed(number) => Cow::Borrowed(&number[1..]),
            Cow::Owned(number) => Cow::Owned(number[1..].to_owned()),
        }
    }
}
