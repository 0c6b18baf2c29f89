//! Bedrock Cost Keeper: exact, near-real-time spend and model recommendations for applications that call Amazon
//! Bedrock.
//!
//! # Where things are
//!
//! ```text
//! main            commands of the binary, thin
//! app  server     wiring, and HTTP connections with graceful drain
//! config          figment sections, validated once at start; secrets redacted by type
//! telemetry       logs
//! api             routes, wire types, authorization, errors: HTTP stops here
//! service         use cases, one file each; knows no HTTP and no store by name
//! domain          the rules, pure: no IO, no clock, no randomness
//! storage         the contract every store keeps, and the stores: SQL and keys stop here
//! aws             what only AWS knows, behind traits of the services; a cargo feature
//! jobs            background loops, bounded and stoppable
//! demo            a simulated day on a real service; sample data for explorers
//! clock  ids      time and randomness as arguments
//! ```
//!
//! Dependencies point one way: `api → service → domain + storage traits`, `storage → domain`, `domain → nothing`.
//! Only [`app`] and [`storage::open`] name a backend. A test enforces this.

pub mod api;
pub mod app;
#[cfg(feature = "aws")]
pub mod aws;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod ids;
pub mod jobs;
pub mod server;
pub mod service;
pub mod storage;
pub mod telemetry;
