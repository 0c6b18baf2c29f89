//! How long a recommendation may be kept, and when it is a new one.

use serde_json::json;

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::Tenant;

async fn if_none_match(chat: &Tenant<'_>, tags: &str) -> Reply {
    chat.get("/model-selection").header("if-none-match", tags).await
}

#[tokio::test]
async fn an_answer_carries_what_a_cache_needs() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let reply = chat.selection().await.ok(200);
    assert_eq!(reply.header("cache-control"), "private, max-age=300");
    assert_eq!(reply.header("x-data-lag-secs"), "0");
    let tag = reply.header("etag");
    assert!(tag.starts_with("W/\"") && tag.ends_with('"') && tag.len() > 8, "{tag}");
    let vary: Vec<_> = reply.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(vary.join(",").contains("authorization"), "one caller's answer is not another's: {vary:?}");
}

#[tokio::test]
async fn the_etag_changes_with_the_answer_and_not_with_the_clock() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let tag = async || chat.selection().await.ok(200).header("etag").to_owned();
    let first = tag().await;
    server.at("2026-01-23T15:45:00Z");
    assert_eq!(tag().await, first);
    chat.spend("economy", 1).await;
    let spent = tag().await;
    assert_ne!(spent, first, "models_status changed");
    assert_eq!(tag().await, spent);
}

#[tokio::test]
async fn the_etag_changes_at_midnight() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let chat = server.chat(json!({})).await;
    server.at("2026-01-24T04:59:59.999Z");
    let before = chat.selection().await.ok(200);
    server.at("2026-01-24T05:00:00Z");
    let after = chat.selection().await.ok(200);
    assert_ne!(before.header("etag"), after.header("etag"));
}

#[tokio::test]
async fn a_known_answer_is_not_sent_again() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let tag = chat.selection().await.ok(200).header("etag").to_owned();
    for tags in [tag.clone(), format!("\"other\", {tag}"), tag.trim_start_matches("W/").to_owned(), "*".to_owned()] {
        let reply = if_none_match(&chat, &tags).await.ok(304);
        assert!(reply.body.is_empty());
        assert_eq!(reply.header("etag"), tag);
        assert_eq!(reply.header("cache-control"), "private, max-age=300");
        assert_eq!(reply.header("x-data-lag-secs"), "0");
    }
    if_none_match(&chat, "W/\"other\"").await.ok(200);
    chat.spend("premium", 1).await;
    if_none_match(&chat, &tag).await.ok(200);
}

#[tokio::test]
async fn force_check_is_taken_and_anything_else_in_the_query_is_refused_by_name() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for good in ["?force_check=true", "?force_check=false", "?"] {
        chat.get(&format!("/model-selection{good}")).await.ok(200);
    }
    chat.get("/model-selection?force_check=maybe").await.refuses("INVALID_REQUEST", "force_check");
    chat.get("/model-selection?colour=red").await.refuses("INVALID_REQUEST", "colour");
}

#[tokio::test]
async fn a_refusal_for_spent_quotas_is_not_cached() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({"model_ordering": ["premium"], "quotas": {"premium": 0}})).await;
    let reply = chat.selection().await.error(429, "QUOTA_EXCEEDED");
    assert!(reply.header("etag").is_empty());
}
