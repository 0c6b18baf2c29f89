//! What tests share.

#[cfg(feature = "aws")]
pub(crate) mod aws;
#[cfg(feature = "aws")]
pub(crate) mod bedrock;
pub(crate) mod client;
pub(crate) mod faulty;
#[cfg(all(feature = "tls", feature = "sqlite"))]
pub(crate) mod https;
pub(crate) mod keys;
pub(crate) mod pass_on;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod samples;
#[cfg(feature = "aws")]
pub(crate) mod secrets_manager;
pub(crate) mod server;
pub(crate) mod servers;
pub(crate) mod settled;
pub(crate) mod simulation;
pub(crate) mod simulation_clients;
#[cfg(feature = "sqlite")]
pub(crate) mod snapshot;
pub(crate) mod stores;
pub(crate) mod tenants;
