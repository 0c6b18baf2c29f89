//! Client secrets: retrieved once, rotated with grace, and all tokens of a client ended.

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, app_body, org_body, with};

/// Registers with delivery by token; answers client id and retrieval token.
async fn by_token(server: &TestServer, path: &str, body: Value) -> (String, String) {
    let reply = server.put(path).admin().json(&with(body, json!({"secret_delivery": null}))).await.ok(201);
    let credentials = &reply["credentials"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&credentials["client_id"]), text(&credentials["secret_retrieval"]["token"]))
}

async fn retrieve(server: &TestServer, path: &str, token: &str) -> Reply {
    server.get(&format!("{path}/credentials/secret?token={token}")).admin().await
}

async fn rotate(tenant: &Tenant<'_>, body: Value) -> Reply {
    tenant.admin("POST", "/credentials/rotate").json(&body).await
}

/// Rotates and answers the new secret.
async fn rotated(tenant: &Tenant<'_>, grace_period_hours: u64) -> String {
    let body = json!({"grace_period_hours": grace_period_hours, "secret_delivery": "inline"});
    rotate(tenant, body).await.ok(200).str("client_secret").to_owned()
}

async fn works(tenant: &Tenant<'_>, secret: &str) -> bool {
    let reply = tenant.server.token(&tenant.client_id, secret).await;
    assert!(matches!(reply.status, 200 | 401), "{}", reply.text());
    reply.status == 200
}

#[tokio::test]
async fn a_secret_is_retrieved_once_and_works() {
    let server = TestServer::start().await;
    let org = format!("/api/v1/orgs/{ORG}");
    for (path, body) in [(org.clone(), org_body()), (format!("{org}/apps/chat"), app_body())] {
        let (client_id, token) = by_token(&server, &path, body).await;
        let reply = retrieve(&server, &path, &token).await.ok(200);
        assert_eq!((reply.str("client_id"), reply.str("retrieved_at")), (client_id.as_str(), "2026-01-23T15:30:45Z"));
        assert!(!reply.str("note").is_empty());
        assert_eq!(reply.header("cache-control"), "no-store");
        server.token(&client_id, reply.str("client_secret")).await.ok(200);
        retrieve(&server, &path, &token).await.error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_retrieval_token_that_is_unknown_or_anothers_is_unauthorized_and_uses_nothing_up() {
    let server = TestServer::start().await;
    let org = format!("/api/v1/orgs/{ORG}");
    let (_, token) = by_token(&server, &org, org_body()).await;
    by_token(&server, &format!("/api/v1/orgs/{OTHER_ORG}"), org_body()).await;
    retrieve(&server, &org, "nonsense").await.error(401, "UNAUTHORIZED");
    retrieve(&server, &format!("/api/v1/orgs/{OTHER_ORG}"), &token).await.error(401, "UNAUTHORIZED");
    retrieve(&server, &format!("{org}/apps/nobody"), &token).await.error(404, "NOT_FOUND");
    server.get(&format!("{org}/credentials/secret")).admin().await.refuses("INVALID_REQUEST", "token");
    // HEAD would use the secret up and drop it.
    let head = server.request("HEAD", &format!("{org}/credentials/secret?token={token}")).admin().await;
    assert_eq!((head.status, head.header("allow")), (405, "GET"));
    retrieve(&server, &org, &token).await.ok(200);
}

#[tokio::test]
async fn a_retrieval_token_works_for_ten_minutes() {
    let server = TestServer::start().await;
    let path = format!("/api/v1/orgs/{ORG}");
    let (_, token) = by_token(&server, &path, org_body()).await;
    server.at("2026-01-23T15:40:45Z");
    retrieve(&server, &path, &token).await.error(401, "UNAUTHORIZED");
    server.at("2026-01-23T15:40:44.999Z");
    retrieve(&server, &path, &token).await.ok(200);
    // Used and then expired: it is forgotten like any other.
    server.at("2026-01-23T15:40:45Z");
    retrieve(&server, &path, &token).await.error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn how_long_a_retrieval_token_works_is_configurable() {
    let server = TestServer::with(|setup| setup.config.auth.secret_retrieval_ttl_secs = 60).await;
    let path = format!("/api/v1/orgs/{ORG}");
    let (_, token) = by_token(&server, &path, org_body()).await;
    server.at("2026-01-23T15:31:45Z");
    retrieve(&server, &path, &token).await.error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_rotation_keeps_the_client_and_answers_how_long_the_old_secret_lives() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    for (tenant, app_id) in [(&org, json!(null)), (&chat, json!("chat"))] {
        // The whole body may be left out.
        let reply = tenant.admin("POST", "/credentials/rotate").await.ok(200);
        assert_eq!((reply.str("org_id"), &reply["app_id"]), (ORG, &app_id));
        assert_eq!(reply.str("client_id"), tenant.client_id);
        assert_eq!(
            reply["rotation"],
            json!({
                "rotated_at": "2026-01-23T15:30:45Z", "old_secret_expires_at": "2026-01-24T15:30:45Z", "grace_period_hours": 24,
            })
        );
        assert_eq!(reply.header("cache-control"), "no-store");
        let token = reply["secret_retrieval"]["token"].as_str().unwrap();
        let url = reply["secret_retrieval"]["url"].as_str().unwrap();
        assert_eq!(url, format!("{}/credentials/secret?token={token}", tenant.path));
        let secret = retrieve(&server, &tenant.path, token).await.ok(200).str("client_secret").to_owned();
        assert!(works(tenant, &secret).await && works(tenant, &tenant.secret).await);
        assert_ne!(secret, tenant.secret);
        tenant.get("/aggregates/today").await.ok(200);
    }
}

#[tokio::test]
async fn the_old_secret_works_until_its_grace_period_ends() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let new = rotated(&chat, 24).await;
    server.at("2026-01-24T15:30:44.999Z");
    assert!(works(&chat, &chat.secret).await);
    server.at("2026-01-24T15:30:45Z");
    assert!(!works(&chat, &chat.secret).await && works(&chat, &new).await);
}

#[tokio::test]
async fn a_second_rotation_inside_the_grace_period_ends_the_oldest_secret_at_once() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let second = rotated(&chat, 168).await;
    let third = rotated(&chat, 1).await;
    assert!(!works(&chat, &chat.secret).await);
    assert!(works(&chat, &second).await && works(&chat, &third).await);
    server.at("2026-01-23T16:30:45Z");
    assert!(!works(&chat, &second).await && works(&chat, &third).await);
}

#[tokio::test]
async fn without_grace_the_old_secret_ends_at_once() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let new = rotated(&chat, 0).await;
    assert!(!works(&chat, &chat.secret).await && works(&chat, &new).await);
}

