//! Submissions one by one: what a receipt says, and that each counts exactly once.

use serde_json::json;

use crate::support::server::{TestServer, request_id};
use crate::support::tenants::{cost, usage, with};

#[tokio::test]
async fn a_submission_of_usage_is_priced_by_the_server_and_its_receipt_includes_itself() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let id = request_id(1);
    let reply = chat.post("/usage", &usage(&id, "premium")).await.ok(202);
    assert_eq!(reply["request_id"], json!(id));
    assert_eq!((reply.str("status"), &reply["duplicate"]), ("accepted", &json!(false)));
    assert!(!reply.str("message").is_empty());
    let processing = &reply["processing"];
    assert!(processing["shard_id"].as_u64().unwrap() < 8);
    assert_eq!(processing["expected_aggregation_lag_secs"], 0);
    assert_eq!(processing["cost_usd_micros"], 3760);
    assert_eq!(processing["server_cost_usd_micros"], json!(null));
    let pricing = &processing["pricing"];
    assert_eq!((&pricing["status"], &pricing["cost_source"]), (&json!("PRICED"), &json!("SERVER")));
    assert_eq!((&pricing["source"], &pricing["model_id"]), (&json!("EMBEDDED"), &json!("amazon.nova-pro-v1:0")));
    assert!(pricing["version"].as_str().unwrap().parse::<jiff::civil::Date>().is_ok());
    assert_eq!(
        reply["daily_total"],
        json!({
            "label": "premium", "date": "2026-01-23", "cost_usd_micros": 3760, "quota_usd_micros": 10_000_000,
            "quota_pct": 0.03, "quota_period": "DAY", "status": "NORMAL", "mode": "NORMAL", "requests": 1,
        })
    );
    assert_eq!(reply["timestamp"], "2026-01-23T15:30:45Z");
}

#[tokio::test]
async fn a_submitted_cost_is_charged_as_given_and_the_servers_figure_is_kept_beside_it() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = with(usage(&request_id(1), "premium"), json!({"cost_usd_micros": 5000}));
    let reply = chat.post("/costs", &body).await.ok(202);
    assert_eq!(reply["processing"]["cost_usd_micros"], 5000);
    assert_eq!(reply["processing"]["server_cost_usd_micros"], 3760);
    assert_eq!(reply["processing"]["pricing"]["cost_source"], "CLIENT");
    assert_eq!(reply["daily_total"]["cost_usd_micros"], 5000);
    let premium = &chat.today().await["models"]["premium"];
    assert_eq!((&premium["cost_usd_micros"], &premium["cost_drift_usd_micros"]), (&json!(5000), &json!(1240)));
}

#[tokio::test]
async fn costs_need_no_tokens_but_the_cost_and_zero_is_one() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let reply = chat.post("/costs", &cost(&request_id(1), "premium", 0)).await.ok(202);
    assert_eq!((&reply["processing"]["cost_usd_micros"], &reply["daily_total"]["requests"]), (&json!(0), &json!(1)));
    chat.post("/costs", &usage(&request_id(2), "premium")).await.refuses("INVALID_REQUEST", "cost_usd_micros");
}

#[tokio::test]
async fn usage_with_a_cost_is_told_to_use_costs() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = with(usage(&request_id(1), "premium"), json!({"cost_usd_micros": 5}));
    let reply = chat.post("/usage", &body).await.refuses("INVALID_REQUEST", "cost_usd_micros");
    assert!(reply.str("message").contains("/costs"));
}

#[tokio::test]
async fn tokens_may_come_as_the_usage_object_of_converse_and_aws_may_add_members() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let converse = json!({
        "inputTokens": 1500, "outputTokens": 800, "totalTokens": 2330, "cacheReadInputTokens": 10,
        "cacheWriteInputTokens": 20, "cacheDetails": [{"ttl": "1h", "inputTokens": 20}], "someday": {"x": [1]},
    });
    let body =
        with(usage(&request_id(1), "premium"), json!({"input_tokens": null, "output_tokens": null, "usage": converse}));
    let reply = chat.post("/usage", &body).await.ok(202);
    // 10 read at 0.2; 20 written for an hour, whose price is not published: the dearest input price stands in.
    assert_eq!(reply["processing"]["cost_usd_micros"], 3760 + 2 + 16);
    assert_eq!(reply["processing"]["pricing"]["status"], "ESTIMATED");
    let premium = &chat.today().await["models"]["premium"];
    let tokens = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens"];
    assert_eq!(tokens.map(|tokens| premium[tokens].as_u64().unwrap()), [1500, 800, 10, 20]);
}

