//! Credentials come before everything else a request may have wrong.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, decode_header, encode};
use serde_json::{Value, json};

use super::callers::ABSENT_ORG;
use super::table::{For, operations};
use crate::support::server::{JWT_SECRET, TestServer};
use crate::support::tenants::ORG;

/// The token with another scope, signed by the service's own key.
pub(super) fn with_scope(token: &str, scope: &[&str]) -> String {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["scope"] = json!(scope);
    let header = Header { kid: decode_header(token).unwrap().kid, ..Header::new(Algorithm::HS256) };
    encode(&header, &claims, &EncodingKey::from_secret(JWT_SECRET.as_bytes())).unwrap()
}

#[tokio::test]
async fn a_foreign_token_is_forbidden_whether_or_not_the_target_exists() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    org.app("mail", json!({})).await;
    let mut messages = BTreeSet::new();
    for path in [format!("{ORG}/apps/mail"), format!("{ORG}/apps/nobody"), format!("{ABSENT_ORG}/apps/chat")] {
        for suffix in ["model-selection", "aggregates/today"] {
            let reply = server.get(&format!("/api/v1/orgs/{path}/{suffix}")).bearer(&chat.token).await;
            messages.insert(reply.error(403, "FORBIDDEN").str("message").to_owned());
        }
    }
    assert_eq!(messages.len(), 1, "{messages:?}");
    // What does not exist below one's own organization is not found.
    org.get("/apps/nobody/model-selection").await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_refusal_of_credentials_comes_before_anything_about_the_request() {
    let server = TestServer::start().await;
    for (method, path) in [
        ("GET", "/api/v1/orgs/no-uuid"),
        ("GET", "/api/v1/orgs?limit=x"),
        ("PUT", "/api/v1/orgs/no-uuid"),
        ("POST", "/api/v1/orgs/no-uuid/apps/-/usage"),
        ("GET", "/api/v1/orgs/no-uuid/apps/-/model-selection?x=1"),
        ("POST", "/api/v1/config/import?x=1"),
        ("GET", "/api/v1/models?x=1"),
    ] {
        server.request(method, path).await.error(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_body_is_not_read_for_whoever_is_refused() {
    let server = TestServer::with(|setup| setup.config.server.body_limit_bytes = 1024).await;
    let org = server.org(json!({})).await;
    org.app("chat", json!({})).await;
    let too_large = "x".repeat(100_000);
    let mut seen = 0;
    for (method, template, audience) in operations(&server).await {
        if method == "GET" || matches!(audience, For::Everybody) {
            continue;
        }
        let path = super::callers::Target::Existing.path(template);
        server.request(method, &path).body("text/html", too_large.clone()).await.error(401, "UNAUTHORIZED");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    for method in ["PUT", "DELETE"] {
        let call = server.request(method, &org.path).bearer(&org.token);
        call.body("text/html", too_large.clone()).await.error(403, "FORBIDDEN");
    }
}
