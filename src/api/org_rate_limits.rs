//! Rate limits of an organization's clients on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::rate_limits::{OrgRateLimits, RateLimitGroup};
use crate::domain::tenant::InvalidConfig;

/// Requests a minute that each client of the organization may send, its own and those of its applications. Leave out, or
/// set null, what the service should decide.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimitsRequest {
    /// `POST /auth/token`.
    #[schema(minimum = 1, maximum = 1_000_000, example = 10)]
    token: Option<i64>,
    /// `POST /auth/refresh`.
    #[schema(minimum = 1, maximum = 1_000_000, example = 30)]
    refresh: Option<i64>,
    /// `POST /auth/revoke`.
    #[schema(minimum = 1, maximum = 1_000_000, example = 10)]
    revoke: Option<i64>,
    /// Reading spend.
    #[schema(minimum = 1, maximum = 1_000_000, example = 300)]
    aggregates: Option<i64>,
    /// Model selection, labels and inference profiles.
    #[schema(minimum = 1, maximum = 1_000_000, example = 1_200)]
    model_selection: Option<i64>,
    /// Submissions of usage and costs.
    #[schema(minimum = 1, maximum = 1_000_000, example = 60_000)]
    usage: Option<i64>,
    /// Submissions in batches.
    #[schema(minimum = 1, maximum = 1_000_000, example = 6_000)]
    batches: Option<i64>,
}

impl RateLimitsRequest {
    /// The limits asked for.
    ///
    /// # Errors
    /// [`InvalidConfig`] naming a limit that is out of range.
    pub fn into_domain(self) -> Result<OrgRateLimits, InvalidConfig> {
        let limit = |group, asked: Option<i64>| match asked {
            None => Ok(None),
            Some(asked) => u32::try_from(asked).map(Some).map_err(|_| OrgRateLimits::out_of_range(group)),
        };
        let limits = OrgRateLimits {
            token: limit(RateLimitGroup::Token, self.token)?,
            refresh: limit(RateLimitGroup::Refresh, self.refresh)?,
            revoke: limit(RateLimitGroup::Revoke, self.revoke)?,
            aggregates: limit(RateLimitGroup::Aggregates, self.aggregates)?,
            model_selection: limit(RateLimitGroup::ModelSelection, self.model_selection)?,
            usage: limit(RateLimitGroup::Usage, self.usage)?,
            batches: limit(RateLimitGroup::Batches, self.batches)?,
        };
        limits.validate()?;
        Ok(limits)
    }
}

/// Requests a minute that a client may send, in effect: the organization's, or the service's where it sets none.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(example = json!({
    "token": 10, "refresh": 30, "revoke": 10, "aggregates": 300, "model_selection": 1_200, "usage": 60_000, "batches": 6_000
}))]
pub struct RateLimitsResponse {
    /// `POST /auth/token`.
    token: Option<u32>,
    /// `POST /auth/refresh`.
    refresh: Option<u32>,
    /// `POST /auth/revoke`.
    revoke: Option<u32>,
    /// Reading spend.
    aggregates: Option<u32>,
    /// Model selection, labels and inference profiles.
    model_selection: Option<u32>,
    /// Submissions of usage and costs.
    usage: Option<u32>,
    /// Submissions in batches.
    batches: Option<u32>,
}

impl From<OrgRateLimits> for RateLimitsResponse {
    fn from(limits: OrgRateLimits) -> Self {
        let OrgRateLimits { token, refresh, revoke, aggregates, model_selection, usage, batches } = limits;
        Self { token, refresh, revoke, aggregates, model_selection, usage, batches }
    }
}
