//! Wire types of a day's spend.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::config_view::QuotaScopeWord;
use crate::api::instant;
use crate::domain::money::CostDrift;
use crate::domain::quota::{QuotaPeriod, QuotaStatus};
use crate::service::aggregates::{AppAggregates, DayAggregates, LabelAggregates, MonthAggregates};

/// Spend of a day against its quotas.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "org_id": "550e8400-e29b-41d4-a716-446655440000",
    "date": "2026-01-23",
    "timezone": "America/New_York",
    "quota_scope": "ORG",
    "quota_shared": false,
    "models": {
        "premium": {
            "label": "premium", "bedrock_model_id": "amazon.nova-pro-v1:0",
            "cost_usd_micros": 9_250_000, "quota_usd_micros": 10_000_000, "quota_pct": 92.5,
            "quota_status": "NORMAL", "quota_period": "DAY",
            "input_tokens": 4_100_000, "output_tokens": 1_800_000,
            "cache_read_input_tokens": 900_000, "cache_write_input_tokens": 120_000,
            "requests": 2_460, "errors": 3, "unpriced_requests": 0, "average_cost_per_request": 3_760,
            "month": {"cost_usd_micros": 151_000_000, "quota_usd_micros": 250_000_000}
        }
    },
    "apps": {"chat": {"cost_usd_micros": 9_250_000, "requests": 2_460}},
    "total_cost_usd_micros": 9_250_000, "total_quota_usd_micros": 10_000_000, "total_quota_pct": 92.5,
    "sticky_fallback_active": false, "current_active_model": "premium",
    "month": {"cost_usd_micros": 151_000_000, "quota_usd_micros": 250_000_000},
    "updated_at": "2026-01-23T15:30:45.123Z"
}))]
pub struct DayAggregatesResponse {
    /// The organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// The application; only in its own view.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "chat")]
    app_id: Option<String>,
    /// Name of the application; only in its own view.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Support chat")]
    app_name: Option<String>,
    /// The organization's local day, `YYYY-MM-DD`.
    #[schema(format = Date, example = "2026-01-23")]
    date: String,
    /// IANA time zone whose midnight starts the day.
    #[schema(example = "America/New_York")]
    timezone: String,
    /// Who spends a quota: the organization together (`ORG`), or each application on its own (`APP`).
    quota_scope: QuotaScopeWord,
    /// Whether this is one application's usage beside a quota it shares with the organization's other applications.
    #[schema(example = false)]
    quota_shared: bool,
    /// By model label: every label of the ordering in effect, and every other label with usage on this day.
    models: BTreeMap<String, LabelAggregatesBody>,
    /// By application with usage on this day; only in the organization's view.
    #[serde(skip_serializing_if = "Option::is_none")]
    apps: Option<BTreeMap<String, AppAggregatesBody>>,
    /// Spend of the day in micro-USD, rounded half-up from the exact sum.
    #[schema(example = 9_250_000)]
    total_cost_usd_micros: u64,
    /// Sum of the daily quotas in `models`, in micro-USD.
    #[schema(example = 10_000_000)]
    total_quota_usd_micros: u64,
    /// Percentage of that sum spent, floored to two decimals; 0 without any quota.
    #[schema(example = 92.5)]
    total_quota_pct: f64,
    /// Whether model selection stays on a later label for the rest of the day. Always `false` for an organization with
    /// `quota_scope` `APP`, whose applications each have a fallback of their own.
    #[schema(example = false)]
    sticky_fallback_active: bool,
    /// Today, the label model selection recommends now; of a past day, the one its fallback stayed on, while that is
    /// still known. Null where every quota is spent, and for an organization with `quota_scope` `APP`.
    #[schema(example = "premium")]
    current_active_model: Option<String>,
    /// The month this day belongs to, over all labels.
    month: MonthAggregatesBody,
    /// When the day's totals last changed, RFC 3339 UTC; null before its first usage.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    updated_at: Option<String>,
}

