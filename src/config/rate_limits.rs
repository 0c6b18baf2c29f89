//! `rate_limits`: how many requests a caller may send, and how often it may fail to prove who it is.

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};
use crate::domain::rate_limits::{FailedLoginLimits, PER_MINUTE_RANGE, RateLimits};

const REQUESTS: Kind = per_minute("requests");
const ATTEMPTS: Kind = per_minute("attempts");

const fn per_minute(unit: &'static str) -> Kind {
    Kind::Int { min: *PER_MINUTE_RANGE.start() as u64, max: *PER_MINUTE_RANGE.end() as u64, unit }
}

pub(super) const KEYS: &[Key] = &[
    Key::new("rate_limits.enabled", "Whether there are any limits, those of failed logins included", Kind::Bool),
    Key::new("rate_limits.token_per_minute", "`POST /auth/token`, per client id", REQUESTS),
    Key::new("rate_limits.refresh_per_minute", "`POST /auth/refresh`, per client", REQUESTS),
    Key::new("rate_limits.revoke_per_minute", "`POST /auth/revoke`, per client", REQUESTS),
    Key::new(
        "rate_limits.provisioning_per_minute",
        "Provisioning, import, repricing, the audit trail, fallback overrides and changes of inference profiles, per provisioning key",
        REQUESTS,
    ),
    Key::new(
        "rate_limits.rotation_per_minute",
        "New secrets and the end of all tokens of a client, per provisioning key",
        REQUESTS,
    ),
    Key::new("rate_limits.aggregates_per_minute", "Reading spend, per client or key", REQUESTS),
    Key::new(
        "rate_limits.model_selection_per_minute",
        "Model selection, and reading labels and inference profiles, per client or key",
        REQUESTS,
    ),
    Key::new("rate_limits.usage_per_minute", "Submissions of usage and costs, per client", REQUESTS),
    Key::new("rate_limits.batches_per_minute", "Submissions in batches, per client", REQUESTS),
    Key::new(
        "rate_limits.failed_logins_per_client_per_minute",
        "Failed token and refresh requests for one client id",
        ATTEMPTS,
    ),
    Key::new(
        "rate_limits.failed_logins_per_address_per_minute",
        "Failed token and refresh requests from one address (IPv6: one /64), and apart from them wrong provisioning keys from one",
        ATTEMPTS,
    ),
];

/// How many requests a caller may send, and how often it may fail to prove who it is. Of each instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitsConfig {
    /// Whether there are any limits, those of failed logins included.
    pub enabled: bool,
    /// Token requests a minute of one client.
    pub token_per_minute: u32,
    /// Refresh requests a minute of one client.
    pub refresh_per_minute: u32,
    /// Revocations a minute of one client.
    pub revoke_per_minute: u32,
    /// Provisioning requests a minute with one key.
    pub provisioning_per_minute: u32,
    /// Rotations of secrets, and revocations of all tokens, a minute with one key.
    pub rotation_per_minute: u32,
    /// Readings of spend a minute of one client or key.
    pub aggregates_per_minute: u32,
    /// Model selections, and readings of labels and inference profiles, a minute of one client or key.
    pub model_selection_per_minute: u32,
    /// Submissions of usage and costs a minute of one client.
    pub usage_per_minute: u32,
    /// Batches of them a minute of one client.
    pub batches_per_minute: u32,
    /// Failed logins a minute for one client id.
    pub failed_logins_per_client_per_minute: u32,
    /// Failed logins, and apart from them wrong provisioning keys, a minute from one address.
    pub failed_logins_per_address_per_minute: u32,
}

impl RateLimitsConfig {
    /// The limits as the domain takes them.
    #[must_use]
    pub const fn limits(&self) -> RateLimits {
        RateLimits {
            token: self.token_per_minute,
            refresh: self.refresh_per_minute,
            revoke: self.revoke_per_minute,
            provisioning: self.provisioning_per_minute,
            rotation: self.rotation_per_minute,
            aggregates: self.aggregates_per_minute,
            model_selection: self.model_selection_per_minute,
            usage: self.usage_per_minute,
            batches: self.batches_per_minute,
        }
    }

    /// The limits of failed logins as the domain takes them.
    #[must_use]
    pub const fn failed_logins(&self) -> FailedLoginLimits {
        FailedLoginLimits {
            per_client: self.failed_logins_per_client_per_minute,
            per_address: self.failed_logins_per_address_per_minute,
        }
    }
}

impl Default for RateLimitsConfig {
    fn default() -> Self {
        let RateLimits { token, refresh, revoke, provisioning, rotation, aggregates, model_selection, usage, batches } =
            RateLimits::DEFAULT;
        Self {
            enabled: true,
            token_per_minute: token,
            refresh_per_minute: refresh,
            revoke_per_minute: revoke,
            provisioning_per_minute: provisioning,
            rotation_per_minute: rotation,
            aggregates_per_minute: aggregates,
            model_selection_per_minute: model_selection,
            usage_per_minute: usage,
            batches_per_minute: batches,
            // Enough for a person or a deployment with a wrong secret, and nothing for one who guesses.
            failed_logins_per_client_per_minute: 10,
            // An office or a cluster may share an address.
            failed_logins_per_address_per_minute: 100,
        }
    }
}
