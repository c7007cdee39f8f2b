//! Dialogs (RFC 3261 §12): the state of one peer relationship, and the requests that it prints.
//!
//! A call has two, one for each leg, with nothing in common: own Call-ID, tags, CSeq and Contact.

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;
use intertrunk_sip::{BRANCH_COOKIE, Builder, Message, Method, Name, NameAddr, Token, Uri};

use crate::io::Flow;
use crate::snapshot::Listener;

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
}

/// What a request of a dialog is made for.
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a Method,
    pub(crate) branch: Token,
    pub(crate) max_forwards: u8,
}

impl Dialog {
    /// The dialog that an INVITE from a peer begins (RFC 3261 §12.1.1).
    pub(crate) fn of_invite(invite: &Message, local_tag: Token, flow: Flow) -> Dialog {
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

    /// Takes a new remote target from a Contact (RFC 3261 §12.2), if it has a usable one.
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Some(Ok(contact)) = message.contact()
            && Uri::parse(contact.uri).is_ok()
        {
            self.target = without_headers(contact.uri).into();
        }
        if let Some(remote) = self.next_hop() {
            self.flow.remote = remote;
        }
    }

    /// The peer's address with its tag, as in To of our requests.
    pub(crate) fn peer(&self) -> &[u8] {
        &self.remote
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

    /// Begins a request with the next CSeq: everything but Contact, other headers and body.
    pub(crate) fn request(&mut self, line: &RequestLine<'_>, listener: &Listener) -> Builder {
        self.local_cseq += 1;
        self.print(line, self.local_cseq, listener)
    }

    /// Begins the ACK of a 2xx to our INVITE with this CSeq (RFC 3261 §13.2.2.4).
    pub(crate) fn ack(&self, cseq: u32, branch: Token, listener: &Listener) -> Builder {
        let line = RequestLine {
            method: &Method::Ack,
            branch,
            max_forwards: 70,
        };
        self.print(&line, cseq, listener)
    }

    fn print(&self, line: &RequestLine<'_>, cseq: u32, listener: &Listener) -> Builder {
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

    /// The literal address that requests go to, if the next hop has one. A name keeps the flow
    /// that the dialog began on.
    fn next_hop(&self) -> Option<SocketAddr> {
        let first = self.route_set.first().and_then(|r| NameAddr::parse(r).ok());
        let uri = first.as_ref().map_or(&*self.target, |f| f.uri);
        Uri::parse(uri).ok()?.socket_addr()
    }
}

/// From of our requests.
fn with_tag(local: &[u8], tag: Token) -> Box<[u8]> {
    [local, b";tag=", &tag.text()].concat().into()
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
mod tests {
    use bytes::Bytes;
    use intertrunk_sip::{Message, Method, Name, Token};

    use super::{Dialog, RequestLine, ack_of_failure, cancel_of};
    use crate::io::{Flow, ListenerId};
    use crate::snapshot::{Listener, Transport};

    const OURS: Token = Token(1);

    fn flow() -> Flow {
        Flow {
            listener: ListenerId(0),
            remote: "192.0.2.7:5070".parse().expect("a literal"),
        }
    }

    fn listener() -> Listener {
        Listener {
            id: ListenerId(0),
            name: "udp".into(),
            local: "192.0.2.1:5060".parse().expect("a literal"),
            advertise: "sbc.example.com:5060".into(),
            transport: Transport::Udp,
        }
    }

    fn message(start: &str, to: &str, more: &str) -> Message {
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: \"A\" <sip:2@x>;tag=a\r\nTo: {to}\r\nCall-ID: c@x\r\nCSeq: 7 INVITE\r\n\
             {more}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).expect("a legal message")
    }

    fn invite(more: &str) -> Message {
        message("INVITE sip:1@192.0.2.1 SIP/2.0", "<sip:1@y>", more)
    }

    /// The 200 to our INVITE, with these lines.
    fn ok(more: &str) -> Message {
        message("SIP/2.0 200 OK", "<sip:1@y>;tag=b", more)
    }

    fn as_uas(more: &str) -> Dialog {
        Dialog::of_invite(&invite(more), OURS, flow())
    }

    fn as_uac() -> Dialog {
        let target = "sip:1@gw.example.com";
        Dialog::to_peer("c@x", OURS, "\"A\" <sip:2@x>", "<sip:1@y>", target, flow())
    }

    fn bye(dialog: &mut Dialog) -> Message {
        let line = RequestLine {
            method: &Method::Bye,
            branch: Token(9),
            max_forwards: 69,
        };
        let bytes = dialog.request(&line, &listener()).finish(None);
        Message::parse(bytes).expect("a legal BYE")
    }

    fn text(message: &Message, name: Name) -> String {
        let lines: Vec<_> = message.headers(name).map(String::from_utf8_lossy).collect();
        lines.join(" | ")
    }

    /// Request-URI, Route lines and destination of the next request.
    fn way(dialog: &mut Dialog) -> (String, String, String) {
        let bye = bye(dialog);
        let to = dialog.flow().remote.to_string();
        (bye.request_uri().to_owned(), text(&bye, Name::Route), to)
    }

    fn ways(uri: &str, routes: &str, to: &str) -> (String, String, String) {
        (uri.to_owned(), routes.to_owned(), to.to_owned())
    }

    /// RFC 3261 §12.1.1
    #[test]
    fn an_invite_makes_a_dialog_with_the_roles_turned() {
        let mut dialog = as_uas("Contact: <sip:2@192.0.2.8:5080>\r\n");
        assert!(dialog.is_with(b"c@x", Some(b"a")));
        assert!(!dialog.is_with(b"c@x", Some(b"b")) && !dialog.is_with(b"c@x", None));
        assert!(!dialog.is_with(b"C@x", Some(b"a")), "Call-IDs have case");
        let bye = bye(&mut dialog);
        let names = [Name::From, Name::To, Name::CallId, Name::CSeq, Name::Via];
        assert_eq!(
            names.map(|name| text(&bye, name)),
            [
                format!("<sip:1@y>;tag={OURS}"),
                "\"A\" <sip:2@x>;tag=a".to_owned(),
                "c@x".to_owned(),
                "1 BYE".to_owned(),
                format!(
                    "SIP/2.0/UDP sbc.example.com:5060;rport;branch=z9hG4bK{}",
                    Token(9)
                ),
            ]
        );
        assert_eq!(bye.request_uri(), "sip:2@192.0.2.8:5080");
        assert_eq!(bye.max_forwards(), Some(69));
        assert_eq!(dialog.flow().remote.to_string(), "192.0.2.8:5080");
    }

    /// RFC 3261 §12.1.2
    #[test]
    fn each_answer_to_our_invite_is_a_dialog_of_its_own() {
        let mut early = as_uac();
        let line = RequestLine {
            method: &Method::Invite,
            branch: Token(2),
            max_forwards: 70,
        };
        let bytes = early.request(&line, &listener()).finish(None);
        let sent = Message::parse(bytes).expect("a legal INVITE");
        assert_eq!(sent.request_uri(), "sip:1@gw.example.com");
        assert_eq!((sent.to_tag(), sent.cseq()), (None, 1));
        assert!(early.is_with(b"c@x", None));
        let mut b = early.answered(&ok("Contact: <sip:1@192.0.2.9>\r\n"));
        let other = message("SIP/2.0 180 Ringing", "<sip:1@y>;tag=z", "");
        let z = early.answered(&other);
        assert!(b.is_with(b"c@x", Some(b"b")) && z.is_with(b"c@x", Some(b"z")));
        let to = z.flow().remote;
        assert_eq!(to, flow().remote, "no Contact: where the INVITE went");
        let bye = bye(&mut b);
        assert_eq!(
            text(&bye, Name::From),
            format!("\"A\" <sip:2@x>;tag={OURS}")
        );
        assert_eq!(text(&bye, Name::To), "<sip:1@y>;tag=b");
        assert_eq!(bye.request_uri(), "sip:1@192.0.2.9");
        assert_eq!((bye.cseq(), b.last_cseq(), early.last_cseq()), (2, 2, 1));
    }

    #[test]
    fn a_called_side_takes_the_route_set_in_order_and_a_calling_side_in_reverse() {
        let routes = "Record-Route: <sip:192.0.2.50;lr>, <sip:p2.example.com;lr>\r\n\
                      Record-Route: <sip:192.0.2.52:5080;lr;x=1>\r\n\
                      Contact: <sip:9@192.0.2.8>\r\n";
        let uri = "sip:9@192.0.2.8";
        let set = "<sip:192.0.2.50;lr> | <sip:p2.example.com;lr> | <sip:192.0.2.52:5080;lr;x=1>";
        let expected = ways(uri, set, "192.0.2.50:5060");
        assert_eq!(way(&mut as_uas(routes)), expected);
        let set = "<sip:192.0.2.52:5080;lr;x=1> | <sip:p2.example.com;lr> | <sip:192.0.2.50;lr>";
        let expected = ways(uri, set, "192.0.2.52:5080");
        assert_eq!(way(&mut as_uac().answered(&ok(routes))), expected);
    }

    /// RFC 3261 §12.2.1.1
    #[test]
    fn a_strict_router_takes_the_place_of_the_request_uri() {
        let routes = "Record-Route: <sip:192.0.2.50>, <sip:p2.example.com;lr>\r\n\
                      Contact: <sip:9@192.0.2.8;x=1>\r\n";
        let set = "<sip:p2.example.com;lr> | <sip:9@192.0.2.8;x=1>";
        let expected = ways("sip:192.0.2.50", set, "192.0.2.50:5060");
        assert_eq!(way(&mut as_uas(routes)), expected);
        let later = "Record-Route: <sip:192.0.2.51;lr>, <sip:192.0.2.50>\r\n\
                     Contact: <sip:9@192.0.2.8>\r\n";
        let set = "<sip:192.0.2.51;lr> | <sip:192.0.2.50>";
        let expected = ways("sip:9@192.0.2.8", set, "192.0.2.51:5060");
        assert_eq!(
            way(&mut as_uas(later)),
            expected,
            "only the first one counts"
        );
    }

    /// RFC 3261 §12.2: the target moves, the route set stays.
    #[test]
    fn a_contact_moves_the_target_and_nothing_else() {
        let mut dialog = as_uas("Contact: <sip:2@192.0.2.8>\r\n");
        let move_to = |dialog: &mut Dialog, more: &str| {
            dialog.refresh_target(&invite(more));
            way(dialog)
        };
        let moved = ways("sip:2@192.0.2.9:5090", "", "192.0.2.9:5090");
        let more = "Record-Route: <sip:192.0.2.50;lr>\r\nContact: <sip:2@192.0.2.9:5090>\r\n";
        assert_eq!(move_to(&mut dialog, more), moved);
        assert_eq!(move_to(&mut dialog, ""), moved, "no Contact");
        let named = ways("sip:2@pbx.example.com", "", "192.0.2.9:5090");
        let more = "Contact: <sip:2@pbx.example.com>\r\n";
        assert_eq!(
            move_to(&mut dialog, more),
            named,
            "a name keeps the flow that there is"
        );
        let more = "Record-Route: <sip:192.0.2.50;lr>\r\nContact: <sip:2@192.0.2.8>\r\n";
        let mut routed = as_uas(more);
        let expected = ways("sip:2@192.0.2.9", "<sip:192.0.2.50;lr>", "192.0.2.50:5060");
        let more = "Contact: <sip:2@192.0.2.9>\r\n";
        assert_eq!(move_to(&mut routed, more), expected);
    }

    #[test]
    fn a_target_has_no_headers() {
        let more = "Contact: <sip:2@192.0.2.8;x=1?Subject=a&Priority=b>\r\n";
        assert_eq!(bye(&mut as_uas(more)).request_uri(), "sip:2@192.0.2.8;x=1");
    }

    /// RFC 3261 §12.2.2
    #[test]
    fn a_peer_counts_upwards() {
        let mut dialog = as_uas("");
        assert!(!dialog.accept_cseq(6) && !dialog.accept_cseq(7));
        assert!(dialog.accept_cseq(9), "gaps are legal");
        assert!(!dialog.accept_cseq(8));
        let mut dialog = as_uac().answered(&ok(""));
        assert!(dialog.accept_cseq(1), "its first request starts the count");
        assert!(!dialog.accept_cseq(1));
    }

    /// RFC 3261 §13.2.2.4
    #[test]
    fn the_ack_of_a_2xx_goes_the_dialogs_way() {
        let more = "Record-Route: <sip:192.0.2.50;lr>\r\nContact: <sip:1@192.0.2.9>\r\n";
        let dialog = as_uac().answered(&ok(more));
        let bytes = dialog.ack(7, Token(9), &listener()).finish(None);
        let ack = Message::parse(bytes).expect("a legal ACK");
        assert_eq!((ack.method(), ack.cseq()), (&Method::Ack, 7));
        assert_eq!(ack.request_uri(), "sip:1@192.0.2.9");
        assert_eq!(text(&ack, Name::Route), "<sip:192.0.2.50;lr>");
        assert_eq!(text(&ack, Name::To), "<sip:1@y>;tag=b");
        assert_eq!(dialog.last_cseq(), 0, "an ACK is not counted");
    }

    /// An INVITE that went through a proxy of ours, with all that its ACK and CANCEL copy.
    fn routed_invite() -> Bytes {
        let more = "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK0\r\n\
                    Route: <sip:192.0.2.50;lr>, <sip:p2.example.com;lr>\r\n\
                    Contact: <sip:2@192.0.2.1>\r\nSubject: x\r\n";
        invite(more).bytes().clone()
    }

    fn assert_same_hop(message: &Message) {
        assert_eq!(message.request_uri(), "sip:1@192.0.2.1");
        assert_eq!(
            text(message, Name::Via),
            "SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1",
            "the top one alone"
        );
        let routes = "<sip:192.0.2.50;lr> | <sip:p2.example.com;lr>";
        assert_eq!(text(message, Name::Route), routes);
        assert_eq!(text(message, Name::From), "\"A\" <sip:2@x>;tag=a");
        assert_eq!((message.call_id(), message.cseq()), (&b"c@x"[..], 7));
        assert!(!message.has_body() && message.header(Name::Contact).is_none());
    }

    /// RFC 3261 §17.1.1.3
    #[test]
    fn the_ack_of_a_failure_goes_the_invites_way() {
        let failure = message("SIP/2.0 486 Busy", "<sip:1@elsewhere>;tag=b", "");
        let bytes = ack_of_failure(&routed_invite(), &failure).expect("an INVITE");
        let ack = Message::parse(bytes).expect("a legal ACK");
        assert_same_hop(&ack);
        assert_eq!(text(&ack, Name::CSeq), "7 ACK");
        assert_eq!(text(&ack, Name::To), "<sip:1@elsewhere>;tag=b");
    }

    /// RFC 3261 §9.1
    #[test]
    fn a_cancel_goes_the_invites_way() {
        let bytes = cancel_of(&routed_invite()).expect("an INVITE").finish(None);
        let cancel = Message::parse(bytes).expect("a legal CANCEL");
        assert_same_hop(&cancel);
        assert_eq!(text(&cancel, Name::CSeq), "7 CANCEL");
        assert_eq!(text(&cancel, Name::To), "<sip:1@y>", "as in the INVITE");
    }
}
