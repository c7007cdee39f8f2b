//! What each message of the host must be like, judged as it leaves, before anything is lost.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use intertrunk_proto::{Flow, owner_shard};
use intertrunk_sip::{Message, Method, Name};

use crate::streams::TCP;
use crate::world::{HOST, KEY, SHARDS};

/// Everything that the host has sent, as far as later messages are judged by it.
#[derive(Debug, Default)]
pub struct Wire {
    /// Requests by branch and method.
    requests: HashMap<(String, Method), Bytes>,
    /// Highest CSeq by Call-ID and both tags: forks of one INVITE are dialogs of their own, and a
    /// peer may use a Call-ID again.
    cseqs: HashMap<(Bytes, [Option<Bytes>; 2]), u32>,
    /// Status of final answers, by destination, branch and method.
    finals: HashMap<(SocketAddr, String, Method), u16>,
    /// To tag of the answer to a CANCEL, by destination and branch.
    cancelled: HashMap<(SocketAddr, String), Bytes>,
    /// Last session description by Call-ID.
    descriptions: HashMap<Bytes, Description>,
}

/// A session description as its receiver has to read it (RFC 3264 §8).
#[derive(Debug, PartialEq)]
struct Description {
    session: String,
    version: u64,
    rest: String,
}

impl Description {
    /// Reads a body; `None` where its origin is not the host's.
    fn of(body: &[u8]) -> Option<Description> {
        let text = std::str::from_utf8(body).ok()?;
        let (head, rest) = text.strip_prefix("v=0\r\no=- ")?.split_once("\r\n")?;
        let mut words = head.split(' ');
        let (session, version) = (words.next()?, words.next()?.parse().ok()?);
        let host = HOST.split_once(':')?.0;
        words.eq(["IN", "IP4", host]).then(|| Description {
            session: session.to_owned(),
            version,
            rest: rest.to_owned(),
        })
    }

    /// Whether `next` may follow on the same leg.
    fn goes_on_as(&self, next: &Description) -> bool {
        let same = self.rest == next.rest;
        self.session == next.session && next.version == self.version + u64::from(!same)
    }
}

impl Wire {
    /// Everything that is wrong with a message that goes this way.
    pub fn judge(&mut self, flow: Flow, bytes: &Bytes) -> Vec<String> {
        let message = match Message::parse(bytes.clone()) {
            Ok(message) => message,
            Err(fault) if bytes.starts_with(b"SIP/2.0 ") => {
                return vec![format!("illegal answer: {fault}")];
            }
            Err(fault) => return vec![format!("illegal request: {fault}")],
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let branch = message.via().ok().and_then(|v| v.branch.map(text));
        let branch = branch.unwrap_or_default();
        let mut wrong = match message.is_request() {
            true => self.request(&message, &branch, (flow, bytes)),
            false => self.response(&message, &branch, flow.remote),
        };
        if message.has_body() && message.header(Name::ContentType) == Some(b"application/sdp") {
            wrong.extend(self.description(&message));
        }
        wrong
            .into_iter()
            .map(|w| format!("{w}: {}", text(bytes)))
            .collect()
    }

    fn request(
        &mut self,
        request: &Message,
        branch: &str,
        (flow, bytes): (Flow, &Bytes),
    ) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let mut unless = |right: bool, what| wrong.extend((!right).then_some(what));
        let method = request.method().clone();
        let vias: Vec<_> = request.values(Name::Via).collect();
        let transport = match flow.listener == TCP {
            true => "TCP",
            false => "UDP",
        };
        let ours = format!("SIP/2.0/{transport} {HOST};");
        unless(
            vias.len() == 1 && vias[0].starts_with(ours.as_bytes()),
            "not our one Via",
        );
        let hops = request.max_forwards();
        unless(
            hops.is_some_and(|n| (1..=70).contains(&n)),
            "no legal Max-Forwards",
        );
        let dials = method == Method::Invite;
        unless(
            !dials || request.contact().is_some(),
            "INVITE without Contact",
        );
        unless(
            method != Method::Bye || request.header(Name::Reason).is_some(),
            "BYE without Reason",
        );
        if dials && request.to_tag().is_none() {
            let shard = owner_shard(request.call_id(), KEY, SHARDS.1);
            unless(shard == SHARDS.0, "Call-ID of another shard");
        }
        let key = (branch.to_owned(), method.clone());
        if let Some(first) = self.requests.insert(key, bytes.clone()) {
            // But for one that found no connection, and goes by datagram (RFC 3261 §18.1.1).
            let same = first == *bytes || by_datagram(&first) == by_datagram(bytes);
            unless(same, "one branch, two requests");
            return wrong;
        }
        if matches!(method, Method::Cancel | Method::Ack) {
            let invite = self.requests.get(&(branch.to_owned(), Method::Invite));
            let invite = invite.and_then(|b| Message::parse(b.clone()).ok());
            unless(
                method == Method::Ack || invite.is_some(),
                "CANCEL of nothing",
            );
            let same = invite.is_none_or(|i| i.cseq() == request.cseq());
            unless(same, "another CSeq than its INVITE's");
            return wrong;
        }
        let tags = [request.from_tag(), request.to_tag()];
        let tags = tags.map(|tag| tag.map(Bytes::copy_from_slice));
        let key = (Bytes::copy_from_slice(request.call_id()), tags);
        let last = self.cseqs.insert(key, request.cseq());
        unless(
            last.is_none_or(|last| last < request.cseq()),
            "CSeq does not rise",
        );
        wrong
    }

