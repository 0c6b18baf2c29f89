//! The fallback of the day: shown, set by hand and cleared.

use serde_json::json;

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, Tenant};

async fn set(tenant: &Tenant<'_>, label: &str) -> Reply {
    tenant.admin("PUT", "/fallback").json(&json!({"model_label": label})).await
}

#[tokio::test]
async fn an_automatic_move_is_shown_with_what_was_left_why_and_until_when() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.admin("GET", "/fallback").await.error(404, "NOT_FOUND");
    chat.spend("premium", 10_000_000).await;
    chat.selection().await.ok(200);
    let state = json!({
        "scope": "APP", "date": "2026-01-23", "active_model_label": "standard", "active_model_index": 1,
        "previous_model_label": "premium", "reason": "QUOTA_EXCEEDED_PREMIUM",
        "activated_at": "2026-01-23T15:30:45Z", "expires_at": "2026-01-24T05:00:00Z",
    });
    assert_eq!(chat.admin("GET", "/fallback").await.ok(200).json, state);
    server.at("2026-01-23T16:00:00Z");
    assert_eq!(chat.admin("GET", "/fallback").await.ok(200).json, state);
}

#[tokio::test]
async fn an_administrator_may_set_any_label_of_the_ordering_backwards_too() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for (label, index, previous) in [("economy", 2, "premium"), ("premium", 0, "economy"), ("standard", 1, "premium")] {
        let state = set(&chat, label).await.ok(200);
        assert_eq!((state.str("active_model_label"), &state["active_model_index"]), (label, &json!(index)));
        assert_eq!((state.str("previous_model_label"), state.str("reason")), (previous, "MANUAL_OVERRIDE"));
        assert_eq!(chat.admin("GET", "/fallback").await.ok(200).json, state.json);
        assert_eq!(chat.recommended().await, (label.to_owned(), "MANUAL_OVERRIDE".to_owned()));
        assert_eq!(chat.selection().await.ok(200)["quota_status"]["sticky_fallback_active"], true);
    }
}

#[tokio::test]
async fn setting_the_same_label_again_changes_nothing() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let first = set(&chat, "standard").await.ok(200);
    server.at("2026-01-23T15:40:00Z");
    assert_eq!(set(&chat, "standard").await.ok(200).json, first.json);
}

#[tokio::test]
async fn a_label_set_by_hand_that_is_spent_is_left_like_any_other() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    set(&chat, "standard").await.ok(200);
    chat.spend("standard", 5_000_000).await;
    assert_eq!(chat.recommended().await, ("economy".to_owned(), "QUOTA_EXCEEDED_STANDARD".to_owned()));
    let state = chat.admin("GET", "/fallback").await.ok(200);
    assert_eq!((state.str("previous_model_label"), state.str("reason")), ("standard", "QUOTA_EXCEEDED_STANDARD"));
}

#[tokio::test]
async fn clearing_starts_at_the_first_label_again_and_is_idempotent() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    set(&chat, "economy").await.ok(200);
    for _ in 0..2 {
        chat.admin("DELETE", "/fallback").await.ok(204);
        chat.admin("GET", "/fallback").await.error(404, "NOT_FOUND");
    }
    assert_eq!(chat.recommended().await, ("premium".to_owned(), "NORMAL".to_owned()));
}

#[tokio::test]
async fn a_state_ends_at_local_midnight() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let chat = server.chat(json!({})).await;
    set(&chat, "economy").await.ok(200);
    server.at("2026-01-24T04:59:59.999Z");
    assert_eq!(chat.recommended().await.0, "economy");
    server.at("2026-01-24T05:00:00Z");
    chat.admin("GET", "/fallback").await.error(404, "NOT_FOUND");
    assert_eq!(chat.recommended().await, ("premium".to_owned(), "NORMAL".to_owned()));
}

