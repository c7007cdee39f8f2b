//! What peers say: messages made from templates and from what the host has said, with every part
//! that may differ chosen by the input. A reference counts back from the newest message.

use std::fmt::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use intertrunk_sip::{Message, Method, Name, reason_phrase, reply};
use sim::world::TRUNKS;

use super::Play;
use crate::take::Take;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0\r\na=sendrecv\r\n";
const BODIES: [(&str, &str); 4] = [
    ("application/sdp", OFFER),
    ("application/sdp", "v=0\r\n"),
    ("application/sdp", "\0\r\n\r\nINVITE"),
    ("application/dtmf-relay", "Signal=5\r\n"),
];
const STATUS: [u16; 32] = [
    100, 180, 183, 180, 200, 200, 200, 202, 181, 199, 301, 302, 401, 403, 404, 407, 408, 415, 420,
    422, 423, 480, 481, 486, 487, 488, 491, 500, 503, 600, 603, 606,
];
const METHODS: [Method; 13] = [
    Method::Bye,
    Method::Invite,
    Method::Update,
    Method::Prack,
    Method::Info,
    Method::Message,
    Method::Notify,
    Method::Refer,
    Method::Options,
    Method::Subscribe,
    Method::Ack,
    Method::Cancel,
    Method::Register,
];

/// A bit that is set where the peer does this.
#[derive(Clone, Copy)]
struct Flags(u16);

impl Flags {
    fn has(self, bit: u16) -> bool {
        self.0 >> bit & 1 == 1
    }
}

fn address(place: usize) -> SocketAddr {
    let text = TRUNKS.get(place).map_or("127.0.0.99:5060", |t| t.2);
    text.parse().expect("a literal address")
}

/// Which of the four trunks, or now and then a stranger.
fn peer(take: &mut Take<'_>) -> SocketAddr {
    let byte = take.byte();
    address(match byte {
        250.. => 4,
        _ => usize::from(byte % 4),
    })
}

impl Play {
    fn branch(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// An INVITE that would begin a call.
    pub(super) fn invite(&mut self, take: &mut Take<'_>) {
        let (from, call, flags) = (peer(take), take.byte() % 8, Flags(take.word()));
        let branch = self.branch();
        let uri = match (flags.has(13), flags.has(14)) {
            (false, false) => "sip:12065550100@127.0.0.1:5060",
            (true, false) => "tel:+12065550100;phone-context=x",
            (false, true) => "sips:1@127.0.0.1",
            (true, true) => "urn:service:sos",
        };
        let mut text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{branch}\r\n\
             From: \"A\" <sip:0100@pbx.example>;tag=t{call}\r\nTo: <sip:12065550100@x.example>\r\n\
             Call-ID: call-{call}\r\nCSeq: 1 INVITE\r\nMax-Forwards: {}\r\n",
            match flags.has(5) {
                true => u16::from(take.byte()),
                false => 70,
            }
        );
        if !flags.has(4) {
            _ = write!(text, "Contact: <sip:0100@{from}>\r\n");
        }
        self.options(&mut text, flags, take);
        if flags.has(6) {
            _ = write!(text, "Replaces: {}\r\n", self.replaces(take));
        }
        if flags.has(7) {
            text += "P-Asserted-Identity: <sip:0100@pbx.example>\r\nPrivacy: id;critical\r\n";
        }
        if flags.has(8) {
            text += "Diversion: <sip:1@x>;reason=no-answer\r\nHistory-Info: <sip:1@x>;index=1\r\n";
        }
        if flags.has(9) {
            text += "Route: <sip:127.0.0.1:5060;lr>\r\n";
        }
        self.finish(from, text, flags.has(0), take);
    }

    /// Extensions that both requests and answers may ask for.
    fn options(&mut self, text: &mut String, flags: Flags, take: &mut Take<'_>) {
        if flags.has(1) {
            *text += take.of(&[
                "Require: 100rel\r\n",
                "Require: timer\r\n",
                "Require: xyz\r\n",
            ]);
        }
        if flags.has(2) {
            *text += "Supported: 100rel, timer, replaces\r\nAllow: INVITE, ACK, UPDATE, PRACK\r\n";
        }
        if flags.has(3) {
            let seconds = take.of(&[90, 1800, 10, 0, u32::MAX]);
            let refresher = take.of(&["", ";refresher=uac", ";refresher=uas"]);
            _ = write!(
                text,
                "Session-Expires: {seconds}{refresher}\r\nMin-SE: 90\r\n"
            );
        }
    }

