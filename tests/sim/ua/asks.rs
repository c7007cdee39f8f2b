//! A user agent that wants credentials for every request but ACK and CANCEL (RFC 3261 §22.1).
//!
//! It keeps no state for a request that it challenges, and takes each nonce once.

use std::collections::BTreeSet;

use intertrunk_sip::auth::Credentials;
use intertrunk_sip::{Message, Method, Name, reply};

use super::Ua;

/// The realm of such a user agent, and who may come in.
pub const REALM: &str = "carrier.example";
/// The name that it knows.
pub const USER: &str = "4711";
/// The password of that name.
pub const PASSWORD: &str = "hunter2";

/// What it has asked.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    /// Whether it asks at all.
    pub all: bool,
    /// So many of the next good credentials are called stale.
    pub stale: u32,
    /// 407 instead of 401.
    pub as_proxy: bool,
    /// Nonces that were not used yet.
    open: BTreeSet<String>,
    /// Branches of the requests that were challenged.
    refused: BTreeSet<Vec<u8>>,
}

impl Ua {
    /// Whether a request goes no further: it was challenged, or is the ACK of that.
    pub(super) fn challenges(&mut self, request: &Message) -> bool {
        if !self.asks.all || !request.is_request() {
            return false;
        }
        let branch = request.branch().unwrap_or_default().to_vec();
        match request.method() {
            Method::Ack => return self.asks.refused.contains(&branch),
            Method::Cancel => return false,
            _ => {}
        }
        let shown = Credentials::all(request, REALM).next();
        let right = shown.as_ref().is_some_and(|it| {
            let ours = it.user == USER && it.uri == request.request_uri();
            ours && it.prove(PASSWORD, request.method().as_str())
        });
        if shown.is_some() && !right {
            self.complain("credentials that are wrong");
        }
        let known = shown.is_some_and(|it| self.asks.open.contains(it.nonce));
        if right && known && self.asks.stale == 0 {
            // It may come again, as a retransmission.
            return false;
        }
        let stale = right && known;
        self.asks.stale = self.asks.stale.saturating_sub(u32::from(stale));
        let nonce = self.token("nonce");
        let (code, name) = match self.asks.as_proxy {
            true => (407, Name::ProxyAuthenticate),
            false => (401, Name::WwwAuthenticate),
        };
        let stale = if stale { ", stale=true" } else { "" };
        let phrase = intertrunk_sip::reason_phrase(code);
        let mut b = reply(request, code, phrase, Some("asks"), Some(self.host));
        b.header_fmt(
            name,
            format_args!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"auth\"{stale}"),
        );
        let bytes = self.finish(b, None);
        self.asks.open.insert(nonce);
        self.asks.refused.insert(branch);
        self.out.push(bytes);
        true
    }
}
