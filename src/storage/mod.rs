//! Where state lives: the contract every store keeps, and the stores.
//!
//! [`contract`] says in its rustdoc what each method promises; `tests/it/conformance` asserts each of those sentences
//! against every store. The methods are atomic domain verbs, never exposed transactions, so that a store without
//! multi-statement transactions can keep them too. Keys, shards and SQL stop at their backend.
//!
//! A further store is one folder here, one arm in [`open`](open::open), and one line in the conformance list.

#[cfg(any(feature = "sql", feature = "dynamodb"))]
pub(crate) mod amounts;
pub mod cached;
#[cfg(any(feature = "sql", feature = "dynamodb"))]
pub(crate) mod codes;
pub mod contract;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod error;
pub mod open;
pub mod options;
#[cfg(feature = "sql")]
pub mod sql;

pub use cached::{CacheLifetimes, CachedStorage};
pub use contract::*;
pub use error::StorageError;
pub use options::{DynamoDbOptions, PostgresOptions, StorageOptions};
