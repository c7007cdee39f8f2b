//! What a user agent does when it is told to: it transfers its latest call, or hangs it up.

use bytes::Bytes;
use intertrunk_proto::Instant;
use intertrunk_sip::{Method, Name};

use super::{Client, Renegotiation, Side, T1, Ua};

impl Ua {
    /// The Call-ID of its latest call that is up.
    pub fn latest(&self) -> Option<String> {
        let up = self.sides.values().filter(|s| s.dialogs[0].up);
        up.max_by_key(|s| s.begun).map(|s| s.call_id.clone())
    }

    /// The Replaces value that names the dialog of one of its calls to the host.
    pub fn replaces(&self, call_id: &str) -> Option<String> {
        let side = self.sides.get(call_id)?;
        let (_, theirs) = side.remote.split_once(";tag=")?;
        let ours = &side.dialogs[0].tag;
        Some(format!("{call_id};to-tag={theirs};from-tag={ours}"))
    }

    /// Sends a REFER in its latest call, with more header lines.
    pub fn refer(&mut self, refer_to: &str, more: &[(&str, &str)], now: Instant) {
        match self.latest() {
            Some(call_id) => self.refer_in(&call_id, refer_to, more, now),
            None => self.complain("no call to transfer"),
        }
    }

    /// Sends one in this call: to the other side of another one, if it is in one and so minded.
    pub(super) fn refer_somewhere(&mut self, side: &mut Side, now: Instant) {
        let other = self
            .latest()
            .filter(|_| self.rng.next_u64().is_multiple_of(2));
        let refer_to = match other.and_then(|id| self.replaces(&id)) {
            Some(named) => {
                let named = named.replace(';', "%3B").replace('=', "%3D");
                format!("<sip:2@127.0.0.1?Replaces={named}>")
            }
            None => "<sip:12065550100@127.0.0.1>".to_owned(),
        };
        self.send_refer(side, &refer_to, &[], now);
    }

    /// The same in this call.
    pub fn refer_in(&mut self, call_id: &str, refer_to: &str, more: &[(&str, &str)], now: Instant) {
        let Some(mut side) = self.sides.remove(call_id) else {
            return self.complain("no such call to transfer");
        };
        self.send_refer(&mut side, refer_to, more, now);
        self.sides.insert(side.call_id.clone(), side);
    }

    fn send_refer(&mut self, side: &mut Side, refer_to: &str, more: &[(&str, &str)], now: Instant) {
        let branch = format!("z9hG4bK{}", self.token("b"));
        side.dialogs[0].cseq += 1;
        let cseq = side.dialogs[0].cseq;
        let mut b = self.head(side, 0, &Method::Refer, &branch, cseq);
        b.header(Name::ReferTo, refer_to);
        b.header_fmt(
            Name::ReferredBy,
            format_args!("<sip:0100@{};cid=1@{}>", self.address, self.name),
        );
        for (name, value) in more {
            b.other(name, value);
        }
        let bytes = b.finish(None);
        self.send(side, bytes, (Method::Refer, branch, cseq), now);
    }

    /// Sends a SUBSCRIBE in its latest call, with these lines.
    pub fn subscribe(&mut self, lines: &[(&str, &str)], now: Instant) {
        let Some(mut side) = self.latest().and_then(|id| self.sides.remove(&id)) else {
            return self.complain("no call to subscribe in");
        };
        let branch = format!("z9hG4bK{}", self.token("b"));
        side.dialogs[0].cseq += 1;
        let cseq = side.dialogs[0].cseq;
        let mut b = self.head(&side, 0, &Method::Subscribe, &branch, cseq);
        for (name, value) in lines {
            b.other(name, value);
        }
        let bytes = b.finish(None);
        self.send(&mut side, bytes, (Method::Subscribe, branch, cseq), now);
        self.sides.insert(side.call_id.clone(), side);
    }

    pub(super) fn send(
        &mut self,
        side: &mut Side,
        bytes: Bytes,
        (method, branch, cseq): (Method, String, u32),
        now: Instant,
    ) {
        self.out.push(bytes.clone());
        side.clients.push(Client {
            method,
            bytes,
            branch,
            resend: Some((now + T1, T1)),
            give_up: now + T1 * 64,
            provisional: false,
            last: None,
            ack: None,
            cseq,
        });
    }

    /// Hangs up its latest call.
    pub fn hang_up(&mut self, now: Instant) {
        let Some(mut side) = self.latest().and_then(|id| self.sides.remove(&id)) else {
            return self.complain("no call to hang up");
        };
        side.dialogs[0].up = false;
        self.request(&mut side, 0, &Method::Bye, None, now);
        self.sides.insert(side.call_id.clone(), side);
    }

    /// Sends a re-INVITE in its latest call.
    pub fn reinvite(&mut self, now: Instant) {
        let Some(mut side) = self.latest().and_then(|id| self.sides.remove(&id)) else {
            return self.complain("no call to renegotiate");
        };
        self.request(&mut side, 0, &Method::Invite, Some("offer"), now);
        self.sides.insert(side.call_id.clone(), side);
    }

    /// Sends an INFO in its latest call.
    pub fn inform(&mut self, now: Instant) {
        let Some(mut side) = self.latest().and_then(|id| self.sides.remove(&id)) else {
            return self.complain("no call to inform");
        };
        self.request(&mut side, 0, &Method::Info, None, now);
        self.sides.insert(side.call_id.clone(), side);
    }

    /// Answers re-INVITEs of its latest call so from now on.
    pub fn renegotiate(&mut self, renegotiation: Renegotiation) {
        if let Some(side) = self.latest().and_then(|id| self.sides.get_mut(&id)) {
            side.manner.renegotiation = renegotiation;
        }
    }

    /// Status lines that it was told by NOTIFY, of all calls.
    pub fn told(&self) -> Vec<String> {
        self.sides.values().flat_map(|s| s.notes.clone()).collect()
    }
}
