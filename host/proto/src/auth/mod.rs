//! Digest authentication of trunks (RFC 3261 §22): what the configuration says of it, and the machines
//! that remember nonces.
//!
//! - `door`: who may come in: requests of a trunk's peers are challenged, credentials checked
//! - `nonce`: our word in a challenge, that needs no memory, and which uses of it were seen
//! - `again`: a request that a peer has challenged, printed again with credentials
//!
//! Passwords never appear in `Debug`, in events or in answers to operators.

pub(crate) mod again;
pub(crate) mod door;
pub(crate) mod nonce;

use std::fmt;
use std::sync::Arc;

use intertrunk_sip::auth::Algorithm;

use crate::trunk::Peer;

/// A password. Shown as nothing wherever something is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes one.
    pub fn new(password: &str) -> Secret {
        Secret(password.into())
    }

    /// The password itself, for a proof and for nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// By what we answer the challenges of a trunk's peers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// Our name there.
    pub user: Arc<str>,
    /// Our password there.
    pub password: Secret,
    /// The only realm that gets a proof of it; any if absent.
    pub realm: Option<Arc<str>>,
}

/// Where we register, and as whom (RFC 3261 §10.2).
#[derive(Clone, Debug)]
pub struct Register {
    /// Our address of record there, a URI.
    pub aor: Arc<str>,
    /// Who is asked.
    pub registrar: Peer,
    /// User part of our Contact.
    pub contact_user: Arc<str>,
    /// For how long, in seconds.
    pub expires_s: u32,
    /// The trunk is down while we are not registered.
    pub required: bool,
}

impl Register {
    /// Whether both make the same registration.
    pub(crate) fn is_same_as(&self, other: &Register) -> bool {
        let registrar = |it: &Register| (Arc::clone(&it.registrar.uri), it.registrar.transport);
        (
            &self.aor,
            &self.contact_user,
            self.expires_s,
            registrar(self),
        ) == (
            &other.aor,
            &other.contact_user,
            other.expires_s,
            registrar(other),
        )
    }
}

/// What a trunk's peers have to show before a request of theirs is taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Door {
    /// Named in the challenge.
    pub realm: Arc<str>,
    /// Their name.
    pub user: Arc<str>,
    /// Their password.
    pub password: Secret,
    /// 401 as a user agent, or 407 as a proxy.
    pub code: u16,
    /// What is offered, the best one first.
    pub algorithms: Arc<[Algorithm]>,
    /// Whoever shows them is the trunk, wherever it comes from.
    pub anywhere: bool,
}

#[cfg(test)]
mod tests {
    use super::{Login, Secret};

    #[test]
    fn a_password_is_never_shown() {
        let login = Login {
            user: "us".into(),
            password: Secret::new("hunter2"),
            realm: None,
        };
        assert!(!format!("{login:?}").contains("hunter2"));
        assert_eq!(login.password.reveal(), "hunter2");
    }
}
