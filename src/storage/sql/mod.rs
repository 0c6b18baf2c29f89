//! SQL stores: what they share, and each of them.
//!
//! | module | holds |
//! |---|---|
//! | `posting` | which submissions of a batch count and what the totals become: pure, no SQL |
//! | `repricing` | which corrections of a call apply and what the totals become: pure, no SQL |
//! | `importing` | which totals of another store are taken over: pure, no SQL |
//! | `audit` | events of the audit trail as rows |
//! | `columns` | domain values as column values and back |
//! | `rows` | rows as domain values |
//! | `error` | the one translation of database errors |
//! | `migrate` | refinery's migrations run over an sqlx connection |
//! | `consolidation` | nothing to consolidate: totals change with the usage |
//! | `sqlite` | the embedded store |
//! | `postgres` | the store several instances share |

pub(crate) mod audit;
pub(crate) mod columns;
mod consolidation;
pub(crate) mod error;
pub(crate) mod importing;
pub(crate) mod migrate;
#[cfg(feature = "postgres")]
pub mod postgres;
pub(crate) mod posting;
pub(crate) mod repricing;
pub(crate) mod rows;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "postgres")]
pub use postgres::PostgresStorage;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStorage};
