//! `/auth`: tokens issued, refreshed and revoked (RFC 6749 §4.4 and §6, RFC 7009).
//!
//! Bodies are JSON or a form. As RFC 6749 §3.2 asks, unknown parameters are ignored and one without a value counts
//! as omitted; everywhere else in this API an unknown member is refused.

mod presented;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(super) use self::presented::basic;
use self::presented::{Presented, merged, wants_challenge, with_challenge};
use super::ApiResult;
use super::error::ApiError;
use super::extract::{from_json, from_pairs, is_form, is_json, read_body};
use super::rate_limit::Login;
use super::responses::{BodyErrors, CommonErrors};
use super::router::ApiState;
use crate::domain::ids::ClientId;
use crate::service::Services;
use crate::service::access::{Origin, TokenAccess};
use crate::service::tokens::IssuedTokens;

/// RFC 6749 §5.1: answers with tokens are kept nowhere; `Pragma` is for caches of old.
const NO_CACHE: [(HeaderName, &str); 2] = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];

/// A text that is never shown, also not in the refusal of a value of another type.
#[derive(Debug)]
struct Secret(SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text.into())),
            _ => Err(D::Error::custom("must be a string")),
        }
    }
}

/// A token request. Client id and secret may come as HTTP Basic instead, each percent-encoded (RFC 6749 §2.3.1).
#[derive(Debug, Deserialize, ToSchema)]
pub struct TokenRequest {
    /// `client_credentials` or, with a `refresh_token`, `refresh_token`.
    #[schema(value_type = String, pattern = "^(client_credentials|refresh_token)$", example = "client_credentials")]
    grant_type: Option<String>,
    /// `org-{org_id}` or `org-{org_id}-app-{app_id}`. Optional when refreshing; if sent it must be the token's client.
    #[schema(example = "org-550e8400-e29b-41d4-a716-446655440000-app-chat")]
    client_id: Option<String>,
    /// The client's secret. Optional when refreshing; if sent it must be right.
    #[schema(value_type = Option<String>, example = "p0Zk1mYb5N3u0C7cX1m1y2b8rQ9lWm0Vt6kq3dH4aEo=")]
    client_secret: Option<Secret>,
    /// The refresh token, for that grant.
    #[schema(value_type = Option<String>, example = "eyJhbGciOiJIUzI1NiJ9.e30.ZXhhbXBsZQ")]
    refresh_token: Option<Secret>,
}

/// A revocation request.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"token": "eyJhbGciOiJIUzI1NiJ9.e30.ZXhhbXBsZQ", "token_type_hint": "refresh_token"}))]
pub struct RevokeRequest {
    /// The access or refresh token. A refresh token ends with every access token of its session.
    #[schema(value_type = String, example = "eyJhbGciOiJIUzI1NiJ9.e30.ZXhhbXBsZQ")]
    token: Option<Secret>,
    /// `access_token` or `refresh_token`. Not needed: tokens say what they are, so it is ignored.
    #[serde(rename = "token_type_hint")]
    #[schema(example = "refresh_token")]
    _token_type_hint: Option<String>,
}

/// Issued tokens.
#[derive(Serialize, ToSchema)]
pub struct TokenResponse {
    /// Presented as `Authorization: Bearer …` with each call.
    #[schema(example = "eyJhbGciOiJIUzI1NiJ9.e30.ZXhhbXBsZQ")]
    access_token: String,
    /// Exchanged for further access tokens. Absent where one was used to get here: it stays good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "eyJhbGciOiJIUzI1NiJ9.e30.ZXhhbXBsZQ")]
    refresh_token: Option<String>,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds the access token lives.
    #[schema(example = 3600)]
    expires_in: i64,
    /// Seconds the refresh token lives; absent with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 604_800)]
    refresh_expires_in: Option<i64>,
    /// What the token reaches: an organization, or one application of it.
    #[schema(example = "org:550e8400-e29b-41d4-a716-446655440000 app:chat")]
    scope: String,
}

impl From<IssuedTokens> for TokenResponse {
    fn from(issued: IssuedTokens) -> Self {
        Self {
            access_token: issued.access_token.expose_secret().to_owned(),
            refresh_expires_in: issued.refresh_token.is_some().then_some(issued.refresh_expires_in),
            refresh_token: issued.refresh_token.map(|token| token.expose_secret().to_owned()),
            token_type: "Bearer",
            expires_in: issued.expires_in,
            scope: issued.scope,
        }
    }
}

