//! One datagram: read, looked at from every side, answered, edited, cut out of a stream. What is
//! printed reads back as what was meant.

use std::net::SocketAddr;

use bytes::Bytes;
use intertrunk_sip::{
    Framed, Framer, Limits, MESSAGE_BYTES_MAX, Message, Name, NameAddr, Overlay, Read, Refusal,
    Uri, Via, peek_call_id, read, reply, response_address, unsupported_scheme,
};

/// Reads a datagram and uses all that it offers.
pub fn bytes(data: &[u8]) {
    match read(Bytes::copy_from_slice(data), &Limits::default()) {
        Read::Message(message) => {
            assert_eq!(
                peek_call_id(data),
                Some(message.call_id()),
                "both shards agree whose message it is"
            );
            look(&message);
            it_is_lossless(&message);
            a_stream_agrees(&message);
            if has_room(&message) {
                answer(&message);
                edit(&message);
            }
        }
        Read::Refuse(refusal) => refuse(&refusal, data),
        Read::Drop(reason) => assert!(!reason.to_string().is_empty()),
        Read::KeepAlive(_) => {}
    }
}

fn source() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], 4000))
}

/// Whether a line more, or a longer one, stays within the limits.
fn has_room(message: &Message) -> bool {
    let limits = Limits::default();
    message.bytes().len() + 512 < MESSAGE_BYTES_MAX
        && message.lines().count() + 8 < limits.header_lines_max
        && message
            .lines()
            .all(|line| line.raw.len() + 256 < limits.header_line_bytes_max)
}

/// Every view; those that `read` has checked are good.
fn look(message: &Message) {
    assert_eq!(message.is_request(), message.status() == 0);
    assert_eq!(message.is_request(), message.uri().is_ok());
    let _ = (message.reason(), unsupported_scheme(message));
    let from = message.from().expect("read has checked From");
    let to = message.to().expect("read has checked To");
    uri(&from.uri().expect("read has checked the URI in From"));
    uri(&to.uri().expect("read has checked the URI in To"));
    assert_eq!(
        (from.tag(), to.tag()),
        (message.from_tag(), message.to_tag())
    );
    let via = message.via().expect("read has checked the top Via");
    assert_eq!(response_address(&via, source()).ip(), source().ip());
    assert_eq!(
        (via.branch, via.sent_by()),
        (message.branch(), message.sent_by())
    );
    assert!(message.contact().is_none_or(|c| c.is_ok()));
    for line in message.lines() {
        let named = std::str::from_utf8(line.name_bytes).expect("a token is ASCII");
        assert!(message.header_named(named).any(|v| v == line.value));
        if line.name != Name::Other {
            let _ = message.u32_header(line.name);
            for value in message.values(line.name) {
                let _ = Via::parse(value);
                if let Ok(address) = NameAddr::parse(value) {
                    let _ = (address.tag(), address.params.is_empty());
                    let _ = address.uri().map(|u| uri(&u));
                }
            }
        }
    }
}

/// A URI prints as one that reads the same.
fn uri(uri: &Uri<'_>) {
    let text = uri.to_string();
    let again = Uri::parse(&text);
    assert_eq!(again.as_ref(), Ok(uri));
    let _ = (uri.user_decoded(), uri.socket_addr());
    assert!(uri.params.iter().all(|(name, _)| !name.is_empty()));
}

/// The bytes are the start line, the lines, an empty line and the body, and nothing else.
fn it_is_lossless(message: &Message) {
    let start = memchr(message.bytes());
    let mut whole = message.bytes()[..start].to_vec();
    for line in message.lines() {
        whole.extend_from_slice(line.raw);
    }
    whole.extend_from_slice(b"\r\n");
    whole.extend_from_slice(&message.body());
    assert_eq!(&whole[..], &message.bytes()[..]);
    let again = Message::parse(message.bytes().clone()).expect("what was read reads again");
    assert_eq!(again.bytes(), message.bytes());
    assert!(again.lines().eq(message.lines()) && again.body() == message.body());
}

