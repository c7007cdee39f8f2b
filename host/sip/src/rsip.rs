//! The one file that knows the `rsip` crate: conversions to and from its messages, and a comparison
//! of both readings, by which tests use it as a differential oracle. Nothing on the path of a call
//! comes here: rsip owns each header as a `String`, prints its own reason phrases (`BusyHere`), and
//! refuses lawful messages, such as those with a method that it does not know.

use crate::fault::Fault;
use crate::grammar::unfold;
use crate::header::Name;
use crate::message::Message;
use ::rsip::SipMessage;
use ::rsip::message::HasHeaders;
use bytes::Bytes;

/// Our message as rsip reads it. Fails where rsip does.
pub fn to_rsip(message: &Message) -> Result<SipMessage, ::rsip::Error> {
    SipMessage::try_from(&message.bytes()[..])
}

/// rsip's message as it prints, read by us.
pub fn from_rsip(message: &SipMessage) -> Result<Message, Fault> {
    Message::parse(Bytes::from(message.to_string()))
}

/// The first thing on which both readings of a message differ; `None` when they agree on the start
/// line (the reason phrase left out), on every header line in order, and on the body.
pub fn disagreement(ours: &Message, theirs: &SipMessage) -> Option<String> {
    let start = match theirs {
        SipMessage::Request(request) => format!("{} {}", request.method, request.uri),
        SipMessage::Response(response) => response.status_code.code().to_string(),
    };
    let our_start = match ours.is_request() {
        true => format!("{} {}", ours.method(), ours.request_uri()),
        false => ours.status().to_string(),
    };
    if start != our_start {
        return Some(format!("start line: {our_start:?}, rsip {start:?}"));
    }
    let our_lines: Vec<String> = ours
        .lines()
        .map(|line| {
            let name = match line.name {
                Name::Other => String::from_utf8_lossy(line.name_bytes).into_owned(),
                known => known.to_string(),
            };
            format!("{name}: {}", String::from_utf8_lossy(&unfold(line.value)))
        })
        .collect();
    let their_lines: Vec<String> = theirs.headers().iter().map(ToString::to_string).collect();
    if our_lines != their_lines {
        return Some(format!("header lines: {our_lines:?}, rsip {their_lines:?}"));
    }
    (ours.body()[..] != theirs.body()[..]).then(|| "body".to_owned())
}
