//! Background loops: bounded, and stopped by one signal.

pub mod purge;
