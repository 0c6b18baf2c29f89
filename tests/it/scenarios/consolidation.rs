//! Totals that follow usage at a distance: how old they are is said, and everything is counted in the end.

use std::sync::Arc;

use bedrock_cost_keeper::service::consolidation::Turn;
use serde_json::json;

use crate::support::server::{Setup, TestServer};
use crate::support::stores::{self, FreshStore};
use crate::support::tenants::Tenant;

async fn server(store: &Arc<FreshStore>, seed: u64) -> TestServer {
    TestServer::on(Arc::clone(store), |setup: &mut Setup| {
        setup.seed = seed;
        setup.tokens_live_long();
    })
    .await
}

async fn led(server: &TestServer) -> bool {
    matches!(server.app.services.consolidation_turn().await.unwrap(), Turn::Led { .. })
}

/// Spend and lag, as model selection shows them.
async fn selection(app: &Tenant<'_>, query: &str) -> (u64, u64) {
    let reply = app.get(&format!("/model-selection{query}")).await.ok(200);
    let spend = reply["quota_status"]["models_status"]["premium"]["spend_usd_micros"].as_u64().unwrap();
    (spend, reply.header("x-data-lag-secs").parse().unwrap())
}

#[tokio::test]
async fn a_submission_is_in_the_totals_after_the_next_turn_and_the_lag_is_said_until_then() {
    let store = Arc::new(stores::dynamodb().await);
    let server = server(&store, 1).await;
    let chat = server.chat(json!({})).await;
    assert_eq!(selection(&chat, "").await, (0, 60), "nobody has added up anything yet");
    assert!(led(&server).await);
    let receipt = chat.spend("premium", 1_000_000).await;
    assert_eq!(receipt["processing"]["expected_aggregation_lag_secs"], 10);
    assert_eq!(selection(&chat, "").await, (0, 0), "as old as the last turn, which was this instant");

    server.at("2026-01-23T15:30:53Z");
    assert_eq!(selection(&chat, "").await, (0, 8));
    assert_eq!(selection(&chat, "?force_check=true").await, (1_000_000, 0), "added up on demand");

    chat.spend("premium", 500_000).await;
    server.at("2026-01-23T15:30:55Z");
    assert!(led(&server).await);
    assert_eq!(selection(&chat, "").await, (1_500_000, 0));
    server.at("2026-01-23T15:30:59Z");
    assert_eq!(selection(&chat, "").await, (1_500_000, 4));
    let today = chat.get("/aggregates/today").await.ok(200);
    assert_eq!((&today["total_cost_usd_micros"], today.header("x-data-lag-secs")), (&json!(1_500_000), "4"));
    let org = server.get("/api/v1/orgs/550e8400-e29b-41d4-a716-446655440000/aggregates/today").admin().await.ok(200);
    assert_eq!(org["total_cost_usd_micros"], 1_500_000);
}

#[tokio::test]
async fn a_quiet_organization_is_looked_at_once_a_minute_and_its_lag_says_so() {
    let store = Arc::new(stores::dynamodb().await);
    let server = server(&store, 1).await;
    let chat = server.chat(json!({})).await;
    assert!(led(&server).await);
    // Taking over, everybody counts as active for a quarter of an hour, and so does whoever was just set up; then nobody
    // is who did nothing.
    server.at("2026-01-23T15:46:00Z");
    assert!(led(&server).await);
    server.at("2026-01-23T15:46:10Z");
    chat.spend("premium", 1_000).await;
    assert!(led(&server).await);
    assert_eq!(selection(&chat, "").await, (0, 10), "it was not looked at in this turn");
    server.at("2026-01-23T15:46:50Z");
    assert!(led(&server).await);
    assert_eq!(selection(&chat, "").await, (1_000, 0), "now it was, and counts as active");
    chat.spend("premium", 1_000).await;
    server.at("2026-01-23T15:47:00Z");
    assert!(led(&server).await);
    assert_eq!(selection(&chat, "").await, (2_000, 0));
}

#[tokio::test]
async fn late_usage_of_yesterday_and_of_the_last_month_is_added_up() {
    let store = Arc::new(stores::dynamodb().await);
    let server = server(&store, 1).await;
    let chat = server.chat(json!({})).await;
    server.at("2026-02-01T15:00:00Z");
    assert!(led(&server).await);
    chat.spend_at("2026-01-31T20:00:00Z", "premium", 700).await;
    chat.spend("premium", 50).await;
    server.at("2026-02-01T15:00:10Z");
    assert!(led(&server).await);
    let yesterday = chat.get("/aggregates/2026-01-31").await.ok(200);
    assert_eq!(
        (&yesterday["total_cost_usd_micros"], &yesterday["month"]["cost_usd_micros"]),
        (&json!(700), &json!(700))
    );
    let today = chat.today().await;
    assert_eq!((&today["total_cost_usd_micros"], &today["month"]["cost_usd_micros"]), (&json!(50), &json!(50)));
}

#[tokio::test]
async fn one_instance_leads_and_another_takes_over_when_its_lease_has_ended() {
    let store = Arc::new(stores::dynamodb().await);
    let (first, second) = (server(&store, 1).await, server(&store, 2).await);
    let chat = first.chat(json!({})).await;
    assert!(led(&first).await);
    assert!(!led(&second).await, "somebody leads");
    for server in [&first, &second] {
        server.at("2026-01-23T15:30:55Z");
    }
    assert!(!led(&second).await && led(&first).await);

    // The first one is gone; what it recorded last is still to be added up.
    chat.spend("premium", 900).await;
    second.at("2026-01-23T15:31:24Z");
    assert!(!led(&second).await, "three missed turns have not passed yet");
    second.at("2026-01-23T15:31:26Z");
    assert!(led(&second).await);
    assert_eq!(selection(&chat, "").await.0, 900);
    // It comes back and finds somebody else leading.
    first.at("2026-01-23T15:31:27Z");
    assert!(!led(&first).await);
}

#[tokio::test]
async fn days_that_closed_while_no_instance_ran_are_added_up_when_one_does() {
    let store = Arc::new(stores::dynamodb().await);
    let before = server(&store, 1).await;
    let chat = before.chat(json!({})).await;
    assert!(led(&before).await);
    chat.spend("premium", 900).await;
    let (path, token) = (chat.path.clone(), chat.token.clone());
    before.stop().await;

    let after = server(&store, 2).await;
    after.at("2026-01-28T12:00:00Z");
    assert!(led(&after).await);
    let day = after.get(&format!("{path}/aggregates/2026-01-23")).bearer(&token).await.ok(200);
    assert_eq!(day["total_cost_usd_micros"], 900);
}
