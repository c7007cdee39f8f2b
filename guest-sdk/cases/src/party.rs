//! Parties of a call, read from the short forms that case files use.
//!
//! This is no SIP parser: the host's is. Case files hold what people type.

use std::fmt;

/// Scheme of a party's URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scheme {
    /// `sip:`
    #[default]
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Anything else.
    Other,
}

/// A URI parameter; `None` for a flag without a value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Param {
    /// Name, as written.
    pub name: String,
    /// Value.
    pub value: Option<String>,
}

/// A SIP or tel URI with its display name. `host` is empty for `tel:`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Party {
    /// Display name.
    pub display: Option<String>,
    /// URI scheme.
    pub scheme: Scheme,
    /// User part or telephone number.
    pub user: String,
    /// Host, with port if it was given.
    pub host: String,
    /// URI parameters.
    pub params: Vec<Param>,
}

/// Host part of a party that was written as a bare number.
const BARE_HOST: &str = "case.invalid";

impl Party {
    /// Reads a number (`+14255550100`, `0100`), an address (`alice@example.com`) or a whole
    /// `sip:`, `sips:` or `tel:` URI. A number becomes the user part of a `sip:` URI.
    pub fn read(text: &str) -> Party {
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip") => (Scheme::Sip, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sips") => (Scheme::Sips, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel") => (Scheme::Tel, rest),
            Some((scheme, rest)) if is_scheme(scheme) => (Scheme::Other, rest),
            _ if text.contains('@') => (Scheme::Sip, text),
            _ => {
                return Party {
                    user: text.to_owned(),
                    host: BARE_HOST.to_owned(),
                    ..Party::default()
                };
            }
        };
        // A user part may hold `;`, so parameters begin after the `@` (RFC 3261 §19.1.1).
        let (user, host_and_params) = match (scheme, rest.rsplit_once('@')) {
            (Scheme::Sip | Scheme::Sips, Some((user, host))) => (Some(user), host),
            _ => (None, rest),
        };
        let mut parts = host_and_params.split(';');
        let first = parts.next().unwrap_or_default().to_owned();
        let params = parts.map(read_param).collect();
        let (user, host) = match (scheme, user) {
            (Scheme::Sip | Scheme::Sips, user) => (user.unwrap_or_default().to_owned(), first),
            (Scheme::Tel | Scheme::Other, _) => (first, String::new()),
        };
        Party {
            display: None,
            scheme,
            user,
            host,
            params,
        }
    }

    /// The caller when a case names none: nobody known (RFC 3323 §4.1.1.3).
    pub(crate) fn anonymous() -> Party {
        Party::read("sip:anonymous@anonymous.invalid")
    }
}

/// The URI, without display name.
impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Sip => "sip:",
            Scheme::Sips => "sips:",
            Scheme::Tel => "tel:",
            Scheme::Other => "",
        })?;
        f.write_str(&self.user)?;
        if !self.host.is_empty() {
            let at = if self.user.is_empty() { "" } else { "@" };
            write!(f, "{at}{}", self.host)?;
        }
        for param in &self.params {
            write!(f, ";{}", param.name)?;
            if let Some(value) = &param.value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn read_param(text: &str) -> Param {
    match text.split_once('=') {
        Some((name, value)) => Param {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        },
        None => Param {
            name: text.to_owned(),
            value: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_at(user: &str, host: &str) -> Party {
        Party {
            user: user.to_owned(),
            host: host.to_owned(),
            ..Party::default()
        }
    }

    #[test]
    fn a_number_is_the_user_of_a_sip_uri() {
        assert_eq!(
            Party::read("+14255550100"),
            user_at("+14255550100", BARE_HOST)
        );
        assert_eq!(Party::read("*31"), user_at("*31", BARE_HOST));
    }

    #[test]
    fn an_address_without_scheme_is_sip() {
        assert_eq!(
            Party::read("alice@example.com:5080"),
            user_at("alice", "example.com:5080")
        );
    }

    #[test]
    fn parameters_begin_after_the_host() {
        let party = Party::read("sip:+1425;ext=7@gw.example.com;user=phone;lr");
        assert_eq!(
            (party.user.as_str(), party.host.as_str()),
            ("+1425;ext=7", "gw.example.com")
        );
        let names: Vec<_> = party
            .params
            .iter()
            .map(|param| param.name.as_str())
            .collect();
        assert_eq!(names, ["user", "lr"]);
    }

    #[test]
    fn tel_has_no_host() {
        let party = Party::read("tel:+1-425-555-0100;ext=7");
        assert_eq!(
            (party.scheme, party.user.as_str()),
            (Scheme::Tel, "+1-425-555-0100")
        );
        assert_eq!(party.params, [read_param("ext=7")]);
        assert!(party.host.is_empty());
    }
}
