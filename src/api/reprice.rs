//! Repricing of recorded usage.

use axum::Json as JsonBody;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiResult;
use super::error::ApiError;
use super::extract::Json;
use super::pagination::{decode_cursor, encode_cursor, limit};
use super::responses::{BodyErrors, CommonErrors};
use super::router::ApiState;
use crate::domain::calendar::Day;
use crate::domain::ids::{InvalidId, Scope};
use crate::service::access::ProvisioningAccess;
use crate::service::reprice::{MAX_EXAMINED, RepriceAmounts, RepriceGroup, RepriceReport, RepriceRequest};
use crate::storage::{RepriceFilter, RepricePosition};

/// Separates the parts of a cursor; stands in no id and no day.
const CURSOR_SEPARATOR: char = '/';

/// Which records to reprice. Everything is optional: `{}` says what would change for everybody.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RepriceRequest, example = json!({
    "org_id": "550e8400-e29b-41d4-a716-446655440000", "from": "2026-01-01", "to": "2026-01-31", "dry_run": true,
}))]
pub struct RepriceBody {
    /// Only this organization's records; default: everybody's.
    #[serde(default)]
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: Option<String>,
    /// Only this application's; needs `org_id`.
    #[serde(default)]
    #[schema(example = "chat")]
    app_id: Option<String>,
    /// Only of this local day, `YYYY-MM-DD`, and later ones.
    #[serde(default)]
    #[schema(format = Date, example = "2026-01-01")]
    from: Option<String>,
    /// Only of this local day, `YYYY-MM-DD`, and earlier ones.
    #[serde(default)]
    #[schema(format = Date, example = "2026-01-31")]
    to: Option<String>,
    /// Only say what would change; `false` carries it out.
    #[serde(default = "dry_run_by_default")]
    #[schema(default = true, example = true)]
    dry_run: bool,
    /// `next_cursor` of the call before, with the same filter.
    #[serde(default)]
    cursor: Option<String>,
    /// Most records to look at, 1–2,000; default 2,000.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2000, example = 2000)]
    limit: Option<i64>,
}

fn dry_run_by_default() -> bool {
    true
}

impl RepriceBody {
    fn parse(&self) -> Result<RepriceRequest, ApiError> {
        let filter = RepriceFilter {
            scope: self.scope()?,
            from: day("from", self.from.as_deref())?,
            to: day("to", self.to.as_deref())?,
        };
        if filter.from.zip(filter.to).is_some_and(|(from, to)| from > to) {
            return Err(ApiError::invalid("from", "must not be after to"));
        }
        let after = self.cursor.as_deref().map(|cursor| decode_cursor(cursor, |text| parse_position(text, &filter)));
        Ok(RepriceRequest {
            after: after.transpose()?,
            dry_run: self.dry_run,
            budget: limit(self.limit, MAX_EXAMINED, MAX_EXAMINED)?,
            filter,
        })
    }

    fn scope(&self) -> Result<Option<Scope>, ApiError> {
        let invalid = |error: InvalidId| ApiError::invalid(error.what, format!("must be {}", error.expected));
        let org_id = self.org_id.as_deref().map(str::parse).transpose().map_err(invalid)?;
        let app_id = self.app_id.as_deref().map(str::parse).transpose().map_err(invalid)?;
        match (org_id, app_id) {
            (None, Some(_)) => Err(ApiError::invalid("app_id", "needs org_id, whose application it is")),
            (None, None) => Ok(None),
            (Some(org_id), app_id) => Ok(Some(Scope { org_id, app_id })),
        }
    }
}

fn day(field: &'static str, text: Option<&str>) -> Result<Option<Day>, ApiError> {
    text.map(str::parse).transpose().map_err(|error| ApiError::invalid(field, error))
}

fn cursor_of(position: &RepricePosition) -> String {
    let RepricePosition { org_id, day, app_id, request_id } = position;
    encode_cursor(&format!("{org_id}{CURSOR_SEPARATOR}{day}{CURSOR_SEPARATOR}{app_id}{CURSOR_SEPARATOR}{request_id}"))
}

/// The position of a cursor; `None` also where it was made for another organization.
fn parse_position(text: &str, filter: &RepriceFilter) -> Option<RepricePosition> {
    let mut parts = text.split(CURSOR_SEPARATOR);
    let position = RepricePosition {
        org_id: parts.next()?.parse().ok()?,
        day: parts.next()?.parse().ok()?,
        app_id: parts.next()?.parse().ok()?,
        request_id: parts.next()?.parse().ok()?,
    };
    let fits = filter.scope.as_ref().is_none_or(|scope| scope.org_id == position.org_id);
    (fits && parts.next().is_none()).then_some(position)
}

