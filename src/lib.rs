//! Bedrock Cost Keeper.
pub mod clock;
pub mod domain;
pub mod ids;
pub mod storage;