#[tokio::test]
async fn an_organization_that_shares_its_quota_has_one_for_all_applications() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    let state = set(&org, "economy").await.ok(200);
    assert_eq!(state.str("scope"), "ORG");
    for app in [&chat, &mail] {
        assert_eq!(app.recommended().await.0, "economy");
    }
    let path = format!("/api/v1/orgs/{ORG}/fallback");
    for refused in
        [set(&chat, "economy").await, chat.admin("GET", "/fallback").await, chat.admin("DELETE", "/fallback").await]
    {
        assert!(refused.error(409, "CONFLICT").str("message").contains(&path));
    }
    org.admin("DELETE", "/fallback").await.ok(204);
    assert_eq!(chat.recommended().await.0, "premium");
}

#[tokio::test]
async fn with_quotas_by_application_the_organization_has_none() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    for refused in
        [set(&org, "economy").await, org.admin("GET", "/fallback").await, org.admin("DELETE", "/fallback").await]
    {
        assert!(refused.error(409, "CONFLICT").str("message").contains("/apps/"));
    }
}

#[tokio::test]
async fn a_label_outside_the_ordering_is_refused() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({"model_ordering": ["premium", "standard"]})).await;
    for label in ["economy", "unheard-of"] {
        let reply = set(&chat, label).await.refuses("INVALID_MODEL_LABEL", "model_label");
        assert_eq!(reply["details"]["configured_labels"], json!(["premium", "standard"]));
    }
    for body in [json!({"model_label": "Premium"}), json!({"model_label": 5}), json!({})] {
        chat.admin("PUT", "/fallback").json(&body).await.refuses("INVALID_REQUEST", "model_label");
    }
    let more = json!({"model_label": "premium", "until": "tomorrow"});
    chat.admin("PUT", "/fallback").json(&more).await.refuses("INVALID_REQUEST", "until");
}

#[tokio::test]
async fn where_fallbacks_do_not_stick_there_is_nothing_to_set() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({"overrides": {"sticky_fallback_enabled": false}})).await;
    let reply = set(&chat, "economy").await.error(409, "CONFLICT");
    assert_eq!(reply["details"]["field"], "sticky_fallback_enabled");
}

#[tokio::test]
async fn what_is_not_registered_has_no_fallback() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    for method in ["GET", "DELETE"] {
        org.admin(method, "/apps/nobody/fallback").await.error(404, "NOT_FOUND");
    }
    org.admin("PUT", "/apps/nobody/fallback").json(&json!({"model_label": "premium"})).await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn an_application_with_an_ordering_of_its_own_neither_follows_nor_moves_the_shared_fallback() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let shared = org.app("shared", json!({})).await;
    let own = org.app("own", json!({"model_ordering": ["premium", "standard"]})).await;
    set(&org, "economy").await.ok(200);
    shared.spend("premium", 10_000_000).await;

    assert_eq!(own.recommended().await, ("standard".to_owned(), "QUOTA_EXCEEDED_PREMIUM".to_owned()));
    assert_eq!(shared.recommended().await, ("economy".to_owned(), "MANUAL_OVERRIDE".to_owned()));
    assert_eq!(own.recommended().await, ("standard".to_owned(), "STICKY_FALLBACK".to_owned()));

    let state = own.admin("GET", "/fallback").await.ok(200);
    assert_eq!((state.str("scope"), state.str("active_model_label")), ("APP", "standard"));
    set(&own, "premium").await.ok(200);
    assert_eq!(org.admin("GET", "/fallback").await.ok(200).str("active_model_label"), "economy");
    set(&shared, "premium").await.error(409, "CONFLICT");
}

#[tokio::test]
async fn an_application_that_sticks_where_its_organization_does_not_has_a_state_of_its_own() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG", "overrides": {"sticky_fallback_enabled": false}})).await;
    let sticks = org.app("sticks", json!({"overrides": {"sticky_fallback_enabled": true}})).await;
    set(&sticks, "standard").await.ok(200);
    assert_eq!(sticks.recommended().await, ("standard".to_owned(), "MANUAL_OVERRIDE".to_owned()));
    set(&org, "standard").await.error(409, "CONFLICT");
}
