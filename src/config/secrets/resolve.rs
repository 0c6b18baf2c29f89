//! The secrets to run with: checked, and created where they are missing and may be.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::error::{GENERATE_PRIVATE_KEY, GENERATE_PUBLIC_KEY, GENERATE_SECRET, SecretsError, variable};
use super::files::SecretDir;
use super::weak;
use crate::config::error::shown;
use crate::config::{
    Config, JWT_PRIVATE_KEY, JWT_SECRET, JWT_VERIFICATION_PUBLIC_KEYS, JWT_VERIFICATION_SECRETS, METRICS_KEY,
    PROVISIONING_KEYS, SecretSource,
};
use crate::domain::signing_key::{Ed25519PrivateKey, Ed25519PublicKey, SigningKey, VerificationKey};
use crate::ids::Random;

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
/// Most configured keys that only verify. Tokens live for 90 days at most, so these are enough for a new signing key
/// every week; a longer list is one that nobody tidies up, of keys that could still forge tokens.
pub const MAX_VERIFICATION_KEYS: usize = 16;

/// The secrets to run with. Debug output redacts them.
#[derive(Debug, Clone)]
pub struct ResolvedSecrets {
    /// Keys for provisioning; at least one.
    pub provisioning_keys: Vec<SecretString>,
    /// What tokens are signed with.
    pub signing: SigningKey,
    /// Further keys that verify tokens.
    pub verification: Vec<VerificationKey>,
    /// The directory with the created secrets ([`JWT_SECRET_FILE`], [`PROVISIONING_KEY_FILE`]), where any of them is
    /// used.
    pub location: Option<PathBuf>,
    /// Whether this call created any of them.
    pub created: bool,
}

impl ResolvedSecrets {
    /// Secrets that are given, none of them created. They are not checked.
    #[must_use]
    pub fn given(provisioning_keys: Vec<SecretString>, signing: SigningKey) -> Self {
        Self { provisioning_keys, signing, verification: Vec::new(), location: None, created: false }
    }
}

/// Checks secrets, which must have been [fetched](super::fetch), and supplies missing ones. Blocks on the file system.
///
/// # Errors
/// [`SecretsError`] where a secret is missing on a shared store, unfit, or cannot be kept safely.
pub fn resolve(config: &Config, random: &dyn Random) -> Result<ResolvedSecrets, SecretsError> {
    let (signing, verification) = checked(config)?;
    let provisioning_keys = config.auth.provisioning_keys.clone();
    if let (Some(signing), false) = (&signing, provisioning_keys.is_empty()) {
        return Ok(ResolvedSecrets { verification, ..ResolvedSecrets::given(provisioning_keys, signing.clone()) });
    }
    missing_may_be_created(config, signing.is_some())?;
    let dir = SecretDir::open(config.data_dir.join(SECRETS_DIR))?;
    let mut any_created = false;
    let mut read_or_create = |file| {
        let (secret, created) = dir.read_or_create(file, random)?;
        any_created |= created;
        Ok::<_, SecretsError>(secret)
    };
    let signing = match signing {
        Some(signing) => signing,
        None => SigningKey::Hs256(read_or_create(JWT_SECRET_FILE)?),
    };
    let provisioning_keys = match provisioning_keys.is_empty() {
        true => vec![read_or_create(PROVISIONING_KEY_FILE)?],
        false => provisioning_keys,
    };
    Ok(ResolvedSecrets { provisioning_keys, signing, verification, location: Some(dir.path), created: any_created })
}

/// Checks secrets that were fetched again while the service runs. What is not configured stays what it was at start.
///
/// # Errors
/// As [`resolve`], of what is configured.
pub fn resolve_again(config: &Config, at_start: &ResolvedSecrets) -> Result<ResolvedSecrets, SecretsError> {
    let (signing, verification) = checked(config)?;
    let signing = signing.unwrap_or_else(|| at_start.signing.clone());
    let provisioning_keys = match config.auth.provisioning_keys.is_empty() {
        true => at_start.provisioning_keys.clone(),
        false => config.auth.provisioning_keys.clone(),
    };
    Ok(ResolvedSecrets { verification, ..ResolvedSecrets::given(provisioning_keys, signing) })
}

