//! Who answers for a module: an Ed25519 signature (RFC 8032) in the module itself.
//!
//! ```text
//! the module as it was built                      | the custom section `intertrunk-signature`
//! <──────────── what is signed ──────────────────>| 1, public key (32 bytes), signature (64)
//! ```
//!
//! The section is the last one. Without it the module is byte for byte what it was before it was
//! signed, and its SHA-256 is that of these bytes: signing a policy makes no other policy of it.
//! The public key tells whose signature it is; trust comes from the keys of the configuration only.

use std::fmt;
use std::sync::Arc;

use pem::{EncodeConfig, LineEnding, Pem};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::Serialize;

use crate::program::sha256;

/// The name of the section.
const NAME: &[u8] = b"intertrunk-signature";
/// What the section begins with: the version of what follows.
const VERSION: u8 = 1;
/// Bytes of a public key.
const KEY: usize = 32;
/// Bytes of a signature.
const SIGNATURE: usize = 64;
/// Bytes of the preamble of a module.
const PREAMBLE: usize = 8;
/// The id of custom sections.
const CUSTOM: u8 = 0;

/// A PKCS#8 document (RFC 8410 §7) up to the 32 bytes of the private key.
const PKCS8: &[u8] = &[
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];
/// A SubjectPublicKeyInfo (RFC 8410 §4) up to the 32 bytes of the public key.
const SPKI: &[u8] = &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

/// A key that tells who signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY]);

/// Why a text is not the key that it should be. Who knows its file adds the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyFault {
    /// No PEM.
    #[error(
        "this is no PEM file; make keys with `intertrunk policy keygen NAME`, or with `openssl \
         genpkey -algorithm ed25519`"
    )]
    NotPem,
    /// A private key where a public one belongs.
    #[error("this is a private key, which belongs to who signs; name the public key here")]
    Private,
    /// A public key where a private one belongs.
    #[error("this is a public key, which cannot sign; name the private key")]
    Public,
    /// Another kind of key.
    #[error("this is no Ed25519 key; make one with `openssl genpkey -algorithm ed25519`")]
    NotEd25519,
}

/// Why the signature of a module is not good enough.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureFault {
    /// None.
    #[error("it is not signed; sign it with `intertrunk policy sign --key KEY WASM`")]
    Unsigned,
    /// Signed, but by nobody who is trusted.
    #[error(
        "it is signed by {0}, which is not a trusted key; add that key to `signing.keys`, or have \
         it signed by one that is there"
    )]
    Untrusted(PublicKey),
    /// Not the bytes that were signed.
    #[error(
        "it was changed after {0} had signed it, or its signature was; get it anew from who \
         signed it"
    )]
    Changed(PublicKey),
    /// A section of that name with something else in it.
    #[error("its signature cannot be read ({0}); sign it again with `intertrunk policy sign`")]
    Malformed(&'static str),
}

/// Whose modules a policy may be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
    /// SHA-256 of files that need no signature.
    inside: Vec<String>,
}

/// A module and its signature.
pub struct Signed<'m> {
    /// What was signed, or would be: all but the signature.
    pub module: &'m [u8],
    /// The signature, if there is one; it has not been verified.
    seal: Option<Seal>,
}

struct Seal {
    by: PublicKey,
    signature: [u8; SIGNATURE],
}

/// What `inspect` says of a signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SignedBy {
    /// Whose key.
    pub key: PublicKey,
    /// Whether the module is what that key signed.
    pub intact: bool,
}

impl SigningKey {
    /// A new one, of the operating system's randomness.
    ///
    /// # Errors
    /// If there is none.
    pub fn generate() -> Result<(SigningKey, String), std::io::Error> {
        let mut seed = [0; KEY];
        let no_randomness = |_| std::io::Error::other("the system gives no randomness");
        SystemRandom::new().fill(&mut seed).map_err(no_randomness)?;
        let text = to_pem(PRIVATE, &[PKCS8, &seed].concat());
        let key = SigningKey::from_pem(&text).expect("32 bytes behind this head are a key");
        Ok((key, text))
    }

    /// The key in a PEM file (PKCS#8).
    ///
    /// # Errors
    /// What it is instead.
    pub fn from_pem(text: &str) -> Result<SigningKey, KeyFault> {
        let pem = pem::parse(text).map_err(|_| KeyFault::NotPem)?;
        if pem.tag() == PUBLIC {
            return Err(KeyFault::Public);
        }
        // Not checked against the public key, which openssl does not write beside it.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pem.contents());
        pair.map(SigningKey).map_err(|_| KeyFault::NotEd25519)
    }

    /// The key that verifies.
    pub fn public(&self) -> PublicKey {
        let bytes = self.0.public_key().as_ref();
        PublicKey(bytes.try_into().expect("Ed25519 keys have 32 bytes"))
    }

