//! Authorization as handler arguments: each access type of the service layer is an extractor.
//!
//! Order of refusals: 401 before anything about the request is said, then 400 for a malformed path or a query where
//! there is none, then 403, whether or not the target exists.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::client_address::client_address;
use super::error::ApiError;
use super::extract::path_param;
use super::middleware::RequestId;
use super::router::ApiState;
use super::{rate_limit, unexpected_query};
use crate::domain::ids::{AppId, ModelLabel, OrgId, Scope};
use crate::service::access::{
    AggregatesAccess, Caller, CatalogAccess, Origin, ProfileReadAccess, ProfileWriteAccess, ProvisioningAccess,
    SelectionAccess, TokenAccess, UsageAccess,
};

/// Header of the provisioning key.
pub const API_KEY_HEADER: &str = "x-api-key";

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where a request came from.
fn origin(parts: &Parts, state: &ApiState) -> Origin {
    // Every request has an id: the outermost middleware gives it one.
    let request_id = parts.extensions.get::<RequestId>().map(|RequestId(id)| id.clone()).unwrap_or_default();
    Origin { request_id, address: client_address(parts, state) }
}

impl FromRequestParts<ApiState> for Origin {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        Ok(origin(parts, state))
    }
}

/// Verifies whatever credentials the request carries and counts it against its caller's limit; what it asks for is looked
/// at only then.
async fn authenticate(parts: &Parts, state: &ApiState) -> Result<Caller, ApiError> {
    let caller = verify(parts, state).await?;
    rate_limit::check(parts, state, caller.identity()).await?;
    unexpected_query::refuse(parts)?;
    Ok(caller)
}

/// Refuses several keys, or several tokens: none of them counts, because a proxy in between may have looked at another.
///
/// # Errors
/// 401.
pub(super) fn refuse_several(headers: &HeaderMap) -> Result<(), ApiError> {
    let several = |name: &str| headers.get_all(name).iter().nth(1).is_some();
    if several(API_KEY_HEADER) {
        return Err(ApiError::unauthorized("X-API-Key must stand once"));
    }
    if several(header::AUTHORIZATION.as_str()) {
        return Err(ApiError::unauthorized("Authorization must stand once"));
    }
    Ok(())
}

/// A provisioning key wins over a token.
async fn verify(parts: &Parts, state: &ApiState) -> Result<Caller, ApiError> {
    refuse_several(&parts.headers)?;
    if let Some(key) = parts.headers.get(API_KEY_HEADER) {
        // A key that is no text is as wrong as any other.
        let key = key.to_str().unwrap_or_default();
        let counted = rate_limit::Counted::of(parts);
        return rate_limit::administrator(&state.services, key, origin(parts, state), &counted).await;
    }
    let token = bearer_token(&parts.headers).ok_or_else(|| {
        ApiError::unauthorized(
            "send an access token as 'Authorization: Bearer …' or a provisioning key as 'X-API-Key: …'",
        )
    })?;
    Ok(Caller::new(state.services.verify_access_token(token).await?, origin(parts, state)))
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
