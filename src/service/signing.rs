//! Signing and verifying tokens, with keys that can be replaced while the service runs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Result;
use super::error::ServiceError;
use super::tokens::ISSUER;
use crate::domain::signing_key::{Ed25519PublicKey, SigningKey, VerificationKey};

/// Longest token that is looked at; ours have about 700 characters.
const MAX_TOKEN_LEN: usize = 4096;
/// Longest name of a key that could be one of ours; they have 16 or 43 characters.
const MAX_KID_LEN: usize = 64;
/// Most replaced keys that are remembered, the latest first. Tokens live for 90 days at most, and nobody replaces a key
/// more often than weekly; what goes wrong somewhere else must not fill the memory with keys.
const MAX_RETIRED: usize = 16;

/// What signs, and what else verifies.
#[derive(Debug, Clone)]
pub struct TokenKeys {
    /// The one key that signs. It verifies, too.
    pub signing: SigningKey,
    /// Further keys that verify.
    pub verification: Vec<VerificationKey>,
}

/// A key that verifies, with the one algorithm it is for.
#[derive(Clone)]
struct Verifier {
    kid: String,
    public: Option<Ed25519PublicKey>,
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    fn new(key: &VerificationKey) -> Self {
        let (algorithm, decoding, public) = match key {
            VerificationKey::Hs256(secret) => {
                (Algorithm::HS256, DecodingKey::from_secret(secret.expose_secret().as_bytes()), None)
            }
            // What the library calls DER are the bytes of the key.
            VerificationKey::Ed25519(public) => {
                (Algorithm::EdDSA, DecodingKey::from_ed_der(public.as_bytes()), Some(*public))
            }
        };
        let mut validation = Validation::new(algorithm);
        // The library would compare with the system clock; expiry is checked against the injected one instead.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.set_issuer(&[ISSUER]);
        Self { kid: key.kid(), public, key: decoding, validation }
    }
}

/// A replaced key, which verifies until the last token it signed has expired.
#[derive(Clone)]
struct Retired {
    verifier: Arc<Verifier>,
    until: Timestamp,
}

/// The keys in force. Never changed, only replaced as a whole, so that no request sees half of a change.
struct KeyRing {
    header: Header,
    signing: EncodingKey,
    /// The signing key first, then those configured.
    configured: Vec<Arc<Verifier>>,
    /// The latest first.
    retired: Vec<Retired>,
}

impl KeyRing {
    fn new(keys: &TokenKeys, retired: Vec<Retired>) -> Self {
        let mut configured: Vec<Arc<Verifier>> = Vec::new();
        for key in std::iter::once(keys.signing.verification()).chain(keys.verification.iter().cloned()) {
            let verifier = Verifier::new(&key);
            if !configured.iter().any(|known| known.kid == verifier.kid) {
                configured.push(Arc::new(verifier));
            }
        }
        let (algorithm, signing) = match &keys.signing {
            SigningKey::Hs256(secret) => {
                (Algorithm::HS256, EncodingKey::from_secret(secret.expose_secret().as_bytes()))
            }
            SigningKey::Ed25519(key) => (Algorithm::EdDSA, EncodingKey::from_ed_der(key.expose_pkcs8())),
        };
        let mut header = Header::new(algorithm);
        header.kid = Some(keys.signing.kid());
        Self { header, signing, configured, retired }
    }

    /// Each key that verifies now, once.
    fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &Verifier> {
        let retired = self.retired.iter().filter(move |retired| now < retired.until);
        let retired = retired.filter(|retired| !self.configured.iter().any(|key| key.kid == retired.verifier.kid));
        self.configured.iter().map(Arc::as_ref).chain(retired.map(|retired| retired.verifier.as_ref()))
    }

    fn kid(&self) -> &str {
        self.header.kid.as_deref().unwrap_or_default()
    }
}

/// Names of the keys in force after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNames {
    /// The key that signs.
    pub signing: String,
    /// Further keys that verify, replaced ones last.
    pub verification: Vec<String>,
}

