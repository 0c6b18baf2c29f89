//! What anybody may ask, and metrics.

use bedrock_cost_keeper::storage::Maintenance as _;
use serde_json::json;

use crate::support::faulty::{Fault, INTERNALS};
use crate::support::server::TestServer;

#[tokio::test]
async fn the_root_says_what_this_is_and_where_things_are() {
    let server = TestServer::start().await;
    let reply = server.get("/").await.ok(200);
    assert_eq!((reply.str("service"), reply.str("version")), ("bedrock-cost-keeper", env!("CARGO_PKG_VERSION")));
    assert!(!reply.str("description").is_empty());
    assert_eq!(reply.str("documentation"), "/docs");
    assert_eq!(
        reply["endpoints"],
        json!({
            "authentication": "/auth/token", "health": "/health", "api": "/api/v1", "docs": "/docs",
            "openapi": "/openapi.json", "jwks": "/.well-known/jwks.json",
        })
    );
}

#[tokio::test]
async fn health_tells_whether_the_store_answers_without_telling_secrets() {
    let server = TestServer::start().await;
    let reply = server.get("/health").await.ok(200);
    assert_eq!((reply.str("status"), reply.str("service")), ("healthy", "bedrock-cost-keeper"));
    assert_eq!((reply.str("version"), reply.str("timestamp")), (env!("CARGO_PKG_VERSION"), "2026-01-23T15:30:45Z"));
    let database = &reply["database"];
    assert_eq!((&database["status"], &database["backend"]), (&json!("connected"), &json!(server.store.backend())));
    assert!(database["latency_ms"].is_u64() && database.get("error").is_none());
    for fault in [Fault::Unavailable, Fault::Backend] {
        server.store.fail_reads(fault);
        let reply = server.get("/health").await.ok(503);
        assert_eq!((reply.str("status"), &reply["database"]["status"]), ("unhealthy", &json!("disconnected")));
        let error = reply["database"]["error"].as_str().unwrap();
        let said = reply.text().replace(server.store.backend(), "");
        assert!(!error.is_empty() && !INTERNALS.iter().any(|word| said.contains(word)), "{said}");
        server.get("/livez").await.ok(200);
        server.get("/readyz").await.error(503, "SERVICE_UNAVAILABLE");
    }
    server.store.fail_reads(None);
    server.get("/health").await.ok(200);
    server.get("/readyz").await.ok(200);
}

#[tokio::test]
async fn a_store_that_is_not_migrated_is_not_ready_but_alive() {
    let server = TestServer::with(|setup| setup.migrate = false).await;
    let reply = server.get("/readyz").await.error(503, "SERVICE_UNAVAILABLE");
    assert!(reply.str("message").contains("migrate"));
    server.get("/livez").await.ok(200);
    bedrock_cost_keeper::storage::Maintenance::migrate(server.store.as_ref()).await.unwrap();
    assert_eq!(server.get("/readyz").await.ok(200).json, json!({"status": "ok"}));
}

#[tokio::test]
async fn while_draining_only_readiness_fails() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    server.app.start_draining();
    server.get("/readyz").await.error(503, "SERVICE_UNAVAILABLE");
    server.get("/livez").await.ok(200);
    server.get("/health").await.ok(200);
    chat.selection().await.ok(200);
    chat.spend("premium", 1).await;
}

#[tokio::test]
async fn the_openapi_document_and_swagger_ui_are_served() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").await.ok(200);
    assert_eq!(document.header("content-type"), "application/json");
    assert!(document.str("openapi").starts_with("3.1"));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes.keys().collect::<Vec<_>>(), ["api_key", "bearer"]);
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["name"], "X-API-Key");
    let docs = server.get("/docs").await;
    let page = match docs.status {
        301..=308 => {
            let place = docs.header("location").to_owned();
            let path =
                place.strip_prefix("http://").map_or(place.clone(), |rest| rest[rest.find('/').unwrap()..].to_owned());
            server.get(&path).await.ok(200)
        }
        _ => docs.ok(200),
    };
    assert!(page.header("content-type").starts_with("text/html") && page.text().contains("swagger-ui"));
    assert!(!page.text().contains("https://"), "works offline");
    server.get("/docs/swagger-ui-bundle.js").await.ok(200);
}

#[tokio::test]
async fn metrics_need_a_key_of_their_own_or_a_provisioning_key() {
    let server = TestServer::start().await;
    let reply = server.get("/metrics").admin().await.ok(200);
    assert!(reply.header("content-type").starts_with("text/plain"));
    server.get("/metrics").await.error(401, "UNAUTHORIZED");
    server.get("/metrics").header("x-api-key", "wrong").await.error(401, "UNAUTHORIZED");
    let keyed = TestServer::with(|setup| setup.config.metrics.key = Some("a-key-for-metrics-only".into())).await;
    keyed.get("/metrics").header("x-api-key", "a-key-for-metrics-only").await.ok(200);
    keyed.get("/metrics").bearer("a-key-for-metrics-only").await.ok(200);
    keyed.get("/metrics").admin().await.error(401, "UNAUTHORIZED");
    let elsewhere = TestServer::with(|setup| setup.config.metrics.listen = Some("127.0.0.1:1".parse().unwrap())).await;
    elsewhere.get("/metrics").admin().await.error(404, "NOT_FOUND");
}
