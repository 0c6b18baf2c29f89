//! Usage over a range of days, as JSON or CSV.

mod csv_body;

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ApiResult;
use super::auth::{AppAggregates, OrgAggregates};
use super::error::ApiError;
use super::extract::Query;
use super::pagination::{decode_cursor, encode_cursor, limit};
use super::params::{AppParam, OrgParam};
use super::responses::{CommonErrors, NotFoundError};
use super::router::ApiState;
use crate::domain::calendar::Day;
use crate::domain::usage::Counters;
use crate::service::access::AggregatesAccess;
use crate::service::aggregates::range::{
    DEFAULT_GROUPS, GroupKey, Grouping, MAX_GROUPS, RangePage, RangeQuery as Range, RangeRow,
};

/// Separates the parts of a cursor; stands in no day, application or label.
const CURSOR_SEPARATOR: char = '/';

/// Which range, and how it is shown. Read as text and parsed here, so that a refusal names the parameter.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RangeParams {
    /// First local day, `YYYY-MM-DD`.
    #[param(required = true, nullable = false, format = Date, example = "2026-01-01")]
    from: Option<String>,
    /// Last local day, `YYYY-MM-DD`, included; not in the future. A range has at most 400 days.
    #[param(required = true, nullable = false, format = Date, example = "2026-01-23")]
    to: Option<String>,
    /// What rows are grouped by: one or more of `day`, `model` and `app`, separated by commas. `app` only for an
    /// organization. Default `day`.
    #[param(pattern = "^(day|model|app)(,(day|model|app))*$", example = "day,model")]
    group_by: Option<String>,
    /// How rows are written; default `json`.
    #[param(value_type = Option<Format>, inline, example = "json")]
    format: Option<String>,
    /// Most rows to answer, 1–10,000; default 1,000.
    #[param(minimum = 1, maximum = 10_000, example = 1_000)]
    limit: Option<i64>,
    /// `next_cursor` of the page before, with the same `group_by`.
    cursor: Option<String>,
}

/// How a range is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Format {
    /// With totals and the cursor of the next page.
    Json,
    /// Rows only, for spreadsheets.
    Csv,
}

impl FromStr for Format {
    type Err = ApiError;
    fn from_str(text: &str) -> Result<Self, ApiError> {
        match text {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err(ApiError::invalid("format", "must be json or csv")),
        }
    }
}

impl RangeParams {
    fn parse(&self) -> Result<(Range, Format), ApiError> {
        let from = parse_day("from", self.from.as_deref())?;
        let to = parse_day("to", self.to.as_deref())?;
        let group_by = parse_grouping(self.group_by.as_deref().unwrap_or("day"))?;
        let after = self.cursor.as_deref().map(|cursor| decode_cursor(cursor, |text| parse_key(text, group_by)));
        let format = self.format.as_deref().map_or(Ok(Format::Json), str::parse)?;
        let limit = limit(self.limit, DEFAULT_GROUPS, MAX_GROUPS)?;
        Ok((Range { from, to, group_by, after: after.transpose()?, limit }, format))
    }
}

fn parse_day(field: &'static str, text: Option<&str>) -> Result<Day, ApiError> {
    let text = text.ok_or_else(|| ApiError::invalid(field, "is required: a calendar day as YYYY-MM-DD"))?;
    text.parse().map_err(|error| ApiError::invalid(field, error))
}

fn parse_grouping(text: &str) -> Result<Grouping, ApiError> {
    let mut by = Grouping::default();
    for word in text.split(',') {
        let named = match word {
            "day" => &mut by.day,
            "app" => &mut by.app,
            "model" => &mut by.model,
            _ => {
                return Err(ApiError::invalid(
                    "group_by",
                    "must be one or more of day, model and app, separated by commas",
                ));
            }
        };
        if std::mem::replace(named, true) {
            return Err(ApiError::invalid("group_by", "must not name anything twice"));
        }
    }
    Ok(by)
}

/// Names of what a grouping groups by, in the order rows are sorted in.
fn grouping_words(by: Grouping) -> Vec<&'static str> {
    [("day", by.day), ("app", by.app), ("model", by.model)]
        .into_iter()
        .filter_map(|(word, named)| named.then_some(word))
        .collect()
}

fn cursor_of(key: &GroupKey) -> String {
    let day = key.day.map(|day| day.to_string()).unwrap_or_default();
    let app = key.app_id.as_ref().map_or("", |app_id| app_id.as_str());
    let model = key.model_label.as_ref().map_or("", |label| label.as_str());
    encode_cursor(&format!("{day}{CURSOR_SEPARATOR}{app}{CURSOR_SEPARATOR}{model}"))
}

