//! What a submission may say, field by field, and what it costs.

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::{PROFILE_ARN, TestServer, request_id};
use crate::support::tenants::{Tenant, cost, usage, with};

async fn submit(chat: &Tenant<'_>, n: u32, changes: Value) -> Reply {
    chat.post("/usage", &with(usage(&request_id(n), "premium"), changes)).await
}

#[tokio::test]
async fn a_malformed_submission_is_refused_naming_the_field() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let converse = json!({"inputTokens": 1, "outputTokens": 2});
    for (changes, field) in [
        (json!({"request_id": null}), "request_id"),
        (json!({"request_id": "0"}), "request_id"),
        (json!({"request_id": "00000000000040008000000000000001"}), "request_id"),
        (json!({"request_id": 5}), "request_id"),
        (json!({"model_label": null}), "model_label"),
        (json!({"model_label": "Premium"}), "model_label"),
        (json!({"status": null}), "status"),
        (json!({"status": "ok"}), "status"),
        (json!({"input_tokens": null}), "input_tokens"),
        (json!({"output_tokens": null}), "output_tokens"),
        (json!({"input_tokens": -1}), "input_tokens"),
        (json!({"input_tokens": 1.5}), "input_tokens"),
        (json!({"input_tokens": "1"}), "input_tokens"),
        (json!({"output_tokens": 1_000_000_000_001_u64}), "output_tokens"),
        (json!({"cache_write_1h_input_tokens": 1}), "cache_write_1h_input_tokens"),
        (json!({"usage": converse}), "usage"),
        (json!({"input_tokens": null, "output_tokens": null, "usage": {"inputTokens": 1}}), "usage.outputTokens"),
        (json!({"timestamp": "2026-01-23"}), "timestamp"),
        (json!({"timestamp": 1_769_182_245}), "timestamp"),
        (json!({"calling_region": "us-east"}), "calling_region"),
        (json!({"bedrock_model_id": ""}), "bedrock_model_id"),
        (json!({"bedrock_model_id": "no spaces"}), "bedrock_model_id"),
        (json!({"service_tier": "gold"}), "service_tier"),
        (json!({"latency": "low"}), "latency"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let label = changes.to_string();
        let reply = submit(&chat, 1, changes).await.error(400, "INVALID_REQUEST");
        assert_eq!(reply["details"]["field"], field, "{label}");
    }
    assert_eq!(chat.today().await["total_cost_usd_micros"], 0);
}

#[tokio::test]
async fn a_body_that_is_no_submission_at_all_is_refused_whole() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for endpoint in ["/usage", "/costs", "/usage/batch", "/costs/batch"] {
        for text in ["", "{", "[]", "null", "7", "{}{}", "\u{feff}{}", "{\"a\":1,}"] {
            chat.call("POST", endpoint).body("application/json", text).await.error(400, "INVALID_REQUEST");
        }
        let invalid_utf8 = b"{\"request_id\":\"\xff\"}".to_vec();
        chat.call("POST", endpoint).body("application/json", invalid_utf8).await.error(400, "INVALID_REQUEST");
    }
    let twice = usage(&request_id(1), "premium").to_string().replacen('{', "{\"status\":\"OK\",", 1);
    chat.call("POST", "/usage").body("application/json", twice).await.refuses("INVALID_REQUEST", "status");
}

#[tokio::test]
async fn a_label_that_is_not_configured_is_refused_with_those_that_are() {
    let server = TestServer::with(|setup| {
        setup.label("spare", "amazon.nova-pro-v1:0");
    })
    .await;
    let chat = server.chat(json!({})).await;
    for label in ["unheard-of", "spare"] {
        let reply = submit(&chat, 1, json!({"model_label": label})).await.refuses("INVALID_MODEL_LABEL", "model_label");
        assert_eq!(reply["details"]["configured_labels"], json!(["economy", "premium", "standard"]));
    }
}

#[tokio::test]
async fn a_cost_beyond_a_million_dollars_is_refused_whoever_computed_it() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.post("/costs", &cost(&request_id(1), "premium", 1_000_000_000_000)).await.ok(202);
    let beyond = cost(&request_id(2), "premium", 1_000_000_000_001);
    chat.post("/costs", &beyond).await.refuses("INVALID_REQUEST", "cost_usd_micros");
    let negative = with(beyond, json!({"cost_usd_micros": -1}));
    chat.post("/costs", &negative).await.refuses("INVALID_REQUEST", "cost_usd_micros");
    let reply =
        submit(&chat, 3, json!({"input_tokens": 1_000_000_000_000_u64, "output_tokens": 1_000_000_000_000_u64}));
    reply.await.refuses("INVALID_REQUEST", "input_tokens");
    assert_eq!(chat.today().await["models"]["premium"]["requests"], 1);
}

#[tokio::test]
async fn timestamps_are_accepted_from_a_day_before_today_to_five_minutes_ahead() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    // Today began at 05:00Z.
    let edges = [
        ("2026-01-22T05:00:00Z", "2026-01-22"),
        ("2026-01-23T04:59:59.999Z", "2026-01-22"),
        ("2026-01-23T00:00:00-05:00", "2026-01-23"),
        ("2026-01-23T15:35:45Z", "2026-01-23"),
    ];
    for (n, (timestamp, day)) in (1..).zip(edges) {
        let reply = submit(&chat, n, json!({"timestamp": timestamp})).await.ok(202);
        assert_eq!(reply["daily_total"]["date"], day, "{timestamp}");
    }
    for timestamp in ["2026-01-22T04:59:59.999Z", "2026-01-23T15:35:45.001Z", "1970-01-01T00:00:00Z"] {
        let reply = submit(&chat, 9, json!({"timestamp": timestamp})).await.refuses("INVALID_REQUEST", "timestamp");
        assert_eq!(reply["details"]["accepted_from"], "2026-01-22T05:00:00Z");
        assert_eq!(reply["details"]["accepted_to"], "2026-01-23T15:35:45Z");
    }
}

