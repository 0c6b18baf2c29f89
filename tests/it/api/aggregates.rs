//! Spend of a day against its quotas.

use serde_json::{Value, json};

use crate::support::server::{TestServer, request_id};
use crate::support::tenants::{ORG, OTHER_ORG, usage, with};

fn figures(label: &Value) -> [u64; 8] {
    [
        "cost_usd_micros",
        "requests",
        "errors",
        "unpriced_requests",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_write_input_tokens",
    ]
    .map(|figure| label[figure].as_u64().unwrap())
}

#[tokio::test]
async fn today_without_usage_is_all_zeros() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({"monthly_quotas": {"premium": 70}})).await;
    let reply = chat.get("/aggregates/today").await.ok(200);
    let label = |label: &str, model: &str, quota: u64, month: Value| {
        json!({
            "label": label, "bedrock_model_id": model, "cost_usd_micros": 0, "quota_usd_micros": quota,
            "quota_pct": 0.0, "quota_status": "NORMAL", "quota_period": "DAY", "input_tokens": 0, "output_tokens": 0,
            "cache_read_input_tokens": 0, "cache_write_input_tokens": 0, "requests": 0, "errors": 0,
            "unpriced_requests": 0, "average_cost_per_request": 0, "month": month,
        })
    };
    let month = json!({"cost_usd_micros": 0});
    assert_eq!(
        reply.json,
        json!({
            "org_id": ORG, "app_id": "chat", "app_name": "Support chat", "date": "2026-01-23",
            "timezone": "America/New_York", "quota_scope": "APP", "quota_shared": false,
            "models": {
                "premium": label("premium", "amazon.nova-pro-v1:0", 10_000_000, json!({"cost_usd_micros": 0, "quota_usd_micros": 70})),
                "standard": label("standard", "amazon.nova-2-lite-v1:0", 5_000_000, month.clone()),
                "economy": label("economy", "amazon.nova-micro-v1:0", 1_000_000, month),
            },
            "total_cost_usd_micros": 0, "total_quota_usd_micros": 16_000_000, "total_quota_pct": 0.0,
            "sticky_fallback_active": false, "current_active_model": "premium",
            "month": {"cost_usd_micros": 0, "quota_usd_micros": 70}, "updated_at": null,
        })
    );
}

#[tokio::test]
async fn today_has_every_counter_of_a_label_and_the_day() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let cached = json!({"cache_read_input_tokens": 10, "cache_write_input_tokens": 20, "status": "ERROR"});
    chat.post("/usage", &with(usage(&request_id(1), "premium"), cached)).await.ok(202);
    let unpriced = json!({"bedrock_model_id": "acme.unknown-v1:0", "timestamp": "2026-01-23T09:00:00Z"});
    chat.post("/usage", &with(usage(&request_id(2), "premium"), unpriced)).await.ok(202);
    chat.spend("economy", 1_000_000).await;
    let reply = chat.today().await;
    let premium = &reply["models"]["premium"];
    assert_eq!(figures(premium), [3762, 2, 1, 1, 3000, 1600, 10, 20]);
    // 3,762 over two requests.
    assert_eq!(premium["average_cost_per_request"], 1881);
    assert_eq!(reply["models"]["economy"]["quota_status"], "EXCEEDED");
    assert_eq!(reply["total_cost_usd_micros"], 1_003_762);
    assert_eq!(reply["total_quota_pct"], 6.27);
    assert_eq!(reply["updated_at"], "2026-01-23T15:30:45Z");
}

#[tokio::test]
async fn an_average_is_rounded_half_up() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.spend("premium", 1).await;
    chat.spend("premium", 2).await;
    assert_eq!(chat.today().await["models"]["premium"]["average_cost_per_request"], 2);
}

