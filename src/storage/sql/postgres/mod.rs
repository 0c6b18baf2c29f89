//! The store several instances share: PostgreSQL 14 or later.
//!
//! * **Exactly once, from any instance**: records, dedup keys and totals change in one statement; who comes second waits
//!   for the row of who came first.
//! * **No deadlocks by design**: every writer locks records before totals, and both in the order of their keys. Where the
//!   server finds one anyway, the operation is repeated.
//! * **Everything is bounded**: connections, waiting for one, every attempt of an operation on both sides of the
//!   connection, and the number of attempts.
//! * **No state in the session**, so that a pooler in transaction mode may stand in front of the server: no `SET` outside
//!   a transaction, no session locks, no `LISTEN`.
//!
//! | module | holds |
//! |---|---|
//! | `connect` | the URL and the pool |
//! | `session` | one connection with its transaction, while an operation has it |
//! | `attempts` | what is repeated after a failure, and how long |
//! | `record_columns`, `total_rows` | records and totals as arrays, and the rows they become |
//! | `recording`, `exact` | recording usage: in one statement, and record by record where a counter would overflow |
//! | `tenants`, `profiles`, `credentials`, `ledger`, `totals`, `repricing`, `fallbacks`, `prices`, `moving`, `audit`, `maintenance` | the traits of the contract |

mod attempts;
mod audit;
mod connect;
mod credentials;
mod exact;
mod fallbacks;
mod ledger;
mod maintenance;
mod moving;
mod prices;
mod profiles;
mod record_columns;
mod recording;
mod repricing;
mod session;
mod tenants;
mod total_rows;
mod totals;

pub use connect::{InvalidUrl, PostgresStorage};
