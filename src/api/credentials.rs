//! Client secrets: rotated, retrieved once, and all tokens of a client ended.

use std::fmt;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{AppPath, OrgPath};
use super::error::{ApiError, ErrorResponse};
use super::extract::{OptionalJson, Query};
use super::params::{AppParam, OrgParam};
use super::responses::{BodyErrors, CommonErrors, ConfigErrors, NotFoundError};
use super::router::ApiState;
use super::words::word;
use super::{ApiResult, instant};
use crate::domain::ids::Scope;
use crate::service::access::ProvisioningAccess;
use crate::service::credentials::{DeliveredSecret, IssuedCredentials, SecretDelivery};

/// No cache may keep an answer that carries a secret or what leads to one.
const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// What goes with a secret that is shown once.
const RETRIEVED_NOTE: &str = "store this secret now: it cannot be retrieved again, only rotated";

/// How a new client secret is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ToSchema)]
#[schema(rename_all = "lowercase", example = "token")]
pub enum SecretDeliveryWord {
    /// As a one-time token that retrieves it.
    #[default]
    Token,
    /// In the answer itself.
    Inline,
}

impl<'de> Deserialize<'de> for SecretDeliveryWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, &[("token", Self::Token), ("inline", Self::Inline)])
    }
}

impl From<SecretDeliveryWord> for SecretDelivery {
    fn from(word: SecretDeliveryWord) -> Self {
        match word {
            SecretDeliveryWord::Token => Self::Token,
            SecretDeliveryWord::Inline => Self::Inline,
        }
    }
}

/// Where a new secret can be fetched, once.
#[derive(Clone, Serialize, ToSchema)]
pub struct SecretRetrieval {
    /// Absolute path that answers the secret; fetching it needs the provisioning key.
    #[schema(example = "/api/v1/orgs/550e8400-e29b-41d4-a716-446655440000/credentials/secret\
        ?token=q5dVtZ0v3nq0X2bq6oT1y8wq0mJm5v2m9Jc1rYw7uXk")]
    pub url: String,
    /// The one-time token, as it stands in `url`.
    #[schema(example = "q5dVtZ0v3nq0X2bq6oT1y8wq0mJm5v2m9Jc1rYw7uXk")]
    pub token: String,
    /// From this instant on the token no longer works, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:40:45.123Z")]
    pub expires_at: String,
}

impl fmt::Debug for SecretRetrieval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretRetrieval").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A client and its new secret: exactly one of `client_secret` and `secret_retrieval` is there.
#[derive(Clone, Serialize, ToSchema)]
pub struct CredentialsResponse {
    /// The OAuth2 client: `org-{org_id}` or `org-{org_id}-app-{app_id}`. It never changes.
    #[schema(example = "org-550e8400-e29b-41d4-a716-446655440000")]
    pub client_id: String,
    /// The secret (32 random bytes, base64), with `secret_delivery: "inline"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "p0Zk1mYb5N3u0C7cX1m1y2b8rQ9lWm0Vt6kq3dH4aEo=")]
    pub client_secret: Option<String>,
    /// How to retrieve the secret, with `secret_delivery: "token"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_retrieval: Option<SecretRetrieval>,
}

impl fmt::Debug for CredentialsResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsResponse").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Absolute path of a scope's resources.
fn scope_path(scope: &Scope) -> String {
    match &scope.app_id {
        None => format!("/api/v1/orgs/{}", scope.org_id),
        Some(app_id) => format!("/api/v1/orgs/{}/apps/{app_id}", scope.org_id),
    }
}

impl CredentialsResponse {
    /// Issued credentials as they go to the administrator.
    #[must_use]
    pub fn from_issued(issued: &IssuedCredentials) -> Self {
        let client_id = issued.client_id.to_string();
        match &issued.secret {
            DeliveredSecret::Inline(secret) => {
                Self { client_id, client_secret: Some(secret.expose_secret().to_owned()), secret_retrieval: None }
            }
            DeliveredSecret::Retrieval { token, expires_at } => {
                // Base64url and ids alike stand in a URL as they are.
                let token = token.expose_secret().to_owned();
                let url = format!("{}/credentials/secret?token={token}", scope_path(&issued.client_id.0));
                let retrieval = SecretRetrieval { url, token, expires_at: instant(*expires_at) };
                Self { client_id, client_secret: None, secret_retrieval: Some(retrieval) }
            }
        }
    }
}

