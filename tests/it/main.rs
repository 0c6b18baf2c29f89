//! Everything that is tested from outside the crate, as one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod api;
mod architecture;
mod config;
mod conformance;
mod demo;
#[cfg(feature = "aws")]
mod price_list;
mod prices;
mod process;
mod scenarios;
mod support;
