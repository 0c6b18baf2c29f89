//! All routes, and what surrounds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::unexpected_query::QueryOperations;
use super::{
    aggregates, aggregates_range, apps, audit, config_view, credentials, fallback, import, jwks, metrics, middleware,
    models, openapi, orgs, profiles, public, rate_limit, reprice, selection, tokens, usage,
};
use crate::service::Services;

/// What the HTTP layer needs to know besides the services.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Largest request body.
    pub body_limit_bytes: usize,
    /// Longest time a body may take to arrive.
    pub read_timeout: Duration,
    /// Longest time a request may take.
    pub request_timeout: Duration,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins that browsers may call from; none switches CORS off.
    pub cors_origins: Vec<HeaderValue>,
    /// Key for `/metrics` on this listener; without one it takes a provisioning key.
    pub metrics_key: Option<SecretString>,
    /// Whether `/metrics` is served here at all; not where it has a listener of its own.
    pub metrics_here: bool,
}

impl Default for ApiSettings {
    /// The documented transport limits.
    fn default() -> Self {
        Self {
            body_limit_bytes: 1024 * 1024,
            read_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            metrics_key: None,
            metrics_here: true,
        }
    }
}

/// State shared by all handlers.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// The use cases.
    pub services: Arc<Services>,
    /// HTTP settings.
    pub settings: Arc<ApiSettings>,
    /// Set when the process is going down: readiness fails, everything else still answers.
    pub draining: Arc<AtomicBool>,
    /// Renders metrics; `None` where no recorder is installed.
    pub metrics: Option<PrometheusHandle>,
}

impl ApiState {
    /// Whether the process is going down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// Every documented route.
pub fn documented_routes() -> OpenApiRouter<ApiState> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(orgs::list_orgs))
        .routes(routes!(orgs::put_org, orgs::get_org, orgs::delete_org))
        .routes(routes!(config_view::get_org_config))
        .routes(routes!(credentials::rotate_org_secret))
        .routes(routes!(credentials::retrieve_org_secret))
        .routes(routes!(credentials::revoke_org_tokens))
        .routes(routes!(fallback::get_org_fallback, fallback::put_org_fallback, fallback::delete_org_fallback))
        .routes(routes!(apps::list_apps))
        .routes(routes!(apps::put_app, apps::get_app, apps::delete_app))
        .routes(routes!(config_view::get_app_config))
        .routes(routes!(credentials::rotate_app_secret))
        .routes(routes!(credentials::retrieve_app_secret))
        .routes(routes!(credentials::revoke_app_tokens))
        .routes(routes!(fallback::get_app_fallback, fallback::put_app_fallback, fallback::delete_app_fallback))
        .routes(routes!(import::import_config))
        .routes(routes!(audit::list_audit_events))
        .routes(routes!(models::list_models))
        .routes(routes!(reprice::reprice_usage))
        .routes(routes!(selection::select_model))
        .routes(routes!(usage::submit_usage))
        .routes(routes!(usage::submit_usage_batch))
        .routes(routes!(usage::submit_cost))
        .routes(routes!(usage::submit_cost_batch))
        .routes(routes!(profiles::register_profile, profiles::list_profiles))
        .routes(routes!(profiles::get_profile, profiles::delete_profile))
        .routes(routes!(aggregates::get_org_aggregates_today))
        .routes(routes!(aggregates::get_org_aggregates_of_day))
        .routes(routes!(aggregates::get_app_aggregates_today))
        .routes(routes!(aggregates::get_app_aggregates_of_day))
        .routes(routes!(aggregates_range::get_org_aggregates_range))
        .routes(routes!(aggregates_range::get_app_aggregates_range));
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(public::get_root))
        .routes(routes!(public::get_health))
        .routes(routes!(public::get_livez))
        .routes(routes!(public::get_readyz))
        .routes(routes!(metrics::get_metrics))
        .routes(routes!(tokens::post_token))
        .routes(routes!(tokens::post_refresh))
        .routes(routes!(tokens::post_revoke))
        .routes(routes!(jwks::get_jwks))
        .nest("/api/v1", v1)
}

/// The whole HTTP service.
pub fn router(state: &ApiState) -> Router {
    router_with(state, Router::new())
}

/// The whole HTTP service, and further routes that the document does not have. They are surrounded by the same layers,
/// so that a benchmark can tell what the others cost besides.
pub fn router_with(state: &ApiState, further: Router<ApiState>) -> Router {
    let (mut routes, document) = documented_routes().split_for_parts();
    let query_operations = QueryOperations::of(&document);
    routes = routes.merge(openapi::routes(&openapi::finish(document))).merge(further);
    let settings = &state.settings;
    let mut service = routes
        .fallback(|| async { ApiError::of_status(StatusCode::NOT_FOUND).into_response() })
        .method_not_allowed_fallback(|| async { ApiError::of_status(StatusCode::METHOD_NOT_ALLOWED).into_response() })
        .layer(Extension(query_operations))
        .layer(CompressionLayer::new().gzip(true))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, settings.request_timeout))
        .layer(CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
            tracing::error!("a handler panicked");
            ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }))
        .layer(from_fn_with_state(state.clone(), middleware::envelope));
    if !settings.cors_origins.is_empty() {
        // Outside the envelope: a preflight request is answered here and needs no route.
        service = service.layer(cors(settings));
    }
    service.with_state(state.clone())
}

fn cors(settings: &ApiSettings) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(settings.cors_origins.clone())
        .allow_methods([Method::GET, Method::PUT, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static(super::auth::API_KEY_HEADER),
            middleware::REQUEST_ID_HEADER,
        ])
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            header::CONTENT_DISPOSITION,
            middleware::REQUEST_ID_HEADER,
            super::cache::DATA_LAG_HEADER,
            super::pagination::NEXT_CURSOR_HEADER,
            rate_limit::LIMIT_HEADER,
            rate_limit::REMAINING_HEADER,
            rate_limit::RESET_HEADER,
            rate_limit::CLIENT_ID_HEADER,
        ])
        .max_age(Duration::from_secs(600))
}
