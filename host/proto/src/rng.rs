//! Randomness from a seed, and who owns a Call-ID.
//!
//! Every SIP message carries its dialog's Call-ID, so a keyed hash of it alone picks the shard. We
//! mint our own Call-IDs so that they hash to the shard that minted them: both legs of a call live
//! on one shard, and nothing that we send tells an outsider which one.

use std::hash::Hasher;

use intertrunk_sip::{Message, Token};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use siphasher::sip::SipHasher13;

/// A seeded generator; unguessable when the seed is.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// From a 256-bit seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A fresh token for a tag or branch.
    pub fn token(&mut self) -> Token {
        Token(self.next_u64())
    }
}

/// Which of `shards` shards owns the dialog with this Call-ID.
pub fn owner_shard(call_id: &[u8], key: (u64, u64), shards: u16) -> u16 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(call_id);
    let shards = u64::from(shards.max(1));
    u16::try_from(hasher.finish() % shards).expect("a remainder below a u16 fits a u16")
}

/// What makes two INVITEs the same request, whichever way they came: Call-ID, From tag and CSeq
/// (RFC 3261 §8.2.2.2), under a keyed hash.
pub(crate) fn origin_of(invite: &Message, key: (u64, u64)) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    for part in [invite.call_id(), invite.from_tag().unwrap_or_default()] {
        hasher.write(part);
        hasher.write_u8(0);
    }
    hasher.write_u32(invite.cseq());
    hasher.finish()
}
