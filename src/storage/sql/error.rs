//! The one place that translates database errors into the store's own words.
//!
//! No message may carry stored data: SQLite names tables, columns and constraints in its errors, never values, and
//! the text of decoding errors, which could quote a value, is left out.

use sqlx::sqlite::SqliteError;

use crate::storage::error::StorageError;

/// Primary SQLite result codes (the low byte of an extended code): <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const NOTADB: i32 = 26;
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        translate(&error)
    }
}

/// What a database error means to a caller of the store.
pub(crate) fn translate(error: &sqlx::Error) -> StorageError {
    match error {
        sqlx::Error::PoolTimedOut => StorageError::Unavailable("no connection became free in time".to_owned()),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => StorageError::Unavailable("closed".to_owned()),
        sqlx::Error::Io(_) | sqlx::Error::BeginFailed => StorageError::Unavailable(error.to_string()),
        // The sources of these quote the value they could not read.
        sqlx::Error::ColumnDecode { index, .. } => StorageError::Corrupt(format!("column {index}")),
        sqlx::Error::Decode(_) => StorageError::Corrupt("a value of an unexpected kind".to_owned()),
        sqlx::Error::Database(database) => match database.try_downcast_ref::<SqliteError>() {
            Some(_) => sqlite(database.as_ref()),
            None => StorageError::Backend(error.to_string()),
        },
        _ => StorageError::Backend(error.to_string()),
    }
}

fn sqlite(error: &dyn sqlx::error::DatabaseError) -> StorageError {
    let message = error.to_string();
    match primary_code(error) {
        // After INTERRUPT, FULL, IOERR, NOMEM and BUSY the transaction was or will be rolled back: nothing changed.
        Some(
            code::BUSY
            | code::LOCKED
            | code::NOMEM
            | code::INTERRUPT
            | code::IOERR
            | code::FULL
            | code::CANTOPEN
            | code::PROTOCOL,
        ) => StorageError::Unavailable(message),
        Some(code::CORRUPT | code::NOTADB) => StorageError::Corrupt(message),
        _ => StorageError::Backend(message),
    }
}

fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    let extended: i32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether another connection held a lock for too long.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(primary_code).is_some_and(|code| code == code::BUSY || code == code::LOCKED)
}

/// A stored value that no writer of ours produces, named by table and column, never quoted.
pub(crate) fn corrupt(column: &str) -> StorageError {
    StorageError::Corrupt(column.to_owned())
}
