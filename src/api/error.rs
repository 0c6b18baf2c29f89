//! The error envelope, and the only place that maps a service's refusal to an HTTP status and code.
//!
//! A handler answers [`ApiError`]; the [`envelope`](super::middleware::envelope) middleware writes the body, because
//! only there the request id and the clock are at hand, and because answers of the server itself (unknown path,
//! time-out, too large a body) must have the same form.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::clock::truncate_to_millis;
use crate::domain::ids::ModelLabel;
use crate::domain::tenant::InvalidConfig;
use crate::service::error::{QuotaExceeded, ServiceError};

/// Seconds a client should wait after 503 when nothing better is known: long enough for a store to come back from a
/// short stall, short enough to stay near real time.
const RETRY_AFTER_UNAVAILABLE_SECS: u64 = 1;

/// Body of every error.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorResponse {
    /// Machine-readable code.
    #[schema(example = "INVALID_REQUEST")]
    pub error: String,
    /// For a person.
    #[schema(example = "model_label: must be 1 to 50 lower-case letters, digits, '_' or '-', starting with a letter")]
    pub message: String,
    /// What helps to mend it; `field` names the offending part of the request.
    #[schema(value_type = Object, example = json!({"field": "model_label"}))]
    pub details: Value,
    /// Of a 429: when to come back, an instant (`QUOTA_EXCEEDED`) or seconds (`RATE_LIMIT_EXCEEDED`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RetryAfter>)]
    pub retry_after: Option<Value>,
    /// Of the token endpoints: the message again, where OAuth2 clients look for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    /// When, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    pub timestamp: String,
    /// Also in the `X-Request-Id` header.
    #[schema(example = "0f8fad5b-d9cb-469f-a165-70867728950e")]
    pub request_id: String,
}

/// When to come back: an instant, RFC 3339 UTC, or a number of seconds.
#[derive(ToSchema)]
#[schema(example = "2026-01-24T05:00:00Z")]
#[serde(untagged)]
#[allow(dead_code, reason = "exists for the document")]
enum RetryAfter {
    /// The instant.
    Instant(String),
    /// Seconds from now.
    Seconds(u64),
}

/// An error on its way to the caller.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Machine-readable code.
    pub code: &'static str,
    /// For a person.
    pub message: String,
    /// What helps to mend it.
    pub details: Value,
    /// Of a 429: when to come back.
    pub retry_after: Option<Value>,
    /// Whether the body also says it the OAuth2 way.
    pub oauth: bool,
    /// Further headers.
    pub headers: Box<HeaderMap>,
}

impl ApiError {
    /// An error without details.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: json!({}),
            retry_after: None,
            oauth: false,
            headers: Box::default(),
        }
    }

    /// 400 `INVALID_REQUEST`, naming the field.
    pub fn invalid(field: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        let field = field.into();
        let mut error = Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", format!("{field}: {reason}"));
        error.details = json!({ "field": field });
        error
    }

    /// 401 with the scheme a client is expected to use.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 503, to be repeated soon.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message)
            .with_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_UNAVAILABLE_SECS))
    }

    /// The error for a status that the server itself answered.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "NOT_FOUND", "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "METHOD_NOT_ALLOWED", "this path does not take this method")
            }
            StatusCode::REQUEST_TIMEOUT => Self::new(status, "REQUEST_TIMEOUT", "the request took too long"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(status, "PAYLOAD_TOO_LARGE", "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(status, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json")
            }
            StatusCode::SERVICE_UNAVAILABLE => Self::unavailable("the service is not available now"),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => {
                Self::new(status, "INVALID_REQUEST", "the header of the request is too large")
            }
            status if status.is_client_error() => {
                Self::new(status, "INVALID_REQUEST", "the request could not be understood")
            }
            status => Self::new(status, "INTERNAL_ERROR", INTERNAL_MESSAGE),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// Says it the OAuth2 way too.
    #[must_use]
    pub fn oauth(mut self) -> Self {
        self.oauth = true;
        self
    }
}

const INTERNAL_MESSAGE: &str = "an internal error occurred; the request id helps to find it in the log";

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        match error {
            ServiceError::InvalidRequest { field, reason } => Self::invalid(field, reason),
            ServiceError::OutsideWindow(window) => {
                Self::invalid("timestamp", format!("must lie between {} and {}", window.from, window.to)).with_details(
                    json!({
                        "field": "timestamp",
                        "accepted_from": window.from.to_string(),
                        "accepted_to": window.to.to_string(),
                    }),
                )
            }
            ServiceError::InvalidConfig(InvalidConfig { field, .. }) => {
                Self::new(StatusCode::BAD_REQUEST, "INVALID_CONFIG", message).with_details(json!({ "field": field }))
            }
            ServiceError::InvalidModelLabel { configured, .. } => {
                let labels: Vec<_> = configured.iter().map(ModelLabel::as_str).collect();
                Self::new(StatusCode::BAD_REQUEST, "INVALID_MODEL_LABEL", message)
                    .with_details(json!({ "field": "model_label", "configured_labels": labels }))
            }
            ServiceError::Unauthorized(_) => Self::unauthorized(message),
            ServiceError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message),
            ServiceError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message),
            ServiceError::AlreadyExists(_) => Self::new(StatusCode::CONFLICT, "ALREADY_EXISTS", message),
            ServiceError::Conflict { field, .. } => {
                let details = field.map_or_else(|| json!({}), |field| json!({ "field": field }));
                Self::new(StatusCode::CONFLICT, "CONFLICT", message).with_details(details)
            }
            ServiceError::IdempotencyConflict => Self::new(StatusCode::CONFLICT, "IDEMPOTENCY_CONFLICT", message)
                .with_details(json!({ "field": "request_id" })),
            ServiceError::QuotaExceeded(exceeded) => Self::quota_exceeded(&exceeded, message),
            ServiceError::Unavailable(reason) => {
                tracing::warn!(%reason, "request refused: unavailable");
                Self::unavailable("the service cannot do this now; nothing was changed, repeat the request")
            }
            ServiceError::Internal(reason) => {
                tracing::error!(?reason, "request failed: internal error");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", INTERNAL_MESSAGE)
            }
        }
    }
}

impl ApiError {
    fn quota_exceeded(exceeded: &QuotaExceeded, message: String) -> Self {
        let models: serde_json::Map<String, Value> = exceeded
            .models
            .iter()
            .map(|(label, pct)| (label.to_string(), json!({ "quota_pct": pct.as_f64(), "exceeded": true })))
            .collect();
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "QUOTA_EXCEEDED", message).with_details(json!({
            "org_id": exceeded.org_id.to_string(),
            "app_id": exceeded.app_id.as_str(),
            "date": exceeded.date.to_string(),
            "models": models,
            "total_overage_usd_micros": exceeded.total_overage.to_micros_half_up(),
        }));
        error.retry_after = Some(json!(truncate_to_millis(exceeded.retry_after).to_string()));
        error
    }
}
