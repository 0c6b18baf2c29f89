//! Which model to use now.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::cache::cacheable;
use super::config_view::QuotaScopeWord;
use super::error::ErrorResponse;
use super::extract::Query;
use super::models::PricingResponse;
use super::params::AppParam;
use super::responses::{CommonErrors, NotFoundError};
use super::router::ApiState;
use super::{ApiResult, instant};
use crate::domain::quota::{LabelQuota, QuotaPeriod, QuotaStatus};
use crate::service::access::SelectionAccess;
use crate::service::selection::Recommendation;

/// Options of a model selection.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SelectionQuery {
    /// Sum the newest counters instead of using consolidated totals. SQL stores always do.
    #[serde(default)]
    #[param(example = false)]
    force_check: bool,
}

/// Answer of a model selection.
#[derive(Debug, Serialize, ToSchema)]
pub struct SelectionResponse {
    /// The organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// The application.
    #[schema(example = "chat")]
    app_id: String,
    /// The model to use.
    recommended_model: RecommendedModel,
    /// What it was decided by.
    quota_status: QuotaStatusResponse,
    /// Standard prices of the recommended model.
    pricing: PricingResponse,
    /// When to ask again.
    client_guidance: ClientGuidance,
    /// When it was decided, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    checked_at: String,
    /// The organization's local day, `YYYYMMDD`.
    #[schema(example = "20260123")]
    org_day: String,
    /// The organization's local time with its offset.
    #[schema(example = "2026-01-23T10:30:45-05:00")]
    org_local_time: String,
    /// The next local midnight, when daily quotas and the fallback reset, RFC 3339 UTC.
    #[schema(example = "2026-01-24T05:00:00Z")]
    quota_resets_at: String,
}

/// The model to use.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecommendedModel {
    /// Its label; submit usage under it.
    #[schema(example = "standard")]
    label: String,
    /// What to pass to Bedrock as `modelId`: a model id, or an inference profile's ARN.
    #[schema(example = "amazon.nova-2-lite-v1:0")]
    bedrock_model_id: String,
    /// `NORMAL`, `QUOTA_EXCEEDED_<LABEL>` (the label just left), `STICKY_FALLBACK`, `MANUAL_OVERRIDE` or
    /// `ALL_QUOTAS_EXCEEDED`.
    #[schema(example = "STICKY_FALLBACK")]
    reason: String,
    /// For a person.
    #[schema(example = "Balanced quality and cost for everyday work")]
    description: String,
}

/// Spend and quotas behind a recommendation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuotaStatusResponse {
    /// Who spends the quota.
    scope: QuotaScopeWord,
    /// `TIGHT` where the recommended label is tight, else `NORMAL`.
    #[schema(example = "TIGHT")]
    mode: &'static str,
    /// The recommended label.
    #[schema(example = "standard")]
    current_model: String,
    /// Its spend in the binding period, in micro-USD.
    #[schema(example = 4_625_000)]
    spend_usd_micros: u64,
    /// Its quota of the binding period, in micro-USD.
    #[schema(example = 5_000_000)]
    quota_usd_micros: u64,
    /// Percentage of that quota, floored to two decimals.
    #[schema(example = 92.5)]
    quota_pct: f64,
    /// Whether a fallback of today is in force.
    #[schema(example = true)]
    sticky_fallback_active: bool,
    /// Every label of the ordering.
    #[schema(example = json!({
        "premium": {"spend_usd_micros": 10_000_000, "quota_usd_micros": 10_000_000, "quota_pct": 100.0,
                    "status": "EXCEEDED", "period": "DAY"},
        "standard": {"spend_usd_micros": 4_625_000, "quota_usd_micros": 5_000_000, "quota_pct": 92.5,
                     "status": "TIGHT", "period": "DAY"},
        "economy": {"spend_usd_micros": 0, "quota_usd_micros": 1_000_000, "quota_pct": 0.0,
                    "status": "NORMAL", "period": "DAY"}
    }))]
    models_status: BTreeMap<String, ModelStatus>,
}

/// Quota status of one label, for its binding period.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelStatus {
    /// Spend in the binding period, in micro-USD.
    #[schema(example = 10_000_000)]
    spend_usd_micros: u64,
    /// Quota of the binding period, in micro-USD.
    #[schema(example = 10_000_000)]
    quota_usd_micros: u64,
    /// Percentage of that quota, floored to two decimals; 100 or more exactly when exceeded.
    #[schema(example = 100.0)]
    quota_pct: f64,
    /// `NORMAL`, `TIGHT` or `EXCEEDED`, over both periods.
    #[schema(value_type = String, example = "EXCEEDED")]
    status: QuotaStatus,
    /// The binding period, the one with the higher percentage: `DAY` or `MONTH`.
    #[schema(value_type = String, example = "DAY")]
    period: QuotaPeriod,
}

impl From<&LabelQuota> for ModelStatus {
    fn from(quota: &LabelQuota) -> Self {
        Self {
            spend_usd_micros: quota.spend.to_micros_half_up(),
            quota_usd_micros: quota.quota.0,
            quota_pct: quota.pct.as_f64(),
            status: quota.status,
            period: quota.period,
        }
    }
}

