//! From an INVITE, or from numbers typed by a person, to the question that a policy is asked.

use std::net::SocketAddr;

use intertrunk_sip::{Message, Name, NameAddr, Scheme as UriScheme, Uri, unfold};

use crate::ask::{CallFacts, HeaderField, Param, Party, Privacy, Query, Scheme};
use crate::trunk::Trunk;

/// The question about a new call that came in as `invite`.
pub fn of_invite(invite: &Message, ingress: &Trunk, source: SocketAddr, call: &str) -> Query {
    let request_uri = party_of_uri(invite.request_uri(), None);
    let caller = invite.from().map(|from| party(&from)).unwrap_or_default();
    let to_display = invite
        .to()
        .ok()
        .and_then(|to| to.display.map(|d| d.into_owned()));
    let callee = Party {
        display: to_display,
        ..request_uri.clone()
    };
    let trusted = |name| {
        if ingress.identity.trusted {
            parties(invite, name)
        } else {
            Vec::new()
        }
    };
    let facts = CallFacts {
        id: call.to_owned(),
        ingress: ingress.name.to_string(),
        emergency: is_emergency_service(invite.request_uri()),
        privacy: privacy(invite, &caller),
        request_uri,
        caller,
        callee,
        asserted: trusted(Name::PAssertedIdentity),
        diverted: trusted(Name::Diversion),
        source: source.to_string(),
        hops_left: invite.max_forwards().unwrap_or(70),
        headers: Vec::new(),
        extra: Vec::new(),
    };
    Query {
        call: facts,
        ..Query::default()
    }
}

/// The question about a call that nobody has made yet (`intertrunk route`). `to` and `caller` are
/// numbers, or SIP or tel URIs.
pub fn of_numbers(
    ingress: &Trunk,
    to: &str,
    caller: Option<&str>,
    headers: &[(String, String)],
) -> Query {
    let callee = typed_party(to);
    let source = ingress
        .peers
        .first()
        .and_then(|p| p.targets.first())
        .map(|address| address.to_string())
        .unwrap_or_default();
    let facts = CallFacts {
        id: "what-if".to_owned(),
        ingress: ingress.name.to_string(),
        request_uri: callee.clone(),
        caller: caller.map(typed_party).unwrap_or_default(),
        callee,
        source,
        hops_left: 70,
        headers: headers
            .iter()
            .map(|(name, value)| HeaderField {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        emergency: is_emergency_service(to),
        ..CallFacts::default()
    };
    Query {
        call: facts,
        explain: true,
        ..Query::default()
    }
}

/// The headers of `invite` that a policy's manifest names, in the order of the message.
pub fn headers_named(invite: &Message, names: &[String]) -> Vec<HeaderField> {
    let value = |v: &[u8]| String::from_utf8_lossy(&unfold(v)).into_owned();
    names
        .iter()
        .flat_map(|name| {
            let field = |v| HeaderField {
                name: name.clone(),
                value: value(v),
            };
            invite.header_named(name).map(field).collect::<Vec<_>>()
        })
        .collect()
}

/// A party from a name-addr header value.
pub(crate) fn party(addr: &NameAddr<'_>) -> Party {
    party_of_uri(addr.uri, addr.display.as_deref())
}

/// What is said of more parties than this is not looked at: RFC 3325 allows two identities, and a
/// call that was diverted more often goes in circles.
const PARTIES_MAX: usize = 20;

fn parties(message: &Message, name: Name) -> Vec<Party> {
    message
        .values(name)
        .take(PARTIES_MAX)
        .filter_map(|v| NameAddr::parse(v).ok())
        .map(|a| party(&a))
        .collect()
}

fn typed_party(text: &str) -> Party {
    match text.contains(':') {
        true => party_of_uri(text, None),
        false => Party {
            user: text.to_owned(),
            ..Party::default()
        },
    }
}

fn party_of_uri(text: &str, display: Option<&str>) -> Party {
    let display = display.map(str::to_owned);
    let Ok(uri) = Uri::parse(text) else {
        return Party {
            display,
            scheme: Scheme::Other,
            user: text.to_owned(),
            ..Party::default()
        };
    };
    let scheme = match uri.scheme {
        UriScheme::Sip => Scheme::Sip,
        UriScheme::Sips => Scheme::Sips,
        UriScheme::Tel => Scheme::Tel,
        UriScheme::Other => Scheme::Other,
    };
    let host = match uri.port {
        Some(port) => format!("{}:{port}", uri.host),
        None => uri.host.to_owned(),
    };
    let mut user = match scheme {
        // An emergency service (RFC 5031) is named by all of its URN.
        Scheme::Other => uri.other.to_owned(),
        Scheme::Sip | Scheme::Sips | Scheme::Tel => uri.user_decoded().into_owned(),
    };
    if scheme == Scheme::Tel {
        // Visual separators of RFC 3966 §5.1.1 are for people.
        user.retain(|c| !matches!(c, '-' | '.' | '(' | ')'));
    }
    let params = uri
        .params
        .iter()
        .map(|(name, value)| Param {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        })
        .collect();
    Party {
        display,
        scheme,
        user,
        host,
        params,
    }
}

/// Whom an INVITE asks for: the user part of its Request-URI as a policy sees it.
pub(crate) fn asked(invite: &Message) -> String {
    asked_by(invite.request_uri())
}

/// The user part of a URI as a policy sees it.
pub(crate) fn asked_by(uri: &str) -> String {
    party_of_uri(uri, None).user
}

/// RFC 5031: emergency services are a URN, such as `urn:service:sos.fire`.
pub(crate) fn is_emergency_service(request_uri: &str) -> bool {
    let sos = "urn:service:sos";
    let head = request_uri.get(..sos.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(sos))
        && matches!(request_uri.as_bytes().get(sos.len()), None | Some(b'.'))
}

fn privacy(invite: &Message, caller: &Party) -> Privacy {
    let wish = invite
        .header(Name::Privacy)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let asks = |what: &str| {
        wish.split(|b| *b == b';')
            .any(|w| w.trim_ascii() == what.as_bytes())
    };
    let anonymous = caller.host.eq_ignore_ascii_case("anonymous.invalid");
    // RFC 3323 §4.2: `none` rules out every other wish.
    if asks("none") {
        Privacy::None
    } else if asks("id") || asks("full") || asks("header") || anonymous {
        Privacy::Full
    } else if asks("user") {
        Privacy::User
    } else {
        Privacy::None
    }
}

#[cfg(test)]
mod tests;
