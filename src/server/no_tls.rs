//! A build without TLS: there is never a certificate, and the configuration refuses one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Nothing has this type.
#[derive(Debug, Clone)]
pub enum Tls {}

impl Tls {
    pub(super) fn hsts(&self) -> Option<HeaderValue> {
        match *self {}
    }

    pub(super) async fn accept<S>(&self, _stream: S) -> io::Result<TcpStream> {
        match *self {}
    }

    /// Is never called.
    pub async fn keep_current(&self, _interval: Option<Duration>, _clock: Arc<dyn Clock>, _stop: CancellationToken) {
        match *self {}
    }
}