/// How to rotate a secret. The whole body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"grace_period_hours": 24, "secret_delivery": "token"}))]
pub struct RotateSecretRequest {
    /// Hours the old secret keeps working, 0–168; default 24.
    #[schema(minimum = 0, maximum = 168, example = 24)]
    pub grace_period_hours: Option<i64>,
    /// How the new secret is delivered; default `token`.
    pub secret_delivery: Option<SecretDeliveryWord>,
}

/// When the old secret ends.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotationResponse {
    /// When the new secret came into force, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    pub rotated_at: String,
    /// From this instant on the old secret no longer works, RFC 3339 UTC.
    #[schema(example = "2026-01-24T15:30:45.123Z")]
    pub old_secret_expires_at: String,
    /// Hours between the two.
    #[schema(example = 24)]
    pub grace_period_hours: i64,
}

/// A rotated secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotateSecretResponse {
    /// The organization.
    #[schema(example = "550e8400-e29b-41d4-a716-446655440000")]
    pub org_id: String,
    /// The application; absent for an organization's client.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "chat")]
    pub app_id: Option<String>,
    /// The client and its new secret.
    #[serde(flatten)]
    pub credentials: CredentialsResponse,
    /// When the old secret ends.
    pub rotation: RotationResponse,
}

/// Which secret to retrieve.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SecretQuery {
    /// The one-time token from `secret_retrieval`; works once, for ten minutes.
    #[param(example = "q5dVtZ0v3nq0X2bq6oT1y8wq0mJm5v2m9Jc1rYw7uXk")]
    token: String,
}

impl fmt::Debug for SecretQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretQuery(redacted)")
    }
}

/// A secret, shown once.
#[derive(Serialize, ToSchema)]
pub struct RetrievedSecretResponse {
    /// The OAuth2 client.
    #[schema(example = "org-550e8400-e29b-41d4-a716-446655440000")]
    pub client_id: String,
    /// Its secret (32 random bytes, base64).
    #[schema(example = "p0Zk1mYb5N3u0C7cX1m1y2b8rQ9lWm0Vt6kq3dH4aEo=")]
    pub client_secret: String,
    /// When it was retrieved, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:31:00.000Z")]
    pub retrieved_at: String,
    /// For a person.
    #[schema(example = "store this secret now: it cannot be retrieved again, only rotated")]
    pub note: String,
}

