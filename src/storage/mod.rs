//! Where state lives: the contract every store keeps, and the stores.
//!
//! [`contract`] says in its rustdoc what each method promises; `tests/it/conformance` asserts each of those sentences
//! against every store. The methods are atomic domain verbs, never exposed transactions, so that a store without
//! multi-statement transactions can keep them too. Keys, shards and SQL stop at their backend.
//!
//! A further store is one folder here, one arm in [`open`](open::open), and one line in the conformance list.

pub mod contract;
pub mod error;
pub mod open;
#[cfg(feature = "sqlite")]
pub mod sql;

pub use contract::*;
pub use error::StorageError;
