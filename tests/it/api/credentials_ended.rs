//! Access that ended: by the clock, by a rotation, by a deletion; and what of that an outsider can tell apart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, app_body, org_body};

async fn start() -> TestServer {
    TestServer::with(|setup| setup.config.rate_limits.enabled = false).await
}

async fn rotated(tenant: &Tenant<'_>, grace_period_hours: u64) -> String {
    let body = json!({"grace_period_hours": grace_period_hours, "secret_delivery": "inline"});
    let reply = tenant.admin("POST", "/credentials/rotate").json(&body).await.ok(200);
    reply.str("client_secret").to_owned()
}

async fn works(tenant: &Tenant<'_>, secret: &str) -> bool {
    let reply = tenant.server.token(&tenant.client_id, secret).await;
    assert!(matches!(reply.status, 200 | 401), "{}", reply.text());
    reply.status == 200
}

async fn refreshed(tenant: &Tenant<'_>) -> Reply {
    let body = json!({"grant_type": "refresh_token", "refresh_token": tenant.refresh_token});
    tenant.server.post("/auth/refresh").json(&body).await
}

#[tokio::test]
async fn an_old_secret_of_either_client_works_to_the_millisecond_its_grace_ends() {
    for (hours, last, end) in [
        (1, "2026-01-23T16:30:44.999Z", "2026-01-23T16:30:45Z"),
        (168, "2026-01-30T15:30:44.999Z", "2026-01-30T15:30:45Z"),
    ] {
        let server = start().await;
        let org = server.org(json!({})).await;
        let chat = org.app("chat", json!({})).await;
        for tenant in [&org, &chat] {
            server.at("2026-01-23T15:30:45Z");
            let new = rotated(tenant, hours).await;
            server.at(last);
            assert!(works(tenant, &tenant.secret).await && works(tenant, &new).await, "{}", tenant.path);
            server.at(end);
            assert!(!works(tenant, &tenant.secret).await && works(tenant, &new).await, "{}", tenant.path);
        }
    }
}

#[tokio::test]
async fn a_second_rotation_ends_the_oldest_secret_of_either_client_at_once() {
    let server = start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    for tenant in [&org, &chat] {
        let second = rotated(tenant, 168).await;
        let third = rotated(tenant, 168).await;
        assert!(!works(tenant, &tenant.secret).await);
        assert!(works(tenant, &second).await && works(tenant, &third).await);
        // And a rotation without grace ends both.
        let fourth = rotated(tenant, 0).await;
        assert!(!works(tenant, &second).await && !works(tenant, &third).await && works(tenant, &fourth).await);
    }
    // Rotating one client touched no other's tokens or secrets.
    chat.selection().await.ok(200);
    org.get("/aggregates/today").await.ok(200);
}

#[tokio::test]
async fn deleting_a_tenant_ends_every_access_of_it_at_once_and_no_later_life_brings_it_back() {
    let server = start().await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    let dead = async |tenant: &Tenant<'_>, get: &str| {
        tenant.get(get).await.error(401, "UNAUTHORIZED");
        refreshed(tenant).await.error(401, "UNAUTHORIZED");
        assert!(!works(tenant, &tenant.secret).await);
    };
    server.delete(&chat.path).admin().await.ok(204);
    dead(&chat, "/model-selection").await;
    mail.selection().await.ok(200);
    server.put(&chat.path).admin().json(&app_body()).await.ok(201);
    dead(&chat, "/model-selection").await;

    server.delete(&org.path).admin().await.ok(204);
    dead(&org, "/aggregates/today").await;
    dead(&mail, "/model-selection").await;
    server.put(&org.path).admin().json(&org_body()).await.ok(201);
    server.put(&mail.path).admin().json(&app_body()).await.ok(201);
    dead(&org, "/aggregates/today").await;
    dead(&mail, "/model-selection").await;
}

/// Everything an outsider sees of a refusal, but what differs from answer to answer.
fn seen(reply: &Reply) -> (u16, Vec<(String, String)>, Value) {
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let mut json = reply.json.clone();
    for member in ["request_id", "timestamp"] {
        json.as_object_mut().unwrap().remove(member).unwrap();
    }
    (reply.status, headers, json)
}

#[tokio::test]
async fn nothing_tells_an_unknown_client_from_a_wrong_an_expired_or_a_deleted_secret() {
    let server = start().await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    let deleted = org.app("gone", json!({})).await;
    server.delete(&deleted.path).admin().await.ok(204);
    rotated(&mail, 1).await;
    server.at("2026-01-23T16:30:45Z");

    let unknown = format!("org-{OTHER_ORG}-app-chat");
    let attempts = [
        ("a wrong secret", chat.client_id.as_str(), deleted.secret.as_str()),
        ("no secret like any", &chat.client_id, "x"),
        ("an unknown organization", &unknown, &chat.secret),
        ("an unknown application", &format!("org-{ORG}-app-nobody"), &chat.secret),
        ("a deleted application", &deleted.client_id, &deleted.secret),
        ("an expired secret", &mail.client_id, &mail.secret),
        ("the secret of a sibling", &mail.client_id, &chat.secret),
    ];
    let mut by_body = Vec::new();
    let mut by_basic = Vec::new();
    for (what, client_id, secret) in attempts {
        server.store.take_credential_calls();
        let reply = server.token(client_id, secret).await.error(401, "UNAUTHORIZED");
        by_body.push((what, seen(&reply), server.store.take_credential_calls()));
        let basic = format!("Basic {}", STANDARD.encode(format!("{client_id}:{secret}")));
        let body = json!({"grant_type": "client_credentials"});
        let reply = server.post("/auth/token").header("authorization", &basic).json(&body).await;
        by_basic.push((what, seen(&reply.error(401, "UNAUTHORIZED")), server.store.take_credential_calls()));
    }
    for attempts in [by_body, by_basic] {
        let (first, rest) = attempts.split_first().unwrap();
        assert_eq!(first.2, ["credential"], "one read, whoever it is");
        for attempt in rest {
            assert_eq!((&attempt.1, &attempt.2), (&first.1, &first.2), "{} against {}", attempt.0, first.0);
        }
    }
}

#[tokio::test]
async fn nothing_tells_a_dead_token_from_one_that_never_was() {
    let server = start().await;
    let org = server.org(json!({})).await;
    let mut chat = org.app("chat", json!({})).await;
    let expired = chat.token.clone();
    server.at("2026-01-23T16:30:45Z");
    chat.log_in().await;
    let revoked = chat.token.clone();
    server.post("/auth/revoke").bearer(&revoked).json(&json!({"token": revoked})).await.ok(204);
    let path = format!("{}/model-selection", chat.path);
    let never = format!("{}x", chat.token);
    let mut answers = Vec::new();
    for token in [&expired, &revoked, &chat.refresh_token, &never, &"nonsense".to_owned()] {
        answers.push(seen(&server.get(&path).bearer(token).await.error(401, "UNAUTHORIZED")));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
}
