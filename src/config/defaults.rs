//! `defaults`: what an organization or application has where it sets nothing itself.

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};
use crate::domain::rate_limits::RateLimits;
use crate::domain::selection::ExhaustedPolicy;
use crate::domain::tenant::{REFRESH_INTERVAL_RANGE, TIGHT_THRESHOLD_RANGE, TenantDefaults};

const REFRESH_INTERVAL: Kind = Kind::Int {
    min: *REFRESH_INTERVAL_RANGE.start() as u64,
    max: *REFRESH_INTERVAL_RANGE.end() as u64,
    unit: "seconds",
};

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "defaults.tight_mode_threshold_pct",
        "Share of a quota from which a label is `TIGHT`",
        Kind::Int {
            min: *TIGHT_THRESHOLD_RANGE.start() as u64,
            max: *TIGHT_THRESHOLD_RANGE.end() as u64,
            unit: "percent",
        },
    ),
    Key::new(
        "defaults.sticky_fallback_enabled",
        "Whether a fallback sticks until the organization's midnight",
        Kind::Bool,
    ),
    Key::new("defaults.exhausted_policy", "What happens when every label is exceeded", Kind::Word(&["reject", "last"])),
    Key::new("defaults.refresh_interval_normal_secs", "Advised time between checks", REFRESH_INTERVAL),
    Key::new("defaults.refresh_interval_tight_secs", "Advised time between checks while `TIGHT`", REFRESH_INTERVAL),
    // The same as `domain::tenant::SHARD_COUNTS`; a test compares them.
    Key::new(
        "defaults.agg_shard_count",
        "Counter shards of a new organization, fixed once it exists",
        Kind::IntOneOf(&[8, 16, 32, 64]),
    ),
];

/// Defaults below every organization and application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultsConfig {
    /// Percentage of a quota from which a label is tight.
    pub tight_mode_threshold_pct: u8,
    /// Whether a fallback sticks until local midnight.
    pub sticky_fallback_enabled: bool,
    /// What to answer when every label is exceeded.
    pub exhausted_policy: ExhaustedPolicy,
    /// Advised seconds between checks in normal mode.
    pub refresh_interval_normal_secs: u32,
    /// Advised seconds between checks in tight mode.
    pub refresh_interval_tight_secs: u32,
    /// Counter shards of a new organization.
    pub agg_shard_count: u8,
}

impl DefaultsConfig {
    /// As the domain takes them, with the rate limits beside them.
    #[must_use]
    pub fn tenant_defaults(&self, rate_limits: RateLimits) -> TenantDefaults {
        TenantDefaults {
            tight_mode_threshold_pct: self.tight_mode_threshold_pct,
            sticky_fallback_enabled: self.sticky_fallback_enabled,
            exhausted_policy: self.exhausted_policy,
            refresh_interval_normal_secs: self.refresh_interval_normal_secs,
            refresh_interval_tight_secs: self.refresh_interval_tight_secs,
            agg_shard_count: self.agg_shard_count,
            rate_limits,
        }
    }
}

impl Default for DefaultsConfig {
    fn default() -> Self {
        Self {
            tight_mode_threshold_pct: 95,
            sticky_fallback_enabled: true,
            exhausted_policy: ExhaustedPolicy::Reject,
            refresh_interval_normal_secs: 300,
            refresh_interval_tight_secs: 60,
            agg_shard_count: 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tenant::SHARD_COUNTS;

    #[test]
    fn shard_counts_are_the_domains() {
        let key = KEYS.last().map(Key::expected);
        assert_eq!(key, Some(format!("one of {}", SHARD_COUNTS.map(|count| count.to_string()).join(", "))));
    }
}
