//! The embedded store: one SQLite file in WAL mode, for one node.
//!
//! * **Durable**: `synchronous=FULL`, so a committed write survives power loss.
//! * **One writer, a few readers**: SQLite admits one writer at a time anyway; a pool of one connection makes waiting
//!   for it fair and bounded instead of leaving it to the busy handler. Readers never wait for the writer.
//! * Every write is one `BEGIN IMMEDIATE` transaction: what it reads first cannot change under it.
//! * The file is portable: a `.backup` taken while the service runs is a valid copy.
//!
//! | module | holds |
//! |---|---|
//! | `pool` | opening, settings, transactions |
//! | `place` | the file and its directory, and what is wrong with them |
//! | `tenants`, `profiles`, `credentials`, `ledger`, `totals`, `repricing`, `fallbacks`, `prices`, `moving`, `audit`, `maintenance` | the traits of the contract |

mod audit;
mod credentials;
mod fallbacks;
mod ledger;
mod maintenance;
mod moving;
mod place;
mod pool;
mod prices;
mod profiles;
mod repricing;
mod tenants;
mod totals;

pub use pool::{SqliteOptions, SqliteSettings, SqliteStorage};

#[cfg(test)]
mod tests;
