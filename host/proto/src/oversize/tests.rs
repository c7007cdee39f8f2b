//! Which way a large request goes, and what follows it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_sip::{Message, Method, Token};

use crate::call::CallKey;
use crate::core::Core;
use crate::dialog::{Dialog, RequestLine, cancel_of};
use crate::io::{Flow, ListenerId, Output, TransmitId};
use crate::listener::Transport;
use crate::listener::tests::listeners;
use crate::snapshot::Snapshot;
use crate::transaction::{ClientKey, Owner, Sending};
use crate::trunk::tests::trunk;
use crate::trunk::{Oversize, Peer};

const PEER: &str = "192.0.2.7:5070";

/// A host with these listeners and one trunk, whose only peer is [`PEER`].
fn core(transports: &[(Transport, &str)], oversize: Oversize) -> Core {
    let mut gw = trunk(0, "gw", Vec::new());
    gw.peers = vec![Peer::at(PEER.parse().expect("a literal"))];
    gw.oversize = oversize;
    let mut snapshot = Snapshot::new("t", Vec::new(), vec![gw], Vec::new()).expect("one trunk");
    snapshot.listeners = listeners(transports);
    Core::new(Arc::new(snapshot), 0, 1, [1; 32], (1, 2))
}

const BOTH: [(Transport, &str); 2] = [
    (Transport::Udp, "192.0.2.1:5060"),
    (Transport::Tcp, "192.0.2.1:5060"),
];

/// An INVITE to the peer by UDP, with a body of so many bytes.
fn invite(core: &Core, body: usize) -> Sending {
    let flow = Flow::to(ListenerId(0), PEER.parse().expect("a literal"));
    let all = &core.snapshot.listeners;
    let mut dialog = Dialog::to_peer(
        "c",
        Token(1),
        "<sip:2@x>",
        "<sip:1@y>",
        "sip:1@y",
        flow,
        all,
    );
    let line = RequestLine {
        method: &Method::Invite,
        branch: Token(7),
        max_forwards: 70,
    };
    Sending {
        flow,
        bytes: dialog.request(&line).finish(Some(&vec![b'x'; body])),
        branch: Token(7),
        invite: true,
        owner: Owner::Call(CallKey::default()),
    }
}

/// Listener, Via and name of what was sent since the last look.
fn sent(core: &mut Core) -> Vec<(u16, String, Option<TransmitId>)> {
    let transmit = |output| match output {
        Output::Transmit {
            flow,
            bytes,
            request,
        } => {
            assert_eq!(flow.remote.to_string(), PEER);
            let message = Message::parse(bytes).expect("legal");
            let via = message.via().expect("legal");
            let sent_by = String::from_utf8_lossy(via.sent_by()).into_owned();
            Some((
                flow.listener.0,
                format!("{} {sent_by}", via.transport),
                request,
            ))
        }
        Output::Ask { .. } | Output::Inquire { .. } | Output::Forget(_) | Output::Event(_) => None,
    };
    core.out.drain(..).filter_map(transmit).collect()
}

/// Listener and Via of one request, sent by the rule, and its transaction.
fn send(core: &mut Core, body: usize) -> (u16, String, ClientKey, TransmitId) {
    let client = core.send(invite(core, body));
    let mut all = sent(core);
    assert_eq!(all.len(), 1);
    let (listener, via, id) = all.remove(0);
    (listener, via, client, id.expect("a request has a name"))
}

const UDP: &str = "UDP sbc0.example.com:5060";
const TCP: &str = "TCP sbc1.example.com:5060";

