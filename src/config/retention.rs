//! `retention`: how long data is kept and how it is purged.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};

const TEN_YEARS_OF_DAYS: u64 = 3660;

pub(super) const KEYS: &[Key] = &[
    // Usage is accepted until 24 hours after its day; its deduplication key must outlive that window.
    Key::new(
        "retention.usage_days",
        "How long usage records and deduplication keys are kept",
        Kind::Int { min: 3, max: TEN_YEARS_OF_DAYS, unit: "days" },
    ),
    // A monthly quota needs the whole month.
    Key::new(
        "retention.daily_totals_days",
        "How long daily totals are kept",
        Kind::Int { min: 32, max: TEN_YEARS_OF_DAYS, unit: "days" },
    ),
    // Who looks into an incident looks back by weeks.
    Key::new(
        "retention.audit_days",
        "How long events of the audit trail are kept",
        Kind::Int { min: 30, max: TEN_YEARS_OF_DAYS, unit: "days" },
    ),
    Key::new(
        "retention.purge_interval_secs",
        "Time between purges",
        Kind::Int { min: 10, max: 86_400, unit: "seconds" },
    ),
    Key::new(
        "retention.purge_batch",
        "What one step of a purge deletes",
        Kind::Int { min: 1, max: 100_000, unit: "rows" },
    ),
];

/// How long data is kept and how it is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Days usage records and deduplication keys are kept.
    pub usage_days: u32,
    /// Days daily and monthly totals are kept.
    pub daily_totals_days: u32,
    /// Days events of the audit trail are kept.
    pub audit_days: u32,
    /// Seconds between purges.
    pub purge_interval_secs: u64,
    /// Rows of each kind one step of a purge deletes.
    pub purge_batch: u32,
}

impl RetentionConfig {
    /// [`purge_interval_secs`](Self::purge_interval_secs) as a duration.
    #[must_use]
    pub fn purge_interval(&self) -> Duration {
        Duration::from_secs(self.purge_interval_secs)
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { usage_days: 35, daily_totals_days: 400, audit_days: 400, purge_interval_secs: 3600, purge_batch: 1000 }
    }
}