/// Length of the start line with its line end.
fn memchr(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|b| *b == b'\n');
    end.expect("a message has a start line") + 1
}

/// Where a message says how long it is, a stream cuts it at the same place.
fn a_stream_agrees(message: &Message) {
    if message.header(Name::ContentLength).is_none() {
        return;
    }
    let mut framer = Framer::new(Limits::default());
    framer.push(message.bytes());
    framer.push(b"\r\n");
    let framed = framer.next();
    assert_eq!(framed, Ok(Some(Framed::Message(message.bytes().clone()))));
}

fn answer(request: &Message) {
    let answer = reply(request, 200, "OK", Some("ours"), Some(source())).finish(Some(b"body"));
    let answer = Message::parse(answer).expect("an answer to a good request is good");
    assert_eq!((answer.status(), &answer.body()[..]), (200, &b"body"[..]));
    assert_eq!(
        (answer.call_id(), answer.cseq(), answer.method()),
        (request.call_id(), request.cseq(), request.method())
    );
    assert_eq!(answer.from_tag(), request.from_tag());
    assert_eq!(
        answer.to_tag(),
        request.to_tag().or(Some(b"ours")),
        "every final answer has a To tag"
    );
    let vias = |m: &Message| m.values(Name::Via).count();
    assert_eq!(vias(&answer), vias(request));
    let (told, asked) = (answer.via(), request.via());
    let (told, asked) = (told.expect("good"), asked.expect("good"));
    assert_eq!(
        (told.sent_by(), told.branch),
        (asked.sent_by(), asked.branch)
    );
    if asked.rport.is_some() {
        assert_eq!(told.rport, Some(Some(source().port())));
        assert_eq!(response_address(&told, source()), source());
    }
}

fn edit(message: &Message) {
    let mut overlay = Overlay::new(message);
    overlay
        .prepend(Name::Via, "SIP/2.0/UDP us;branch=z9hG4bKours")
        .replace(Name::MaxForwards, "7")
        .remove(Name::Route)
        .remove_named("X-Secret")
        .append(Name::RecordRoute, "<sip:us;lr>")
        .body("another body");
    let edited = Message::parse(overlay.finish()).expect("an edited message is a message");
    assert_eq!(edited.body(), &b"another body"[..]);
    assert_eq!(edited.max_forwards(), Some(7));
    assert_eq!(edited.header(Name::Route), None);
    assert_eq!(edited.header_named("x-secret").count(), 0);
    assert_eq!(edited.via().expect("ours").host, "us");
    assert_eq!(
        edited.values(Name::Via).count(),
        message.values(Name::Via).count() + 1
    );
    let ours = [
        Name::Via,
        Name::MaxForwards,
        Name::Route,
        Name::RecordRoute,
        Name::ContentLength,
    ];
    let others = |m: &Message| {
        let kept = m.lines().filter(|line| {
            !ours.contains(&line.name) && !line.name_bytes.eq_ignore_ascii_case(b"x-secret")
        });
        kept.map(|line| line.raw.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(others(&edited), others(message), "nothing else is touched");
}

/// An answer to a bad request goes back where it came from, is little longer than the request, and
/// ends where its header section ends.
fn refuse(refusal: &Refusal, data: &[u8]) {
    assert!((400..=599).contains(&refusal.status));
    assert_eq!(refusal.destination(source()).ip(), source().ip());
    let response = refusal.response("ours", source());
    assert!(response.len() <= data.len() + 256, "no amplifier");
    let end = response.windows(4).position(|w| w == b"\r\n\r\n");
    assert_eq!(
        end,
        Some(response.len() - 4),
        "no line of the request ends the header section: {response:?}"
    );
    for (at, byte) in response.iter().enumerate() {
        let paired = match byte {
            b'\n' => response[at - 1] == b'\r',
            b'\r' => response[at + 1] == b'\n',
            _ => true,
        };
        assert!(paired, "a bare CR or LF went into an answer: {response:?}");
    }
}
