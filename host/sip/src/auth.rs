//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): challenges and credentials read, and what
//! proves that somebody knows a password.
//!
//! MD5 and SHA-256 with `qop=auth`, or without qop where the challenge has none. No memory of earlier
//! messages: whether a nonce is good is for those to say who minted it. Values inside quotes are used as
//! they stand, escapes included, on both sides.

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::grammar::trim;
use crate::header::Name;
use crate::message::Message;

/// How a proof is computed. The `-sess` variants are not taken: no peer needs them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RFC 2617's; what is meant where none is named.
    Md5,
    /// RFC 7616's.
    Sha256,
}

impl Algorithm {
    /// As written in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn of(params: &Params<'_>) -> Option<Algorithm> {
        let all = [Algorithm::Md5, Algorithm::Sha256];
        match params.get("algorithm") {
            None => Some(Algorithm::Md5),
            Some(name) => all
                .into_iter()
                .find(|a| a.as_str().eq_ignore_ascii_case(name)),
        }
    }

    fn hash(self, parts: &[&str]) -> String {
        match self {
            Algorithm::Md5 => hash::<Md5>(parts),
            Algorithm::Sha256 => hash::<Sha256>(parts),
        }
    }
}

fn hash<D: Digest>(parts: &[&str]) -> String {
    let mut digest = D::new();
    for (part, place) in parts.iter().zip(0..) {
        if place > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    let mut text = String::with_capacity(64);
    for byte in digest.finalize().as_slice() {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// What makes a proof.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// How.
    pub algorithm: Algorithm,
    /// Who.
    pub user: &'a str,
    /// Where.
    pub realm: &'a str,
    /// The secret.
    pub password: &'a str,
    /// The challenger's word.
    pub nonce: &'a str,
    /// Of the request.
    pub method: &'a str,
    /// The Request-URI, as its sender has written it into the credentials.
    pub uri: &'a str,
    /// nc and cnonce under `qop=auth`; none without qop (RFC 2069).
    pub counted: Option<(&'a str, &'a str)>,
}

impl Proof<'_> {
    /// The `response` of the credentials: hexadecimal, in lower case (RFC 7616 §3.4.1).
    pub fn response(&self) -> String {
        let h = |parts: &[&str]| self.algorithm.hash(parts);
        let who = h(&[self.user, self.realm, self.password]);
        let what = h(&[self.method, self.uri]);
        match self.counted {
            Some((nc, cnonce)) => h(&[&who, self.nonce, nc, cnonce, "auth", &what]),
            None => h(&[&who, self.nonce, &what]),
        }
    }
}

/// A challenge: WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge<'m> {
    /// Where credentials are wanted for.
    pub realm: &'m str,
    /// The challenger's word.
    pub nonce: &'m str,
    /// To be given back as it is.
    pub opaque: Option<&'m str>,
    /// The last credentials were right, but for their nonce.
    pub stale: bool,
    /// How.
    pub algorithm: Algorithm,
    /// Whether `qop=auth` is offered; a challenge that offers only others is none.
    pub counts: bool,
}

