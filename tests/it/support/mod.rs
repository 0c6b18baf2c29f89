//! What tests share.

pub(crate) mod samples;
pub(crate) mod stores;
