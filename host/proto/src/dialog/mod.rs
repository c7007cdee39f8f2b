//! Dialogs (RFC 3261 §12): the state of one peer relationship, and the requests that it prints.
//!
//! A call has two, one for each leg, with nothing in common: own Call-ID, tags, CSeq and Contact.

pub(crate) mod reliable;
pub(crate) mod session_timer;

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;
use intertrunk_sip::{BRANCH_COOKIE, Builder, Message, Method, Name, NameAddr, Scheme, Token, Uri};

use crate::io::Flow;
use crate::listener::{Listener, Listeners, Transport};

/// One dialog, from our side. Before the peer has answered with a tag it is early and unnamed.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: Box<[u8]>,
    pub(crate) local_tag: Token,
    pub(crate) remote_tag: Option<Box<[u8]>>,
    /// From of our requests: name-addr and tag.
    local: Box<[u8]>,
    /// To of our requests: name-addr, and the peer's tag once there is one.
    remote: Box<[u8]>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// The peer's Contact: Request-URI of our requests.
    target: Box<str>,
    route_set: Vec<Box<[u8]>>,
    /// Where our requests go.
    flow: Flow,
    /// All that we have: the peer may ask for another transport.
    listeners: Listeners,
    /// It was asked for by a `sips` URI: so is our Contact (RFC 3261 §8.1.1.8, §12.1.1).
    secure: bool,
}

/// What a request of a dialog is made for.
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a Method,
    pub(crate) branch: Token,
    pub(crate) max_forwards: u8,
}

impl Dialog {
    /// The dialog that an INVITE from a peer begins (RFC 3261 §12.1.1).
    pub(crate) fn of_invite(
        invite: &Message,
        local_tag: Token,
        flow: Flow,
        listeners: &Listeners,
    ) -> Dialog {
        let to = invite.header(Name::To).unwrap_or_default();
        let mut dialog = Dialog {
            call_id: invite.call_id().into(),
            local_tag,
            remote_tag: invite.from_tag().map(Into::into),
            local: with_tag(to, local_tag),
            remote: invite.header(Name::From).unwrap_or_default().into(),
            local_cseq: 0,
            remote_cseq: Some(invite.cseq()),
            target: Box::default(),
            route_set: invite.values(Name::RecordRoute).map(Into::into).collect(),
            flow,
            listeners: listeners.clone(),
            secure: is_sips(invite.request_uri()),
        };
        dialog.refresh_target(invite);
        dialog
    }

    /// The dialog that our INVITE asks for. `local` and `remote` are name-addrs without tags.
    pub(crate) fn to_peer(
        call_id: &str,
        local_tag: Token,
        local: &str,
        remote: &str,
        target: &str,
        flow: Flow,
        listeners: &Listeners,
    ) -> Dialog {
        Dialog {
            call_id: call_id.as_bytes().into(),
            local_tag,
            remote_tag: None,
            local: with_tag(local.as_bytes(), local_tag),
            remote: remote.as_bytes().into(),
            local_cseq: 0,
            remote_cseq: None,
            target: target.into(),
            route_set: Vec::new(),
            flow,
            listeners: listeners.clone(),
            secure: is_sips(target),
        }
    }

    /// The dialog that a response to our INVITE makes of an early one (RFC 3261 §12.1.2). Each To
    /// tag is a dialog of its own: forks share only the beginning.
    pub(crate) fn answered(&self, response: &Message) -> Dialog {
        let mut dialog = self.clone();
        dialog.remote_tag = response.to_tag().map(Into::into);
        dialog.remote = response.header(Name::To).unwrap_or(&self.remote).into();
        dialog.route_set = response.values(Name::RecordRoute).map(Into::into).collect();
        dialog.route_set.reverse();
        dialog.refresh_target(response);
        dialog
    }

    /// The 2xx that makes this early dialog a confirmed one: its route set is the 2xx's
    /// (RFC 3261 §13.2.2.4), its numbers go on.
    pub(crate) fn confirm(&mut self, response: &Message) {
        let answered = self.answered(response);
        *self = answered;
    }

    /// Answers the same INVITE as another dialog: with a tag of its own, and numbers of the peer that
    /// go on from the INVITE's.
    pub(crate) fn answer_as(&mut self, tag: Token, invite_cseq: u32) {
        let length = self.local.len() - Token::CHARS;
        let mut local = self.local[..length].to_vec();
        local.extend_from_slice(tag.to_string().as_bytes());
        self.local = local.into();
        self.local_tag = tag;
        self.remote_cseq = Some(invite_cseq);
    }