/// Checks secrets without supplying missing ones, for a refusal before anything else is touched.
///
/// # Errors
/// As [`resolve`].
pub fn check(config: &Config) -> Result<(), SecretsError> {
    let (signing, _) = checked(config)?;
    if signing.is_some() && !config.auth.provisioning_keys.is_empty() {
        return Ok(());
    }
    missing_may_be_created(config, signing.is_some())
}

fn missing_may_be_created(config: &Config, has_signing: bool) -> Result<(), SecretsError> {
    if config.storage.url.is_sqlite() {
        return Ok(());
    }
    let signing = (!has_signing).then_some(JWT_SECRET);
    let provisioning = config.auth.provisioning_keys.is_empty().then_some(PROVISIONING_KEYS);
    Err(SecretsError::Missing { keys: signing.into_iter().chain(provisioning).collect() })
}

/// The configured keys of tokens, once everything that is configured has been found fit.
fn checked(config: &Config) -> Result<(Option<SigningKey>, Vec<VerificationKey>), SecretsError> {
    let auth = &config.auth;
    let fit = |key, number, reason: Option<String>| match reason {
        None => Ok(()),
        Some(reason) => Err(unfit(config, key, number, reason, GENERATE_SECRET)),
    };
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
    Ok((signing_key(config)?, verification_keys(config)?))
}

fn signing_key(config: &Config) -> Result<Option<SigningKey>, SecretsError> {
    // The configuration refuses both; should it not, the one that proves more counts.
    if let Some(pem) = &config.auth.jwt_private_key {
        let key = Ed25519PrivateKey::from_pem(pem.expose_secret());
        let key = key.map_err(|e| unfit(config, JWT_PRIVATE_KEY, None, e.to_string(), GENERATE_PRIVATE_KEY))?;
        return Ok(Some(SigningKey::Ed25519(key)));
    }
    Ok(config.auth.jwt_secret.clone().map(SigningKey::Hs256))
}

fn verification_keys(config: &Config) -> Result<Vec<VerificationKey>, SecretsError> {
    let auth = &config.auth;
    let found = auth.jwt_verification_secrets.len() + auth.jwt_verification_public_keys.len();
    if found > MAX_VERIFICATION_KEYS {
        return Err(SecretsError::TooManyKeys { found, most: MAX_VERIFICATION_KEYS });
    }
    let mut keys: Vec<_> = auth.jwt_verification_secrets.iter().cloned().map(VerificationKey::Hs256).collect();
    for (number, pem) in (1..).zip(&auth.jwt_verification_public_keys) {
        let key = Ed25519PublicKey::from_pem(pem.expose_secret()).map_err(|e| {
            unfit(config, JWT_VERIFICATION_PUBLIC_KEYS, Some(number), e.to_string(), GENERATE_PUBLIC_KEY)
        })?;
        keys.push(VerificationKey::Ed25519(key));
    }
    keys.extend(auth.jwt_previous.iter().cloned());
    Ok(keys)
}

fn unfit(
    config: &Config,
    key: &'static str,
    number: Option<usize>,
    reason: String,
    generate: &'static str,
) -> SecretsError {
    let place = number.map_or_else(|| key.to_owned(), |number| format!("{key}, entry {number},"));
    let origin = match config.secret_sources.of_key(key) {
        None => format!("environment variable {}", variable(key)),
        Some(SecretSource::File(path)) => format!("file {}", shown(&path.display().to_string())),
        Some(SecretSource::Aws(secret)) => format!("secret {}", shown(&secret.id)),
    };
    SecretsError::Unfit { place, origin, reason, generate }
}
