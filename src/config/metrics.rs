//! `metrics`: who may read `/metrics`. Unset, whoever holds a provisioning key.

use std::net::SocketAddr;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::auth::secret;
use super::key::{Key, Kind};
use super::server::ADDRESS;

/// The key that opens `/metrics` on the main listener.
pub const METRICS_KEY: &str = "metrics.key";

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "metrics.listen",
        "A listener of its own for `/metrics` and `/livez`, without authentication, for a private network",
        ADDRESS,
    ),
    Key::new(METRICS_KEY, "The key that opens `/metrics` on the main listener", Kind::Secret),
];

/// Who may read `/metrics`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// A listener of its own that serves metrics to everybody who reaches it.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// The key that opens `/metrics` on the main listener.
    #[serde(skip_serializing, default, deserialize_with = "secret")]
    pub key: Option<SecretString>,
}
