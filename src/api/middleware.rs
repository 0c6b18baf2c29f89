//! What happens around every request: its id, the error envelope, security headers, a log line and metrics.

use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

use super::error::{ApiError, ErrorResponse};
use super::instant;
use super::rate_limit::Counted;
use super::router::ApiState;

/// Header of the request id.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Headers of a bare answer that an error keeps.
const KEPT_HEADERS: [HeaderName; 4] = [header::ALLOW, header::WWW_AUTHENTICATE, header::RETRY_AFTER, header::VARY];
/// Longest request id that is taken over from a caller.
const MAX_REQUEST_ID_LEN: usize = 128;

/// Marks an answer with an error status whose body is its own and not the error envelope.
#[derive(Debug, Clone, Copy)]
pub struct OwnBody;

/// A method by a name of ours. A caller may invent methods, and what it invents must not become a metric label: each
/// would be kept for ever.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// The id of a request: the caller's, or one made here.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

fn request_id(request: &Request, state: &ApiState) -> String {
    let sent = request.headers().get(&REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
    if let Some(sent) = sent
        && (1..=MAX_REQUEST_ID_LEN).contains(&sent.len())
        && sent.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return sent.to_owned();
    }
    // Without randomness the id is the nil UUID: an answer without a unique id beats no answer.
    state.services.random.uuid().unwrap_or_default().to_string()
}

/// Outermost middleware: gives the request its id, runs it, turns every error into the common form and logs it.
pub async fn envelope(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request, &state);
    request.extensions_mut().insert(RequestId(id.clone()));
    let counted = Counted::default();
    request.extensions_mut().insert(counted.clone());
    let method = method_name(request.method());
    // The template, never the raw path: it is bounded and carries no tenant's or attacker's text.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", |path| path.as_str()).to_owned();
    let span = tracing::info_span!("request", request_id = %id, method, route);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status();
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => Some(error),
        None if response.extensions().get::<OwnBody>().is_some() => None,
        None if status.is_client_error() || status.is_server_error() => Some(ApiError::of_status(status)),
        None => None,
    };
    if let Some(error) = error {
        let answered = std::mem::take(response.headers_mut());
        response = render(&state, &error, &id);
        // What the server itself answered with (the methods a path takes, say); the error's own headers are set.
        for (name, value) in &answered {
            if KEPT_HEADERS.contains(name) && !response.headers().contains_key(name) {
                response.headers_mut().append(name, value.clone());
            }
        }
    }
    counted.write(response.headers_mut(), state.services.now());
    carry_what_every_answer_does(&mut response, &id);

    let elapsed = started.elapsed();
    let status = response.status();
    metrics::histogram!(
        "http_request_duration_seconds",
        "method" => method, "route" => route, "status" => status.as_str().to_owned()
    )
    .record(elapsed.as_secs_f64());
    span.in_scope(|| {
        tracing::debug!(status = status.as_u16(), elapsed_ms = elapsed.as_millis(), "request finished");
    });
    response
}

/// Answers what could not be read as a request, and so never had a route, in the form of every other error.
pub fn reject(state: &ApiState, status: StatusCode) -> Response {
    let id = state.services.random.uuid().unwrap_or_default().to_string();
    let mut response = render(state, &ApiError::of_status(status), &id);
    carry_what_every_answer_does(&mut response, &id);
    tracing::debug!(request_id = %id, status = status.as_u16(), "what arrived is no request");
    response
}

fn carry_what_every_answer_does(response: &mut Response, request_id: &str) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID_HEADER, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// An error as an answer.
fn render(state: &ApiState, error: &ApiError, request_id: &str) -> Response {
    let now = state.services.now();
    let body = ErrorResponse {
        error: error.code.to_owned(),
        message: error.message.clone(),
        details: error.details.clone(),
        retry_after: error.retry_after.clone(),
        error_description: error.oauth.then(|| error.message.clone()),
        timestamp: instant(now),
        request_id: request_id.to_owned(),
    };
    let mut response = (error.status, Json(body)).into_response();
    response.headers_mut().extend(error.headers.as_ref().clone());
    if let Some(at) = error.retry_after.as_ref().and_then(|at| at.as_str()?.parse::<jiff::Timestamp>().ok()) {
        // The header has seconds: rounded up, so that a client that waits exactly so long is not early.
        let millis = at.as_millisecond().saturating_sub(now.as_millisecond()).max(0);
        let secs = u64::try_from(millis).unwrap_or(0).div_ceil(1000);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}