#[tokio::test]
async fn a_failed_call_counts_as_request_and_error_and_its_tokens_are_charged() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = with(usage(&request_id(1), "premium"), json!({"status": "ERROR"}));
    assert_eq!(chat.post("/usage", &body).await.ok(202)["processing"]["cost_usd_micros"], 3760);
    let premium = &chat.today().await["models"]["premium"];
    assert_eq!((&premium["requests"], &premium["errors"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn an_identical_repeat_changes_nothing_and_gets_the_first_outcome() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let id = "ABCDEF00-0000-4000-8000-000000000001";
    let first = chat.post("/usage", &usage(id, "premium")).await.ok(202);
    assert_eq!(first.str("request_id"), id.to_lowercase());
    chat.spend("premium", 100).await;
    // The same meaning in another writing.
    let text = format!(
        "{{ \"output_tokens\":800,\"status\":\"OK\", \"service_tier\":\"default\", \"latency\":null,\
           \"input_tokens\":1500, \"model_label\":\"premium\", \"request_id\":\"{}\"}}",
        id.to_lowercase()
    );
    let repeat = chat.call("POST", "/usage").body("application/json; charset=utf-8", text).await;
    assert_eq!(repeat.status, 202, "{}", repeat.text());
    assert_eq!(repeat["duplicate"], true);
    assert_eq!(repeat["processing"], first["processing"]);
    assert_eq!(repeat["daily_total"]["cost_usd_micros"], 3860);
    assert_eq!(chat.today().await["models"]["premium"]["requests"], 2);
}

#[tokio::test]
async fn the_same_id_with_another_body_is_a_conflict_and_changes_nothing() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let id = request_id(1);
    chat.post("/usage", &usage(&id, "premium")).await.ok(202);
    for changes in [
        json!({"input_tokens": 1501}),
        json!({"status": "ERROR"}),
        json!({"model_label": "standard"}),
        json!({"calling_region": "us-east-1"}),
        json!({"bedrock_model_id": "amazon.nova-pro-v1:0"}),
        json!({"timestamp": "2026-01-23T15:30:45Z"}),
        json!({"service_tier": "flex"}),
        json!({"latency": "optimized"}),
    ] {
        let reply = chat.post("/usage", &with(usage(&id, "premium"), changes)).await;
        let reply = reply.error(409, "IDEMPOTENCY_CONFLICT");
        assert_eq!(reply["details"]["field"], "request_id");
    }
    let as_cost = with(usage(&id, "premium"), json!({"cost_usd_micros": 3760}));
    chat.post("/costs", &as_cost).await.error(409, "IDEMPOTENCY_CONFLICT");
    let today = chat.today().await;
    assert_eq!((&today["total_cost_usd_micros"], &today["models"]["premium"]["requests"]), (&json!(3760), &json!(1)));
}

#[tokio::test]
async fn the_same_id_in_another_application_is_another_submission() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    for app in [&chat, &mail] {
        assert_eq!(app.post("/usage", &usage(&request_id(1), "premium")).await.ok(202)["duplicate"], false);
    }
}

#[tokio::test]
async fn a_repeat_after_its_window_still_gets_the_first_outcome() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let chat = server.chat(json!({})).await;
    let dated = with(usage(&request_id(1), "premium"), json!({"timestamp": "2026-01-23T15:00:00Z"}));
    let first = chat.post("/usage", &dated).await.ok(202);
    server.at("2026-01-26T12:00:00Z");
    let repeat = chat.post("/usage", &dated).await.ok(202);
    assert_eq!((&repeat["duplicate"], &repeat["processing"]), (&json!(true), &first["processing"]));
    assert_eq!(repeat["daily_total"]["date"], "2026-01-23");
    let other = with(dated.clone(), json!({"input_tokens": 1}));
    chat.post("/usage", &other).await.error(409, "IDEMPOTENCY_CONFLICT");
    let unknown = with(dated, json!({"request_id": request_id(2)}));
    chat.post("/usage", &unknown).await.refuses("INVALID_REQUEST", "timestamp");
    assert_eq!(
        server.get(&format!("{}/aggregates/2026-01-23", chat.path)).admin().await.ok(200)["total_cost_usd_micros"],
        3760
    );
}

#[tokio::test]
async fn a_repeat_without_timestamp_after_midnight_belongs_to_the_first_day() {
    let server = TestServer::with(|setup| setup.tokens_live_long()).await;
    let chat = server.chat(json!({})).await;
    server.at("2026-01-24T04:59:59Z");
    chat.post("/usage", &usage(&request_id(1), "premium")).await.ok(202);
    server.at("2026-01-24T05:00:01Z");
    let repeat = chat.post("/usage", &usage(&request_id(1), "premium")).await.ok(202);
    assert_eq!((&repeat["duplicate"], &repeat["daily_total"]["date"]), (&json!(true), &json!("2026-01-23")));
    assert_eq!(chat.today().await["total_cost_usd_micros"], 0);
}

