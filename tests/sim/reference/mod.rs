//! The reference: what must be true of each call, worked out from the wire alone.
//!
//! It sees what the host receives and sends, what the policy answers, and the clock; it knows RFC 3261
//! and the rules of the call (K1 to K5, K8, K12), and nothing of how the host works. After each input it
//! says which of its expectations the host has not met; at the end it compares records with what it
//! has seen (`account.rs`). User agents mark their INVITEs with `X-Call`, which the host passes on like
//! every header it does not know: so both legs of a call are known to be one.
//!
//! ```text
//!   INVITE heard --> told nothing --2xx told--> up --BYE--> hung up
//!                        |     \--CANCEL heard--> gave up --487 told--+
//!                        +--3xx-6xx told------------------------------+--> over
//! ```

mod account;
mod attempt;
mod call;
mod failure;
pub mod transfers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use intertrunk_proto::Instant;
use intertrunk_proto::trunk::{Health, TrunkState};
use intertrunk_sip::{Message, Method, Name};

use self::attempt::Attempt;
use self::call::Call;
use crate::schedule::Outcome;
use crate::world::TRUNKS;

/// Everything that the reference knows.
#[derive(Debug, Default)]
pub struct Reference {
    calls: Vec<Call>,
    /// By Call-ID: the call, and which of its attempts; `None` for the calling side.
    legs: BTreeMap<Bytes, (usize, Option<usize>)>,
    by_mark: BTreeMap<Bytes, usize>,
    /// Calls that the policy is asked about.
    questions: Vec<usize>,
    /// Calls that something has happened to in this step.
    touched: Vec<usize>,
    /// What the host has done wrong.
    pub broken: Vec<String>,
}

impl Reference {
    /// The host is about to be given this datagram.
    pub fn heard(&mut self, from: SocketAddr, bytes: &Bytes, now: Instant) {
        let Ok(message) = Message::parse(bytes.clone()) else {
            return;
        };
        let known = self.legs.get(message.call_id()).copied();
        match known {
            Some((n, leg)) => {
                self.touch(n);
                match leg {
                    None => self.calls[n].heard_of_caller(&message),
                    Some(leg) => self.calls[n].heard_of_callee(leg, &message, now),
                }
            }
            None if *message.method() == Method::Invite && message.is_request() => {
                let Some(mark) = mark_of(&message).filter(|_| message.to_tag().is_none()) else {
                    return;
                };
                let n = self.calls.len();
                let trunk = TRUNKS.iter().position(|t| t.2 == from.to_string());
                self.calls
                    .push(Call::of_invite(&message, trunk.unwrap_or(TRUNKS.len())));
                self.legs
                    .insert(Bytes::copy_from_slice(message.call_id()), (n, None));
                self.by_mark.insert(mark, n);
                self.touch(n);
            }
            None => {}
        }
    }

    /// The host sends this.
    pub fn said(
        &mut self,
        to: SocketAddr,
        message: &Message,
        states: &[Arc<TrunkState>],
        now: Instant,
    ) {
        let known = self.legs.get(message.call_id()).copied();
        let (n, leg) = match known {
            Some(known) => known,
            None if *message.method() == Method::Invite && message.is_request() => {
                let Some(n) = mark_of(message).and_then(|m| self.by_mark.get(&m).copied()) else {
                    return;
                };
                let leg = self.calls[n].attempts.len();
                let id = Bytes::copy_from_slice(message.call_id());
                self.legs.insert(id, (n, Some(leg)));
                let trunk = TRUNKS.iter().position(|t| t.2 == to.to_string());
                let attempt = Attempt::of_invite(message, trunk.unwrap_or(TRUNKS.len()), now);
                self.calls[n].dials(attempt, &health_in(states), now);
                (n, Some(leg))
            }
            None => return,
        };
        self.touch(n);
        match leg {
            None => self.calls[n].said_to_caller(message, now),
            Some(leg) => self.calls[n].said_to_callee(leg, message, now),
        }
    }

    /// What the host has sent to a callee could not be sent.
    pub fn not_sent(&mut self, message: &Message) {
        if let Some((n, Some(leg))) = self.legs.get(message.call_id()).copied() {
            self.calls[n].attempts[leg].unsendable = true;
        }
    }

    /// The host asks the policy about the call with this Call-ID.
    pub fn asked(&mut self, call_id: &[u8], until: Instant) {
        if let Some((n, None)) = self.legs.get(call_id).copied() {
            self.calls[n].asked(until);
            self.questions.push(n);
        }
    }

    /// The host is about to be given this verdict. False if by now it must change nothing.
    pub fn decided(
        &mut self,
        call_id: &[u8],
        outcome: &Outcome,
        generation: u64,
        states: &[Arc<TrunkState>],
    ) -> bool {
        match self.legs.get(call_id).copied() {
            Some((n, None)) => {
                self.touch(n);
                self.calls[n].decided(outcome, generation, &health_in(states))
            }
            _ => true,
        }
    }

    /// The host has done all that it does about one input.
    pub fn stepped(&mut self, now: Instant) {
        let calls = &mut self.calls;
        self.questions.retain(|n| calls[*n].still_asks(now));
        while let Some(n) = self.touched.pop() {
            self.calls[n].stepped(now);
            if !self.calls[n].broken.is_empty() {
                let ladder = self.calls[n].name();
                let broken = self.calls[n].broken.drain(..);
                self.broken.extend(broken.map(|b| format!("{ladder}: {b}")));
            }
        }
    }

    fn touch(&mut self, n: usize) {
        if !self.touched.contains(&n) {
            self.touched.push(n);
        }
    }
}

/// The health of each of [`TRUNKS`], by name.
fn health_in(states: &[Arc<TrunkState>]) -> impl Fn(&str) -> Health + '_ {
    |name| {
        let place = TRUNKS.iter().position(|t| t.0 == name);
        place.map_or(Health::Up, |n| states[n].health())
    }
}

/// The mark that ties the legs of a call together.
fn mark_of(invite: &Message) -> Option<Bytes> {
    let mark = invite.header_named("X-Call").next()?;
    Some(Bytes::copy_from_slice(mark))
}

/// The branch of the topmost Via.
fn branch_of(message: &Message) -> Bytes {
    let branch = message.via().ok().and_then(|v| v.branch);
    Bytes::copy_from_slice(branch.unwrap_or_default())
}

/// A tag as a key.
fn tag_of(tag: Option<&[u8]>) -> Bytes {
    Bytes::copy_from_slice(tag.unwrap_or_default())
}

/// The user of a number as it stands in a request line or a From.
fn user_of(message: &Message, name: Option<Name>) -> String {
    let user = match name {
        None => message.uri().ok().and_then(|u| u.user.map(str::to_owned)),
        Some(_) => message
            .from()
            .ok()
            .and_then(|f| f.uri().ok()?.user.map(str::to_owned)),
    };
    user.unwrap_or_default()
}
