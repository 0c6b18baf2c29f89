//! Submissions of usage and costs, single and in batches.

use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorResponse};
use super::extract::Json;
use super::params::AppParam;
use super::responses::{BodyErrors, CommonErrors, LabelErrors, NotFoundError};
use super::router::ApiState;
use super::usage_request::{CostBatchRequest, CostRequest, SubmissionBody, UsageBatchRequest, UsageRequest};
use super::{ApiResult, instant};
use crate::domain::pricing::{PriceSource, PricingStatus};
use crate::domain::quota::{QuotaPeriod, QuotaStatus};
use crate::service::access::UsageAccess;
use crate::service::error::ServiceError;
use crate::service::metering::{Receipt, Submission};

/// Most submissions of a batch.
const MAX_BATCH: usize = 100;

/// Answer to a submission that counts.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubmissionResponse {
    /// The submission's id.
    #[schema(format = Uuid, example = "7f3c2a10-5b0e-4c55-9b1a-2f6f5f0c9d11")]
    request_id: String,
    /// `accepted`: it is committed and survives a crash.
    #[schema(example = "accepted")]
    status: &'static str,
    /// Whether it had been committed by an earlier submission with the same id and body; then nothing changed.
    #[schema(example = false)]
    duplicate: bool,
    /// For a person.
    #[schema(example = "recorded")]
    message: &'static str,
    /// How it was processed.
    processing: Processing,
    /// Totals of its label and day, this submission included.
    daily_total: DailyTotal,
    /// When it was answered, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    timestamp: String,
}

/// How a submission was processed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Processing {
    /// Counter shard it belongs to.
    #[schema(example = 3)]
    shard_id: u8,
    /// Seconds until totals usually include it; 0 where they already do.
    #[schema(example = 0)]
    expected_aggregation_lag_secs: u64,
    /// Charged cost in micro-USD, rounded half-up; totals add up exact values.
    #[schema(example = 3760)]
    cost_usd_micros: u64,
    /// The server's own figure in micro-USD beside a client's cost, where it could compute one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3760)]
    server_cost_usd_micros: Option<u64>,
    /// How it was priced.
    pricing: RecordPricing,
}

/// How a submission was priced.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordPricing {
    /// `PRICED`, `ESTIMATED` (a stand-in price was used) or `UNPRICED` (no price is known; never taken for free).
    #[schema(value_type = String, example = "PRICED")]
    status: PricingStatus,
    /// `CLIENT` where the client gave the charged cost, else `SERVER`.
    #[schema(example = "SERVER")]
    cost_source: &'static str,
    /// Source of the server's price: `PRICING_API`, `CONFIG`, `CACHED` or `EMBEDDED`.
    #[schema(value_type = Option<String>, example = "EMBEDDED")]
    source: Option<PriceSource>,
    /// Version of that source.
    #[schema(example = "2026-11-23")]
    version: Option<String>,
    /// The model that was priced.
    #[schema(example = "amazon.nova-pro-v1:0")]
    model_id: String,
}

/// Totals of a label on a day, in the scope that owns the quota: the application, or the whole organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct DailyTotal {
    /// The label.
    #[schema(example = "premium")]
    label: String,
    /// The organization's local day.
    #[schema(format = Date, example = "2026-01-23")]
    date: String,
    /// The day's cost in micro-USD.
    #[schema(example = 3760)]
    cost_usd_micros: u64,
    /// Daily quota in micro-USD; null for a label without one.
    #[schema(example = 10_000_000)]
    quota_usd_micros: Option<u64>,
    /// Percentage of the binding quota, floored to two decimals.
    #[schema(example = 0.03)]
    quota_pct: f64,
    /// Period of the binding quota, the one with the higher percentage: `DAY` or `MONTH`; null for a label without one.
    #[schema(value_type = Option<String>, example = "DAY")]
    quota_period: Option<QuotaPeriod>,
    /// `NORMAL`, `TIGHT` or `EXCEEDED`.
    #[schema(value_type = String, example = "NORMAL")]
    status: QuotaStatus,
    /// `TIGHT` where the label is tight, else `NORMAL`.
    #[schema(example = "NORMAL")]
    mode: &'static str,
    /// The day's submissions.
    #[schema(example = 1)]
    requests: u64,
}

