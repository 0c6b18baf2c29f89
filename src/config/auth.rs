//! `auth`: keys and how long what they sign or reveal is valid.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

use super::key::{Key, Kind};
use crate::domain::signing_key::VerificationKey;

/// The key list callers authenticate provisioning with.
pub const PROVISIONING_KEYS: &str = "auth.provisioning_keys";
/// The secret access tokens are signed with.
pub const JWT_SECRET: &str = "auth.jwt_secret";
/// The private key access tokens are signed with instead.
pub const JWT_PRIVATE_KEY: &str = "auth.jwt_private_key";
/// Older signing secrets.
pub const JWT_VERIFICATION_SECRETS: &str = "auth.jwt_verification_secrets";
/// Public keys of older private keys.
pub const JWT_VERIFICATION_PUBLIC_KEYS: &str = "auth.jwt_verification_public_keys";

/// Shortest time between regular reads of secrets: below it the reads themselves become a load.
pub(super) const MIN_SECRETS_REFRESH_SECS: u64 = 5;

pub(super) const KEYS: &[Key] = &[
    Key::new(PROVISIONING_KEYS, "Keys for provisioning (`X-API-Key`), any of which is accepted", Kind::Secrets),
    Key::new(JWT_SECRET, "What access and refresh tokens are signed with, by HS256", Kind::Secret),
    Key::new(JWT_PRIVATE_KEY, "An Ed25519 private key, what tokens are signed with instead, by EdDSA", Kind::Secret),
    Key::new(
        JWT_VERIFICATION_SECRETS,
        "Earlier values of `auth.jwt_secret`, whose tokens are still accepted",
        Kind::Secrets,
    ),
    // Nothing secret, but somebody will put a private key here by mistake.
    Key::new(
        JWT_VERIFICATION_PUBLIC_KEYS,
        "Public keys of earlier values of `auth.jwt_private_key`, whose tokens are still accepted",
        Kind::Secrets,
    ),
    Key::new(
        "auth.secrets_refresh_secs",
        "Time between reads of the keys of this section that are in files or in AWS Secrets Manager",
        Kind::Int { min: 0, max: 86_400, unit: "seconds" },
    ),
    Key::new(
        "auth.access_token_ttl_secs",
        "Lifetime of an access token",
        Kind::Int { min: 60, max: 86_400, unit: "seconds" },
    ),
    Key::new(
        "auth.refresh_token_ttl_secs",
        "Lifetime of a refresh token",
        Kind::Int { min: 300, max: 90 * 86_400, unit: "seconds" },
    ),
    Key::new(
        "auth.secret_retrieval_ttl_secs",
        "Lifetime of a one-time token for retrieving a client secret",
        Kind::Int { min: 60, max: 86_400, unit: "seconds" },
    ),
];

/// Keys and lifetimes. The secrets here are as configured; [`secrets::resolve`](super::secrets::resolve) checks them
/// and creates what a local start may go without.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Keys for provisioning, any of which is accepted.
    #[serde(skip_serializing, default, deserialize_with = "secret_list")]
    pub provisioning_keys: Vec<SecretString>,
    /// What access and refresh tokens are signed with, by HS256.
    #[serde(skip_serializing, default, deserialize_with = "secret")]
    pub jwt_secret: Option<SecretString>,
    /// An Ed25519 private key, PKCS#8 in PEM: what they are signed with instead, by EdDSA.
    #[serde(skip_serializing, default, deserialize_with = "secret")]
    pub jwt_private_key: Option<SecretString>,
    /// Earlier signing secrets, which still verify.
    #[serde(skip_serializing, default, deserialize_with = "secret_list")]
    pub jwt_verification_secrets: Vec<SecretString>,
    /// Public keys, `SubjectPublicKeyInfo` in PEM, of earlier private keys, which still verify.
    #[serde(skip_serializing, default, deserialize_with = "secret_list")]
    pub jwt_verification_public_keys: Vec<SecretString>,
    /// What the signing key was before, as Secrets Manager keeps it: it still verifies. No setting: it is filled when
    /// secrets are read.
    #[serde(skip)]
    pub jwt_previous: Vec<VerificationKey>,
    /// Seconds between reads of those secrets that are in files or Secrets Manager; 0 for none but the first.
    pub secrets_refresh_secs: u64,
    /// Seconds an access token is valid.
    pub access_token_ttl_secs: u64,
    /// Seconds a refresh token is valid.
    pub refresh_token_ttl_secs: u64,
    /// Seconds a one-time token for retrieving a client secret is valid.
    pub secret_retrieval_ttl_secs: u64,
}

impl AuthConfig {
    /// [`secrets_refresh_secs`](Self::secrets_refresh_secs) as a duration; `None` where secrets are not read again.
    #[must_use]
    pub fn secrets_refresh(&self) -> Option<Duration> {
        (self.secrets_refresh_secs > 0).then(|| Duration::from_secs(self.secrets_refresh_secs))
    }

    /// [`access_token_ttl_secs`](Self::access_token_ttl_secs) as a duration.
    #[must_use]
    pub fn access_token_ttl(&self) -> Duration {
        Duration::from_secs(self.access_token_ttl_secs)
    }

    /// [`refresh_token_ttl_secs`](Self::refresh_token_ttl_secs) as a duration.
    #[must_use]
    pub fn refresh_token_ttl(&self) -> Duration {
        Duration::from_secs(self.refresh_token_ttl_secs)
    }

    /// [`secret_retrieval_ttl_secs`](Self::secret_retrieval_ttl_secs) as a duration.
    #[must_use]
    pub fn secret_retrieval_ttl(&self) -> Duration {
        Duration::from_secs(self.secret_retrieval_ttl_secs)
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            provisioning_keys: Vec::new(),
            jwt_secret: None,
            jwt_private_key: None,
            jwt_verification_secrets: Vec::new(),
            jwt_verification_public_keys: Vec::new(),
            jwt_previous: Vec::new(),
            secrets_refresh_secs: 300,
            access_token_ttl_secs: 3600,
            refresh_token_ttl_secs: 7 * 86_400,
            secret_retrieval_ttl_secs: 600,
        }
    }
}

/// Reads an optional secret straight into its redacting type.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

fn secret_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SecretString>, D::Error> {
    Ok(Vec::<String>::deserialize(deserializer)?.into_iter().map(SecretString::from).collect())
}
