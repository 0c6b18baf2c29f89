//! Client credentials and what decides whether a presented secret or token is still good.
//!
//! Hashing and encryption live in the service layer; here are the values and the rules over them.

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

use super::ids::ClientId;

/// Salted keyed hash of a client secret. Secrets carry 256 bits of entropy, so a fast keyed hash is right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash {
    /// Random salt, the key of the hash.
    pub salt: [u8; 16],
    /// HMAC-SHA-256 of the secret under the salt.
    pub hash: [u8; 32],
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(redacted)")
    }
}

/// A secret that was rotated away and still works for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviousSecret {
    /// Its hash.
    pub hash: SecretHash,
    /// From this instant on it no longer works.
    pub expires_at: Timestamp,
}

/// The credential of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredential {
    /// Whose.
    pub client_id: ClientId,
    /// The current secret.
    pub current: SecretHash,
    /// The one before, while its grace period lasts.
    pub previous: Option<PreviousSecret>,
    /// Carried by every token issued to this client. A new epoch ends all tokens of earlier ones at once, and a
    /// client that is created again gets a fresh epoch, so tokens of its former life stay dead.
    pub token_epoch: Uuid,
    /// Grows by one with every change; what a compare-and-swap compares.
    pub version: u64,
    /// When the credential was created.
    pub created_at: Timestamp,
}

impl ClientCredential {
    /// The hashes a presented secret may match now: the current one, and the previous one inside its grace period.
    pub fn accepted_hashes(&self, now: Timestamp) -> impl Iterator<Item = &SecretHash> {
        let previous = self.previous.as_ref().filter(|previous| now < previous.expires_at);
        std::iter::once(&self.current).chain(previous.map(|previous| &previous.hash))
    }

    /// The credential after a rotation. Where a grace period from an earlier rotation still runs, the oldest secret
    /// ends at once: only the one just replaced stays.
    #[must_use]
    pub fn rotated(&self, new: SecretHash, old_expires_at: Timestamp) -> Self {
        Self {
            current: new,
            previous: Some(PreviousSecret { hash: self.current, expires_at: old_expires_at }),
            version: self.version.saturating_add(1),
            ..self.clone()
        }
    }
}

/// A client secret at rest, encrypted under a key derived from its one-time retrieval token. The store knows only the
/// token's hash, so a copy of the database yields no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// SHA-256 of the retrieval token: the lookup key.
    pub token_hash: [u8; 32],
    /// Whose secret.
    pub client_id: ClientId,
    /// AEAD nonce followed by ciphertext and tag.
    pub sealed: Vec<u8>,
    /// From this instant on the token no longer works.
    pub expires_at: Timestamp,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hash(n: u8) -> SecretHash {
        SecretHash { salt: [n; 16], hash: [n; 32] }
    }

    #[test]
    fn the_old_secret_works_inside_its_grace_period_and_a_second_rotation_ends_the_oldest() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let fresh = ClientCredential {
            client_id: "org-550e8400-e29b-41d4-a716-446655440000".parse().unwrap(),
            current: hash(1),
            previous: None,
            token_epoch: Uuid::nil(),
            version: 1,
            created_at: at(0),
        };
        let once = fresh.rotated(hash(2), at(100));
        assert_eq!(once.accepted_hashes(at(99)).collect::<Vec<_>>(), [&hash(2), &hash(1)]);
        assert_eq!(once.accepted_hashes(at(100)).collect::<Vec<_>>(), [&hash(2)]);
        let twice = once.rotated(hash(3), at(100));
        assert_eq!(twice.accepted_hashes(at(50)).collect::<Vec<_>>(), [&hash(3), &hash(2)]);
    }

    #[test]
    fn hashes_are_never_printed() {
        assert_eq!(format!("{:?}", hash(7)), "SecretHash(redacted)");
    }
}