impl SubmissionResponse {
    fn new(receipt: &Receipt, expected_lag_secs: u64, answered_at: String) -> Self {
        let record = &receipt.record;
        let client = record.cost_source == crate::domain::usage::CostSource::Client;
        let total = &receipt.daily_total;
        let status = total.status.map_or(QuotaStatus::Normal, |quota| quota.status);
        Self {
            request_id: record.request_id.to_string(),
            status: "accepted",
            duplicate: receipt.duplicate,
            message: if receipt.duplicate {
                "already recorded by an earlier submission with this request_id; nothing changed"
            } else {
                "recorded"
            },
            processing: Processing {
                shard_id: record.shard_id,
                expected_aggregation_lag_secs: expected_lag_secs,
                cost_usd_micros: record.cost.to_micros_half_up(),
                server_cost_usd_micros: record.server_cost.filter(|_| client).map(|cost| cost.to_micros_half_up()),
                pricing: RecordPricing {
                    status: record.pricing.status,
                    cost_source: if client { "CLIENT" } else { "SERVER" },
                    source: record.pricing.source,
                    version: record.pricing.version.clone(),
                    model_id: record.pricing.model_id.clone(),
                },
            },
            daily_total: DailyTotal {
                label: record.model_label.to_string(),
                date: record.day.to_string(),
                cost_usd_micros: total.cost.to_micros_half_up(),
                quota_usd_micros: total.quota.map(|quota| quota.0),
                quota_pct: total.status.map_or(0.0, |quota| quota.pct.as_f64()),
                quota_period: total.status.map(|quota| quota.period),
                status,
                mode: if status == QuotaStatus::Tight { "TIGHT" } else { "NORMAL" },
                requests: total.requests,
            },
            timestamp: answered_at,
        }
    }
}

/// Answer to a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchResponse {
    /// Records that count, duplicates included.
    #[schema(example = 1)]
    accepted: usize,
    /// Records that were refused.
    #[schema(example = 0)]
    failed: usize,
    /// One result for each record, in request order.
    results: Vec<BatchResult>,
    /// When it was answered, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    timestamp: String,
}

/// Result of one record of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchResult {
    /// The record's id; null where it had none that could be read.
    #[schema(example = "7f3c2a10-5b0e-4c55-9b1a-2f6f5f0c9d11")]
    request_id: Option<String>,
    /// `accepted` or `failed`.
    #[schema(example = "accepted")]
    status: &'static str,
    /// Of an accepted record: whether it had been committed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = false)]
    duplicate: Option<bool>,
    /// Of an accepted record: its counter shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    shard_id: Option<u8>,
    /// Of an accepted record: its charged cost in micro-USD, rounded half-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3760)]
    cost_usd_micros: Option<u64>,
    /// Of a failed record: the error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// Of a failed record: what was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl BatchResult {
    fn accepted(receipt: &Receipt) -> Self {
        Self {
            request_id: Some(receipt.record.request_id.to_string()),
            status: "accepted",
            duplicate: Some(receipt.duplicate),
            shard_id: Some(receipt.record.shard_id),
            cost_usd_micros: Some(receipt.record.cost.to_micros_half_up()),
            error: None,
            message: None,
        }
    }

    fn failed(request_id: Option<String>, error: ApiError) -> Self {
        Self {
            request_id,
            status: "failed",
            duplicate: None,
            shard_id: None,
            cost_usd_micros: None,
            error: Some(error.code),
            message: Some(error.message),
        }
    }
}

/// The id of a record that could not be read as a whole.
fn readable_id(record: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct IdOnly {
        request_id: Option<String>,
    }
    // Longer than any UUID is none; echoing it would only make the answer as large as the request.
    serde_json::from_str::<IdOnly>(record.get()).ok()?.request_id.filter(|id| id.len() <= 64)
}

async fn submit_one(state: &ApiState, access: &UsageAccess, submission: Submission) -> ApiResult<SubmissionResponse> {
    let receipt = state
        .services
        .record(access, &[submission])
        .await?
        .pop()
        .ok_or_else(|| ServiceError::Internal("a submission without a result".to_owned()))??;
    Ok(SubmissionResponse::new(&receipt, state.services.expected_lag_secs(), instant(state.services.now())))
}