/// What a look at a token found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    /// One of our keys signed these claims. Whether they have expired is not looked at.
    Signed(T),
    /// It names a key that is not known here. Another instance may know it already.
    UnknownKey,
    /// Anything else.
    Refused,
}

/// Signs with one key and verifies with several, told apart by `kid`, so that a key can be replaced without logging
/// anybody out. The algorithm is fixed by the key and never taken from the token.
pub struct TokenSigner {
    ring: ArcSwap<KeyRing>,
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner").field("kid", &self.ring.load().kid()).finish_non_exhaustive()
    }
}

impl TokenSigner {
    /// Signs and verifies with these keys.
    #[must_use]
    pub fn new(keys: &TokenKeys) -> Self {
        Self { ring: ArcSwap::from_pointee(KeyRing::new(keys, Vec::new())) }
    }

    /// Signs claims with the key in force.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] where they cannot be written.
    pub fn sign<T: Serialize>(&self, claims: &T) -> Result<String> {
        let ring = self.ring.load();
        encode(&ring.header, claims, &ring.signing).map_err(|e| ServiceError::Internal(format!("signing failed: {e}")))
    }

    /// The claims of a token that one of our keys signed, whether or not it expired.
    pub fn verify<T: DeserializeOwned>(&self, token: &str, now: Timestamp) -> Verdict<T> {
        if token.len() > MAX_TOKEN_LEN {
            return Verdict::Refused;
        }
        let Ok(header) = decode_header(token) else { return Verdict::Refused };
        let Some(kid) = header.kid.filter(|kid| (1..=MAX_KID_LEN).contains(&kid.len())) else {
            return Verdict::Refused;
        };
        let ring = self.ring.load();
        let Some(verifier) = ring.in_force(now).find(|verifier| verifier.kid == kid) else {
            return Verdict::UnknownKey;
        };
        // The validation admits the key's algorithm alone.
        match decode::<T>(token, &verifier.key, &verifier.validation) {
            Ok(data) => Verdict::Signed(data.claims),
            Err(_) => Verdict::Refused,
        }
    }

    /// The public keys that verify tokens, the signing one first. Empty where only shared secrets do.
    #[must_use]
    pub fn public_keys(&self, now: Timestamp) -> Vec<Ed25519PublicKey> {
        self.ring.load().in_force(now).filter_map(|verifier| verifier.public).collect()
    }

    /// Replaces the keys as a whole. Where another one signs now, the one before goes on verifying until
    /// `retired_until`, when the last token it signed has expired; keys that only verified and are not among the new
    /// ones end at once. Answers the names after a change, `None` where everything is as it was.
    ///
    /// Not to be called twice at once: the second call would not see what the first one retires.
    pub fn replace(&self, keys: &TokenKeys, now: Timestamp, retired_until: Timestamp) -> Option<KeyNames> {
        let before = self.ring.load();
        let next = KeyRing::new(keys, Vec::new());
        let kids = |ring: &KeyRing| ring.configured.iter().map(|key| key.kid.clone()).collect::<Vec<_>>();
        if kids(&next) == kids(&before) {
            return None;
        }
        let replaced = before.configured.first().filter(|_| next.kid() != before.kid());
        let replaced = replaced.map(|verifier| Retired { verifier: Arc::clone(verifier), until: retired_until });
        let mut retired: Vec<Retired> = Vec::new();
        // Also those that are configured again: they may be taken away before their last token has expired.
        for old in replaced.into_iter().chain(before.retired.iter().cloned()) {
            let is_new = !retired.iter().any(|known| known.verifier.kid == old.verifier.kid);
            if is_new && now < old.until && retired.len() < MAX_RETIRED {
                retired.push(old);
            }
        }
        let next = KeyRing { retired, ..next };
        let mut names = next.in_force(now).map(|verifier| verifier.kid.clone());
        let names = KeyNames { signing: names.next().unwrap_or_default(), verification: names.collect() };
        self.ring.store(Arc::new(next));
        Some(names)
    }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