/// K15: more than 1,300 bytes go over TCP, where that is wanted and there is a listener for it.
#[test]
fn a_large_request_goes_over_tcp_by_the_rule_of_its_trunk() {
    let way = |transports: &[(Transport, &str)], rule, body| {
        let (listener, via, ..) = send(&mut core(transports, rule), body);
        (listener, via)
    };
    let udp = (0, UDP.to_owned());
    let tcp = (1, TCP.to_owned());
    assert_eq!(way(&BOTH, Oversize::TcpIfReachable, 900), udp);
    assert_eq!(way(&BOTH, Oversize::TcpIfReachable, 1300), tcp);
    assert_eq!(way(&BOTH, Oversize::Tcp, 1300), tcp);
    assert_eq!(way(&BOTH, Oversize::Off, 1300), udp);
    assert_eq!(way(&BOTH[..1], Oversize::Tcp, 1300), udp, "no listener");
    let core = core(&BOTH, Oversize::Tcp);
    let exactly = 1300 - invite(&core, 0).bytes.len() - 3;
    assert_eq!(invite(&core, exactly).bytes.len(), 1300);
    assert_eq!(way(&BOTH, Oversize::Tcp, exactly), udp, "1,300 still fit");
    assert_eq!(way(&BOTH, Oversize::Tcp, exactly + 1), tcp);
}

/// K15: CANCEL and the ACK of a failure follow their INVITE.
#[test]
fn what_follows_from_a_large_invite_goes_its_way() {
    let mut core = core(&BOTH, Oversize::TcpIfReachable);
    let (.., client, _) = send(&mut core, 1300);
    let (bytes, flow, branch) = core.table.pending_request(client).expect("unanswered");
    core.send(Sending {
        flow,
        bytes: cancel_of(&bytes).expect("an INVITE").finish(None),
        branch,
        invite: false,
        owner: Owner::Call(CallKey::default()),
    });
    let all = sent(&mut core);
    assert_eq!((all[0].0, &*all[0].1), (1, TCP));

    let failure = format!(
        "SIP/2.0 486 Busy\r\nVia: SIP/2.0/TCP x;branch=z9hG4bK{}\r\nFrom: <sip:2@x>;tag=a\r\n\
         To: <sip:1@y>;tag=b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        Token(7)
    );
    let failure = Message::parse(Bytes::from(failure)).expect("legal");
    let (table, mut env) = core.table_env();
    assert!(table.response_received(failure, &mut env));
    let all = sent(&mut core);
    assert_eq!((all[0].0, &*all[0].1), (1, TCP), "the ACK");
}

/// K15: a peer that takes no connection gets the request over UDP, and the next one at once.
#[test]
fn without_a_connection_a_large_request_falls_back() {
    let mut core = core(&BOTH, Oversize::TcpIfReachable);
    let (.., id) = send(&mut core, 1300);
    core.transmit_failed(id);
    let all = sent(&mut core);
    assert_eq!((all.len(), all[0].0, &*all[0].1), (1, 0, UDP));
    assert_eq!(all[0].2, Some(id), "the same transaction");
    assert!(core.table.next_told().is_none(), "nobody hears of it");
    core.now = core.now + Duration::from_millis(500);
    let (_, timer) = core.timers.pop_due(core.now).expect("timer A of UDP");
    assert!(matches!(timer, crate::timer::TimerOwner::Client(_)));

    let (listener, ..) = send(&mut core, 1300);
    assert_eq!(listener, 0, "not tried again so soon");
    core.now = core.now + super::UNREACHABLE;
    let (listener, ..) = send(&mut core, 1300);
    assert_eq!(listener, 1, "but later");
    core.transmit_failed(id);
    assert_eq!(
        core.table.next_told().map(|_| ()),
        Some(()),
        "UDP failed too"
    );
}

/// K15: `tcp` means TCP or nothing.
#[test]
fn where_tcp_is_a_must_the_request_fails_without_it() {
    let mut core = core(&BOTH, Oversize::Tcp);
    let (.., id) = send(&mut core, 1300);
    core.transmit_failed(id);
    assert_eq!(sent(&mut core), []);
    let told = core.table.next_told();
    assert!(matches!(
        told,
        Some(crate::transaction::Told::Unsendable { .. })
    ));
}