/// What repricing changed, or would change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "applied": false, "examined": 1_240, "changed": 1_200, "unchanged": 40, "stale": 0, "refused": 0,
    "rows": [{
        "org_id": "550e8400-e29b-41d4-a716-446655440000", "app_id": "chat", "day": "2026-01-22",
        "model_label": "premium", "records": 1_200, "old_cost_usd_micros": 0, "new_cost_usd_micros": 4_512_000,
        "difference_usd_micros": 4_512_000, "old_unpriced_requests": 1_200, "new_unpriced_requests": 0,
        "drift_difference_usd_micros": 0,
    }],
    "totals": {
        "records": 1_200, "old_cost_usd_micros": 0, "new_cost_usd_micros": 4_512_000,
        "difference_usd_micros": 4_512_000, "old_unpriced_requests": 1_200, "new_unpriced_requests": 0,
        "drift_difference_usd_micros": 0,
    },
    "next_cursor": null,
}))]
pub struct RepriceResponse {
    /// Whether it was carried out; `false` for a dry run.
    #[schema(example = false)]
    applied: bool,
    /// Unpriced and estimated records this call looked at: the sum of the next four.
    #[schema(example = 1_240)]
    examined: u64,
    /// Records that were corrected, or would be.
    #[schema(example = 1_200)]
    changed: u64,
    /// Records left as they are: there still is no price for them, or it comes to the same.
    #[schema(example = 40)]
    unchanged: u64,
    /// Records that were corrected or forgotten by somebody else at the same moment.
    #[schema(example = 0)]
    stale: u64,
    /// Records whose corrected cost would be more than can be counted; they stay as they are.
    #[schema(example = 0)]
    refused: u64,
    /// What changed, by organization, day, application and label.
    rows: Vec<RepriceRow>,
    /// All rows of this answer together.
    totals: RepriceAmountsBody,
    /// Ask again with `cursor` set to this to continue; null when nothing is left.
    next_cursor: Option<String>,
}

/// Corrections of one label on one day.
#[derive(Debug, Serialize, ToSchema)]
pub struct RepriceRow {
    /// The organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// The application.
    #[schema(example = "chat")]
    app_id: String,
    /// The organization's local day.
    #[schema(format = Date, example = "2026-01-22")]
    day: String,
    /// The model label.
    #[schema(example = "premium")]
    model_label: String,
    /// What changed.
    #[serde(flatten)]
    amounts: RepriceAmountsBody,
}

/// What corrected records come to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RepriceAmounts)]
pub struct RepriceAmountsBody {
    /// Corrected records.
    #[schema(example = 1_200)]
    records: u64,
    /// What they were charged, in micro-USD, rounded half-up from the exact sum.
    #[schema(example = 0)]
    old_cost_usd_micros: u64,
    /// What they are charged now, in micro-USD, rounded half-up from the exact sum.
    #[schema(example = 4_512_000)]
    new_cost_usd_micros: u64,
    /// New minus old in micro-USD, rounded once from the exact difference.
    #[schema(example = 4_512_000)]
    difference_usd_micros: i64,
    /// Records among them whose cost nobody knew.
    #[schema(example = 1_200)]
    old_unpriced_requests: u64,
    /// Records among them whose cost still nobody knows.
    #[schema(example = 0)]
    new_unpriced_requests: u64,
    /// By how much the sum of client figures minus server figures changed, in micro-USD. Records with a client's own
    /// cost keep that cost: only this changes.
    #[schema(example = 0)]
    drift_difference_usd_micros: i64,
}

impl From<&RepriceAmounts> for RepriceAmountsBody {
    fn from(amounts: &RepriceAmounts) -> Self {
        Self {
            records: amounts.records(),
            old_cost_usd_micros: amounts.old.cost.to_micros_half_up(),
            new_cost_usd_micros: amounts.new.cost.to_micros_half_up(),
            difference_usd_micros: amounts.cost_difference().to_micros_half_up(),
            old_unpriced_requests: amounts.old.unpriced_requests,
            new_unpriced_requests: amounts.new.unpriced_requests,
            drift_difference_usd_micros: amounts.drift_difference().to_micros_half_up(),
        }
    }
}

impl From<(&RepriceGroup, &RepriceAmounts)> for RepriceRow {
    fn from((group, amounts): (&RepriceGroup, &RepriceAmounts)) -> Self {
        Self {
            org_id: group.org_id.to_string(),
            app_id: group.app_id.to_string(),
            day: group.day.to_string(),
            model_label: group.model_label.to_string(),
            amounts: amounts.into(),
        }
    }
}

impl RepriceResponse {
    fn new(report: &RepriceReport) -> Result<Self, ApiError> {
        Ok(Self {
            applied: report.applied,
            examined: report.examined,
            changed: report.changed,
            unchanged: report.unchanged,
            stale: report.stale,
            refused: report.refused,
            rows: report.groups.iter().map(RepriceRow::from).collect(),
            totals: RepriceAmountsBody::from(&report.totals()?),
            next_cursor: report.next.as_ref().map(cursor_of),
        })
    }
}

/// Reprice recorded usage
///
/// Prices records that are `UNPRICED` or `ESTIMATED`, and not older than their retention, with the prices in force now.
/// A dry run unless `dry_run` is `false`. Daily and monthly totals change by the exact difference, together with the
/// record. Records that are `PRICED` never change, and neither does a cost that a client gave: only its drift does.
///
/// One call looks at no more than `limit` records: repeat it with `cursor` until `next_cursor` is null. Repeating,
/// interrupting and several calls at once are safe: each record is corrected once.
#[utoipa::path(
    post,
    path = "/reprice",
    tag = "Pricing",
    request_body = RepriceBody,
    security(("api_key" = [])),
    responses(
        (status = 200, description = "What changed, or would change", body = RepriceResponse),
        CommonErrors,
        BodyErrors,
    ),
)]
pub async fn reprice_usage(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    Json(body): Json<RepriceBody>,
) -> ApiResult<JsonBody<RepriceResponse>> {
    let report = state.services.reprice(&access, &body.parse()?).await?;
    Ok(JsonBody(RepriceResponse::new(&report)?))
}
