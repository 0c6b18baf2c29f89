//! What one submission records, and the counters it adds to.

use jiff::Timestamp;

use super::calendar::{Day, Month};
use super::ids::{AppId, ModelLabel, OrgId, RequestId};
use super::money::{CostDrift, PicoUsd};
use super::pricing::{Latency, PriceSource, PricingStatus, ServiceTier};
use super::tokens::TokenCounts;

/// Whether the reported call to Bedrock succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallStatus {
    /// It did.
    Ok,
    /// It did not. Counted as an error; its tokens are charged as given, because AWS bills partial output.
    Error,
}

/// Who computed the charged cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CostSource {
    /// This service, from tokens and the price in force.
    Server,
    /// The client.
    Client,
}

/// How a record was priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPricing {
    /// How well the server could price it.
    pub status: PricingStatus,
    /// Source of the price; `None` where there is none.
    pub source: Option<PriceSource>,
    /// Version of that source.
    pub version: Option<String>,
    /// The model that was priced: the one that was called.
    pub model_id: String,
}

/// Identity of a submission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageKey {
    /// The organization.
    pub org_id: OrgId,
    /// The application.
    pub app_id: AppId,
    /// The caller's idempotency key.
    pub request_id: RequestId,
}

/// What pricing makes of a record: the part of it that repricing may replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The charged cost.
    pub cost: PicoUsd,
    /// The server's own figure, where it has one.
    pub server_cost: Option<PicoUsd>,
    /// How it was priced.
    pub pricing: RecordPricing,
}

/// One accepted submission, exactly as it is stored. (`org_id`, `app_id`, `request_id`) is its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// The organization.
    pub org_id: OrgId,
    /// The application.
    pub app_id: AppId,
    /// The caller's idempotency key.
    pub request_id: RequestId,
    /// SHA-256 over the meaning of the submitted body; equal exactly for an identical repeat.
    pub fingerprint: [u8; 32],
    /// The model label it is charged to.
    pub model_label: ModelLabel,
    /// The organization's local day of `timestamp`.
    pub day: Day,
    /// When the call happened, milliseconds.
    pub timestamp: Timestamp,
    /// When the submission was accepted, milliseconds.
    pub recorded_at: Timestamp,
    /// Whether the call succeeded.
    pub status: CallStatus,
    /// Who computed `cost`.
    pub cost_source: CostSource,
    /// The charged cost.
    pub cost: PicoUsd,
    /// The server's own figure, where it has one.
    pub server_cost: Option<PicoUsd>,
    /// Reported tokens.
    pub tokens: TokenCounts,
    /// Whether the time to live of cache writes was assumed, not reported. Kept, because no later price makes up for
    /// it: such a record stays an estimate.
    pub cache_ttl_assumed: bool,
    /// How it was priced.
    pub pricing: RecordPricing,
    /// Region the call was made from, where reported.
    pub calling_region: Option<String>,
    /// Processing tier.
    pub service_tier: ServiceTier,
    /// Latency profile.
    pub latency: Latency,
    /// Counter shard, below the organization's `agg_shard_count`; stores without shards only keep it.
    pub shard_id: u8,
}

impl UsageRecord {
    /// Whether nobody knew what this call costs: no server price, and no client figure either.
    #[must_use]
    pub fn is_unpriced(&self) -> bool {
        self.cost_source == CostSource::Server && self.pricing.status == PricingStatus::Unpriced
    }

    /// Its identity.
    #[must_use]
    pub fn key(&self) -> UsageKey {
        UsageKey { org_id: self.org_id, app_id: self.app_id.clone(), request_id: self.request_id }
    }