    fn description(&mut self, message: &Message) -> Option<&'static str> {
        let Some(new) = Description::of(&message.body()) else {
            return Some("a description that is not under our origin");
        };
        // Forks behind the host are dialogs of their own, and so are their descriptions.
        let ours = match message.is_request() {
            true => message.from_tag(),
            false => message.to_tag(),
        };
        let leg = [message.call_id(), ours.unwrap_or_default()].concat();
        let leg = Bytes::from(leg);
        let right = match self.descriptions.get(&leg) {
            // A message sent again has the version that it had.
            Some(last) if new.version < last.version => return None,
            Some(last) => last.goes_on_as(&new),
            None => new.version == 1,
        };
        self.descriptions.insert(leg, new);
        (!right).then_some("a description whose version does not tell whether it has changed")
    }

    fn response(&mut self, answer: &Message, branch: &str, to: SocketAddr) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let mut unless = |right: bool, what| wrong.extend((!right).then_some(what));
        let (code, method) = (answer.status(), answer.method().clone());
        unless(
            code == 100 || answer.to_tag().is_some(),
            "answer without To tag",
        );
        let makes_dialog = method == Method::Invite && (101..300).contains(&code);
        unless(
            !makes_dialog || answer.contact().is_some(),
            "answer without Contact",
        );
        // K20: a caller learns the cause. Its Call-IDs are known by how they begin.
        let of_a_call = method == Method::Invite && answer.call_id().starts_with(b"call-");
        let cause = answer.header(Name::Reason).unwrap_or_default();
        unless(
            !of_a_call || code < 300 || answer.cseq() > 1 || cause.starts_with(b"Q.850;cause="),
            "failure without a cause",
        );
        let place = (to, branch.to_owned());
        let tag = Bytes::copy_from_slice(answer.to_tag().unwrap_or_default());
        if method == Method::Cancel && code == 200 {
            self.cancelled.insert(place, tag);
        } else if method == Method::Invite && code == 487 {
            let same = self
                .cancelled
                .get(&place)
                .is_none_or(|of_cancel| *of_cancel == tag);
            unless(same, "another tag than the CANCEL's answer");
        }
        let key = (to, branch.to_owned(), method);
        match self.finals.get(&key) {
            Some(last) => unless(*last == code, "another answer after the final one"),
            None if code >= 200 => drop(self.finals.insert(key, code)),
            None => {}
        }
        wrong
    }
}

/// A request with a Via for UDP, whatever it had.
fn by_datagram(request: &Bytes) -> String {
    let text = String::from_utf8_lossy(request);
    text.replacen("\r\nVia: SIP/2.0/TCP ", "\r\nVia: SIP/2.0/UDP ", 1)
}
