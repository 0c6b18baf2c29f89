//! What imitations of AWS services have in common: where they are served, and AWS JSON 1.1.

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A service on a free port of this machine. Ends with this value.
#[derive(Debug)]
pub(crate) struct Imitation {
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl Imitation {
    pub(crate) async fn serving(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, serving }
    }
}

impl Drop for Imitation {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Whether a request is for this operation, written `Service.Operation`. It must be signed by the tests' credentials.
pub(crate) fn is_for(operation: &str, headers: &HeaderMap) -> bool {
    assert_eq!(header("content-type", headers), "application/x-amz-json-1.1");
    assert!(header("authorization", headers).starts_with("AWS4-HMAC-SHA256 Credential=AKIDTEST/"), "not signed");
    header("x-amz-target", headers) == operation
}

/// A header; empty where it is not there.
pub(crate) fn header<'a>(name: &str, headers: &'a HeaderMap) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

pub(crate) fn answer(status: StatusCode, body: String) -> Response {
    (status, [("content-type", "application/x-amz-json-1.1"), ("x-amzn-requestid", "test")], body).into_response()
}

pub(crate) fn error(kind: &str, message: &str) -> Response {
    answer(StatusCode::BAD_REQUEST, json!({"__type": kind, "Message": message}).to_string())
}