    /// Takes a new remote target from a Contact (RFC 3261 §12.2), if it has a usable one.
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Some(Ok(contact)) = message.contact()
            && Uri::parse(contact.uri).is_ok()
        {
            self.target = without_headers(contact.uri).into();
        }
        if let Some((remote, asked)) = self.next_hop() {
            self.go_to(remote, asked);
        }
    }

    /// The peer's address with its tag, as in To of our requests.
    pub(crate) fn peer(&self) -> &[u8] {
        &self.remote
    }

    /// Sends requests to this address from now on, by the transport that is asked for if we have
    /// it. Who asks for none keeps the one that there is.
    fn go_to(&mut self, remote: SocketAddr, asked: Option<Transport>) {
        let Flow {
            listener,
            remote: before,
            connection,
        } = self.flow;
        let ours = self.listeners.transport(listener);
        let same_host = remote.ip() == before.ip();
        if asked.is_none() && ours.is_reliable() && same_host && connection.is_none() {
            // Deviation: RFC 3263 §4.1 says UDP for such a URI. Peers that take calls over a stream
            // often leave its transport out of their Contact; we know where they can be reached.
            return;
        }
        let Some(by) = self.listeners.beside(listener, asked.unwrap_or(ours)) else {
            return;
        };
        let stays = same_host && by.id == listener;
        self.flow = Flow {
            listener: by.id,
            remote,
            connection: connection.filter(|_| stays),
        };
    }

    /// Takes note of a request of the peer that came in on another connection than those before:
    /// ours goes back on that.
    pub(crate) fn heard_on(&mut self, flow: Flow) {
        let mine = &mut self.flow;
        let same = flow.listener == mine.listener && flow.remote.ip() == mine.remote.ip();
        if mine.connection.is_some() && flow.connection.is_some() && same {
            mine.connection = flow.connection;
        }
    }

    /// Our side of it.
    pub(crate) fn listener(&self) -> &Listener {
        let found = self.listeners.get(self.flow.listener);
        found.expect("flows are made of listeners that there are")
    }

    /// Our Contact: requests to it come in on the same listener.
    pub(crate) fn contact(&self) -> String {
        ["<", &self.uri_at_us(""), ">"].concat()
    }

    /// The URI by which the peer reaches us; `user_at` is empty, or a user part and `@`.
    pub(crate) fn uri_at_us(&self, user_at: &str) -> String {
        let ours = self.listener();
        let (scheme, transport) = match self.secure {
            true => ("sips:", ""),
            false => ("sip:", ours.transport.as_uri_param()),
        };
        [scheme, user_at, &ours.advertise, transport].concat()
    }

    /// Where requests of this dialog are sent.
    pub(crate) fn flow(&self) -> Flow {
        self.flow
    }

    /// Whether a message of the peer belongs here: same Call-ID and the peer's tag.
    pub(crate) fn is_with(&self, call_id: &[u8], remote_tag: Option<&[u8]>) -> bool {
        *self.call_id == *call_id && self.remote_tag.as_deref() == remote_tag
    }

    /// Takes note of a request's CSeq; false if it is older than one seen (RFC 3261 §12.2.2).
    pub(crate) fn accept_cseq(&mut self, cseq: u32) -> bool {
        let fresh = self.remote_cseq.is_none_or(|last| cseq > last);
        if fresh {
            self.remote_cseq = Some(cseq);
        }
        fresh
    }

    /// CSeq of our latest request.
    pub(crate) fn last_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Goes on above this number.
    pub(crate) fn skip_cseq(&mut self, used: u32) {
        self.local_cseq = self.local_cseq.max(used);
    }

    /// Begins a request with the next CSeq: everything but Contact, other headers and body.
    pub(crate) fn request(&mut self, line: &RequestLine<'_>) -> Builder {
        self.local_cseq += 1;
        self.print(line, self.local_cseq)
    }

    /// Begins the ACK of a 2xx to our INVITE with this CSeq (RFC 3261 §13.2.2.4).
    pub(crate) fn ack(&self, cseq: u32, branch: Token) -> Builder {
        let line = RequestLine {
            method: &Method::Ack,
            branch,
            max_forwards: 70,
        };
        self.print(&line, cseq)
    }

    /// The same request again with the next CSeq, after its headers of the session timer were
    /// refused (RFC 4028 §7.3): `print` writes those anew.
    pub(crate) fn again(
        &mut self,
        sent: &Bytes,
        branch: Token,
        print: impl FnOnce(&mut Builder),
    ) -> Bytes {
        let sent = Message::parse(sent.clone()).expect("we have sent it");
        let line = RequestLine {
            method: sent.method(),
            branch,
            max_forwards: sent.max_forwards().unwrap_or(70),
        };
        let mut b = self.request(&line);
        for line in sent.lines() {
            let anew = matches!(
                line.name,
                Name::Via
                    | Name::Route
                    | Name::MaxForwards
                    | Name::From
                    | Name::To
                    | Name::CallId
                    | Name::CSeq
                    | Name::ContentLength
                    | Name::SessionExpires
                    | Name::MinSe
            );
            if !anew {
                b.raw_line(line.raw);
            }
        }
        print(&mut b);
        b.finish(Some(&sent.body()))
    }

    fn print(&self, line: &RequestLine<'_>, cseq: u32) -> Builder {
        let listener = self.listener();
        let (uri, routes) = self.routed();
        let mut b = Builder::request(line.method, uri);
        let via: [&[u8]; 7] = [
            b"SIP/2.0/",
            listener.transport.as_via().as_bytes(),
            b" ",
            listener.advertise.as_bytes(),
            b";rport;branch=",
            BRANCH_COOKIE.as_bytes(),
            &line.branch.text(),
        ];
        b.header_parts(Name::Via, &via);
        for route in routes {
            b.header(Name::Route, route);
        }
        b.header_number(Name::MaxForwards, line.max_forwards.into(), &[]);
        b.header(Name::From, &self.local);
        b.header(Name::To, &self.remote);
        b.header(Name::CallId, &self.call_id);
        let method = line.method.as_str().as_bytes();
        b.header_number(Name::CSeq, cseq, &[b" ", method]);
        b
    }

    /// Request-URI and Route values (RFC 3261 §12.2.1.1): a first route without `lr` is a strict
    /// router, and takes the Request-URI's place.
    fn routed(&self) -> (&str, Vec<Cow<'_, [u8]>>) {
        let routes = || self.route_set.iter().map(|r| Cow::Borrowed(&**r));
        match self.route_set.first().and_then(|r| NameAddr::parse(r).ok()) {
            Some(first) if !is_loose(&first) => {
                // A Route value is a name-addr, never a bare URI.
                let target = Cow::Owned(format!("<{}>", self.target).into_bytes());
                (
                    without_headers(first.uri),
                    routes().skip(1).chain(std::iter::once(target)).collect(),
                )
            }
            _ => (&self.target, routes().collect()),
        }
    }

    /// The literal address that requests go to, if the next hop has one, and the transport that it
    /// asks for. A name keeps the flow that the dialog began on.
    fn next_hop(&self) -> Option<(SocketAddr, Option<Transport>)> {
        let first = self.route_set.first().and_then(|r| NameAddr::parse(r).ok());
        let uri = first.as_ref().map_or(&*self.target, |f| f.uri);
        let uri = Uri::parse(uri).ok()?;
        Some((uri.socket_addr()?, Transport::asked_by(&uri)))
    }
}

