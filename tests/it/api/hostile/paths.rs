//! Paths that try to be others. Sent byte by byte: a client library would tidy them up.

use serde_json::json;

use super::routes::start;
use crate::support::server::{ADMIN_KEY, TestServer};
use crate::support::tenants::ORG;

/// Status and body of a bare request of an administrator.
async fn bare(server: &TestServer, method: &str, path: &str) -> (u16, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {ADMIN_KEY}\r\nconnection: close\r\n\r\n");
    let answer = server.raw(request.as_bytes()).await;
    let status = answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

#[tokio::test]
async fn a_parameter_of_a_path_is_never_more_than_itself() {
    let server = start().await;
    server.chat(json!({})).await;
    let before = server.snapshot().await;
    let long = "a".repeat(65);
    for parameter in [
        "a%2Fb",
        "a%2fb",
        "%2e%2e",
        "%2E",
        "..%2fchat",
        "chat%2f..%2fchat",
        "chat%00",
        "%00",
        "%0a",
        "%0d%0aX-A:%20b",
        "chat%20",
        "%20chat",
        "%ff",
        "%c0%ae",
        "%ef%bc%8e",
        "%f0%9f%92%a9",
        "chat;a=b",
        "chat%3fa",
        "%23",
        "*",
        "chat'--",
        "%25%32%65",
        "%",
        "%2",
        "%zz",
        "~",
        "chat%5c",
        ".chat",
        "-chat",
        "_chat",
        "%e2%80%aechat",
        &long,
    ] {
        for (method, path) in [
            ("GET", format!("/api/v1/orgs/{ORG}/apps/{parameter}")),
            ("DELETE", format!("/api/v1/orgs/{ORG}/apps/{parameter}")),
            ("GET", format!("/api/v1/orgs/{parameter}")),
            ("DELETE", format!("/api/v1/orgs/{parameter}")),
            ("GET", format!("/api/v1/orgs/{ORG}/apps/chat/inference-profiles/{parameter}")),
            ("DELETE", format!("/api/v1/orgs/{ORG}/apps/chat/inference-profiles/{parameter}")),
            ("GET", format!("/api/v1/orgs/{ORG}/aggregates/{parameter}")),
        ] {
            let (status, body) = bare(&server, method, &path).await;
            assert_eq!(status, 400, "{method} {path}: {body}");
            assert!(body.contains("INVALID_REQUEST") && body.contains("\"field\""), "{method} {path}: {body}");
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_path_is_taken_as_it_is_written() {
    let server = start().await;
    server.chat(json!({})).await;
    let before = server.snapshot().await;
    for path in [
        format!("/api/v1/orgs/{ORG}/apps/../apps/chat"),
        format!("/api/v1/../v1/orgs/{ORG}"),
        format!("/api/v1/orgs/{ORG}/./apps/chat"),
        format!("/api/v1/orgs//{ORG}"),
        format!("//api/v1/orgs/{ORG}"),
        format!("/api/v1/orgs/{ORG}/"),
        format!("/API/v1/orgs/{ORG}"),
        format!("/api%2Fv1/orgs/{ORG}"),
        format!("/api/v1/orgs/{ORG}/apps"),
        format!("/api/v1/orgs/{ORG}/apps/"),
        "/health/../api/v1/orgs".to_owned(),
        "/docs/../api/v1/orgs".to_owned(),
        "/docs/..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "/docs/%2e%2e/%2e%2e/etc/passwd".to_owned(),
    ] {
        let (status, body) = bare(&server, "DELETE", &path).await;
        assert!(matches!(status, 400 | 404 | 405), "{path}: {status} {body}");
        assert!(body.contains("\"error\""), "{path}: {body}");
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_request_whose_line_or_header_is_endless_is_refused() {
    let server = start().await;
    for (request, statuses) in [
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "a".repeat(100_000)), [414, 431]),
        (format!("GET /?a={} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "a".repeat(100_000)), [414, 431]),
        (format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\nconnection: close\r\n\r\n", "a".repeat(1_000_000)), [431, 431]),
        (format!("GET / HTTP/1.1\r\nhost: x\r\n{}connection: close\r\n\r\n", "a: b\r\n".repeat(200)), [431, 431]),
    ] {
        let mut answer = String::new();
        if let Ok(text) = tokio::time::timeout(std::time::Duration::from_secs(10), lenient(&server, &request)).await {
            answer = text;
        }
        let status: u16 = answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0);
        assert!(statuses.contains(&status), "{} …: {answer:?}", &request[..30]);
    }
    server.get("/").await.ok(200);
}

/// Sends what the server takes of a request, and reads what it answers before it closes.
async fn lenient(server: &TestServer, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut read, mut write) = server.connect().await.into_split();
    let request = request.to_owned();
    let writing = tokio::spawn(async move {
        let _ = write.write_all(request.as_bytes()).await;
        write
    });
    let mut answer = Vec::new();
    let _ = read.read_to_end(&mut answer).await;
    drop(writing.await);
    String::from_utf8_lossy(&answer).into_owned()
}
