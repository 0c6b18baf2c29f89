//! What the service tells about itself.

pub mod logging;
pub mod metrics;
