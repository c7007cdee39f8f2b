//! Rewriting of numbers by trunk: how they were dialled, and what the rules make of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use intertrunk_sdk::rules::Rules;
use intertrunk_sdk::{Party, because};
use serde::Deserialize;

use crate::names::Trunks;
use crate::values::Names;

/// A `[[translate]]` of the dial plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Translate {
    #[serde(default)]
    pub(crate) trunk: Option<Trunks>,
    #[serde(default)]
    site: Names,
    #[serde(default)]
    called: Rules,
    #[serde(default)]
    calling: Rules,
    #[serde(default)]
    strip_plus: Option<bool>,
    #[serde(default = "yes")]
    inherit: bool,
}

/// A `[[normalize]]` of the dial plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Normalize {
    #[serde(default)]
    pub(crate) trunk: Option<Trunks>,
    #[serde(default)]
    site: Names,
    #[serde(default)]
    called: Rules,
    #[serde(default)]
    calling: Rules,
    #[serde(default)]
    strip_plus: Option<bool>,
    #[serde(default = "yes")]
    inherit: bool,
    #[serde(default)]
    external_prefix: Option<Box<str>>,
    #[serde(default)]
    external_length_min: Option<u16>,
    #[serde(default)]
    ext: Option<Ext>,
    #[serde(default)]
    contexts: Option<BTreeMap<Box<str>, Box<str>>>,
}

fn yes() -> bool {
    true
}

/// What becomes of an extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ext {
    /// It is part of the number.
    Keep,
    /// It is no part of it.
    Drop,
}

/// What a block says.
pub(crate) struct Block {
    trunk: Option<Trunks>,
    site: Names,
    called: Rules,
    calling: Rules,
    strip_plus: Option<bool>,
    inherit: bool,
    /// Access code of an outside line, and how long a number with it is at least.
    external: Option<(Box<str>, u16)>,
    ext: Option<Ext>,
    contexts: Option<BTreeMap<Box<str>, Box<str>>>,
}

impl From<Translate> for Block {
    fn from(keys: Translate) -> Block {
        Block {
            trunk: keys.trunk,
            site: keys.site,
            called: keys.called,
            calling: keys.calling,
            strip_plus: keys.strip_plus,
            inherit: keys.inherit,
            external: None,
            ext: None,
            contexts: None,
        }
    }
}

impl From<Normalize> for Block {
    fn from(keys: Normalize) -> Block {
        let external = keys.external_prefix.map(|prefix| {
            let longer = u16::try_from(prefix.len() + 1).unwrap_or(u16::MAX);
            (prefix, keys.external_length_min.unwrap_or(longer))
        });
        Block {
            trunk: keys.trunk,
            site: keys.site,
            called: keys.called,
            calling: keys.calling,
            strip_plus: keys.strip_plus,
            inherit: keys.inherit,
            external,
            ext: keys.ext,
            contexts: keys.contexts,
        }
    }
}

impl Block {
    /// Whether it is about all trunks.
    fn is_global(&self) -> bool {
        self.site.0.is_empty() && self.trunk.as_ref().is_none_or(Trunks::is_any)
    }
}

/// What is done to the numbers of each trunk.
#[derive(Default)]
pub(crate) struct Numbers {
    blocks: Vec<Block>,
    by_trunk: BTreeMap<Box<str>, Vec<usize>>,
    by_site: BTreeMap<Box<str>, Vec<usize>>,
    global: Vec<usize>,
}

impl Numbers {
    pub(crate) fn new<B: Into<Block>>(blocks: Vec<B>) -> Self {
        let mut numbers = Numbers::default();
        for (id, block) in blocks.into_iter().map(Into::into).enumerate() {
            if block.is_global() {
                numbers.global.push(id);
            } else {
                let names = block.trunk.iter().flat_map(Trunks::names);
                for name in names {
                    numbers.by_trunk.entry(name.clone()).or_default().push(id);
                }
                for name in &block.site.0 {
                    numbers.by_site.entry(name.clone()).or_default().push(id);
                }
            }
            numbers.blocks.push(block);
        }
        numbers
    }

