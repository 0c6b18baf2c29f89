//! The store for a service that outgrows one machine: four on-demand tables, no server to run.
//!
//! * **A submission** is one transaction: the record, which is its own dedup key, and one counter. Counters are spread
//!   over shards; totals follow when they are [consolidated](crate::storage::Consolidation).
//! * **No scans and no indexes**: every read names a partition, and what belongs together lies together.
//! * **Whatever must not be repeated goes through a transaction**, a single conditional write too: DynamoDB remembers a
//!   transaction's token, so a repeat after a lost answer is answered like the first, not refused by what it wrote.
//! * **What expired counts as gone**, whether DynamoDB has deleted it yet or not.
//!
//! | module | holds |
//! |---|---|
//! | `address` | `storage.url` taken apart |
//! | `connect` | [`DynamoDbStorage`] and its client |
//! | `tables` | the four tables, in one place: what they are like, for `migrate` and to be printed |
//! | `schema` | making them, and how far they are |
//! | `keys`, `ledger_keys` | every key pattern |
//! | `attributes`, `counters`, `usage_items` | attribute values, written and read |
//! | `calls` | the calls there are: they count what they consume and repeat what was left undone |
//! | `writes` | single steps of a transaction, and committing one |
//! | `singles` | conditional writes of one item, outside a transaction |
//! | `backoff` | pauses between repetitions |
//! | `capacity` | what calls cost |
//! | `error` | the one translation of errors |
//! | `watermark` | what counts as gone |
//! | `tenants`, `deletion`, `profiles`, `credentials`, `fallbacks`, `prices`, `audit`, `maintenance` | traits of the contract |
//! | `ledger`, `totals`, `repricing`, `moving` | traits of the contract over usage and totals |
//! | `outcomes`, `transaction` | what becomes of each submission; which go into one transaction |
//! | `correction`, `walk` | what a correction writes; what there is to correct, in order |
//! | `consolidation`, `memory`, `lease` | adding up shards, what an instance remembers of it, and who does it |

mod address;
mod attributes;
mod audit;
mod backoff;
mod calls;
mod capacity;
mod connect;
mod consolidation;
mod correction;
mod counters;
mod credentials;
mod deletion;
mod error;
mod fallbacks;
mod keys;
mod lease;
mod ledger;
mod ledger_keys;
mod maintenance;
mod memory;
mod moving;
mod outcomes;
mod prices;
mod profiles;
mod repricing;
#[cfg(test)]
mod samples;
mod schema;
mod singles;
mod tables;
mod tenants;
mod totals;
mod transaction;
mod usage_items;
mod walk;
mod watermark;
mod writes;

pub use address::InvalidUrl;
pub use capacity::ConsumedCapacity;
pub use connect::DynamoDbStorage;
pub(crate) use tables::planned;
pub use tables::{KeyAttribute, KeyElement, Table, TableProperties, TableTag, Tables, TimeToLive};
