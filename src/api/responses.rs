//! Error answers shared by many routes, for the OpenAPI document.

use utoipa::IntoResponses;

use super::error::ErrorResponse;

/// What every route under `/api/v1` may answer.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "exists for the document")]
pub enum CommonErrors {
    /// `INVALID_REQUEST`: path, query or body is malformed; `details.field` names it.
    #[response(status = 400)]
    BadRequest(ErrorResponse),
    /// `UNAUTHORIZED`: credentials are missing, malformed, expired or revoked.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "The scheme to use: `Bearer`")))]
    Unauthorized(ErrorResponse),
    /// `FORBIDDEN`: good credentials that do not reach this resource, whether or not it exists.
    #[response(status = 403)]
    Forbidden(ErrorResponse),
    /// `REQUEST_TIMEOUT`: the request took longer than the server allows.
    #[response(status = 408)]
    RequestTimeout(ErrorResponse),
    /// `RATE_LIMIT_EXCEEDED`: the caller sent too many requests of this kind. `retry_after` has the seconds to wait.
    #[response(status = 429, headers(
        ("Retry-After" = u64, description = "Seconds to wait before repeating"),
        ("X-RateLimit-Limit" = u64, description = "Requests allowed in a minute; like the other three on every limited answer"),
        ("X-RateLimit-Remaining" = u64, description = "Requests left now"),
        ("X-RateLimit-Reset" = u64, description = "When all are there again, in seconds since the epoch"),
        ("X-RateLimit-ClientId" = String, description = "Who is counted: a client id, or `key:` and a provisioning key's id"),
    ))]
    RateLimited(ErrorResponse),
    /// `INTERNAL_ERROR`: a fault of the service; the request id helps to find it in the log.
    #[response(status = 500)]
    Internal(ErrorResponse),
    /// `SERVICE_UNAVAILABLE`: cannot be done now; nothing was changed. Repeat after `Retry-After` seconds.
    #[response(status = 503, headers(("Retry-After" = u64, description = "Seconds to wait before repeating")))]
    Unavailable(ErrorResponse),
}

/// What routes that take a configuration answer instead of the plain 400. Stands after [`CommonErrors`] in a list of
/// responses, because the last one of a status counts.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "exists for the document")]
pub enum ConfigErrors {
    /// `INVALID_REQUEST`: path, query or body is malformed. `INVALID_CONFIG`: well-formed but impossible, such as an
    /// unknown label, a label without a quota or a number out of range. `details.field` names the place.
    #[response(status = 400)]
    Invalid(ErrorResponse),
}

/// What routes that take a model label answer instead of the plain 400. Stands after [`CommonErrors`] likewise.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "exists for the document")]
pub enum LabelErrors {
    /// `INVALID_REQUEST`: path, query or body is malformed or out of range; `details.field` names it.
    /// `INVALID_MODEL_LABEL`: the label is not configured here; `details.configured_labels` lists those that are.
    #[response(status = 400)]
    Invalid(ErrorResponse),
}

/// What every route with a JSON body may answer besides.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "exists for the document")]
pub enum BodyErrors {
    /// `PAYLOAD_TOO_LARGE`: the body exceeds the limit (1 MiB by default).
    #[response(status = 413)]
    TooLarge(ErrorResponse),
    /// `UNSUPPORTED_MEDIA_TYPE`: the body is not declared as JSON.
    #[response(status = 415)]
    MediaType(ErrorResponse),
}

/// The organization or application is not registered.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "exists for the document")]
pub enum NotFoundError {
    /// `NOT_FOUND`: not registered, or nothing there.
    #[response(status = 404)]
    NotFound(ErrorResponse),
}
