//! The tenants that the load comes from.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::child::Child;
use crate::server::PROVISIONING_KEY;

/// Applications of one organization. Each has a rate limit of its own, which one alone would reach.
const APPS: usize = 16;

/// An application that sends requests.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) org_id: Uuid,
    /// Path of its resources.
    pub(crate) path: String,
    /// Value of its `Authorization` header.
    pub(crate) authorization: String,
}

/// Makes an organization with its applications, whose quotas are never spent, and logs them in.
pub(crate) async fn provision(child: &Child) -> Vec<Tenant> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let base = format!("http://{}", child.address);
    let org_id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid();
    let put = |path: String, body: Value| {
        let request = http.put(format!("{base}{path}")).header(PROVISIONING_KEY.0, PROVISIONING_KEY.1).json(&body);
        async move { request.send().await.unwrap().error_for_status().unwrap().json::<Value>().await.unwrap() }
    };
    let quota = 1_000_000_000_000_u64;
    let org = json!({
        "org_name": "Load", "timezone": "UTC", "quota_scope": "APP",
        "model_ordering": ["premium", "standard", "economy"],
        "quotas": {"premium": quota, "standard": quota, "economy": quota},
    });
    put(format!("/api/v1/orgs/{org_id}"), org).await;
    let mut tenants = Vec::new();
    for n in 0..APPS {
        let path = format!("/api/v1/orgs/{org_id}/apps/app-{n}");
        let app = put(path.clone(), json!({"app_name": "Load", "secret_delivery": "inline"})).await;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", app["credentials"]["client_id"].as_str().unwrap()),
            ("client_secret", app["credentials"]["client_secret"].as_str().unwrap()),
        ];
        let token = http.post(format!("{base}/auth/token")).form(&form).send().await.unwrap();
        let token: Value = token.error_for_status().unwrap().json().await.unwrap();
        let authorization = format!("Bearer {}", token["access_token"].as_str().unwrap());
        tenants.push(Tenant { org_id, path, authorization });
    }
    tenants
}
