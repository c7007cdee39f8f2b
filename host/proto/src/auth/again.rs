//! A request that its receiver has challenged, printed again with credentials (RFC 3261 §22.2): the
//! same in everything but the branch, the next CSeq and the proof.

use bytes::Bytes;
use intertrunk_sip::auth::{Challenge, Credentials};
use intertrunk_sip::{Builder, Message, Name, Token};

use super::Login;
use crate::core::Core;
use crate::transaction::{Challenged, ClientKey, Sending};

/// How often one request is given credentials: once, and once more for a stale nonce.
pub(crate) const TRIES_MAX: u8 = 2;

/// Credentials that meet a challenge.
#[derive(Debug)]
pub(crate) struct Met {
    name: Name,
    realm: Box<str>,
    value: String,
}

impl Login {
    /// What meets the challenge of `response` to `sent`; none if that was tried, or is nothing for us.
    pub(crate) fn meet(&self, sent: &Message, response: &Message, cnonce: Token) -> Option<Met> {
        let name = match response.status() {
            401 => Name::Authorization,
            407 => Name::ProxyAuthorization,
            _ => return None,
        };
        let challenge = Challenge::all(response).find(|challenge| {
            let shown = sent.headers(name).filter_map(Credentials::parse);
            let shown = shown
                .map(|it| it.realm)
                .any(|realm| realm == challenge.realm);
            let ours = self.realm.as_deref().is_none_or(|it| it == challenge.realm);
            ours && (!shown || challenge.stale)
        })?;
        let value = challenge.met_by(
            &self.user,
            self.password.reveal(),
            sent.method().as_str(),
            sent.request_uri(),
            &cnonce.to_string(),
        );
        Some(Met {
            name,
            realm: challenge.realm.into(),
            value,
        })
    }
}

impl Core {
    /// Sends a request that is of no call again with credentials. Gives its transaction and CSeq; none if
    /// there is nothing to show.
    pub(crate) fn send_again(&mut self, login: &Login, c: &Challenged) -> Option<(ClientKey, u32)> {
        let sent = Message::parse(c.request.clone()).ok()?;
        let met = login.meet(&sent, &c.response, self.rng.token())?;
        let (cseq, branch) = (sent.cseq() + 1, self.rng.token());
        let client = self.send(Sending {
            flow: c.flow,
            bytes: print(&sent, &met, cseq, branch),
            branch,
            invite: false,
            owner: c.owner,
        });
        self.table.tried(client, c.tries + 1);
        Some((client, cseq))
    }
}

/// Prints `sent` again.
pub(crate) fn print(sent: &Message, met: &Met, cseq: u32, branch: Token) -> Bytes {
    let old = sent.branch().unwrap_or_default();
    let new = [intertrunk_sip::BRANCH_COOKIE.as_bytes(), &branch.text()].concat();
    let mut b = Builder::request(sent.method(), sent.request_uri());
    for line in sent.lines() {
        let replaced = line.name == met.name
            && Credentials::parse(line.value).is_none_or(|it| *it.realm == *met.realm);
        match line.name {
            Name::ContentLength => {}
            Name::Via => {
                b.raw_line(&with(line.raw, old, &new));
            }
            Name::CSeq => {
                let method = sent.method().as_str().as_bytes();
                b.header_number(Name::CSeq, cseq, &[b" ", method]);
            }
            _ if replaced => {}
            _ => {
                b.raw_line(line.raw);
            }
        }
    }
    b.header(met.name, &met.value);
    b.finish(Some(&sent.body()))
}

