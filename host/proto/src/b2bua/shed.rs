//! A new call refused under overload: answered from its own bytes, outside of any transaction (RFC 3261
//! §8.2.7). That it was refused is remembered for as long as it may come again: a caller that has heard
//! the refusal must not be rung for.
//!
//! Never looks at what belongs to a call or a transaction: those passed before.

use bytes::Bytes;
use intertrunk_sip::{Message, Name, Read, Token, read, reason_phrase, reply};

use super::B2bua;
use crate::call::Q850;
use crate::event::Event;
use crate::io::Flow;
use crate::overload::Load;
use crate::rng::origin_of;
use crate::time::Instant;

/// Switching equipment congestion (ITU-T Q.850).
const CONGESTION: u16 = 42;

impl B2bua {
    /// What is handled from now on may have waited since `at`; it has not waited if `None`. Costs
    /// nothing, so a shell may say it for every message.
    pub fn waiting_since(&mut self, at: Option<Instant>) {
        self.gate.waiting_since(at);
    }

    /// Refuses a new call that its own shard has no room to hear of. Whatever else these bytes are
    /// is thrown away: its sender will send it again.
    pub fn refuse_unheard(&mut self, flow: Flow, bytes: Bytes, now: Instant) {
        self.core.now = now.max(self.core.now);
        if !bytes.starts_with(b"INVITE ") || self.core.snapshot.identify(flow).is_none() {
            return;
        }
        if let Read::Message(invite) = read(bytes, &self.core.snapshot.security.message)
            && invite.to_tag().is_none()
        {
            self.shed(flow, &invite, Load::Mailbox);
        }
    }

    /// Whether a new call may come in. An emergency call may always, down to the last reserve.
    pub(super) fn admit(&mut self, emergency: bool) -> Result<(), Load> {
        let (limits, core) = (self.core.snapshot.limits, &self.core);
        let reserve = if emergency {
            limits.emergency_reserve
        } else {
            0
        };
        let has_room = self.calls.len() < limits.calls_max + reserve
            && core.table.len() < limits.transactions_max + 4 * reserve;
        if emergency && has_room {
            return Ok(());
        }
        self.gate.admit(&core.snapshot.overload, has_room, core.now)
    }

    /// 503 with Retry-After, outside of any transaction. The same request gets the same tag each
    /// time that it comes.
    pub(super) fn shed(&mut self, flow: Flow, invite: &Message, load: Load) {
        let since_told = self.gate.refused(self.core.now);
        self.core.event(Event::Shed { load, since_told });
        self.shed_again(flow, invite);
    }

    /// The same for one that was refused before and comes again: whatever has changed since.
    pub(super) fn shed_again(&mut self, flow: Flow, invite: &Message) {
        let core = &mut self.core;
        let origin = origin_of(invite, core.call_id_key);
        self.gate.shed.remember(origin, core.now);
        let tag = Token(origin).to_string();
        let phrase = reason_phrase(503);
        let mut refusal = reply(invite, 503, phrase, Some(&tag), Some(flow.remote));
        let retry_after = core.snapshot.overload.retry_after_s(&mut core.rng);
        refusal.header_fmt(Name::RetryAfter, format_args!("{retry_after}"));
        refusal.header_fmt(Name::Reason, format_args!("{}", Q850(CONGESTION)));
        core.transmit(flow.back_to_sender(invite), refusal.finish(None));
    }
}
