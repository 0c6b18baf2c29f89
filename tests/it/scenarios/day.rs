//! A day of an application: down the chain of models, and up again at local midnight.

use serde_json::json;

use crate::support::server::{Setup, TestServer, request_id};
use crate::support::tenants::{Tenant, usage, with};

fn long_lived(setup: &mut Setup) {
    setup.tokens_live_long();
}

async fn recommends(app: &Tenant<'_>, label: &str, reason: &str) {
    assert_eq!(app.recommended().await, (label.to_owned(), reason.to_owned()));
}

#[tokio::test]
async fn a_day_runs_down_the_chain_and_starts_anew_at_midnight_in_new_york() {
    let server = TestServer::with(long_lived).await;
    let chat = server.chat(json!({})).await;
    server.at("2026-01-23T05:00:00Z");
    recommends(&chat, "premium", "NORMAL").await;

    server.at("2026-01-23T14:00:00Z");
    chat.spend("premium", 9_500_000).await;
    assert_eq!(chat.selection().await.ok(200)["quota_status"]["mode"], "TIGHT");
    server.at("2026-01-23T14:01:00Z");
    chat.spend("premium", 600_000).await;
    recommends(&chat, "standard", "QUOTA_EXCEEDED_PREMIUM").await;

    server.at("2026-01-23T18:00:00Z");
    recommends(&chat, "standard", "STICKY_FALLBACK").await;
    // A straggler on the label that was left is counted there and moves nothing.
    chat.spend("premium", 1_000).await;
    recommends(&chat, "standard", "STICKY_FALLBACK").await;
    chat.spend("standard", 5_000_000).await;
    recommends(&chat, "economy", "QUOTA_EXCEEDED_STANDARD").await;

    server.at("2026-01-24T03:00:00Z");
    chat.spend("economy", 1_000_000).await;
    let exhausted = chat.selection().await.error(429, "QUOTA_EXCEEDED");
    assert_eq!((exhausted.str("retry_after"), exhausted.header("retry-after")), ("2026-01-24T05:00:00Z", "7200"));
    assert_eq!(exhausted["details"]["total_overage_usd_micros"], 101_000);

    server.at("2026-01-24T04:59:59.999Z");
    assert_eq!(chat.selection().await.error(429, "QUOTA_EXCEEDED").header("retry-after"), "1");
    server.at("2026-01-24T05:00:00Z");
    recommends(&chat, "premium", "NORMAL").await;
    let today = chat.today().await;
    assert_eq!((today.str("date"), &today["total_cost_usd_micros"]), ("2026-01-24", &json!(0)));
    assert_eq!(today["month"]["cost_usd_micros"], 16_101_000);

    let yesterday = chat.get("/aggregates/2026-01-23").await.ok(200);
    assert_eq!(
        (&yesterday["total_cost_usd_micros"], &yesterday["current_active_model"]),
        (&json!(16_101_000), &json!("economy"))
    );
    assert_eq!(yesterday["updated_at"], "2026-01-24T03:00:00Z");
}

#[tokio::test]
async fn usage_of_yesterday_is_charged_to_yesterday() {
    let server = TestServer::with(long_lived).await;
    let chat = server.chat(json!({})).await;
    server.at("2026-01-24T05:00:10Z");
    let receipt = chat.spend_at("2026-01-24T04:59:50Z", "premium", 10_000_000).await;
    let total = &receipt["daily_total"];
    assert_eq!((&total["date"], &total["status"]), (&json!("2026-01-23"), &json!("EXCEEDED")));
    recommends(&chat, "premium", "NORMAL").await;
    let on_time = chat.post("/usage", &usage(&request_id(99), "premium")).await.ok(202);
    assert_eq!(
        (&on_time["daily_total"]["date"], &on_time["daily_total"]["cost_usd_micros"]),
        (&json!("2026-01-24"), &json!(3760))
    );
    assert_eq!(chat.get("/aggregates/2026-01-23").await.ok(200)["total_cost_usd_micros"], 10_000_000);
    assert_eq!(chat.today().await["total_cost_usd_micros"], 3760);
}

#[tokio::test]
async fn midnight_ends_a_sticky_fallback_for_all_applications_of_a_shared_quota() {
    let server = TestServer::with(long_lived).await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    server.at("2026-01-24T04:59:59Z");
    chat.spend("premium", 10_000_000).await;
    recommends(&chat, "standard", "QUOTA_EXCEEDED_PREMIUM").await;
    recommends(&mail, "standard", "STICKY_FALLBACK").await;
    server.at("2026-01-24T05:00:00Z");
    for app in [&mail, &chat] {
        recommends(app, "premium", "NORMAL").await;
        assert_eq!(app.selection().await.ok(200)["quota_status"]["sticky_fallback_active"], false);
    }
}

#[tokio::test]
async fn a_day_is_final_24_hours_after_it_ended() {
    let server = TestServer::with(long_lived).await;
    let chat = server.chat(json!({})).await;
    let late = |n: u32| with(usage(&request_id(n), "premium"), json!({"timestamp": "2026-01-23T12:00:00Z"}));
    let last_moment = |n: u32| with(usage(&request_id(n), "premium"), json!({"timestamp": "2026-01-24T04:59:59Z"}));
    // All of tomorrow, yesterday is still accepted …
    server.at("2026-01-25T04:59:59Z");
    chat.post("/usage", &late(1)).await.ok(202);
    // … and from then on nothing of it.
    server.at("2026-01-25T05:00:00Z");
    chat.post("/usage", &late(2)).await.refuses("INVALID_REQUEST", "timestamp");
    chat.post("/usage", &last_moment(3)).await.refuses("INVALID_REQUEST", "timestamp");
    assert_eq!(chat.get("/aggregates/2026-01-23").await.ok(200)["total_cost_usd_micros"], 3760);
}

#[tokio::test]
async fn each_organization_lives_in_its_own_time_zone() {
    let server = TestServer::with(long_lived).await;
    let zones = [
        ("150e8400-e29b-41d4-a716-446655440000", "Pacific/Kiritimati", "2026-01-24", "20260124"),
        ("250e8400-e29b-41d4-a716-446655440000", "Asia/Kathmandu", "2026-01-23", "20260123"),
        ("350e8400-e29b-41d4-a716-446655440000", "Pacific/Pago_Pago", "2026-01-22", "20260122"),
    ];
    server.at("2026-01-23T10:30:00Z");
    for (org_id, timezone, date, compact) in zones {
        let org = server.org_named(org_id, json!({"timezone": timezone})).await;
        let chat = org.app("chat", json!({})).await;
        assert_eq!(chat.spend("premium", 5).await["daily_total"]["date"], date, "{timezone}");
        assert_eq!(chat.selection().await.ok(200)["org_day"], compact);
        assert_eq!(org.today().await["date"], date);
    }
}