    /// `module` with this key's signature in place of the one that it may have.
    ///
    /// # Errors
    /// [`SignatureFault::Malformed`] if it is no module, or has half a signature.
    pub fn sign(&self, module: &[u8]) -> Result<Vec<u8>, SignatureFault> {
        let Signed { module, .. } = Signed::of(module)?;
        let signature = self.0.sign(module);
        let content = [&[VERSION], self.public().0.as_slice(), signature.as_ref()].concat();
        let short = |length| u8::try_from(length).expect("both are shorter than 128 bytes");
        let head = [
            CUSTOM,
            short(1 + NAME.len() + content.len()),
            short(NAME.len()),
        ];
        let signed = [module, &head, NAME, &content].concat();
        match Signed::of(&signed)?.seal {
            Some(_) => Ok(signed),
            None => Err(SignatureFault::Malformed("the module is torn")),
        }
    }
}

impl PublicKey {
    /// The key in a PEM file (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// What it is instead.
    pub fn from_pem(text: &str) -> Result<PublicKey, KeyFault> {
        let pem = pem::parse(text).map_err(|_| KeyFault::NotPem)?;
        if pem.tag().ends_with(PRIVATE) {
            return Err(KeyFault::Private);
        }
        let key = pem.contents().strip_prefix(SPKI);
        key.and_then(|key| key.try_into().ok())
            .map(PublicKey)
            .ok_or(KeyFault::NotEd25519)
    }

    /// As PEM.
    pub fn to_pem(self) -> String {
        to_pem(PUBLIC, &[SPKI, &self.0].concat())
    }
}

/// The first half of the SHA-256 of its SubjectPublicKeyInfo, as `openssl pkey -pubin -outform DER |
/// sha256sum` prints it.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sha256(&[SPKI, &self.0].concat())[..32])
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Trust {
    /// Trusts modules that one of `keys` signed, and those in `inside` as they are.
    pub fn new(keys: &[PublicKey], inside: &[&[u8]]) -> Arc<Trust> {
        Arc::new(Trust {
            keys: keys.to_vec(),
            inside: inside.iter().map(|module| sha256(module)).collect(),
        })
    }

    /// Whether `signed` may be run.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, signed: &Signed<'_>) -> Result<(), SignatureFault> {
        let Some(seal) = &signed.seal else {
            let is_inside = self.inside.contains(&sha256(signed.module));
            return is_inside.then_some(()).ok_or(SignatureFault::Unsigned);
        };
        if !self.keys.contains(&seal.by) {
            return Err(SignatureFault::Untrusted(seal.by));
        }
        let intact = seal.fits(signed.module);
        intact.then_some(()).ok_or(SignatureFault::Changed(seal.by))
    }
}

impl<'m> Signed<'m> {
    /// Takes a module and its signature apart.
    ///
    /// # Errors
    /// [`SignatureFault::Malformed`]
    pub fn of(file: &'m [u8]) -> Result<Signed<'m>, SignatureFault> {
        let unsigned = Signed {
            module: file,
            seal: None,
        };
        let Some(mut rest) = file.get(PREAMBLE..) else {
            return Ok(unsigned);
        };
        // What cannot be read as sections is for the compiler to refuse: it is not signed.
        while let Some((id, content, after)) = section(rest) {
            let Some(content) = content.strip_prefix(&PREFIX).filter(|_| id == CUSTOM) else {
                rest = after;
                continue;
            };
            if !after.is_empty() {
                return Err(SignatureFault::Malformed("something follows it"));
            }
            return Ok(Signed {
                module: &file[..file.len() - rest.len()],
                seal: Some(Seal::read(content)?),
            });
        }
        Ok(unsigned)
    }

    /// Whose signature it has.
    pub fn by(&self) -> Option<SignedBy> {
        self.seal.as_ref().map(|seal| SignedBy {
            key: seal.by,
            intact: seal.fits(self.module),
        })
    }
}

/// The name as a custom section's content begins with it.
const PREFIX: [u8; 1 + NAME.len()] = {
    let mut prefix = [NAME.len() as u8; 1 + NAME.len()];
    let mut at = 0;
    while at < NAME.len() {
        prefix[at + 1] = NAME[at];
        at += 1;
    }
    prefix
};

impl Seal {
    fn read(content: &[u8]) -> Result<Seal, SignatureFault> {
        let malformed = SignatureFault::Malformed;
        let (&version, content) = content.split_first().ok_or(malformed("it is empty"))?;
        if version != VERSION {
            return Err(malformed("its version is unknown here"));
        }
        let (by, signature) = content
            .split_first_chunk()
            .ok_or(malformed("it is too short"))?;
        Ok(Seal {
            by: PublicKey(*by),
            signature: signature
                .try_into()
                .map_err(|_| malformed("it has another length"))?,
        })
    }

    fn fits(&self, module: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.by.0);
        key.verify(module, &self.signature).is_ok()
    }
}

/// As openssl writes it on this system.
fn to_pem(tag: &str, der: &[u8]) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(tag, der), lines)
}

