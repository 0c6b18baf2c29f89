//! From `storage.url` to a store. With [`app`](crate::app), the only place that names a backend.
//!
//! No error repeats the URL: it may carry credentials.

use std::sync::Arc;

use super::contract::Storage;
use super::error::StorageError;
use super::options::StorageOptions;

/// What `storage.url` may be.
const ACCEPTED: &str = "sqlite://path/to.db, postgres://user@host/database or dynamodb://?region=…";
/// What the URL of an embedded store may be.
const SQLITE_ACCEPTED: &str = "sqlite://relative/path.db or sqlite:///absolute/path.db";

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no store.
    #[error("storage.url must be {ACCEPTED}")]
    UnknownScheme,
    /// The URL names a store that this build left out.
    #[error("this binary was built without the {0} store; build it with `--features {0}`")]
    NotBuilt(&'static str),
    /// The URL names no usable file.
    #[error("storage.url: {0}; it must be {SQLITE_ACCEPTED}")]
    InvalidPath(&'static str),
    /// The URL is no address of its kind of store. The text names the part, never its value.
    #[error("storage.url: {0}")]
    InvalidUrl(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StorageError),
}

/// Opens the store a URL names. Does not migrate it.
///
/// # Errors
/// [`OpenError`], which says what to change.
pub async fn open(url: &str, options: &StorageOptions) -> Result<Arc<dyn Storage>, OpenError> {
    let (scheme, rest) = url.split_once("://").ok_or(OpenError::UnknownScheme)?;
    match scheme {
        "sqlite" => open_sqlite(sqlite_path(rest)?).await,
        "postgres" | "postgresql" => open_postgres(url, options).await,
        "dynamodb" => open_dynamodb(rest, options).await,
        _ => Err(OpenError::UnknownScheme),
    }
}

/// What [`migrate`](crate::storage::Maintenance::migrate) makes in the store a URL names, in the language of that store:
/// SQL, or DynamoDB's tables as JSON. Opens nothing and asks nobody.
///
/// # Errors
/// [`OpenError`], which says what to change.
pub fn planned_schema(url: &str, options: &StorageOptions) -> Result<String, OpenError> {
    let (scheme, rest) = url.split_once("://").ok_or(OpenError::UnknownScheme)?;
    match scheme {
        "sqlite" => sqlite_path(rest).and_then(|_| sqlite_schema()),
        "postgres" | "postgresql" => postgres_schema(),
        "dynamodb" => dynamodb_schema(rest, options),
        _ => Err(OpenError::UnknownScheme),
    }
}

fn sqlite_path(rest: &str) -> Result<&str, OpenError> {
    if rest.is_empty() {
        return Err(OpenError::InvalidPath("the path is missing"));
    }
    if rest.contains('?') {
        return Err(OpenError::InvalidPath("a SQLite store takes no query parameters"));
    }
    if rest.contains(":memory:") {
        return Err(OpenError::InvalidPath("an in-memory database would lose accepted usage"));
    }
    if rest.ends_with('/') {
        return Err(OpenError::InvalidPath("the path is a directory"));
    }
    Ok(rest)
}

#[cfg(feature = "sqlite")]
async fn open_sqlite(path: &str) -> Result<Arc<dyn Storage>, OpenError> {
    Ok(Arc::new(super::sql::SqliteStorage::open(path.as_ref()).await?))
}

#[cfg(feature = "sqlite")]
fn sqlite_schema() -> Result<String, OpenError> {
    Ok(super::sql::migrate::sqlite::script())
}

#[cfg(not(feature = "sqlite"))]
fn sqlite_schema() -> Result<String, OpenError> {
    Err(OpenError::NotBuilt("sqlite"))
}

#[cfg(not(feature = "sqlite"))]
async fn open_sqlite(_: &str) -> Result<Arc<dyn Storage>, OpenError> {
    Err(OpenError::NotBuilt("sqlite"))
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str, options: &StorageOptions) -> Result<Arc<dyn Storage>, OpenError> {
    use super::sql::postgres::{InvalidUrl, PostgresStorage};
    let invalid = |InvalidUrl(text)| OpenError::InvalidUrl(text);
    let storage = PostgresStorage::new(url, &options.postgres).map_err(invalid)?;
    storage.check().await?;
    Ok(Arc::new(storage))
}

#[cfg(feature = "postgres")]
fn postgres_schema() -> Result<String, OpenError> {
    Ok(super::sql::migrate::postgres::script())
}

#[cfg(not(feature = "postgres"))]
fn postgres_schema() -> Result<String, OpenError> {
    Err(OpenError::NotBuilt("postgres"))
}

#[cfg(not(feature = "postgres"))]
async fn open_postgres(_: &str, _: &StorageOptions) -> Result<Arc<dyn Storage>, OpenError> {
    Err(OpenError::NotBuilt("postgres"))
}

#[cfg(feature = "dynamodb")]
async fn open_dynamodb(rest: &str, options: &StorageOptions) -> Result<Arc<dyn Storage>, OpenError> {
    let opened = super::dynamodb::DynamoDbStorage::open(rest, &options.dynamodb).await;
    Ok(Arc::new(opened.map_err(|error| OpenError::InvalidUrl(error.to_string()))?))
}

#[cfg(feature = "dynamodb")]
fn dynamodb_schema(rest: &str, options: &StorageOptions) -> Result<String, OpenError> {
    super::dynamodb::planned(rest, &options.dynamodb).map_err(|error| OpenError::InvalidUrl(error.to_string()))
}

#[cfg(not(feature = "dynamodb"))]
fn dynamodb_schema(_: &str, _: &StorageOptions) -> Result<String, OpenError> {
    Err(OpenError::NotBuilt("dynamodb"))
}

#[cfg(not(feature = "dynamodb"))]
async fn open_dynamodb(_: &str, _: &StorageOptions) -> Result<Arc<dyn Storage>, OpenError> {
    Err(OpenError::NotBuilt("dynamodb"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn refusal(url: &str) -> String {
        open(url, &StorageOptions::default()).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_url_that_names_no_store_is_refused_with_the_accepted_forms_and_never_repeated() {
        for url in ["", "keeper.db", "mysql://root:hunter2@db/x", "root:hunter2@db", "SQLITE://x"] {
            let text = refusal(url).await;
            assert!(text.contains("sqlite://"), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("root"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_sqlite_url_is_a_plain_path() {
        assert!(refusal("sqlite://").await.contains("missing"));
        assert!(refusal("sqlite://a.db?mode=memory").await.contains("no query parameters"));
        assert!(refusal("sqlite://:memory:").await.contains("in-memory"));
        assert!(refusal("sqlite:///var/lib/keeper/").await.contains("directory"));
        assert_eq!(sqlite_path("a/b.db").unwrap(), "a/b.db");
        assert_eq!(sqlite_path("/a/b.db").unwrap(), "/a/b.db");
    }
}
