//! A telephone of a few lines: enough SIP to call and be called.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::line::Line;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

static NEXT_CALL: AtomicU32 = AtomicU32::new(1);

/// One SIP address with its socket.
pub struct Phone {
    pub line: Line,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message(pub String);

/// One side of a call that this phone began or took.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its Call-ID.
    pub call_id: String,
    host: SocketAddr,
    uri: String,
    from: String,
    to: String,
    cseq: u32,
    branch: String,
}

impl Phone {
    pub fn new() -> Phone {
        Phone::on(Line::udp("127.0.0.1:0"))
    }

    pub fn on(line: Line) -> Phone {
        Phone { line }
    }

    pub fn address(&self) -> SocketAddr {
        self.line.address()
    }

    pub fn send(&self, to: SocketAddr, bytes: impl AsRef<[u8]>) {
        self.line.send(to, bytes.as_ref());
    }

    /// The first message that is `wanted`; others are passed over. Fails when none comes.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let give_up = Instant::now() + PATIENCE;
        let mut passed_over = Vec::new();
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{what} did not come, but: {passed_over:#?}"
            );
            let Some(text) = self.line.receive(give_up) else {
                continue;
            };
            let message = Message(text);
            if wanted(&message) {
                return message;
            }
            passed_over.push(message.start().to_owned());
        }
    }

    /// The next request with this method.
    #[track_caller]
    pub fn request(&self, method: &str) -> Message {
        self.wait(method, |m| m.start().starts_with(&format!("{method} ")))
    }

    /// The response of `side`'s call with this code to a request with this method.
    #[track_caller]
    pub fn response(&self, side: &Side, code: u16, method: &str) -> Message {
        self.wait(&format!("{code} to {method}"), |m| {
            m.start().starts_with(&format!("SIP/2.0 {code} "))
                && m.header("Call-ID") == side.call_id
                && m.header("CSeq").ends_with(method)
        })
    }

    /// Sends an INVITE for `callee`.
    pub fn invite(&self, host: SocketAddr, caller: &str, callee: &str) -> Side {
        self.invite_with(host, caller, callee, "v=0\r\n")
    }

    /// Sends an INVITE for `callee` with this body.
    pub fn invite_with(&self, host: SocketAddr, caller: &str, callee: &str, body: &str) -> Side {
        let side = self.begin(host, caller, callee);
        self.say(&side, "INVITE", "Content-Type: application/sdp\r\n", body);
        side
    }

    /// Sends an INVITE for `callee` with these header lines.
    pub fn invite_as(&self, host: SocketAddr, caller: &str, callee: &str, lines: &str) -> Side {
        let side = self.begin(host, caller, callee);
        let lines = format!("Content-Type: application/sdp\r\n{lines}");
        self.say(&side, "INVITE", &lines, "v=0\r\n");
        side
    }

    fn begin(&self, host: SocketAddr, caller: &str, callee: &str) -> Side {
        let number = NEXT_CALL.fetch_add(1, Ordering::Relaxed);
        let me = self.address();
        Side {
            call_id: format!("call-{number}-{}", me.port()),
            host,
            uri: format!("sip:{callee}@{host}"),
            from: format!("<sip:{caller}@{me}>;tag=caller{number}"),
            to: format!("<sip:{callee}@{host}>"),
            cseq: 1,
            branch: format!("z9hG4bK-{number}-{}", me.port()),
        }
    }

    /// Takes the 2xx: learns the dialog from it and acknowledges it.
    pub fn acknowledge(&self, side: &mut Side, ok: &Message) {
        side.to = ok.header("To").to_owned();
        side.uri = uri_of(ok.header("Contact"));
        side.branch.push_str("-ack");
        self.say(side, "ACK", "", "");
    }

    /// Calls and is answered by `callee`, who finds the number that the host sent.
    #[track_caller]
    pub fn call(&self, host: SocketAddr, number: &str, callee: &Phone) -> (Side, Side, Message) {
        let mut mine = self.invite(host, "0100", number);
        let invite = callee.request("INVITE");
        callee.answer(&invite, 180, "Ringing");
        self.response(&mine, 180, "INVITE");
        callee.answer(&invite, 200, "OK");
        let ok = self.response(&mine, 200, "INVITE");
        self.acknowledge(&mut mine, &ok);
        let theirs = callee.side_of(&invite, host);
        callee.wait("ACK", |m| {
            m.start().starts_with("ACK ") && m.header("Call-ID") == theirs.call_id
        });
        (mine, theirs, invite)
    }

    /// Hangs up; `other` hears it.
    #[track_caller]
    pub fn hang_up(&self, mine: &mut Side, other: &Phone) {
        self.bye(mine);
        let bye = other.request("BYE");
        other.answer(&bye, 200, "OK");
        self.response(mine, 200, "BYE");
    }

    /// Gives up before there is an answer.
    pub fn cancel(&self, mine: &Side) {
        self.say(mine, "CANCEL", "", "");
    }

    pub fn bye(&self, mine: &mut Side) {
        mine.cseq += 1;
        mine.branch.push_str("-bye");
        self.say(mine, "BYE", "", "");
    }

    /// Answers a request.
    pub fn answer(&self, request: &Message, code: u16, reason: &str) {
        self.answer_with(request, code, reason, "");
    }

    /// Answers a request with these header lines.
    pub fn answer_with(&self, request: &Message, code: u16, reason: &str, lines: &str) {
        let copied: String = request
            .0
            .lines()
            .filter(|l| {
                ["Via:", "From:", "Call-ID:", "CSeq:"]
                    .iter()
                    .any(|n| l.starts_with(n))
            })
            .map(|line| format!("{line}\r\n"))
            .collect();
        let to = request.header("To");
        let tag = if to.contains(";tag=") {
            ""
        } else {
            ";tag=callee"
        };
        let (me, param) = (self.address(), self.param());
        let response = format!(
            "SIP/2.0 {code} {reason}\r\n{copied}To: {to}{tag}\r\nContact: <sip:callee@{me}{param}>\r\n\
             {lines}Content-Length: 0\r\n\r\n"
        );
        self.line.answer(request.header("Via"), response.as_bytes());
    }

    /// What a Contact says of how bytes get here.
    fn param(&self) -> &'static str {
        match self.line.transport() {
            "TCP" => ";transport=tcp",
            "TLS" => ";transport=tls",
            _ => "",
        }
    }

    /// The called side of a call that came by `invite`.
    fn side_of(&self, invite: &Message, host: SocketAddr) -> Side {
        Side {
            call_id: invite.header("Call-ID").to_owned(),
            host,
            uri: uri_of(invite.header("Contact")),
            from: format!("{};tag=callee", invite.header("To")),
            to: invite.header("From").to_owned(),
            cseq: 0,
            branch: format!("z9hG4bK-callee-{}", invite.header("Call-ID")),
        }
    }

    fn say(&self, side: &Side, method: &str, extra: &str, body: &str) {
        let Side {
            call_id,
            host,
            uri,
            from,
            to,
            cseq,
            branch,
        } = side;
        let (me, length) = (self.address(), body.len());
        let (transport, param) = (self.line.transport(), self.param());
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {me};branch={branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:caller@{me}{param}>\r\n{extra}\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.send(*host, text);
    }
}

impl Message {
    pub fn start(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// The value of the first line with this name.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = |line: &'_ str| {
            line.split_once(':')
                .filter(|(n, _)| *n == name)
                .map(|(_, v)| v.len())
        };
        let line = self.0.lines().find(|line| value(line).is_some());
        let line = line.unwrap_or_else(|| panic!("no {name} in\n{}", self.0));
        line[name.len() + 1..].trim()
    }

    pub fn count(&self, name: &str) -> usize {
        self.0
            .lines()
            .filter(|line| line.starts_with(&format!("{name}:")))
            .count()
    }

    /// The number that the Request-URI asks for.
    pub fn number(&self) -> &str {
        let uri = self.start().split(' ').nth(1).unwrap();
        uri.trim_start_matches("sip:").split('@').next().unwrap()
    }
}

fn uri_of(contact: &str) -> String {
    contact.split(['<', '>']).nth(1).unwrap().to_owned()
}
