//! What a node takes of memory when everything that is bounded has reached its bound.
//!
//! Computed from the configuration alone. Allows for messages of
//! [`MESSAGE_BYTES`](intertrunk_proto::MESSAGE_BYTES); a call with larger ones takes more, up to the
//! 64 KiB that one datagram can bring. Code, compiled policies and tables come on top: they do not
//! grow with calls.

use intertrunk_proto::Limits;
use serde::Serialize;

use crate::mailbox;
use crate::observe::cdr;
use crate::transport::DATAGRAM_BYTES_MAX;

/// Generations of a policy that run at the same time during a swap.
const GENERATIONS: usize = 2;

/// What others know of themselves, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// What connections hold.
    pub connections: usize,
    /// What meters hold.
    pub meters: usize,
}

/// The parts in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Memory {
    /// Calls and transactions.
    pub calls: usize,
    /// Mailboxes and receive buffers.
    pub queues: usize,
    /// What connections hold.
    pub connections: usize,
    /// Keys of meters.
    pub meters: usize,
    /// Linear memory of policies.
    pub policies: usize,
    /// Records on their way to disk, and those of calls that ended lately.
    pub records: usize,
    /// All of it.
    pub total: usize,
}

impl Memory {
    /// Of so many shards, each with these limits, of policies with instances of these sizes, and of
    /// what else holds so many bytes.
    pub fn of(limits: &Limits, shards: u16, instances: &[usize], held: Held) -> Memory {
        let Held {
            connections,
            meters,
        } = held;
        let shards = usize::from(shards);
        let calls = limits.bytes().saturating_mul(shards);
        let queues = (2 * mailbox::BYTES_MAX + DATAGRAM_BYTES_MAX) * shards;
        // One instance more than there are shards: cases run on none of them.
        let copies = GENERATIONS * (shards + 1);
        let instances = instances.iter().copied().fold(0, usize::saturating_add);
        let policies = instances.saturating_mul(copies);
        let records = (cdr::QUEUE_MAX + cdr::RECENT_MAX) * cdr::RECORD_BYTES;
        let parts = [calls, queues, connections, meters, policies, records];
        Memory {
            calls,
            queues,
            connections,
            meters,
            policies,
            records,
            total: parts.into_iter().fold(0, usize::saturating_add),
        }
    }

    /// What there is beside calls and transactions.
    pub fn fixed(shards: u16, instances: &[usize], held: Held) -> usize {
        let all = Memory::of(&Limits::default(), shards, instances, held);
        all.total - all.calls
    }
}

/// In the unit that people read.
pub fn in_words(bytes: usize) -> String {
    let mib = bytes.div_ceil(1 << 20);
    match mib {
        0..10_240 => format!("{mib} MiB"),
        _ => format!("{} GiB", mib.div_ceil(1024)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_grow_with_shards() {
        let limits = Limits::default();
        let held = |connections, meters| Held {
            connections,
            meters,
        };
        let one = Memory::of(&limits, 1, &[32 << 20], Held::default());
        let two = Memory::of(&limits, 2, &[32 << 20], held(5, 0));
        assert_eq!(one.calls, limits.bytes());
        assert_eq!(two.calls, 2 * one.calls);
        assert_eq!((one.policies, two.policies), (128 << 20, 192 << 20));
        let sum = one.calls + one.queues + one.policies + one.records;
        assert_eq!(one.total, sum);
        let fixed = |held| Memory::fixed(1, &[32 << 20], held);
        assert_eq!(fixed(Held::default()), sum - one.calls);
        assert_eq!(fixed(held(7, 11)), sum - one.calls + 18);
    }
}
