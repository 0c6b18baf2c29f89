//! Opening the file, connection settings, and the two kinds of transactions.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::place::{cannot_create, cannot_write, create_private};
use crate::storage::error::StorageError;
use crate::storage::sql::error::{is_busy, is_not_writable};

/// Page cache of the writing connection, 16 MiB: random dedup keys touch pages all over their index.
const WRITER_CACHE: &str = "-16384";

/// How patient a store is. The defaults suit a server.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// How long to wait for a lock another process holds.
    pub busy_timeout: Duration,
    /// How long to wait for a free connection.
    pub acquire_timeout: Duration,
    /// Connections for reading.
    pub readers: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), acquire_timeout: Duration::from_secs(5), readers: 4 }
    }
}

/// What the writing connection runs with, as SQLite itself reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteSettings {
    /// Version of the SQLite library.
    pub version: String,
    /// `wal`.
    pub journal_mode: String,
    /// 2 is FULL.
    pub synchronous: i64,
    /// Whether foreign keys are enforced.
    pub foreign_keys: bool,
    /// Milliseconds to wait for a lock.
    pub busy_timeout_ms: i64,
}

/// The embedded store.
pub struct SqliteStorage {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

impl fmt::Debug for SqliteStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStorage").finish_non_exhaustive()
    }
}

impl SqliteStorage {
    /// Opens a database file, creating it (mode 0600) and its directory (mode 0700) where they are missing. Does not
    /// migrate.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] where the file cannot be created or opened, [`StorageError::Corrupt`] where it is
    /// no SQLite database.
    pub async fn open(path: &Path) -> Result<Self, StorageError> {
        Self::open_with(path, &SqliteOptions::default()).await
    }

    /// [`open`](Self::open) with other limits.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(path: &Path, options: &SqliteOptions) -> Result<Self, StorageError> {
        // Absolute, because SQLite gives some relative names a meaning of their own (`:memory:`, `file:…`).
        let path = std::path::absolute(path).map_err(|error| cannot_create(path, &error))?;
        create_private(&path).await?;
        let connect = connect_options(&path, options);
        // The file is touched here, so that what is wrong with it is reported by `open`.
        let writer = open_writer(&connect, options).await.map_err(|error| match is_not_writable(&error) {
            true => cannot_write(&path, &error),
            false => error.into(),
        })?;
        let readers = pool_options(options.readers, options)
            // A guard against ourselves: a write sent to a reader fails instead of bypassing the writer's queue.
            .connect_lazy_with(connect.pragma("query_only", "ON"));
        Ok(Self { writer, readers })
    }

    /// What the writing connection runs with.
    ///
    /// # Errors
    /// As every method of the store.
    pub async fn settings(&self) -> Result<SqliteSettings, StorageError> {
        let mut connection = self.writer.acquire().await?;
        Ok(SqliteSettings {
            version: sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut *connection).await?,
            journal_mode: sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?,
            synchronous: sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?,
            foreign_keys: sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&mut *connection).await?,
            busy_timeout_ms: sqlx::query_scalar("PRAGMA busy_timeout").fetch_one(&mut *connection).await?,
        })
    }

    /// A write transaction. It holds the write lock from the start, so it never fails half-way for want of it.
    /// Dropped without a commit, also by cancellation, it rolls back.
    pub(super) async fn write(&self) -> Result<Transaction<'static, Sqlite>, StorageError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A read transaction: all its statements see the same state. One statement alone needs none.
    pub(super) async fn read(&self) -> Result<Transaction<'static, Sqlite>, StorageError> {
        Ok(self.readers.begin().await?)
    }
}

fn connect_options(path: &Path, options: &SqliteOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(options.busy_timeout)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Sorting and sub-queries stay in memory: the file system may be read-only outside the data directory.
        .pragma("temp_store", "MEMORY")
        // A taken secret is overwritten where that needs no further write.
        .pragma("secure_delete", "FAST")
        // After a burst the log shrinks again.
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging()
}

fn pool_options(connections: u32, options: &SqliteOptions) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(options.acquire_timeout)
        // A local file does not hang up, and a connection's prepared statements are worth keeping.
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        // Some errors (disk full, I/O) make SQLite roll back by itself; the driver then believes that the transaction
        // is still open, and the connection could never begin another one. It is replaced. No race: a connection is
        // returned to the pool only after the rollback that its transaction left behind.
        .before_acquire(|connection: &mut SqliteConnection, _| {
            Box::pin(async move { Ok(!connection.is_in_transaction()) })
        })
}

/// Opens the writing connection, which puts a new file into WAL mode for good.
///
/// For that switch SQLite upgrades a read lock it already holds, and for an upgrade it does not consult the busy
/// handler: of several processes that start on a new file at once some would fail. So the waiting is done here, bounded
/// by the busy timeout.
async fn open_writer(connect: &SqliteConnectOptions, options: &SqliteOptions) -> sqlx::Result<SqlitePool> {
    const PAUSE: Duration = Duration::from_millis(10);
    let connect = connect.clone().journal_mode(SqliteJournalMode::Wal).pragma("cache_size", WRITER_CACHE);
    let mut waited = Duration::ZERO;
    loop {
        match pool_options(1, options).connect_with(connect.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(error) if is_busy(&error) && waited < options.busy_timeout => {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
            Err(error) => return Err(error),
        }
    }
}