async fn submit_batch<T: SubmissionBody>(
    state: &ApiState,
    access: &UsageAccess,
    records: &[Box<RawValue>],
) -> ApiResult<BatchResponse> {
    if records.is_empty() || records.len() > MAX_BATCH {
        return Err(ApiError::invalid("requests", format!("must have 1 to {MAX_BATCH} records")));
    }
    let mut results: Vec<Option<BatchResult>> = Vec::with_capacity(records.len());
    let mut submissions = Vec::with_capacity(records.len());
    for record in records {
        match T::from_record(record) {
            Ok(submission) => {
                submissions.push(submission);
                results.push(None);
            }
            Err(error) => results.push(Some(BatchResult::failed(readable_id(record), error))),
        }
    }
    let outcomes = state.services.record(access, &submissions).await?;
    let mut recorded = submissions.iter().zip(outcomes).map(|(submission, outcome)| match outcome {
        Ok(receipt) => BatchResult::accepted(&receipt),
        Err(error) => BatchResult::failed(Some(submission.request_id.to_string()), error.into()),
    });
    let results: Vec<BatchResult> =
        results.into_iter().filter_map(|result| result.or_else(|| recorded.next())).collect();
    let accepted = results.iter().filter(|result| result.error.is_none()).count();
    Ok(BatchResponse { accepted, failed: results.len() - accepted, results, timestamp: instant(state.services.now()) })
}

/// Submit usage of one call
///
/// The service computes the cost from tokens and the price in force. Send the same `request_id` again after a time-out
/// or a 503: it counts once. A 202 means that the submission is committed. Of a refused `timestamp`, `details` has the
/// accepted range (`accepted_from`, `accepted_to`).
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/apps/{app_id}/usage",
    tag = "Usage",
    params(AppParam),
    request_body = UsageRequest,
    security(("bearer" = [])),
    responses(
        (status = 202, description = "Committed, now or before", body = SubmissionResponse),
        CommonErrors,
        LabelErrors,
        BodyErrors,
        NotFoundError,
        (status = 409, description = "`IDEMPOTENCY_CONFLICT`: the id was submitted with another body", body = ErrorResponse),
    ),
)]
pub async fn submit_usage(
    State(state): State<ApiState>,
    access: UsageAccess,
    Json(body): Json<UsageRequest>,
) -> ApiResult<(StatusCode, JsonBody<SubmissionResponse>)> {
    let response = submit_one(&state, &access, body.into_submission()?).await?;
    Ok((StatusCode::ACCEPTED, JsonBody(response)))
}

/// Submit the cost of one call
///
/// The client's own figure is charged. Where the service can price the call too, it keeps both, so that drift shows.
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/apps/{app_id}/costs",
    tag = "Usage",
    params(AppParam),
    request_body = CostRequest,
    security(("bearer" = [])),
    responses(
        (status = 202, description = "Committed, now or before", body = SubmissionResponse),
        CommonErrors,
        LabelErrors,
        BodyErrors,
        NotFoundError,
        (status = 409, description = "`IDEMPOTENCY_CONFLICT`: the id was submitted with another body", body = ErrorResponse),
    ),
)]
pub async fn submit_cost(
    State(state): State<ApiState>,
    access: UsageAccess,
    Json(body): Json<CostRequest>,
) -> ApiResult<(StatusCode, JsonBody<SubmissionResponse>)> {
    let response = submit_one(&state, &access, body.into_submission()?).await?;
    Ok((StatusCode::ACCEPTED, JsonBody(response)))
}

/// Submit usage of several calls
///
/// A bad record fails alone and the good ones commit together. A body that cannot be read, or with more than 100
/// records, fails as a whole.
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/apps/{app_id}/usage/batch",
    tag = "Usage",
    params(AppParam),
    request_body = UsageBatchRequest,
    security(("bearer" = [])),
    responses(
        (status = 207, description = "One result for each record", body = BatchResponse),
        CommonErrors,
        BodyErrors,
        NotFoundError,
    ),
)]
pub async fn submit_usage_batch(
    State(state): State<ApiState>,
    access: UsageAccess,
    Json(body): Json<UsageBatchRequest>,
) -> ApiResult<(StatusCode, JsonBody<BatchResponse>)> {
    let response = submit_batch::<UsageRequest>(&state, &access, &body.requests).await?;
    Ok((StatusCode::MULTI_STATUS, JsonBody(response)))
}

/// Submit costs of several calls
///
/// A bad record fails alone and the good ones commit together. A body that cannot be read, or with more than 100
/// records, fails as a whole.
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/apps/{app_id}/costs/batch",
    tag = "Usage",
    params(AppParam),
    request_body = CostBatchRequest,
    security(("bearer" = [])),
    responses(
        (status = 207, description = "One result for each record", body = BatchResponse),
        CommonErrors,
        BodyErrors,
        NotFoundError,
    ),
)]
pub async fn submit_cost_batch(
    State(state): State<ApiState>,
    access: UsageAccess,
    Json(body): Json<CostBatchRequest>,
) -> ApiResult<(StatusCode, JsonBody<BatchResponse>)> {
    let response = submit_batch::<CostRequest>(&state, &access, &body.requests).await?;
    Ok((StatusCode::MULTI_STATUS, JsonBody(response)))
}
