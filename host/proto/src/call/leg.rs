//! One side of a call: its dialog, the 2xx that waits for an ACK, the ACK that may have to be
//! repeated.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_sip::sdp::{Origin, put_body};
use intertrunk_sip::{Builder, Message, Method, Name};
use smallvec::SmallVec;

use super::passing::{Crossing, allow};
use crate::core::Core;
use crate::dialog::session_timer::SessionTimer;
use crate::dialog::{Dialog, RequestLine};
use crate::io::{Flow, TrunkId};
use crate::time::Instant;
use crate::transaction::Backoff;
use crate::trunk::{Seat, Trunk};
use crate::within;

/// Content-Type of a session description.
pub(super) const SDP: &str = "application/sdp";

/// One side of a call.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) trunk: Arc<Trunk>,
    /// Of a way to another call: the trunk of the party there, as that call said.
    beyond: Option<Arc<Trunk>>,
    pub(crate) dialog: Dialog,
    /// Its place on the trunk, given back when the call ends.
    pub(crate) seat: Option<Seat>,
    /// Our 2xx to its INVITE, resent until the ACK comes (RFC 3261 §13.3.1.4).
    pub(crate) unacked: Option<Box<Unacked>>,
    /// Our ACKs to its 2xx, sent again whenever those come again, until they cannot any more: the
    /// 2xx of one INVITE may come again after that of the next.
    acks: SmallVec<[(u32, Bytes); 1]>,
    /// CSeq of its 2xx that carries an offer: the other side's ACK brings the answer.
    pub(crate) owes_ack: Option<u32>,
    /// The BYE has to wait for the ACK of our 2xx (RFC 3261 §15).
    pub(crate) bye_waits: bool,
    /// The dialog has ended: BYE came, or went.
    pub(crate) over: bool,
    /// How the peer has described its side of the session last.
    pub(crate) said: Option<Bytes>,
    /// The session description that we sent last.
    described: Described,
    /// Its session timer, if one runs.
    pub(crate) timer: Option<Box<SessionTimer>>,
}

/// The session description that we sent last, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Described {
    /// Its version, 0 before the first one.
    version: u32,
    /// What it said beside its origin.
    digest: u64,
}

/// A 2xx that the peer has not acknowledged yet.
#[derive(Debug)]
pub(crate) struct Unacked {
    pub(crate) cseq: u32,
    pub(crate) bytes: Bytes,
    pub(crate) flow: Flow,
    pub(crate) resend: Backoff,
    pub(crate) give_up: Instant,
}

impl Leg {
    pub(crate) fn new(trunk: Arc<Trunk>, dialog: Dialog, seat: Seat) -> Leg {
        Leg {
            trunk,
            beyond: None,
            dialog,
            seat: Some(seat),
            unacked: None,
            acks: SmallVec::new(),
            owes_ack: None,
            bye_waits: false,
            over: false,
            said: None,
            described: Described::default(),
            timer: None,
        }
    }

    /// Contact of everything that we send on this leg.
    pub(crate) fn contact(&self) -> String {
        self.dialog.contact()
    }

    /// What crosses to this leg's peer from one of that trunk.
    pub(super) fn crossing<'a>(&'a self, from: &'a Trunk) -> Crossing<'a> {
        Crossing {
            from,
            to: &self.trunk,
            our_host: &self.dialog.listener().advertise,
        }
    }

    /// The trunk of the party that is at the end of this leg, through however many calls of ours.
    pub(crate) fn party(&self) -> &Arc<Trunk> {
        self.beyond.as_ref().unwrap_or(&self.trunk)
    }

    /// Tells another call who is on our side of the way to it: what it needs for its guards.
    pub(crate) fn put_party(&self, b: &mut Builder, party: TrunkId) {
        if self.dialog.flow().shard().is_some() {
            b.other(within::PARTY, &party.0.to_string());
        }
    }

    /// Heeds what another call says of the party there. Nobody else's word counts.
    pub(crate) fn learn_party(&mut self, message: &Message, core: &Core) {
        if let Some(party) = self.party_in(message, core) {
            self.beyond = Some(party);
        }
    }

    /// The party of this leg if what this request asks for comes about.
    pub(crate) fn next_party(&self, request: &Message, core: &Core) -> TrunkId {
        let named = self.party_in(request, core);
        named.as_ref().unwrap_or(self.party()).id
    }

    fn party_in(&self, message: &Message, core: &Core) -> Option<Arc<Trunk>> {
        let within = self.dialog.flow().shard().is_some();
        within::party(message, core).filter(|_| within)
    }

