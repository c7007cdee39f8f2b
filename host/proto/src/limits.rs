//! Every bound of one shard in one place, and what reaching them all costs.
//!
//! `tests/memory.rs` fills a machine to its limits and holds the constants against the allocator.

/// The size of message that [`CALL_BYTES`] and [`TRANSACTION_BYTES`] allow for.
pub const MESSAGE_BYTES: usize = 2048;
/// What one call takes at most, its unfinished transactions included: with two attempts, and with
/// messages of up to [`MESSAGE_BYTES`].
pub const CALL_BYTES: usize = 20 * 1024;
/// What a finished transaction takes at most: the answer that it may have to repeat, and itself.
pub const TRANSACTION_BYTES: usize = MESSAGE_BYTES + 512;

/// Transactions that a call leaves behind for half a minute: two INVITEs, two BYEs.
const TRANSACTIONS_A_CALL: usize = 4;

/// Peers that are remembered to take no connection.
pub(crate) const UNREACHABLE_MAX: usize = 1024;

/// Bounds of one shard. Reaching one refuses new work; it never harms calls in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Calls, from INVITE to the last transaction's end.
    pub calls_max: usize,
    /// Calls beyond `calls_max` that emergency calls alone may be.
    pub emergency_reserve: usize,
    /// Transactions, client and server together.
    pub transactions_max: usize,
    /// Candidates of one plan.
    pub candidates_max: usize,
    /// Attempts of one call over all its plans.
    pub attempts_max: usize,
    /// Times that a policy is asked for one call.
    pub asks_max: u8,
    /// Look-ups of one inquiry.
    pub look_ups_max: usize,
    /// Redirections (3xx) of one call that are obeyed.
    pub redirects_max: u8,
    /// Transfers of one call.
    pub transfers_max: u8,
    /// Early dialogs of one attempt (forking beyond us).
    pub early_dialogs_max: usize,
    /// Headers set or removed by one candidate.
    pub headers_max: usize,
    /// Bytes of all strings of one plan.
    pub plan_bytes_max: usize,
    /// In-dialog requests of one call waiting for their answer.
    pub relays_max: usize,
    /// Times that one call may pass through us, each time with another number.
    pub spirals_max: usize,
    /// Steps kept of one call's ladder.
    pub ladder_steps_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 100_000,
            emergency_reserve: 64,
            transactions_max: 400_000,
            candidates_max: 32,
            attempts_max: 32,
            asks_max: 8,
            look_ups_max: 16,
            redirects_max: 5,
            transfers_max: 4,
            early_dialogs_max: 20,
            headers_max: 64,
            plan_bytes_max: 8 * 1024,
            relays_max: 8,
            spirals_max: 4,
            ladder_steps_max: 64,
        }
    }
}

impl Limits {
    /// Memory that a machine takes at these limits.
    pub fn bytes(&self) -> usize {
        let calls = self.calls_max.saturating_add(self.emergency_reserve);
        let calls = calls.saturating_mul(CALL_BYTES);
        let transactions = self.transactions_max.saturating_mul(TRANSACTION_BYTES);
        let fixed = crate::overload::REMEMBERED_BYTES;
        calls.saturating_add(transactions).saturating_add(fixed)
    }

    /// The usual limits, with as many calls and transactions as fit into so many bytes. `None` if
    /// that is not a single call.
    pub fn within(bytes: usize) -> Option<Limits> {
        let usual = Limits::default();
        let fixed = usual.emergency_reserve * CALL_BYTES + crate::overload::REMEMBERED_BYTES;
        let left = bytes.checked_sub(fixed)?;
        let calls_max = left / (CALL_BYTES + TRANSACTIONS_A_CALL * TRANSACTION_BYTES);
        (calls_max > 0).then_some(Limits {
            calls_max,
            transactions_max: calls_max * TRANSACTIONS_A_CALL,
            ..usual
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CALL_BYTES, Limits};

    #[test]
    fn limits_from_a_budget_keep_it_and_use_it() {
        for bytes in [8 << 20, 512 << 20, 4 << 30] {
            let limits = Limits::within(bytes).expect("it is enough for some calls");
            assert!(limits.bytes() <= bytes);
            let more = Limits {
                calls_max: limits.calls_max + 2,
                transactions_max: limits.transactions_max + 8,
                ..limits
            };
            assert!(more.bytes() > bytes, "{bytes}");
        }
        let reserve = Limits::default().emergency_reserve * CALL_BYTES;
        let reserve = reserve + crate::overload::REMEMBERED_BYTES;
        assert_eq!(Limits::within(reserve + CALL_BYTES), None);
        assert_eq!(Limits::within(0), None);
    }
}
