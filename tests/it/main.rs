//! Everything that is tested from outside the crate, as one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod architecture;
mod config;
mod conformance;
mod process;
mod support;