impl<'m> Challenge<'m> {
    /// The challenges of a 401 or 407 that can be met, in their order: RFC 8760 §2.4 has the challenger
    /// put the one that it likes best first.
    pub fn all(response: &'m Message) -> impl Iterator<Item = Challenge<'m>> {
        let name = match response.status() {
            407 => Name::ProxyAuthenticate,
            _ => Name::WwwAuthenticate,
        };
        response.headers(name).filter_map(Challenge::parse)
    }

    /// Reads one.
    pub fn parse(value: &'m [u8]) -> Option<Challenge<'m>> {
        let params = Params::parse(value)?;
        let qop = params.get("qop");
        let counts = qop.is_some_and(|list| {
            let mut all = list.split(',');
            all.any(|one| one.trim().eq_ignore_ascii_case("auth"))
        });
        if qop.is_some() && !counts {
            return None;
        }
        Some(Challenge {
            realm: params.get("realm")?,
            nonce: params.get("nonce")?,
            opaque: params.get("opaque"),
            stale: params
                .get("stale")
                .is_some_and(|it| it.eq_ignore_ascii_case("true")),
            algorithm: Algorithm::of(&params)?,
            counts,
        })
    }

    /// The value of Authorization or Proxy-Authorization that meets it, for the first use of its nonce.
    pub fn met_by(
        &self,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> String {
        const FIRST: &str = "00000001";
        let Challenge { realm, nonce, .. } = *self;
        let proof = Proof {
            algorithm: self.algorithm,
            user,
            realm,
            password,
            nonce,
            method,
            uri,
            counted: self.counts.then_some((FIRST, cnonce)),
        };
        let mut value = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{}\", algorithm={}",
            proof.response(),
            self.algorithm.as_str()
        );
        if self.counts {
            let _infallible = write!(value, ", qop=auth, nc={FIRST}, cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = self.opaque {
            let _infallible = write!(value, ", opaque=\"{opaque}\"");
        }
        value
    }
}

/// Credentials: Authorization or Proxy-Authorization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials<'m> {
    /// Who.
    pub user: &'m str,
    /// Where.
    pub realm: &'m str,
    /// Our word.
    pub nonce: &'m str,
    /// The Request-URI as the sender has it.
    pub uri: &'m str,
    /// The proof.
    pub response: &'m str,
    /// How.
    pub algorithm: Algorithm,
    /// nc as written and cnonce, under `qop=auth`.
    pub counted: Option<(&'m str, &'m str)>,
}

impl<'m> Credentials<'m> {
    /// All credentials of a request for this realm.
    pub fn all(request: &'m Message, realm: &str) -> impl Iterator<Item = Credentials<'m>> {
        let names = [Name::Authorization, Name::ProxyAuthorization];
        let values = names.into_iter().flat_map(|name| request.headers(name));
        values
            .filter_map(Credentials::parse)
            .filter(move |it| it.realm == realm)
    }

    /// Reads them. Those with a `qop` that we never offer are none.
    pub fn parse(value: &'m [u8]) -> Option<Credentials<'m>> {
        let params = Params::parse(value)?;
        let counted = match params.get("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                Some((params.get("nc")?, params.get("cnonce")?))
            }
            Some(_) => return None,
        };
        Some(Credentials {
            user: params.get("username")?,
            realm: params.get("realm")?,
            nonce: params.get("nonce")?,
            uri: params.get("uri")?,
            response: params.get("response")?,
            algorithm: Algorithm::of(&params)?,
            counted,
        })
    }

    /// How often the sender has used this nonce, with this time; 1 where it does not count.
    pub fn count(&self) -> Option<u32> {
        let Some((nc, _)) = self.counted else {
            return Some(1);
        };
        let digits = nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit());
        let count = u32::from_str_radix(nc, 16).ok().filter(|_| digits)?;
        (count > 0).then_some(count)
    }

    /// Whether they prove that their sender knows `password`, for a request with this method.
    pub fn prove(&self, password: &str, method: &str) -> bool {
        let proof = Proof {
            algorithm: self.algorithm,
            user: self.user,
            realm: self.realm,
            password,
            nonce: self.nonce,
            method,
            uri: self.uri,
            counted: self.counted,
        };
        let (right, given) = (proof.response(), self.response.as_bytes());
        // In time that does not tell how much of it is right.
        let differing = right
            .bytes()
            .zip(given)
            .fold(0, |all, (a, b)| all | (a ^ b.to_ascii_lowercase()));
        right.len() == given.len() && differing == 0
    }
}

/// Parameters of one header; more are not looked at.
const PARAMS_MAX: usize = 32;

/// `Digest name=value, name="value", …` (RFC 3261 §25.1).
struct Params<'m>(smallvec::SmallVec<[(&'m str, &'m str); 12]>);

impl<'m> Params<'m> {
    fn parse(value: &'m [u8]) -> Option<Params<'m>> {
        let text = std::str::from_utf8(value).ok()?;
        let (scheme, mut rest) = text.split_once([' ', '\t', '\r', '\n'])?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut params = Params(smallvec::SmallVec::new());
        while params.0.len() < PARAMS_MAX {
            rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
            if rest.is_empty() {
                break;
            }
            let (name, behind) = rest.split_once('=')?;
            let (value, behind) = value_of(trim_text(behind))?;
            params.0.push((trim_text(name), value));
            rest = trim_text(behind);
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
        Some(params)
    }

    /// The value of the parameter with this name; of two, none: each may mean another.
    fn get(&self, name: &str) -> Option<&'m str> {
        let mut found = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| *value);
        value.filter(|_| found.next().is_none())
    }
}

/// A token, or what stands between quotes; and what comes behind.
fn value_of(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, behind) = text.split_at(end);
        return Some((trim_text(value), behind));
    };
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&quoted[..at], &quoted[at + 1..])),
            _ => {}
        }
    }
    None
}

