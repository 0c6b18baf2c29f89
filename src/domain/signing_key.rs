//! Keys that tokens are signed and verified with, and the names (`kid`) that tell them apart.
//!
//! A key decides its algorithm: HS256 for a shared secret, EdDSA for Ed25519. Nothing else is known, so a token cannot
//! choose one.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

/// What a `SubjectPublicKeyInfo` of an Ed25519 key begins with (RFC 8410 §4); DER has one encoding only.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Label of an unencrypted PKCS#8 key.
const PRIVATE: &str = "PRIVATE KEY";
/// Label of a `SubjectPublicKeyInfo`.
const PUBLIC: &str = "PUBLIC KEY";

/// Why a text is no key of the kind that is needed, as the end of a sentence about it. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No `-----BEGIN …-----` and `-----END …-----` around Base64.
    #[error("is not one PEM block, from -----BEGIN {0}----- to -----END {0}-----")]
    NotPem(&'static str),
    /// A block with another label.
    #[error("is PEM of another kind; a block -----BEGIN {0}----- is needed")]
    OtherLabel(&'static str),
    /// A private key under a passphrase.
    #[error("is encrypted with a passphrase; write it without one")]
    Encrypted,
    /// The block holds something else than an Ed25519 private key.
    #[error("is not an Ed25519 private key in PKCS#8")]
    NotEd25519Private,
    /// The block holds something else than an Ed25519 public key.
    #[error("is not an Ed25519 public key")]
    NotEd25519Public,
}

/// A public Ed25519 key: nothing secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ed25519PublicKey([u8; 32]);

impl Ed25519PublicKey {
    /// Reads `SubjectPublicKeyInfo` as PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// [`KeyError`] for anything else.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = unarmour(text, PUBLIC)?;
        let bytes = der.expose_secret().strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NotEd25519Public)?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| KeyError::NotEd25519Public)?;
        ParsedPublicKey::new(&ED25519, bytes).map_err(|_| KeyError::NotEd25519Public)?;
        Ok(Self(bytes))
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The member `x` of its JWK (RFC 8037 §2): Base64url of the key.
    #[must_use]
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Its name: the JWK thumbprint (RFC 7638, RFC 8037 §2), which anybody can compute from the key.
    #[must_use]
    pub fn kid(&self) -> String {
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }
}

/// By name.
impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519PublicKey({})", self.kid())
    }
}

/// A private Ed25519 key with its public half.
#[derive(Clone)]
pub struct Ed25519PrivateKey {
    pkcs8: Arc<SecretSlice<u8>>,
    public: Ed25519PublicKey,
}

impl Ed25519PrivateKey {
    /// Reads PKCS#8 as PEM, version 1 (as `openssl genpkey -algorithm ed25519` writes it) or 2 (with the public key,
    /// which must belong to the private one).
    ///
    /// # Errors
    /// [`KeyError`] for anything else.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pkcs8 = unarmour(text, PRIVATE)?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.expose_secret()).map_err(|_| KeyError::NotEd25519Private)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::NotEd25519Private)?;
        Ok(Self { pkcs8: Arc::new(pkcs8), public: Ed25519PublicKey(public) })
    }

    /// PKCS#8 in DER.
    #[must_use]
    pub fn expose_pkcs8(&self) -> &[u8] {
        self.pkcs8.expose_secret()
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public(&self) -> Ed25519PublicKey {
        self.public
    }
}

/// By name.
impl fmt::Debug for Ed25519PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519PrivateKey({})", self.public.kid())
    }
}

/// What tokens are signed with.
#[derive(Clone)]
pub enum SigningKey {
    /// A shared secret of at least 32 bytes.
    Hs256(SecretString),
    /// A private key.
    Ed25519(Ed25519PrivateKey),
}

impl SigningKey {
    /// Signs with a shared secret.
    pub fn hs256(secret: impl Into<SecretString>) -> Self {
        Self::Hs256(secret.into())
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn verification(&self) -> VerificationKey {
        match self {
            Self::Hs256(secret) => VerificationKey::Hs256(secret.clone()),
            Self::Ed25519(key) => VerificationKey::Ed25519(key.public()),
        }
    }

    /// Its name, in the header of each token.
    #[must_use]
    pub fn kid(&self) -> String {
        self.verification().kid()
    }
}

/// By name.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid())
    }
}

/// What signatures are verified with.
#[derive(Clone)]
pub enum VerificationKey {
    /// A shared secret.
    Hs256(SecretString),
    /// A public key.
    Ed25519(Ed25519PublicKey),
}

impl VerificationKey {
    /// Verifies with a shared secret.
    pub fn hs256(secret: impl Into<SecretString>) -> Self {
        Self::Hs256(secret.into())
    }

