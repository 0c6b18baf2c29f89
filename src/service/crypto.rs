//! Client secrets: made, hashed, compared and sealed for one-time retrieval.
//!
//! * A secret is 32 random bytes; with 256 bits of entropy a fast keyed hash (HMAC-SHA-256 under a random salt) is
//!   enough, and a slow password hash would only let attackers burn our CPU.
//! * Until it is retrieved, a secret rests under AES-256-GCM with a key derived (HKDF-SHA-256) from the retrieval
//!   token. The store has only the token's SHA-256, so a copy of the database yields no secret.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::error::ServiceError;
use crate::domain::credential::{SealedSecret, SecretHash};
use crate::domain::ids::ClientId;
use crate::ids::{Random, RandomError};

/// Bytes of a client secret and of a retrieval token.
const SECRET_LEN: usize = 32;
/// Longest presented secret that is hashed; ours have 44 characters.
const MAX_PRESENTED_LEN: usize = 512;

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// A new client secret: 32 random bytes, base64.
///
/// # Errors
/// [`RandomError`] where the system has no randomness.
pub fn new_secret(random: &dyn Random) -> Result<SecretString, RandomError> {
    let mut bytes = [0; SECRET_LEN];
    random.fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes).into())
}

/// A new retrieval token: 32 random bytes, base64url, so that it can stand in a query.
///
/// # Errors
/// [`RandomError`] where the system has no randomness.
pub fn new_retrieval_token(random: &dyn Random) -> Result<SecretString, RandomError> {
    let mut bytes = [0; SECRET_LEN];
    random.fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// Hashes a secret under a fresh salt.
///
/// # Errors
/// [`RandomError`] where the system has no randomness.
pub fn hash_secret(secret: &SecretString, random: &dyn Random) -> Result<SecretHash, RandomError> {
    let mut salt = [0; 16];
    random.fill(&mut salt)?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salt), secret.expose_secret().as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(tag.as_ref());
    Ok(SecretHash { salt, hash })
}

fn matches(known: &SecretHash, presented: &str) -> bool {
    // Comparison inside `verify` is constant-time.
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &known.salt), presented.as_bytes(), &known.hash).is_ok()
}

/// Whether a presented secret matches any accepted hash; all of them are tried.
pub fn any_matches<'a>(accepted: impl Iterator<Item = &'a SecretHash>, presented: &str) -> bool {
    if presented.len() > MAX_PRESENTED_LEN {
        return matches_nothing("");
    }
    accepted.fold(false, |found, hash| matches(hash, presented) | found)
}

/// The work of a comparison without anything to compare with, for a client that does not exist.
#[must_use]
pub fn matches_nothing(presented: &str) -> bool {
    let presented = if presented.len() > MAX_PRESENTED_LEN { "" } else { presented };
    std::hint::black_box(matches(&SecretHash { salt: [0; 16], hash: [0; 32] }, presented));
    false
}

/// What the store knows a retrieval token by.
#[must_use]
pub fn token_hash(token: &SecretString) -> [u8; 32] {
    sha256(token.expose_secret().as_bytes())
}

struct AeadKeyLen;

impl KeyType for AeadKeyLen {
    fn len(&self) -> usize {
        AES_256_GCM.key_len()
    }
}

fn key_from(token: &SecretString) -> Result<RandomizedNonceKey, ServiceError> {
    let failed = |_| ServiceError::Internal("key derivation failed".to_owned());
    let secret = Salt::new(HKDF_SHA256, b"bedrock-cost-keeper").extract(token.expose_secret().as_bytes());
    let mut key = [0; 32];
    secret.expand(&[b"secret retrieval v1"], AeadKeyLen).and_then(|okm| okm.fill(&mut key)).map_err(failed)?;
    RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(failed)
}

/// Seals a secret under a retrieval token. The client's id is authenticated with it, so a sealed secret cannot be
/// passed off as another client's.
///
/// # Errors
/// [`ServiceError::Internal`] where the cipher fails, which it does not for these sizes.
pub fn seal(
    secret: &SecretString,
    token: &SecretString,
    client_id: &ClientId,
    expires_at: Timestamp,
) -> Result<SealedSecret, ServiceError> {
    let mut sealed = secret.expose_secret().as_bytes().to_vec();
    let nonce = key_from(token)?
        .seal_in_place_append_tag(Aad::from(client_id.to_string()), &mut sealed)
        .map_err(|_| ServiceError::Internal("sealing a secret failed".to_owned()))?;
    let mut bytes = nonce.as_ref().to_vec();
    bytes.append(&mut sealed);
    Ok(SealedSecret { token_hash: token_hash(token), client_id: client_id.clone(), sealed: bytes, expires_at })
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`ServiceError::Internal`] where the bytes were altered.
pub fn open(sealed: &[u8], token: &SecretString, client_id: &ClientId) -> Result<SecretString, ServiceError> {
    let broken = || ServiceError::Internal("a sealed secret cannot be opened".to_owned());
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
    let mut buffer = ciphertext.to_vec();
    let plain =
        key_from(token)?.open_in_place(nonce, Aad::from(client_id.to_string()), &mut buffer).map_err(|_| broken())?;
    Ok(std::str::from_utf8(plain).map_err(|_| broken())?.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SequenceRng;

    fn client(text: &str) -> ClientId {
        text.parse().unwrap()
    }

    const ORG: &str = "org-550e8400-e29b-41d4-a716-446655440000";

    #[test]
    fn a_secret_is_32_bytes_and_matches_only_its_own_hash() {
        let random = SequenceRng::new(1);
        let secret = new_secret(&random).unwrap();
        assert_eq!(STANDARD.decode(secret.expose_secret()).unwrap().len(), 32);
        let hash = hash_secret(&secret, &random).unwrap();
        assert!(any_matches([&hash].into_iter(), secret.expose_secret()));
        assert!(!any_matches([&hash].into_iter(), "wrong"));
        assert!(!any_matches([&hash].into_iter(), &"x".repeat(100_000)));
        assert!(!matches_nothing(secret.expose_secret()));
    }

    #[test]
    fn a_sealed_secret_opens_only_with_its_token_for_its_client() {
        let random = SequenceRng::new(1);
        let (secret, token) = (new_secret(&random).unwrap(), new_retrieval_token(&random).unwrap());
        let sealed = seal(&secret, &token, &client(ORG), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(open(&sealed.sealed, &token, &client(ORG)).unwrap().expose_secret(), secret.expose_secret());
        assert!(open(&sealed.sealed, &token, &client(&format!("{ORG}-app-x"))).is_err());
        assert!(open(&sealed.sealed, &new_retrieval_token(&random).unwrap(), &client(ORG)).is_err());
        assert!(open(&[], &token, &client(ORG)).is_err());
        let text = String::from_utf8_lossy(&sealed.sealed).into_owned();
        assert!(!text.contains(secret.expose_secret()));
    }
}