fn trim_text(text: &str) -> &str {
    let trimmed = trim(text.as_bytes());
    std::str::from_utf8(trimmed).expect("what is cut off is ASCII")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Algorithm, Challenge, Credentials, Proof};

    /// S14: the examples of RFC 2617 §3.5 and RFC 7616 §3.9.1.
    #[test]
    fn proofs_are_those_of_the_rfcs() {
        let mufasa = Proof {
            algorithm: Algorithm::Md5,
            user: "Mufasa",
            realm: "testrealm@host.com",
            password: "Circle Of Life",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            method: "GET",
            uri: "/dir/index.html",
            counted: Some(("00000001", "0a4f113b")),
        };
        assert_eq!(mufasa.response(), "6629fae49393a05397450978507c4ef1");
        let plain = Proof {
            counted: None,
            ..mufasa
        };
        assert_eq!(plain.response(), "670fd8c2df070c60b045671b8b24ff02");
        let newer = Proof {
            realm: "http-auth@example.org",
            password: "Circle of Life",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            counted: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
            ..mufasa
        };
        assert_eq!(newer.response(), "8ca523f5e9506fed4657c9700eebdbec");
        let sha = Proof {
            algorithm: Algorithm::Sha256,
            ..newer
        };
        let expected = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert_eq!(sha.response(), expected);
    }

    /// S14: a challenge is met with what it asks for, and that proves the password.
    #[test]
    fn a_challenge_is_met() {
        for (algorithm, qop) in [("MD5", "auth"), ("SHA-256", "auth-int, auth"), ("md5", "")] {
            let qop = match qop {
                "" => String::new(),
                qop => format!(", qop=\"{qop}\""),
            };
            let text = format!(
                "DIGEST realm=\"a, b=c\",nonce=\"n\",\r\n algorithm={algorithm} , opaque=\"\"{qop},stale=TRUE, x=y"
            );
            let challenge = Challenge::parse(text.as_bytes()).unwrap();
            assert_eq!((challenge.realm, challenge.stale), ("a, b=c", true));
            let met = challenge.met_by("bob", "secret", "INVITE", "sip:1@x", "c0");
            let given = Credentials::parse(met.as_bytes()).unwrap();
            assert_eq!(
                (given.user, given.uri, given.count()),
                ("bob", "sip:1@x", Some(1))
            );
            assert!(given.prove("secret", "INVITE"), "{met}");
            assert!(!given.prove("Secret", "INVITE") && !given.prove("secret", "BYE"));
            assert!(met.ends_with("opaque=\"\""), "{met}");
        }
    }

    #[test]
    fn what_cannot_be_met_is_no_challenge() {
        for text in [
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"open",
            "Digest realm=\"x\", nonce=\"n\", algorithm=SHA-512-256",
            "Digest realm=\"x\", nonce=\"n\", algorithm=MD5-sess",
            "Digest realm=\"x\", nonce=\"n\", qop=\"auth-int\"",
            "Digest realm=\"x\", nonce=\"n\", nonce=\"m\"",
            "Digest realm=\"x\" nonce=\"n\"",
        ] {
            assert_eq!(Challenge::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(
            Challenge::parse(b"Digest realm=\"\xff\", nonce=\"n\""),
            None
        );
        let many = format!("Digest {}realm=\"x\", nonce=\"n\"", "a=b,".repeat(100_000));
        assert_eq!(Challenge::parse(many.as_bytes()), None);
    }

    #[test]
    fn counts_are_eight_hexadecimal_digits() {
        let count = |nc: &str| {
            let text = format!(
                "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"00\", \
                 qop=auth, nc={nc}, cnonce=\"c\""
            );
            Credentials::parse(text.as_bytes()).unwrap().count()
        };
        assert_eq!(count("0000000a"), Some(10));
        for bad in ["00000000", "1", "+0000001", "zzzzzzzz", "0000000000000001"] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }
}
