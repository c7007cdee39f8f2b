//! A model of a PBX or a gateway: just enough of a SIP user agent to place and take calls.
//!
//! Sans-IO like the machines that it calls: bytes in by [`Peer::receive`], time by [`Peer::pass`],
//! bytes out by [`Peer::poll_transmit`], and what happened by [`Peer::call`]. It never retransmits: on loopback
//! nothing is lost, and a message that goes missing is the fault that the demonstration looks for.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use intertrunk_sip::{
    BRANCH_COOKIE, Builder, Message, Method, Name, Read, Uri, read, reason_phrase, reply,
};

/// How long a peer rings before it answers.
const RINGS_FOR: Duration = Duration::from_millis(20);

/// What a peer does with a call that comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Rings, answers, waits for the other side to hang up.
    Answers,
    /// Rings, answers, hangs up itself.
    HangsUp,
    /// Rings and never answers.
    Rings,
    /// Refuses with this code.
    Refuses(u16),
    /// Says nothing at all.
    Silent,
}

/// How far a call has come, seen from one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing but a 100 so far.
    Trying,
    /// An 18x.
    Ringing,
    /// A 2xx, and the ACK to it.
    Answered,
    /// Over after an answer.
    HungUp,
    /// Over without an answer: the final code.
    Refused(u16),
}

/// What the called side saw on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// User part of the Request-URI.
    pub callee: String,
    /// User part of From.
    pub caller: String,
    /// Via values.
    pub vias: usize,
    /// Host and port of the Contact.
    pub contact: String,
}

/// One side of one call.
#[derive(Debug)]
pub struct Side {
    /// How far it has come.
    pub progress: Progress,
    /// What came in; only on the called side.
    pub seen: Option<Seen>,
    /// From and To as this side writes them in its own requests.
    local: String,
    remote: String,
    /// Where requests within the dialog are addressed to.
    target: String,
    cseq: u32,
    invite: Invite,
}

/// The INVITE of a side: what it sent, or what it received.
#[derive(Debug)]
enum Invite {
    Sent {
        branch: String,
    },
    Received {
        message: Box<Message>,
        manner: Manner,
    },
}

/// A PBX or a gateway.
pub struct Peer {
    /// As its trunk is called.
    pub name: &'static str,
    local: SocketAddr,
    host: SocketAddr,
    manner: fn(&str) -> Manner,
    sides: HashMap<String, Side>,
    latest: Option<String>,
    /// Calls that ring and will be answered, and when.
    ringing: VecDeque<(Instant, String)>,
    minted: u32,
    out: VecDeque<Bytes>,
}

impl Peer {
    /// A peer at `local` that sends all that it sends to `host`; `manner` tells by the called
    /// number what it does.
    pub fn new(
        name: &'static str,
        local: SocketAddr,
        host: SocketAddr,
        manner: fn(&str) -> Manner,
    ) -> Peer {
        Peer {
            name,
            local,
            host,
            manner,
            sides: HashMap::new(),
            latest: None,
            ringing: VecDeque::new(),
            minted: 0,
            out: VecDeque::new(),
        }
    }

    /// Calls `callee` and returns the Call-ID.
    pub fn dial(&mut self, caller: &str, callee: &str) -> String {
        let (local, host) = (self.local, self.host);
        let call_id = format!("{}@{local}", self.mint("call"));
        let side = Side {
            progress: Progress::Trying,
            seen: None,
            local: format!("<sip:{caller}@{local}>;tag={}", self.mint("tag")),
            remote: format!("<sip:{callee}@{host}>"),
            target: format!("sip:{callee}@{host}"),
            cseq: 1,
            invite: Invite::Sent {
                branch: self.mint(BRANCH_COOKIE),
            },
        };
        let mut invite = self.request(&Method::Invite, &call_id, &side);
        invite
            .header_fmt(Name::Contact, format_args!("<sip:{local}>"))
            .header(Name::ContentType, "application/sdp");
        self.out.push_back(invite.finish(Some(&description(local))));
        self.sides.insert(call_id.clone(), side);
        call_id
    }