/// An error as an OAuth2 client expects it.
fn oauth(error: ApiError) -> ApiError {
    error.oauth().with_header(header::PRAGMA, HeaderValue::from_static("no-cache"))
}

/// An authorization argument whose refusals are written the OAuth2 way.
#[derive(Debug)]
pub struct OAuth<A>(pub A);

impl<A: FromRequestParts<ApiState, Rejection = ApiError>> FromRequestParts<ApiState> for OAuth<A> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        A::from_request_parts(parts, state).await.map(Self).map_err(oauth)
    }
}

/// A JSON or form body whose refusals are written the OAuth2 way. A parameter that stands twice is refused.
#[derive(Debug)]
pub struct OAuthBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<ApiState> for OAuthBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        read_params(request, state).await.map(Self).map_err(oauth)
    }
}

async fn read_params<T: DeserializeOwned>(request: Request, state: &ApiState) -> Result<T, ApiError> {
    let (form, json) = (is_form(request.headers()), is_json(request.headers()));
    if !form && !json {
        let mut error = ApiError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        "the body must be application/json or application/x-www-form-urlencoded".clone_into(&mut error.message);
        return Err(error);
    }
    let body = read_body(request, state).await?;
    if form { from_pairs(&body, "body") } else { params_from_json(&body) }
}

fn params_from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Said here because the parser's own refusal would repeat a bare string, which may be a secret.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::invalid("body", "must be a JSON object"));
    }
    from_json(body)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    ClientCredentials,
    RefreshToken,
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn given_secret(secret: Option<Secret>) -> Option<SecretString> {
    secret.map(|Secret(secret)| secret).filter(|secret| !secret.expose_secret().is_empty())
}

fn grant_of(word: Option<&str>) -> Result<Grant, ApiError> {
    match word {
        Some("client_credentials") => Ok(Grant::ClientCredentials),
        Some("refresh_token") => Ok(Grant::RefreshToken),
        Some("") | None => Err(ApiError::invalid("grant_type", "is missing")),
        Some(_) => Err(ApiError::invalid("grant_type", "must be client_credentials or refresh_token")),
    }
}

async fn by_client_credentials(services: &Services, client: &Presented, origin: &Origin) -> ApiResult<IssuedTokens> {
    let (Some(client_id), Some(secret)) = (&client.client_id, &client.secret) else {
        return Err(ApiError::unauthorized(
            "client authentication is missing: send client_id and client_secret in the body or as HTTP Basic",
        ));
    };
    Ok(services.issue_tokens(client_id, secret, origin).await?)
}

async fn by_refresh_token(
    services: &Services,
    token: Option<SecretString>,
    client: &Presented,
    origin: &Origin,
) -> ApiResult<IssuedTokens> {
    let token = token.ok_or_else(|| ApiError::invalid("refresh_token", "is missing"))?;
    let credentials = match (&client.client_id, &client.secret) {
        (Some(client_id), Some(secret)) => Some((client_id.as_str(), secret)),
        (None, Some(_)) => return Err(ApiError::unauthorized("client_secret was sent without client_id")),
        (_, None) => None,
    };
    let issued = services.refresh_tokens(&token, credentials, origin).await?;
    // An id alone proves nothing and is not needed, but one that contradicts the token is a mistake to report.
    if let (Some(client_id), None) = (&client.client_id, &client.secret) {
        let identity = services.verify_access_token(issued.access_token.expose_secret()).await?;
        if client_id.parse::<ClientId>().ok().as_ref() != identity.client_id() {
            return Err(ApiError::unauthorized("the refresh token belongs to another client"));
        }
    }
    Ok(issued)
}

async fn answer(
    services: &Services,
    login: &Login,
    headers: &HeaderMap,
    request: TokenRequest,
    grant: Grant,
) -> ApiResult<Issued> {
    let body = Presented { client_id: given(request.client_id), secret: given_secret(request.client_secret) };
    let refresh_token = given_secret(request.refresh_token);
    let presented = basic(headers).and_then(|basic| merged(basic, body));
    let claimed = presented.as_ref().ok().and_then(|client| client.client_id.clone());
    let named_by_token = async {
        match (grant, &claimed, &refresh_token) {
            (Grant::RefreshToken, None, Some(token)) => services.client_of(token).await,
            _ => None,
        }
    };
    let issue = async {
        let client = presented?;
        match grant {
            Grant::ClientCredentials => by_client_credentials(services, &client, &login.origin).await,
            Grant::RefreshToken => by_refresh_token(services, refresh_token.clone(), &client, &login.origin).await,
        }
    };
    let client_id = claimed.as_deref().and_then(|claimed| claimed.parse().ok());
    let issued = login.tried(services, client_id, named_by_token, issue).await;
    issued
        .map(|issued| (NO_CACHE, Json(issued.into())))
        .map_err(|error| with_challenge(error, wants_challenge(headers)))
}