    /// The dialog of a message of the host's, as a Replaces value; tags as one side or the other
    /// knows them. Something like one where there is no such message.
    fn replaces(&mut self, take: &mut Take<'_>) -> String {
        let known = self.message(take, |m| m.from_tag().is_some());
        let tag = |tag: Option<&[u8]>| String::from_utf8_lossy(tag.unwrap_or(b"0")).into_owned();
        let (call_id, from, to) = known.map_or(
            ("a".to_owned(), "b".to_owned(), "c".to_owned()),
            |(_, m)| (tag(Some(m.call_id())), tag(m.from_tag()), tag(m.to_tag())),
        );
        match take.byte() % 4 {
            0 => format!("{call_id};to-tag={to};from-tag={from}"),
            1 => format!("{call_id};to-tag={to};from-tag={from};early-only"),
            _ => format!("{call_id};to-tag={from};from-tag={to}"),
        }
    }

    /// One of the host's messages of this kind, and where it went.
    fn message(
        &self,
        take: &mut Take<'_>,
        wanted: impl Fn(&Message) -> bool,
    ) -> Option<(SocketAddr, Message)> {
        let back = usize::from(take.byte());
        let known = self.sent.iter().rev();
        let known = known.filter_map(|sent| Some((sent.to, sent.message.as_ref()?)));
        let all: Vec<_> = known.filter(|(_, m)| wanted(m)).take(back + 1).collect();
        let place = back % all.len().max(1);
        all.get(place)
            .map(|(to, message)| (*to, (*message).clone()))
    }

    /// An answer to a request of the host's.
    pub(super) fn respond(&mut self, take: &mut Take<'_>) {
        let Some((to, request)) = self.message(take, Message::is_request) else {
            return;
        };
        let status = take.of(&STATUS);
        let (tag, flags) = (take.byte() % 4, Flags(take.word()));
        let tag = format!("fork{tag}");
        let tag = (status != 100).then_some(&*tag);
        let built = reply(&request, status, reason_phrase(status), tag, None);
        let begun = built.finish(None);
        let mut text = String::from_utf8_lossy(&begun).into_owned();
        text.truncate(text.len() - "Content-Length: 0\r\n\r\n".len());
        if !flags.has(4) {
            _ = write!(text, "Contact: <sip:12@{to}>\r\n");
        }
        self.options(&mut text, flags, take);
        if flags.has(5) {
            _ = write!(text, "Require: 100rel\r\nRSeq: {}\r\n", take.byte());
        }
        if flags.has(6) {
            text += "Record-Route: <sip:127.0.0.21:5080;lr>, <sip:r2.example;lr>\r\n";
        }
        if flags.has(7) {
            text += "Reason: Q.850;cause=17;text=\"busy\"\r\nRetry-After: 5 (soon);duration=9\r\n";
        }
        if flags.has(8) {
            text += "Contact: <sip:99@elsewhere.example>;q=0.5, <tel:+1>\r\nMin-SE: 1800\r\n";
        }
        self.finish(to, text, flags.has(0), take);
    }

    /// A request within a dialog that a message of the host's tells of; or one that seems to be.
    pub(super) fn request(&mut self, take: &mut Take<'_>) {
        let Some((to, known)) = self.message(take, |m| m.from_tag().is_some()) else {
            return;
        };
        let method = METHODS[usize::from(take.byte()) % METHODS.len()].clone();
        let cseq = match take.byte() {
            0 => known.cseq(),
            n => known.cseq().saturating_add(u32::from(n)).min(0x7fff_ffff),
        };
        let flags = Flags(take.word());
        let from = if flags.has(15) { peer(take) } else { to };
        let text = self.within(&known, from, &method, cseq, take);
        self.extend(text, from, &method, flags, &known, take);
    }