    /// Gives up a call that is ringing (RFC 3261 §9).
    pub fn cancel(&mut self, call_id: &str) {
        let Some(side) = self.sides.get(call_id) else {
            return;
        };
        let cancel = self.request(&Method::Cancel, call_id, side).finish(None);
        self.out.push_back(cancel);
    }

    /// Hangs up an answered call.
    pub fn hang_up(&mut self, call_id: &str) {
        let Some(mut side) = self.sides.remove(call_id) else {
            return;
        };
        side.cseq += 1;
        side.invite = Invite::Sent {
            branch: self.mint(BRANCH_COOKIE),
        };
        let bye = self.request(&Method::Bye, call_id, &side).finish(None);
        self.out.push_back(bye);
        self.sides.insert(call_id.to_owned(), side);
    }

    /// This peer's side of a call.
    pub fn call(&self, call_id: &str) -> Option<&Side> {
        self.sides.get(call_id)
    }

    /// The call that came in last, with its Call-ID.
    pub fn latest(&self) -> Option<(&str, &Side)> {
        let call_id = self.latest.as_deref()?;
        Some((call_id, self.sides.get(call_id)?))
    }

    /// Bytes to send to the host.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Lets time pass: answers what has rung long enough, unless it was given up.
    pub fn pass(&mut self, now: Instant) {
        while let Some((_, call_id)) = self.ringing.pop_front_if(|(due, _)| *due <= now) {
            let Some(side) = self.sides.remove(&call_id) else {
                continue;
            };
            if let (Progress::Ringing, Invite::Received { message, .. }) =
                (side.progress, &side.invite)
            {
                self.answer(message, 200);
            }
            self.sides.insert(call_id, side);
        }
    }

    /// Bytes from the host. What is no good message is a fault of the host that shows as a call
    /// that does not go on.
    pub fn receive(&mut self, bytes: Bytes, now: Instant) {
        let Read::Message(message) = read(bytes, &intertrunk_sip::Limits::default()) else {
            return;
        };
        let call_id = text(message.call_id());
        if !message.is_request() {
            return self.response(&call_id, &message);
        }
        match message.method() {
            Method::Invite if !self.sides.contains_key(&call_id) => {
                self.invited(call_id, message, now);
            }
            Method::Ack => self.acknowledged(&call_id),
            Method::Bye => {
                self.answer(&message, 200);
                self.end(&call_id, Progress::HungUp);
            }
            Method::Cancel => self.cancelled(&call_id, &message),
            // A retransmitted INVITE was answered before; nothing else is ever sent to a peer.
            _ => {}
        }
    }

    fn invited(&mut self, call_id: String, invite: Message, now: Instant) {
        let callee = user_of(invite.request_uri());
        let contact = invite
            .contact()
            .and_then(Result::ok)
            .map_or("", |contact| contact.uri);
        let from = invite
            .from()
            .map(|from| user_of(from.uri))
            .unwrap_or_default();
        let seen = Seen {
            callee: callee.clone(),
            caller: from,
            vias: invite.values(Name::Via).count(),
            contact: host_port_of(contact),
        };
        let manner = (self.manner)(&callee);
        match manner {
            Manner::Silent => {}
            Manner::Refuses(code) => self.answer(&invite, code),
            Manner::Answers | Manner::HangsUp | Manner::Rings => self.answer(&invite, 180),
        }
        if matches!(manner, Manner::Answers | Manner::HangsUp) {
            self.ringing.push_back((now + RINGS_FOR, call_id.clone()));
        }
        let header = |name| invite.header(name).map(text).unwrap_or_default();
        let side = Side {
            progress: match manner {
                Manner::Refuses(code) => Progress::Refused(code),
                Manner::Silent => Progress::Trying,
                Manner::Answers | Manner::HangsUp | Manner::Rings => Progress::Ringing,
            },
            seen: Some(seen),
            local: format!("{};tag={}", header(Name::To), self.tag()),
            remote: header(Name::From),
            target: contact.to_owned(),
            cseq: 0,
            invite: Invite::Received {
                message: Box::new(invite),
                manner,
            },
        };
        self.latest = Some(call_id.clone());
        self.sides.insert(call_id, side);
    }

