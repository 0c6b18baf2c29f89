//! Organizations and applications to test with.

use serde_json::{Value, json};

use super::client::{Call, Reply};
use super::server::TestServer;

pub(crate) const ORG: &str = "550e8400-e29b-41d4-a716-446655440000";
pub(crate) const OTHER_ORG: &str = "660e8400-e29b-41d4-a716-446655440000";

/// Body of a PUT: three labels, each application with its own quotas, New York time, the secret inline.
pub(crate) fn org_body() -> Value {
    json!({
        "org_name": "Acme",
        "timezone": "America/New_York",
        "quota_scope": "APP",
        "model_ordering": ["premium", "standard", "economy"],
        "quotas": {"premium": 10_000_000, "standard": 5_000_000, "economy": 1_000_000},
        "secret_delivery": "inline",
    })
}

/// Body of a PUT of an application that inherits everything.
pub(crate) fn app_body() -> Value {
    json!({"app_name": "Support chat", "secret_delivery": "inline"})
}

/// An object with some members set anew; null takes one out.
pub(crate) fn with(mut base: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (member, value) in changes {
        if value.is_null() {
            base.as_object_mut().unwrap().remove(&member);
        } else {
            base[member] = value;
        }
    }
    base
}

/// A registered organization or application with an access token.
pub(crate) struct Tenant<'a> {
    pub(crate) server: &'a TestServer,
    /// `/api/v1/orgs/…`.
    pub(crate) path: String,
    pub(crate) client_id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
}

impl TestServer {
    /// Registers [`ORG`] as [`org_body`] with these changes, and logs in.
    pub(crate) async fn org(&self, changes: Value) -> Tenant<'_> {
        self.org_named(ORG, changes).await
    }

    pub(crate) async fn org_named(&self, org_id: &str, changes: Value) -> Tenant<'_> {
        Tenant::create(self, format!("/api/v1/orgs/{org_id}"), &with(org_body(), changes)).await
    }

    /// Registers [`ORG`] with the application `chat`; answers the application.
    pub(crate) async fn chat(&self, org_changes: Value) -> Tenant<'_> {
        self.org(org_changes).await.app("chat", json!({})).await
    }
}

impl<'a> Tenant<'a> {
    async fn create(server: &'a TestServer, path: String, body: &Value) -> Self {
        let created = server.put(&path).admin().json(body).await.ok(201);
        let text = |member: &str| created["credentials"][member].as_str().unwrap().to_owned();
        let (client_id, secret) = (text("client_id"), text("client_secret"));
        let mut tenant = Self { server, path, client_id, secret, token: String::new(), refresh_token: String::new() };
        tenant.log_in().await;
        tenant
    }

    /// Registers an application of this organization.
    pub(crate) async fn app(&self, app_id: &str, changes: Value) -> Tenant<'a> {
        Self::create(self.server, format!("{}/apps/{app_id}", self.path), &with(app_body(), changes)).await
    }

    pub(crate) async fn log_in(&mut self) {
        let tokens = self.server.token(&self.client_id, &self.secret).await.ok(200);
        self.token = tokens.str("access_token").to_owned();
        self.refresh_token = tokens.str("refresh_token").to_owned();
    }

    /// A GET below this tenant with its own token.
    pub(crate) fn get(&self, suffix: &str) -> Call {
        self.call("GET", suffix)
    }

    /// A call below this tenant with its own token.
    pub(crate) fn call(&self, method: &str, suffix: &str) -> Call {
        self.server.request(method, &format!("{}{suffix}", self.path)).bearer(&self.token)
    }

    /// A POST below this tenant with its own token.
    pub(crate) fn post(&self, suffix: &str, body: &Value) -> Call {
        self.call("POST", suffix).json(body)
    }

    /// A call below this tenant with the provisioning key.
    pub(crate) fn admin(&self, method: &str, suffix: &str) -> Call {
        self.server.request(method, &format!("{}{suffix}", self.path)).admin()
    }

    /// Replaces the organization's configuration by [`org_body`] with these changes.
    pub(crate) async fn update_org(&self, changes: Value) {
        let path = self.path.split("/apps/").next().unwrap();
        self.server.put(path).admin().json(&with(org_body(), changes)).await.ok(200);
    }

    pub(crate) async fn selection(&self) -> Reply {
        self.get("/model-selection").await
    }

    /// Label and reason of the recommendation.
    pub(crate) async fn recommended(&self) -> (String, String) {
        let reply = self.selection().await.ok(200);
        let text = |member: &str| reply["recommended_model"][member].as_str().unwrap().to_owned();
        (text("label"), text("reason"))
    }

    pub(crate) async fn today(&self) -> Reply {
        self.get("/aggregates/today").await.ok(200)
    }

    /// Spends micro-dollars on a label now.
    pub(crate) async fn spend(&self, label: &str, micros: u64) -> Reply {
        let body = cost(&self.server.request_id(), label, micros);
        self.post("/costs", &body).await.ok(202)
    }

    /// Spends micro-dollars on a label at an instant.
    pub(crate) async fn spend_at(&self, instant: &str, label: &str, micros: u64) -> Reply {
        let body = with(cost(&self.server.request_id(), label, micros), json!({"timestamp": instant}));
        self.post("/costs", &body).await.ok(202)
    }
}

/// A submission of usage: 3,760 micro-USD on `premium`.
pub(crate) fn usage(request_id: &str, label: &str) -> Value {
    json!({
        "request_id": request_id, "model_label": label, "status": "OK", "input_tokens": 1500, "output_tokens": 800,
    })
}

/// A submission of a cost, without tokens.
pub(crate) fn cost(request_id: &str, label: &str, micros: u64) -> Value {
    json!({"request_id": request_id, "model_label": label, "status": "OK", "cost_usd_micros": micros})
}
