//! What tests share.

#[cfg(feature = "aws")]
pub(crate) mod bedrock;
pub(crate) mod client;
pub(crate) mod faulty;
pub(crate) mod pass_on;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod samples;
pub(crate) mod server;
pub(crate) mod servers;
pub(crate) mod settled;
pub(crate) mod simulation;
pub(crate) mod simulation_clients;
pub(crate) mod stores;
pub(crate) mod tenants;
