//! Tokens that are revoked, forged or altered.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bedrock_cost_keeper::domain::signing_key::{SigningKey, VerificationKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::{JWT_SECRET, TestServer};
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, with};

async fn revoke(tenant: &Tenant<'_>, token: &str) -> Reply {
    let body = json!({"token": token, "token_type_hint": "access_token"});
    tenant.server.post("/auth/revoke").bearer(&tenant.token).json(&body).await
}

async fn refreshed(tenant: &Tenant<'_>) -> Reply {
    let body = json!({"grant_type": "refresh_token", "refresh_token": tenant.refresh_token});
    tenant.server.post("/auth/refresh").json(&body).await
}

async fn selection(tenant: &Tenant<'_>, token: &str) -> Reply {
    tenant.server.get(&format!("{}/model-selection", tenant.path)).bearer(token).await
}

fn part(token: &str, n: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap()).unwrap()
}

fn packed(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

#[tokio::test]
async fn a_revoked_access_token_ends_alone() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    revoke(&chat, &chat.token).await.ok(204);
    chat.selection().await.error(401, "UNAUTHORIZED");
    revoke(&chat, &chat.token).await.error(401, "UNAUTHORIZED");
    let another = refreshed(&chat).await.ok(200);
    selection(&chat, another.str("access_token")).await.ok(200);
}

#[tokio::test]
async fn a_revoked_refresh_token_ends_its_session_and_no_other() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let sibling = refreshed(&chat).await.ok(200);
    let other_session = server.token(&chat.client_id, &chat.secret).await.ok(200);
    revoke(&chat, &chat.refresh_token).await.ok(204);
    refreshed(&chat).await.error(401, "UNAUTHORIZED");
    chat.selection().await.error(401, "UNAUTHORIZED");
    selection(&chat, sibling.str("access_token")).await.error(401, "UNAUTHORIZED");
    selection(&chat, other_session.str("access_token")).await.ok(200);
}

#[tokio::test]
async fn revoking_anothers_token_is_forbidden_and_revoking_nothing_succeeds() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    for (tenant, theirs) in [(&chat, &mail.token), (&chat, &org.refresh_token), (&org, &chat.token)] {
        let reply = revoke(tenant, theirs).await.error(403, "FORBIDDEN");
        assert!(reply["error_description"].is_string());
    }
    mail.selection().await.ok(200);
    for unknown in ["nonsense", "a.b.c", &format!("{}x", chat.token)] {
        revoke(&chat, unknown).await.ok(204);
    }
    let form = server.post("/auth/revoke").bearer(&chat.token);
    form.body("application/x-www-form-urlencoded", format!("token={}", chat.refresh_token)).await.ok(204);
    chat.selection().await.error(401, "UNAUTHORIZED");
    for body in [json!({}), json!({"token": ""})] {
        server.post("/auth/revoke").bearer(&mail.token).json(&body).await.refuses("INVALID_REQUEST", "token");
    }
}

#[tokio::test]
async fn an_expired_token_of_anybody_is_none_at_all() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let (mut chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    server.at("2026-01-23T16:30:45Z");
    chat.log_in().await;
    revoke(&chat, &mail.token).await.ok(204);
}

#[tokio::test]
async fn a_token_that_is_missing_or_malformed_is_unauthorized() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let path = format!("{}/model-selection", chat.path);
    server.get(&path).await.error(401, "UNAUTHORIZED");
    let token = &chat.token;
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.clone(),
        format!("Token {token}"),
        format!("Basic {token}"),
        "Bearer nonsense".to_owned(),
        format!("Bearer {token}.x"),
        format!("Bearer {}", "x".repeat(10_000)),
    ] {
        server.get(&path).header("authorization", &value).await.error(401, "UNAUTHORIZED");
    }
    server.get(&path).header("authorization", &format!("bearer {token}")).await.ok(200);
}