/// When to ask again.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ClientGuidance {
    /// `PERIODIC_<n>S`: ask every *n* seconds.
    #[schema(example = "PERIODIC_60S")]
    check_frequency: String,
    /// Seconds the answer may be kept.
    #[schema(example = 60)]
    cache_duration_secs: u32,
    /// For a person.
    #[schema(example = "The quota of this model is nearly spent: ask again after 60 seconds.")]
    explanation: String,
}

impl ClientGuidance {
    fn new(status: QuotaStatus, secs: u32) -> Self {
        let explanation = match status {
            QuotaStatus::Normal => format!("There is room in the quota: keep this answer for {secs} seconds."),
            QuotaStatus::Tight => format!("The quota of this model is nearly spent: ask again after {secs} seconds."),
            QuotaStatus::Exceeded => {
                format!("Every quota is spent and this is the last model: ask again after {secs} seconds.")
            }
        };
        Self { check_frequency: format!("PERIODIC_{secs}S"), cache_duration_secs: secs, explanation }
    }
}

impl SelectionResponse {
    fn new(answer: &Recommendation) -> Self {
        let effective = &answer.effective;
        Self {
            org_id: effective.scope.org_id.to_string(),
            app_id: effective.scope.app_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            recommended_model: RecommendedModel {
                label: answer.label.to_string(),
                bedrock_model_id: answer.entry.bedrock_model_id.clone(),
                reason: answer.reason.to_string(),
                description: answer.entry.description.clone(),
            },
            quota_status: QuotaStatusResponse {
                scope: effective.quota_scope.into(),
                mode: if answer.tight { "TIGHT" } else { "NORMAL" },
                current_model: answer.label.to_string(),
                spend_usd_micros: answer.quota.spend.to_micros_half_up(),
                quota_usd_micros: answer.quota.quota.0,
                quota_pct: answer.quota.pct.as_f64(),
                sticky_fallback_active: answer.sticky_fallback_active,
                models_status: answer.labels.iter().map(|(label, quota)| (label.to_string(), quota.into())).collect(),
            },
            pricing: PricingResponse::new(answer.price.as_ref()),
            client_guidance: ClientGuidance::new(answer.quota.status, answer.refresh_interval_secs),
            checked_at: instant(answer.checked_at),
            org_day: answer.day.compact(),
            org_local_time: effective.calendar.local_time(answer.checked_at),
            quota_resets_at: instant(answer.quota_resets_at),
        }
    }

    /// What decides whether the answer changed: everything but the clock.
    fn identity(&self) -> impl Serialize {
        (
            &self.recommended_model,
            &self.quota_status,
            &self.pricing,
            &self.client_guidance,
            &self.org_day,
            &self.quota_resets_at,
        )
    }
}

/// Which model to use now
///
/// Recommends the first model of the ordering whose quota has room. Once a quota is spent the recommendation moves to
/// the next model and stays there until local midnight. The service advises; calling Bedrock is up to you. Keep the
/// answer for `cache_duration_secs`.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/model-selection",
    tag = "Model selection",
    params(
        AppParam,
        SelectionQuery,
        ("If-None-Match" = Option<String>, Header, description = "ETag of an earlier answer"),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "The recommendation", body = SelectionResponse, headers(
            ("ETag" = String, description = "Changes with the answer, not with the clock"),
            ("Cache-Control" = String, description = "`private, max-age=<cache_duration_secs>`"),
            ("X-Data-Lag-Secs" = u64, description = "Age of the totals in seconds"),
        )),
        (status = 304, description = "As the answer with the sent ETag"),
        CommonErrors,
        NotFoundError,
        (status = 429, body = ErrorResponse,
            description = "`QUOTA_EXCEEDED`: every label is exceeded; `retry_after` says when one is free again. \
                `details` has `org_id`, `app_id`, `date`, `models` (by label `quota_pct` and `exceeded`) and \
                `total_overage_usd_micros`.\n\n\
                `RATE_LIMIT_EXCEEDED`: the caller asked too often; `retry_after` has the seconds to wait",
            headers(
                ("Retry-After" = u64, description = "The same in seconds from now"),
                ("X-RateLimit-Limit" = u64, description = "Requests allowed in a minute; like the other three on every limited answer"),
                ("X-RateLimit-Remaining" = u64, description = "Requests left now"),
                ("X-RateLimit-Reset" = u64, description = "When all are there again, in seconds since the epoch"),
                ("X-RateLimit-ClientId" = String, description = "Who is counted: a client id, or `key:` and a provisioning key's id"),
            )),
    ),
)]
pub async fn select_model(
    State(state): State<ApiState>,
    access: SelectionAccess,
    Query(query): Query<SelectionQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let answer = state.services.recommend(&access, query.force_check).await?;
    let body = SelectionResponse::new(&answer);
    cacheable(&headers, &body, &body.identity(), answer.refresh_interval_secs, answer.data_lag_secs)
}
