//! The label catalog.

use serde_json::json;

use crate::support::server::{PROFILE_ARN, TestServer};

#[tokio::test]
async fn the_catalog_lists_every_label_with_prices_and_their_source() {
    let server = TestServer::with(|setup| {
        setup.profile_label();
        setup.priced_label("house", 350_000, 0);
        setup.label("mystery", "acme.unknown-v1:0");
    })
    .await;
    let chat = server.chat(json!({})).await;
    let reply = server.get("/api/v1/models").bearer(&chat.token).await.ok(200);
    let models = reply["models"].as_array().unwrap();
    let labels: Vec<_> = models.iter().map(|model| model["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["economy", "house", "mystery", "premium", "profile", "standard"]);
    let [_, house, mystery, premium, profile, _] = &models[..] else { panic!() };
    assert_eq!((&premium["type"], &premium["bedrock_model_id"]), (&json!("model"), &json!("amazon.nova-pro-v1:0")));
    assert!(premium["description"].is_string());
    assert_eq!((&profile["type"], &profile["bedrock_model_id"]), (&json!("profile"), &json!(PROFILE_ARN)));
    let pricing = &premium["pricing"];
    assert_eq!((&pricing["status"], &pricing["source"]), (&json!("PRICED"), &json!("EMBEDDED")));
    assert!(pricing["version"].is_string());
    assert_eq!(pricing["input_price_usd_micros_per_1m"], 800_000);
    assert_eq!(house["pricing"]["source"], "CONFIG");
    assert_eq!(house["pricing"]["output_price_usd_micros_per_1m"], 0);
    assert_eq!(
        mystery["pricing"],
        json!({
            "status": "UNPRICED", "input_price_usd_micros_per_1m": null, "output_price_usd_micros_per_1m": null,
            "cache_read_price_usd_micros_per_1m": null, "cache_write_price_usd_micros_per_1m": null,
            "source": null, "version": null,
        })
    );
}
