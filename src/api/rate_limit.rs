//! Rate limits over HTTP: which route belongs to which group, the headers of answers, and 429.
//!
//! A request is counted once its caller is known, before anything else is done for it. What came of it lies in the
//! request's [`Counted`] until the outermost middleware writes it into the answer, so that every answer has it,
//! whatever else goes wrong.

pub mod groups;
mod logins;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;

use self::groups::RouteLimit;
pub use self::logins::Login;
pub(super) use self::logins::administrator;
use super::error::ApiError;
use super::router::ApiState;
use crate::domain::rate_limits::RateLimitGroup;
use crate::service::access::Identity;
use crate::service::rate_limits::{Standing, Subject};

/// Requests allowed in a minute.
pub const LIMIT_HEADER: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// Requests that are left now.
pub const REMAINING_HEADER: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// When all of them are there again, in seconds since the epoch.
pub const RESET_HEADER: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// Who was counted: a client id, or `key:` and the id of a provisioning key.
pub const CLIENT_ID_HEADER: HeaderName = HeaderName::from_static("x-ratelimit-clientid");

/// What came of counting a request. Goes with the request as an extension.
#[derive(Debug, Clone, Default)]
pub struct Counted(Arc<OnceLock<(Standing, Option<Subject>)>>);

impl Counted {
    /// Of a request. Every one has it: the outermost middleware gives it one.
    pub(super) fn of(parts: &Parts) -> Self {
        parts.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    fn set(&self, standing: Standing, subject: Option<Subject>) {
        // A request is counted once; of two counts the first one would stand.
        let _ = self.0.set((standing, subject));
    }

    /// Writes the headers of a request that was counted.
    pub(super) fn write(&self, headers: &mut HeaderMap, now: Timestamp) {
        let Some((standing, subject)) = self.0.get() else { return };
        headers.insert(LIMIT_HEADER, standing.limit.into());
        headers.insert(REMAINING_HEADER, standing.remaining.into());
        headers.insert(RESET_HEADER, reset(now, standing.full_in).into());
        if let Some(subject) = subject.as_ref().and_then(|subject| HeaderValue::from_str(&subject.to_string()).ok()) {
            headers.insert(CLIENT_ID_HEADER, subject);
        }
    }
}

impl FromRequestParts<ApiState> for Counted {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// Seconds since the epoch, rounded up.
fn reset(now: Timestamp, full_in: Duration) -> i64 {
    let now = i128::from(now.as_millisecond()) * 1_000_000;
    let full = now.saturating_add_unsigned(full_in.as_nanos());
    let up = i128::from(full.rem_euclid(1_000_000_000) > 0);
    i64::try_from(full.div_euclid(1_000_000_000) + up).unwrap_or(i64::MAX)
}

/// Counts a request of a caller whose credentials were verified.
///
/// # Errors
/// 429 where its limit is reached.
pub(super) async fn check(parts: &Parts, state: &ApiState, identity: &Identity) -> Result<(), ApiError> {
    let Some(limiter) = &state.services.rate_limiter else { return Ok(()) };
    let path = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let group = match groups::of(&parts.method, path) {
        Some(RouteLimit::Unlimited) => return Ok(()),
        Some(RouteLimit::Group(group)) => group,
        // A test rules it out. A route that was forgotten should rather be limited than not.
        None => RateLimitGroup::Provisioning,
    };
    let subject = Subject::from(identity);
    let standing = limiter.check(group, subject.clone()).await;
    Counted::of(parts).set(standing, Some(subject));
    match standing.retry_in {
        None => Ok(()),
        Some(retry_in) => Err(exceeded(retry_in, "too many requests of this kind; wait before sending another")),
    }
}

/// 429 with the time to wait, in whole seconds: rounded up, so that whoever waits exactly so long is not early.
fn exceeded(retry_in: Duration, message: &str) -> ApiError {
    let secs = retry_in.as_secs().saturating_add(u64::from(retry_in.subsec_nanos() > 0)).max(1);
    let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message)
        .with_header(header::RETRY_AFTER, HeaderValue::from(secs));
    error.retry_after = Some(json!(secs));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        assert_eq!(reset(at(5_000), Duration::ZERO), 5);
        assert_eq!(reset(at(5_000), Duration::from_nanos(1)), 6);
        assert_eq!(reset(at(5_001), Duration::from_millis(999)), 6);
        assert_eq!(reset(at(5_001), Duration::from_secs(60)), 66);
        for (wait, secs) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (6_000, 6)] {
            let error = exceeded(Duration::from_millis(wait), "");
            assert_eq!(error.retry_after, Some(json!(secs)));
            assert_eq!(error.headers[header::RETRY_AFTER], secs.to_string());
        }
    }
}
