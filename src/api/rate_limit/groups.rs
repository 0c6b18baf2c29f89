//! Which route shares a limit with which others. A test goes through the OpenAPI document and finds a route that is
//! missing here.

use axum::http::Method;

use crate::domain::rate_limits::RateLimitGroup;

/// How a route is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteLimit {
    /// Together with the others of the group.
    Group(RateLimitGroup),
    /// Not at all: it tells whether the service works, or what it is, and costs next to nothing.
    Unlimited,
}

/// How a route is limited, by its method and path template.
#[must_use]
pub fn of(method: &Method, path: &str) -> Option<RouteLimit> {
    // The router passes HEAD to the handlers of GET.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let group = match (method.as_str(), path) {
        ("GET", "/" | "/health" | "/livez" | "/readyz" | "/metrics" | "/openapi.json" | "/.well-known/jwks.json") => {
            return Some(RouteLimit::Unlimited);
        }
        ("POST", "/auth/token") => RateLimitGroup::Token,
        ("POST", "/auth/refresh") => RateLimitGroup::Refresh,
        ("POST", "/auth/revoke") => RateLimitGroup::Revoke,
        _ => of_v1(method.as_str(), path.strip_prefix("/api/v1")?)?,
    };
    Some(RouteLimit::Group(group))
}

fn of_v1(method: &str, path: &str) -> Option<RateLimitGroup> {
    Some(match (method, path) {
        (
            "GET" | "PUT" | "DELETE",
            "/orgs/{org_id}"
            | "/orgs/{org_id}/apps/{app_id}"
            | "/orgs/{org_id}/fallback"
            | "/orgs/{org_id}/apps/{app_id}/fallback",
        )
        | (
            "GET",
            "/orgs"
            | "/orgs/{org_id}/apps"
            | "/orgs/{org_id}/config"
            | "/orgs/{org_id}/apps/{app_id}/config"
            | "/orgs/{org_id}/credentials/secret"
            | "/orgs/{org_id}/apps/{app_id}/credentials/secret"
            | "/audit",
        )
        | ("POST", "/config/import" | "/reprice" | "/orgs/{org_id}/apps/{app_id}/inference-profiles")
        | ("DELETE", "/orgs/{org_id}/apps/{app_id}/inference-profiles/{profile_label}") => RateLimitGroup::Provisioning,
        (
            "POST",
            "/orgs/{org_id}/credentials/rotate"
            | "/orgs/{org_id}/credentials/revoke-tokens"
            | "/orgs/{org_id}/apps/{app_id}/credentials/rotate"
            | "/orgs/{org_id}/apps/{app_id}/credentials/revoke-tokens",
        ) => RateLimitGroup::Rotation,
        (
            "GET",
            "/orgs/{org_id}/aggregates"
            | "/orgs/{org_id}/aggregates/today"
            | "/orgs/{org_id}/aggregates/{date}"
            | "/orgs/{org_id}/apps/{app_id}/aggregates"
            | "/orgs/{org_id}/apps/{app_id}/aggregates/today"
            | "/orgs/{org_id}/apps/{app_id}/aggregates/{date}",
        ) => RateLimitGroup::Aggregates,
        (
            "GET",
            "/models"
            | "/orgs/{org_id}/apps/{app_id}/model-selection"
            | "/orgs/{org_id}/apps/{app_id}/inference-profiles"
            | "/orgs/{org_id}/apps/{app_id}/inference-profiles/{profile_label}",
        ) => RateLimitGroup::ModelSelection,
        ("POST", "/orgs/{org_id}/apps/{app_id}/usage" | "/orgs/{org_id}/apps/{app_id}/costs") => RateLimitGroup::Usage,
        ("POST", "/orgs/{org_id}/apps/{app_id}/usage/batch" | "/orgs/{org_id}/apps/{app_id}/costs/batch") => {
            RateLimitGroup::Batches
        }
        _ => return None,
    })
}
