//! What a question was about, kept over an inquiry.
//!
//! The answers to an inquiry take the place of the cause: where a call was redirected or transferred to is
//! not said again. So it travels in the cookie, each text with its length before it, since a peer may put
//! anything into a URI.

use std::str;

use crate::{Cause, Inquiry, Param, Party, Query, Scheme, Transfer};

const REDIRECTED: &str = "redirected";
const TRANSFERRED: &str = "transferred";

impl Inquiry {
    /// Keeps why the policy was asked, for [`Query::recalled`]. Takes the place of a cookie.
    pub fn recall(mut self, query: &Query) -> Self {
        let mut text = String::new();
        match &query.cause {
            Cause::Redirected(targets) => {
                put(&mut text, REDIRECTED);
                targets.iter().for_each(|it| put_party(&mut text, it));
            }
            Cause::Transferred(transfer) => {
                put(&mut text, TRANSFERRED);
                put(&mut text, &transfer.by);
                put(&mut text, if transfer.replaces { "replaces" } else { "" });
                put_party(&mut text, &transfer.target);
            }
            Cause::NewCall | Cause::Exhausted(_) | Cause::Answered(_) => {}
        }
        self.cookie = text.into_bytes();
        self
    }
}

impl Query {
    /// Why the policy was asked before it inquired, if that was a redirection or a transfer and the
    /// inquiry kept it ([`Inquiry::recall`]).
    ///
    /// ```
    /// # use intertrunk_sdk::{Answer, Cause, Inquiry, Party, Transfer};
    /// let mut query = intertrunk_sdk::test::query("pbx-a", "+14255550100");
    /// let target = query.callee().clone();
    /// query.cause = Cause::Transferred(Transfer { by: "pbx-b".into(), target, replaces: false });
    /// let inquiry = Inquiry::of("lnp", "+14255550100").recall(&query);
    ///
    /// query.cause = Cause::Answered(Vec::new());
    /// query.cookie = inquiry.cookie;
    /// assert!(matches!(query.recalled(), Some(Cause::Transferred(it)) if it.by == "pbx-b"));
    /// ```
    pub fn recalled(&self) -> Option<Cause> {
        let Cause::Answered(_) = self.cause else {
            return None;
        };
        let mut rest = str::from_utf8(&self.cookie).ok()?;
        let rest = &mut rest;
        match take(rest)? {
            REDIRECTED => {
                let mut targets = Vec::new();
                while !rest.is_empty() {
                    targets.push(take_party(rest)?);
                }
                Some(Cause::Redirected(targets))
            }
            TRANSFERRED => Some(Cause::Transferred(Transfer {
                by: take(rest)?.to_owned(),
                replaces: !take(rest)?.is_empty(),
                target: take_party(rest)?,
            })),
            _ => None,
        }
    }
}

fn put(to: &mut String, text: &str) {
    to.extend([text.len().to_string().as_str(), ":", text]);
}

fn take<'t>(from: &mut &'t str) -> Option<&'t str> {
    let (length, rest) = from.split_once(':')?;
    let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
    *from = rest;
    Some(text)
}

fn put_party(to: &mut String, party: &Party) {
    put_option(to, party.display.as_deref());
    put(
        to,
        match party.scheme {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Other => "",
        },
    );
    put(to, &party.user);
    put(to, &party.host);
    put(to, &party.params.len().to_string());
    for param in &party.params {
        put(to, &param.name);
        put_option(to, param.value.as_deref());
    }
}

fn take_party(from: &mut &str) -> Option<Party> {
    Some(Party {
        display: take_option(from)?,
        scheme: match take(from)? {
            "sip" => Scheme::Sip,
            "sips" => Scheme::Sips,
            "tel" => Scheme::Tel,
            _ => Scheme::Other,
        },
        user: take(from)?.to_owned(),
        host: take(from)?.to_owned(),
        params: {
            let count: usize = take(from)?.parse().ok()?;
            let param = |_| {
                Some(Param {
                    name: take(from)?.to_owned(),
                    value: take_option(from)?,
                })
            };
            (0..count).map(param).collect::<Option<_>>()?
        },
    })
}

/// A text that may not be there is one more text before it.
fn put_option(to: &mut String, text: Option<&str>) {
    put(to, if text.is_some() { "is" } else { "" });
    put(to, text.unwrap_or_default());
}

fn take_option(from: &mut &str) -> Option<Option<String>> {
    let is_there = !take(from)?.is_empty();
    let text = take(from)?;
    Some(is_there.then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::test::query;

    fn party(user: &str) -> Party {
        let param = |name: &str, value: Option<&str>| Param {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        Party {
            display: Some("Zoë: 3:a".to_owned()),
            scheme: Scheme::Tel,
            user: user.to_owned(),
            host: String::new(),
            params: vec![param("npdi", None), param("rn", Some(""))],
        }
    }

    /// What comes back of a cause, as text: the contract's types are not compared.
    fn kept(cause: Cause) -> Option<String> {
        let mut query = query("pbx-a", "0100");
        query.cause = cause;
        let cookie = Inquiry::of("lnp", "1").recall(&query).cookie;
        query.cause = Cause::Answered(Vec::new());
        query.cookie = cookie;
        query.recalled().map(|it| format!("{it:?}"))
    }

    #[test]
    fn what_was_asked_comes_back() {
        let plain = Party {
            display: None,
            params: Vec::new(),
            ..party("12:\u{1f}é")
        };
        let transfer = |replaces| {
            Cause::Transferred(Transfer {
                by: "pbx-b".to_owned(),
                target: party("+1"),
                replaces,
            })
        };
        for cause in [
            Cause::Redirected(vec![party("a"), plain]),
            transfer(true),
            transfer(false),
        ] {
            assert_eq!(kept(cause.clone()), Some(format!("{cause:?}")));
        }
        assert_eq!(kept(Cause::NewCall), None);
    }

    #[test]
    fn other_cookies_are_nothing() {
        let mut query = query("pbx-a", "0100");
        query.cause = Cause::Answered(Vec::new());
        for cookie in [
            "",
            "x",
            "9:redirected",
            "11:transferred",
            "99:",
            "11:transferred5:pbx",
        ] {
            query.cookie = cookie.as_bytes().to_vec();
            assert!(query.recalled().is_none(), "{cookie}");
        }
        query.cookie = vec![0xff];
        assert!(query.recalled().is_none());
    }
}
