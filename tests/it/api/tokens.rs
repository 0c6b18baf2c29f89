//! Tokens issued and refreshed.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, with};

const FORM: &str = "application/x-www-form-urlencoded";

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn refresh(server: &TestServer, path: &str, refresh_token: &str) -> Reply {
    server.post(path).json(&json!({"grant_type": "refresh_token", "refresh_token": refresh_token})).await
}

async fn basic(tenant: &Tenant<'_>, pair: &str) -> Reply {
    let header = format!("Basic {}", STANDARD.encode(pair));
    let call = tenant.server.post("/auth/token").header("authorization", &header);
    call.body(FORM, "grant_type=client_credentials").await
}

/// Without what differs from answer to answer.
fn stable(reply: &Reply) -> Value {
    let mut json = reply.json.clone();
    for member in ["request_id", "timestamp"] {
        json.as_object_mut().unwrap().remove(member);
    }
    json
}

#[tokio::test]
async fn client_credentials_get_an_access_and_a_refresh_token() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    for (tenant, scope, app_id) in
        [(&org, format!("org:{ORG}"), json!(null)), (&chat, format!("org:{ORG} app:chat"), json!("chat"))]
    {
        let reply = server.token(&tenant.client_id, &tenant.secret).await.ok(200);
        assert_eq!((reply.str("token_type"), reply.str("scope")), ("Bearer", scope.as_str()));
        assert_eq!((&reply["expires_in"], &reply["refresh_expires_in"]), (&json!(3600), &json!(604_800)));
        assert_eq!(reply.header("cache-control"), "no-store");
        let claims = claims(reply.str("access_token"));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("bedrock-cost-keeper"), &json!(tenant.client_id)));
        assert_eq!(
            (&claims["org_id"], &claims["app_id"], &claims["token_type"]),
            (&json!(ORG), &app_id, &json!("access"))
        );
        assert_eq!(claims["scope"], json!(["read:aggregates", "write:costs", "read:model-selection"]));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
        assert!(claims["jti"].is_string() && claims["sid"].is_string());
    }
}

#[tokio::test]
async fn credentials_come_as_json_as_a_form_or_as_http_basic() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let (id, secret) = (&chat.client_id, &chat.secret);
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", encoded(id), encoded(secret));
    server.post("/auth/token").body(FORM, form).await.ok(200);
    basic(&chat, &format!("{id}:{secret}")).await.ok(200);
    basic(&chat, &format!("{}:{}", encoded(id), encoded(secret))).await.ok(200);
    let body = json!({"grant_type": "client_credentials", "audience": "unknown parameters are ignored"});
    let header = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    server.post("/auth/token").header("authorization", &header).json(&body).await.ok(200);
    let contradicting = json!({"grant_type": "client_credentials", "client_id": format!("org-{OTHER_ORG}")});
    let call = server.post("/auth/token").header("authorization", &header).json(&contradicting);
    call.await.refuses("INVALID_REQUEST", "client_id");
}

#[tokio::test]
async fn an_unknown_client_and_a_wrong_secret_are_answered_alike() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let wrong = server.token(&chat.client_id, "wrong").await.error(401, "UNAUTHORIZED");
    assert_eq!(wrong["error_description"], wrong["message"]);
    assert_eq!(wrong.header("pragma"), "no-cache");
    let long = "x".repeat(100_000);
    for (client_id, secret) in [
        (format!("org-{OTHER_ORG}-app-chat"), chat.secret.as_str()),
        (format!("org-{ORG}"), &chat.secret),
        (format!("{}2", chat.client_id), &chat.secret),
        ("nonsense".to_owned(), &chat.secret),
        (chat.client_id.clone(), &long),
        (chat.client_id.clone(), &chat.secret[1..]),
    ] {
        let reply = server.token(&client_id, secret).await.error(401, "UNAUTHORIZED");
        assert_eq!(stable(&reply), stable(&wrong), "{client_id}");
    }
    let by_basic = basic(&chat, &format!("{}:wrong", chat.client_id)).await.error(401, "UNAUTHORIZED");
    assert!(
        by_basic.headers.get_all("www-authenticate").iter().any(|value| value.to_str().unwrap().starts_with("Basic"))
    );
    basic(&chat, "no colon").await.error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_token_request_that_is_malformed_says_so_the_oauth_way() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for (body, field) in [
        (json!({}), "grant_type"),
        (json!({"grant_type": ""}), "grant_type"),
        (json!({"grant_type": "password"}), "grant_type"),
        (json!({"grant_type": 5}), "grant_type"),
        (json!({"grant_type": "refresh_token"}), "refresh_token"),
        (json!({"grant_type": "client_credentials", "client_secret": 5}), "client_secret"),
        (json!([]), "body"),
    ] {
        let reply = server.post("/auth/token").json(&body).await.refuses("INVALID_REQUEST", field);
        assert_eq!(reply["error_description"], reply["message"]);
    }
    let refused = server.post("/auth/refresh").json(&json!({"grant_type": "client_credentials"})).await;
    refused.refuses("INVALID_REQUEST", "grant_type");
    for body in [json!({}), json!({"client_id": chat.client_id}), json!({"client_secret": chat.secret})] {
        let body = with(body, json!({"grant_type": "client_credentials"}));
        server.post("/auth/token").json(&body).await.error(401, "UNAUTHORIZED");
    }
    let twice = "grant_type=client_credentials&grant_type=client_credentials";
    let reply = server.post("/auth/token").body(FORM, twice).await.error(400, "INVALID_REQUEST");
    assert!(reply["error_description"].is_string());
    let text = server.post("/auth/token").body("text/plain", "grant_type=client_credentials").await;
    assert!(text.error(415, "UNSUPPORTED_MEDIA_TYPE")["error_description"].is_string());
    for secretive in [format!("{{\"client_secret\":{:?}", chat.secret), format!("{:?}", chat.secret)] {
        let reply = server.post("/auth/token").body("application/json", secretive).await.error(400, "INVALID_REQUEST");
        assert!(!reply.text().contains(&chat.secret), "a refusal never repeats a secret");
    }
}

