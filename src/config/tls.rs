//! `server.tls`: HTTPS without a proxy in front.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};

/// The certificate chain.
pub const CERTIFICATE_FILE: &str = "server.tls.certificate_file";
/// The private key of the chain's first certificate.
pub const PRIVATE_KEY_FILE: &str = "server.tls.private_key_file";

const FILE: Kind =
    Kind::Text { expected: "the path of a PEM file", accepts: |text| !text.is_empty() && !text.contains('\0') };

pub(super) const KEYS: &[Key] = &[
    Key::new(CERTIFICATE_FILE, "Switches HTTPS on, together with `private_key_file`", FILE),
    Key::new(PRIVATE_KEY_FILE, "The private key of the certificate in `certificate_file`", FILE),
    Key::new(
        "server.tls.reload_interval_secs",
        "Time between looks whether the files were renewed",
        Kind::Int { min: 0, max: 86_400, unit: "seconds" },
    ),
    // Two years, the most that preload lists ask for.
    Key::new(
        "server.tls.hsts_max_age_secs",
        "Time browsers are told to insist on HTTPS, in `Strict-Transport-Security` of every answer over TLS",
        Kind::Int { min: 0, max: 63_072_000, unit: "seconds" },
    ),
];

/// How the main listener speaks TLS. Without files it speaks plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate of this server, followed by those that lead to its authority.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the private key of that certificate.
    #[serde(default)]
    pub private_key_file: Option<PathBuf>,
    /// Seconds between looks whether the files have changed; 0: they are read at the start only.
    pub reload_interval_secs: u64,
    /// Seconds a browser is told to insist on HTTPS; 0: it is not told.
    pub hsts_max_age_secs: u64,
}

impl TlsConfig {
    /// Certificate and private key, where TLS is on.
    #[must_use]
    pub fn files(&self) -> Option<(&Path, &Path)> {
        Some((self.certificate_file.as_deref()?, self.private_key_file.as_deref()?))
    }

    /// [`reload_interval_secs`](Self::reload_interval_secs) as a duration; `None` where files are read once.
    #[must_use]
    pub fn reload_interval(&self) -> Option<Duration> {
        (self.reload_interval_secs > 0).then(|| Duration::from_secs(self.reload_interval_secs))
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate_file: None,
            private_key_file: None,
            reload_interval_secs: 60,
            hsts_max_age_secs: 365 * 86_400,
        }
    }
}
