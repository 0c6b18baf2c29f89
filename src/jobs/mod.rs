//! Background loops: bounded, and stopped by one signal.

pub mod consolidation;
pub mod price_refresh;
pub mod purge;
pub mod secrets_refresh;
