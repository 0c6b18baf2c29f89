//! Metrics in Prometheus text form.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;

use super::ApiResult;
use super::auth::API_KEY_HEADER;
use super::error::{ApiError, ErrorResponse};
use super::rate_limit::{Counted, administrator};
use super::router::ApiState;
use crate::service::access::Origin;
use crate::service::crypto::sha256;

/// Media type of the text form.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics
///
/// Prometheus text. On this listener it needs the metrics key (as `Authorization: Bearer` or `X-API-Key`) where one is
/// configured, else a provisioning key. With `metrics.listen` it moves to a listener of its own.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Service",
    security(("api_key" = [])),
    responses(
        (status = 200, description = "Metrics", body = String, content_type = "text/plain"),
        (status = 401, description = "`UNAUTHORIZED`: the key is missing or wrong", body = ErrorResponse),
        (status = 429, body = ErrorResponse,
            description = "`RATE_LIMIT_EXCEEDED`: too many wrong provisioning keys came from the caller's address",
            headers(("Retry-After" = u64, description = "Seconds to wait before repeating"))),
        (status = 404, description = "`NOT_FOUND`: metrics have a listener of their own", body = ErrorResponse),
    ),
)]
pub async fn get_metrics(
    State(state): State<ApiState>,
    origin: Origin,
    counted: Counted,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let metrics = state
        .metrics
        .as_ref()
        .filter(|_| state.settings.metrics_here)
        .ok_or_else(|| ApiError::of_status(StatusCode::NOT_FOUND))?;
    super::auth::refuse_several(&headers)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = super::auth::bearer_token(&headers);
    let presented = text(API_KEY_HEADER).or(bearer).ok_or_else(|| ApiError::unauthorized("a key is needed"))?;
    let allowed = match &state.settings.metrics_key {
        // Digests, so that neither length nor prefix of the key shows in the time a comparison takes.
        Some(key) => {
            verify_slices_are_equal(&sha256(key.expose_secret().as_bytes()), &sha256(presented.as_bytes())).is_ok()
        }
        None => match administrator(&state.services, presented, origin, &counted).await {
            Err(error) if error.status == StatusCode::TOO_MANY_REQUESTS => return Err(error),
            found => found.is_ok(),
        },
    };
    if !allowed {
        return Err(ApiError::unauthorized("the key is not valid"));
    }
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render()).into_response())
}