    /// Start line and dialog headers, with ourselves as the sender.
    fn within(
        &mut self,
        known: &Message,
        from: SocketAddr,
        method: &Method,
        cseq: u32,
        take: &mut Take<'_>,
    ) -> String {
        let line = |name| String::from_utf8_lossy(known.header(name).unwrap_or(b"")).into_owned();
        let (mut ours, theirs) = match known.is_request() {
            true => (line(Name::To), line(Name::From)),
            false => (line(Name::From), line(Name::To)),
        };
        if !ours.contains(";tag=") {
            _ = write!(ours, ";tag=fork{}", take.byte() % 4);
        }
        let contact = known.contact().and_then(Result::ok);
        let uri = contact.map_or("sip:127.0.0.1:5060".to_owned(), |c| c.uri.to_owned());
        let branch = self.branch();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{branch}\r\n\
             From: {ours}\r\nTo: {theirs}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Max-Forwards: 70\r\n",
            line(Name::CallId)
        )
    }

    /// What the method wants, and what the flags say.
    fn extend(
        &mut self,
        mut text: String,
        from: SocketAddr,
        method: &Method,
        flags: Flags,
        known: &Message,
        take: &mut Take<'_>,
    ) {
        if !flags.has(4) {
            _ = write!(text, "Contact: <sip:12@{from}>\r\n");
        }
        self.options(&mut text, flags, take);
        match method {
            Method::Prack => {
                let rseq = known.u32_header(Name::RSeq).unwrap_or(1);
                let off = u32::from(flags.has(5));
                _ = write!(
                    text,
                    "RAck: {} {} INVITE\r\n",
                    rseq.saturating_add(off),
                    known.cseq()
                );
            }
            Method::Refer if flags.has(5) => {
                let replaces = self.replaces(take).replace(';', "%3B").replace('=', "%3D");
                _ = write!(
                    text,
                    "Refer-To: <sip:300@x.example?Replaces={replaces}>\r\n"
                );
            }
            Method::Refer => {
                text += take.of(&[
                    "Refer-To: <sip:300@x.example>\r\nReferred-By: <sip:1@x>\r\n",
                    "Refer-To: <sip:300@x.example?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>\r\n",
                    "Refer-To: <tel:+1300>\r\n",
                    "",
                ]);
            }
            Method::Notify => {
                text += take.of(&[
                    "Event: refer\r\nSubscription-State: active\r\n",
                    "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n",
                    "Event: talk\r\n",
                ]);
            }
            _ => {}
        }
        if flags.has(6) {
            text += "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n";
        }
        self.finish(from, text, flags.has(0), take);
    }

    /// The ACK of an answer of the host's to an INVITE.
    pub(super) fn acknowledge(&mut self, take: &mut Take<'_>) {
        let answer = |m: &Message| m.status() >= 200 && *m.method() == Method::Invite;
        let Some((to, answer)) = self.message(take, answer) else {
            return;
        };
        let flags = Flags(take.word());
        let mut text = self.within(&answer, to, &Method::Ack, answer.cseq(), take);
        if answer.status() >= 300 {
            // The ACK of a refusal belongs to the INVITE's transaction.
            let via = String::from_utf8_lossy(answer.header(Name::Via).unwrap_or(b"")).into_owned();
            let lines = text
                .split("\r\n")
                .map(|line| match line.starts_with("Via: ") {
                    true => format!("Via: {via}"),
                    false => line.to_owned(),
                });
            text = lines.collect::<Vec<_>>().join("\r\n");
        }
        self.finish(to, text, flags.has(0), take);
    }

    /// The CANCEL of one of the peers' INVITEs.
    pub(super) fn cancel(&mut self, take: &mut Take<'_>) {
        let back = usize::from(take.byte());
        let invites = self
            .said
            .iter()
            .rev()
            .filter(|s| s.bytes.starts_with(b"INVITE "));
        let invites: Vec<_> = invites.take(back + 1).collect();
        let Some(invite) = invites.get(back % invites.len().max(1)) else {
            return;
        };
        let from = invite.from;
        let text = String::from_utf8_lossy(&invite.bytes).into_owned();
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let kept = head.split("\r\n").filter(|line| {
            ["INVITE ", "Via:", "From:", "To:", "Call-ID:", "CSeq:"]
                .iter()
                .any(|start| line.starts_with(start))
        });
        let cancel = kept
            .collect::<Vec<_>>()
            .join("\r\n")
            .replace("INVITE", "CANCEL")
            + "\r\n";
        self.finish(from, cancel, false, take);
    }

    /// A datagram again: what the network does, or what somebody who listens does from elsewhere.
    pub(super) fn repeat(&mut self, take: &mut Take<'_>) {
        let back = usize::from(take.byte()) % self.said.len().max(1);
        let Some(said) = self.said.iter().rev().nth(back) else {
            return;
        };
        let (mut from, bytes) = (said.from, said.bytes.clone());
        if take.byte() >= 240 {
            from = peer(take);
        }
        self.receive(from, bytes);
    }

    /// A datagram again, some of it changed.
    pub(super) fn mangle(&mut self, take: &mut Take<'_>) {
        let back = usize::from(take.byte()) % self.said.len().max(1);
        let Some(said) = self.said.iter().rev().nth(back) else {
            return;
        };
        let (from, mut bytes) = (said.from, said.bytes.to_vec());
        let at = usize::from(take.word()) % bytes.len().max(1);
        let len = usize::from(take.byte() % 32).min(bytes.len() - at);
        let count = usize::from(take.byte() % 16);
        bytes.splice(at..at + len, take.slice(count).iter().copied());
        self.receive(from, bytes.into());
    }

    fn finish(&mut self, from: SocketAddr, mut text: String, body: bool, take: &mut Take<'_>) {
        match body {
            false => text += "Content-Length: 0\r\n\r\n",
            true => {
                let (kind, body) = take.of(&BODIES);
                _ = write!(
                    text,
                    "Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        }
        self.receive(from, Bytes::from(text));
    }
}