#[tokio::test]
async fn a_past_day_is_shown_with_its_month_and_one_without_usage_is_not_found() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    chat.spend_at("2026-01-22T12:00:00Z", "standard", 30).await;
    chat.spend("premium", 12).await;
    for tenant in [&chat, &org] {
        let past = tenant.get("/aggregates/2026-01-22").await.ok(200);
        assert_eq!((past.str("date"), &past["total_cost_usd_micros"]), ("2026-01-22", &json!(30)));
        assert_eq!(past["month"]["cost_usd_micros"], 42);
        assert_eq!(past["models"]["standard"]["month"]["cost_usd_micros"], 30);
        let today = tenant.get("/aggregates/2026-01-23").await.ok(200);
        assert_eq!(today.json, tenant.today().await.json);
        tenant.get("/aggregates/2026-01-21").await.error(404, "NOT_FOUND");
        tenant.get("/aggregates/0000-01-01").await.error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_day_that_is_none_or_not_yet_is_refused() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    for tenant in [&chat, &org] {
        for date in
            ["2026-01-24", "9999-12-31", "2026-02-30", "2026-1-3", "20260123", "tomorrow", "2026-01-23T00:00:00Z"]
        {
            tenant.get(&format!("/aggregates/{date}")).await.refuses("INVALID_REQUEST", "date");
        }
        tenant.get("/aggregates/today?force_check=1").await.refuses("INVALID_REQUEST", "force_check");
        tenant.get("/aggregates/today?colour=red").await.refuses("INVALID_REQUEST", "colour");
    }
    // 04:59:59 is still yesterday in New York.
    server.at("2026-01-23T04:59:59Z");
    server.get(&format!("{}/aggregates/2026-01-23", chat.path)).admin().await.refuses("INVALID_REQUEST", "date");
}

#[tokio::test]
async fn an_organization_sees_its_applications_and_the_sum_of_their_quotas() {
    let server = TestServer::start().await;
    let org = server.org(json!({"monthly_quotas": {"economy": 9}})).await;
    let chat = org.app("chat", json!({})).await;
    let mail = org.app("mail", json!({"quotas": {"premium": 500}, "monthly_quotas": {"economy": 2}})).await;
    org.app("idle", json!({})).await;
    chat.spend("premium", 700).await;
    chat.spend("economy", 50).await;
    mail.spend("premium", 300).await;
    let reply = org.today().await;
    assert_eq!(
        reply["apps"],
        json!({
            "chat": {"cost_usd_micros": 750, "requests": 2}, "mail": {"cost_usd_micros": 300, "requests": 1},
        })
    );
    let premium = &reply["models"]["premium"];
    assert_eq!((&premium["cost_usd_micros"], &premium["quota_usd_micros"]), (&json!(1000), &json!(20_000_500)));
    assert_eq!(reply["total_cost_usd_micros"], 1050);
    assert_eq!(reply["month"], json!({"cost_usd_micros": 1050, "quota_usd_micros": 20}));
    assert_eq!((&reply["sticky_fallback_active"], &reply["current_active_model"]), (&json!(false), &json!(null)));
    assert!(reply.json.get("app_id").is_none() && reply.json.get("app_name").is_none());
    let own = mail.today().await;
    assert_eq!(own["models"]["premium"]["cost_usd_micros"], 300);
    assert!(own.json.get("apps").is_none());
}

#[tokio::test]
async fn with_scope_org_an_application_sees_its_own_usage_beside_the_shared_quota() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let chat = org.app("chat", json!({"quotas": {"premium": 1}})).await;
    let mail = org.app("mail", json!({})).await;
    chat.spend("premium", 6_000_000).await;
    mail.spend("premium", 4_000_000).await;
    let own = chat.today().await;
    assert_eq!((&own["quota_shared"], own.str("quota_scope")), (&json!(true), "ORG"));
    let premium = &own["models"]["premium"];
    assert_eq!((&premium["cost_usd_micros"], &premium["quota_usd_micros"]), (&json!(6_000_000), &json!(10_000_000)));
    assert_eq!(own["current_active_model"], "standard");
    let all = org.today().await;
    assert_eq!((&all["quota_shared"], &all["models"]["premium"]["quota_status"]), (&json!(false), &json!("EXCEEDED")));
    assert_eq!(
        (&all["models"]["premium"]["quota_usd_micros"], &all["current_active_model"]),
        (&json!(10_000_000), &json!("standard"))
    );
}