type Issued = ([(HeaderName, &'static str); 2], Json<TokenResponse>);

/// Get tokens for client credentials, or refresh them
///
/// Client id and secret stand in the body (JSON or form) or in HTTP Basic. Unknown parameters are ignored (RFC 6749).
#[utoipa::path(
    post,
    path = "/auth/token",
    tag = "Tokens",
    security(()),
    request_body(content(
        (TokenRequest = "application/json", example = json!({
            "grant_type": "client_credentials",
            "client_id": "org-550e8400-e29b-41d4-a716-446655440000-app-chat",
            "client_secret": "p0Zk1mYb5N3u0C7cX1m1y2b8rQ9lWm0Vt6kq3dH4aEo=",
        })),
        (TokenRequest = "application/x-www-form-urlencoded", example = json!({
            "grant_type": "client_credentials",
            "client_id": "org-550e8400-e29b-41d4-a716-446655440000-app-chat",
            "client_secret": "p0Zk1mYb5N3u0C7cX1m1y2b8rQ9lWm0Vt6kq3dH4aEo=",
        })),
    )),
    responses(
        (status = 200, description = "The tokens", body = TokenResponse,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        CommonErrors, BodyErrors,
    )
)]
pub async fn post_token(
    State(state): State<ApiState>,
    login: Login,
    headers: HeaderMap,
    OAuthBody(request): OAuthBody<TokenRequest>,
) -> ApiResult<Issued> {
    let grant = grant_of(request.grant_type.as_deref()).map_err(oauth)?;
    answer(&state.services, &login, &headers, request, grant).await.map_err(oauth)
}

/// Get another access token of the same session
///
/// Needs no client authentication; client credentials that are sent must be right and the token's. The refresh token
/// stays good until it expires or is revoked.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    tag = "Tokens",
    security(()),
    request_body(content(
        (TokenRequest = "application/json", example = json!({
            "grant_type": "refresh_token",
            "refresh_token": "eyJhbGciOiJIUzI1NiJ9.e30.ZXhhbXBsZQ",
        })),
        (TokenRequest = "application/x-www-form-urlencoded", example = json!({
            "grant_type": "refresh_token",
            "refresh_token": "eyJhbGciOiJIUzI1NiJ9.e30.ZXhhbXBsZQ",
        })),
    )),
    responses(
        (status = 200, description = "The access token", body = TokenResponse,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        CommonErrors, BodyErrors,
    )
)]
pub async fn post_refresh(
    State(state): State<ApiState>,
    login: Login,
    headers: HeaderMap,
    OAuthBody(request): OAuthBody<TokenRequest>,
) -> ApiResult<Issued> {
    match grant_of(request.grant_type.as_deref()).map_err(oauth)? {
        Grant::ClientCredentials => Err(oauth(ApiError::invalid("grant_type", "must be refresh_token here"))),
        grant @ Grant::RefreshToken => answer(&state.services, &login, &headers, request, grant).await.map_err(oauth),
    }
}

/// Revoke one of the caller's own tokens
///
/// An access token ends by itself, a refresh token with every access token of its session. Revoking an unknown or
/// expired token succeeds, another client's is refused (403).
#[utoipa::path(
    post,
    path = "/auth/revoke",
    tag = "Tokens",
    security(("bearer" = [])),
    request_body(content(
        (RevokeRequest = "application/json"),
        (RevokeRequest = "application/x-www-form-urlencoded"),
    )),
    responses((status = 204, description = "The token is good no more"), CommonErrors, BodyErrors)
)]
pub async fn post_revoke(
    State(state): State<ApiState>,
    OAuth(access): OAuth<TokenAccess>,
    OAuthBody(request): OAuthBody<RevokeRequest>,
) -> ApiResult<StatusCode> {
    let token = given_secret(request.token).ok_or_else(|| oauth(ApiError::invalid("token", "is missing")))?;
    state.services.revoke_token(&access, &token).await.map_err(|error| oauth(error.into()))?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests;
