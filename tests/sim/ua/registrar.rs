//! A user agent that is a registrar, too (RFC 3261 §10.3).

use intertrunk_sip::{Message, Method, Name, reply};

use super::Ua;

/// How it answers REGISTER.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// The least interval, in seconds, that it puts up with; 0 always passes.
    pub least: u32,
    /// What it grants, if not what is asked for.
    pub gives: Option<u32>,
    /// A code instead.
    pub refuses: Option<u16>,
    /// Nothing at all.
    pub silent: bool,
}

impl Ua {
    /// Whether a message was a REGISTER, and is dealt with.
    pub(super) fn registers(&mut self, request: &Message) -> bool {
        let Some(grants) = self.grants.clone() else {
            return false;
        };
        if !request.is_request() || *request.method() != Method::Register {
            return false;
        }
        if grants.silent {
            return true;
        }
        let asked = request.u32_header(Name::Expires).unwrap_or(0);
        let code = match grants.refuses {
            Some(code) => code,
            None if asked > 0 && asked < grants.least => 423,
            None => 200,
        };
        let phrase = intertrunk_sip::reason_phrase(code);
        let mut b = reply(request, code, phrase, Some("registrar"), Some(self.host));
        if code == 423 {
            b.header_fmt(Name::MinExpires, format_args!("{}", grants.least));
        }
        let contact = request.contact().and_then(Result::ok);
        if let (200, Some(contact)) = (code, contact) {
            let granted = grants.gives.filter(|_| asked > 0).unwrap_or(asked);
            let uri = contact.uri;
            b.header_fmt(
                Name::Contact,
                format_args!("<sip:other@192.0.2.1>;expires=9, <{uri}>;expires={granted}"),
            );
        }
        let bytes = self.finish(b, None);
        self.out.push(bytes);
        true
    }
}
