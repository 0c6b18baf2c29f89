//! The URL, the pool, and what is sent when a connection is opened.

use std::fmt;
use std::fs::File;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres};
use tokio::time::{Instant, timeout};

use crate::storage::error::StorageError;
use crate::storage::options::PostgresOptions;
use crate::storage::sql::error::refuses_startup;

/// The oldest server that is supported, as it numbers itself.
const OLDEST_SERVER: u32 = 140_000;
/// A connection that was used a moment ago is most likely still there. One that rested longer, or since before another
/// was lost, is asked, so that those a failover or a firewall has ended do not cost an attempt each.
const TRUSTED_REST: Duration = Duration::from_secs(1);
/// Longest wait for that answer: a live server needs less than a round trip.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for operations under way when the store is closed, beyond what one of them may take.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// What our connections are called in `pg_stat_activity`.
const APPLICATION_NAME: &str = "bedrock-cost-keeper";

/// What a URL's query may say. Others are refused: a misspelled `sslmode` would be a connection nobody protects.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
/// Those of them that name a file.
const FILES: &[&str] = &["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// Why a text is no URL of a PostgreSQL store. It names the part, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(pub String);

/// The shared store.
pub struct PostgresStorage {
    pub(super) pool: PgPool,
    pub(super) options: PostgresOptions,
    losses: Arc<Losses>,
    /// How to connect where startup options are refused.
    plain: PgConnectOptions,
    /// Whether the server itself bounds every statement, because it was told to when the connection was opened. A pooler
    /// may refuse that; then every operation is a transaction that says it.
    bounded_sessions: AtomicBool,
}

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStorage").finish_non_exhaustive()
    }
}

impl PostgresStorage {
    /// Prepares a store: checks the URL, connects to nothing.
    ///
    /// The URL is `postgres://user:password@host:port/database`, each part percent-encoded. What it leaves out is taken
    /// from the environment variables of libpq (`PGHOST`, `PGUSER`, `PGPASSWORD`, `PGSSLMODE`, …) and from its password
    /// file. Query parameters:
    ///
    /// * `sslmode`: `disable`, `prefer` (the default: encrypted if the server can, whoever it is), `require` (encrypted,
    ///   whoever it is), `verify-ca` or `verify-full` (encrypted, and the server's certificate is checked; the latter
    ///   also its name: what production should use).
    /// * `sslrootcert`: a PEM file with the authorities to trust besides the public ones that are compiled in. The
    ///   system's own list is not read, so a private authority and those of Amazon RDS must be given here.
    /// * `sslcert`, `sslkey`: PEM files of a client certificate.
    /// * `host` (a directory means a Unix socket), `hostaddr`, `port`, `dbname`, `user`, `password`: as in the URL.
    /// * `application_name`: how connections are listed on the server; `bedrock-cost-keeper` by default.
    /// * `options`: settings for each connection. A pooler may refuse them.
    ///
    /// # Errors
    /// [`InvalidUrl`], which never repeats the URL.
    pub fn new(url: &str, options: &PostgresOptions) -> Result<Self, InvalidUrl> {
        let plain = connect_options(url, options)?;
        let bounded_sessions = options.prepared_statements;
        let connect = if bounded_sessions { bounded(&plain, options) } else { plain.clone() };
        let losses = Arc::new(Losses::default());
        let pool = pool_options(options, Arc::clone(&losses)).connect_lazy_with(connect);
        Ok(Self { pool, options: options.clone(), losses, plain, bounded_sessions: AtomicBool::new(bounded_sessions) })
    }

    /// Connects once, so that what only a person can change is reported at the start: a wrong password, a missing
    /// database, a certificate nobody trusts, a server that is too old. A server that cannot be reached is no error: it
    /// may come, and until then every operation is unavailable.
    ///
    /// # Errors
    /// Any [`StorageError`] but [`StorageError::Unavailable`].
    pub async fn check(&self) -> Result<(), StorageError> {
        let connection = match self.acquire().await {
            Ok(connection) => connection,
            Err(error) => {
                let error = StorageError::from(error);
                return if error.is_transient() { Ok(()) } else { Err(error) };
            }
        };
        match connection.server_version_num() {
            Some(version) if version < OLDEST_SERVER => Err(StorageError::Backend(format!(
                "PostgreSQL 14 or later is needed; the server is version {}",
                version / 10_000
            ))),
            _ => Ok(()),
        }
    }

    /// Whether the server itself bounds statements outside a transaction of ours.
    pub(super) fn bounded_sessions(&self) -> bool {
        self.bounded_sessions.load(Ordering::Relaxed)
    }

    /// A connection of the pool. Where a pooler refuses startup options, they are left out from now on.
    pub(super) async fn acquire(&self) -> sqlx::Result<sqlx::pool::PoolConnection<Postgres>> {
        match self.pool.acquire().await {
            Err(error) if self.options.prepared_statements && is_refused_startup(&error) => {
                self.bounded_sessions.store(false, Ordering::Relaxed);
                self.pool.set_connect_options(self.plain.clone());
                self.pool.acquire().await
            }
            acquired => acquired,
        }
    }

    /// Notes that a connection was lost: those that rest may be lost too.
    pub(super) fn note_loss(&self) {
        self.losses.note();
    }

    /// Ends all connections, after what is under way.
    pub(super) async fn close_pool(&self) {
        // Beyond this somebody holds a connection to a server that does not answer; it ends with the process.
        let _ = timeout(self.options.statement_timeout + CLOSE_GRACE, self.pool.close()).await;
    }
}