#[tokio::test]
async fn a_repeat_after_its_label_was_removed_still_gets_the_first_outcome() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let first = chat.post("/usage", &usage(&request_id(1), "standard")).await.ok(202);
    chat.update_org(json!({"model_ordering": ["premium"], "quotas": {"premium": 10_000_000}})).await;
    let repeat = chat.post("/usage", &usage(&request_id(1), "standard")).await.ok(202);
    assert_eq!((&repeat["duplicate"], &repeat["processing"]), (&json!(true), &first["processing"]));
    assert_eq!(repeat["daily_total"]["quota_usd_micros"], json!(null));
    let fresh =
        chat.post("/usage", &usage(&request_id(2), "standard")).await.refuses("INVALID_MODEL_LABEL", "model_label");
    assert_eq!(fresh["details"]["configured_labels"], json!(["premium"]));
}

#[tokio::test]
async fn an_organizations_client_submits_for_its_applications_and_not_for_unregistered_ones() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    org.app("chat", json!({})).await;
    for endpoint in ["usage", "costs"] {
        let body = match endpoint {
            "usage" => usage(&request_id(1), "premium"),
            _ => cost(&request_id(2), "premium", 7),
        };
        org.post(&format!("/apps/chat/{endpoint}"), &body).await.ok(202);
        org.post(&format!("/apps/nobody/{endpoint}"), &body).await.error(404, "NOT_FOUND");
        let batch = json!({"requests": [body]});
        org.post(&format!("/apps/nobody/{endpoint}/batch"), &batch).await.error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn the_daily_total_is_that_of_the_scope_that_owns_the_quota() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    chat.spend("premium", 4_000_000).await;
    let total = &mail.spend("premium", 5_500_000).await["daily_total"];
    assert_eq!((&total["cost_usd_micros"], &total["requests"]), (&json!(9_500_000), &json!(2)));
    assert_eq!(
        (&total["status"], &total["mode"], &total["quota_pct"]),
        (&json!("TIGHT"), &json!("TIGHT"), &json!(95.0))
    );
    let total = &mail.spend("premium", 500_000).await["daily_total"];
    assert_eq!((&total["status"], &total["mode"]), (&json!("EXCEEDED"), &json!("NORMAL")));
}

#[tokio::test]
async fn a_label_with_a_quota_outside_the_ordering_can_be_charged() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({"model_ordering": ["premium"]})).await;
    let total = &chat.spend("economy", 10).await["daily_total"];
    assert_eq!(total["quota_usd_micros"], 1_000_000);
}

#[tokio::test]
async fn a_new_life_of_an_application_knows_the_request_ids_of_the_old_one() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    let first = chat.post("/usage", &usage(&request_id(1), "premium")).await.ok(202);
    chat.admin("DELETE", "").await.ok(204);
    let chat = org.app("chat", json!({})).await;
    let repeat = chat.post("/usage", &usage(&request_id(1), "premium")).await.ok(202);
    assert_eq!((&repeat["duplicate"], &repeat["processing"]), (&json!(true), &first["processing"]));
    chat.post("/usage", &usage(&request_id(1), "economy")).await.error(409, "IDEMPOTENCY_CONFLICT");
    assert_eq!(chat.today().await["total_cost_usd_micros"], 3760, "recorded usage stays");
}

#[tokio::test]
async fn a_repeat_that_would_be_priced_otherwise_is_another_body() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let id = server.request_id();
    let body =
        |usage: serde_json::Value| json!({"request_id": id, "model_label": "premium", "status": "OK", "usage": usage});
    let told = json!({"inputTokens": 9, "outputTokens": 1, "cacheWriteInputTokens": 4,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 4}], "totalTokens": 14});
    chat.post("/usage", &body(told.clone())).await.ok(202);
    let mut untold = told.clone();
    untold.as_object_mut().unwrap().remove("cacheDetails");
    chat.post("/usage", &body(untold)).await.error(409, "IDEMPOTENCY_CONFLICT");
    let mut inclusive = told.clone();
    inclusive["totalTokens"] = json!(10);
    chat.post("/usage", &body(inclusive)).await.error(409, "IDEMPOTENCY_CONFLICT");
    assert_eq!(chat.post("/usage", &body(told)).await.ok(202)["duplicate"], true);
}

#[tokio::test]
async fn a_cost_without_tokens_or_without_a_known_price_makes_no_drift() {
    let server = TestServer::with(|setup| {
        setup.config.pricing.unknown_model = bedrock_cost_keeper::config::UnknownModel::Ceiling;
    })
    .await;
    let chat = server.chat(json!({})).await;
    let untold =
        json!({"request_id": server.request_id(), "model_label": "premium", "status": "OK", "cost_usd_micros": 50});
    let unknown = json!({"request_id": server.request_id(), "model_label": "premium", "status": "OK",
        "cost_usd_micros": 50, "bedrock_model_id": "acme.unknown-v1:0", "input_tokens": 100, "output_tokens": 1});
    for body in [untold, unknown] {
        let receipt = chat.post("/costs", &body).await.ok(202);
        assert!(receipt["processing"].get("server_cost_usd_micros").is_none(), "{:?}", receipt.json);
    }
    let today = chat.today().await.ok(200);
    assert!(today["models"]["premium"].get("cost_drift_usd_micros").is_none(), "{:?}", today.json);
}
