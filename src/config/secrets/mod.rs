//! Secrets the service runs with: read from where they are, checked, and missing ones created once where that is safe.
//!
//! Whether a missing secret may be created is decided by the store. With SQLite there is one instance and one data
//! directory, so the directory is where the secret lives. Any other store is shared by instances that must agree on
//! the secrets, and that is a production start: they have to be configured.

mod error;
mod fetch;
mod files;
mod resolve;
mod store;
mod weak;

pub use error::SecretsError;
pub use fetch::{Which, fetch};
pub use resolve::{
    JWT_SECRET_FILE, MAX_VERIFICATION_KEYS, MIN_JWT_SECRET_BYTES, MIN_KEY_CHARS, PROVISIONING_KEY_FILE,
    ResolvedSecrets, SECRETS_DIR, check, resolve, resolve_again,
};
pub use store::{SecretStore, SecretStoreError, Stage};
