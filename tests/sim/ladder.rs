//! How messages look in a ladder: who, when, which way, and the first line.

use bytes::Bytes;
use intertrunk_proto::Instant;
use intertrunk_sip::{Message, Method};

/// One line of a ladder.
pub(crate) fn arrow(now: Instant, from: &str, to: &str, line: &str) -> String {
    let at = now.as_micros() / 1000 - 1000;
    let (left, right) = if to == "host" {
        (from, "-->")
    } else {
        (to, "<--")
    };
    format!("{at:>6} ms  {left:<6} {right} {line}")
}

/// First line of a message as ladders show it: a response with the method that it answers.
pub(crate) fn start_line(bytes: &Bytes) -> String {
    match Message::parse(bytes.clone()) {
        // What a NOTIFY of a transfer is about is in its body.
        Ok(m) if *m.method() == Method::Notify && m.has_body() && m.is_request() => {
            let body = String::from_utf8_lossy(&m.body()).trim().to_owned();
            format!("NOTIFY {}, {body}", m.request_uri())
        }
        Ok(m) if m.is_request() => format!("{} {}", m.method(), m.request_uri()),
        Ok(m) => {
            let reason = String::from_utf8_lossy(m.reason()).into_owned();
            format!("{} {reason} ({})", m.status(), m.method())
        }
        Err(_) => format!("({} bytes that are no message)", bytes.len()),
    }
}
