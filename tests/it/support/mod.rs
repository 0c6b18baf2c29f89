//! What tests share.

#[cfg(feature = "aws")]
pub(crate) mod bedrock;
pub(crate) mod client;
pub(crate) mod faulty;
pub(crate) mod process;
pub(crate) mod samples;
pub(crate) mod server;
pub(crate) mod stores;
pub(crate) mod tenants;