fn is_refused_startup(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()).is_some_and(refuses_startup)
}

fn connect_options(url: &str, options: &PostgresOptions) -> Result<PgConnectOptions, InvalidUrl> {
    let query = url.split_once('#').map_or(url, |(url, _)| url).split_once('?').map_or("", |(_, query)| query);
    check_query(query)?;
    // The driver's message may quote what it could not read.
    let parsed = PgConnectOptions::from_str(url).map_err(|_| {
        InvalidUrl(
            "it cannot be read; it must be postgres://user:password@host:port/database?sslmode=…, with every special \
             character of a part percent-encoded"
                .to_owned(),
        )
    })?;
    let parsed = match parsed.get_application_name() {
        Some(_) => parsed,
        None => parsed.application_name(APPLICATION_NAME),
    };
    // Poolers refuse this setting, and there is no floating point anywhere.
    let parsed = parsed.extra_float_digits(None).disable_statement_logging();
    Ok(if options.prepared_statements { parsed } else { parsed.statement_cache_capacity(0) })
}

fn check_query(query: &str) -> Result<(), InvalidUrl> {
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let known = PARAMETERS.contains(&&*name) || (name.starts_with("options[") && name.ends_with(']'));
        if !known {
            // Not named: what stands there may be a part of a password.
            return Err(InvalidUrl(format!("a query parameter is none of {}", PARAMETERS.join(", "))));
        }
        if FILES.contains(&&*name) && File::open(&*value).is_err() {
            return Err(InvalidUrl(format!("{name} names no readable file")));
        }
    }
    Ok(())
}

/// With what makes the server bound every statement, whoever waits for it or no longer does.
fn bounded(plain: &PgConnectOptions, options: &PostgresOptions) -> PgConnectOptions {
    plain.clone().options([("statement_timeout", options.statement_timeout.as_millis())])
}

/// When a connection was last lost.
#[derive(Debug, Default)]
struct Losses(Mutex<Option<Instant>>);

impl Losses {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether one was lost while another rested.
    fn during(&self, rest: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() <= rest)
    }
}

fn pool_options(options: &PostgresOptions, losses: Arc<Losses>) -> PoolOptions<Postgres> {
    PoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        // Asking before every operation would double its round trips; see `TRUSTED_REST`.
        .test_before_acquire(false)
        .before_acquire(move |connection: &mut PgConnection, usage| {
            let trusted = usage.idle_for < TRUSTED_REST && !losses.during(usage.idle_for);
            Box::pin(async move {
                if trusted {
                    return Ok(true);
                }
                Ok(timeout(PING_TIMEOUT, connection.ping()).await.is_ok_and(|answer| answer.is_ok()))
            })
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal(url: &str) -> String {
        PostgresStorage::new(url, &PostgresOptions::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused_and_never_repeated() {
        for url in [
            "postgres://keeper:hunter2@host:port/db",
            "postgres://keeper:hunter2@host/db?sslmode=hunter2",
            "postgres://keeper:hunter2@host/db?pasword=hunter2",
            "postgres://keeper:x@host/db?hunter2",
            "postgres://keeper:hunter2@host/db?sslrootcert=/nowhere/hunter2.pem",
            "postgres://keeper:hun%ffter2@host/db",
        ] {
            let text = refusal(url);
            assert!(!text.contains("hunter2") && !text.contains("keeper"), "{url}: {text}");
        }
        assert!(refusal("postgres://host/db?ssl_mode=require").contains("sslmode"));
        assert!(refusal("postgres://host/db?sslrootcert=/nowhere.pem").contains("sslrootcert"));
    }

    #[test]
    fn a_connection_is_doubted_that_rested_while_another_was_lost() {
        let losses = Losses::default();
        assert!(!losses.during(Duration::from_secs(3_600)));
        losses.note();
        assert!(losses.during(Duration::from_secs(3_600)));
        std::thread::sleep(Duration::from_millis(2));
        assert!(!losses.during(Duration::from_millis(1)));
    }

    #[tokio::test]
    async fn our_connections_have_a_name_and_poolers_get_no_startup_options() {
        let name = |url: &str| {
            let options = connect_options(url, &PostgresOptions::default()).unwrap();
            options.get_application_name().map(str::to_owned)
        };
        assert_eq!(name("postgres://host/db").as_deref(), Some(APPLICATION_NAME));
        assert_eq!(name("postgres://host/db?application_name=x").as_deref(), Some("x"));
        for (prepared_statements, sent) in [(true, Some("-c statement_timeout=3000")), (false, None)] {
            let options = PostgresOptions { prepared_statements, ..PostgresOptions::default() };
            let storage = PostgresStorage::new("postgres://host/db", &options).unwrap();
            assert_eq!(storage.pool.connect_options().get_options(), sent);
        }
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_is_no_error_of_the_start_and_unavailable_in_time() {
        let options = PostgresOptions { acquire_timeout: Duration::from_millis(50), ..PostgresOptions::default() };
        // Nobody listens on the discard port.
        let storage = PostgresStorage::new("postgres://x@127.0.0.1:9/x", &options).unwrap();
        storage.check().await.unwrap();
        let begin = tokio::time::Instant::now();
        let error = crate::storage::contract::Maintenance::ping(&storage).await.unwrap_err();
        assert!(error.is_transient() && begin.elapsed() < Duration::from_secs(5), "{error}");
    }
}