#[tokio::test]
async fn a_forged_or_altered_token_is_unauthorized() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let (header, claims) = (part(&chat.token, 0), part(&chat.token, 1));
    let kid = header["kid"].as_str().unwrap().to_owned();
    let signature = chat.token.split('.').nth(2).unwrap();
    let signed = |secret: &str, algorithm, kid: Option<&str>, claims: &Value| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let own = |changes: Value| signed(JWT_SECRET, Algorithm::HS256, Some(&kid), &with(claims.clone(), changes));
    selection(&chat, &own(json!({}))).await.ok(200);

    let none = packed(&with(header.clone(), json!({"alg": "none"})));
    let org_wide = packed(&with(claims.clone(), json!({"sub": format!("org-{ORG}"), "app_id": null})));
    for (what, token) in [
        ("alg none", format!("{none}.{}.", packed(&claims))),
        ("alg none with a signature", format!("{none}.{}.{signature}", packed(&claims))),
        ("altered claims", format!("{}.{org_wide}.{signature}", chat.token.split('.').next().unwrap())),
        ("no signature", format!("{}.{}.", packed(&header), packed(&claims))),
        ("a foreign key", signed("another-signing-secret-0123456789-abcde", Algorithm::HS256, Some(&kid), &claims)),
        ("an empty key", signed("", Algorithm::HS256, Some(&kid), &claims)),
        ("another algorithm", signed(JWT_SECRET, Algorithm::HS512, Some(&kid), &claims)),
        ("no kid", signed(JWT_SECRET, Algorithm::HS256, None, &claims)),
        ("an unknown kid", signed(JWT_SECRET, Algorithm::HS256, Some("0000000000000000"), &claims)),
        ("a foreign issuer", own(json!({"iss": "somebody"}))),
        ("sub and app_id apart", own(json!({"app_id": "mail"}))),
        ("sub and org_id apart", own(json!({"org_id": OTHER_ORG}))),
        ("a refresh token", own(json!({"token_type": "refresh"}))),
        ("no expiry", own(json!({"exp": null}))),
        ("expired", own(json!({"exp": 1_769_182_245}))),
        ("another epoch", own(json!({"epoch": "00000000-0000-4000-8000-000000000000"}))),
        ("no epoch", own(json!({"epoch": null}))),
    ] {
        let reply = selection(&chat, &token).await;
        assert_eq!(reply.status, 401, "{what}: {}", reply.text());
        reply.error(401, "UNAUTHORIZED");
    }
    let unscoped = own(json!({"scope": ["write:costs"]}));
    selection(&chat, &unscoped).await.error(403, "FORBIDDEN");
}

#[tokio::test]
async fn tokens_of_an_earlier_signing_secret_stay_good_while_it_is_configured() {
    let first = TestServer::start().await;
    let (path, token) = {
        let chat = first.chat(json!({})).await;
        (format!("{}/model-selection", chat.path), chat.token)
    };
    let data = first.stop().await;
    for (older, status) in [(vec![VerificationKey::hs256(JWT_SECRET)], 200), (Vec::new(), 401)] {
        let server = TestServer::with(|setup| {
            setup.data = data.clone();
            setup.seed = 2;
            setup.secrets.signing = SigningKey::hs256("the-next-signing-secret-0123456789-abcd");
            setup.secrets.verification = older;
        })
        .await;
        assert_eq!(server.get(&path).bearer(&token).await.status, status);
        server.stop().await;
    }
}

#[tokio::test]
async fn every_configured_provisioning_key_works_and_no_other() {
    let server = TestServer::start().await;
    server.get("/api/v1/orgs").admin().await.ok(200);
    server.get("/api/v1/orgs").header("x-api-key", "a-second-provisioning-key-123456").await.ok(200);
    for wrong in ["", "a", "test-provisioning-key-012345678", "test-provisioning-key-01234567890", JWT_SECRET] {
        server.get("/api/v1/orgs").header("x-api-key", wrong).await.error(401, "UNAUTHORIZED");
    }
    // A wrong key is not made good by a token.
    let chat = server.chat(json!({})).await;
    let path = format!("{}/model-selection", chat.path);
    server.get(&path).bearer(&chat.token).header("x-api-key", "wrong").await.error(401, "UNAUTHORIZED");
}