    fn acknowledged(&mut self, call_id: &str) {
        let Some(side) = self.sides.get_mut(call_id) else {
            return;
        };
        // The ACK to a refusal, or a second ACK, changes nothing.
        if side.progress != Progress::Ringing {
            return;
        }
        side.progress = Progress::Answered;
        if matches!(
            side.invite,
            Invite::Received {
                manner: Manner::HangsUp,
                ..
            }
        ) {
            self.hang_up(call_id);
        }
    }

    fn cancelled(&mut self, call_id: &str, cancel: &Message) {
        self.answer(cancel, 200);
        let Some(side) = self.sides.remove(call_id) else {
            return;
        };
        if let Invite::Received { message, .. } = &side.invite {
            self.answer(message, 487);
        }
        self.sides.insert(
            call_id.to_owned(),
            Side {
                progress: Progress::Refused(487),
                ..side
            },
        );
    }

    fn response(&mut self, call_id: &str, response: &Message) {
        let status = response.status();
        match response.method() {
            Method::Invite if status <= 100 => {}
            Method::Invite if status < 200 => {
                if let Some(side) = self.sides.get_mut(call_id) {
                    side.progress = Progress::Ringing;
                }
            }
            Method::Invite => self.decided(call_id, response),
            Method::Bye => self.end(call_id, Progress::HungUp),
            // The answer to CANCEL says nothing: the INVITE's own follows.
            _ => {}
        }
    }

    /// The final answer to our INVITE, and the ACK to it.
    fn decided(&mut self, call_id: &str, response: &Message) {
        let Some(mut side) = self.sides.remove(call_id) else {
            return;
        };
        let first = matches!(side.progress, Progress::Trying | Progress::Ringing);
        side.remote = response.header(Name::To).map(text).unwrap_or_default();
        if response.status() >= 300 {
            side.progress = Progress::Refused(response.status());
        } else if first {
            side.progress = Progress::Answered;
            let contact = response.contact().and_then(Result::ok);
            side.target = contact.map(|c| c.uri.to_owned()).unwrap_or_default();
            // The ACK to a 2xx is a transaction of its own (RFC 3261 §13.2.2.4).
            side.invite = Invite::Sent {
                branch: self.mint(BRANCH_COOKIE),
            };
        }
        let ack = self.request(&Method::Ack, call_id, &side).finish(None);
        self.out.push_back(ack);
        self.sides.insert(call_id.to_owned(), side);
    }

    fn end(&mut self, call_id: &str, progress: Progress) {
        if let Some(side) = self.sides.get_mut(call_id) {
            side.progress = progress;
        }
    }

    /// The head of a request of this side.
    fn request(&self, method: &Method, call_id: &str, side: &Side) -> Builder {
        let branch = match &side.invite {
            Invite::Sent { branch } => branch.as_str(),
            Invite::Received { .. } => BRANCH_COOKIE,
        };
        let mut request = Builder::request(method, &side.target);
        request
            .header_fmt(
                Name::Via,
                format_args!("SIP/2.0/UDP {};branch={branch}", self.local),
            )
            .header(Name::From, &side.local)
            .header(Name::To, &side.remote)
            .header(Name::CallId, call_id)
            .header_fmt(Name::CSeq, format_args!("{} {method}", side.cseq))
            .header(Name::MaxForwards, "70");
        request
    }

    fn answer(&mut self, request: &Message, status: u16) {
        let tag = self.tag();
        let mut answer = reply(request, status, reason_phrase(status), Some(&tag), None);
        let mut body = None;
        if *request.method() == Method::Invite && status < 300 {
            answer.header_fmt(Name::Contact, format_args!("<sip:{}>", self.local));
            if status >= 200 {
                answer.header(Name::ContentType, "application/sdp");
                body = Some(description(self.local));
            }
        }
        self.out.push_back(answer.finish(body.as_deref()));
    }

    /// The tag of all calls that this peer takes: the Call-ID and the other tag tell them apart.
    fn tag(&self) -> String {
        format!("{}-taken", self.name)
    }

