//! `auth`: keys and how long what they sign or reveal is valid.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

use super::key::{Key, Kind};

/// The key list callers authenticate provisioning with.
pub const PROVISIONING_KEYS: &str = "auth.provisioning_keys";
/// The secret access tokens are signed with.
pub const JWT_SECRET: &str = "auth.jwt_secret";
/// Older signing secrets.
pub const JWT_VERIFICATION_SECRETS: &str = "auth.jwt_verification_secrets";

pub(super) const KEYS: &[Key] = &[
    Key::new(PROVISIONING_KEYS, Kind::Secrets),
    Key::new(JWT_SECRET, Kind::Secret),
    Key::new(JWT_VERIFICATION_SECRETS, Kind::Secrets),
    Key::new("auth.access_token_ttl_secs", Kind::Int { min: 60, max: 86_400, unit: "seconds" }),
    Key::new("auth.refresh_token_ttl_secs", Kind::Int { min: 300, max: 90 * 86_400, unit: "seconds" }),
    Key::new("auth.secret_retrieval_ttl_secs", Kind::Int { min: 60, max: 86_400, unit: "seconds" }),
];

/// Keys and lifetimes. The secrets here are as configured; [`secrets::resolve`](super::secrets::resolve) checks them
/// and creates what a local start may go without.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Keys for provisioning, any of which is accepted.
    #[serde(skip_serializing, default, deserialize_with = "secret_list")]
    pub provisioning_keys: Vec<SecretString>,
    /// What access and refresh tokens are signed with.
    #[serde(skip_serializing, default, deserialize_with = "secret")]
    pub jwt_secret: Option<SecretString>,
    /// Earlier signing secrets, which still verify.
    #[serde(skip_serializing, default, deserialize_with = "secret_list")]
    pub jwt_verification_secrets: Vec<SecretString>,
    /// Seconds an access token is valid.
    pub access_token_ttl_secs: u64,
    /// Seconds a refresh token is valid.
    pub refresh_token_ttl_secs: u64,
    /// Seconds a one-time token for retrieving a client secret is valid.
    pub secret_retrieval_ttl_secs: u64,
}

impl AuthConfig {
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
            jwt_verification_secrets: Vec::new(),
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
