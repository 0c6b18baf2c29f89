//! What anybody may ask: what this is, and whether it works.

use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorResponse};
use super::instant;
use super::router::ApiState;

/// Name of the service in answers and tokens.
pub const SERVICE: &str = "bedrock-cost-keeper";
/// Version of the binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What this service is and where things are.
#[derive(Debug, Serialize, ToSchema)]
pub struct RootResponse {
    /// Name.
    #[schema(example = "bedrock-cost-keeper")]
    service: &'static str,
    /// Version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// One sentence.
    #[schema(
        example = "Exact, near-real-time spend and model recommendations for applications that call Amazon Bedrock"
    )]
    description: &'static str,
    /// Path of the documentation.
    #[schema(example = "/docs")]
    documentation: &'static str,
    /// Paths worth knowing.
    endpoints: RootEndpoints,
}

/// Paths worth knowing.
#[derive(Debug, Serialize, ToSchema)]
pub struct RootEndpoints {
    /// Token endpoint.
    #[schema(example = "/auth/token")]
    authentication: &'static str,
    /// Health.
    #[schema(example = "/health")]
    health: &'static str,
    /// Root of the API.
    #[schema(example = "/api/v1")]
    api: &'static str,
    /// Swagger UI.
    #[schema(example = "/docs")]
    docs: &'static str,
    /// OpenAPI document.
    #[schema(example = "/openapi.json")]
    openapi: &'static str,
    /// Public keys of tokens.
    #[schema(example = "/.well-known/jwks.json")]
    jwks: &'static str,
}

/// About this service
///
/// Name, version, and the paths worth knowing.
#[utoipa::path(
    get,
    path = "/",
    tag = "Service",
    responses((status = 200, description = "What this is and where things are", body = RootResponse)),
)]
pub async fn get_root() -> JsonBody<RootResponse> {
    JsonBody(RootResponse {
        service: SERVICE,
        version: VERSION,
        description: env!("CARGO_PKG_DESCRIPTION"),
        documentation: "/docs",
        endpoints: RootEndpoints {
            authentication: "/auth/token",
            health: "/health",
            api: "/api/v1",
            docs: "/docs",
            openapi: "/openapi.json",
            jwks: "/.well-known/jwks.json",
        },
    })
}

/// State of the service and its store.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthResponse {
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// Name.
    #[schema(example = "bedrock-cost-keeper")]
    service: &'static str,
    /// Version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Now, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    timestamp: String,
    /// The store.
    database: DatabaseHealth,
}

/// State of the store.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatabaseHealth {
    /// `connected` or `disconnected`.
    #[schema(example = "connected")]
    status: &'static str,
    /// `sqlite`, `postgres` or `dynamodb`.
    #[schema(example = "sqlite")]
    backend: &'static str,
    /// Milliseconds a trivial read took.
    #[schema(example = 1)]
    latency_ms: u64,
    /// Why it is not usable; absent where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    error: Option<&'static str>,
}

/// Health of the service and its store
///
/// Asks the store, and answers within two seconds also where it hangs. Meant for people and dashboards; probes take
/// `/livez` and `/readyz`.
#[utoipa::path(
    get,
    path = "/health",
    tag = "Service",
    responses(
        (status = 200, description = "The store answers", body = HealthResponse),
        (status = 503, description = "It does not", body = HealthResponse),
    ),
)]
pub async fn get_health(State(state): State<ApiState>) -> Response {
    let health = state.services.store_health().await;
    let ok = health.problem.is_none();
    let body = HealthResponse {
        status: if ok { "healthy" } else { "unhealthy" },
        service: SERVICE,
        version: VERSION,
        timestamp: instant(state.services.now()),
        database: DatabaseHealth {
            status: if ok { "connected" } else { "disconnected" },
            backend: health.backend,
            latency_ms: u64::try_from(health.latency.as_millis()).unwrap_or(u64::MAX),
            error: health.problem,
        },
    };
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = (status, JsonBody(body)).into_response();
    // A 503 of this path has its own body, which the error envelope must leave alone.
    response.extensions_mut().insert(super::middleware::OwnBody);
    response
}

/// A bare word.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProbeResponse {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Is the process alive?
///
/// Never touches the store: a store that is down is no reason to restart the process.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "Service",
    responses((status = 200, description = "Alive", body = ProbeResponse)),
)]
pub async fn get_livez() -> JsonBody<ProbeResponse> {
    JsonBody(ProbeResponse { status: "ok" })
}

/// Can requests be served?
///
/// Fails until the store is migrated and reachable, and while the process is going down.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Service",
    responses(
        (status = 200, description = "Ready", body = ProbeResponse),
        (status = 503, description = "Not ready; the message says why", body = ErrorResponse),
    ),
)]
pub async fn get_readyz(State(state): State<ApiState>) -> Result<JsonBody<ProbeResponse>, ApiError> {
    if state.is_draining() {
        return Err(ApiError::unavailable("the process is going down"));
    }
    match state.services.not_ready().await {
        None => Ok(JsonBody(ProbeResponse { status: "ok" })),
        Some(reason) => Err(ApiError::unavailable(reason)),
    }
}