#[tokio::test]
async fn an_inference_profile_needs_the_calling_region() {
    let server = TestServer::with(|setup| setup.profile_label()).await;
    let chat = server.chat(json!({"model_ordering": ["profile"], "quotas": {"profile": 10_000_000}})).await;
    submit(&chat, 1, json!({"model_label": "profile"})).await.refuses("INVALID_REQUEST", "calling_region");
    chat.post("/costs", &cost(&request_id(1), "profile", 5)).await.refuses("INVALID_REQUEST", "calling_region");
    let changes = json!({"model_label": "profile", "calling_region": "us-east-1"});
    let reply = submit(&chat, 1, changes).await.ok(202);
    assert_eq!(reply["processing"]["pricing"]["model_id"], PROFILE_ARN);
    assert_eq!(reply["processing"]["cost_usd_micros"], 3760);
}

#[tokio::test]
async fn what_is_priced_is_the_model_that_was_called() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let reply = submit(&chat, 1, json!({"bedrock_model_id": "amazon.nova-micro-v1:0"})).await.ok(202);
    // 1500 × 0.035 + 800 × 0.14 = 164.5, half-up.
    assert_eq!(reply["processing"]["cost_usd_micros"], 165);
    assert_eq!(reply["processing"]["pricing"]["model_id"], "amazon.nova-micro-v1:0");
    let tiers = [("flex", 1880, "PRICED"), ("priority", 6580, "PRICED"), ("default", 3760, "PRICED")];
    for (n, (tier, micros, status)) in (2..).zip(tiers) {
        let reply = submit(&chat, n, json!({"service_tier": tier})).await.ok(202);
        assert_eq!(reply["processing"]["cost_usd_micros"], micros, "{tier}");
        assert_eq!(reply["processing"]["pricing"]["status"], status);
    }
    let reply = submit(&chat, 8, json!({"latency": "optimized"})).await.ok(202);
    assert_eq!(reply["processing"]["pricing"]["status"], "ESTIMATED");
}

#[tokio::test]
async fn an_operators_price_beats_the_book_where_the_labels_own_model_was_called() {
    let server = TestServer::with(|setup| setup.priced_label("house", 2_000_000, 4_000_000)).await;
    let chat = server.chat(json!({"model_ordering": ["house"], "quotas": {"house": 10_000_000}})).await;
    let reply = submit(&chat, 1, json!({"model_label": "house"})).await.ok(202);
    assert_eq!(reply["processing"]["cost_usd_micros"], 3000 + 3200);
    assert_eq!(reply["processing"]["pricing"]["source"], "CONFIG");
    let changes = json!({"model_label": "house", "bedrock_model_id": "amazon.nova-pro-v1:0"});
    assert_eq!(submit(&chat, 2, changes).await.ok(202)["processing"]["cost_usd_micros"], 3760);
}

#[tokio::test]
async fn an_unknown_model_is_counted_as_unpriced_and_never_passed_off_as_free() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let reply = submit(&chat, 1, json!({"bedrock_model_id": "acme.unknown-v1:0"})).await.ok(202);
    let pricing = &reply["processing"]["pricing"];
    assert_eq!((&pricing["status"], &pricing["source"]), (&json!("UNPRICED"), &json!(null)));
    submit(&chat, 2, json!({})).await.ok(202);
    let premium = &chat.today().await["models"]["premium"];
    let counts =
        ["requests", "unpriced_requests", "cost_usd_micros", "input_tokens"].map(|of| premium[of].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 3760, 3000]);
    // With the client's own figure somebody does know the cost.
    let body = with(cost(&request_id(3), "premium", 7), json!({"bedrock_model_id": "acme.unknown-v1:0"}));
    let reply = chat.post("/costs", &body).await.ok(202);
    assert_eq!(reply["processing"]["pricing"]["status"], "UNPRICED");
    assert_eq!(chat.today().await["models"]["premium"]["unpriced_requests"], 1);
}

#[tokio::test]
async fn an_unknown_model_is_charged_at_the_ceiling_where_the_operator_wants_that() {
    use bedrock_cost_keeper::config::UnknownModel;
    let server = TestServer::with(|setup| {
        setup.config.pricing.unknown_model = UnknownModel::Ceiling;
        setup.config.pricing.ceiling.input_usd_micros_per_1m = 50_000_000;
        setup.config.pricing.ceiling.output_usd_micros_per_1m = 100_000_000;
    })
    .await;
    let chat = server.chat(json!({})).await;
    let reply = submit(&chat, 1, json!({"bedrock_model_id": "acme.unknown-v1:0"})).await.ok(202);
    assert_eq!(reply["processing"]["pricing"]["status"], "UNPRICED");
    assert_eq!(reply["processing"]["cost_usd_micros"], 1500 * 50 + 800 * 100);
    assert_eq!(chat.today().await["models"]["premium"]["unpriced_requests"], 1);
    let known = submit(&chat, 2, json!({})).await.ok(202);
    assert_eq!(known["processing"]["cost_usd_micros"], 3760);
}