/// One model label on a day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LabelAggregates)]
pub struct LabelAggregatesBody {
    /// The label.
    #[schema(example = "premium")]
    label: String,
    /// What a client passes to Bedrock as `modelId`; null where the label is in no catalog any more, and
    /// for a label that an organization's applications registered for different inference profiles.
    #[schema(example = "amazon.nova-pro-v1:0")]
    bedrock_model_id: Option<String>,
    /// Spend of the day in micro-USD, rounded half-up from the exact sum.
    #[schema(example = 9_250_000)]
    cost_usd_micros: u64,
    /// Daily quota in micro-USD; null for a label without one. For an organization with `quota_scope` `APP`, the sum
    /// over its registered applications.
    #[schema(example = 10_000_000)]
    quota_usd_micros: Option<u64>,
    /// Percentage of the binding quota spent, floored to two decimals; 100 or more exactly when it is exceeded.
    #[schema(example = 92.5)]
    quota_pct: f64,
    /// `NORMAL`; `TIGHT` from the configured threshold on; `EXCEEDED` when the daily or the monthly quota is spent.
    #[schema(value_type = String, pattern = "^(NORMAL|TIGHT|EXCEEDED)$", example = "NORMAL")]
    quota_status: QuotaStatus,
    /// Period of the binding quota, the one with the higher percentage: `DAY` or `MONTH`. Null without a quota.
    #[schema(value_type = Option<String>, pattern = "^(DAY|MONTH)$", example = "DAY")]
    quota_period: Option<QuotaPeriod>,
    /// Prompt tokens that were neither read from nor written to a cache.
    #[schema(example = 4_100_000)]
    input_tokens: u64,
    /// Generated tokens.
    #[schema(example = 1_800_000)]
    output_tokens: u64,
    /// Prompt tokens read from the cache.
    #[schema(example = 900_000)]
    cache_read_input_tokens: u64,
    /// Prompt tokens written to the cache.
    #[schema(example = 120_000)]
    cache_write_input_tokens: u64,
    /// Submissions.
    #[schema(example = 2_460)]
    requests: u64,
    /// Submissions of failed calls; they are among `requests`.
    #[schema(example = 3)]
    errors: u64,
    /// Submissions whose cost nobody knew; they are among `requests` and missing in the cost.
    #[schema(example = 0)]
    unpriced_requests: u64,
    /// Spend of the day by request, in micro-USD, rounded half-up; 0 without requests.
    #[schema(example = 3_760)]
    average_cost_per_request: u64,
    /// Where clients reported costs: their figures minus the server's own, in micro-USD, rounded half away from zero.
    /// Absent where there is no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = -12)]
    cost_drift_usd_micros: Option<i64>,
    /// The month this day belongs to.
    month: MonthAggregatesBody,
}

/// One application's part in its organization's day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppAggregates)]
pub struct AppAggregatesBody {
    /// Spend of the day in micro-USD, rounded half-up from the exact sum.
    #[schema(example = 9_250_000)]
    cost_usd_micros: u64,
    /// Submissions.
    #[schema(example = 2_460)]
    requests: u64,
}

/// Spend and quota of a local calendar month.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MonthAggregates)]
pub struct MonthAggregatesBody {
    /// Spend of the month so far in micro-USD, rounded half-up from the exact sum.
    #[schema(example = 151_000_000)]
    cost_usd_micros: u64,
    /// Monthly quota in micro-USD, of a label or summed over labels; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 250_000_000)]
    quota_usd_micros: Option<u64>,
}

impl From<DayAggregates> for DayAggregatesResponse {
    fn from(day: DayAggregates) -> Self {
        let models = day
            .labels
            .iter()
            .map(|(label, aggregates)| (label.to_string(), LabelAggregatesBody::new(label.to_string(), aggregates)));
        let apps = day.apps.map(|apps| apps.into_iter().map(|(app_id, app)| (app_id.into(), app.into())).collect());
        Self {
            models: models.collect(),
            apps,
            org_id: day.scope.org_id.to_string(),
            app_id: day.scope.app_id.map(String::from),
            app_name: day.app_name,
            date: day.day.to_string(),
            timezone: day.timezone,
            quota_scope: day.quota_scope.into(),
            quota_shared: day.quota_shared,
            total_cost_usd_micros: day.total_cost.to_micros_half_up(),
            total_quota_usd_micros: day.total_quota.0,
            total_quota_pct: day.total_pct.as_f64(),
            sticky_fallback_active: day.active.sticky_fallback,
            current_active_model: day.active.label.map(String::from),
            month: day.month.into(),
            updated_at: day.updated_at.map(instant),
        }
    }
}

impl LabelAggregatesBody {
    fn new(label: String, aggregates: &LabelAggregates) -> Self {
        let day = &aggregates.day;
        Self {
            label,
            bedrock_model_id: aggregates.bedrock_model_id.clone(),
            cost_usd_micros: day.cost.to_micros_half_up(),
            quota_usd_micros: aggregates.quota.map(|quota| quota.0),
            quota_pct: aggregates.pct.as_f64(),
            quota_status: aggregates.status,
            quota_period: aggregates.period,
            input_tokens: day.input_tokens,
            output_tokens: day.output_tokens,
            cache_read_input_tokens: day.cache_read_input_tokens,
            cache_write_input_tokens: day.cache_write_input_tokens,
            requests: day.requests,
            errors: day.errors,
            unpriced_requests: day.unpriced_requests,
            average_cost_per_request: day.cost.average_micros_half_up(day.requests),
            cost_drift_usd_micros: (day.drift != CostDrift::ZERO).then(|| day.drift.to_micros_half_up()),
            month: aggregates.month.into(),
        }
    }
}

impl From<AppAggregates> for AppAggregatesBody {
    fn from(app: AppAggregates) -> Self {
        Self { cost_usd_micros: app.cost.to_micros_half_up(), requests: app.requests }
    }
}

impl From<MonthAggregates> for MonthAggregatesBody {
    fn from(month: MonthAggregates) -> Self {
        Self { cost_usd_micros: month.cost.to_micros_half_up(), quota_usd_micros: month.quota.map(|quota| quota.0) }
    }
}
