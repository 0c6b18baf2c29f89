//! Everything that is tested from outside the crate, as one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
// With one store alone, what the tests of the others share is not used.
#![cfg_attr(
    not(all(feature = "sqlite", feature = "postgres", feature = "dynamodb", feature = "aws")),
    allow(dead_code, unused_imports)
)]

#[cfg(feature = "sqlite")]
mod api;
mod architecture;
#[cfg(feature = "sqlite")]
mod cached;
#[cfg(any(feature = "postgres", feature = "dynamodb"))]
mod cluster;
mod config;
mod conformance;
#[cfg(feature = "sqlite")]
mod demo;
#[cfg(any(feature = "postgres", feature = "dynamodb"))]
mod faults;
mod fuzzing;
#[cfg(feature = "sqlite")]
mod moving;
#[cfg(all(feature = "aws", feature = "sqlite"))]
mod price_list;
mod prices;
mod process;
mod scenarios;
mod support;
mod version;