/// The id and the content of the first section in `bytes`, and what follows it.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&id, mut rest) = bytes.split_first()?;
    let mut length = 0_u64;
    // LEB128 of 32 bits: five bytes at most.
    for shift in (0..35).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let (content, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            return Some((id, content, after));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A component with two sections, the second of which pretends to hold a signature.
    fn module() -> Vec<u8> {
        let mut module = b"\0asm\x0d\0\x01\0".to_vec();
        for name in ["first", "intertrunk-signaturf"] {
            let length = u8::try_from(1 + name.len() + 3).unwrap();
            module.extend([CUSTOM, length, u8::try_from(name.len()).unwrap()]);
            module.extend(name.as_bytes());
            module.extend([1, 2, 3]);
        }
        module
    }

    fn key() -> SigningKey {
        SigningKey::generate().unwrap().0
    }

    fn verified(file: &[u8], trust: &Trust) -> Result<(), SignatureFault> {
        trust.verify(&Signed::of(file)?)
    }

    /// B7: whoever changes any byte of a signed module, or takes any off, is found out.
    #[test]
    fn each_byte_counts() {
        let (key, module) = (key(), module());
        let trust = Trust::new(&[key.public()], &[]);
        let signed = key.sign(&module).unwrap();
        assert_eq!(verified(&signed, &trust), Ok(()));
        assert_eq!(Signed::of(&signed).unwrap().module, module);
        for at in 0..signed.len() {
            for bit in 0..8 {
                let mut changed = signed.clone();
                changed[at] ^= 1 << bit;
                assert!(verified(&changed, &trust).is_err(), "byte {at}, bit {bit}");
            }
            assert!(verified(&signed[..at], &trust).is_err(), "cut at {at}");
        }
        let longer = [&signed[..], &[CUSTOM, 2, 1, b'x']].concat();
        let fault = SignatureFault::Malformed("something follows it");
        assert_eq!(verified(&longer, &trust), Err(fault));
    }

    /// B7: a signature says who; trust says whether that counts.
    #[test]
    fn who_signed_is_told_apart_from_what_was_changed() {
        let (ours, theirs, module) = (key(), key(), module());
        let trust = Trust::new(&[ours.public()], &[]);
        assert_eq!(verified(&module, &trust), Err(SignatureFault::Unsigned));
        let signed = theirs.sign(&module).unwrap();
        let fault = SignatureFault::Untrusted(theirs.public());
        assert_eq!(verified(&signed, &trust), Err(fault));
        let mut changed = ours.sign(&module).unwrap();
        changed[PREAMBLE + 9] ^= 1;
        let fault = SignatureFault::Changed(ours.public());
        assert_eq!(verified(&changed, &trust), Err(fault));
        let by = Signed::of(&changed).unwrap().by().unwrap();
        assert_eq!((by.key, by.intact), (ours.public(), false));
    }

    /// B7: what is inside the binary is trusted as the binary is, and so is nothing near it.
    #[test]
    fn what_is_inside_needs_no_signature() {
        let module = module();
        let trust = Trust::new(&[], &[&module]);
        assert_eq!(verified(&module, &trust), Ok(()));
        let other = [&module[..], &[CUSTOM, 2, 1, b'x']].concat();
        assert_eq!(verified(&other, &trust), Err(SignatureFault::Unsigned));
    }

    #[test]
    fn signing_again_replaces_the_signature() {
        let (first, second, module) = (key(), key(), module());
        let signed = second.sign(&first.sign(&module).unwrap()).unwrap();
        assert_eq!(signed, second.sign(&module).unwrap());
    }

    #[test]
    fn keys_of_openssl_are_read() {
        // openssl genpkey -algorithm ed25519 -out ops.key
        let private = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEIOyAUxMaRYof/UsZ/1Wut8ITRtn7Np63Decu2I4AkAcs\n\
            -----END PRIVATE KEY-----\n";
        // openssl pkey -in ops.key -pubout
        let public = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAU6rc10fzF8d+857nJYQRsfEZxvHqDOEYrZhtUqJUACk=\n\
            -----END PUBLIC KEY-----\n";
        let key = SigningKey::from_pem(private).unwrap();
        assert_eq!(PublicKey::from_pem(public), Ok(key.public()));
        // openssl pkey -in ops.key -pubout -outform DER | sha256sum
        assert_eq!(key.public().to_string(), "65e3324f8af5c2683ec503bfd3ab7361");
        let text = key.public().to_pem();
        assert_eq!(PublicKey::from_pem(&text), Ok(key.public()));
        assert_eq!(PublicKey::from_pem(private), Err(KeyFault::Private));
        assert_eq!(SigningKey::from_pem(&text).err(), Some(KeyFault::Public));
        assert_eq!(
            PublicKey::from_pem("ssh-ed25519 AAAA"),
            Err(KeyFault::NotPem)
        );
        let other = to_pem(PUBLIC, &[SPKI, &[0; 33]].concat());
        assert_eq!(PublicKey::from_pem(&other), Err(KeyFault::NotEd25519));
    }
}