    /// Whether a trunk's site makes a difference.
    pub(crate) fn asks_for_sites(&self) -> bool {
        !self.by_site.is_empty()
    }

    /// What is done to the numbers of calls from or to `trunk`, which is of this site.
    pub(crate) fn of<'a>(&'a self, trunk: &'a str, site: Option<&str>) -> OfTrunk<'a> {
        let of_trunk = self.by_trunk.get(trunk).map(Vec::as_slice);
        let of_site = site
            .and_then(|site| self.by_site.get(site))
            .map(Vec::as_slice);
        let mut scopes = [
            of_trunk.unwrap_or_default(),
            of_site.unwrap_or_default(),
            &self.global[..],
        ];
        let keeps_out = |ids: &&[usize]| ids.iter().any(|id| !self.blocks[*id].inherit);
        if let Some(last) = scopes.iter().position(keeps_out) {
            scopes[last + 1..].fill(&[]);
        }
        OfTrunk {
            trunk,
            scopes,
            blocks: &self.blocks,
        }
    }
}

/// What is done to the numbers of one trunk.
#[derive(Clone, Copy)]
pub(crate) struct OfTrunk<'a> {
    trunk: &'a str,
    /// Its own blocks, those of its site, and those of all.
    scopes: [&'a [usize]; 3],
    blocks: &'a [Block],
}

impl<'a> OfTrunk<'a> {
    /// The number of a party as it was dialled, with what belongs to it here.
    pub(crate) fn dialed<'p>(&self, party: &'p Party) -> Cow<'p, str> {
        let mut number = party.dialed();
        // Most parties have no parameters at all.
        if party.params.is_empty() && number.len() == party.user.len() {
            return number;
        }
        if let Some(context) = party.phone_context().filter(|_| !number.starts_with('+')) {
            let within = self.blocks().filter_map(|block| block.contexts.as_ref());
            if let Some(before) = within.into_iter().find_map(|all| all.get(&*context)) {
                because!(
                    "{}: {number} was dialled in {context}, and is {before}{number}",
                    self.trunk
                );
                number = Cow::Owned(format!("{before}{number}"));
            }
        }
        match party.extension() {
            Some(extension) if self.keeps_ext() => Cow::Owned(format!("{number};ext={extension}")),
            _ => number,
        }
    }

    /// The called number without the access code of an outside line.
    pub(crate) fn inside<'n>(&self, number: &'n str) -> &'n str {
        let mut external = self.blocks().filter_map(|block| block.external.as_ref());
        let Some((prefix, least)) = external.next() else {
            return number;
        };
        match number.strip_prefix(&**prefix) {
            Some(rest) if number.len() >= usize::from(*least) => {
                because!(
                    "{}: {number} asks for an outside line by {prefix}",
                    self.trunk
                );
                rest
            }
            _ => number,
        }
    }

    /// Whether extensions are part of the numbers.
    pub(crate) fn keeps_ext(&self) -> bool {
        self.blocks().find_map(|block| block.ext) == Some(Ext::Keep)
    }

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
        rules: impl Fn(&'a Block) -> &'a Rules,
    ) -> Cow<'n, str> {
        let trunk = self.trunk;
        let rewritten = match self.blocks().find_map(|block| rules(block).find(number)) {
            Some((rule, rewritten)) => {
                because!("{trunk}: {which} {number} becomes {rewritten} by {rule}");
                Cow::Owned(rewritten)
            }
            None => Cow::Borrowed(number),
        };
        let loses_plus = rewritten.starts_with('+')
            && self.blocks().find_map(|block| block.strip_plus) == Some(true);
        if !loses_plus {
            return rewritten;
        }
        because!("{trunk}: {which} {rewritten} loses its plus");
        match rewritten {
            Cow::Borrowed(number) => Cow::Borrowed(&number[1..]),
            Cow::Owned(number) => Cow::Owned(number[1..].to_owned()),
        }
    }

    fn blocks(&self) -> impl Iterator<Item = &'a Block> + use<'a> {
        let blocks = self.blocks;
        let ids = self.scopes.into_iter().flatten();
        ids.map(move |id| &blocks[*id])
    }
}
