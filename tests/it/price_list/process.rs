//! The binary with the price list switched on.

use serde_json::Value;

use super::fixtures::{PUBLISHED, publication};
use super::imitation::PricingApi;
use crate::support::process::{Served, run, stderr};

#[tokio::test(flavor = "multi_thread")]
async fn serve_fetches_the_price_list_where_it_is_switched_on() {
    let api = PricingApi::serving(publication()).await;
    let dir = tempfile::tempdir().unwrap();
    let endpoint = format!("pricing.aws.endpoint_url={}", api.url);
    let credentials = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", "secret-of-a-test")];
    let args = ["--set", "pricing.aws.enabled=true", "--set", &endpoint];
    let mut served = Served::start_with_env(dir.path(), &args, &credentials);
    let key = Served::provisioning_key(dir.path());
    let client = reqwest::Client::new();
    let url = format!("{}/api/v1/models", served.url);
    let mut list = Value::Null;
    for _ in 0..200 {
        let models: Value = client.get(&url).header("x-api-key", &key).send().await.unwrap().json().await.unwrap();
        list = models["price_list"].clone();
        if !list.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!((&list["source"], &list["version"]), (&"PRICING_API".into(), &PUBLISHED.into()));
    served.signal("TERM");
    assert!(served.child.wait().unwrap().success());
}

#[test]
fn a_wrong_endpoint_is_refused_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["serve", "--set", "pricing.aws.endpoint_url=ftp://x"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("pricing.aws.endpoint_url"), "{}", stderr(&output));
}
