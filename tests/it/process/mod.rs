//! The binary as its users run it.

#[cfg(feature = "sqlite")]
mod audit;
#[cfg(feature = "sqlite")]
mod cli;
#[cfg(all(feature = "sqlite", unix))]
mod container;
#[cfg(feature = "sqlite")]
mod crash;
#[cfg(feature = "sqlite")]
mod log_forging;
#[cfg(feature = "sqlite")]
mod log_secrets;
#[cfg(feature = "sqlite")]
mod logged;
#[cfg(feature = "sqlite")]
mod reprice;
#[cfg(feature = "sqlite")]
mod secrets;
#[cfg(feature = "sqlite")]
mod stop;
#[cfg(all(feature = "tls", feature = "sqlite"))]
mod tls;

use bedrock_cost_keeper::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::process::Served;

pub(crate) const ORG: &str = "550e8400-e29b-41d4-a716-446655440000";

/// A process lives by the real clock: a zone that is far from its midnight keeps a test inside one day.
pub(crate) fn timezone_far_from_midnight() -> &'static str {
    let hour = SystemClock.now().as_second().rem_euclid(86_400) / 3_600;
    if (6..18).contains(&hour) { "UTC" } else { "Etc/GMT-12" }
}

/// Provisions one application and answers an access token for it.
pub(crate) async fn provision(client: &reqwest::Client, url: &str, key: &str) -> String {
    let timezone = timezone_far_from_midnight();
    let org = json!({
        "org_name": "Acme", "timezone": timezone, "quota_scope": "APP",
        "model_ordering": ["premium"], "quotas": {"premium": 1_000_000_000_u64},
    });
    let put = |path: String, body: Value| {
        client.put(format!("{url}/api/v1/orgs/{ORG}{path}")).header("x-api-key", key).json(&body)
    };
    assert_eq!(put(String::new(), org).send().await.unwrap().status(), 201);
    let app = json!({"app_name": "Chat", "secret_delivery": "inline"});
    let app: Value = put("/apps/chat".into(), app).send().await.unwrap().json().await.unwrap();
    let grant = json!({
        "grant_type": "client_credentials",
        "client_id": app["credentials"]["client_id"],
        "client_secret": app["credentials"]["client_secret"],
    });
    let tokens: Value =
        client.post(format!("{url}/auth/token")).json(&grant).send().await.unwrap().json().await.unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

/// One submission with exact cost: `cost_usd_micros` of the client.
pub(crate) fn cost(request_id: &str, micros: u64) -> Value {
    json!({"request_id": request_id, "model_label": "premium", "status": "OK", "cost_usd_micros": micros})
}

/// Today's aggregate of the application.
pub(crate) async fn today(client: &reqwest::Client, served: &Served, token: &str) -> Value {
    let url = format!("{}/api/v1/orgs/{ORG}/apps/chat/aggregates/today", served.url);
    client.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap()
}
