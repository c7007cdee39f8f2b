//! Who a request that begins something is of: known by where it comes from, by what it shows, or not at
//! all.
//!
//! Refuses from the request's bytes alone, in no transaction: strangers get no memory.

use std::net::SocketAddr;
use std::sync::Arc;

use intertrunk_sip::{Message, Method, Name, Token, reason_phrase, reply};

use super::B2bua;
use crate::auth::Door;
use crate::auth::door::{Passage, Wrong, can_be_challenged, challenge, look_at_request};
use crate::auth::nonce::{Scope, mint};
use crate::event::{DropCause, Event};
use crate::io::Flow;
use crate::rng::origin_of;
use crate::trunk::Trunk;

impl B2bua {
    /// The trunk of a request that begins something. None if it is not let in: then all that is to be
    /// done has been done.
    pub(super) fn let_in(&mut self, flow: Flow, request: &Message) -> Option<Arc<Trunk>> {
        if self.core.snapshot.security.is_scanner(request) {
            self.dropped(flow, DropCause::Scanner, "a request of a scanner");
            return None;
        }
        let known = self.core.snapshot.identify(flow).cloned();
        // Who asks for help is not asked for a password (RFC 6881 §9: unauthenticated calls).
        let emergency = &self.core.snapshot.emergency;
        let help =
            *request.method() == Method::Invite && emergency.is_called_by(request.request_uri());
        let doors: Vec<Arc<Trunk>> = match &known {
            Some(trunk) if trunk.door.is_none() || help => return known,
            Some(trunk) => vec![Arc::clone(trunk)],
            None => self.doors_for_anybody(flow),
        };
        if doors.is_empty() || !can_be_challenged(request.method()) {
            self.unknown(flow, request);
            return None;
        }
        let mut worst = Wrong::Nothing;
        for trunk in &doors {
            let Some(door) = &trunk.door else { continue };
            let scope = self.scope_of(door, flow.remote);
            let now = self.core.now;
            match look_at_request(door, request, scope, &mut self.nonces, now) {
                Passage::In => return Some(Arc::clone(trunk)),
                // With several doors behind one realm, the right one has the last word.
                Passage::Challenge(Wrong::Nonce) => worst = Wrong::Nonce,
                Passage::Challenge(wrong) if worst != Wrong::Nonce => worst = wrong,
                Passage::Challenge(_) => {}
            }
        }
        let known = known.map(|trunk| trunk.id);
        if let Wrong::Proof { reached } = worst {
            self.core.event(Event::WrongCredentials {
                flow,
                trunk: known,
                reached,
            });
        }
        if let Some(door) = doors.first().and_then(|trunk| trunk.door.clone()) {
            self.challenge(flow, request, &door, worst == Wrong::Nonce);
        }
        None
    }

    /// Trunks of this listener that are known by what they show, wherever they come from.
    fn doors_for_anybody(&self, flow: Flow) -> Vec<Arc<Trunk>> {
        let anywhere = |t: &&Arc<Trunk>| {
            t.listens_on(flow.listener) && t.door.as_ref().is_some_and(|door| door.anywhere)
        };
        let trunks = self.core.snapshot.trunks.iter();
        trunks.filter(anywhere).cloned().collect()
    }

    fn scope_of<'d>(&self, door: &'d Door, remote: SocketAddr) -> Scope<'d> {
        Scope {
            realm: &door.realm,
            source: remote.ip(),
            shard: self.core.shard,
            key: self.core.call_id_key,
        }
    }

    fn challenge(&mut self, flow: Flow, request: &Message, door: &Door, stale: bool) {
        let nonce = mint(self.scope_of(door, flow.remote), self.core.now);
        let name = match door.code {
            407 => Name::ProxyAuthenticate,
            _ => Name::WwwAuthenticate,
        };
        let lines = door.algorithms.iter();
        let lines = lines.map(|algorithm| (name, challenge(door, *algorithm, &nonce, stale)));
        self.answer_from_bytes(flow, request, door.code, &lines.collect::<Vec<_>>());
        self.core.event(Event::Challenged { flow });
    }

    /// A request of nobody that we know.
    fn unknown(&mut self, flow: Flow, request: &Message) {
        self.dropped(flow, DropCause::UnknownSource, "a request of no trunk");
        if let Some(code) = self.core.snapshot.security.unknown {
            self.answer_from_bytes(flow, request, code, &[]);
        }
    }

    /// Answers a request outside of any transaction; the same one gets the same tag each time.
    fn answer_from_bytes(
        &mut self,
        flow: Flow,
        request: &Message,
        code: u16,
        lines: &[(Name, String)],
    ) {
        let tag = Token(origin_of(request, self.core.call_id_key)).to_string();
        let phrase = reason_phrase(code);
        let mut b = reply(request, code, phrase, Some(&tag), Some(flow.remote));
        for (name, value) in lines {
            b.header(*name, value);
        }
        self.core
            .transmit(flow.back_to_sender(request), b.finish(None));
    }
}
