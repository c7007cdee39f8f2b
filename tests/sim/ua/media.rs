//! Session descriptions of a model user agent: full of what nobody beyond the host may see, but for
//! the address of its media.

use bytes::Bytes;
use intertrunk_sip::{Builder, Name};

use super::Ua;

impl Ua {
    /// Ends a message, with a description that plays this part ("offer" or "answer") if any.
    pub(super) fn finish(&self, mut b: Builder, part: Option<&str>) -> Bytes {
        let body = part.map(|part| self.description(part));
        if body.is_some() {
            b.header(Name::ContentType, "application/sdp");
        }
        b.finish(body.as_deref().map(str::as_bytes))
    }

    /// The last line tells the part, and has no end.
    fn description(&self, part: &str) -> String {
        let (name, address) = (&self.name, self.address.ip());
        let media = address.to_string().replacen("127.", "10.", 1);
        format!(
            "v=0\r\no=agent-{name} 1 1 IN IP4 {address}\r\ns=a call of agent-{name}\r\n\
             i=from {address}\r\nu=http://{address}\r\ne=admin@agent-{name}\r\nc=IN IP4 {media}\r\n\
             t=0 0\r\na=tool:agent-{name}\r\nm=audio 4000 RTP/AVP 0\r\na=part:{part}"
        )
    }
}
