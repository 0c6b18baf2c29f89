//! Secrets the service runs with: configured ones checked, missing ones created once where that is safe.
//!
//! Whether a missing secret may be created is decided by the store. With SQLite there is one instance and one data
//! directory, so the directory is where the secret lives. Any other store is shared by instances that must agree on
//! the secrets, and that is a production start: they have to be configured.

mod files;
mod weak;

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::key::env_name;
use super::{Config, JWT_SECRET, JWT_VERIFICATION_SECRETS, METRICS_KEY, PROVISIONING_KEYS};
use crate::ids::{Random, RandomError};
use files::SecretDir;

/// Directory of created secrets, in the data directory.
pub const SECRETS_DIR: &str = "secrets";
/// File of a created signing secret, in [`SECRETS_DIR`].
pub const JWT_SECRET_FILE: &str = "jwt-secret";
/// File of a created provisioning key, in [`SECRETS_DIR`].
pub const PROVISIONING_KEY_FILE: &str = "provisioning-key";

/// Fewest bytes of a signing secret: as many as the HMAC has (RFC 7518 §3.2).
pub const MIN_JWT_SECRET_BYTES: usize = 32;
/// Fewest characters of a key that is compared.
pub const MIN_KEY_CHARS: usize = 16;

/// How a person makes a value that is accepted. Hexadecimal needs no quoting anywhere.
const GENERATE: &str = "make one with `openssl rand -hex 32`";

/// The secrets to run with. Debug output redacts them.
#[derive(Debug, Clone)]
pub struct ResolvedSecrets {
    /// Keys for provisioning; at least one.
    pub provisioning_keys: Vec<SecretString>,
    /// What tokens are signed with; at least 32 bytes.
    pub jwt_secret: SecretString,
    /// Earlier signing secrets, which still verify.
    pub jwt_verification_secrets: Vec<SecretString>,
    /// The directory with the created secrets ([`JWT_SECRET_FILE`], [`PROVISIONING_KEY_FILE`]), where any of them is
    /// used.
    pub location: Option<PathBuf>,
    /// Whether this call created any of them.
    pub created: bool,
}

/// Why the service must not start with these secrets. No message holds one.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A configured secret is unfit.
    #[error("{place} (environment variable {variable}) {reason}; {GENERATE}")]
    Unfit {
        /// Dotted key, with the number of the entry where it is a list.
        place: String,
        /// The variable that sets the key.
        variable: String,
        /// What is wrong.
        reason: String,
    },
    /// Secrets are missing and the store is shared, so that none may be created.
    #[error(
        "{} must be set: the store is shared, and every instance needs the same secrets. Set {}; {GENERATE}",
        keys.join(" and "),
        keys.iter().map(|key| variable(key)).collect::<Vec<_>>().join(" and ")
    )]
    Missing {
        /// The unset keys.
        keys: Vec<&'static str>,
    },
    /// A created secret cannot be kept or read.
    #[error("secret {}: {reason}", path.display())]
    File {
        /// File or directory.
        path: PathBuf,
        /// What went wrong and what to do about it.
        reason: String,
    },
    /// No randomness for a new secret.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Checks configured secrets and supplies missing ones. Blocks on the file system.
///
/// # Errors
/// [`SecretsError`] where a secret is missing on a shared store, short, well-known, or cannot be kept safely.
pub fn resolve(config: &Config, random: &dyn Random) -> Result<ResolvedSecrets, SecretsError> {
    let auth = &config.auth;
    check_configured(config)?;
    let mut missing = Vec::new();
    if auth.jwt_secret.is_none() {
        missing.push(JWT_SECRET);
    }
    if auth.provisioning_keys.is_empty() {
        missing.push(PROVISIONING_KEYS);
    }
    let mut resolved = ResolvedSecrets {
        provisioning_keys: auth.provisioning_keys.clone(),
        jwt_secret: auth.jwt_secret.clone().unwrap_or_default(),
        jwt_verification_secrets: auth.jwt_verification_secrets.clone(),
        location: None,
        created: false,
    };
    if missing.is_empty() {
        return Ok(resolved);
    }
    if !config.storage.url.is_sqlite() {
        return Err(SecretsError::Missing { keys: missing });
    }
    let dir = SecretDir::open(config.data_dir.join(SECRETS_DIR))?;
    if auth.jwt_secret.is_none() {
        let (secret, created) = dir.read_or_create(JWT_SECRET_FILE, random)?;
        resolved.jwt_secret = secret;
        resolved.created |= created;
    }
    if auth.provisioning_keys.is_empty() {
        let (key, created) = dir.read_or_create(PROVISIONING_KEY_FILE, random)?;
        resolved.provisioning_keys = vec![key];
        resolved.created |= created;
    }
    resolved.location = Some(dir.path);
    Ok(resolved)
}

fn check_configured(config: &Config) -> Result<(), SecretsError> {
    let auth = &config.auth;
    if let Some(secret) = &auth.jwt_secret {
        fit(JWT_SECRET, None, weak::signing_secret(secret.expose_secret()))?;
    }
    for (number, secret) in (1..).zip(&auth.jwt_verification_secrets) {
        fit(JWT_VERIFICATION_SECRETS, Some(number), weak::signing_secret(secret.expose_secret()))?;
    }
    let signing: Vec<_> =
        auth.jwt_secret.iter().chain(&auth.jwt_verification_secrets).map(ExposeSecret::expose_secret).collect();
    for (number, key) in (1..).zip(&auth.provisioning_keys) {
        fit(PROVISIONING_KEYS, Some(number), weak::key(key.expose_secret()))?;
        // Provisioning keys are handed to people; whoever signs tokens needs no other key.
        let reused = signing.contains(&key.expose_secret());
        fit(PROVISIONING_KEYS, Some(number), reused.then(|| "is a signing secret as well".to_owned()))?;
    }
    if let Some(key) = &config.metrics.key {
        fit(METRICS_KEY, None, weak::key(key.expose_secret()))?;
        let given_out = auth.provisioning_keys.iter().map(ExposeSecret::expose_secret);
        let reused = given_out.chain(signing.iter().copied()).any(|other| other == key.expose_secret());
        fit(METRICS_KEY, None, reused.then(|| "is used for something else as well".to_owned()))?;
    }
    Ok(())
}

fn fit(key: &str, number: Option<usize>, reason: Option<String>) -> Result<(), SecretsError> {
    let Some(reason) = reason else { return Ok(()) };
    let place = number.map_or_else(|| key.to_owned(), |number| format!("{key}, entry {number},"));
    Err(SecretsError::Unfit { place, variable: variable(key), reason })
}

fn variable(key: &str) -> String {
    env_name(key.split('.'))
}