/// A line with the first `old` in it made `new`.
fn with(line: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = line.windows(old.len().max(1)).position(|w| w == old);
    match at {
        Some(at) => [&line[..at], new, &line[at + old.len()..]].concat(),
        None => line.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use intertrunk_sip::auth::Credentials;
    use intertrunk_sip::{Message, Name, Token};

    use super::print;
    use crate::auth::{Login, Secret};

    fn sent() -> Message {
        let text = "INVITE sip:1@gw SIP/2.0\r\nVia: SIP/2.0/UDP h:5060;rport;branch=z9hG4bKaaaaaaaaaaaab\r\n\
             Route: <sip:p;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:us@h>;tag=a\r\nTo: <sip:1@gw>\r\n\
             Call-ID: c\r\nCSeq: 4 INVITE\r\nX-Any: kept\r\nContent-Type: text/plain\r\n\
             Content-Length: 2\r\n\r\nhi";
        Message::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    fn answer(code: u16, name: &str, challenges: &[&str]) -> Message {
        let lines: String = challenges
            .iter()
            .map(|c| format!("{name}: Digest {c}\r\n"))
            .collect();
        let text = format!(
            "SIP/2.0 {code} No\r\nVia: SIP/2.0/UDP h:5060;branch=z9hG4bKaaaaaaaaaaaab\r\nFrom: <sip:us@h>;tag=a\r\n\
             To: <sip:1@gw>;tag=b\r\nCall-ID: c\r\nCSeq: 4 INVITE\r\n{lines}\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn login(realm: Option<&str>) -> Login {
        Login {
            user: "us".into(),
            password: Secret::new("secret"),
            realm: realm.map(Into::into),
        }
    }

    /// S14: RFC 3261 §22.2: the same request, CSeq one higher, with the proof; nothing else differs.
    #[test]
    fn a_challenged_request_is_the_same_again() {
        for (code, asks, shows) in [
            (401, "WWW-Authenticate", Name::Authorization),
            (407, "Proxy-Authenticate", Name::ProxyAuthorization),
        ] {
            let response = answer(code, asks, &["realm=\"gw\", nonce=\"n1\", qop=\"auth\""]);
            let met = login(None).meet(&sent(), &response, Token(9)).unwrap();
            let again = Message::parse(print(&sent(), &met, 5, Token(77))).unwrap();
            let shown = again.header(shows).unwrap();
            assert!(Credentials::parse(shown).unwrap().prove("secret", "INVITE"));
            assert_eq!((again.cseq(), again.call_id()), (5, &b"c"[..]));
            let branch = format!("z9hG4bK{}", Token(77));
            assert_eq!(again.branch(), Some(branch.as_bytes()));
            let rest = |m: &Message| {
                let ours =
                    |name| [Name::Via, Name::CSeq, Name::ContentLength, shows].contains(&name);
                let lines = m.lines().filter(|l| !ours(l.name));
                lines.map(|l| l.raw.to_vec()).collect::<Vec<_>>()
            };
            assert_eq!(rest(&again), rest(&sent()));
            assert_eq!(again.body(), sent().body());
            // Refused again, it is not tried again; with a stale nonce it is.
            assert!(login(None).meet(&again, &response, Token(9)).is_none());
            let stale = answer(code, asks, &["realm=\"gw\", nonce=\"n2\", stale=true"]);
            let met = login(None).meet(&again, &stale, Token(9)).unwrap();
            let third = Message::parse(print(&again, &met, 6, Token(78))).unwrap();
            assert_eq!(third.headers(shows).count(), 1, "the old proof is gone");
        }
    }

    /// S14: another realm gets no proof of our password.
    #[test]
    fn only_the_realm_that_is_meant_gets_a_proof() {
        let both = ["realm=\"evil\", nonce=\"n\"", "realm=\"gw\", nonce=\"n\""];
        let response = answer(401, "WWW-Authenticate", &both);
        let met = login(Some("gw"))
            .meet(&sent(), &response, Token(9))
            .unwrap();
        assert_eq!(&*met.realm, "gw");
        let evil = answer(401, "WWW-Authenticate", &both[..1]);
        assert!(login(Some("gw")).meet(&sent(), &evil, Token(9)).is_none());
        assert!(
            login(None)
                .meet(&sent(), &answer(401, "X", &[]), Token(9))
                .is_none()
        );
    }
}
