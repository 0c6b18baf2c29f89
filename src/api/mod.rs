//! HTTP: routes, wire types, authorization and errors. HTTP types stop here.
//!
//! One file per resource holds its wire types, handlers and OpenAPI descriptions together; `routes!` registers both
//! at once, so a route cannot miss from the document.

pub mod aggregates;
pub mod aggregates_range;
pub mod apps;
pub mod audit;
pub mod auth;
pub mod cache;
pub mod client_address;
pub mod config_view;
pub mod credentials;
pub mod error;
pub mod extract;
pub mod fallback;
#[doc(hidden)]
pub mod fuzzing;
pub mod import;
pub mod jwks;
pub mod metrics;
pub mod middleware;
pub mod models;
pub mod openapi;
pub mod org_rate_limits;
pub mod orgs;
pub mod pagination;
pub mod params;
pub mod profiles;
pub mod public;
pub mod rate_limit;
mod refusal;
pub mod reprice;
pub mod responses;
pub mod router;
pub mod selection;
pub mod tokens;
mod unexpected_query;
pub mod usage;
pub mod usage_request;
pub mod usage_words;
mod words;

pub use router::{ApiSettings, ApiState, router};

/// Result of a handler.
pub type ApiResult<T> = Result<T, error::ApiError>;

/// An instant as the API writes it: RFC 3339 UTC with `Z`, milliseconds where there are any.
#[must_use]
pub fn instant(timestamp: jiff::Timestamp) -> String {
    crate::clock::truncate_to_millis(timestamp).to_string()
}
