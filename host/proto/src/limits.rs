//! Every bound of one shard in one place.

/// Peers that are remembered to take no connection.
pub(crate) const UNREACHABLE_MAX: usize = 1024;

/// Bounds of one shard. Reaching one refuses new work; it never harms calls in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Calls, from INVITE to the last transaction's end.
    pub calls_max: usize,
    /// Transactions, client and server together.
    pub transactions_max: usize,
    /// Candidates of one plan.
    pub candidates_max: usize,
    /// Attempts of one call over all its plans.
    pub attempts_max: usize,
    /// Times that a policy is asked for one call.
    pub asks_max: u8,
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
            transactions_max: 400_000,
            candidates_max: 32,
            attempts_max: 32,
            asks_max: 8,
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