/// The key of a cursor; `None` also where it was made under another grouping.
fn parse_key(text: &str, by: Grouping) -> Option<GroupKey> {
    fn part<T: FromStr>(text: &str, named: bool) -> Option<Option<T>> {
        match (named, text.is_empty()) {
            (true, false) => text.parse().ok().map(Some),
            (false, true) => Some(None),
            _ => None,
        }
    }
    let mut parts = text.split(CURSOR_SEPARATOR);
    let key = GroupKey {
        day: part(parts.next()?, by.day)?,
        app_id: part(parts.next()?, by.app)?,
        model_label: part(parts.next()?, by.model)?,
    };
    parts.next().is_none().then_some(key)
}

/// Usage over a range of days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "org_id": "550e8400-e29b-41d4-a716-446655440000",
    "from": "2026-01-22", "to": "2026-01-23", "group_by": ["day", "model"],
    "rows": [
        {"day": "2026-01-22", "model": "premium", "cost_usd_micros": 8_100_000, "requests": 2_150, "errors": 1,
         "unpriced_requests": 0, "input_tokens": 3_600_000, "output_tokens": 1_500_000,
         "cache_read_input_tokens": 800_000, "cache_write_input_tokens": 90_000},
        {"day": "2026-01-23", "model": "premium", "cost_usd_micros": 9_250_000, "requests": 2_460, "errors": 3,
         "unpriced_requests": 0, "input_tokens": 4_100_000, "output_tokens": 1_800_000,
         "cache_read_input_tokens": 900_000, "cache_write_input_tokens": 120_000}
    ],
    "totals": {"cost_usd_micros": 17_350_000, "requests": 4_610, "errors": 4, "unpriced_requests": 0,
               "input_tokens": 7_700_000, "output_tokens": 3_300_000,
               "cache_read_input_tokens": 1_700_000, "cache_write_input_tokens": 210_000},
    "next_cursor": null
}))]
pub struct RangeResponse {
    /// The organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// The application; only in its own view.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "chat")]
    app_id: Option<String>,
    /// First local day, `YYYY-MM-DD`.
    #[schema(format = Date, example = "2026-01-22")]
    from: String,
    /// Last local day, included.
    #[schema(format = Date, example = "2026-01-23")]
    to: String,
    /// What rows are grouped and sorted by, in this order: `day`, `app`, `model`, as far as asked for.
    #[schema(value_type = Vec<String>, example = json!(["day", "model"]))]
    group_by: Vec<&'static str>,
    /// One row for each group with usage.
    rows: Vec<RangeRowBody>,
    /// Totals of the whole range, whatever the page.
    totals: UsageTotals,
    /// Ask again with `cursor` set to this for the rows after these; null on the last page.
    next_cursor: Option<String>,
}

/// Totals of one group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RangeRow)]
pub struct RangeRowBody {
    /// The local day, where grouped by day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date, example = "2026-01-22")]
    day: Option<String>,
    /// The model label, where grouped by model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "premium")]
    model: Option<String>,
    /// The application, where grouped by app.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "chat")]
    app: Option<String>,
    /// Its totals.
    #[serde(flatten)]
    totals: UsageTotals,
}

/// Totals of usage.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageTotals {
    /// Cost in micro-USD, rounded half-up from the exact sum.
    #[schema(example = 8_100_000)]
    cost_usd_micros: u64,
    /// Submissions.
    #[schema(example = 2_150)]
    requests: u64,
    /// Submissions of failed calls; they are among `requests`.
    #[schema(example = 1)]
    errors: u64,
    /// Submissions whose cost nobody knew; they are among `requests` and missing in the cost.
    #[schema(example = 0)]
    unpriced_requests: u64,
    /// Prompt tokens that were neither read from nor written to a cache.
    #[schema(example = 3_600_000)]
    input_tokens: u64,
    /// Generated tokens.
    #[schema(example = 1_500_000)]
    output_tokens: u64,
    /// Prompt tokens read from the cache.
    #[schema(example = 800_000)]
    cache_read_input_tokens: u64,
    /// Prompt tokens written to the cache.
    #[schema(example = 90_000)]
    cache_write_input_tokens: u64,
}

