//! Rewriting of numbers by trunk.

use std::borrow::Cow;
use std::collections::HashMap;

use intertrunk_sdk::because;
use serde::Deserialize;

use crate::names::Trunks;
use crate::rule::Rule;

/// A `[[normalize]]` or `[[translate]]` of the dial plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    #[serde(default)]
    pub(crate) trunk: Trunks,
    #[serde(default)]
    called: Vec<Rule>,
    #[serde(default)]
    calling: Vec<Rule>,
    #[serde(default)]
    strip_plus: bool,
}

/// What is done to the numbers of each trunk. A trunk has the rules of all blocks that name it or
/// stand for any trunk, in the order of the dial plan; the first rule that is about a number wins.
#[derive(Default)]
pub(crate) struct Numbers {
    blocks: Vec<Block>,
    /// Blocks of each trunk that some block names.
    by_trunk: HashMap<String, Vec<usize>>,
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
            .map(|name| (name.clone(), of(&|block| block.trunk.include(name))))
            .collect();
        let others = of(&|block| block.trunk.is_any());
        Numbers {
            by_trunk,
            others,
            blocks,
        }
    }

    /// The called number of a call from or to `trunk`, rewritten.
    pub(crate) fn called<'n>(&self, trunk: &str, number: &'n str) -> Cow<'n, str> {
        self.rewrite(trunk, "called", number, |block| &block.called)
    }

    /// The calling number of a call from or to `trunk`, rewritten.
    pub(crate) fn calling<'n>(&self, trunk: &str, number: &'n str) -> Cow<'n, str> {
        self.rewrite(trunk, "calling", number, |block| &block.calling)
    }

    fn rewrite<'n>(
        &self,
        trunk: &str,
        which: &str,
        number: &'n str,
        rules: impl Fn(&Block) -> &[Rule],
    ) -> Cow<'n, str> {
        let ids = self.by_trunk.get(trunk).unwrap_or(&self.others);
        let blocks = ids.iter().map(|id| &self.blocks[*id]);
        let mut rules = blocks.clone().flat_map(rules);
        let rewritten = match rules.find_map(|rule| Some((rule, rule.apply(number)?))) {
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