#[tokio::test]
async fn a_label_that_left_the_configuration_is_still_shown_with_its_usage() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    chat.spend("standard", 77).await;
    chat.update_org(json!({"model_ordering": ["premium"], "quotas": {"premium": 10}})).await;
    for tenant in [&chat, &org] {
        let reply = tenant.today().await;
        let standard = &reply["models"]["standard"];
        assert_eq!(figures(standard)[..2], [77, 1]);
        assert_eq!((&standard["quota_usd_micros"], &standard["quota_period"]), (&json!(null), &json!(null)));
        assert_eq!(
            (&standard["quota_status"], &standard["bedrock_model_id"]),
            (&json!("NORMAL"), &json!("amazon.nova-2-lite-v1:0"))
        );
        assert_eq!(reply["total_cost_usd_micros"], 77);
        assert!(reply["models"].get("economy").is_none(), "neither configured nor used");
    }
}

#[tokio::test]
async fn looking_never_moves_a_fallback_but_shows_where_it_would_be() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.spend("premium", 10_000_000).await;
    let reply = chat.today().await;
    assert_eq!((&reply["current_active_model"], &reply["sticky_fallback_active"]), (&json!("standard"), &json!(true)));
    chat.admin("GET", "/fallback").await.error(404, "NOT_FOUND");
    for (label, micros) in [("standard", 5_000_000), ("economy", 1_000_000)] {
        chat.spend(label, micros).await;
    }
    assert_eq!(chat.today().await["current_active_model"], json!(null));
}

#[tokio::test]
async fn drift_between_client_and_server_is_signed_and_absent_without_a_difference() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let drift = async || chat.today().await["models"]["premium"].get("cost_drift_usd_micros").cloned();
    let costs = async |n: u32, micros: u64| {
        let body = with(usage(&request_id(n), "premium"), json!({"cost_usd_micros": micros}));
        chat.post("/costs", &body).await.ok(202);
    };
    costs(1, 3760).await;
    assert_eq!(drift().await, None);
    costs(2, 3748).await;
    assert_eq!(drift().await, Some(json!(-12)));
    costs(3, 3780).await;
    assert_eq!(drift().await, Some(json!(8)));
}

#[tokio::test]
async fn an_answer_may_be_kept_for_thirty_seconds_and_asked_for_by_its_tag() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    chat.spend("premium", 1).await;
    for (tenant, path) in [(&chat, "/aggregates/today"), (&org, "/aggregates/today"), (&chat, "/aggregates/2026-01-23")]
    {
        let reply = tenant.get(path).await.ok(200);
        assert_eq!((reply.header("cache-control"), reply.header("x-data-lag-secs")), ("private, max-age=30", "0"));
        let again = tenant.get(path).header("if-none-match", reply.header("etag")).await.ok(304);
        assert!(again.body.is_empty());
        let forced = tenant.get(&format!("{path}?force_check=true")).await.ok(200);
        assert_eq!(forced.header("cache-control"), "private, max-age=0");
        assert_eq!(forced.json, reply.json);
    }
    let tag = chat.today().await.header("etag").to_owned();
    chat.spend("premium", 1).await;
    chat.get("/aggregates/today").header("if-none-match", &tag).await.ok(200);
}

#[tokio::test]
async fn what_is_not_registered_has_no_aggregates_and_a_deleted_application_stays_in_its_organizations() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    chat.spend("premium", 5).await;
    chat.admin("DELETE", "").await.ok(204);
    org.get("/apps/chat/aggregates/today").await.error(404, "NOT_FOUND");
    org.get("/apps/chat/aggregates?from=2026-01-01&to=2026-01-23").await.error(404, "NOT_FOUND");
    server.get(&format!("/api/v1/orgs/{OTHER_ORG}/aggregates/today")).admin().await.error(404, "NOT_FOUND");
    assert_eq!(org.today().await["apps"], json!({"chat": {"cost_usd_micros": 5, "requests": 1}}));
}
