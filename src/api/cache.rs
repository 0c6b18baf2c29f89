//! Conditional answers: weak `ETag`, `If-None-Match`, `Cache-Control` and the age of totals.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::ApiError;
use crate::service::crypto::sha256;

/// How old totals may be, in seconds.
pub const DATA_LAG_HEADER: HeaderName = HeaderName::from_static("x-data-lag-secs");

/// A cacheable answer. `identity` is what decides whether it changed: the body without the members that change with
/// every request (such as the instant of the check).
///
/// # Errors
/// 500 where the body cannot be written as JSON, which it can.
pub fn cacheable<T: Serialize, I: Serialize>(
    request_headers: &HeaderMap,
    body: &T,
    identity: &I,
    max_age_secs: u32,
    data_lag_secs: u64,
) -> Result<Response, ApiError> {
    let canonical = serde_json::to_vec(identity).map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    let tag: String = sha256(&canonical).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("W/\"{tag}\"");
    let mut response = if is_known(request_headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(body).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, value);
    }
    if let Ok(value) = HeaderValue::from_str(&format!("private, max-age={max_age_secs}")) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    // The answer depends on who asks; a private cache must not serve one caller's to another.
    headers.insert(header::VARY, HeaderValue::from_static("authorization, x-api-key"));
    headers.insert(DATA_LAG_HEADER, HeaderValue::from(data_lag_secs));
    Ok(response)
}

/// Weak comparison (RFC 9110 §8.8.3.2) with each tag of `If-None-Match`, or `*`.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|candidate| candidate == "*" || candidate.trim_start_matches("W/").trim_matches('"') == tag)
}
