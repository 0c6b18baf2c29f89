//! `storage` and `data_dir`: where data is kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

use super::RetentionConfig;
use super::key::{Key, Kind};
use crate::storage::{DynamoDbOptions, PostgresOptions, StorageOptions};

pub(super) const DATA_DIR_KEYS: &[Key] = &[Key::new(
    "data_dir",
    "Directory of the embedded database and of created secrets, relative to the working directory",
    Kind::Text { expected: "the path of a directory", accepts: |text| !text.is_empty() && !text.contains('\0') },
)];

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "storage.url",
        "Where data is kept",
        // Which of these a build can open is said by `storage::open`.
        Kind::Url {
            expected: "the address of a store: sqlite://path/to.db, postgres://user@host/database or dynamodb://?region=…",
            accepts: StorageUrl::accepts,
            show: redact_url,
        },
    ),
    Key::new("storage.auto_migrate", "Whether `serve` brings the store to this version's schema by itself", Kind::Bool),
    Key::new("storage.cache", "Whether a store shared by several instances is read through a cache", Kind::Bool),
    Key::new(
        "storage.postgres.max_connections",
        "Most connections of this instance",
        Kind::Int { min: 1, max: 500, unit: "connections" },
    ),
    Key::new("storage.postgres.acquire_timeout_ms", "Longest wait for a connection", TIMEOUT),
    Key::new("storage.postgres.statement_timeout_ms", "Longest time of one attempt of an operation", TIMEOUT),
    Key::new(
        "storage.postgres.prepared_statements",
        "Whether statements stay prepared on their connection",
        Kind::Bool,
    ),
    Key::new("storage.dynamodb.attempt_timeout_ms", "Longest time of one attempt of a call", TIMEOUT),
    Key::new("storage.dynamodb.operation_timeout_ms", "Longest time of a call with its retries", TIMEOUT),
    Key::new(
        "storage.dynamodb.tags",
        "Tags of the tables that `migrate` creates",
        Kind::List { expected: "a tag such as team=platform", accepts: |text| tag(text).is_some() },
    ),
];

/// Below the time one commit may take: a longer one would never be waited for.
const TIMEOUT: Kind = Kind::Int { min: 100, max: 9_000, unit: "milliseconds" };

/// Name and value of a table's tag, within the limits of AWS.
fn tag(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let fits = (1..=128).contains(&name.len()) && value.len() <= 256;
    let plain = |c: char| c.is_ascii_alphanumeric() || " _.:/+-@".contains(c);
    (fits && !name.starts_with("aws:") && name.chars().chain(value.chars()).all(plain)).then_some((name, value))
}

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
    /// Whether a store shared by several instances is read through a cache of a few seconds.
    pub cache: bool,
    /// For a PostgreSQL store.
    pub postgres: PostgresConfig,
    /// For a DynamoDB store.
    pub dynamodb: DynamoDbConfig,
}

/// How a PostgreSQL store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Most connections of this instance.
    pub max_connections: u32,
    /// Milliseconds to wait for a connection.
    pub acquire_timeout_ms: u64,
    /// Milliseconds one attempt of an operation may take.
    pub statement_timeout_ms: u64,
    /// Whether statements stay prepared on their connection.
    pub prepared_statements: bool,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        let PostgresOptions { max_connections, acquire_timeout, statement_timeout, prepared_statements } =
            PostgresOptions::default();
        Self {
            max_connections,
            acquire_timeout_ms: as_millis(acquire_timeout),
            statement_timeout_ms: as_millis(statement_timeout),
            prepared_statements,
        }
    }
}

/// How a DynamoDB store is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamoDbConfig {
    /// Milliseconds one attempt of a call may take.
    pub attempt_timeout_ms: u64,
    /// Milliseconds a call may take with its retries.
    pub operation_timeout_ms: u64,
    /// Tags of the tables that `migrate` creates, each `name=value`.
    pub tags: Vec<String>,
}

impl Default for DynamoDbConfig {
    fn default() -> Self {
        let DynamoDbOptions { attempt_timeout, operation_timeout, .. } = DynamoDbOptions::default();
        Self {
            attempt_timeout_ms: as_millis(attempt_timeout),
            operation_timeout_ms: as_millis(operation_timeout),
            tags: Vec::new(),
        }
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl StorageConfig {
    /// Defaults for a data directory.
    #[must_use]
    pub fn in_dir(data_dir: &Path) -> Self {
        Self {
            url: StorageUrl::in_dir(data_dir),
            auto_migrate: false,
            cache: true,
            postgres: PostgresConfig::default(),
            dynamodb: DynamoDbConfig::default(),
        }
    }

    /// What the store is opened with.
    #[must_use]
    pub fn options(&self, retention: &RetentionConfig) -> StorageOptions {
        let Self { postgres, dynamodb, .. } = self;
        StorageOptions {
            postgres: PostgresOptions {
                max_connections: postgres.max_connections,
                acquire_timeout: Duration::from_millis(postgres.acquire_timeout_ms),
                statement_timeout: Duration::from_millis(postgres.statement_timeout_ms),
                prepared_statements: postgres.prepared_statements,
            },
            dynamodb: DynamoDbOptions {
                attempt_timeout: Duration::from_millis(dynamodb.attempt_timeout_ms),
                operation_timeout: Duration::from_millis(dynamodb.operation_timeout_ms),
                usage_days: retention.usage_days,
                totals_days: retention.daily_totals_days,
                audit_days: retention.audit_days,
                tags: dynamodb.tags.iter().filter_map(|text| tag(text)).map(owned).collect(),
            },
        }
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// `scheme://…` of a known kind of store. It may hold a password, so it is shown without credentials.
#[derive(Clone)]
pub struct StorageUrl(SecretString);

impl StorageUrl {
    const SCHEMES: [&str; 4] = ["sqlite://", "postgres://", "postgresql://", "dynamodb://"];

    /// Whether a text is the address of a store that some build can open.
    pub(super) fn accepts(text: &str) -> bool {
        Self::SCHEMES.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
    }

    /// Stands for an address that is somewhere else and was not read yet. Nothing can open it.
    pub(super) fn unread() -> Self {
        Self::from("unread://".to_owned())
    }

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
    fn a_tag_has_a_name_and_plain_characters() {
        assert_eq!(tag("team=platform"), Some(("team", "platform")));
        assert_eq!(tag("empty="), Some(("empty", "")));
        for bad in ["team", "=x", "aws:team=x", "team=a\"b"] {
            assert_eq!(tag(bad), None, "{bad}");
        }
    }

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
