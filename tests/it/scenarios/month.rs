//! The end of a month, with monthly quotas.

use serde_json::json;

use crate::support::server::TestServer;

#[tokio::test]
async fn a_spent_month_comes_back_on_the_first_and_not_at_midnight() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let monthly = json!({"premium": 12_000_000, "economy": 1_500_000});
    let changes = json!({"model_ordering": ["premium", "economy"], "monthly_quotas": monthly});
    let chat = server.chat(changes).await;
    let recommended = async || chat.recommended().await;
    let is = |label: &str, reason: &str| (label.to_owned(), reason.to_owned());

    server.at("2026-01-29T18:00:00Z");
    chat.spend("premium", 9_000_000).await;
    assert_eq!(recommended().await, is("premium", "NORMAL"));
    server.at("2026-01-30T18:00:00Z");
    chat.spend("premium", 3_000_000).await;
    assert_eq!(recommended().await, is("economy", "QUOTA_EXCEEDED_PREMIUM"));
    let premium = chat.selection().await.ok(200)["quota_status"]["models_status"]["premium"].clone();
    assert_eq!(
        premium,
        json!({"spend_usd_micros": 12_000_000, "quota_usd_micros": 12_000_000, "quota_pct": 100.0, "status": "EXCEEDED", "period": "MONTH"})
    );

    // Economy's day is spent, too: midnight frees it, only the first of the month frees premium.
    chat.spend("economy", 1_000_000).await;
    assert_eq!(chat.selection().await.error(429, "QUOTA_EXCEEDED")["retry_after"], "2026-01-31T05:00:00Z");
    server.at("2026-01-31T05:00:00Z");
    assert_eq!(recommended().await, is("economy", "QUOTA_EXCEEDED_PREMIUM"));
    server.at("2026-01-31T10:00:00Z");
    chat.spend("economy", 500_000).await;
    let exhausted = chat.selection().await.error(429, "QUOTA_EXCEEDED");
    assert_eq!((exhausted.str("retry_after"), exhausted.header("retry-after")), ("2026-02-01T05:00:00Z", "68400"));

    server.at("2026-02-01T04:59:59.999Z");
    chat.selection().await.error(429, "QUOTA_EXCEEDED");
    server.at("2026-02-01T05:00:00Z");
    assert_eq!(recommended().await, is("premium", "NORMAL"));
    let today = chat.today().await;
    assert_eq!(today["month"], json!({"cost_usd_micros": 0, "quota_usd_micros": 13_500_000}));
}

#[tokio::test]
async fn usage_of_the_last_of_the_month_is_charged_to_that_month() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let chat = server.chat(json!({"monthly_quotas": {"premium": 1000}})).await;
    server.at("2026-02-01T05:00:30Z");
    let receipt = chat.spend_at("2026-02-01T04:59:59.999Z", "premium", 1000).await;
    let total = &receipt["daily_total"];
    assert_eq!(
        (&total["date"], &total["status"], &total["quota_period"]),
        (&json!("2026-01-31"), &json!("EXCEEDED"), &json!("MONTH"))
    );
    assert_eq!(chat.recommended().await.0, "premium");
    assert_eq!(chat.today().await["month"]["cost_usd_micros"], 0);
    assert_eq!(chat.get("/aggregates/2026-01-31").await.ok(200)["month"]["cost_usd_micros"], 1000);
}

#[tokio::test]
async fn december_ends_in_january() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let changes = json!({"timezone": "Asia/Tokyo", "model_ordering": ["premium"], "monthly_quotas": {"premium": 1}});
    let chat = server.chat(changes).await;
    server.at("2026-12-15T00:00:00Z");
    chat.spend("premium", 1).await;
    assert_eq!(chat.selection().await.error(429, "QUOTA_EXCEEDED")["retry_after"], "2026-12-31T15:00:00Z");
    server.at("2026-12-31T15:00:00Z");
    chat.selection().await.ok(200);
}