impl From<&Counters> for UsageTotals {
    fn from(counters: &Counters) -> Self {
        Self {
            cost_usd_micros: counters.cost.to_micros_half_up(),
            requests: counters.requests,
            errors: counters.errors,
            unpriced_requests: counters.unpriced_requests,
            input_tokens: counters.input_tokens,
            output_tokens: counters.output_tokens,
            cache_read_input_tokens: counters.cache_read_input_tokens,
            cache_write_input_tokens: counters.cache_write_input_tokens,
        }
    }
}

impl From<RangeRow> for RangeRowBody {
    fn from(row: RangeRow) -> Self {
        Self {
            day: row.key.day.map(String::from),
            model: row.key.model_label.map(String::from),
            app: row.key.app_id.map(String::from),
            totals: UsageTotals::from(&row.counters),
        }
    }
}

impl From<RangePage> for RangeResponse {
    fn from(page: RangePage) -> Self {
        Self {
            org_id: page.scope.org_id.to_string(),
            app_id: page.scope.app_id.map(String::from),
            from: page.from.to_string(),
            to: page.to.to_string(),
            group_by: grouping_words(page.group_by),
            rows: page.rows.into_iter().map(RangeRowBody::from).collect(),
            totals: UsageTotals::from(&page.totals),
            next_cursor: page.next.as_ref().map(cursor_of),
        }
    }
}

async fn answer(state: &ApiState, access: &AggregatesAccess, params: &RangeParams) -> ApiResult<Response> {
    let (range, format) = params.parse()?;
    let page = RangeResponse::from(state.services.range_aggregates(access, range).await?);
    match format {
        Format::Json => Ok(Json(page).into_response()),
        Format::Csv => csv_body::respond(&page),
    }
}

/// Usage of an organization over a range of days
///
/// At most 400 local days, both ends included, by any of `day`, `model` and `app`, for reports and spreadsheets.
/// Rows come sorted by their group and in pages: pass `next_cursor` (of CSV, the `X-Next-Cursor` header) as `cursor`
/// until there is none.
///
/// Groups without usage have no row. `totals` always cover the whole range. Days are final 24 hours after they ended.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/aggregates",
    tag = "Aggregates",
    security(("bearer" = []), ("api_key" = [])),
    params(OrgParam, RangeParams),
    responses(
        (status = 200, description = "A page of rows", headers(
            ("X-Next-Cursor" = String, description = "Of CSV: `cursor` of the next page, if there is one"),
            ("Content-Disposition" = String, description = "With `format=csv`: an attachment and its file name"),
        ), content(
            (RangeResponse = "application/json"),
            (String = "text/csv; charset=utf-8", example = "day,app,cost_usd_micros,requests,errors,\
                unpriced_requests,input_tokens,output_tokens,cache_read_input_tokens,cache_write_input_tokens\n\
                2026-01-22,chat,8100000,2150,1,0,3600000,1500000,800000,90000\n"),
        )),
        CommonErrors, NotFoundError,
    )
)]
pub async fn get_org_aggregates_range(
    State(state): State<ApiState>,
    OrgAggregates(access): OrgAggregates,
    Query(params): Query<RangeParams>,
) -> ApiResult<Response> {
    answer(&state, &access, &params).await
}

/// Usage of an application over a range of days
///
/// At most 400 local days, both ends included, by any of `day` and `model`, for reports and spreadsheets.
/// Rows come sorted by their group and in pages: pass `next_cursor` (of CSV, the `X-Next-Cursor` header) as `cursor`
/// until there is none.
///
/// Groups without usage have no row. `totals` always cover the whole range. Days are final 24 hours after they ended.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/aggregates",
    tag = "Aggregates",
    security(("bearer" = []), ("api_key" = [])),
    params(AppParam, RangeParams),
    responses(
        (status = 200, description = "A page of rows", headers(
            ("X-Next-Cursor" = String, description = "Of CSV: `cursor` of the next page, if there is one"),
            ("Content-Disposition" = String, description = "With `format=csv`: an attachment and its file name"),
        ), content(
            (RangeResponse = "application/json"),
            (String = "text/csv; charset=utf-8", example = "day,model,cost_usd_micros,requests,errors,\
                unpriced_requests,input_tokens,output_tokens,cache_read_input_tokens,cache_write_input_tokens\n\
                2026-01-22,premium,8100000,2150,1,0,3600000,1500000,800000,90000\n"),
        )),
        CommonErrors, NotFoundError,
    )
)]
pub async fn get_app_aggregates_range(
    State(state): State<ApiState>,
    AppAggregates(access): AppAggregates,
    Query(params): Query<RangeParams>,
) -> ApiResult<Response> {
    answer(&state, &access, &params).await
}

#[cfg(test)]
#[path = "aggregates_range_tests.rs"]
mod tests;
