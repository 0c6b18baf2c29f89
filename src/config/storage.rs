//! `storage` and `data_dir`: where data is kept.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

use super::key::{Key, Kind};

pub(super) const DATA_DIR_KEYS: &[Key] = &[Key::new(
    "data_dir",
    Kind::Text { expected: "the path of a directory", accepts: |text| !text.is_empty() && !text.contains('\0') },
)];

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "storage.url",
        // Which of these a build can open is said by `storage::open`.
        Kind::Url {
            expected: "the address of a store: sqlite://relative/path.db or sqlite:///absolute/path.db",
            accepts: |text| {
                StorageUrl::SCHEMES.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
            },
            show: redact_url,
        },
    ),
    Key::new("storage.auto_migrate", Kind::Bool),
];

/// Default of `data_dir`.
pub(super) fn default_data_dir() -> PathBuf {
    PathBuf::from("data")
}

/// Where data is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The store; unset it is an SQLite file in the data directory.
    #[serde(skip_serializing)]
    pub url: StorageUrl,
    /// Whether `serve` brings a store to this version's schema by itself. SQLite always does.
    pub auto_migrate: bool,
}

impl StorageConfig {
    /// Defaults for a data directory.
    #[must_use]
    pub fn in_dir(data_dir: &Path) -> Self {
        Self { url: StorageUrl::in_dir(data_dir), auto_migrate: false }
    }
}

/// `scheme://…` of a known kind of store. It may hold a password, so it is shown without credentials.
#[derive(Clone)]
pub struct StorageUrl(SecretString);

impl StorageUrl {
    const SCHEMES: [&str; 4] = ["sqlite://", "postgres://", "postgresql://", "dynamodb://"];

    /// The default store of a data directory.
    #[must_use]
    pub fn in_dir(data_dir: &Path) -> Self {
        Self::from(format!("sqlite://{}", data_dir.join("cost-keeper.db").display()))
    }

    /// The whole address, credentials included: for opening the store, never for showing.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether the store is an SQLite file of this machine.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        self.expose().starts_with("sqlite:")
    }
}

impl From<String> for StorageUrl {
    fn from(url: String) -> Self {
        Self(url.into())
    }
}

/// Without credentials.
impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_url(self.expose()))
    }
}

/// Without credentials.
impl fmt::Debug for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redact_url(self.expose()))
    }
}

impl<'de> Deserialize<'de> for StorageUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// Replaces what may be a credential: everything before the last `@`, and the values of parameters that sound secret.
/// It rather hides too much than reads a malformed address too cleverly.
fn redact_url(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        // The address of a file has no user; its path may well have an `@`.
        Some((_, rest)) if scheme != "sqlite://" => ("(redacted)@", rest),
        _ => ("", rest),
    };
    let Some((place, parameters)) = rest.split_once('?') else { return format!("{scheme}{user}{rest}") };
    let shown: Vec<_> = parameters
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if sounds_secret(name) => format!("{name}=(redacted)"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{scheme}{user}{place}?{}", shown.join("&"))
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pwd", "secret", "token", "key", "credential"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_credentials() {
        let cases = [
            ("sqlite:///home/me@work/cost-keeper.db", "sqlite:///home/me@work/cost-keeper.db"),
            ("postgres://db.example/x?sslmode=require", "postgres://db.example/x?sslmode=require"),
            ("postgres://u:p4ss@db/x", "postgres://(redacted)@db/x"),
            ("postgres://u:p4/s@s@db/x", "postgres://(redacted)@db/x"),
            ("postgres://db/x?user=u&password=p4ss", "postgres://db/x?user=u&password=(redacted)"),
            ("dynamodb://?region=r&secret_access_key=p4ss", "dynamodb://?region=r&secret_access_key=(redacted)"),
            ("u:p4ss@db", "(redacted)@db"),
        ];
        for (url, shown) in cases {
            assert_eq!(redact_url(url), shown);
            assert!(!format!("{0} {0:?}", StorageUrl::from(url.to_owned())).contains("p4"), "{url}");
        }
    }
}
