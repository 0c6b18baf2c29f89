//! Why the service must not start with its secrets.

use std::path::PathBuf;

use crate::config::key::env_name;
use crate::ids::RandomError;

/// How a person makes a secret that is accepted. Hexadecimal needs no quoting anywhere.
pub(super) const GENERATE_SECRET: &str = "openssl rand -hex 32";
/// The same for a private key.
pub(super) const GENERATE_PRIVATE_KEY: &str = "openssl genpkey -algorithm ed25519";
/// The same for its public key.
pub(super) const GENERATE_PUBLIC_KEY: &str = "openssl pkey -in private.pem -pubout";

/// Why the service must not start with these secrets. No message holds one.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A secret is unfit.
    #[error("{place} ({origin}) {reason}; make one with `{generate}`")]
    Unfit {
        /// Dotted key, with the number of the entry where it is a list.
        place: String,
        /// Where its value comes from: the variable that sets it, a file, a secret of AWS.
        origin: String,
        /// What is wrong.
        reason: String,
        /// The command that makes a fit one.
        generate: &'static str,
    },
    /// More keys than anybody needs.
    #[error(
        "auth.jwt_verification_secrets and auth.jwt_verification_public_keys have {found} keys together, and at most \
         {most} are looked at: remove those whose tokens have expired"
    )]
    TooManyKeys {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// Secrets are missing and the store is shared, so that none may be created.
    #[error(
        "{} must be set: the store is shared, and every instance needs the same secrets. Set {}; make one with \
         `{GENERATE_SECRET}`",
        keys.join(" and "),
        keys.iter().map(|key| variable(key)).collect::<Vec<_>>().join(" and ")
    )]
    Missing {
        /// The unset keys.
        keys: Vec<&'static str>,
    },
    /// A secret cannot be read from where the configuration says it is.
    #[error("{key}, as {setting} says, cannot be used: {place} {reason}")]
    Unread {
        /// Dotted key of the secret.
        key: &'static str,
        /// The setting that says where it is.
        setting: &'static str,
        /// File, or id of a secret.
        place: String,
        /// What is wrong with it.
        reason: String,
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

/// The environment variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    env_name(key.split('.'))
}
