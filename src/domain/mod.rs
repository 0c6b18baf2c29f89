//! The rules of the service, as pure functions and values.
//!
//! Nothing in here performs IO, is asynchronous, reads the wall clock or draws a random number: the instant and
//! every identifier arrive as arguments. That makes each rule testable with a literal input and the same on every
//! storage backend. The domain depends on no other layer.

pub mod audit;
pub mod calendar;
pub mod catalog;
pub mod credential;
pub mod ids;
pub mod money;
pub mod pricing;
pub mod profile;
pub mod quota;
pub mod rate_limits;
pub mod selection;
pub mod signing_key;
pub mod tenant;
pub mod tokens;
pub mod usage;
