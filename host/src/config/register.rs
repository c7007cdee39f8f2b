//! `register` of a trunk: where we register, as whom and for how long.

use std::sync::Arc;

use intertrunk_proto::auth::{Login, Register};
use intertrunk_proto::trunk::Peer;
use intertrunk_sip::{Scheme, Uri};

use super::file::PeerEntry;
use super::read::{At, Place, Section, Source};
use super::value::{self, Complaint};

/// `register = { … }`
pub struct RegisterEntry {
    pub place: Place,
    /// A peer of its own, unless the trunk's first one is the registrar.
    pub registrar: Option<At<PeerEntry>>,
    aor: Option<At<String>>,
    contact_user: Option<At<String>>,
    expires_s: u32,
    required: bool,
}

/// Reads `register`.
pub fn read(s: Section<'_>) -> RegisterEntry {
    let bare = |text: &str| {
        Ok(PeerEntry {
            uri: value::peer(text)?,
            priority: 0,
            weight: 1,
        })
    };
    let entry = RegisterEntry {
        place: s.place().clone(),
        registrar: s.parsed("registrar", bare),
        aor: s.parsed("aor", aor),
        contact_user: s.parsed("contact_user", contact_user),
        expires_s: s
            .parsed("expires", value::seconds(60..=604_800))
            .map_or(3600, |at| at.value),
        required: s.flag("required").unwrap_or(false),
    };
    s.finish();
    entry
}

/// An address of record: `sip:4711@carrier.example`.
fn aor(text: &str) -> Result<String, Complaint> {
    let uri = Uri::parse(text).ok().filter(|uri| {
        let sip = matches!(uri.scheme, Scheme::Sip | Scheme::Sips);
        sip && uri.user.is_some() && uri.params.is_empty() && uri.headers.is_none()
    });
    let problem = || format!("\"{text}\" is no address of record");
    uri.map(|_| text.to_owned())
        .ok_or_else(|| Complaint::new(problem(), "write aor = \"sip:4711@carrier.example\""))
}

fn contact_user(text: &str) -> Result<String, Complaint> {
    let written = format!("sip:{text}@x");
    let alone = |uri: &Uri<'_>| uri.user == Some(text) && uri.host == "x";
    match Uri::parse(&written) {
        Ok(uri) if alone(&uri) => Ok(text.to_owned()),
        _ => {
            let problem = format!("\"{text}\" is no user of a URI");
            Err(Complaint::new(problem, "write contact_user = \"edge\""))
        }
    }
}

impl RegisterEntry {
    /// The registration; none after what is wrong with it was reported.
    pub fn build(
        &self,
        source: &Source<'_>,
        registrar: Peer,
        login: Option<&Login>,
    ) -> Option<Arc<Register>> {
        let aor = match (&self.aor, login) {
            (Some(at), _) => at.value.clone(),
            (None, Some(login)) => {
                let host = registrar.host_port.split(':').next().unwrap_or_default();
                format!("sip:{}@{host}", login.user)
            }
            (None, None) => {
                let key = format!("{}.aor", self.place.key);
                let place = Place {
                    key,
                    offset: self.place.offset,
                };
                source.missing(
                    &place,
                    "missing",
                    "write aor = \"sip:4711@carrier.example\"",
                );
                return None;
            }
        };
        let user = Uri::parse(&aor)
            .ok()
            .and_then(|uri| uri.user.map(str::to_owned));
        let user = self
            .contact_user
            .as_ref()
            .map(|at| at.value.clone())
            .or(user);
        Some(Arc::new(Register {
            aor: aor.into(),
            registrar,
            contact_user: user?.into(),
            expires_s: self.expires_s,
            required: self.required,
        }))
    }
}
