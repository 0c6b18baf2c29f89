//! What tests share.

pub(crate) mod process;
pub(crate) mod samples;
pub(crate) mod stores;
