//! `metering`: the queue between submissions and the store.

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};

// At least the largest batch of the API, which must fit whole.
pub(super) const KEYS: &[Key] =
    &[Key::new("metering.queue_capacity", Kind::Int { min: 100, max: 1_000_000, unit: "submissions" })];

/// The queue between submissions and the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeteringConfig {
    /// Submissions that may wait for the store; beyond it new ones are answered with 503.
    pub queue_capacity: usize,
}

impl Default for MeteringConfig {
    fn default() -> Self {
        Self { queue_capacity: 4096 }
    }
}
