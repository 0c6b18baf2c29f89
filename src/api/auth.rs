//! Authorization as handler arguments: each access type of the service layer is an extractor.
//!
//! Order of refusals: 401 before anything about the path is said, then 400 for a malformed path, then 403, whether or
//! not the target exists.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::error::ApiError;
use super::extract::path_param;
use super::router::ApiState;
use crate::domain::ids::{AppId, ModelLabel, OrgId, Scope};
use crate::service::access::{
    AggregatesAccess, Caller, CatalogAccess, ProfileReadAccess, ProfileWriteAccess, ProvisioningAccess,
    SelectionAccess, TokenAccess, UsageAccess,
};

/// Header of the provisioning key.
pub const API_KEY_HEADER: &str = "x-api-key";

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Verifies whatever credentials the request carries. A provisioning key wins over a token.
async fn authenticate(parts: &Parts, state: &ApiState) -> Result<Caller, ApiError> {
    if let Some(key) = parts.headers.get(API_KEY_HEADER) {
        return key
            .to_str()
            .ok()
            .and_then(|key| state.services.provisioning_keys.verify(key))
            .ok_or_else(|| ApiError::unauthorized("the provisioning key in X-API-Key is not valid"));
    }
    let token = bearer_token(&parts.headers).ok_or_else(|| {
        ApiError::unauthorized(
            "send an access token as 'Authorization: Bearer …' or a provisioning key as 'X-API-Key: …'",
        )
    })?;
    Ok(state.services.verify_access_token(token).await?)
}

async fn app_path(parts: &mut Parts, state: &ApiState) -> Result<(OrgId, AppId), ApiError> {
    Ok((path_param(parts, state, "org_id").await?, path_param(parts, state, "app_id").await?))
}

impl FromRequestParts<ApiState> for ProvisioningAccess {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Ok(authenticate(parts, state).await?.provisioning()?)
    }
}

impl FromRequestParts<ApiState> for SelectionAccess {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = authenticate(parts, state).await?;
        let (org_id, app_id) = app_path(parts, state).await?;
        Ok(caller.selection(org_id, app_id)?)
    }
}

impl FromRequestParts<ApiState> for UsageAccess {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = authenticate(parts, state).await?;
        let (org_id, app_id) = app_path(parts, state).await?;
        Ok(caller.usage(org_id, app_id)?)
    }
}

impl FromRequestParts<ApiState> for ProfileReadAccess {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = authenticate(parts, state).await?;
        let (org_id, app_id) = app_path(parts, state).await?;
        Ok(caller.read_profiles(org_id, app_id)?)
    }
}

impl FromRequestParts<ApiState> for ProfileWriteAccess {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = authenticate(parts, state).await?;
        let (org_id, app_id) = app_path(parts, state).await?;
        Ok(caller.write_profiles(org_id, app_id)?)
    }
}

/// The label of an inference profile a path names. Extracted after the access to it.
#[derive(Debug, Clone)]
pub struct ProfileLabelPath(pub ModelLabel);

impl FromRequestParts<ApiState> for ProfileLabelPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        path_param(parts, state, "profile_label").await.map(Self)
    }
}

/// May read an organization's spend (the path names no application).
#[derive(Debug)]
pub struct OrgAggregates(pub AggregatesAccess);

impl FromRequestParts<ApiState> for OrgAggregates {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = authenticate(parts, state).await?;
        let org_id = path_param(parts, state, "org_id").await?;
        Ok(Self(caller.aggregates(Scope::org(org_id))?))
    }
}

/// May read an application's spend.
#[derive(Debug)]
pub struct AppAggregates(pub AggregatesAccess);

impl FromRequestParts<ApiState> for AppAggregates {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = authenticate(parts, state).await?;
        let (org_id, app_id) = app_path(parts, state).await?;
        Ok(Self(caller.aggregates(Scope::app(org_id, app_id))?))
    }
}

impl FromRequestParts<ApiState> for CatalogAccess {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Ok(authenticate(parts, state).await?.catalog()?)
    }
}

impl FromRequestParts<ApiState> for TokenAccess {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Ok(authenticate(parts, state).await?.own_tokens()?)
    }
}

/// The organization a provisioning path names. Extracted after [`ProvisioningAccess`].
#[derive(Debug, Clone, Copy)]
pub struct OrgPath(pub OrgId);

impl FromRequestParts<ApiState> for OrgPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        path_param(parts, state, "org_id").await.map(Self)
    }
}

/// The application a provisioning path names. Extracted after [`ProvisioningAccess`].
#[derive(Debug, Clone)]
pub struct AppPath(pub OrgId, pub AppId);

impl FromRequestParts<ApiState> for AppPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let (org_id, app_id) = app_path(parts, state).await?;
        Ok(Self(org_id, app_id))
    }
}