    fn mint(&mut self, prefix: &str) -> String {
        self.minted += 1;
        format!("{prefix}-{}-{}", self.name, self.minted)
    }
}

/// A session description with one audio stream (RFC 4566).
fn description(local: SocketAddr) -> Vec<u8> {
    let ip = local.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
    .into_bytes()
}

fn user_of(uri: &str) -> String {
    Uri::parse(uri)
        .map(|uri| uri.user_decoded().into_owned())
        .unwrap_or_default()
}

fn host_port_of(uri: &str) -> String {
    let address = Uri::parse(uri).ok().and_then(|uri| uri.socket_addr());
    address
        .map(|address| address.to_string())
        .unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Manner, Peer, Progress, RINGS_FOR};
    use std::net::SocketAddr;
    use std::time::Instant;

    const ALICE: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
    const BOB: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2);

    fn pair(manner: fn(&str) -> Manner) -> (Peer, Peer) {
        (
            Peer::new("alice", ALICE, BOB, manner),
            Peer::new("bob", BOB, ALICE, manner),
        )
    }

    /// Carries messages both ways until both are quiet.
    fn settle(alice: &mut Peer, bob: &mut Peer, now: Instant) {
        alice.pass(now);
        bob.pass(now);
        loop {
            if let Some(bytes) = alice.poll_transmit() {
                bob.receive(bytes, now);
            } else if let Some(bytes) = bob.poll_transmit() {
                alice.receive(bytes, now);
            } else {
                break;
            }
        }
    }

    fn progress(peer: &Peer, call_id: &str) -> Option<Progress> {
        peer.call(call_id).map(|side| side.progress)
    }

    #[test]
    fn two_peers_hold_a_call_and_the_caller_ends_it() {
        let (mut alice, mut bob) = pair(|_| Manner::Answers);
        let now = Instant::now();
        let call = alice.dial("100", "200");
        settle(&mut alice, &mut bob, now);
        assert_eq!(progress(&alice, &call), Some(Progress::Ringing));
        settle(&mut alice, &mut bob, now + RINGS_FOR);
        assert_eq!(progress(&alice, &call), Some(Progress::Answered));
        assert_eq!(progress(&bob, &call), Some(Progress::Answered));
        let seen = bob
            .call(&call)
            .and_then(|side| side.seen.clone())
            .unwrap_or_default();
        assert_eq!((&*seen.callee, &*seen.caller, seen.vias), ("200", "100", 1));
        assert_eq!(seen.contact, ALICE.to_string());
        alice.hang_up(&call);
        settle(&mut alice, &mut bob, now + RINGS_FOR);
        assert_eq!(progress(&alice, &call), Some(Progress::HungUp));
        assert_eq!(progress(&bob, &call), Some(Progress::HungUp));
    }

    #[test]
    fn the_called_side_can_end_it() {
        let (mut alice, mut bob) = pair(|_| Manner::HangsUp);
        let now = Instant::now();
        let call = alice.dial("100", "200");
        settle(&mut alice, &mut bob, now);
        settle(&mut alice, &mut bob, now + RINGS_FOR);
        assert_eq!(progress(&alice, &call), Some(Progress::HungUp));
        assert_eq!(progress(&bob, &call), Some(Progress::HungUp));
    }

    #[test]
    fn a_ringing_call_can_be_given_up_and_a_refused_one_is_over() {
        let (mut alice, mut bob) = pair(|callee| {
            if callee == "200" {
                Manner::Rings
            } else {
                Manner::Refuses(486)
            }
        });
        let now = Instant::now();
        let call = alice.dial("100", "200");
        settle(&mut alice, &mut bob, now);
        assert_eq!(progress(&alice, &call), Some(Progress::Ringing));
        alice.cancel(&call);
        settle(&mut alice, &mut bob, now);
        assert_eq!(progress(&alice, &call), Some(Progress::Refused(487)));
        assert_eq!(progress(&bob, &call), Some(Progress::Refused(487)));
        let call = alice.dial("100", "300");
        settle(&mut alice, &mut bob, now);
        assert_eq!(progress(&alice, &call), Some(Progress::Refused(486)));
    }
}