    /// What pricing made of it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { cost: self.cost, server_cost: self.server_cost, pricing: self.pricing.clone() }
    }

    /// Whether repricing may touch it: only what had no price, or a stand-in for one.
    #[must_use]
    pub fn is_repriceable(&self) -> bool {
        self.pricing.status != PricingStatus::Priced
    }

    /// This record with other figures. What a client charged itself stays charged, whatever the figures say.
    #[must_use]
    pub fn with_figures(&self, figures: &Figures) -> Self {
        let cost = match self.cost_source {
            CostSource::Server => figures.cost,
            CostSource::Client => self.cost,
        };
        Self { cost, server_cost: figures.server_cost, pricing: figures.pricing.clone(), ..self.clone() }
    }

    /// What this record adds to each of its counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let drift = match (self.cost_source, self.server_cost) {
            (CostSource::Client, Some(server)) => CostDrift::between(self.cost, server).unwrap_or(CostDrift::ZERO),
            _ => CostDrift::ZERO,
        };
        Counters {
            cost: self.cost,
            drift,
            requests: 1,
            errors: u64::from(self.status == CallStatus::Error),
            unpriced_requests: u64::from(self.is_unpriced()),
            input_tokens: self.tokens.input,
            output_tokens: self.tokens.output,
            cache_read_input_tokens: self.tokens.cache_read,
            cache_write_input_tokens: self.tokens.cache_write,
        }
    }

    /// The month its day belongs to.
    #[must_use]
    pub fn month(&self) -> Month {
        self.day.month()
    }
}

/// Additive totals of one key. All exact; addition is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Charged cost.
    pub cost: PicoUsd,
    /// Client figure minus server figure, over submissions that carry both.
    pub drift: CostDrift,
    /// Submissions.
    pub requests: u64,
    /// Submissions of failed calls.
    pub errors: u64,
    /// Submissions whose cost nobody knew.
    pub unpriced_requests: u64,
    /// Uncached prompt tokens.
    pub input_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
    /// Prompt tokens read from the cache.
    pub cache_read_input_tokens: u64,
    /// Prompt tokens written to the cache.
    pub cache_write_input_tokens: u64,
}

impl Counters {
    /// Sum, or `None` where any counter would overflow.
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        Some(Self {
            cost: self.cost.checked_add(other.cost)?,
            drift: self.drift.checked_add(other.drift)?,
            requests: self.requests.checked_add(other.requests)?,
            errors: self.errors.checked_add(other.errors)?,
            unpriced_requests: self.unpriced_requests.checked_add(other.unpriced_requests)?,
            input_tokens: self.input_tokens.checked_add(other.input_tokens)?,
            output_tokens: self.output_tokens.checked_add(other.output_tokens)?,
            cache_read_input_tokens: self.cache_read_input_tokens.checked_add(other.cache_read_input_tokens)?,
            cache_write_input_tokens: self.cache_write_input_tokens.checked_add(other.cache_write_input_tokens)?,
        })
    }

    /// Difference, or `None` where any counter would become negative.
    #[must_use]
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        Some(Self {
            cost: self.cost.checked_sub(other.cost)?,
            drift: self.drift.checked_sub(other.drift)?,
            requests: self.requests.checked_sub(other.requests)?,
            errors: self.errors.checked_sub(other.errors)?,
            unpriced_requests: self.unpriced_requests.checked_sub(other.unpriced_requests)?,
            input_tokens: self.input_tokens.checked_sub(other.input_tokens)?,
            output_tokens: self.output_tokens.checked_sub(other.output_tokens)?,
            cache_read_input_tokens: self.cache_read_input_tokens.checked_sub(other.cache_read_input_tokens)?,
            cache_write_input_tokens: self.cache_write_input_tokens.checked_sub(other.cache_write_input_tokens)?,
        })
    }
}

/// Day and month totals of one label in one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpendTotals {
    /// Totals of the day.
    pub day: Counters,
    /// Totals of the month the day belongs to.
    pub month: Counters,
}

/// Totals of one label, for the application and for its whole organization: which of them counts depends on the
/// organization's quota scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelTotals {
    /// The application's own.
    pub app: SpendTotals,
    /// The organization's.
    pub org: SpendTotals,
}
