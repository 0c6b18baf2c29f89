//! SQL stores: what they share, and the SQLite store.
//!
//! | module | holds |
//! |---|---|
//! | `posting` | which submissions of a batch count and what the totals become: pure, no SQL |
//! | `repricing` | which corrections of a call apply and what the totals become: pure, no SQL |
//! | `columns` | domain values as column values and back |
//! | `error` | the one translation of database errors |
//! | `migrate` | refinery's migrations run over an sqlx connection |
//! | [`sqlite`] | the embedded store |

pub(crate) mod columns;
pub(crate) mod error;
pub(crate) mod migrate;
pub(crate) mod posting;
pub(crate) mod repricing;
pub mod sqlite;

pub use sqlite::{SqliteOptions, SqliteStorage};
