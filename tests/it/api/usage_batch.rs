//! Batches: results in request order, one bad record fails alone, the good ones commit together.

use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::{TestServer, request_id};
use crate::support::tenants::{Tenant, cost, usage, with};

async fn batch(chat: &Tenant<'_>, endpoint: &str, requests: Vec<Value>) -> Reply {
    chat.post(endpoint, &json!({"requests": requests})).await
}

#[tokio::test]
async fn one_bad_record_fails_alone_and_results_are_in_request_order() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let requests = vec![
        usage(&request_id(1), "premium"),
        with(usage(&request_id(2), "premium"), json!({"input_tokens": -1})),
        json!("no object"),
        with(usage(&request_id(4), "premium"), json!({"request_id": null})),
        usage(&request_id(5), "unheard-of"),
        with(usage(&request_id(6), "premium"), json!({"timestamp": "2026-01-20T00:00:00Z"})),
        usage(&request_id(7), "economy"),
        with(usage(&request_id(8), "premium"), json!({"cost_usd_micros": 1})),
    ];
    let reply = batch(&chat, "/usage/batch", requests).await.ok(207);
    assert_eq!((&reply["accepted"], &reply["failed"]), (&json!(2), &json!(6)));
    assert_eq!(reply["timestamp"], "2026-01-23T15:30:45Z");
    let results = reply["results"].as_array().unwrap();
    let expected = [
        (Some(1), None),
        (Some(2), Some("INVALID_REQUEST")),
        (None, Some("INVALID_REQUEST")),
        (None, Some("INVALID_REQUEST")),
        (Some(5), Some("INVALID_MODEL_LABEL")),
        (Some(6), Some("INVALID_REQUEST")),
        (Some(7), None),
        (Some(8), Some("INVALID_REQUEST")),
    ];
    assert_eq!(results.len(), expected.len());
    for (result, (id, error)) in results.iter().zip(expected) {
        assert_eq!(result["request_id"], json!(id.map(request_id)), "{result}");
        assert_eq!(result["error"].as_str(), error, "{result}");
        assert_eq!(result["status"], if error.is_some() { "failed" } else { "accepted" });
        assert_eq!(result["message"].is_string(), error.is_some(), "{result}");
    }
    assert_eq!(results[0]["cost_usd_micros"], 3760);
    assert!(results[0]["shard_id"].as_u64().unwrap() < 8 && results[0]["duplicate"] == false);
    assert!(results[1].get("duplicate").is_none() && results[1].get("cost_usd_micros").is_none());
    let models = &chat.today().await["models"];
    assert_eq!((&models["premium"]["requests"], &models["economy"]["requests"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn costs_come_in_batches_too() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let requests =
        vec![cost(&request_id(1), "premium", 5), usage(&request_id(2), "premium"), cost(&request_id(3), "standard", 7)];
    let reply = batch(&chat, "/costs/batch", requests).await.ok(207);
    assert_eq!((&reply["accepted"], &reply["failed"]), (&json!(2), &json!(1)));
    assert_eq!(reply["results"][1]["error"], "INVALID_REQUEST");
    assert!(reply["results"][1]["message"].as_str().unwrap().contains("cost_usd_micros"));
    assert_eq!(chat.today().await["total_cost_usd_micros"], 12);
}

#[tokio::test]
async fn a_repeat_inside_a_batch_is_a_duplicate_and_another_body_a_conflict() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    chat.post("/usage", &usage(&request_id(9), "premium")).await.ok(202);
    let requests = vec![
        usage(&request_id(1), "premium"),
        usage(&request_id(1), "premium"),
        usage(&request_id(1), "economy"),
        usage(&request_id(9), "premium"),
    ];
    let reply = batch(&chat, "/usage/batch", requests).await.ok(207);
    assert_eq!((&reply["accepted"], &reply["failed"]), (&json!(3), &json!(1)));
    let duplicates: Vec<_> = (0..4).map(|n| reply["results"][n]["duplicate"].as_bool()).collect();
    assert_eq!(duplicates, [Some(false), Some(true), None, Some(true)]);
    assert_eq!(reply["results"][2]["error"], "IDEMPOTENCY_CONFLICT");
    assert_eq!(chat.today().await["total_cost_usd_micros"], 2 * 3760);
}

#[tokio::test]
async fn a_repeated_batch_changes_nothing() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let requests: Vec<_> = (0..100).map(|n| usage(&request_id(n), "premium")).collect();
    let first = batch(&chat, "/usage/batch", requests.clone()).await.ok(207);
    let again = batch(&chat, "/usage/batch", requests).await.ok(207);
    for (reply, duplicate) in [(&first, false), (&again, true)] {
        assert_eq!((&reply["accepted"], &reply["failed"]), (&json!(100), &json!(0)));
        let results = reply["results"].as_array().unwrap();
        assert!(results.iter().zip(0..).all(|(result, n)| {
            result["request_id"] == json!(request_id(n)) && result["duplicate"] == json!(duplicate)
        }));
    }
    assert_eq!(server.store.record_calls(), 2, "the records of a batch commit together");
    assert_eq!(chat.today().await["total_cost_usd_micros"], 376_000);
}

#[tokio::test]
async fn a_batch_without_or_with_too_many_records_fails_whole() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    for endpoint in ["/usage/batch", "/costs/batch"] {
        for size in [0, 101] {
            let requests = (0..size).map(|n| cost(&request_id(n), "premium", 1)).collect();
            batch(&chat, endpoint, requests).await.refuses("INVALID_REQUEST", "requests");
        }
        chat.post(endpoint, &json!({})).await.refuses("INVALID_REQUEST", "requests");
        chat.post(endpoint, &json!({"requests": {}})).await.refuses("INVALID_REQUEST", "requests");
        let more = json!({"requests": [cost(&request_id(1), "premium", 1)], "atomic": true});
        chat.post(endpoint, &more).await.refuses("INVALID_REQUEST", "atomic");
    }
    assert_eq!(server.store.record_calls(), 0);
}

#[tokio::test]
async fn a_record_with_a_repeated_member_fails_alone() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let good = usage(&request_id(1), "premium").to_string();
    let bad = usage(&request_id(2), "premium").to_string().replacen('{', "{\"output_tokens\":1,", 1);
    let reply = chat.call("POST", "/usage/batch").body("application/json", format!("{{\"requests\":[{bad},{good}]}}"));
    let reply = reply.await;
    assert_eq!(reply.status, 207, "{}", reply.text());
    assert_eq!((&reply["accepted"], &reply["results"][0]["error"]), (&json!(1), &json!("INVALID_REQUEST")));
    assert_eq!(reply["results"][0]["request_id"], json!(request_id(2)));
}

#[tokio::test]
async fn a_batch_of_bad_records_only_is_still_answered_record_by_record() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let reply = batch(&chat, "/usage/batch", vec![json!({}), json!(null)]).await.ok(207);
    assert_eq!((&reply["accepted"], &reply["failed"]), (&json!(0), &json!(2)));
    assert_eq!(server.store.record_calls(), 0);
}
