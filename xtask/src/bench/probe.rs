//! Post-dial delay, by calls of this program's own: SIPp's clock has steps of a millisecond.
//!
//! A probe is both parties. The called one answers 180 at once, so that the time from INVITE to 180
//! on the calling side is the router's and the kernel's; then it declines with 486.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::router::ADDRESS;

const CALLER: &str = "127.0.0.12:16070";
const CALLEE: &str = "127.0.0.22:16080";
/// A probe that takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(500);

/// Both parties of the probing calls.
pub struct Probe {
    pub(super) caller: UdpSocket,
    pub(super) callee: UdpSocket,
    pub(super) placed: u32,
}

impl Probe {
    /// Takes both addresses.
    pub fn bind() -> Result<Probe> {
        let bind =
            |address| UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"));
        Ok(Probe {
            caller: bind(CALLER)?,
            callee: bind(CALLEE)?,
            placed: 0,
        })
    }

    /// Places one call. `None` if an INVITE or an answer got lost or the router refused.
    pub fn call(&mut self) -> Result<Option<Duration>> {
        self.placed += 1;
        let last_four = self.placed % 10_000;
        let sent_as = format!("INVITE sip:+1303555{last_four:04}@127.0.0.22:16080");
        let request = Request::new(self.placed);
        let started = Instant::now();
        self.caller.send_to(request.invite().as_bytes(), ADDRESS)?;
        let is_ours = |text: &str| text.starts_with(&sent_as);
        let Some((invite, router)) = receive(&self.callee, started, is_ours)? else {
            return Ok(None);
        };
        self.callee
            .send_to(answer(&invite, "180 Ringing").as_bytes(), router)?;
        let Some(_) = receive(&self.caller, started, |text| request.has(text, "180"))? else {
            return Ok(None);
        };
        let delay = started.elapsed();
        self.callee
            .send_to(answer(&invite, "486 Busy Here").as_bytes(), router)?;
        let Some((busy, _)) = receive(&self.caller, started, |text| request.has(text, "486"))?
        else {
            return Ok(None);
        };
        self.caller
            .send_to(request.ack(&busy).as_bytes(), ADDRESS)?;
        Ok(Some(delay))
    }
}

/// The calling side's own words.
pub(super) struct Request {
    uri: String,
    number: u32,
}

impl Request {
    /// Those of the call with this number.
    pub(super) fn new(number: u32) -> Request {
        let last_four = number % 10_000;
        Request {
            uri: format!("sip:9303555{last_four:04}@{ADDRESS}"),
            number,
        }
    }

    /// The number of the call that `text` belongs to.
    pub(super) fn number_in(text: &str) -> Option<u32> {
        let (_, id) = text.split_once("\r\nCall-ID: probe-")?;
        id.split_once('@')?.0.parse().ok()
    }

    fn head(&self, method: &str, to: &str) -> String {
        let Request { uri, number } = self;
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {CALLER};branch=z9hG4bKprobe{number}\r\n\
             From: <sip:0100@{CALLER}>;tag=p{number}\r\n\
             {to}\r\n\
             Call-ID: probe-{number}@{CALLER}\r\n\
             CSeq: 1 {method}\r\n\
             Max-Forwards: 70\r\n"
        )
    }

    pub(super) fn invite(&self) -> String {
        let sdp = "v=0\r\no=probe 1 1 IN IP4 127.0.0.12\r\ns=-\r\nc=IN IP4 127.0.0.12\r\nt=0 0\r\n\
                   m=audio 30000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
        format!(
            "{}Contact: <sip:0100@{CALLER}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            self.head("INVITE", &format!("To: <{}>", self.uri)),
            sdp.len()
        )
    }

    /// In the INVITE's own transaction (RFC 3261 §17.1.1.3), to the tag of the refusal.
    pub(super) fn ack(&self, refusal: &str) -> String {
        let to = headers(refusal, &["to"]).trim_end().to_owned();
        format!("{}Content-Length: 0\r\n\r\n", self.head("ACK", &to))
    }

    fn has(&self, text: &str, code: &str) -> bool {
        let call_id = format!("\r\nCall-ID: probe-{}@", self.number);
        text.starts_with(&format!("SIP/2.0 {code} ")) && text.contains(&call_id)
    }
}

/// Takes the next datagram that is wanted; throws others away, such as 100 and retransmissions.
fn receive(
    socket: &UdpSocket,
    started: Instant,
    wanted: impl Fn(&str) -> bool,
) -> Result<Option<(String, SocketAddr)>> {
    let mut buffer = [0; 4096];
    loop {
        let left = PATIENCE.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                if wanted(&text) {
                    return Ok(Some((text.into_owned(), from)));
                }
            }
            // A port that nobody has bound yet answers with ICMP.
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// An answer to `invite`, its headers as they came (RFC 3261 §8.2.6.2).
pub(super) fn answer(invite: &str, status: &str) -> String {
    let back = headers(invite, &["via", "record-route", "from", "call-id", "cseq"]);
    let to = headers(invite, &["to"]);
    format!(
        "SIP/2.0 {status}\r\n{back}{};tag=callee\r\nContact: <sip:{CALLEE}>\r\n\
         Content-Length: 0\r\n\r\n",
        to.trim_end()
    )
}

/// All headers of these names, each with its line end.
fn headers(message: &str, names: &[&str]) -> String {
    let head = message.split("\r\n\r\n").next().unwrap_or_default();
    head.split("\r\n")
        .filter(|line| {
            let name = line.split(':').next().unwrap_or_default().trim();
            names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted))
        })
        .map(|line| format!("{line}\r\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Request, answer};

    #[test]
    fn an_answer_repeats_every_via_and_tags_the_callee() {
        let invite = "INVITE sip:1@h SIP/2.0\r\nVia: a\r\nVia: b\r\nRecord-Route: <sip:r;lr>\r\n\
                      From: <sip:x>;tag=1\r\nTo: <sip:1@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
                      \r\nTo: in the body\r\n";
        let ringing = answer(invite, "180 Ringing");
        assert!(ringing.starts_with("SIP/2.0 180 Ringing\r\nVia: a\r\nVia: b\r\nRecord-Route: "));
        assert!(ringing.contains("\r\nTo: <sip:1@h>;tag=callee\r\n"));
        assert!(!ringing.contains("in the body"));
    }

    #[test]
    fn the_ack_of_a_refusal_stays_in_its_transaction() {
        let request = Request {
            uri: "sip:1@h".into(),
            number: 7,
        };
        let refusal = "SIP/2.0 486 Busy Here\r\nTo: <sip:1@h>;tag=z\r\nCall-ID: probe-7@h\r\n\r\n";
        assert!(request.has(refusal, "486"));
        assert!(!request.has(refusal, "180"));
        let ack = request.ack(refusal);
        assert!(ack.contains(";branch=z9hG4bKprobe7\r\n"));
        assert!(ack.contains("\r\nTo: <sip:1@h>;tag=z\r\n"));
        assert!(ack.contains("\r\nCSeq: 1 ACK\r\n"));
    }
}
