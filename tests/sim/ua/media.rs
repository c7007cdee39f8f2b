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

    /// Lines that tell about this side to whoever may not know, in as many headers as do.
    pub(super) fn put_tell_tales(&self, b: &mut Builder) {
        let (name, address) = (&self.name, self.address);
        let uri = format!("sip:5550100@{address}");
        let tales = [
            ("P-Asserted-Identity", format!("\"Tale\" <{uri}>")),
            ("Remote-Party-ID", format!("<{uri}>;party=calling")),
            (
                "Diversion",
                format!("<{uri};transport=udp>;reason=user-busy;host={address}"),
            ),
            (
                "History-Info",
                format!("<{uri};maddr={address}>;index=1;foo={address}"),
            ),
            ("Referred-By", format!("<{uri}>")),
            ("Reply-To", format!("<{uri}>")),
            (
                "Call-Info",
                format!("<http://{address}/photo>;purpose=icon"),
            ),
            ("Alert-Info", format!("<http://agent-{name}/ring.wav>")),
            ("Error-Info", format!("<sip:sorry@agent-{name}>")),
            ("Organization", format!("agent-{name}")),
            ("Warning", format!("399 {address} \"agent-{name} warns\"")),
            ("In-Reply-To", format!("call-{name}-1")),
            (
                "Identity",
                format!("x.y.z;info=<https://agent-{name}/cert>"),
            ),
            (
                "P-Charging-Vector",
                format!("icid-value=1;icid-generated-at={address}"),
            ),
            ("P-Charging-Function-Addresses", format!("ccf={address}")),
            ("Target-Dialog", format!("call-{name}-1;local-tag=x")),
            ("Authorization", format!("Digest username=\"agent-{name}\"")),
        ];
        for (name, value) in tales {
            b.other(name, &value);
        }
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
