//! What must be true of each transfer, worked out from the wire alone (RFC 3515, K14).
//!
//! ```text
//!   REFER heard --> asked --2xx said--> open --NOTIFY of a final answer, which is the last--> over
//!                     \--3xx-6xx said--> never was
//! ```
//! Who sent a REFER that was accepted learns the end of it, once, and nothing after it; or it has hung up
//! before. If the host carried it out and it succeeded, its sender is hung up with that word; if nobody
//! was reached, it is not.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use intertrunk_sip::{Message, Method, Name};

/// A REFER by the Call-ID of its dialog and its CSeq.
type Key = (Bytes, u32);

/// Everything that is known of transfers.
#[derive(Debug, Default)]
pub struct Transfers {
    all: BTreeMap<Key, Transfer>,
    /// The REFER that is being handed to the host.
    hears: Option<Key>,
    /// Dialogs that have ended, by whoever's BYE.
    over: BTreeSet<Bytes>,
    /// Our 2xx that are not acknowledged, by Call-ID and CSeq: the BYE of their dialog has to wait.
    unacked: BTreeSet<Key>,
    /// NOTIFYs by Call-ID and CSeq: they may be sent again.
    notes: BTreeSet<Key>,
    /// What was told last in this step, and to whom.
    ends: Vec<(Key, u16)>,
    /// Dialogs that the host has ended in this step.
    byes: BTreeSet<Bytes>,
    /// How often a transfer ended with each code.
    pub codes: BTreeMap<u16, u64>,
    /// INVITEs with Replaces that have no 2xx.
    newcomers: BTreeSet<Bytes>,
    /// How many have one: those that took the place of a party, and those that picked a call up.
    pub newcomers_taken: [u64; 2],
    /// How many the other side carried out.
    pub passed_on: u64,
    /// What the host has done wrong.
    pub broken: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Transfer {
    accepted: bool,
    passed_on: bool,
    over: bool,
}

impl Transfers {
    /// The host is about to be given this.
    pub fn heard(&mut self, bytes: &Bytes) {
        let Ok(message) = Message::parse(bytes.clone()) else {
            return;
        };
        let call_id = Bytes::copy_from_slice(message.call_id());
        match message.method() {
            _ if !message.is_request() => {}
            Method::Refer => {
                let key = (call_id, message.cseq());
                self.all.entry(key.clone()).or_default();
                self.hears = Some(key);
            }
            Method::Invite if message.header(Name::Replaces).is_some() => {
                self.newcomers.insert(call_id);
            }
            Method::Bye => drop(self.over.insert(call_id)),
            Method::Ack => drop(self.unacked.remove(&(call_id, message.cseq()))),
            _ => {}
        }
    }

    /// The host sends this.
    pub fn said(&mut self, message: &Message) {
        let call_id = Bytes::copy_from_slice(message.call_id());
        let key = (call_id.clone(), message.cseq());
        match (message.is_request(), message.method()) {
            (true, Method::Refer) => {
                if let Some(t) = self.hears.as_ref().and_then(|k| self.all.get_mut(k)) {
                    self.passed_on += u64::from(!std::mem::replace(&mut t.passed_on, true));
                }
            }
            (true, Method::Notify) if self.notes.insert(key.clone()) => self.told(call_id, message),
            (true, Method::Bye) if self.over.insert(call_id.clone()) => {
                self.byes.insert(call_id);
            }
            (false, Method::Refer) if (200..300).contains(&message.status()) => {
                if let Some(t) = self.all.get_mut(&key) {
                    t.accepted = true;
                }
            }
            (false, Method::Refer) if message.status() >= 300 => {
                if let Some(t) = self.all.get_mut(&key) {
                    t.over = true;
                }
            }
            (false, Method::Invite) if (200..300).contains(&message.status()) => {
                if self.newcomers.remove(&call_id) {
                    let idle = message.body().ends_with(b"a=inactive\r\n");
                    self.newcomers_taken[usize::from(idle)] += 1;
                }
                self.unacked.insert(key);
            }
            _ => {}
        }
    }

    fn told(&mut self, call_id: Bytes, note: &Message) {
        let text = |v: Option<&[u8]>| String::from_utf8_lossy(v.unwrap_or_default()).into_owned();
        let event = text(note.header(Name::Event));
        let id = event.split_once("id=").and_then(|(_, id)| id.parse().ok());
        // Without an id it is the first one that was not refused.
        let mut of_dialog = self.all.iter().filter(|(k, t)| k.0 == call_id && !t.over);
        let key = match id {
            Some(id) => (call_id, id),
            None => match of_dialog.next() {
                Some((first, _)) => first.clone(),
                None => return self.breaks("told of a REFER that nobody sent", &event),
            },
        };
        let body = String::from_utf8_lossy(&note.body()).into_owned();
        let code = body.get(8..11).and_then(|code| code.parse::<u16>().ok());
        let last = text(note.header(Name::SubscriptionState)).starts_with("terminated");
        let (Some(t), Some(code)) = (self.all.get_mut(&key), code) else {
            return self.breaks("told of a REFER that nobody sent, or nothing", &body);
        };
        if std::mem::replace(&mut t.over, last) {
            self.breaks("told of a transfer that was refused or is over", &body);
        }
        if last != (code >= 200) {
            self.breaks(
                "the last word is not the end, or the end not the last word",
                &body,
            );
        }
        if last {
            *self.codes.entry(code).or_default() += 1;
            self.ends.push((key, code));
        }
    }

    fn breaks(&mut self, what: &str, of: &str) {
        self.broken.push(format!("K14: {what}: {of}"));
    }

    /// The host has done all that it does about one input.
    pub fn stepped(&mut self) {
        self.hears = None;
        let byes = std::mem::take(&mut self.byes);
        for ((call_id, cseq), code) in std::mem::take(&mut self.ends) {
            let key = (call_id.clone(), cseq);
            let carried_out = self.all.get(&key).is_some_and(|t| !t.passed_on);
            let waits = self.unacked.iter().any(|(id, _)| *id == call_id);
            let name = String::from_utf8_lossy(&call_id).into_owned();
            match code {
                200 if carried_out && !self.over.contains(&call_id) && !waits => {
                    self.breaks("transferred, but still in the call", &name);
                }
                // These say that the call itself is over, or that a party of it is gone.
                200 | 408 | 481 | 487 => {}
                _ if byes.contains(&call_id) => {
                    self.breaks("a transfer to nobody ended the call", &name);
                }
                _ => {}
            }
        }
    }

    /// Everything that is still wrong once nothing will happen any more.
    pub fn account(&self) -> Vec<String> {
        let open = self.all.iter().filter(|(_, t)| t.accepted && !t.over);
        // What the other side carries out ends with the call; the host tells in any case.
        let untold = open.filter(|((call_id, _), t)| !(t.passed_on && self.over.contains(call_id)));
        let name = |k: &Key| String::from_utf8_lossy(&k.0).into_owned();
        untold
            .map(|(key, _)| format!("K14: {} never learns of its transfer", name(key)))
            .collect()
    }
}
