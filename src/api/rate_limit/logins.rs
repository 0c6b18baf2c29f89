//! Requests that present what nobody verified yet: logins, and provisioning keys.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::groups::{self, RouteLimit};
use super::{Counted, exceeded};
use crate::api::ApiResult;
use crate::api::error::ApiError;
use crate::api::router::ApiState;
use crate::domain::audit::AuditAction;
use crate::domain::ids::ClientId;
use crate::domain::rate_limits::RateLimitGroup;
use crate::service::Services;
use crate::service::access::{Caller, Origin};
use crate::service::rate_limits::{Subject, Throttled};

const TOO_MANY_LOGINS: &str = "too many token requests of this client; keep tokens while they are good";

/// A login: a request for tokens. Its failures are counted, and it is one of its client's requests.
#[derive(Debug)]
pub struct Login {
    counted: Counted,
    group: RateLimitGroup,
    /// Where it came from.
    pub(in crate::api) origin: Origin,
}

impl FromRequestParts<ApiState> for Login {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        let path = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        let group = match groups::of(&parts.method, path) {
            Some(RouteLimit::Group(group)) => group,
            Some(RouteLimit::Unlimited) | None => RateLimitGroup::Token,
        };
        Ok(Self { counted: Counted::of(parts), group, origin: Origin::from_request_parts(parts, state).await? })
    }
}

impl Login {
    /// Lets a login be tried where neither its address nor its client failed too often, and the client did not log in too
    /// often. Who the client is, is what it claims, or else what `otherwise` finds out. A login that is refused with 401
    /// failed.
    ///
    /// Until it succeeds nothing depends on whether there is such a client: failures have limits of their own, the same
    /// for every id, and are told by those. Only one that succeeds counts as a request of its client, or whoever knows
    /// an id could use up its requests.
    ///
    /// # Errors
    /// 429, or what the login itself answers.
    pub(in crate::api) async fn tried<T>(
        &self,
        services: &Services,
        claimed: Option<ClientId>,
        otherwise: impl Future<Output = Option<ClientId>> + Send,
        login: impl Future<Output = ApiResult<T>> + Send,
    ) -> ApiResult<T> {
        let Some(limiter) = &services.rate_limiter else { return login.await };
        let from = limiter.login_from(self.origin.address).await;
        let mut attempt = from.map_err(|throttled| self.throttled(services, throttled, claimed.as_ref()))?;
        let client_id = match claimed {
            Some(client_id) => Some(client_id),
            None => otherwise.await,
        };
        let subject = client_id.clone().map(Subject::Client);
        if let (Some(client_id), Some(subject)) = (&client_id, &subject) {
            let tried = limiter.login_as(attempt, client_id).await;
            attempt = tried.map_err(|throttled| self.throttled(services, throttled, Some(client_id)))?;
            let standing = limiter.look(self.group, subject.clone()).await;
            if let Some(retry_in) = standing.retry_in {
                attempt.did_not_fail();
                self.counted.set(standing, Some(subject.clone()));
                return Err(exceeded(retry_in, TOO_MANY_LOGINS));
            }
        }
        let answer = login.await;
        let failures = match &answer {
            Err(error) if error.status == StatusCode::UNAUTHORIZED => attempt.failed(),
            Ok(_) | Err(_) => attempt.did_not_fail(),
        };
        if let (Ok(_), Some(subject)) = (&answer, &subject) {
            let standing = limiter.check(self.group, subject.clone()).await;
            self.counted.set(standing, Some(subject.clone()));
            // Of many at once the limit may be reached only now; then nobody gets the tokens.
            return standing.retry_in.map_or(answer, |retry_in| Err(exceeded(retry_in, TOO_MANY_LOGINS)));
        }
        if let Some(failures) = failures {
            self.counted.set(failures, subject);
        }
        answer
    }

    fn throttled(&self, services: &Services, throttled: Throttled, claimed: Option<&ClientId>) -> ApiError {
        if throttled.is_news {
            services.audit_refusal(AuditAction::LoginThrottled, claimed, &self.origin);
        }
        self.counted.set(throttled.standing, claimed.cloned().map(Subject::Client));
        let retry_in = throttled.standing.retry_in.unwrap_or_default();
        exceeded(retry_in, "too many failed logins; wait before trying again")
    }
}

/// The administrator behind a provisioning key, where not too many wrong ones came from the same address.
///
/// # Errors
/// 401 for a wrong key, 429 after too many of them.
pub(in crate::api) async fn administrator(
    services: &Services,
    presented: &str,
    origin: Origin,
    counted: &Counted,
) -> ApiResult<Caller> {
    let Some(limiter) = &services.rate_limiter else { return Ok(services.administrator(presented, origin)?) };
    let attempt = limiter.key_from(origin.address).await.map_err(|throttled| {
        if throttled.is_news {
            tracing::warn!(address = origin.address.map(tracing::field::display), "too many wrong provisioning keys");
        }
        counted.set(throttled.standing, None);
        let retry_in = throttled.standing.retry_in.unwrap_or_default();
        exceeded(retry_in, "too many wrong provisioning keys came from this address; wait before trying again")
    })?;
    let caller = services.administrator(presented, origin)?;
    attempt.did_not_fail();
    Ok(caller)
}