#[tokio::test]
async fn a_rotation_that_cannot_be_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    for hours in [json!(-1), json!(169), json!(i64::MAX)] {
        rotate(&chat, json!({"grace_period_hours": hours})).await.refuses("INVALID_CONFIG", "grace_period_hours");
    }
    for (body, field) in [
        (json!({"grace_period_hours": "24"}), "grace_period_hours"),
        (json!({"secret_delivery": "email"}), "secret_delivery"),
        (json!({"colour": "red"}), "colour"),
    ] {
        rotate(&chat, body).await.refuses("INVALID_REQUEST", field);
    }
    org.admin("POST", "/apps/nobody/credentials/rotate").await.error(404, "NOT_FOUND");
    let text = chat.admin("POST", "/credentials/rotate").body("text/plain", "24");
    text.await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    assert!(works(&chat, &chat.secret).await);
}

#[tokio::test]
async fn a_rotation_makes_an_unused_retrieval_token_of_the_old_secret_no_way_around() {
    let server = TestServer::start().await;
    let path = format!("/api/v1/orgs/{ORG}");
    let (client_id, token) = by_token(&server, &path, org_body()).await;
    let body = json!({"grace_period_hours": 0, "secret_delivery": "inline"});
    let new = server
        .post(&format!("{path}/credentials/rotate"))
        .admin()
        .json(&body)
        .await
        .ok(200)
        .str("client_secret")
        .to_owned();
    // Whatever it still yields must not work.
    let old = retrieve(&server, &path, &token).await;
    if let Some(secret) = old["client_secret"].as_str() {
        server.token(&client_id, secret).await.error(401, "UNAUTHORIZED");
    }
    server.token(&client_id, &new).await.ok(200);
}

#[tokio::test]
async fn revoking_all_tokens_ends_those_of_that_client_and_its_secret_stays() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let mut chat = org.app("chat", json!({})).await;
    let refresh = json!({"grant_type": "refresh_token", "refresh_token": chat.refresh_token});
    chat.admin("POST", "/credentials/revoke-tokens").await.ok(204);
    chat.selection().await.error(401, "UNAUTHORIZED");
    server.post("/auth/refresh").json(&refresh).await.error(401, "UNAUTHORIZED");
    org.get("/aggregates/today").await.ok(200);
    // In the same second, too: it is not the time of issue that counts.
    chat.log_in().await;
    chat.selection().await.ok(200);
    org.admin("POST", "/credentials/revoke-tokens").await.ok(204);
    org.get("/aggregates/today").await.error(401, "UNAUTHORIZED");
    chat.selection().await.ok(200);
    chat.admin("POST", "/credentials/revoke-tokens").json(&json!({})).await.ok(204);
    org.admin("POST", "/apps/nobody/credentials/revoke-tokens").await.error(404, "NOT_FOUND");
}
