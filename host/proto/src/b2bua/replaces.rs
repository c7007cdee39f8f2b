//! INVITEs that name a dialog to be replaced (RFC 3891), from peers and from other calls of this
//! host: which call it is, and who may.

use std::sync::Arc;

use intertrunk_sip::{Message, Method, Name, Replaces, Token, reply};

use super::B2bua;
use crate::call::Newcomer;
use crate::io::{Flow, TrunkId};
use crate::judge::is_toll;
use crate::rng::owner_shard;
use crate::trunk::{Direction, Seat, Trunk, Wish};
use crate::within;

impl B2bua {
    /// Whether this shard has the dialog that is named, if there is one.
    pub(super) fn owns(&self, named: &Replaces) -> bool {
        let core = &self.core;
        owner_shard(&named.call_id, core.call_id_key, core.shards) == core.shard
    }

    /// A request from another call, of this shard or another, that is of no dialog yet.
    pub(super) fn sent_within(&mut self, flow: Flow, request: Message) {
        match (request.method(), request.to_tag(), flow.speaks_as()) {
            (Method::Invite, None, Some(by)) => self.replace(flow, request, &within::trunk(), by),
            _ => self.answer(flow, &request, 481),
        }
    }

    /// An INVITE whose sender, in the name of trunk `by`, wants the place of another dialog (RFC 3891
    /// §3).
    pub(super) fn replace(&mut self, flow: Flow, invite: Message, trunk: &Arc<Trunk>, by: TrunkId) {
        let named = invite.header(Name::Replaces).map(Replaces::parse);
        let Some(Ok(named)) = named else {
            return self.answer(flow, &invite, 400);
        };
        let found = Token::parse(&named.to_tag).and_then(|tag| self.core.legs.get(&tag).copied());
        let call = found.and_then(|(key, leg)| {
            let call = self.calls.get_mut(key)?;
            let ticket = call.is_ticket(leg, &named, by, &self.core);
            let right = ticket || call.is_of(leg, &named.call_id, Some(&named.from_tag));
            right.then_some((call, key, leg, ticket))
        });
        let Some((call, key, leg, ticket)) = call else {
            return self.answer(flow, &invite, 481);
        };
        // A ticket was given to this trunk by the dialog's own.
        let owner = Some(by).filter(|_| !ticket);
        if let Err(code) = call.may_replace(leg, &invite, named.early_only, owner, &self.core) {
            return self.answer(flow, &invite, code);
        }
        // The guard between trunks holds for parties that are joined, too.
        let stays = match flow.shard() {
            Some(_) => within::party(&invite, &self.core),
            None => Some(Arc::clone(trunk)),
        };
        let refused = match (&stays, call.trunk_beyond(leg)) {
            // A dialog of its own trunk: who was allowed to talk to that still is.
            (Some(stays), _) if !ticket && stays.id == by => false,
            (Some(stays), Some(beyond)) => is_toll(stays, beyond),
            // Its trunk has left the configuration: nobody can say what it was.
            (None, _) => true,
            (Some(_), None) => false,
        };
        if refused {
            return self.answer(flow, &invite, 403);
        }
        let wish = Wish {
            direction: Direction::In,
            emergency: false,
            now: self.core.now,
        };
        let Ok(seat) = Seat::take(trunk, wish) else {
            return self.answer(flow, &invite, 503);
        };
        let server = self.core.table.open(&invite, flow, Some(key));
        call.transaction_opened();
        let trying = reply(&invite, 100, "Trying", None, Some(flow.remote)).finish(None);
        self.core.respond(server, 100, trying);
        let newcomer = Newcomer {
            invite,
            server,
            flow,
            trunk: Arc::clone(trunk),
            seat,
        };
        call.replace(leg, newcomer, &mut self.core);
    }
}
