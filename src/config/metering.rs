//! `metering`: how usage reaches the store and its totals.

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};

// At least the largest batch of the API, which must fit whole.
pub(super) const KEYS: &[Key] = &[
    Key::new(
        "metering.queue_capacity",
        "Submissions that may wait for the store; beyond it new ones are answered with 503",
        Kind::Int { min: 100, max: 1_000_000, unit: "submissions" },
    ),
    // A minute is as far as totals may ever lag behind.
    Key::new(
        "metering.consolidation_interval_secs",
        "How often totals are added up on a store that keeps sharded counters (DynamoDB), by one instance for all",
        Kind::Int { min: 1, max: 60, unit: "seconds" },
    ),
];

/// How usage reaches the store and its totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeteringConfig {
    /// Submissions that may wait for the store; beyond it new ones are answered with 503.
    pub queue_capacity: usize,
    /// Seconds between consolidations of totals, on a store that needs them.
    pub consolidation_interval_secs: u64,
}

impl Default for MeteringConfig {
    fn default() -> Self {
        Self { queue_capacity: 4096, consolidation_interval_secs: 10 }
    }
}