/// From of our requests.
fn with_tag(local: &[u8], tag: Token) -> Box<[u8]> {
    [local, b";tag=", &tag.text()].concat().into()
}

pub(crate) fn is_sips(uri: &str) -> bool {
    Uri::parse(uri).is_ok_and(|uri| uri.scheme == Scheme::Sips)
}

/// A URI as it may stand in a request line: without `?headers` (RFC 3261 §19.1.1).
fn without_headers(uri: &str) -> &str {
    let headers = Uri::parse(uri).ok().and_then(|u| u.headers);
    &uri[..uri.len() - headers.map_or(0, |h| h.len() + 1)]
}

fn is_loose(route: &NameAddr<'_>) -> bool {
    route.uri().is_ok_and(|uri| uri.params.get("lr").is_some())
}

/// The ACK of a 3xx to 6xx, made of the INVITE that it answers (RFC 3261 §17.1.1.3).
pub(crate) fn ack_of_failure(invite: &Bytes, failure: &Message) -> Option<Bytes> {
    let to = failure.header(Name::To)?;
    Some(same_hop(invite, &Method::Ack, Some(to))?.finish(None))
}

/// The CANCEL of an INVITE that we sent (RFC 3261 §9.1).
pub(crate) fn cancel_of(invite: &Bytes) -> Option<Builder> {
    same_hop(invite, &Method::Cancel, None)
}

/// A request that goes the way of an INVITE: same Request-URI, top Via, Route, From and Call-ID.
fn same_hop(invite: &Bytes, method: &Method, to: Option<&[u8]>) -> Option<Builder> {
    let invite = Message::parse(invite.clone()).ok()?;
    let mut b = Builder::request(method, invite.request_uri());
    b.header(Name::Via, invite.values(Name::Via).next()?);
    for route in invite.values(Name::Route) {
        b.header(Name::Route, route);
    }
    b.header(Name::MaxForwards, "70");
    b.header(Name::From, invite.header(Name::From)?);
    b.header(Name::To, to.or_else(|| invite.header(Name::To))?);
    b.header(Name::CallId, invite.call_id());
    let method = method.as_str().as_bytes();
    b.header_number(Name::CSeq, invite.cseq(), &[b" ", method]);
    Some(b)
}

#[cfg(test)]
mod tests;