    /// Methods that we take from this peer.
    pub(crate) fn allow(&self) -> Cow<'static, [u8]> {
        allow(&self.trunk, true)
    }

    /// Remembers the session description in a message of the peer, if there is one: for those who
    /// are to talk to this peer later.
    pub(crate) fn hear(&mut self, message: &Message) {
        if describes(message) {
            self.said = Some(message.body());
        }
    }

    /// Begins a request of this leg's dialog.
    pub(crate) fn request(
        &mut self,
        method: &Method,
        max_forwards: u8,
        core: &mut Core,
    ) -> (Builder, intertrunk_sip::Token) {
        let branch = core.rng.token();
        let line = RequestLine {
            method,
            branch,
            max_forwards,
        };
        (self.dialog.request(&line), branch)
    }

    /// Ends a message of this leg with the body of another, whose Content-Type has crossed with the
    /// headers.
    pub(crate) fn finish_like(&mut self, b: Builder, from: &Message, core: &mut Core) -> Bytes {
        if !from.has_body() {
            return b.finish(None);
        }
        self.finish(b, content_type_of(from), &from.body(), core)
    }

    /// Ends a request of the host's own with a session description.
    pub(crate) fn finish_session(&mut self, mut b: Builder, body: &[u8], core: &mut Core) -> Bytes {
        b.header(Name::ContentType, SDP);
        self.finish(b, SDP.as_bytes(), body, core)
    }

    /// Ends a message of this leg with a body. A session description in it is under our origin: the
    /// same session on all of the leg, and a version that grows when what it says is not what it
    /// said last (RFC 3264 §8).
    pub(crate) fn finish(
        &mut self,
        b: Builder,
        content_type: &[u8],
        body: &[u8],
        core: &mut Core,
    ) -> Bytes {
        let origin = Origin {
            session: (self.dialog.local_tag.0 >> 32) as u32,
            host: self.dialog.listener().host(),
        };
        let Described {
            version: last,
            digest: said,
        } = &mut self.described;
        let mut version = |digest| {
            if *last == 0 || *said != digest {
                (*last, *said) = (last.wrapping_add(1), digest);
            }
            *last
        };
        let scratch = &mut core.scratch;
        scratch.clear();
        put_body(scratch, content_type, body, origin, &mut version);
        b.finish(Some(scratch))
    }

    /// How far our descriptions have come.
    pub(super) fn described(&self) -> Described {
        self.described
    }

    /// Goes on from there.
    pub(super) fn describe_as(&mut self, described: Described) {
        self.described = described;
    }

    /// Acknowledges the 2xx with this CSeq, and keeps the ACK.
    pub(crate) fn send_ack(&mut self, cseq: u32, body: Option<&Body>, core: &mut Core) {
        let mut b = self.dialog.ack(cseq, core.rng.token());
        let bytes = match body {
            Some(body) => {
                b.header(Name::ContentType, &body.content_type);
                self.finish(b, &body.content_type, &body.bytes, core)
            }
            None => b.finish(None),
        };
        core.transmit_ack(self.dialog.flow(), bytes.clone());
        self.acks.push((cseq, bytes));
        self.owes_ack = None;
    }

    /// The ACK of this 2xx again; false if it was never acknowledged on this leg.
    pub(crate) fn repeat_ack(&self, cseq: u32, core: &mut Core) -> bool {
        let found = self.acks.iter().find(|(acked, _)| *acked == cseq);
        if let Some((_, bytes)) = found {
            core.transmit_ack(self.dialog.flow(), bytes.clone());
        }
        found.is_some()
    }

    /// The 2xx with this CSeq will not come again; its ACK goes, a later one's stays.
    pub(crate) fn forget_ack(&mut self, cseq: u32) {
        self.acks.retain(|(acked, _)| *acked != cseq);
    }

    /// The peer has ended the dialog and needs no BYE of ours. It may still need our 2xx: its BYE
    /// can overtake that, and its INVITE must have an end.
    pub(crate) fn hung_up(&mut self) {
        self.over = true;
        self.bye_waits = false;
    }

    /// Remembers the 2xx that was just sent to `invite`, to resend it until the ACK comes.
    pub(crate) fn await_ack(&mut self, invite: &Message, bytes: Bytes, flow: Flow, core: &Core) {
        let t1 = core.snapshot.timers.t1;
        self.unacked = Some(Box::new(Unacked {
            cseq: invite.cseq(),
            bytes,
            flow: flow.back_to_sender(invite),
            resend: Backoff::start(core.now, t1),
            give_up: core.now + t1 * 64,
        }));
    }

    /// When this leg has to be looked at next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let unacked = self.unacked.as_ref().map(|u| u.resend.at.min(u.give_up));
        let timer = self.timer.as_ref().and_then(|t| t.deadline());
        unacked.into_iter().chain(timer).min()
    }

    /// Resends the 2xx if it is time. True if the peer has been silent for too long: the 2xx is
    /// then forgotten, and the call should end.
    pub(crate) fn clock(&mut self, core: &mut Core) -> bool {
        let Some(unacked) = &mut self.unacked else {
            return false;
        };
        if unacked.give_up <= core.now {
            self.unacked = None;
            return true;
        }
        if unacked.resend.fire(core.now, core.snapshot.timers.t2) {
            let (flow, bytes) = (unacked.flow, unacked.bytes.clone());
            core.transmit(flow, bytes);
        }
        false
    }
}

/// A body and its type.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) content_type: Bytes,
    pub(crate) bytes: Bytes,
}

impl Body {
    /// The body of a message, if it has one.
    pub(crate) fn of(message: &Message) -> Option<Body> {
        message.has_body().then(|| Body {
            content_type: Bytes::copy_from_slice(content_type_of(message)),
            bytes: message.body(),
        })
    }
}

/// Whether a message describes a session, and nothing else.
pub(super) fn describes(message: &Message) -> bool {
    message.has_body() && content_type_of(message).eq_ignore_ascii_case(SDP.as_bytes())
}

/// The type of a message's body. Without a word about it, in a call, it can only be this one.
fn content_type_of(message: &Message) -> &[u8] {
    let said = message.header(Name::ContentType);
    said.unwrap_or(SDP.as_bytes())
}

/// Time that a cancelled attempt has for its final answer (RFC 3261 §9.1: 64·T1).
pub(crate) fn cancel_patience(core: &Core) -> Duration {
    core.snapshot.timers.t1 * 64
}
