//! The fallback state of a day: shown, set by hand and cleared.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{AppPath, OrgPath};
use super::config_view::QuotaScopeWord;
use super::error::ErrorResponse;
use super::extract::Json as JsonBody;
use super::params::{AppParam, OrgParam};
use super::responses::{BodyErrors, CommonErrors, LabelErrors, NotFoundError};
use super::router::ApiState;
use super::{ApiResult, instant};
use crate::domain::ids::{ModelLabel, Scope};
use crate::domain::selection::Reason;
use crate::service::access::ProvisioningAccess;
use crate::service::fallback::ActiveFallback;

/// A manual override.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model_label": "standard"}))]
pub struct SetFallbackRequest {
    /// The label to start from for the rest of the local day: any label of the ordering in effect, earlier ones too.
    #[schema(value_type = String, example = "standard")]
    pub model_label: ModelLabel,
}

/// Where the fallback of a scope stands today.
#[derive(Debug, Serialize, ToSchema)]
pub struct FallbackResponse {
    /// Who shares it: the whole organization, or one application.
    #[schema(example = "APP")]
    pub scope: QuotaScopeWord,
    /// The organization's local day it holds for, `YYYY-MM-DD`.
    #[schema(example = "2026-01-23")]
    pub date: String,
    /// The label in force.
    #[schema(example = "standard")]
    pub active_model_label: String,
    /// Its index in the ordering in effect, from 0.
    #[schema(example = 1)]
    pub active_model_index: usize,
    /// The label that was left.
    #[schema(example = "premium")]
    pub previous_model_label: String,
    /// Why: `QUOTA_EXCEEDED_<LABEL>` or `MANUAL_OVERRIDE`.
    #[schema(example = "QUOTA_EXCEEDED_PREMIUM")]
    pub reason: String,
    /// Since when, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    pub activated_at: String,
    /// The local midnight that ends it, RFC 3339 UTC.
    #[schema(example = "2026-01-24T05:00:00Z")]
    pub expires_at: String,
}

impl From<ActiveFallback> for FallbackResponse {
    fn from(active: ActiveFallback) -> Self {
        Self {
            scope: active.quota_scope.into(),
            date: active.day.to_string(),
            active_model_label: active.state.model_label.to_string(),
            active_model_index: active.index,
            previous_model_label: active.state.previous_model_label.to_string(),
            reason: Reason::from(&active.state.reason).to_string(),
            activated_at: instant(active.state.activated_at),
            expires_at: instant(active.expires_at),
        }
    }
}

/// Show today's fallback of an organization
///
/// For organizations whose applications share one quota (`quota_scope` `ORG`). 404 where the chain has not moved.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/fallback",
    tag = "Fallback",
    security(("api_key" = [])),
    params(OrgParam),
    responses(
        (status = 200, description = "The state in force", body = FallbackResponse),
        CommonErrors, NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: with `quota_scope` `APP` each application has its own"),
    )
)]
pub async fn get_org_fallback(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
) -> ApiResult<Json<FallbackResponse>> {
    Ok(Json(state.services.get_fallback(&access, &Scope::org(org_id)).await?.into()))
}

/// Set today's fallback of an organization by hand
///
/// Holds until local midnight. Unlike automatic moves it may go backwards. Idempotent.
#[utoipa::path(
    put,
    path = "/orgs/{org_id}/fallback",
    tag = "Fallback",
    security(("api_key" = [])),
    params(OrgParam),
    request_body = SetFallbackRequest,
    responses(
        (status = 200, description = "The state in force", body = FallbackResponse),
        CommonErrors, LabelErrors, BodyErrors, NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: with `quota_scope` `APP` each application has its own; or fallbacks do not \
                           stick here"),
    )
)]
pub async fn put_org_fallback(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
    JsonBody(request): JsonBody<SetFallbackRequest>,
) -> ApiResult<Json<FallbackResponse>> {
    Ok(Json(state.services.set_fallback(&access, &Scope::org(org_id), &request.model_label).await?.into()))
}

/// Clear today's fallback of an organization
///
/// The next check starts at the first label again. Idempotent.
#[utoipa::path(
    delete,
    path = "/orgs/{org_id}/fallback",
    tag = "Fallback",
    security(("api_key" = [])),
    params(OrgParam),
    responses(
        (status = 204, description = "There is no state now"),
        CommonErrors, NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: with `quota_scope` `APP` each application has its own"),
    )
)]
pub async fn delete_org_fallback(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
) -> ApiResult<StatusCode> {
    state.services.clear_fallback(&access, &Scope::org(org_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Show today's fallback of an application
///
/// For organizations whose applications have their own quotas (`quota_scope` `APP`). 404 where the chain has not
/// moved.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/fallback",
    tag = "Fallback",
    security(("api_key" = [])),
    params(AppParam),
    responses(
        (status = 200, description = "The state in force", body = FallbackResponse),
        CommonErrors, NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: with `quota_scope` `ORG` the organization has one; the message names its path"),
    )
)]
pub async fn get_app_fallback(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
) -> ApiResult<Json<FallbackResponse>> {
    Ok(Json(state.services.get_fallback(&access, &Scope::app(org_id, app_id)).await?.into()))
}

/// Set today's fallback of an application by hand
///
/// Holds until local midnight. Unlike automatic moves it may go backwards. Idempotent.
#[utoipa::path(
    put,
    path = "/orgs/{org_id}/apps/{app_id}/fallback",
    tag = "Fallback",
    security(("api_key" = [])),
    params(AppParam),
    request_body = SetFallbackRequest,
    responses(
        (status = 200, description = "The state in force", body = FallbackResponse),
        CommonErrors, LabelErrors, BodyErrors, NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: with `quota_scope` `ORG` the organization has one, and the message names its \
                           path; or fallbacks do not stick here"),
    )
)]
pub async fn put_app_fallback(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
    JsonBody(request): JsonBody<SetFallbackRequest>,
) -> ApiResult<Json<FallbackResponse>> {
    let scope = Scope::app(org_id, app_id);
    Ok(Json(state.services.set_fallback(&access, &scope, &request.model_label).await?.into()))
}

/// Clear today's fallback of an application
///
/// The next check starts at the first label again. Idempotent.
#[utoipa::path(
    delete,
    path = "/orgs/{org_id}/apps/{app_id}/fallback",
    tag = "Fallback",
    security(("api_key" = [])),
    params(AppParam),
    responses(
        (status = 204, description = "There is no state now"),
        CommonErrors, NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: with `quota_scope` `ORG` the organization has one; the message names its path"),
    )
)]
pub async fn delete_app_fallback(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
) -> ApiResult<StatusCode> {
    state.services.clear_fallback(&access, &Scope::app(org_id, app_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