    /// Its name: for a secret the start of a digest over it, which tells keys apart and tells nothing about them.
    #[must_use]
    pub fn kid(&self) -> String {
        match self {
            Self::Hs256(secret) => {
                let mut labelled = b"bedrock-cost-keeper kid:".to_vec();
                labelled.extend_from_slice(secret.expose_secret().as_bytes());
                digest(&SHA256, &labelled).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
            }
            Self::Ed25519(key) => key.kid(),
        }
    }
}

/// By name.
impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerificationKey({})", self.kid())
    }
}

/// The bytes of a text that is exactly one PEM block (RFC 7468) with this label.
fn unarmour(text: &str, label: &'static str) -> Result<SecretSlice<u8>, KeyError> {
    let block = text.trim().strip_prefix("-----BEGIN ").ok_or(KeyError::NotPem(label))?;
    let (found, rest) = block.split_once("-----").ok_or(KeyError::NotPem(label))?;
    if found == "ENCRYPTED PRIVATE KEY" {
        return Err(KeyError::Encrypted);
    }
    if found != label {
        return Err(KeyError::OtherLabel(label));
    }
    let end = format!("-----END {label}-----");
    let body = rest.strip_suffix(end.as_str()).ok_or(KeyError::NotPem(label))?;
    let base64: SecretSlice<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<_>>().into();
    STANDARD.decode(base64.expose_secret()).map(SecretSlice::from).map_err(|_| KeyError::NotPem(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 §10.3: the same key in both versions, and §10.1: its public key.
    const V1: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const V2: &str = "-----BEGIN PRIVATE KEY-----\n\
        MFECAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        gSEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PRIVATE KEY-----\n";
    const SPKI: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn both_versions_of_pkcs8_are_the_same_key() {
        let public = Ed25519PublicKey::from_pem(SPKI).unwrap();
        for text in [V1, V2, &V1.replace('\n', "\r\n"), &format!("\n  {V2}\n\n")] {
            assert_eq!(Ed25519PrivateKey::from_pem(text).unwrap().public(), public, "{text}");
        }
    }

    #[test]
    fn the_name_of_a_key_is_its_thumbprint() {
        // RFC 8037, appendices A.2 and A.3.
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = Ed25519PublicKey(x.try_into().unwrap());
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(VerificationKey::Ed25519(key).kid(), key.kid());
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused_without_being_repeated() {
        let swapped = V2.replace("gSEAGb9ECWmEzf6F", "gSEAAAAAAAAAAAAA");
        let p256 = "-----BEGIN PRIVATE KEY-----\n\
            MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n\
            OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n\
            1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n-----END PRIVATE KEY-----\n";
        for (text, error) in [
            ("", KeyError::NotPem(PRIVATE)),
            ("hunter2", KeyError::NotPem(PRIVATE)),
            (&V1[..80], KeyError::NotPem(PRIVATE)),
            (&format!("{V1}{V1}"), KeyError::NotPem(PRIVATE)),
            (&V1.replace("MC4C", "M*4C"), KeyError::NotPem(PRIVATE)),
            (SPKI, KeyError::OtherLabel(PRIVATE)),
            (&V1.replace("PRIVATE", "EC PRIVATE"), KeyError::OtherLabel(PRIVATE)),
            (&V1.replace("PRIVATE", "ENCRYPTED PRIVATE"), KeyError::Encrypted),
            (&V1.replace("MC4CAQAw", "MC4CAQIw"), KeyError::NotEd25519Private),
            (&swapped, KeyError::NotEd25519Private),
            (p256, KeyError::NotEd25519Private),
        ] {
            let refused = Ed25519PrivateKey::from_pem(text).unwrap_err();
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains("INTuctv5E1hK") && !refused.to_string().contains("hunter2"));
        }
        assert_eq!(Ed25519PublicKey::from_pem(V1), Err(KeyError::OtherLabel(PUBLIC)));
        let short = SPKI.replace("rXAxZuE=", "rXAxZg==");
        assert_eq!(Ed25519PublicKey::from_pem(&short), Err(KeyError::NotEd25519Public));
    }

    #[test]
    fn debug_output_has_names_only() {
        let secret = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c";
        let (hmac, ed25519) = (SigningKey::hs256(secret), Ed25519PrivateKey::from_pem(V1).unwrap());
        let kid = hmac.kid();
        assert_eq!((kid.len(), format!("{hmac:?}")), (16, format!("SigningKey({kid})")));
        assert_eq!(format!("{:?}", hmac.verification()), format!("VerificationKey({kid})"));
        let text = format!("{ed25519:?} {:?} {:?}", SigningKey::Ed25519(ed25519.clone()), ed25519.public());
        assert!(!text.contains("212, 238") && text.matches(&ed25519.public().kid()).count() == 3, "{text}");
    }
}
