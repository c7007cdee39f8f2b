//! Calls for help: which they are, and where they go when nobody else decides (RFC 5031).
//!
//! Such a call passes every limit of a trunk and of the node, and every fault of a policy. What it
//! does not pass: who may call at all, and a verdict that a policy has given.

use crate::io::TrunkId;
use crate::query::{asked_by, is_emergency_service};

/// What the configuration says of emergency calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Emergency {
    /// Numbers that mean one, beside `urn:service:sos`.
    pub numbers: Vec<String>,
    /// Trunks that are tried in this order when a policy fails, or all its candidates did.
    pub route: Vec<TrunkId>,
}

impl Emergency {
    /// Whether a call to this Request-URI, or to this bare number, is one.
    pub fn is_called_by(&self, request_uri: &str) -> bool {
        is_emergency_service(request_uri)
            || (!self.numbers.is_empty() && {
                let asked = match request_uri.contains(':') {
                    true => asked_by(request_uri),
                    false => request_uri.to_owned(),
                };
                // What follows is where the number is meant (RFC 3966 §5.1.5).
                let number = asked.split(';').next().unwrap_or_default();
                self.numbers.iter().any(|n| n == number)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::Emergency;

    /// F17: emergency calls are known by their service, or by a number of the configuration.
    #[test]
    fn known_by_service_or_number() {
        let emergency = Emergency {
            numbers: vec!["911".to_owned(), "+112".to_owned()],
            route: Vec::new(),
        };
        for is in [
            "urn:service:sos",
            "urn:service:sos.fire",
            "sip:911@host",
            "sip:911;phone-context=+1@host:5060;user=phone",
            "tel:9-1-1",
            "sip:%39%31%31@host",
            "sips:+112@host",
            "911",
        ] {
            assert!(emergency.is_called_by(is), "{is}");
        }
        for is_not in [
            "urn:service:counseling",
            "sip:9110@host",
            "sip:112@host",
            "sip:1@911",
            "sip:host",
            "",
        ] {
            assert!(!emergency.is_called_by(is_not), "{is_not}");
        }
        assert!(!Emergency::default().is_called_by("sip:911@host"));
    }
}
