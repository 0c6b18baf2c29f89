//! What a listener serves.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;

use super::tls::Tls;

/// Makes the answer to what could not be read as a request. Its body must be complete at once.
#[derive(Clone)]
pub struct Rejections(Arc<dyn Fn(StatusCode) -> Response + Send + Sync>);

impl Rejections {
    /// Answers with what `answer` makes of the status.
    pub fn new(answer: impl Fn(StatusCode) -> Response + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    pub(super) fn answer(&self, status: StatusCode) -> Response {
        (self.0)(status)
    }
}

impl fmt::Debug for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rejections")
    }
}

/// What a listener serves, and how.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub(super) router: Router,
    pub(super) rejections: Option<Rejections>,
    pub(super) tls: Option<Tls>,
}

impl Endpoint {
    /// Plain HTTP. What is not HTTP is refused with a status alone.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self { router, rejections: None, tls: None }
    }

    /// Refuses what is not HTTP with answers of one's own.
    #[must_use]
    pub fn with_rejections(self, rejections: Rejections) -> Self {
        Self { rejections: Some(rejections), ..self }
    }

    /// HTTPS where there is a certificate.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }
}

impl From<Router> for Endpoint {
    fn from(router: Router) -> Self {
        Self::new(router)
    }
}