type Unstored<T> = ([(HeaderName, &'static str); 1], Json<T>);

async fn rotate(
    state: &ApiState,
    access: &ProvisioningAccess,
    scope: &Scope,
    request: Option<RotateSecretRequest>,
) -> ApiResult<Unstored<RotateSecretResponse>> {
    let request = request.unwrap_or_default();
    let delivery = request.secret_delivery.unwrap_or_default().into();
    let rotation = state.services.rotate_secret(access, scope, request.grace_period_hours, delivery).await?;
    let response = RotateSecretResponse {
        org_id: scope.org_id.to_string(),
        app_id: scope.app_id.as_ref().map(ToString::to_string),
        credentials: CredentialsResponse::from_issued(&rotation.issued),
        rotation: RotationResponse {
            rotated_at: instant(rotation.rotated_at),
            old_secret_expires_at: instant(rotation.old_secret_expires_at),
            grace_period_hours: rotation.grace_period_hours,
        },
    };
    Ok((NO_STORE, Json(response)))
}

async fn retrieve(
    state: &ApiState,
    access: &ProvisioningAccess,
    scope: &Scope,
    query: SecretQuery,
    method: &Method,
) -> ApiResult<Unstored<RetrievedSecretResponse>> {
    // The router passes HEAD to GET handlers, which here would use the token up and drop the secret.
    if method == Method::HEAD {
        let allowed = HeaderValue::from_static("GET");
        return Err(ApiError::of_status(StatusCode::METHOD_NOT_ALLOWED).with_header(header::ALLOW, allowed));
    }
    let (client_id, secret) = state.services.retrieve_secret(access, scope, &query.token.into()).await?;
    let response = RetrievedSecretResponse {
        client_id: client_id.to_string(),
        client_secret: secret.expose_secret().to_owned(),
        retrieved_at: instant(state.services.now()),
        note: RETRIEVED_NOTE.to_owned(),
    };
    Ok((NO_STORE, Json(response)))
}

/// Rotate an organization's client secret
///
/// The client id stays. The old secret keeps working for the grace period; one from an earlier rotation ends at once.
/// Tokens already issued stay good: use `revoke-tokens` to end them.
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/credentials/rotate",
    tag = "Credentials",
    security(("api_key" = [])),
    params(OrgParam),
    request_body(content = Option<RotateSecretRequest>, description = "May be left out"),
    responses(
        (status = 200, description = "The new secret, or how to retrieve it", body = RotateSecretResponse),
        CommonErrors, ConfigErrors, BodyErrors, NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: another request changed the credential; nothing was issued"),
    )
)]
pub async fn rotate_org_secret(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
    OptionalJson(request): OptionalJson<Option<RotateSecretRequest>>,
) -> ApiResult<Unstored<RotateSecretResponse>> {
    rotate(&state, &access, &Scope::org(org_id), request).await
}

/// Rotate an application's client secret
///
/// The client id stays. The old secret keeps working for the grace period; one from an earlier rotation ends at once.
/// Tokens already issued stay good: use `revoke-tokens` to end them.
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/apps/{app_id}/credentials/rotate",
    tag = "Credentials",
    security(("api_key" = [])),
    params(AppParam),
    request_body(content = Option<RotateSecretRequest>, description = "May be left out"),
    responses(
        (status = 200, description = "The new secret, or how to retrieve it", body = RotateSecretResponse),
        CommonErrors, ConfigErrors, BodyErrors, NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: another request changed the credential; nothing was issued"),
    )
)]
pub async fn rotate_app_secret(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
    OptionalJson(request): OptionalJson<Option<RotateSecretRequest>>,
) -> ApiResult<Unstored<RotateSecretResponse>> {
    rotate(&state, &access, &Scope::app(org_id, app_id), request).await
}

/// Retrieve an organization's new client secret, once
///
/// 401 where the token is unknown or expired, 404 where it was used before. Of concurrent requests exactly one gets
/// the secret.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/credentials/secret",
    tag = "Credentials",
    security(("api_key" = [])),
    params(OrgParam, SecretQuery),
    responses(
        (status = 200, description = "The secret", body = RetrievedSecretResponse,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        CommonErrors, NotFoundError,
    )
)]
pub async fn retrieve_org_secret(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
    Query(query): Query<SecretQuery>,
    method: Method,
) -> ApiResult<Unstored<RetrievedSecretResponse>> {
    retrieve(&state, &access, &Scope::org(org_id), query, &method).await
}

/// Retrieve an application's new client secret, once
///
/// 401 where the token is unknown or expired, 404 where it was used before. Of concurrent requests exactly one gets
/// the secret.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/credentials/secret",
    tag = "Credentials",
    security(("api_key" = [])),
    params(AppParam, SecretQuery),
    responses(
        (status = 200, description = "The secret", body = RetrievedSecretResponse,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        CommonErrors, NotFoundError,
    )
)]
pub async fn retrieve_app_secret(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
    Query(query): Query<SecretQuery>,
    method: Method,
) -> ApiResult<Unstored<RetrievedSecretResponse>> {
    retrieve(&state, &access, &Scope::app(org_id, app_id), query, &method).await
}

/// End every token of an organization's client
///
/// Access and refresh tokens issued before now stop working, on every instance within 5 s. The secret stays good.
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/credentials/revoke-tokens",
    tag = "Credentials",
    security(("api_key" = [])),
    params(OrgParam),
    responses((status = 204, description = "All tokens ended"), CommonErrors, NotFoundError)
)]
pub async fn revoke_org_tokens(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
) -> ApiResult<StatusCode> {
    state.services.revoke_all_tokens(&access, &Scope::org(org_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End every token of an application's client
///
/// Access and refresh tokens issued before now stop working, on every instance within 5 s. The secret stays good.
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/apps/{app_id}/credentials/revoke-tokens",
    tag = "Credentials",
    security(("api_key" = [])),
    params(AppParam),
    responses((status = 204, description = "All tokens ended"), CommonErrors, NotFoundError)
)]
pub async fn revoke_app_tokens(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
) -> ApiResult<StatusCode> {
    state.services.revoke_all_tokens(&access, &Scope::app(org_id, app_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
