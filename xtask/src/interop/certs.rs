//! Certificates of one run: an authority, and what it signs. Nothing of them is kept beyond the
//! run's folder.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Makes `ca.pem`, and for each file name and its hosts, which are DNS names or addresses, `NAME.pem`
/// with `NAME.key`, in `dir`.
pub fn make(dir: &Path, certificates: &[(&str, &[&str])]) -> Result<()> {
    let mut authority = CertificateParams::default();
    // Otherwise all are called the same, and OpenSSL takes each for its own issuer.
    authority
        .distinguished_name
        .push(DnType::CommonName, "interop authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    fs::write(dir.join("ca.pem"), authority.self_signed(&key)?.pem())?;
    let authority = Issuer::new(authority, key);
    for (name, hosts) in certificates {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let key = KeyPair::generate()?;
        let signed = CertificateParams::new(hosts)?.signed_by(&key, &authority)?;
        fs::write(dir.join(format!("{name}.pem")), signed.pem())?;
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}
