//! Sources that misbehave are not listened to for a while (S3).
//!
//! ```text
//!            offence                 score at the threshold
//!   unknown ---------> scored, draining --------------------> blocked, for twice as long each time
//!      ^                  |                                       |
//!      +---- drained -----+<-------------- time is up ------------+
//! ```
//! A source is an IPv4 address, or the /64 of an IPv6 one. Its score drains away in `decay`; how often it
//! was blocked is forgotten by one each time that it has behaved for as long as the last block was. Of a
//! full table, the source goes that has been quiet for longest and is not blocked; blocked ones go only
//! when there are no others. Looks at no message: others say what was wrong with it.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::time::Instant;

/// Scores are counted in parts, so that they drain smoothly.
const PARTS: u64 = 1000;
/// A block is not doubled more often.
const DOUBLINGS_MAX: u8 = 30;

/// What a source did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offence {
    /// A request that is of no trunk.
    UnknownSource,
    /// Bytes that are no message.
    Malformed,
    /// Credentials that are wrong.
    WrongCredentials,
    /// It says itself that it is a scanner.
    Scanner,
}

impl Offence {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Offence::UnknownSource => "unknown-source",
            Offence::Malformed => "malformed",
            Offence::WrongCredentials => "wrong-credentials",
            Offence::Scanner => "scanner",
        }
    }

    /// How much it weighs.
    fn points(self) -> u32 {
        match self {
            Offence::UnknownSource | Offence::Malformed => 1,
            Offence::WrongCredentials => 2,
            Offence::Scanner => 10,
        }
    }
}

/// When a source is blocked, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockRules {
    /// Points at which it is; never if absent.
    pub threshold: Option<u32>,
    /// Time in which as many points drain away.
    pub decay: Duration,
    /// The first block.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// Sources that are remembered.
    pub sources_max: usize,
}

impl Default for BlockRules {
    fn default() -> Self {
        BlockRules {
            threshold: Some(20),
            decay: Duration::from_secs(600),
            first: Duration::from_secs(300),
            longest: Duration::from_secs(86_400),
            sources_max: 10_000,
        }
    }
}

/// A block that has just begun, or is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Whose.
    pub source: IpAddr,
    /// The offence that filled the measure.
    pub offence: Offence,
    /// When it ends.
    pub until: Instant,
    /// How often the source has been blocked lately, this time included.
    pub times: u8,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    /// In parts, as of `at`.
    score: u64,
    /// The last offence, or the end of the last block.
    at: Instant,
    blocked: Option<(Instant, Offence)>,
    times: u8,
    /// How long the last block was.
    last: Duration,
}

/// All sources that have offended lately.
#[derive(Debug, Default)]
pub struct Offenders {
    records: HashMap<IpAddr, Record>,
    /// The same by when they go: those that are not blocked first, quiet ones first.
    order: BTreeSet<(bool, Instant, IpAddr)>,
}

/// What stands for an address: itself, or the network that one subscriber has of IPv6.
pub fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let network = ip.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}

impl Record {
    fn new(now: Instant) -> Record {
        Record {
            score: 0,
            at: now,
            blocked: None,
            times: 0,
            last: Duration::ZERO,
        }
    }

    fn key(&self, source: IpAddr) -> (bool, Instant, IpAddr) {
        match self.blocked {
            Some((until, _)) => (true, until, source),
            None => (false, self.at, source),
        }
    }

    /// What has passed since the last offence has made of it.
    fn settle(&mut self, rules: &BlockRules, threshold: u32, now: Instant) {
        if let Some((until, _)) = self.blocked.filter(|(until, _)| *until <= now) {
            self.blocked = None;
            self.at = until;
            self.score = 0;
        }
        let quiet = now.since(self.at);
        let full = u64::from(threshold) * PARTS;
        let decay = rules.decay.as_millis().max(1);
        let drained = u128::from(full) * quiet.as_millis() / decay;
        self.score = self
            .score
            .saturating_sub(u64::try_from(drained).unwrap_or(u64::MAX));
        if !self.last.is_zero() && self.blocked.is_none() {
            let good = quiet.as_millis() / self.last.as_millis().max(1);
            self.times = self
                .times
                .saturating_sub(u8::try_from(good).unwrap_or(u8::MAX));
        }
    }
}

impl Offenders {
    /// Takes note of an offence. Gives the block that begins with it.
    pub fn note(
        &mut self,
        address: IpAddr,
        offence: Offence,
        rules: &BlockRules,
        now: Instant,
    ) -> Option<Block> {
        let threshold = rules.threshold?;
        let source = source_of(address);
        let mut record = match self.records.get(&source) {
            Some(record) => *record,
            None => {
                self.make_room(rules.sources_max);
                Record::new(now)
            }
        };
        self.order.remove(&record.key(source));
        record.settle(rules, threshold, now);
        if record.blocked.is_none() {
            record.score += u64::from(offence.points()) * PARTS;
            record.at = now;
        }
        let begins = record.blocked.is_none() && record.score >= u64::from(threshold) * PARTS;
        if begins {
            let doubled = 1_u32 << record.times.min(DOUBLINGS_MAX);
            record.last = rules.first.saturating_mul(doubled).min(rules.longest);
            record.times = record.times.saturating_add(1);
            record.blocked = Some((now + record.last, offence));
        }
        self.records.insert(source, record);
        self.order.insert(record.key(source));
        record
            .blocked
            .filter(|_| begins)
            .map(|(until, offence)| Block {
                source,
                offence,
                until,
                times: record.times,
            })
    }

    /// Forgets all that it did. False if it is not blocked.
    pub fn pardon(&mut self, address: IpAddr, now: Instant) -> bool {
        let source = source_of(address);
        let Some(record) = self.records.remove(&source) else {
            return false;
        };
        self.order.remove(&record.key(source));
        record.blocked.is_some_and(|(until, _)| until > now)
    }

    /// All blocks under way, in the order of their ends.
    pub fn blocks(&self, now: Instant) -> Vec<Block> {
        let blocked = self.order.iter().filter(|(blocked, ..)| *blocked);
        let block = |(_, _, source): &(bool, Instant, IpAddr)| {
            let record = self.records.get(source)?;
            let (until, offence) = record.blocked.filter(|(until, _)| *until > now)?;
            Some(Block {
                source: *source,
                offence,
                until,
                times: record.times,
            })
        };
        blocked.filter_map(block).collect()
    }

    /// How many sources are remembered.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn make_room(&mut self, sources_max: usize) {
        while self.records.len() >= sources_max.max(1)
            && let Some((_, _, source)) = self.order.pop_first()
        {
            self.records.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests;