#[tokio::test]
async fn a_refresh_token_gets_further_access_tokens_at_both_paths() {
    let server = TestServer::start().await;
    let mut chat = server.chat(json!({})).await;
    let session = claims(&chat.token)["sid"].clone();
    server.at("2026-01-23T17:00:00Z");
    chat.selection().await.error(401, "UNAUTHORIZED");
    for path in ["/auth/refresh", "/auth/token"] {
        let reply = refresh(&server, path, &chat.refresh_token).await.ok(200);
        assert_eq!((reply.str("token_type"), &reply["expires_in"]), ("Bearer", &json!(3600)));
        assert!(reply.json.get("refresh_token").is_none());
        assert_eq!(reply.header("cache-control"), "no-store");
        reply.str("access_token").clone_into(&mut chat.token);
        assert_eq!(claims(&chat.token)["sid"], session);
        chat.selection().await.ok(200);
    }
    let form = format!("grant_type=refresh_token&refresh_token={}", encoded(&chat.refresh_token));
    server.post("/auth/refresh").body(FORM, form).await.ok(200);
}

#[tokio::test]
async fn refreshing_needs_no_client_but_one_that_is_sent_must_match() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    let with_client = async |client: Value| {
        let body = json!({"grant_type": "refresh_token", "refresh_token": chat.refresh_token});
        server.post("/auth/refresh").json(&with(body, client)).await
    };
    with_client(json!({"client_id": chat.client_id, "client_secret": chat.secret})).await.ok(200);
    with_client(json!({"client_id": chat.client_id})).await.ok(200);
    for client in [
        json!({"client_id": org.client_id, "client_secret": org.secret}),
        json!({"client_id": chat.client_id, "client_secret": "wrong"}),
        json!({"client_id": org.client_id}),
        json!({"client_secret": chat.secret}),
    ] {
        with_client(client).await.error(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn tokens_end_when_their_time_is_over() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    server.at("2026-01-23T16:30:44Z");
    chat.selection().await.ok(200);
    server.at("2026-01-23T16:30:45Z");
    chat.selection().await.error(401, "UNAUTHORIZED");
    server.at("2026-01-30T15:30:44Z");
    refresh(&server, "/auth/refresh", &chat.refresh_token).await.ok(200);
    server.at("2026-01-30T15:30:45Z");
    let reply = refresh(&server, "/auth/refresh", &chat.refresh_token).await.error(401, "UNAUTHORIZED");
    assert!(reply["error_description"].is_string());
}

#[tokio::test]
async fn lifetimes_are_configurable() {
    let server = TestServer::with(|setup| {
        setup.config.auth.access_token_ttl_secs = 60;
        setup.config.auth.refresh_token_ttl_secs = 300;
    })
    .await;
    let chat = server.chat(json!({})).await;
    let reply = server.token(&chat.client_id, &chat.secret).await.ok(200);
    assert_eq!((&reply["expires_in"], &reply["refresh_expires_in"]), (&json!(60), &json!(300)));
    server.at("2026-01-23T15:31:45Z");
    chat.selection().await.error(401, "UNAUTHORIZED");
    server.at("2026-01-23T15:35:45Z");
    refresh(&server, "/auth/refresh", &chat.refresh_token).await.error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn an_access_token_is_no_refresh_token_and_the_other_way_round() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    refresh(&server, "/auth/refresh", &chat.token).await.error(401, "UNAUTHORIZED");
    let selection = format!("{}/model-selection", chat.path);
    server.get(&selection).bearer(&chat.refresh_token).await.error(401, "UNAUTHORIZED");
    refresh(&server, "/auth/refresh", "nonsense").await.error(401, "UNAUTHORIZED");
}
