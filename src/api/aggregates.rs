//! Spend of a day against its quotas, for an organization or one application.

mod response;

use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiResult;
use super::auth::{AppAggregates, OrgAggregates};
use super::cache::cacheable;
use super::error::ApiError;
use super::extract::{Query, path_param};
use super::params::{AppParam, OrgParam};
use super::responses::{CommonErrors, NotFoundError};
use super::router::ApiState;
use crate::domain::calendar::Day;
use crate::domain::ids::InvalidId;
use crate::service::access::AggregatesAccess;
use crate::service::aggregates::RequestedDay;

pub use self::response::{AppAggregatesBody, DayAggregatesResponse, LabelAggregatesBody, MonthAggregatesBody};

/// Seconds an answer may be kept: totals are near real time, and a dashboard need not ask more often.
const MAX_AGE_SECS: u32 = 30;

/// Options of a day.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DayQuery {
    /// `true` asks for totals that no cache has aged, of the day and of its month, and for an answer that no cache
    /// keeps. Default `false`.
    #[serde(default)]
    #[param(example = false)]
    pub force_check: bool,
}

/// The local day a path names.
#[derive(Debug, Clone, Copy)]
pub struct DatePath(Day);

/// A day as a path parameter.
struct DateParam(Day);

impl std::str::FromStr for DateParam {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse()
            .map(Self)
            .map_err(|_| InvalidId { what: "date", expected: "a calendar day as YYYY-MM-DD, or today" })
    }
}

impl FromRequestParts<ApiState> for DatePath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let DateParam(day) = path_param(parts, state, "date").await?;
        Ok(Self(day))
    }
}

async fn answer(
    state: &ApiState,
    access: &AggregatesAccess,
    day: RequestedDay,
    query: &DayQuery,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    let day = state.services.day_aggregates(access, day, query.force_check).await?;
    let data_lag_secs = day.data_lag_secs;
    let body = DayAggregatesResponse::from(day);
    // An answer to somebody who wants the latest must not serve whoever asks the same again.
    let max_age_secs = if query.force_check { 0 } else { MAX_AGE_SECS };
    // Nothing in the body changes by itself, so all of it decides whether the answer is a new one.
    cacheable(headers, &body, &body, max_age_secs, data_lag_secs)
}

/// Today's spend of an organization
///
/// By model label and by application, against the quotas in effect: the organization's own with `quota_scope` `ORG`,
/// else by label the sum over its registered applications.
///
/// "Today" is the local day of the organization's time zone. A day without usage answers zeros. Looking never moves a
/// fallback. Send the `ETag` back in `If-None-Match` to be told that nothing changed.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/aggregates/today",
    tag = "Aggregates",
    security(("bearer" = []), ("api_key" = [])),
    params(
        OrgParam,
        DayQuery,
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The day", body = DayAggregatesResponse, headers(
            ("Cache-Control" = String, description = "`private, max-age=30`; `max-age=0` with `force_check`"),
            ("ETag" = String, description = "Changes when anything in the body does"),
            ("X-Data-Lag-Secs" = u64, description = "How old the totals may be, in seconds"),
        )),
        (status = 304, description = "Nothing changed since the answer whose `ETag` is in `If-None-Match`"),
        CommonErrors, NotFoundError,
    )
)]
pub async fn get_org_aggregates_today(
    State(state): State<ApiState>,
    OrgAggregates(access): OrgAggregates,
    Query(query): Query<DayQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    answer(&state, &access, RequestedDay::Today, &query, &headers).await
}

/// Spend of an organization on a day
///
/// By model label and by application, against the quotas in effect: the organization's own with `quota_scope` `ORG`,
/// else by label the sum over its registered applications.
///
/// The day is local to the organization's time zone. A past day is final 24 hours after it ended; one without usage is
/// 404, one in the future 400. Quotas are those in effect now, and `month` is the day's month so far.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/aggregates/{date}",
    tag = "Aggregates",
    security(("bearer" = []), ("api_key" = [])),
    params(
        OrgParam,
        ("date" = String, Path, format = Date, description = "Local day, `YYYY-MM-DD`",
            example = "2026-01-23"),
        DayQuery,
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The day", body = DayAggregatesResponse, headers(
            ("Cache-Control" = String, description = "`private, max-age=30`; `max-age=0` with `force_check`"),
            ("ETag" = String, description = "Changes when anything in the body does"),
            ("X-Data-Lag-Secs" = u64, description = "How old the totals may be, in seconds"),
        )),
        (status = 304, description = "Nothing changed since the answer whose `ETag` is in `If-None-Match`"),
        CommonErrors, NotFoundError,
    )
)]
pub async fn get_org_aggregates_of_day(
    State(state): State<ApiState>,
    OrgAggregates(access): OrgAggregates,
    DatePath(day): DatePath,
    Query(query): Query<DayQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    answer(&state, &access, RequestedDay::On(day), &query, &headers).await
}

/// Today's spend of an application
///
/// By model label, against the quotas in effect for it: its own with `quota_scope` `APP`, else the organization's,
/// which it shares with other applications (`quota_shared`); spend is always its own.
///
/// "Today" is the local day of the organization's time zone. A day without usage answers zeros. Looking never moves a
/// fallback. Send the `ETag` back in `If-None-Match` to be told that nothing changed.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/aggregates/today",
    tag = "Aggregates",
    security(("bearer" = []), ("api_key" = [])),
    params(
        AppParam,
        DayQuery,
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The day", body = DayAggregatesResponse, headers(
            ("Cache-Control" = String, description = "`private, max-age=30`; `max-age=0` with `force_check`"),
            ("ETag" = String, description = "Changes when anything in the body does"),
            ("X-Data-Lag-Secs" = u64, description = "How old the totals may be, in seconds"),
        )),
        (status = 304, description = "Nothing changed since the answer whose `ETag` is in `If-None-Match`"),
        CommonErrors, NotFoundError,
    )
)]
pub async fn get_app_aggregates_today(
    State(state): State<ApiState>,
    AppAggregates(access): AppAggregates,
    Query(query): Query<DayQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    answer(&state, &access, RequestedDay::Today, &query, &headers).await
}

/// Spend of an application on a day
///
/// By model label, against the quotas in effect for it: its own with `quota_scope` `APP`, else the organization's,
/// which it shares with other applications (`quota_shared`); spend is always its own.
///
/// The day is local to the organization's time zone. A past day is final 24 hours after it ended; one without usage is
/// 404, one in the future 400. Quotas are those in effect now, and `month` is the day's month so far.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/aggregates/{date}",
    tag = "Aggregates",
    security(("bearer" = []), ("api_key" = [])),
    params(
        AppParam,
        ("date" = String, Path, format = Date, description = "Local day, `YYYY-MM-DD`",
            example = "2026-01-23"),
        DayQuery,
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The day", body = DayAggregatesResponse, headers(
            ("Cache-Control" = String, description = "`private, max-age=30`; `max-age=0` with `force_check`"),
            ("ETag" = String, description = "Changes when anything in the body does"),
            ("X-Data-Lag-Secs" = u64, description = "How old the totals may be, in seconds"),
        )),
        (status = 304, description = "Nothing changed since the answer whose `ETag` is in `If-None-Match`"),
        CommonErrors, NotFoundError,
    )
)]
pub async fn get_app_aggregates_of_day(
    State(state): State<ApiState>,
    AppAggregates(access): AppAggregates,
    DatePath(day): DatePath,
    Query(query): Query<DayQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    answer(&state, &access, RequestedDay::On(day), &query, &headers).await
}
