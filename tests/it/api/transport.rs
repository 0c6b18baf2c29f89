//! What holds for every path: the envelope, headers, limits, compression and CORS.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::faulty::{Fault, INTERNALS};
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, org_body, usage};

#[tokio::test]
async fn an_unknown_path_is_not_found_whoever_asks() {
    let server = TestServer::start().await;
    for path in ["/nowhere", "/api/v1", "/api/v1/", "/api/v2/models", "/api/v1/models/", "//", "/auth", "/%ff"] {
        server.get(path).await.error(404, "NOT_FOUND");
        server.post(path).admin().json(&json!({})).await.error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_method_a_path_does_not_take_is_answered_with_those_it_does() {
    let server = TestServer::start().await;
    for (method, path, allowed) in [
        ("DELETE", "/".to_owned(), vec!["GET", "HEAD"]),
        ("GET", "/auth/token".to_owned(), vec!["POST"]),
        ("PATCH", format!("/api/v1/orgs/{ORG}"), vec!["PUT", "GET", "HEAD", "DELETE"]),
        ("PUT", format!("/api/v1/orgs/{ORG}/apps/chat/usage"), vec!["POST"]),
    ] {
        let reply = server.request(method, &path).admin().await.error(405, "METHOD_NOT_ALLOWED");
        let mut listed: Vec<_> = reply.header("allow").split(',').map(str::trim).collect();
        let mut allowed = allowed;
        listed.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(listed, allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused() {
    let server = TestServer::start().await;
    server.get("/api/v1/orgs/%FF").admin().await.error(400, "INVALID_REQUEST");
    server.get("/api/v1/orgs/%FF").await.error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = TestServer::with(|setup| setup.config.server.body_limit_bytes = 1024).await;
    let chat = server.chat(json!({})).await;
    let padded = |size: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(size - 8));
    for path in ["/usage", "/usage/batch", "/costs"] {
        chat.call("POST", path).body("application/json", padded(1025)).await.error(413, "PAYLOAD_TOO_LARGE");
        chat.call("POST", path).body("application/json", padded(1024)).await.error(400, "INVALID_REQUEST");
    }
    let org = server.put(&format!("/api/v1/orgs/{ORG}")).admin();
    org.body("application/json", padded(5000)).await.error(413, "PAYLOAD_TOO_LARGE");
    let token = server.post("/auth/token").body("application/json", padded(1025)).await.error(413, "PAYLOAD_TOO_LARGE");
    assert!(token["error_description"].is_string());
    let import = server.post("/api/v1/config/import").admin();
    import.body("application/yaml", padded(1025)).await.error(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_chunked_body_is_limited_too() {
    let server = TestServer::with(|setup| setup.config.server.body_limit_bytes = 1024).await;
    let chunk = format!("{:x}\r\n{}\r\n", 600, "x".repeat(600));
    let request = format!(
        "POST /auth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let answer = server.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
}

#[tokio::test]
async fn a_body_of_another_media_type_is_refused() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = usage("00000000-0000-4000-8000-000000000001", "premium").to_string();
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", ""] {
        chat.call("POST", "/usage").body(media, body.clone()).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
        let org = server.put(&format!("/api/v1/orgs/{ORG}")).admin();
        org.body(media, org_body().to_string()).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    chat.call("POST", "/usage").await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    for media in ["application/json; charset=utf-8", "Application/JSON", "application/problem+json"] {
        chat.call("POST", "/usage").body(media, body.clone()).await.ok(202);
    }
}

#[tokio::test]
async fn a_body_that_never_arrives_is_a_timeout() {
    let server = TestServer::with(|setup| setup.config.server.read_timeout_secs = 1).await;
    let request = b"POST /auth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
                    x-request-id: slow\r\ncontent-length: 100\r\n\r\n{\"grant_type\":";
    let answer = server.raw(request).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["error"], &body["request_id"]), (&json!("REQUEST_TIMEOUT"), &json!("slow")));
    assert!(head.contains("x-request-id: slow") && head.contains("nosniff"));
}

#[tokio::test]
async fn a_header_that_never_arrives_ends_the_connection() {
    let server = TestServer::with(|setup| setup.config.server.read_timeout_secs = 1).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    server.get("/").await.ok(200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_a_timeout_and_its_submission_is_committed_all_the_same() {
    let server = TestServer::with(|setup| setup.config.server.request_timeout_secs = 2).await;
    let chat = server.chat(json!({})).await;
    // Everything a submission reads is cached after the first, so the next waits at the gate and nowhere before it.
    chat.post("/usage", &usage("00000000-0000-4000-8000-000000000000", "premium")).await.ok(202);
    server.store.close_gate();
    let body = usage("00000000-0000-4000-8000-000000000001", "premium");
    chat.post("/usage", &body).await.error(408, "REQUEST_TIMEOUT");
    server.store.record_called(2).await;
    server.store.open_gate();
    server.store.record_ended(2).await;
    assert_eq!(chat.post("/usage", &body).await.ok(202)["duplicate"], true);
}

#[tokio::test]
async fn a_request_id_is_kept_where_it_is_visible_ascii_and_replaced_where_not() {
    let server = TestServer::start().await;
    let longest = "x".repeat(128);
    for id in ["a", "trace-1/2:3", "~!@#$%^&*()", &longest] {
        assert_eq!(server.get("/livez").header("x-request-id", id).await.ok(200).header("x-request-id"), id);
        let error = server.get("/nowhere").header("x-request-id", id).await.error(404, "NOT_FOUND");
        assert_eq!(error.str("request_id"), id);
    }
    let mut made = std::collections::BTreeSet::new();
    for id in ["", "two words", "tab\there", &"x".repeat(129)] {
        let reply = server.get("/livez").header("x-request-id", id).await.ok(200);
        assert_ne!(reply.header("x-request-id"), id);
        assert!(reply.header("x-request-id").parse::<uuid::Uuid>().is_ok());
        assert!(made.insert(reply.header("x-request-id").to_owned()), "each request has its own");
    }
}

#[tokio::test]
async fn what_is_not_cacheable_says_so() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for path in ["/", "/health", "/livez", "/readyz"] {
        assert_eq!(server.get(path).await.ok(200).header("cache-control"), "no-store", "{path}");
    }
    assert_eq!(server.get("/api/v1/models").admin().await.ok(200).header("cache-control"), "no-store");
    assert_eq!(chat.spend("premium", 1).await.header("cache-control"), "no-store");
    assert_eq!(server.get("/api/v1/orgs").admin().await.ok(200).header("cache-control"), "no-store");
}

#[tokio::test]
async fn large_answers_are_compressed_for_whoever_wants_that() {
    let server = TestServer::start().await;
    let plain = server.get("/openapi.json").await.ok(200);
    assert!(plain.header("content-encoding").is_empty());
    let zipped = server.get("/openapi.json").header("accept-encoding", "gzip").await.ok(200);
    assert_eq!(zipped.header("content-encoding"), "gzip");
    assert_eq!(zipped.body[..2], [0x1f, 0x8b]);
    assert!(zipped.body.len() * 3 < plain.body.len());
    assert!(zipped.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().contains("accept-encoding")));
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for path in ["/", "/livez", "/openapi.json"] {
        let (get, head) = (server.get(path).await.ok(200), server.request("HEAD", path).await.ok(200));
        assert!(head.body.is_empty() && !get.body.is_empty());
        assert_eq!(head.header("content-type"), get.header("content-type"));
    }
    let get = chat.selection().await.ok(200);
    let head = chat.call("HEAD", "/model-selection").await.ok(200);
    assert_eq!((head.header("etag"), head.body.len()), (get.header("etag"), 0));
    assert_eq!(server.request("HEAD", "/nowhere").await.ok(404).body.len(), 0);
}

#[tokio::test]
async fn cors_is_off_unless_origins_are_configured() {
    let server = TestServer::start().await;
    let reply = server.get("/livez").header("origin", "https://console.example.com").await.ok(200);
    assert!(!reply.headers.keys().any(|name| name.as_str().starts_with("access-control")));
    let preflight = server.request("OPTIONS", "/api/v1/models").header("origin", "https://console.example.com");
    preflight.header("access-control-request-method", "GET").await.error(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn configured_origins_and_no_others_may_call_from_a_browser() {
    let origin = "https://console.example.com";
    let server = TestServer::with(|setup| setup.config.server.cors_origins = vec![origin.to_owned()]).await;
    for (path, status) in [("/livez", 200), ("/api/v1/models", 401), ("/nowhere", 404)] {
        let reply = server.get(path).header("origin", origin).await.ok(status);
        assert_eq!(reply.header("access-control-allow-origin"), origin, "{path}");
        assert!(reply.header("access-control-expose-headers").contains("etag"));
        let foreign = server.get(path).header("origin", "https://evil.example").await.ok(status);
        assert!(foreign.header("access-control-allow-origin").is_empty());
    }
    let preflight = server.request("OPTIONS", &format!("/api/v1/orgs/{ORG}")).header("origin", origin);
    let preflight = preflight
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-api-key")
        .await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, origin));
    assert!(preflight.header("access-control-allow-methods").contains("PUT"));
    assert!(preflight.header("access-control-allow-headers").contains("x-api-key"));
}

#[tokio::test]
async fn a_failing_store_is_told_apart_from_an_absent_one_and_neither_tells_internals() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for (fault, status, code) in [
        (Fault::Backend, 500, "INTERNAL_ERROR"),
        (Fault::Panic, 500, "INTERNAL_ERROR"),
        (Fault::Unavailable, 503, "SERVICE_UNAVAILABLE"),
    ] {
        server.store.fail_reads(fault);
        let reply = chat.selection().await.error(status, code);
        assert!(!INTERNALS.iter().any(|word| reply.text().contains(word)), "{}", reply.text());
    }
    server.store.fail_reads(None);
    chat.selection().await.ok(200);
}
