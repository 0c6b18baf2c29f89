//! `rate_limits`: a placeholder that refuses to pretend.

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};

pub(super) const KEYS: &[Key] = &[Key::new("rate_limits.enabled", Kind::Bool)];

/// This version has no rate limiter. The key exists so that asking for one is refused with an explanation instead of
/// being ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitsConfig {
    /// Always `false` in this version.
    pub enabled: bool,
}
