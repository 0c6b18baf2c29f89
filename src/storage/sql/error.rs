//! The one place that translates database errors into the store's own words.
//!
//! No message may carry stored data. SQLite names tables, columns and constraints in its errors, never values, so its
//! texts are passed on. PostgreSQL quotes values, so only its codes and the names it gives apart from the text are. The
//! text of decoding errors, which could quote a value, is left out.

#[cfg(feature = "postgres")]
use sqlx::postgres::{PgDatabaseError, PgSeverity};
#[cfg(feature = "sqlite")]
use sqlx::sqlite::SqliteError;

use crate::storage::error::StorageError;

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
        // What a server's certificate is refused with. Repeating it changes nothing.
        sqlx::Error::Io(refused) if refused.kind() == std::io::ErrorKind::InvalidData => {
            StorageError::Backend(format!("no secure connection: {refused}"))
        }
        // A connection that ends in the middle of a message, while it is opened or later, is a protocol error too.
        sqlx::Error::Io(_) | sqlx::Error::BeginFailed | sqlx::Error::Protocol(_) => {
            StorageError::Unavailable(error.to_string())
        }
        // The sources of these quote the value they could not read.
        sqlx::Error::ColumnDecode { index, .. } => StorageError::Corrupt(format!("column {index}")),
        sqlx::Error::Decode(_) => StorageError::Corrupt("a value of an unexpected kind".to_owned()),
        sqlx::Error::Database(database) => database_error(database.as_ref()),
        _ => StorageError::Backend(error.to_string()),
    }
}

fn database_error(error: &dyn sqlx::error::DatabaseError) -> StorageError {
    #[cfg(feature = "sqlite")]
    if error.try_downcast_ref::<SqliteError>().is_some() {
        return sqlite(error);
    }
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return postgres(error);
    }
    StorageError::Backend(format!("database error {}", error.code().unwrap_or_default()))
}

/// Primary SQLite result codes (the low byte of an extended code): <https://www.sqlite.org/rescode.html>.
#[cfg(feature = "sqlite")]
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const NOTADB: i32 = 26;
}

#[cfg(feature = "sqlite")]
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

#[cfg(feature = "sqlite")]
fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    let extended: i32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether another connection held a lock for too long.
#[cfg(feature = "sqlite")]
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(primary_code).is_some_and(|code| code == code::BUSY || code == code::LOCKED)
}

/// Whether the file or its directory does not let this process in.
#[cfg(feature = "sqlite")]
pub(crate) fn is_not_writable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(primary_code);
    code.is_some_and(|code| [code::PERM, code::READONLY, code::CANTOPEN].contains(&code))
}

/// What a PostgreSQL error says by its code: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
#[cfg(feature = "postgres")]
fn postgres(error: &PgDatabaseError) -> StorageError {
    let code = error.code();
    let text = |meaning: &str| {
        let about = error.constraint().or(error.table()).map(|name| format!(" in {name}")).unwrap_or_default();
        format!("{meaning}{about} (SQLSTATE {code})")
    };
    if is_passing(error) {
        return StorageError::Unavailable(text(passing_meaning(code)));
    }
    match code {
        // What a row depends on is gone.
        "23503" => StorageError::Conflict,
        "28000" | "28P01" => StorageError::Backend(text("the server refuses the user or the password")),
        "3D000" => StorageError::Backend(text("the server has no such database")),
        "42501" => StorageError::Backend(text("the user may not do that")),
        "42P01" | "42703" => StorageError::Backend(text("the schema is missing or older; run `migrate`")),
        "08P01" | "26000" | "42P05" => StorageError::Backend(text(
            "the server does not go along with the protocol; behind a pooler in transaction mode, switch prepared \
             statements off",
        )),
        "22021" | "22P05" => StorageError::Backend(text("a text has characters that the database cannot store")),
        "XX001" | "XX002" => StorageError::Corrupt(text("the server says that its data is damaged")),
        _ => StorageError::Backend(text("the server refused")),
    }
}

/// Whether a PostgreSQL error comes from the server's condition or from others at work, so that the same call may
/// succeed later.
#[cfg(feature = "postgres")]
pub(crate) fn is_passing(error: &PgDatabaseError) -> bool {
    let code = error.code();
    // By class: connection exception, transaction rollback, insufficient resources, operator intervention, system error.
    let class = |prefix: &str| code.starts_with(prefix);
    (class("08") && code != "08P01")
        || class("40")
        || class("53")
        || (class("57") && code != "57P04")
        || class("58")
        // Waited too long for a lock; ended while idle; a primary that has become a standby.
        || ["55P03", "25P03", "25006"].contains(&code)
        // A pooler that has lost its server says so with a fatal error of a code of its own.
        || (code == "08P01" && !matches!(error.severity(), PgSeverity::Error) && !refuses_startup(error))
}

/// Whether a pooler refused a parameter of the connection.
#[cfg(feature = "postgres")]
pub(crate) fn refuses_startup(error: &PgDatabaseError) -> bool {
    // The text of this error names a parameter of ours, and is only compared.
    error.code() == "08P01" && error.message().contains("startup parameter")
}

#[cfg(feature = "postgres")]
fn passing_meaning(code: &str) -> &'static str {
    match code {
        "40001" | "40P01" => "others changed the same",
        "55P03" => "others held a lock for too long",
        "57014" => "the server did not finish in time",
        "53100" => "the server's disk is full",
        "53300" => "the server has no connection free",
        "25006" => "the server only reads",
        _ => "the server is not available",
    }
}

/// A stored value that no writer of ours produces, named by table and column, never quoted.
pub(crate) fn corrupt(column: &str) -> StorageError {
    StorageError::Corrupt(column.to_owned())
}
