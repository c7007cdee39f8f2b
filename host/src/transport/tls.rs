//! TLS for stream listeners: certificates in, sessions out, and the names that a peer has proved.
//!
//! One [`Tls`] holds both directions of a listener. It is immutable: a reload makes another one,
//! and connections keep what they began with. Reads no files.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

/// One connection's TLS.
pub type Session = Box<rustls::Connection>;

/// Both directions of one listener.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    client: Option<Arc<ClientConfig>>,
}

/// What a [`Tls`] is made of, as PEM.
#[derive(Clone, Copy, Debug)]
pub struct Pems<'p> {
    /// Our certificate, and those between it and the root.
    pub cert: &'p [u8],
    /// Its private key.
    pub key: &'p [u8],
    /// Who may have signed the certificates of those who connect. With it each must show one.
    pub client_ca: Option<&'p [u8]>,
    /// Who may have signed the certificates of those whom we connect to.
    pub ca: Option<&'p [u8]>,
}

/// Which of the [`Pems`] cannot be used, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct TlsFault {
    /// Its key in the configuration.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

fn fault<E: fmt::Display>(key: &'static str) -> impl Fn(E) -> TlsFault {
    move |error| TlsFault {
        key,
        problem: error.to_string(),
    }
}

impl Tls {
    /// Checks everything that can be checked without a peer: that the key is the certificate's, and
    /// that each file holds what it should.
    pub fn of(pems: &Pems<'_>) -> Result<Tls, TlsFault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates("cert", pems.cert)?;
        let key = PrivateKeyDer::from_pem_slice(pems.key)
            .map_err(|error| fault("key")(format!("no private key in it: {error}")))?;
        let server = server_side(&provider, pems, chain.clone(), key.clone_key())?;
        let client = match pems.ca.or(pems.client_ca) {
            Some(ca) => Some(client_side(&provider, ca, chain, key)?),
            None => None,
        };
        Ok(Tls { server, client })
    }

    /// The session of somebody who connected.
    pub fn accept(&self) -> Result<Session, rustls::Error> {
        let session = ServerConnection::new(Arc::clone(&self.server))?;
        Ok(Box::new(session.into()))
    }

    /// The session with a host that we connect to; its certificate must be for this name or address.
    pub fn connect(&self, host: &str) -> Result<Session, rustls::Error> {
        let client = self.client.as_ref();
        let client = client.ok_or(rustls::Error::General(
            "no `ca` to know peers by".to_owned(),
        ))?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| rustls::Error::General(format!("`{host}` is no name of a host")))?;
        let session = ClientConnection::new(Arc::clone(client), name)?;
        Ok(Box::new(session.into()))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn server_side(
    provider: &Arc<CryptoProvider>,
    pems: &Pems<'_>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsFault> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(fault("cert"))?;
    let builder = match pems.client_ca {
        Some(ca) => {
            let roots = Arc::new(roots("client_ca", ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
            builder.with_client_cert_verifier(verifier.build().map_err(fault("client_ca"))?)
        }
        None => builder.with_no_client_auth(),
    };
    let config = builder
        .with_single_cert(chain, key)
        .map_err(fault("cert"))?;
    Ok(Arc::new(config))
}

fn client_side(
    provider: &Arc<CryptoProvider>,
    ca: &[u8],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>, TlsFault> {
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(fault("cert"))?
        .with_root_certificates(roots("ca", ca)?)
        .with_client_auth_cert(chain, key)
        .map_err(fault("cert"))?;
    Ok(Arc::new(config))
}

fn roots(key: &'static str, pem: &[u8]) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, pem)? {
        roots.add(certificate).map_err(fault(key))?;
    }
    Ok(roots)
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| fault(key)(format!("no PEM: {error}")))?;
    if all.is_empty() {
        return Err(fault(key)("no certificate in it"));
    }
    Ok(all)
}

/// The host names of a peer's certificate, which the session has found valid: those of type DNS and
/// those of `sip` URIs (RFC 5922 §7.1). None if it showed none.
pub fn names_of(session: &rustls::Connection) -> Vec<String> {
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let Some(certificate) = shown.and_then(|der| webpki::EndEntityCert::try_from(der).ok()) else {
        return Vec::new();
    };
    let of_uris = certificate.valid_uri_names().filter_map(|uri| {
        // A URI with a user names a person, not a host.
        uri.strip_prefix("sip:").filter(|host| !host.contains('@'))
    });
    let names = certificate.valid_dns_names().chain(of_uris);
    names.map(str::to_ascii_lowercase).collect()
}
