//! One connection, while an operation has it, with the transaction it is in.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::PostgresStorage;
use super::attempts::Failure;
use crate::storage::error::StorageError;

/// Longest wait until a connection that was let go is ready for the next one: for the rest of an interrupted statement.
/// Then it is closed, because a server that does not answer would otherwise keep its place in the pool.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// What an operation needs of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// One statement. It is a transaction by itself: one round trip.
    Statement,
    /// Several statements that take effect together. Each sees what was committed before it began.
    Transaction,
    /// Several statements that all see the same state and change nothing.
    Snapshot,
}

/// Longest rest of a transaction between two statements: an instance that froze in the middle must not keep its locks.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// How a transaction begins, with limits that the server keeps whoever still waits for it. One message.
fn begin(mode: Mode, limit: Duration) -> String {
    let level = match mode {
        Mode::Statement | Mode::Transaction => "READ COMMITTED",
        Mode::Snapshot => "REPEATABLE READ, READ ONLY",
    };
    let (statement, rest) = (limit.as_millis(), limit.min(LONGEST_REST).as_millis());
    format!(
        "BEGIN ISOLATION LEVEL {level}; SET LOCAL statement_timeout = {statement}; \
         SET LOCAL idle_in_transaction_session_timeout = {rest}"
    )
}

/// A connection of the pool. Dropped in the middle of a transaction, by an error or by cancellation, it is closed, and so
/// the server rolls back: nobody else gets a connection of which it is unclear what it is in the middle of.
pub(super) struct Session {
    connection: PoolConnection<Postgres>,
    /// Whether a transaction was begun, or may have been, and not ended.
    open: bool,
    prepared: bool,
    /// Whether something was sent that may commit by itself.
    committing: Arc<AtomicBool>,
}

impl PostgresStorage {
    /// A connection, in a transaction where the mode or a pooler needs one; no statement takes longer than `limit`.
    /// `committing` becomes true as soon as nobody
    /// but the server can say whether anything was committed.
    pub(super) async fn session(
        &self,
        mode: Mode,
        limit: Duration,
        committing: &Arc<AtomicBool>,
    ) -> sqlx::Result<Session> {
        let connection = self.acquire().await?;
        let prepared = self.options.prepared_statements;
        let mut session = Session { connection, open: false, prepared, committing: Arc::clone(committing) };
        if mode == Mode::Statement && self.bounded_sessions() {
            session.committing.store(true, Ordering::Relaxed);
            return Ok(session);
        }
        // The driver's own transactions are not used: one whose beginning is interrupted would go back to the pool open.
        session.open = true;
        // Safe: made of constants and numbers.
        sqlx::raw_sql(AssertSqlSafe(begin(mode, limit))).execute(&mut *session).await?;
        Ok(session)
    }
}

impl Session {
    /// Ends the operation with its answer: commits, where there is a transaction.
    pub(super) async fn commit<T>(mut self, answer: T) -> Result<T, Failure> {
        self.committing.store(true, Ordering::Relaxed);
        self.end("COMMIT").await?;
        Ok(answer)
    }

    /// Ends the operation without changing anything. The connection stays usable.
    pub(super) async fn roll_back<T>(mut self, answer: T) -> Result<T, Failure> {
        self.end("ROLLBACK").await?;
        Ok(answer)
    }

    /// Ends the operation with a refusal, without changing anything.
    pub(super) async fn refuse<T>(self, refusal: StorageError) -> Result<T, Failure> {
        self.roll_back(()).await?;
        Err(refusal.into())
    }

    async fn end(&mut self, sql: &'static str) -> sqlx::Result<()> {
        if self.open {
            sqlx::raw_sql(sql).execute(&mut *self.connection).await?;
            self.open = false;
        }
        Ok(())
    }

    pub(super) fn query<'q>(&self, sql: &'static str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql).persistent(self.prepared)
    }

    pub(super) fn query_as<'q, O>(&self, sql: &'static str) -> QueryAs<'q, Postgres, O, PgArguments>
    where
        O: for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_as(sql).persistent(self.prepared)
    }

    pub(super) fn query_scalar<'q, O>(&self, sql: &'static str) -> QueryScalar<'q, Postgres, O, PgArguments>
    where
        (O,): for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_scalar(sql).persistent(self.prepared)
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.open {
            self.connection.close_on_drop();
            return;
        }
        // What dropping the connection would do, but bounded.
        let release = self.connection.return_to_pool();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(RELEASE_TIMEOUT, release));
        }
    }
}
