//! The chain of an audit log: how a line is sealed, and where a log is broken.
//!
//! No IO, no clock: bytes in, a verdict out.

use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The hash before the first line.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What stands before a line's own hash.
const SEAL: &[u8] = b",\"hash\":\"";
/// Characters of a hash.
const HASH: usize = NOTHING.len();

/// A chain that is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// How many lines it has.
    pub lines: u64,
    /// Hash of the last one.
    pub head: String,
    /// Behind it stands a piece of a line that was never finished.
    pub torn: bool,
}

impl Chain {
    /// The number of the line that comes next.
    pub fn next(&self) -> u64 {
        self.lines + 1
    }
}

/// Where a chain is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Line of the file, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// What links a line to others.
#[derive(Deserialize)]
struct Link {
    seq: u64,
    prev: String,
}

/// Appends a line's own hash and the newline to `text`, which is a JSON object. Gives the hash, too.
pub(super) fn sealed(mut text: Vec<u8>) -> (Vec<u8>, String) {
    let hash = hash_of(&text);
    let brace = text.pop();
    assert_eq!(brace, Some(b'}'), "an entry is an object");
    text.extend_from_slice(SEAL);
    text.extend_from_slice(hash.as_bytes());
    text.extend_from_slice(b"\"}\n");
    (text, hash)
}

/// Follows the chain from the first line to the last.
pub fn verify(bytes: &[u8]) -> Result<Chain, Broken> {
    let mut chain = Chain {
        lines: 0,
        head: NOTHING.to_owned(),
        torn: false,
    };
    let mut lines = (1..).zip(bytes.split_inclusive(|b| *b == b'\n')).peekable();
    while let Some((line, text)) = lines.next() {
        let broken = |why| Broken { line, why };
        let Some(text) = text.strip_suffix(b"\n") else {
            chain.torn = true;
            break;
        };
        let (hash, link) = match read(text) {
            Ok(read) => read,
            // What a crash has left: never part of the chain, which goes on behind it.
            Err("it is no line of an audit log") if goes_on(&chain, lines.peek()) => continue,
            Err(why) => return Err(broken(why)),
        };
        if link.seq != chain.next() {
            return Err(broken("its number does not follow the one before"));
        }
        if link.prev != chain.head {
            return Err(broken("the line before it is not the one that it followed"));
        }
        chain.lines = link.seq;
        chain.head = hash;
    }
    Ok(chain)
}

fn goes_on(chain: &Chain, next: Option<&(usize, &[u8])>) -> bool {
    let text = next.and_then(|(_, text)| text.strip_suffix(b"\n"));
    let Some(text) = text else { return true };
    read(text).is_ok_and(|(_, link)| link.seq == chain.next() && link.prev == chain.head)
}

fn read(text: &[u8]) -> Result<(String, Link), &'static str> {
    const STRANGE: &str = "it is no line of an audit log";
    let end = text
        .len()
        .checked_sub(SEAL.len() + HASH + 2)
        .ok_or(STRANGE)?;
    let (entry, seal) = text.split_at(end);
    let said = seal.strip_prefix(SEAL).ok_or(STRANGE)?;
    let said = said.strip_suffix(b"\"}").ok_or(STRANGE)?;
    let whole = [entry, b"}"].concat();
    let link: Link = serde_json::from_slice(&whole).map_err(|_| STRANGE)?;
    let hash = hash_of(&whole);
    if hash.as_bytes() != said {
        return Err("it was altered: its hash is another");
    }
    Ok((hash, link))
}

fn hash_of(text: &[u8]) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
